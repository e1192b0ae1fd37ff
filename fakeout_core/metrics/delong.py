"""DeLong's variance of the area under the ROC curve, for one model or two on the same rows.

With ``cluster`` given, rows of one cluster may depend on each other (Obuchowski's form); without
it every row is its own cluster, which is DeLong's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats  # pyright: ignore[reportMissingTypeStubs]

from fakeout_core.metrics.curve import Floats, Ints

stats: Any = scipy.stats  # without type stubs


@dataclass(frozen=True)
class AucCovariance:
    """Areas of several models and their covariance.

    Attributes:
        auc: float64 [models].
        covariance: float64 [models, models].
    """

    auc: Floats
    covariance: Floats


def delong(
    scores: Floats, is_fake: npt.NDArray[np.bool_], cluster: Ints | None = None
) -> AucCovariance:
    """Estimate AUCs and their covariance from structural components.

    Args:
        scores: float64 [models, n], finite.
        is_fake: bool [n]; at least two of each class.
        cluster: int [n], or None for independent rows.

    Returns:
        The areas and their covariance.

    Source: DeLong, DeLong and Clarke-Pearson 1988; the fast form by midranks of Sun and Xu 2014;
    clusters after Obuchowski 1997.
    """
    fakes, reals = scores[:, is_fake], scores[:, ~is_fake]
    m, n = fakes.shape[1], reals.shape[1]
    rank_all = stats.rankdata(np.concatenate([fakes, reals], axis=1), axis=1)
    of_fake = (rank_all[:, :m] - stats.rankdata(fakes, axis=1)) / n
    of_real = 1 - (rank_all[:, m:] - stats.rankdata(reals, axis=1)) / m
    auc = of_fake.mean(axis=1)
    if cluster is None:
        covariance = np.atleast_2d(np.cov(of_fake)) / m + np.atleast_2d(np.cov(of_real)) / n
        return AucCovariance(auc, covariance)
    ids, code = np.unique(cluster, return_inverse=True)
    fake_sum = _cluster_sums((of_fake - auc[:, None]) / m, code[is_fake], ids.size)
    real_sum = _cluster_sums((of_real - auc[:, None]) / n, code[~is_fake], ids.size)
    # The usual small-sample factor, with the clusters that carry each class.
    fake_clusters = np.unique(code[is_fake]).size
    real_clusters = np.unique(code[~is_fake]).size
    fake_sum = fake_sum * np.sqrt(fake_clusters / max(fake_clusters - 1, 1))
    real_sum = real_sum * np.sqrt(real_clusters / max(real_clusters - 1, 1))
    both = fake_sum + real_sum
    return AucCovariance(auc, both @ both.T)


def _cluster_sums(values: Floats, code: Ints, n: int) -> Floats:
    rows = [np.bincount(code, row, minlength=n).astype(np.float64) for row in values]
    return np.stack(rows)


def auc_interval(auc: float, variance: float, confidence: float) -> tuple[float, float] | None:
    """Interval for one area, symmetric on the logit scale, so that it stays inside 0..1.

    Returns:
        (low, high), or None where the variance says nothing (perfect separation).
    """
    if not (0 < auc < 1) or not variance > 0:
        return None
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    centre = np.log(auc / (1 - auc))
    half = z * np.sqrt(variance) / (auc * (1 - auc))
    low, high = 1 / (1 + np.exp(-(centre - half))), 1 / (1 + np.exp(-(centre + half)))
    return float(low), float(high)


def delta_test(
    result: AucCovariance, confidence: float
) -> tuple[float, float | None, float | None, float | None]:
    """Test whether two models have the same area.

    Args:
        result: of `delong` with two models.
        confidence: of the interval.

    Returns:
        (difference first − second, low, high, two-sided p); the last three None if the difference
        has no variance (equal ranks).
    """
    delta = float(result.auc[0] - result.auc[1])
    c = result.covariance
    variance = float(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    if not variance > 1e-18:
        return delta, None, None, None
    error = float(np.sqrt(variance))
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    p = 2 * float(stats.norm.sf(abs(delta) / error))
    return delta, delta - z * error, delta + z * error, p
