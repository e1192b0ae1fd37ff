"""How the towers run, and how windows become a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fakeout_core.checks import require_at_least

Variant = Literal["x1", "x2"]
Modality = Literal["av", "v"]


@dataclass(frozen=True)
class ModelConfig:
    """Settings of a detector; those that can change a score are part of the model fingerprint.

    Attributes:
        engine: what computes the towers; ``auto`` takes the accelerator through XLA where there
            is one, else the fastest engine installed that holds the tolerance.
        precision: of the towers; ``auto`` is float32 on CPU and bfloat16 on an accelerator.
        threads: of a CPU engine; one single-threaded worker per core beats one with all cores.
        batch_windows: windows computed at once; fewer are padded to it, so there is one
            compilation.
        window_rule: windows of a track to its score: ``mean`` (FakeOut), ``max``, or ``top_k``,
            the mean of the ``top_k`` highest.
        top_k: how many windows ``top_k`` takes.
        track_rule: tracks of a video to its score: ``max`` (FakeOut) or ``mean``.
    """

    engine: Literal["auto", "xla", "onnxruntime", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 1
    batch_windows: int = 1
    window_rule: Literal["mean", "max", "top_k"] = "mean"
    top_k: int = 3
    track_rule: Literal["max", "mean"] = "max"

    def __post_init__(self) -> None:
        require_at_least(self, 1, "threads", "batch_windows", "top_k")
