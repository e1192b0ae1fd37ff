"""Metrics that are sums over rows: accuracy at 0.5, log loss, Brier score, calibration error.

Sums merge by addition and need no sorting, so they stay exact at any number of rows. Rows are
summed per bootstrap group; a replicate is a weighting of the groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fakeout_core.metrics.curve import Floats, Ints

N_PLAIN = 6
PLAIN = ("n_real", "n_fake", "correct_real", "correct_fake", "log_loss", "brier")
SUM_METRICS = ("accuracy", "balanced_accuracy", "log_loss", "brier", "ece")


def ece_bin(scores: Floats, bins: int) -> Ints:
    """Bin of each score among ``bins`` equal widths, borders belonging to the lower bin.

    Source: the binning of scikit-learn's ``calibration_curve(strategy="uniform")``.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, scores).astype(np.int64)


def group_sums(
    scores: Floats,
    is_fake: npt.NDArray[np.bool_],
    group: Ints,
    n_groups: int,
    ece_bins: int,
) -> Floats:
    """Sum what the metrics need, per group.

    Args:
        scores: float64 [n], probabilities of fake in 0..1.
        is_fake: bool [n].
        group: int [n] in [0, n_groups).
        n_groups: number of groups.
        ece_bins: bins of the calibration error.

    Returns:
        float64 [n_groups, 6 + 3 × ece_bins]: the columns of ``PLAIN``, then per bin the number of
        rows, the sum of scores and the number of fakes.

    Source: log loss clips at the smallest float64 step, as scikit-learn's ``log_loss``; a score
    of exactly 0.5 counts as real, as in DeepfakeBench.
    """

    def total(weights: npt.NDArray[np.generic] | None = None) -> Floats:
        return np.bincount(group, weights, minlength=n_groups).astype(np.float64)

    eps = float(np.finfo(np.float64).eps)
    of_truth = np.where(is_fake, scores, 1.0 - scores)
    above = scores > 0.5
    n_fake = total(is_fake)
    plain = [
        total() - n_fake,
        n_fake,
        total(~above & ~is_fake),
        total(above & is_fake),
        total(-np.log(np.clip(of_truth, eps, 1.0 - eps))),
        total((1.0 - of_truth) ** 2),
    ]
    cell = group * ece_bins + ece_bin(scores, ece_bins)
    size = n_groups * ece_bins
    binned = [
        np.bincount(cell, weights, minlength=size).astype(np.float64).reshape(n_groups, ece_bins)
        for weights in (None, scores, is_fake)
    ]
    return np.concatenate([np.stack(plain, axis=1), *binned], axis=1)


def sum_metrics(sums: Floats) -> dict[str, Floats]:
    """Metrics from (weighted) sums.

    Args:
        sums: float64 [..., 6 + 3 × bins], rows of `group_sums` added up.

    Returns:
        Name to float64 [...]; NaN where nothing or (balanced accuracy) one class only is there.
    """
    n_real, n_fake, ok_real, ok_fake, log_loss, brier = np.moveaxis(sums[..., :N_PLAIN], -1, 0)
    n = n_real + n_fake
    _, score, fake = np.split(sums[..., N_PLAIN:], 3, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": (ok_real + ok_fake) / n,
            "balanced_accuracy": (ok_real / n_real + ok_fake / n_fake) / 2,
            "log_loss": log_loss / n,
            "brier": brier / n,
            "ece": np.sum(np.abs(score - fake), axis=-1) / np.where(n > 0, n, np.nan),
        }
