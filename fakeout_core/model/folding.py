"""What scoring lets one compute ahead: a batch norm is an affine map, and so is the whole head."""

from __future__ import annotations

import numpy as np

from fakeout_core.model.network import BN_EPSILON
from fakeout_core.model.trees import Tree, Weights


def affine_of_norm(weights: Weights, module: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset, float64 [C], that a batch norm amounts to when scoring."""
    params, state = weights.params[module], weights.state
    mean = state[f"{module}/~/mean_ema"]["average"].astype(np.float64).ravel()
    var = state[f"{module}/~/var_ema"]["average"].astype(np.float64).ravel()
    scale = params["scale"].astype(np.float64).ravel() / np.sqrt(var + BN_EPSILON)
    return scale, params["offset"].astype(np.float64).ravel() - mean * scale


def head_of(params: Tree) -> tuple[np.ndarray, np.ndarray]:
    """The three linear layers as one: weights float64 [C, 2] and bias float64 [2]."""
    weight, bias = np.eye(1), np.zeros(1)
    for index, name in enumerate(("first_mlp_layer", "second_mlp_layer", "third_mlp_layer")):
        w, b = (params[name][leaf].astype(np.float64) for leaf in ("w", "b"))
        weight, bias = (w, b) if index == 0 else (weight @ w, bias @ w + b)
    return weight, bias
