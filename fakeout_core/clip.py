"""A clip: what the towers need of one video, between cropping and scoring."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class AudioStatus(StrEnum):
    """What became of the sound: silence and absence look alike to the network, rows tell."""

    USED = "used"
    SILENT = "silent"
    ABSENT = "absent"
    UNREADABLE = "unreadable"
    DISABLED = "disabled"


@dataclass(frozen=True)
class FaceTrack:
    """One person followed through a video.

    Attributes:
        frames: JPEG bytes of the unique aligned frames that windows use, 224×224 RGB.
        frame_index: index at 29 fps of each frame, int32 [len(frames)].
        windows: number of each scored window, int32 [W].
        window_frames: positions in ``frames``, int32 [W, 32].
        absent_share: share of each window's frames in which no face was seen, float32 [W].
        face_px: median side of the detected box in px of the source.
        n_frames_seen: frames in which the face was found.
        box: x1, y1, x2, y2 of the window that pixels were taken from, px of the source.
        fixes: names of deviations from FacePipe that acted on this track.
        sprite: JPEG strip of 8 aligned frames.
    """

    frames: list[bytes]
    frame_index: np.ndarray
    windows: np.ndarray
    window_frames: np.ndarray
    absent_share: np.ndarray
    face_px: float
    n_frames_seen: int
    box: tuple[float, float, float, float]
    fixes: tuple[str, ...] = ()
    sprite: bytes = b""


@dataclass(frozen=True)
class Clip:
    """Everything the towers need of one video.

    Attributes:
        tracks: one or two face tracks.
        log_mel: float32 [n_windows, 183, 80, 1] in dB relative to the video's loudest cell; shape
            [0, 183, 80, 1] unless ``audio_status`` is ``used`` or ``silent``.
        audio_status: what became of the sound.
        window_start_s: start of each window in the video, float64 [n_windows].
        window_end_s: end of each window in the video, float64 [n_windows].
        duration_s: decoded length in seconds.
        fps: mean frame rate of the source.
        width: px after rotation.
        height: px after rotation.
        n_frames: frames decoded.
        n_frames_29: frames after resampling to 29 fps.
        decoder: ``decord`` or ``pyav``.
    """

    tracks: list[FaceTrack]
    log_mel: np.ndarray
    audio_status: AudioStatus
    window_start_s: np.ndarray
    window_end_s: np.ndarray
    duration_s: float
    fps: float
    width: int
    height: int
    n_frames: int
    n_frames_29: int
    decoder: str
    notes: tuple[str, ...] = field(default=())
