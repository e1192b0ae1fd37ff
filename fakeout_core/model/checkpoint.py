"""Where weights come from: a checkpoint that was looked at before it is believed, or the rule."""

from __future__ import annotations

from fakeout_core.errors import CheckpointError
from fakeout_core.model.config import Modality, Variant
from fakeout_core.model.golden_rule import UNTRAINED, golden_tree
from fakeout_core.model.trees import Weights, expected_shapes


def load_weights(
    checkpoint: str | None,
    variant: Variant = "x1",
    modality: Modality = "av",
    *,
    digest_only: bool = False,
) -> Weights:
    """Load weights.

    Args:
        checkpoint: a file, or None for the untrained golden rule.
        variant: without a checkpoint, the network to fill; a checkpoint says its own.
        modality: likewise.
        digest_only: leave the arrays out where the digest can be had without them.

    Returns:
        The weights that scoring needs.

    Raises:
        CheckpointError: the file is refused.
    """
    if checkpoint is None:
        if digest_only:
            return Weights(variant, modality, {}, {}, UNTRAINED)
        params, state = expected_shapes(variant, modality)
        return Weights(
            variant,
            modality,
            golden_tree("params", params),
            golden_tree("state", state),
            UNTRAINED,
        )
    raise CheckpointError(f"{checkpoint}: not a checkpoint")
