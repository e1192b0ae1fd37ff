"""Metrics of rank: everything that follows from the counts above each threshold.

One pair of arrays stands for a ROC curve: ``tps`` and ``fps``, the fakes and reals whose score is
at least the threshold, for falling thresholds, starting from none. The functions take leading
axes, so that a thousand bootstrap replicates cost one call. Fake is the positive class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_FPR = 0.1
TPR_AT_FPR = (0.001, 0.01, 0.05, 0.1)
RANK_METRICS = (
    "roc_auc",
    "partial_auc_fpr_0.1",
    "eer",
    "eer_interpolated",
    "average_precision",
    *(f"tpr_at_fpr_{fpr:g}" for fpr in TPR_AT_FPR),
    "accuracy_at_eer",
    "balanced_accuracy_at_eer",
    "eer_threshold",
)


@dataclass(frozen=True)
class Curve:
    """Counts above every threshold.

    Attributes:
        thresholds: float64 [k + 1], falling, first infinity: predicted fake if score ≥ threshold.
        tps: float64 [k + 1], fakes at or above; first 0, last the number of fakes.
        fps: float64 [k + 1], reals at or above.
    """

    thresholds: Floats
    tps: Floats
    fps: Floats


def curve_from_sorted(scores: Floats, is_fake: npt.NDArray[np.bool_]) -> Curve:
    """Count fakes and reals above each distinct score.

    Args:
        scores: float64 [n], finite, falling.
        is_fake: bool [n].

    Returns:
        A curve with one point per distinct score, and the start.
    """
    is_last_of_tie = np.ones(scores.size, dtype=np.bool_)
    is_last_of_tie[:-1] = scores[1:] != scores[:-1]
    index = np.flatnonzero(is_last_of_tie)
    tps = np.cumsum(is_fake, dtype=np.float64)[index]
    fps = index + 1.0 - tps
    zero = np.zeros(1)
    return Curve(
        np.concatenate([[np.inf], scores[index]]),
        np.concatenate([zero, tps]),
        np.concatenate([zero, fps]),
    )


def curve(scores: Floats, is_fake: npt.NDArray[np.bool_]) -> Curve:
    """Count fakes and reals above each distinct score; see `curve_from_sorted`."""
    order = np.argsort(-scores, kind="stable")
    return curve_from_sorted(scores[order], is_fake[order])


def corners(tps: Floats, fps: Floats) -> npt.NDArray[np.bool_]:
    """Mark the points where a ROC curve bends, and its ends.

    Args:
        tps: float64 [k + 1].
        fps: float64 [k + 1].

    Returns:
        bool [k + 1]; the rest lie on straight lines between the marked.

    Source: behaviour of scikit-learn's ``roc_curve(drop_intermediate=True)``, which compares
    second differences and so keeps some collinear points of unequal spacing.
    """
    if tps.size <= 2:
        return np.ones(tps.shape, dtype=bool)
    bends = (np.diff(tps, 2) != 0) | (np.diff(fps, 2) != 0)
    return np.concatenate([[True], bends, [True]])


def rank_metrics(
    tps: Floats, fps: Floats, thresholds: Floats | None = None, *, bends_only: bool = False
) -> dict[str, Floats]:
    """All metrics of rank for one or many curves.

    Args:
        tps: float64 [..., k + 1] as in `Curve`; the class totals are in the last column.
        fps: float64 [..., k + 1].
        thresholds: float64 [k + 1]; without it ``eer_threshold`` is left out.
        bends_only: look for ``eer`` at `corners` only, as the reference does; one curve only.
            Replicates and histograms look at every point.

    Returns:
        Name to float64 [...]; NaN where a class is empty.

    Source: ROC-AUC, average precision and partial AUC (McClish's standardised form) as
    scikit-learn defines them; ``eer`` is DeepfakeBench's: the false positive rate at the point of
    the curve where |FNR − FPR| is least. ``eer_interpolated`` is where the straight line between
    points meets FNR = FPR: equal to it in the limit, and 0.5, not 0, for a constant score.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        n_fake, n_real = tps[..., -1:], fps[..., -1:]
        empty = ((n_fake == 0) | (n_real == 0))[..., 0]
        tpr, fpr = tps / n_fake, fps / n_real
        out: dict[str, Floats] = {"roc_auc": roc_auc(tps, fps)}
        out["partial_auc_fpr_0.1"] = _partial_auc(tpr, fpr)
        at_eer = _eer_index(tpr, fpr, corners(tps, fps) if bends_only else None)
        out["eer"] = _take(fpr, at_eer)
        out["eer_interpolated"] = _eer_interpolated(tpr, fpr)
        predicted = tps[..., 1:] + fps[..., 1:]
        precision = np.where(predicted > 0, tps[..., 1:] / predicted, 0.0)
        out["average_precision"] = np.sum(np.diff(tps) * precision, axis=-1) / n_fake[..., 0]
        for limit in TPR_AT_FPR:
            out[f"tpr_at_fpr_{limit:g}"] = np.max(np.where(fpr <= limit, tpr, 0.0), axis=-1)
        true = _take(tps, at_eer) + n_real[..., 0] - _take(fps, at_eer)
        out["accuracy_at_eer"] = true / (n_fake + n_real)[..., 0]
        out["balanced_accuracy_at_eer"] = (_take(tpr, at_eer) + 1 - _take(fpr, at_eer)) / 2
        if thresholds is not None:
            out["eer_threshold"] = thresholds[at_eer]
    return {name: np.where(empty, np.nan, value) for name, value in out.items()}


def roc_auc(tps: Floats, fps: Floats) -> Floats:
    """Area under one or many ROC curves, by trapezoids; NaN where a class is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        twice = np.sum(np.diff(fps) * (tps[..., 1:] + tps[..., :-1]), axis=-1)
        return twice / (2 * tps[..., -1] * fps[..., -1])


def _take(values: Floats, index: Ints) -> Floats:
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def _eer_index(tpr: Floats, fpr: Floats, allowed: npt.NDArray[np.bool_] | None) -> Ints:
    gap = np.nan_to_num(np.abs((1 - tpr) - fpr), nan=np.inf)
    if allowed is not None:
        gap = np.where(allowed, gap, np.inf)
    return np.argmin(gap, axis=-1).astype(np.int64)


def _eer_interpolated(tpr: Floats, fpr: Floats) -> Floats:
    excess = fpr + tpr - 1
    after = np.maximum(np.argmax(excess >= 0, axis=-1), 1)
    low, high = _take(excess, after - 1), _take(excess, after)
    share = np.where(high > low, -low / (high - low), 0.0)
    start = _take(fpr, after - 1)
    return start + share * (_take(fpr, after) - start)


def _partial_auc(tpr: Floats, fpr: Floats) -> Floats:
    stop = np.sum(fpr <= MAX_FPR, axis=-1)
    before = stop - 1
    after = np.minimum(stop, fpr.shape[-1] - 1)
    inside = np.less(np.arange(1, fpr.shape[-1], dtype=np.int64), stop[..., None])
    area = np.sum(np.diff(fpr) * (tpr[..., 1:] + tpr[..., :-1]) / 2 * inside, axis=-1)
    x0, x1, y0, y1 = _take(fpr, before), _take(fpr, after), _take(tpr, before), _take(tpr, after)
    share = np.where(x1 > x0, (MAX_FPR - x0) / (x1 - x0), 0.0)
    height = y0 + share * (y1 - y0)
    area = area + (MAX_FPR - x0) * (y0 + height) / 2
    least = MAX_FPR**2 / 2
    return 0.5 * (1 + (area - least) / (MAX_FPR - least))
