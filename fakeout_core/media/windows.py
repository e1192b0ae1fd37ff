"""Which frames and which samples make up the windows of a video.

Source: FakeOut's temporal sampling; offsets in float32, as the reference computes them (integer or
double arithmetic moves one audio sample in some lengths).
"""

from __future__ import annotations

import numpy as np

from fakeout_core.errors import MediaError, Reason


def window_offsets(length: int, span: int, n_windows: int) -> np.ndarray:
    """Where windows begin, spread evenly from the start of a sequence to its end.

    Args:
        length: of the sequence, at least 1.
        span: of a window, from its first item to one stride past its last.
        n_windows: at least 1.

    Returns:
        int32 [n_windows], in [0, max(0, length - span)]; the first is 0 and the last, if there are
        several, the greatest possible.

    Raises:
        MediaError: ``too_short``, the sequence is empty.
        ValueError: ``n_windows`` is below 1.
    """
    if length < 1:
        raise MediaError(Reason.TOO_SHORT, "nothing to take windows from")
    if n_windows < 1:
        raise ValueError(f"n_windows must be at least 1, got {n_windows}")
    greatest = max(0, length - span)
    if n_windows == 1:
        return np.zeros(1, np.int32)
    step = np.float32(greatest / (n_windows - 1))
    offsets = (step * np.arange(n_windows, dtype=np.float32)).astype(np.int32)
    offsets[-1] = greatest
    return offsets


def window_frames(n_frames: int, steps: int, stride: int, n_windows: int) -> np.ndarray:
    """Choose the frames of every window of one face track.

    Args:
        n_frames: length of the track, in frames at 29 fps.
        steps: frames per window; FakeOut takes 32.
        stride: distance between them, in frames; FakeOut takes 2.
        n_windows: at least 1.

    Returns:
        int32 [n_windows, steps], indices in [0, n_frames). Windows spread from the track's start
        to its end; a track shorter than a window is looped.

    Raises:
        MediaError: ``too_short``, there is no frame.
    """
    offsets = window_offsets(n_frames, steps * stride, n_windows)
    return (offsets[:, None] + np.arange(steps, dtype=np.int32) * stride) % n_frames
