"""The towers on ONNX Runtime: the fastest float32 engine measured on CPU."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.onnx_graph import audio_graph, video_graph
from fakeout_core.model.trees import Weights


class OnnxEngine:
    """One session per tower, each over one static batch shape."""

    def __init__(self, weights: Weights, config: ModelConfig, precision: str) -> None:
        if precision != "float32":
            raise ConfigError(f"onnxruntime computes float32 on CPU, not {precision}")
        self._see = _session(video_graph(weights, config.batch_windows), config.threads)
        has_sound = weights.modality == "av"
        audio = audio_graph(weights, config.batch_windows) if has_sound else None
        self._hear = _session(audio, config.threads) if audio else None
        self.name = "onnxruntime/float32"

    @property
    def compilations(self) -> int:
        """Sessions; their shapes are static, so there are never more."""
        return 1 + (self._hear is not None)

    def see(self, frames: np.ndarray) -> np.ndarray:
        """Compute the video tower on one batch."""
        return self._see.run(["video"], {"frames": frames})[0]

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        """Compute the audio tower on one batch."""
        if self._hear is None:
            raise ConfigError("a video-only network has no audio tower")
        return self._hear.run(["audio"], {"log_mel": log_mel})[0]


def _session(model: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin on cores that decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
