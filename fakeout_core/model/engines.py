"""What computes the towers: one small interface, several engines, the same weights.

The jitted Haiku network (``xla``) is the reference and the way to accelerators. On CPU another
engine may run the same weights faster; it must hold the tolerance that the golden tests state.
"""

from __future__ import annotations

import importlib.util
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.network import network
from fakeout_core.model.trees import Weights


class Engine(Protocol):
    """Computes one static batch of windows.

    Attributes:
        name: engine and precision as the tables say it, e.g. ``xla/float32``.
    """

    name: str

    def __call__(self, frames: np.ndarray, log_mel: np.ndarray | None) -> np.ndarray:
        """Map uint8 [B, 32, 224, 224, 3] and float32 [B, 183, 80, 1] to logits float32 [B, 2]."""
        ...


class XlaEngine:
    """The Haiku network under jit, on whatever JAX's default device is."""

    def __init__(self, weights: Weights, precision: str) -> None:
        transformed = network(weights.variant, weights.modality)
        dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32

        def cast(leaf: np.ndarray) -> jax.Array:
            is_real = np.issubdtype(leaf.dtype, np.floating)
            return jnp.asarray(leaf, dtype if is_real else leaf.dtype)

        params = jax.tree.map(cast, weights.params)
        state = jax.tree.map(cast, weights.state)

        def forward(frames: jax.Array, log_mel: jax.Array | None) -> jax.Array:
            outputs, _ = transformed.apply(params, state, None, frames, log_mel, False, dtype)
            return outputs.logits.astype(jnp.float32)

        self._forward = jax.jit(forward)
        self.name = f"xla/{precision}"

    @property
    def compilations(self) -> int:
        """How many batch shapes were compiled; one, if the caller pads."""
        return self._forward._cache_size()

    def __call__(self, frames: np.ndarray, log_mel: np.ndarray | None) -> np.ndarray:
        """Compute one batch."""
        return np.asarray(self._forward(frames, log_mel))


def choose_engine(config: ModelConfig) -> tuple[str, str]:
    """Settle ``auto``: the engine and the precision a detector will use here.

    Args:
        config: model settings.

    Returns:
        Engine name and precision.

    Raises:
        ConfigError: the engine asked for is not installed.
    """
    engine = config.engine
    on_cpu = jax.default_backend() == "cpu"
    if engine == "auto":
        engine = "onnxruntime" if on_cpu and _installed("onnxruntime") else "xla"
    elif engine != "xla" and not _installed(engine):
        raise ConfigError(f"engine {engine} is not installed; pip install 'fakeout[{engine}]'")
    precision = config.precision
    if precision == "auto":
        precision = "float32" if on_cpu or engine != "xla" else "bfloat16"
    return engine, precision


def make_engine(weights: Weights, config: ModelConfig) -> Engine:
    """Build the engine that ``config`` asks for.

    Raises:
        ConfigError: it is not installed, or cannot do the precision.
    """
    engine, precision = choose_engine(config)
    if engine == "xla":
        return XlaEngine(weights, precision)
    if engine == "onnxruntime":
        from fakeout_core.model.onnx_engine import OnnxEngine

        return OnnxEngine(weights, config, precision)
    raise ConfigError(f"no engine {engine}")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
