"""Simulations: intervals cover at their rate, tests reject at theirs (both ± 1.5 points).

A score is a normal: an effect of the source, one of the video, and a shift for fakes. Three
thousand repetitions leave a standard error of 0.4 points.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from fakeout_core.metrics.bootstrap import (
    evidence_from_sorted,
    percentile_interval,
    replicate_metrics,
)
from fakeout_core.metrics.compare import compare
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.delong import auc_interval, delong

REPEATS = 3000
SOURCES = 70
SHIFT = 1.2
CONFIG = MetricsConfig(replicates=400)


def scores(rng: np.random.Generator, by_source: float) -> np.ndarray:
    """[REPEATS, 2 × SOURCES]: a real and a fake of each source; share of variance by source."""
    shared = np.sqrt(by_source) * rng.normal(size=(REPEATS, SOURCES))
    own = np.sqrt(1 - by_source) * rng.normal(size=(REPEATS, 2 * SOURCES))
    return np.tile(shared, 2) + own + SHIFT * IS_FAKE


SOURCE = np.tile(np.arange(SOURCES), 2)
IS_FAKE = np.repeat([False, True], SOURCES)


def expected_auc(by_source: float) -> float:
    """Mean of the sample AUC: pairs within a source count with their own probability."""
    across = norm.cdf(SHIFT / np.sqrt(2))
    within = norm.cdf(SHIFT / np.sqrt(2 * (1 - by_source)))
    return float((1 - 1 / SOURCES) * across + within / SOURCES)


def covers(interval: tuple[float, float] | None, value: float) -> bool:
    assert interval is not None
    return interval[0] <= value <= interval[1]


@pytest.mark.slow
def test_intervals_cover_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(1)
    hits = {"delong": 0, "delong-source": 0, "bootstrap-source": 0}
    for independent, dependent in zip(scores(rng, 0.0), scores(rng, 0.5), strict=True):
        found = delong(independent[None], IS_FAKE)
        interval = auc_interval(float(found.auc[0]), float(found.covariance[0, 0]), 0.95)
        hits["delong"] += covers(interval, expected_auc(0.0))

        found = delong(dependent[None], IS_FAKE, SOURCE)
        interval = auc_interval(float(found.auc[0]), float(found.covariance[0, 0]), 0.95)
        hits["delong-source"] += covers(interval, expected_auc(0.5))

        order = np.argsort(-dependent)
        evidence = evidence_from_sorted(dependent[order], IS_FAKE[order], SOURCE[order], CONFIG)
        repeated = replicate_metrics(evidence, CONFIG, auc_only=True)["roc_auc"]
        hits["bootstrap-source"] += covers(
            percentile_interval(repeated, SOURCES, 0.95), expected_auc(0.5)
        )
    for method, count in hits.items():
        assert 0.935 <= count / REPEATS <= 0.965, (method, count / REPEATS)


@pytest.mark.slow
def test_the_comparison_holds_its_level() -> None:
    rng = np.random.default_rng(4)
    rejected = {"delong": 0, "delong-source": 0, "bootstrap-source": 0}
    shared = np.sqrt(0.4) * rng.normal(size=(REPEATS, 2 * SOURCES))
    pairs = [shared + np.sqrt(0.6) * scores(rng, 0.0) for _ in range(2)]
    for first, second in zip(*pairs, strict=True):
        for found in compare(np.stack([first, second]), IS_FAKE, SOURCE, CONFIG):
            assert found.p_value is not None
            rejected[found.method] += found.p_value < 0.05
    for method, count in rejected.items():
        assert 0.035 <= count / REPEATS <= 0.065, (method, count / REPEATS)
