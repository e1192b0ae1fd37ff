"""What computes the towers: one small interface, several engines, the same weights.

The jitted Haiku network (``xla``) is the reference and the way to accelerators. On CPU another
engine may run the same weights faster; it must hold the tolerance that the golden tests state.

An engine computes the two towers apart, one static batch at a time. The head is one affine map and
belongs to nobody: the detector applies it. Apart, because windows often share what they show or
what they sound like (a face track shorter than a window, a video without sound), and then one
result serves them all.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from fakeout_core.errors import ConfigError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.network import audio_tower, video_tower
from fakeout_core.model.trees import Tree, Weights

CPU_ENGINES = ("openvino", "onnxruntime")
"""In order of measured speed; ``benchmarks/towers.py`` measures them again."""


class Engine(Protocol):
    """Computes one static batch of windows.

    Attributes:
        name: engine and precision as the tables say it, e.g. ``xla/float32``.
    """

    name: str

    @property
    def compilations(self) -> int:
        """Programs compiled so far, over both towers; one each, however many batches came."""
        ...

    def see(self, frames: np.ndarray) -> np.ndarray:
        """Map uint8 RGB [B, 32, 224, 224, 3] to float32 [B, 2048 × width]."""
        ...

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        """Map float32 [B, 183, 80, 1] to float32 [B, 2048]."""
        ...


class XlaEngine:
    """The Haiku towers under jit, on JAX's default device."""

    def __init__(self, weights: Weights, precision: str) -> None:
        dtype = jnp.dtype(precision)

        def place(tree: Tree) -> dict[str, dict[str, jax.Array]]:
            return {
                module: {
                    name: jnp.asarray(leaf, None if name == "counter" else dtype)
                    for name, leaf in leaves.items()
                }
                for module, leaves in tree.items()
                if module.startswith("text_audio_video/")
            }

        self._trees = place(weights.params), place(weights.state)
        video, audio = video_tower(weights.variant, dtype), audio_tower(dtype)

        def see(params: Tree, state: Tree, frames: jax.Array) -> jax.Array:
            return video.apply(params, state, None, frames)[0].astype(jnp.float32)

        def hear(params: Tree, state: Tree, log_mel: jax.Array) -> jax.Array:
            return audio.apply(params, state, None, log_mel)[0].astype(jnp.float32)

        self._see: Any = jax.jit(see)
        self._hear: Any = jax.jit(hear)
        self.name = f"xla/{precision}"

    @property
    def compilations(self) -> int:
        """Shapes compiled so far, over both towers."""
        return self._see._cache_size() + self._hear._cache_size()

    def see(self, frames: np.ndarray) -> np.ndarray:
        """Compute the video tower on one batch."""
        return np.asarray(self._see(*self._trees, frames))

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        """Compute the audio tower on one batch."""
        return np.asarray(self._hear(*self._trees, log_mel))


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
        candidates = CPU_ENGINES if on_cpu else ()
        engine = next((one for one in candidates if _installed(one)), "xla")
    elif engine != "xla" and not _installed(engine):
        raise ConfigError(f"engine {engine} is not installed: pip install {engine}")
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
    from fakeout_core.model.openvino_engine import OpenvinoEngine

    return OpenvinoEngine(weights, config, precision)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
