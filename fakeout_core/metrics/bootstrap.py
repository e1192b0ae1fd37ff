"""Intervals by the bootstrap over sources, on weighted counts instead of copied rows.

Videos of one source identity resemble each other, so sources are drawn, not videos: a replicate
is a weight per source. Rows are first counted per (source, class, cell), a cell being one distinct
score; a replicate is then one row of a matrix product, and all replicates go through the metric
functions together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse  # pyright: ignore[reportMissingTypeStubs]
import scipy.stats  # pyright: ignore[reportMissingTypeStubs]

from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.curve import (
    Curve,
    Floats,
    Ints,
    curve_from_sorted,
    rank_metrics,
    roc_auc,
)
from fakeout_core.metrics.sums import group_sums, sum_metrics

sparse: Any = scipy.sparse
stats: Any = scipy.stats  # without type stubs

_CHUNK_CELLS = 400_000  # replicates × cells: temporaries that stay in the cache
_SPARSE_GAIN = 30


@dataclass(frozen=True)
class Evidence:
    """What all metrics of one slice are computed from.

    Attributes:
        curve: counts above each threshold.
        sums: float64 [groups, columns] of `group_sums`; None where scores are no probabilities.
        cells: float32 [groups, 2, k], rows per (group, real or fake, cell), cells by falling score.
        n_sources: sources in the slice; at least the number of groups that hold rows.
        error_bounds: bound on the error of a metric; metrics not named are exact.
    """

    curve: Curve
    sums: Floats | None
    cells: npt.NDArray[np.float32]
    n_sources: int
    error_bounds: dict[str, float]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; NaN value = undefined, None = no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def regroup(source: Ints, max_groups: int, seed: int) -> tuple[Ints, int, int]:
    """Number the sources of a slice from 0, dealing them into groups where there are too many.

    Args:
        source: int [n], any codes.
        max_groups: most groups wanted.
        seed: of the deal.

    Returns:
        int [n] group of each row, the number of groups, the number of sources.
    """
    ids, code = np.unique(source, return_inverse=True)
    if ids.size <= max_groups:
        return code.astype(np.int64), int(ids.size), int(ids.size)
    deal = np.random.default_rng(seed).permutation(ids.size) % max_groups
    return deal[code].astype(np.int64), max_groups, int(ids.size)


def evidence_from_sorted(
    scores: Floats,
    is_fake: npt.NDArray[np.bool_],
    source: Ints,
    config: MetricsConfig,
) -> Evidence:
    """Count the rows of one slice.

    Args:
        scores: float64 [n], finite, falling.
        is_fake: bool [n].
        source: int [n], code of each row's source.
        config: settings.

    Returns:
        Exact evidence for the values; cells are merged beyond ``max_cells`` distinct scores.
    """
    group, n_groups, n_sources = regroup(source, config.max_groups, config.seed)
    n = scores.size
    starts = np.ones(n, dtype=bool)
    starts[1:] = scores[1:] != scores[:-1]
    cell = np.cumsum(starts) - 1
    if n and cell[-1] >= config.max_cells:
        first_row = np.flatnonzero(starts)
        merged = first_row * config.max_cells // n
        cell = (np.cumsum(np.append(True, np.diff(merged) != 0)) - 1)[cell]
    k = int(cell[-1]) + 1 if n else 1
    at = (group * 2 + is_fake) * k + cell
    cells = np.bincount(at, minlength=n_groups * 2 * k).astype(np.float32)
    in_range = bool(n == 0 or (scores[0] <= 1 and scores[-1] >= 0))
    return Evidence(
        curve_from_sorted(scores, is_fake),
        group_sums(scores, is_fake, group, n_groups, config.ece_bins) if in_range else None,
        cells.reshape(n_groups, 2, k),
        n_sources,
        {},
    )


@lru_cache(maxsize=8)
def draw_weights(n_groups: int, replicates: int, seed: int) -> npt.NDArray[np.float32]:
    """Times each group is drawn in each replicate: float32 [replicates, groups]."""
    rng = np.random.default_rng([seed, n_groups])
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=replicates).astype(
        np.float32
    )


def replicate_metrics(
    evidence: Evidence, config: MetricsConfig, *, auc_only: bool = False
) -> dict[str, Floats]:
    """Every metric in every replicate.

    Args:
        evidence: of one slice. Equal sources give equal weights, so that replicates of two models
            on the same rows are paired.
        config: settings.
        auc_only: leave all but ``roc_auc`` out.

    Returns:
        Name to float64 [replicates], NaN where undefined.
    """
    n_groups, _, k = evidence.cells.shape
    weights = draw_weights(n_groups, config.replicates, config.seed)
    drawn = _product(weights, evidence.cells.reshape(n_groups, 2 * k))
    sums = None if evidence.sums is None else weights.astype(np.float64) @ evidence.sums
    step = max(1, _CHUNK_CELLS // (2 * k))
    parts: list[dict[str, Floats]] = []
    for start in range(0, config.replicates, step):
        counts = drawn[start : start + step].reshape(-1, 2, k)
        total = np.zeros((counts.shape[0], 2, k + 1))
        np.cumsum(counts, axis=-1, dtype=np.float64, out=total[:, :, 1:])
        if auc_only:
            parts.append({"roc_auc": roc_auc(total[:, 1], total[:, 0])})
            continue
        found = rank_metrics(total[:, 1], total[:, 0])
        if sums is not None:
            found |= sum_metrics(sums[start : start + step])
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _product(
    weights: npt.NDArray[np.float32], cells: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """``weights @ cells``; most cells of most groups are empty at the video level."""
    if np.count_nonzero(cells) * _SPARSE_GAIN > cells.size:
        return weights @ cells
    filled = sparse.csr_array(cells)
    return np.ascontiguousarray((filled.T @ weights.T).T)


def percentile_interval(
    replicates: Floats, n_sources: int, confidence: float
) -> tuple[float, float] | None:
    """Interval from replicates, widened for few sources.

    Args:
        replicates: float64 [b]; NaN where a replicate is undefined.
        n_sources: units drawn.
        confidence: of the interval.

    Returns:
        (low, high), or None if under nine tenths of the replicates are defined or all are equal:
        an interval of width nought claims a certainty that nothing supports.

    Source: the expanded percentile interval of Hesterberg 2015, section 5.3, which corrects the
    narrowness of the plain one in small samples.
    """
    defined = replicates[np.isfinite(replicates)]
    if n_sources < 2 or defined.size < 0.9 * replicates.size or defined.size < 2:
        return None
    if np.ptp(defined) <= 1e-12:
        return None
    t = float(stats.t.ppf(0.5 + confidence / 2, n_sources - 1))
    tail = float(stats.norm.cdf(-t * np.sqrt(n_sources / (n_sources - 1))))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def estimate(evidence: Evidence, config: MetricsConfig) -> dict[str, Estimate]:
    """Values and intervals of all metrics of one slice.

    Args:
        evidence: counts of at least one row.
        config: settings.

    Returns:
        Name to estimate, in the order of the metric functions.
    """
    curve = evidence.curve
    values = rank_metrics(
        curve.tps, curve.fps, curve.thresholds, bends_only=not evidence.error_bounds
    )
    if evidence.sums is not None:
        values |= sum_metrics(evidence.sums.sum(axis=0))
    repeated: dict[str, Floats] = {}
    centre: dict[str, Floats] = {}
    if config.replicates and evidence.n_sources > 1:
        repeated = replicate_metrics(evidence, config)
        # Merged cells shift ranks a little; the same shift sits in every replicate, so it cancels.
        total = np.zeros((2, evidence.cells.shape[2] + 1))
        np.cumsum(evidence.cells.sum(axis=0, dtype=np.float64), axis=-1, out=total[:, 1:])
        centre = rank_metrics(total[1], total[0])
    result: dict[str, Estimate] = {}
    is_merged = evidence.cells.shape[2] + 1 != curve.tps.size
    for name, value in values.items():
        bounds = None
        if name in repeated and np.isfinite(value):
            shift = float(value - centre[name]) if is_merged and name in centre else 0.0
            bounds = percentile_interval(
                repeated[name] + shift, evidence.n_sources, config.confidence
            )
            if bounds is not None:  # biased statistics (ece) may leave their own percentiles
                bounds = min(bounds[0], float(value)), max(bounds[1], float(value))
        result[name] = Estimate(float(value), *(bounds or ()))
    return result
