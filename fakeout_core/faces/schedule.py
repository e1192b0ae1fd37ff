"""Which frames are looked at, and how: detection, landmarks, pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BATCH = 80
"""FacePipe gathers this many frames; its every-third counting restarts in each batch."""

SMOOTHING = 5
"""A frame's transform is the mean of the landmarks of this many frames, looking forward."""

LEAD = 6
"""Frames that landmarks are followed before they count: after 5 they have forgotten the start."""


def detection_frame(index: int, every: int) -> int:
    """The frame whose detection is valid at ``index``.

    Source: FacePipe's batches of 80.
    """
    return BATCH * (index // BATCH) + every * ((index % BATCH) // every)


@dataclass(frozen=True)
class Plan:
    """What to do with each frame of a video.

    Attributes:
        n_frames: frames the plan is made for.
        detect: bool [n], a scheduled detection.
        follow: bool [n], landmarks are wanted.
        keep: bool [n], a window shows the frame.
    """

    n_frames: int
    detect: np.ndarray
    follow: np.ndarray
    keep: np.ndarray


def make_plan(n_frames: int, shown: np.ndarray, detect_every: int) -> Plan:
    """Plan a video.

    Args:
        n_frames: frames of it that are looked at.
        shown: source frames that windows show, ints in [0, n_frames).
        detect_every: frames between detections.

    Returns:
        Landmarks are followed from ``LEAD`` frames before a shown frame to ``SMOOTHING`` - 1 after
        it; holes of up to ``LEAD`` frames are filled, since a fresh start costs as much.
    """
    index = np.arange(n_frames)
    detect = (index % BATCH) % detect_every == 0
    keep = np.zeros(n_frames, bool)
    keep[np.asarray(shown, np.int64)] = True
    follow = np.zeros(n_frames, bool)
    for at in np.flatnonzero(keep):
        follow[max(0, at - LEAD) : at + SMOOTHING] = True
    follow[max(0, n_frames - SMOOTHING - LEAD) :] |= keep[max(0, n_frames - SMOOTHING) :].any()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], follow, [True]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=False):
        if stop - start <= LEAD:
            follow[start:stop] = True
    return Plan(n_frames, detect, follow, keep)
