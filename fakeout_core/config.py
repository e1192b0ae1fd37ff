"""Settings of the core, as frozen dataclasses. Nothing here reads files or the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fakeout_core.checks import require_at_least, require_positive


@dataclass(frozen=True)
class MediaLimits:
    """What one video may cost before it is refused with ``too_large``.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width × height of one frame; the default admits 8K.
        max_frames: frames decoded; further ones are not read.
        max_duration_s: declared or decoded length.
        min_frames: fewer frames than this are ``too_short``.
    """

    max_bytes: int = 4 << 30
    max_pixels: int = 7680 * 4320
    max_frames: int = 36_000
    max_duration_s: float = 1_800.0
    min_frames: int = 8

    def __post_init__(self) -> None:
        require_at_least(self, 1, "max_bytes", "max_pixels", "max_frames", "min_frames")
        require_positive(self, "max_duration_s")


@dataclass(frozen=True)
class CropConfig:
    """Everything that shapes a clip; its digest is the crop fingerprint.

    Attributes:
        n_windows: windows spread over each track (FakeOut evaluates 5; its README example 10).
        steps: frames per window.
        stride: distance between them in frames at 29 fps.
        max_seconds: how much of the video is looked at (FakeOut's ffmpeg call: 59 s).
        max_tracks: at most this many faces.
        detect_every: frames between detections (FacePipe 3; 9 is the fast profile).
        pyramid_skip: finest levels the detector leaves out; ``auto`` follows the picture's height.
        profile: ``published`` reproduces the MPEG-4 step that FacePipe's crops went through,
            ``clean`` leaves it out (for checkpoints trained on this pipeline's crops).
        jpeg_quality: of the stored frames, 4:4:4.
        audio: whether sound is read.
        resample_audio: bring sound to 44.1 kHz; False repeats the published script, which does not.
        limits: bounds on one video.
    """

    n_windows: int = 5
    steps: int = 32
    stride: int = 2
    max_seconds: float = 59.0
    max_tracks: int = 2
    detect_every: int = 3
    pyramid_skip: int | Literal["auto"] = "auto"
    profile: Literal["published", "clean"] = "published"
    jpeg_quality: int = 95
    audio: bool = True
    resample_audio: bool = True
    limits: MediaLimits = field(default_factory=MediaLimits)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_windows", "steps", "stride", "max_tracks", "detect_every")
        require_positive(self, "max_seconds")
        if self.pyramid_skip != "auto":
            require_at_least(self, 0, "pyramid_skip")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must lie in 1..100, got {self.jpeg_quality}")
