"""Parameter trees: module path → leaf name → array, as Haiku keeps them."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from fakeout_core.model.config import Modality, Variant
from fakeout_core.model.network import network

Tree = dict[str, dict[str, np.ndarray]]
Shapes = dict[str, dict[str, tuple[tuple[int, ...], np.dtype]]]

WINDOW_SHAPE = (32, 224, 224, 3)
LOG_MEL_SHAPE = (183, 80, 1)


@dataclass(frozen=True)
class Weights:
    """A network's parameters and state, and what they are.

    Attributes:
        variant: ``x1`` or ``x2``.
        modality: ``av`` or ``v``.
        params: parameters that scoring uses.
        state: batch norm averages.
        digest: ``sha256:`` and the hex digest of the arrays; ``untrained`` for the golden rule.
    """

    variant: Variant
    modality: Modality
    params: Tree
    state: Tree
    digest: str


@functools.cache
def expected_shapes(variant: Variant, modality: Modality) -> tuple[Shapes, Shapes]:
    """Shapes of the parameters and of the state that a network scores with.

    Args:
        variant: ``x1`` or ``x2``.
        modality: ``av`` or ``v``.

    Returns:
        Two mappings, module → leaf → (shape, dtype), taken from the network itself; nothing is
        computed or allocated.
    """
    video = jax.ShapeDtypeStruct((1, *WINDOW_SHAPE), jnp.uint8)
    log_mel = jax.ShapeDtypeStruct((1, *LOG_MEL_SHAPE), jnp.float32)
    init = network(variant, modality).init

    def shapes_of(key: jax.Array, video: jax.Array, log_mel: jax.Array):
        return init(key, video, log_mel if modality == "av" else None, True)

    key = jax.eval_shape(lambda: jax.random.key(0))
    params, state = jax.eval_shape(shapes_of, key, video, log_mel)

    def plain(tree: object) -> Shapes:
        return {
            module: {name: (leaf.shape, np.dtype(leaf.dtype)) for name, leaf in leaves.items()}
            for module, leaves in tree.items()  # type: ignore[attr-defined]
        }

    return plain(params), plain(state)


def tree_digest(params: Tree, state: Tree) -> str:
    """Digest of what a score depends on, the same whatever file the arrays came from.

    Args:
        params: parameters that scoring uses.
        state: its batch norm state; only ``average`` counts, as scoring reads nothing else.

    Returns:
        ``sha256:`` and 64 hex digits over names, shapes, types and bytes, in the order of names.
    """
    sha = hashlib.sha256()
    for kind, tree in (("params", params), ("state", state)):
        for module in sorted(tree):
            for name in sorted(tree[module]):
                if kind == "state" and name != "average":
                    continue
                leaf = np.ascontiguousarray(tree[module][name])
                sha.update(f"{kind}/{module}/{name} {leaf.shape} {leaf.dtype.str}\n".encode())
                sha.update(leaf.data.cast("B"))
    return f"sha256:{sha.hexdigest()}"
