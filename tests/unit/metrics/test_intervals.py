"""DeLong and the bootstrap against slow, plain forms of themselves."""

from __future__ import annotations

import numpy as np
import pytest

from fakeout_core.metrics.bootstrap import (
    draw_weights,
    estimate,
    evidence_from_sorted,
    percentile_interval,
    regroup,
    replicate_metrics,
)
from fakeout_core.metrics.compare import compare
from fakeout_core.metrics.config import MetricsConfig, Undefined
from fakeout_core.metrics.curve import curve, rank_metrics
from fakeout_core.metrics.delong import auc_interval, delong, delta_test
from fakeout_core.metrics.sums import group_sums, sum_metrics

CONFIG = MetricsConfig(replicates=50)


def sample(n: int = 90, *, tied: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    is_fake = rng.random(n) < 0.6
    scores = np.clip(rng.normal(0.4 + 0.2 * is_fake, 0.2), 0, 1)
    scores = np.round(scores, 1) if tied else scores
    order = np.argsort(-scores, kind="stable")
    return scores[order], is_fake[order], rng.integers(0, 17, n)[order]


@pytest.mark.parametrize("tied", [False, True])
def test_every_replicate_equals_the_metrics_of_copied_rows(tied: bool) -> None:
    scores, is_fake, source = sample(tied=tied)
    evidence = evidence_from_sorted(scores, is_fake, source, CONFIG)
    found = replicate_metrics(evidence, CONFIG)
    group, n_groups, _ = regroup(source, CONFIG.max_groups, CONFIG.seed)
    weights = draw_weights(n_groups, CONFIG.replicates, CONFIG.seed).astype(int)
    for number in range(0, CONFIG.replicates, 7):
        rows = np.repeat(np.arange(scores.size), weights[number][group])
        points = curve(scores[rows], is_fake[rows])
        expected = rank_metrics(points.tps, points.fps)
        one = np.zeros(rows.size, dtype=np.int64)
        expected |= sum_metrics(group_sums(scores[rows], is_fake[rows], one, 1, 15)[0])
        for name, value in expected.items():
            assert found[name][number] == pytest.approx(float(value), abs=1e-12), name


def test_weights_draw_sources_and_the_seed_repeats_them() -> None:
    first = draw_weights(13, 40, 5)
    assert (first.sum(axis=1) == 13).all()
    draw_weights.cache_clear()
    assert (draw_weights(13, 40, 5) == first).all()
    assert not (draw_weights(13, 40, 6) == first).all()


def test_many_sources_are_dealt_evenly_and_alike_for_every_model() -> None:
    source = np.arange(5000) // 2
    group, n_groups, n_sources = regroup(source, 100, 0)
    assert (n_groups, n_sources) == (100, 2500)
    assert set(np.bincount(group)) == {50}
    assert (group[::2] == group[1::2]).all(), "a source was split"
    shuffled = np.random.default_rng(0).permutation(5000)
    assert (regroup(source[shuffled], 100, 0)[0] == group[shuffled]).all()


def test_merged_cells_move_the_interval_by_less_than_its_width() -> None:
    rng = np.random.default_rng(2)
    is_fake = rng.random(3000) < 0.5
    scores = 1 / (1 + np.exp(-rng.normal(is_fake * 1.0)))
    order = np.argsort(-scores)
    args = (scores[order], is_fake[order], rng.integers(0, 300, 3000)[order])
    exact = estimate(evidence_from_sorted(*args, MetricsConfig()), MetricsConfig())
    coarse_config = MetricsConfig(max_cells=128)
    coarse = estimate(evidence_from_sorted(*args, coarse_config), coarse_config)
    for name in ("roc_auc", "average_precision", "eer_interpolated"):
        assert coarse[name].value == exact[name].value
        width = exact[name].high - exact[name].low
        assert coarse[name].low == pytest.approx(exact[name].low, abs=0.06 * width), name
        assert coarse[name].high == pytest.approx(exact[name].high, abs=0.06 * width), name


def test_delong_equals_the_definition() -> None:
    scores, is_fake, _ = sample(tied=True)
    second = np.round(np.random.default_rng(1).random(scores.size), 1)
    both = np.stack([scores, second])
    found = delong(both, is_fake)
    wins = []
    for row in both:
        fakes, reals = row[is_fake], row[~is_fake]
        wins.append((np.sign(fakes[:, None] - reals[None]) + 1) / 2)
    wins = np.stack(wins)
    assert found.auc == pytest.approx(wins.mean(axis=(1, 2)), abs=1e-12)
    m, n = wins.shape[1:]
    expected = np.cov(wins.mean(axis=2)) / m + np.cov(wins.mean(axis=1)) / n
    assert found.covariance == pytest.approx(expected, abs=1e-12)


def test_delong_by_source_with_one_row_a_source_is_delong() -> None:
    scores, is_fake, _ = sample(400)
    plain, by_source = delong(scores[None], is_fake), delong(scores[None], is_fake, np.arange(400))
    assert by_source.covariance == pytest.approx(plain.covariance, rel=0.02)


def test_delong_by_source_sees_repeated_rows() -> None:
    scores, is_fake, _ = sample(120)
    once = delong(scores[None], is_fake, np.arange(120)).covariance[0, 0]
    thrice = np.tile(scores, 3), np.tile(is_fake, 3), np.tile(np.arange(120), 3)
    assert delong(thrice[0][None], thrice[1], thrice[2]).covariance[0, 0] == pytest.approx(once)
    assert delong(thrice[0][None], thrice[1]).covariance[0, 0] < once / 2


def test_no_spread_gives_no_interval() -> None:
    assert auc_interval(1.0, 0.0, 0.95) is None
    assert percentile_interval(np.ones(100), 10, 0.95) is None
    assert percentile_interval(np.append(np.full(30, np.nan), np.arange(70.0)), 10, 0.95) is None
    low, high = percentile_interval(np.arange(1000.0), 30, 0.95) or (0.0, 0.0)
    assert low < 25
    assert high > 975, "few sources must widen the interval"


def test_equal_models_do_not_differ() -> None:
    scores, is_fake, source = sample()
    for found in compare(np.stack([scores, scores]), is_fake, source, CONFIG):
        assert found.delta == 0
        assert (found.ci_low, found.p_value) == (None, None), "no variance, no p-value"


def test_comparison_names_why_there_is_none() -> None:
    scores, is_fake, source = sample()
    both = np.stack([scores, scores])
    reasons = {
        Undefined.NO_SCORES: (both[:, :0], is_fake[:0], source[:0]),
        Undefined.ONE_CLASS: (both, np.ones_like(is_fake), source),
        Undefined.NAN_SCORES: (np.where(scores > 0.9, np.nan, both), is_fake, source),
    }
    for reason, rows in reasons.items():
        found = list(compare(*rows, CONFIG))
        assert len(found) == 3, reason
        assert all(one.undefined_reason is reason and one.delta is None for one in found), reason


def test_delta_test_sees_a_difference() -> None:
    rng = np.random.default_rng(0)
    is_fake = np.arange(400) % 2 == 0
    scores = np.stack([rng.normal(is_fake * 2.0), rng.normal(is_fake * 0.5)])
    delta, low, high, p = delta_test(delong(scores, is_fake), 0.95)
    assert low is not None
    assert low < delta < (high or 0)
    assert p is not None
    assert p < 1e-4
