"""The towers on ONNX Runtime: the fastest float32 engine measured on CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.onnx_graph import build_graph
from fakeout_core.model.trees import Weights


class OnnxEngine:
    """One session over one static batch shape."""

    def __init__(self, weights: Weights, config: ModelConfig, precision: str) -> None:
        if precision != "float32":
            raise ConfigError(f"onnxruntime computes float32 on CPU, not {precision}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = build_graph(weights, config.batch_windows).SerializeToString()
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name = "onnxruntime/float32"

    def __call__(self, frames: np.ndarray, log_mel: np.ndarray | None) -> np.ndarray:
        """Compute one batch."""
        feed = {"frames": frames}
        if log_mel is not None:
            feed["log_mel"] = log_mel
        return self._session.run(["logits"], feed)[0]
