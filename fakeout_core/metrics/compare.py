"""Whether two models differ, on the videos both scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats  # pyright: ignore[reportMissingTypeStubs]

from fakeout_core.metrics.bootstrap import (
    evidence_from_sorted,
    percentile_interval,
    replicate_metrics,
)
from fakeout_core.metrics.config import MetricsConfig, Undefined
from fakeout_core.metrics.curve import Floats, Ints, roc_auc
from fakeout_core.metrics.delong import delong, delta_test

stats: Any = scipy.stats  # without type stubs

METHODS = ("delong", "delong-source", "bootstrap-source")


@dataclass(frozen=True)
class Comparison:
    """Difference of two areas under the ROC curve by one method.

    Attributes:
        method: one of `METHODS`.
        value_a: area of the first model; None where undefined.
        value_b: area of the second.
        delta: first − second.
        ci_low: lower end of the interval of delta, if there is one.
        ci_high: upper end.
        p_value: two-sided, of no difference.
        undefined_reason: why there are no values, else None.
        n_real: reals both scored.
        n_fake: fakes both scored.
        n_sources: source identities among them.
    """

    method: str
    value_a: float | None
    value_b: float | None
    delta: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    undefined_reason: Undefined | None
    n_real: int
    n_fake: int
    n_sources: int


def compare(
    scores: Floats, is_fake: npt.NDArray[np.bool_], source: Ints, config: MetricsConfig
) -> Iterator[Comparison]:
    """Compare two models by every method.

    Args:
        scores: float64 [2, n], of the same videos.
        is_fake: bool [n].
        source: int [n].
        config: settings.

    Yields:
        One comparison per method. The two of ``-source`` allow videos of one source to depend on
        each other; plain DeLong does not, and is too wide where a source gives reals and fakes.
    """
    n_fake = int(is_fake.sum())
    n_real = int(is_fake.size - n_fake)
    counts = (n_real, n_fake, int(np.unique(source).size))
    reason = None
    if not is_fake.size:
        reason = Undefined.NO_SCORES
    elif not np.isfinite(scores).all():
        reason = Undefined.NAN_SCORES
    elif min(n_fake, n_real) < 2:
        reason = Undefined.ONE_CLASS
    if reason is not None:
        for method in METHODS:
            yield Comparison(method, None, None, None, None, None, None, reason, *counts)
        return
    for method, cluster in (("delong", None), ("delong-source", source)):
        found = delong(scores, is_fake, cluster)
        delta, low, high, p = delta_test(found, config.confidence)
        a, b = (float(value) for value in found.auc)
        yield Comparison(method, a, b, delta, low, high, p, None, *counts)
    yield _by_bootstrap(scores, is_fake, source, config, counts)


def _by_bootstrap(
    scores: Floats,
    is_fake: npt.NDArray[np.bool_],
    source: Ints,
    config: MetricsConfig,
    counts: tuple[int, int, int],
) -> Comparison:
    values: list[float] = []
    repeated: list[Floats] = []
    for row in scores:
        order = np.argsort(-row, kind="stable")
        evidence = evidence_from_sorted(row[order], is_fake[order], source[order], config)
        values.append(float(roc_auc(evidence.curve.tps, evidence.curve.fps)))
        if config.replicates and counts[2] > 1:
            repeated.append(replicate_metrics(evidence, config, auc_only=True)["roc_auc"])
    delta = values[0] - values[1]
    interval, p = None, None
    if repeated:
        change = repeated[0] - repeated[1]
        interval = percentile_interval(change, counts[2], config.confidence)
        if interval is not None:
            error = float(np.nanstd(change, ddof=1))
            p = float(2 * stats.t.sf(abs(delta) / error, counts[2] - 1))
    low, high = interval or (None, None)
    return Comparison("bootstrap-source", values[0], values[1], delta, low, high, p, None, *counts)
