"""A mergeable histogram of scores: all metrics of many slices from one pass, any number of rows.

Bins are equal in asinh(logit(score)), fine near 0 and 1 where detectors put most scores and where
low false positive rates are decided. Metrics that are sums stay exact. For metrics of rank the
true curve passes through the curve at the bins' borders and is monotone between, which bounds
every error; the bounds are computed from the counts and stored beside the values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakeout_core.metrics.bootstrap import Evidence
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.curve import MAX_FPR, TPR_AT_FPR, Curve, Floats, Ints
from fakeout_core.metrics.sums import N_PLAIN, group_sums

_SPAN = 5.0
"""Half the range in asinh(logit): logits beyond ±74, unreachable in float64, share the end bins."""


def score_bin(scores: Floats, bins: int) -> Ints:
    """Bin of each score; monotone, so that bins are ordered as scores are.

    Args:
        scores: float64 [n] in 0..1.
        bins: even number of bins.

    Returns:
        int64 [n] in [0, bins).
    """
    with np.errstate(divide="ignore"):
        place = np.arcsinh(np.log(scores) - np.log1p(-scores))
    place = np.clip(place, -_SPAN, _SPAN)
    return np.minimum((place + _SPAN) * (bins / (2 * _SPAN)), bins - 1).astype(np.int64)


def bin_floor(bins: int) -> Floats:
    """Least score of each bin: float64 [bins]."""
    place = np.linspace(-_SPAN, _SPAN, bins + 1)[:-1]
    with np.errstate(over="ignore"):
        floor = 1 / (1 + np.exp(-np.sinh(place)))
    floor[0] = 0.0
    return floor


@dataclass
class Sketch:
    """Counts of many slices at once; merge by `merge`, in any order.

    Attributes:
        fine: int64 [slices, 2, bins], rows per class (real, fake) and bin.
        coarse: int32 [slices, groups, 2, cells], the same per bootstrap group, wider bins.
        sums: float64 [slices, groups, columns] of `group_sums`.
        seen: bool [slices, sources], which sources have rows.
        n_bad: int64 [slices], rows with a score that is no probability; in no other count.
    """

    fine: Ints
    coarse: npt.NDArray[np.int32]
    sums: Floats
    seen: npt.NDArray[np.bool_]
    n_bad: Ints

    @classmethod
    def empty(cls, n_slices: int, n_sources: int, config: MetricsConfig) -> Sketch:
        """A sketch without rows."""
        groups = min(config.sketch_groups, max(n_sources, 1))
        return cls(
            np.zeros((n_slices, 2, config.sketch_bins), np.int64),
            np.zeros((n_slices, groups, 2, config.sketch_cells), np.int32),
            np.zeros((n_slices, groups, N_PLAIN + 3 * config.ece_bins)),
            np.zeros((n_slices, n_sources), np.bool_),
            np.zeros(n_slices, np.int64),
        )

    def add(
        self,
        scores: Floats,
        video: Ints,
        is_fake: npt.NDArray[np.bool_],
        source: Ints,
        member: npt.NDArray[np.bool_],
        config: MetricsConfig,
    ) -> None:
        """Count rows.

        Args:
            scores: float64 [n].
            video: int [n], index of each row's video.
            is_fake: bool [videos].
            source: int [videos] in [0, sources).
            member: bool [slices, videos]; videos of no known label belong to no slice.
            config: the settings the sketch was made with.
        """
        n_slices, groups, _, cells = self.coarse.shape
        good = (scores >= 0) & (scores <= 1)
        bad_video = video[~good]
        self.n_bad += np.count_nonzero(member[:, bad_video], axis=1)
        scores, video = scores[good], video[good]
        fake = is_fake[video]
        from_source = source[video]
        fine = score_bin(scores, self.fine.shape[2]) + self.fine.shape[2] * fake
        group = from_source % groups
        coarse = fine % self.fine.shape[2] // (self.fine.shape[2] // cells)
        coarse = (group * 2 + fake) * cells + coarse
        for index in range(n_slices):
            rows = np.flatnonzero(member[index][video])
            if not rows.size:
                continue
            self.fine[index] += np.bincount(fine[rows], minlength=2 * self.fine.shape[2]).reshape(
                2, -1
            )
            self.coarse[index] += np.bincount(coarse[rows], minlength=groups * 2 * cells).reshape(
                groups, 2, cells
            )
            self.sums[index] += group_sums(
                scores[rows], fake[rows], group[rows], groups, config.ece_bins
            )
            self.seen[index, from_source[rows]] = True

    def merge(self, other: Sketch) -> None:
        """Add another sketch of the same shape to this one."""
        self.fine += other.fine
        self.coarse += other.coarse
        self.sums += other.sums
        self.seen |= other.seen
        self.n_bad += other.n_bad

    def evidence(self, index: int) -> Evidence:
        """Evidence of slice ``index``, with error bounds."""
        real, fake = self.fine[index][:, ::-1].astype(np.float64)
        used = (real + fake) > 0
        floor = bin_floor(self.fine.shape[2])[::-1]
        zero = np.zeros(1)
        curve = Curve(
            np.concatenate([[np.inf], floor[used]]),
            np.concatenate([zero, np.cumsum(fake[used])]),
            np.concatenate([zero, np.cumsum(real[used])]),
        )
        kept = self.coarse[index].any(axis=(0, 1))
        return Evidence(
            curve,
            self.sums[index],
            self.coarse[index][:, :, kept][:, :, ::-1].astype(np.float32),
            int(self.seen[index].sum()),
            error_bounds(curve),
        )


def error_bounds(curve: Curve) -> dict[str, float]:
    """Greatest error of each metric of rank when rows inside a bin have any order.

    Args:
        curve: counts at the bins' borders.

    Returns:
        Metric to bound; empty if a class is.

    Source: a bin with p of P fakes and n of N reals holds p·n of the P·N pairs, of which a tie
    counts half; the other bounds follow from the rectangle the true curve cannot leave. ``eer``
    here is over all points of the true curve, not over its corners only.
    """
    n_fake, n_real = float(curve.tps[-1]), float(curve.fps[-1])
    if not n_fake or not n_real:
        return {}
    tpr, fpr = curve.tps / n_fake, curve.fps / n_real
    p, n = np.diff(curve.tps), np.diff(curve.fps)
    area = p * n / (n_fake * n_real)
    bounds = {"roc_auc": float(area.sum() / 2)}
    stop = int(np.sum(fpr <= MAX_FPR))  # the bin after border stop-1 contains the limit
    whole, cut = area[: stop - 1].sum() / 2, area[stop - 1] if stop <= area.size else 0.0
    bounds["partial_auc_fpr_0.1"] = float(0.5 * (whole + cut) / (MAX_FPR - MAX_FPR**2 / 2))
    crossing = int(np.argmax(fpr + tpr - 1 >= 0))
    low = max(crossing - 1, 0)
    # A tie of |FNR − FPR| may pick the neighbouring border, hence one bin to either side.
    first, last = max(low - 1, 0), min(crossing + 1, fpr.size - 1)
    bounds["eer"] = float(fpr[last] - fpr[first])
    bounds["eer_interpolated"] = float(fpr[crossing] - fpr[low])
    ones = (curve.tps[last] - curve.tps[first]) + (curve.fps[last] - curve.fps[first])
    bounds["accuracy_at_eer"] = float(ones / (n_fake + n_real))
    bounds["balanced_accuracy_at_eer"] = float(
        (tpr[last] - tpr[first] + fpr[last] - fpr[first]) / 2
    )
    span = curve.thresholds[max(first, 1)] - curve.thresholds[min(last + 1, fpr.size - 1)]
    bounds["eer_threshold"] = float(max(span, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        tied = np.where(p > 0, curve.tps[1:] / (curve.tps[1:] + curve.fps[1:]), 0.0)
        best = np.where(p > 0, curve.tps[1:] / (curve.tps[1:] + curve.fps[:-1]), 0.0)
        start = curve.tps[:-1] + 1
        worst = np.where(p > 0, start / (start + curve.fps[1:]), 0.0)
    bounds["average_precision"] = float(np.sum(p * np.maximum(best - tied, tied - worst)) / n_fake)
    for limit in TPR_AT_FPR:
        at = int(np.sum(fpr <= limit))
        bounds[f"tpr_at_fpr_{limit:g}"] = float(tpr[min(at, tpr.size - 1)] - tpr[at - 1])
    return bounds
