"""The towers on ONNX Runtime: the CPU engine where OpenVINO is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.onnx_graph import audio_graph, video_graph
from fakeout_core.model.trees import Weights


class OnnxEngine:
    """One session per tower, each for one window; a window's 32 frames fill the cores."""

    def __init__(self, weights: Weights, config: ModelConfig, precision: str) -> None:
        if precision != "float32":
            raise ConfigError(
                f"onnxruntime has no {precision} convolutions on CPU: engine openvino has"
            )
        self._see = _session(video_graph(weights), config.threads)
        has_sound = weights.modality == "av"
        self._hear = _session(audio_graph(weights), config.threads) if has_sound else None
        self.name = "onnxruntime/float32"

    @property
    def compilations(self) -> int:
        """Sessions; their shapes are static, so there are never more."""
        return 1 + (self._hear is not None)

    def see(self, frames: np.ndarray) -> np.ndarray:
        """Compute the video tower, window by window."""
        return np.concatenate([self._see.run(["video"], {"frames": one})[0] for one in frames])

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        """Compute the audio tower, window by window."""
        if self._hear is None:
            raise ConfigError("a video-only network has no audio tower")
        return np.concatenate([self._hear.run(["audio"], {"log_mel": one})[0] for one in log_mel])


def _session(model: onnx.ModelProto, threads: int) -> Any:
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin on cores that decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
