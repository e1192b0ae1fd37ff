"""Detectors that count instead of computing; what is around them is real."""

from __future__ import annotations

import os
import time

import numpy as np

from fakeout_core.aggregate import rule_name
from fakeout_core.detector import Detector, model_fingerprint
from fakeout_core.model.config import ModelConfig


class CountingDetector(Detector):
    """Takes the mean of the pixels for a logit; aggregation and all around it are the real ones."""

    def __init__(self, variant: str, modality: str, config: ModelConfig) -> None:
        self.variant, self.modality, self.config = variant, modality, config  # type: ignore[assignment]
        self.weights, self.engine = "untrained", "counting/float32"
        self.fingerprint = model_fingerprint(None, variant, modality, config)
        self.aggregation = rule_name(config)

    @classmethod
    def load(cls, checkpoint=None, *, variant="x1", modality="av", config=None):
        return cls(variant, modality, config or ModelConfig())

    def score_windows(self, frames: np.ndarray, log_mel: np.ndarray | None = None) -> np.ndarray:
        mean = frames.reshape(len(frames), -1).mean(axis=1) / 255.0
        return np.stack([1 - mean, mean], axis=1).astype(np.float32)


class SlowDetector(CountingDetector):
    """Takes its time, so that there is a moment to kill it in."""

    def score_windows(self, frames: np.ndarray, log_mel: np.ndarray | None = None) -> np.ndarray:
        time.sleep(0.3)
        return super().score_windows(frames, log_mel)


class PlacedDetector(SlowDetector):
    """Says in its engine column where it ran, and what share of the device it was given."""

    @property
    def engine(self) -> str:
        import ray

        node = ray.get_runtime_context().get_node_id()
        gpus = ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])
        return f"{node}/{gpus}/{os.environ.get('XLA_CLIENT_MEM_FRACTION', '')}"

    @engine.setter
    def engine(self, value: str) -> None:
        pass
