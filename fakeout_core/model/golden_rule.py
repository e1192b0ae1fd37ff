"""Weights without a weight file: every array is a function of its own path.

The published checkpoints cannot be redistributed, so tests, benchmarks and the demonstration use
this rule. It is deterministic to the last bit on every platform, because it uses nothing but
uniform draws of PCG64. The scores it gives mean nothing; tables say ``weights = untrained``.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from fakeout_core.model.config import Modality, Variant
from fakeout_core.model.trees import Shapes, Tree, Weights, expected_shapes

UNTRAINED = "untrained"

_SQRT3 = math.sqrt(3.0)

_GAINS = (
    ("/conv_2", 0.375),  # the end of a residual branch: keeps the sum from growing
    ("/shortcut_conv", 0.75),
    ("/initial_conv", 1.0 / 64),  # the audio stem sees decibels down to -80
    ("third_mlp_layer", 0.25),  # keeps the softmax away from 0 and 1
)


def golden_weights(variant: Variant, modality: Modality) -> Weights:
    """Everything a network scores with, by the rule.

    Args:
        variant: ``x1`` or ``x2``.
        modality: ``av`` or ``v``.

    Returns:
        Weights whose digest is ``untrained``; 0.1 GB for ``x1``, 0.4 GB for ``x2``.
    """
    params, state = expected_shapes(variant, modality)
    return Weights(
        variant, modality, golden_tree("params", params), golden_tree("state", state), UNTRAINED
    )


def golden_tree(kind: str, shapes: Shapes) -> Tree:
    """Fill one tree by the rule.

    Args:
        kind: ``params`` or ``state``.
        shapes: module → leaf → (shape, dtype).

    Returns:
        Arrays of those shapes: uniform, with limits that depend on the leaf's name and place;
        counters are zero.

    Raises:
        ValueError: the rule does not cover a leaf.
    """
    return {
        module: {
            name: _array(kind, module, name, shape, dtype)
            for name, (shape, dtype) in leaves.items()
        }
        for module, leaves in shapes.items()
    }


def _array(
    kind: str, module: str, name: str, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    if kind == "state" and name == "counter":
        return np.zeros(shape, dtype)
    low, high = _limits(kind, module, name, shape)
    rng = np.random.default_rng(zlib.crc32(f"{kind}/{module}/{name}".encode()))
    return (low + (high - low) * rng.random(shape)).astype(dtype)


def _limits(kind: str, module: str, name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if kind == "params" and name == "w":
        gain = next((gain for suffix, gain in _GAINS if module.endswith(suffix)), 1.0)
        limit = _SQRT3 * gain * math.sqrt(2.0 / math.prod(shape[:-1]))
        return -limit, limit
    is_spread = (kind == "params" and name == "scale") or module.endswith("/var_ema")
    if is_spread:
        return 0.5, 1.5
    if (kind == "params" and name in ("b", "offset")) or module.endswith("/mean_ema"):
        return -0.1 * _SQRT3, 0.1 * _SQRT3
    raise ValueError(f"the golden rule does not cover {kind}/{module}/{name}")
