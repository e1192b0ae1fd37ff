"""Work of a known length and a real size, for benchmarks of what is around the work.

The crop sleeps and returns a clip as large as a real one (160 aligned frames, five windows); the
detector sleeps and returns logits. Nothing else is replaced.
"""

from __future__ import annotations

import functools
import time

import cv2
import numpy as np

from fakeout_core.aggregate import rule_name
from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.config import CropConfig
from fakeout_core.detector import Detector, model_fingerprint
from fakeout_core.model.config import ModelConfig

FRAMES, WINDOWS = 160, 5
CROP_S = 0.4
SCORE_S = 0.4


@functools.cache
def _frames() -> list[bytes]:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(FRAMES):
        coarse = rng.integers(0, 255, (28, 28, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (224, 224), interpolation=cv2.INTER_CUBIC)
        frames.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return frames


def crop(path: str, config: CropConfig) -> Clip:
    """Sleep as long as a crop takes; return a clip of real size."""
    start = time.monotonic()
    track = FaceTrack(
        frames=_frames(),
        frame_index=np.arange(FRAMES, dtype=np.int32),
        windows=np.arange(WINDOWS, dtype=np.int32),
        window_frames=np.arange(FRAMES, dtype=np.int32).reshape(WINDOWS, 32),
        absent_share=np.zeros(WINDOWS, np.float32),
        face_px=100.0,
        n_frames_seen=FRAMES,
        box=(0.0, 0.0, 100.0, 100.0),
    )
    starts = np.arange(WINDOWS, dtype=np.float64)
    mel = np.zeros((WINDOWS, 183, 80, 1), np.float32)
    clip = Clip([track], mel, AudioStatus.USED, starts, starts + 2, 8, 29, 640, 360, 232, 232, "–")
    time.sleep(max(0.0, CROP_S - (time.monotonic() - start)))
    return clip


class SleepingDetector(Detector):
    """Sleeps as long as the towers take."""

    def __init__(self, variant: str, modality: str, config: ModelConfig) -> None:
        self.variant, self.modality, self.config = variant, modality, config  # type: ignore[assignment]
        self.weights, self.engine = "untrained", "sleep"
        self.fingerprint = model_fingerprint(None, variant, modality, config)
        self.aggregation = rule_name(config)

    @classmethod
    def load(cls, checkpoint=None, *, variant="x1", modality="av", config=None):
        """As the real one, without weights."""
        return cls(variant, modality, config or ModelConfig())

    def score_windows(self, frames: np.ndarray, log_mel: np.ndarray | None = None) -> np.ndarray:
        """Sleep; logits of the windows' means."""
        time.sleep(SCORE_S)
        mean = frames[:, 0, 0, 0].mean(axis=-1) / 255.0
        return np.stack([1 - mean, mean], axis=1).astype(np.float32)
