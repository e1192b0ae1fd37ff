"""The histogram: merges in any order, and its errors stay inside their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from fakeout_core.metrics.bootstrap import estimate, evidence_from_sorted
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.curve import curve, rank_metrics
from fakeout_core.metrics.sketch import Sketch, bin_floor, score_bin

SHAPES = {
    "logistic": lambda rng, fake: 1 / (1 + np.exp(-rng.normal(fake * 1.5, 1.5))),
    "saturated": lambda rng, fake: 1 / (1 + np.exp(-rng.normal(fake * 30, 20))),
    "tied": lambda rng, fake: np.round(rng.beta(1 + fake, 2 - fake), 2),
    "narrow": lambda rng, fake: 0.5 + 1e-4 * rng.normal(fake * 1.0),
}


def rows(shape: str, n: int = 20_000) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(4)
    is_fake = rng.random(200) < 0.5
    source = rng.integers(0, 60, 200)
    video = rng.integers(0, 200, n)
    scores = SHAPES[shape](rng, is_fake[video].astype(float))
    member = np.stack([np.ones(200, dtype=bool), rng.random(200) < 0.3])
    return scores, video, is_fake, source, member


@pytest.mark.parametrize("bins", [128, 1024, 65_536])
@pytest.mark.parametrize("shape", SHAPES)
def test_errors_stay_inside_their_bounds(shape: str, bins: int) -> None:
    config = MetricsConfig(sketch_bins=bins, sketch_cells=64, replicates=0)
    scores, video, is_fake, source, member = rows(shape)
    sketch = Sketch.empty(2, 60, config)
    sketch.add(scores, video, is_fake, source, member, config)
    for index in range(2):
        mine = member[index][video]
        points = curve(scores[mine], is_fake[video[mine]])
        exact = rank_metrics(points.tps, points.fps, points.thresholds)
        evidence = sketch.evidence(index)
        found = estimate(evidence, config)
        for name, value in exact.items():
            error = abs(found[name].value - float(value))
            assert error <= evidence.error_bounds[name] + 1e-12, (name, index)
    if bins == 65_536 and shape == "logistic":
        assert sketch.evidence(0).error_bounds["roc_auc"] < 1e-4


def test_sums_and_counts_are_exact() -> None:
    config = MetricsConfig(replicates=0)
    scores, video, is_fake, source, member = rows("logistic")
    sketch = Sketch.empty(2, 60, config)
    sketch.add(scores, video, is_fake, source, member, config)
    order = np.argsort(-scores)
    exact = estimate(
        evidence_from_sorted(scores[order], is_fake[video[order]], source[video[order]], config),
        config,
    )
    found = estimate(sketch.evidence(0), config)
    for name in ("accuracy", "balanced_accuracy", "log_loss", "brier", "ece"):
        assert found[name].value == pytest.approx(exact[name].value, abs=1e-10), name
    assert sketch.evidence(0).n_sources == np.unique(source[video]).size


def test_parts_merge_in_any_order() -> None:
    config = MetricsConfig()
    scores, video, is_fake, source, member = rows("tied", 6000)
    whole = Sketch.empty(2, 60, config)
    whole.add(scores, video, is_fake, source, member, config)
    for order in ([0, 1, 2], [2, 0, 1]):
        total = Sketch.empty(2, 60, config)
        for part in order:
            piece = Sketch.empty(2, 60, config)
            piece.add(scores[part::3], video[part::3], is_fake, source, member, config)
            total.merge(piece)
        assert (total.fine == whole.fine).all()
        assert (total.coarse == whole.coarse).all()
        assert (total.seen == whole.seen).all()
        assert total.sums == pytest.approx(whole.sums, rel=1e-12)


def test_intervals_of_the_histogram_are_those_of_the_rows() -> None:
    config = MetricsConfig()
    scores, video, is_fake, source, member = rows("logistic")
    sketch = Sketch.empty(2, 60, config)
    sketch.add(scores, video, is_fake, source, member, config)
    order = np.argsort(-scores)
    exact = estimate(
        evidence_from_sorted(scores[order], is_fake[video[order]], source[video[order]], config),
        config,
    )
    found = estimate(sketch.evidence(0), config)
    for name in ("roc_auc", "average_precision", "tpr_at_fpr_0.01", "log_loss"):
        width = exact[name].high - exact[name].low
        assert found[name].low == pytest.approx(exact[name].low, abs=0.2 * width), name
        assert found[name].high == pytest.approx(exact[name].high, abs=0.2 * width), name


def test_bins_keep_the_order_and_cover_every_score() -> None:
    scores = np.sort(
        np.concatenate([[0, 5e-324, 1e-300, 1e-9, 0.5, 1 - 1e-16, 1], np.linspace(0, 1, 999)])
    )
    found = score_bin(scores, 65_536)
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0
    assert found[-1] == 65_535
    floor = bin_floor(65_536)
    assert (np.diff(floor) >= 0).all()
    assert (floor[found] <= scores + 1e-15).all()


def test_scores_that_are_no_probabilities_are_counted_apart() -> None:
    config = MetricsConfig()
    sketch = Sketch.empty(1, 1, config)
    video = np.array([0, 0, 1, 1])
    bad = np.array([np.nan, 1.5, 0.2, np.inf])
    is_fake, source = np.array([True, False]), np.zeros(2, dtype=np.int64)
    sketch.add(bad, video, is_fake, source, np.array([[True, True]]), config)
    assert sketch.n_bad.tolist() == [3]
    assert sketch.fine.sum() == 1
