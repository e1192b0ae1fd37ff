"""The towers on OpenVINO: the fastest engine measured on CPU, in float32 and in bfloat16."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.onnx_graph import audio_graph, video_graph
from fakeout_core.model.trees import Weights

# OpenVINO's Python package reports its use over the network, from a process it forks under our
# threads. It does without where the reporter cannot be imported; so it cannot be.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenvinoEngine:
    """One compiled model per tower, each for one window; a window's 32 frames fill the cores."""

    def __init__(self, weights: Weights, config: ModelConfig, precision: str) -> None:
        core = ov.Core()
        if precision == "bfloat16" and not has_bfloat16(core):
            raise ConfigError(
                "this CPU has no bfloat16 instructions (AVX512_BF16 or AMX): it would be slower "
                "than float32; use precision float32"
            )
        self._see = _compile(core, video_graph(weights), config.threads, precision)
        has_sound = weights.modality == "av"
        # The audio tower is a hundredth of the work: float32 costs nothing and keeps the sound's
        # decibels, which bfloat16 would round to halves.
        audio = audio_graph(weights) if has_sound else None
        self._hear = _compile(core, audio, config.threads, "float32") if audio else None
        self.name = f"openvino/{precision}"

    @property
    def compilations(self) -> int:
        """Compiled models; their shapes are static, so there are never more."""
        return 1 + (self._hear is not None)

    def see(self, frames: np.ndarray) -> np.ndarray:
        """Compute the video tower, window by window."""
        return np.concatenate([_infer(self._see, one) for one in frames])

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        """Compute the audio tower, window by window."""
        if self._hear is None:
            raise ConfigError("a video-only network has no audio tower")
        return np.concatenate([_infer(self._hear, one) for one in log_mel])


def has_bfloat16(core: Any) -> bool:
    """Whether this CPU computes bfloat16 natively."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(core: Any, model: onnx.ModelProto, threads: int, precision: str) -> Any:
    settings = {
        # Said in so many words: left alone, OpenVINO takes bfloat16 wherever the CPU has it.
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Several workers share a machine; pinned, they would all choose the same core.
        "ENABLE_CPU_PINNING": False,
    }
    read = core.read_model(model.SerializeToString())
    return core.compile_model(read, "CPU", settings).create_infer_request()


def _infer(request: Any, window: np.ndarray) -> np.ndarray:
    result = request.infer([np.ascontiguousarray(window)], share_inputs=True)
    return np.array(result[0], np.float32)
