"""Metrics of rank and of sums against scikit-learn, on random, tied and extreme scores."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from fakeout_core.metrics.curve import TPR_AT_FPR, curve, rank_metrics
from fakeout_core.metrics.sums import group_sums, sum_metrics

CASES = {
    "random": lambda rng, n: rng.random(n),
    "tied": lambda rng, n: np.round(rng.random(n), 1),
    "halves": lambda rng, n: rng.integers(0, 3, n) / 2,
    "constant": lambda rng, n: np.full(n, 0.5),
    "saturated": lambda rng, n: np.where(rng.random(n) < 0.5, rng.integers(0, 2, n), rng.random(n)),
    "float32": lambda rng, n: rng.random(n, dtype=np.float32).astype(np.float64),
}


def draw(case: str) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    drawn = []
    while len(drawn) < 40:
        n = int(rng.integers(4, 400))
        scores, is_fake = CASES[case](rng, n), rng.random(n) < rng.uniform(0.1, 0.9)
        if is_fake.any() and not is_fake.all():
            drawn.append((scores, is_fake))
    return drawn


@pytest.mark.parametrize("case", CASES)
def test_metrics_of_rank_equal_scikit_learn(case: str) -> None:
    for scores, is_fake in draw(case):
        points = curve(scores, is_fake)
        ours = rank_metrics(points.tps, points.fps, points.thresholds, bends_only=True)
        fpr, tpr, thresholds = reference.roc_curve(is_fake, scores)
        at = np.nanargmin(np.abs((1 - tpr) - fpr))  # DeepfakeBench
        theirs = {
            "roc_auc": reference.roc_auc_score(is_fake, scores),
            "partial_auc_fpr_0.1": reference.roc_auc_score(is_fake, scores, max_fpr=0.1),
            "average_precision": reference.average_precision_score(is_fake, scores),
            "eer": fpr[at],
            "eer_threshold": thresholds[at],
            "accuracy_at_eer": reference.accuracy_score(is_fake, scores >= thresholds[at]),
            "balanced_accuracy_at_eer": reference.balanced_accuracy_score(
                is_fake, scores >= thresholds[at]
            ),
        }
        full_fpr, full_tpr, _ = reference.roc_curve(is_fake, scores, drop_intermediate=False)
        for limit in TPR_AT_FPR:
            theirs[f"tpr_at_fpr_{limit:g}"] = full_tpr[full_fpr <= limit].max()
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("case", CASES)
def test_metrics_of_sums_equal_scikit_learn(case: str) -> None:
    for scores, is_fake in draw(case):
        group = np.arange(scores.size) % 7
        sums = group_sums(scores, is_fake, group, 7, 15).sum(axis=0)
        ours = sum_metrics(sums)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = {
                "accuracy": reference.accuracy_score(is_fake, scores > 0.5),
                "balanced_accuracy": reference.balanced_accuracy_score(is_fake, scores > 0.5),
                "log_loss": reference.log_loss(is_fake, scores, labels=[False, True]),
                "brier": reference.brier_score_loss(is_fake, scores),
            }
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, abs=1e-12, rel=1e-12), name


def test_calibration_error_equals_the_weighted_reliability_curve() -> None:
    from sklearn.calibration import calibration_curve

    for scores, is_fake in draw("random") + draw("tied"):
        found, mean = calibration_curve(is_fake, scores, n_bins=15, strategy="uniform")
        edges = np.linspace(0, 1, 16)
        counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=15)
        expected = np.sum(np.abs(found - mean) * counts[counts > 0]) / scores.size
        sums = group_sums(scores, is_fake, np.zeros(scores.size, dtype=np.int64), 1, 15)
        assert sum_metrics(sums[0])["ece"] == pytest.approx(expected, abs=1e-12)


def test_interpolated_eer_knows_what_the_reference_definition_does_not() -> None:
    is_fake = np.arange(20) % 2 == 0
    points = curve(np.full(20, 0.3), is_fake)
    found = rank_metrics(points.tps, points.fps, bends_only=True)
    assert found["eer"] == 0  # DeepfakeBench's rule calls a constant score perfect
    assert found["eer_interpolated"] == pytest.approx(0.5)


def test_many_curves_at_once_equal_one_at_a_time() -> None:
    rng = np.random.default_rng(3)
    tps = np.cumsum(np.pad(rng.integers(0, 3, (5, 30)), ((0, 0), (1, 0))), axis=1).astype(float)
    fps = np.cumsum(np.pad(rng.integers(0, 3, (5, 30)), ((0, 0), (1, 0))), axis=1).astype(float)
    together = rank_metrics(tps, fps)
    for row in range(5):
        for name, value in rank_metrics(tps[row], fps[row]).items():
            assert together[name][row] == pytest.approx(float(value), abs=1e-15), name


def test_an_empty_class_is_undefined_without_a_warning() -> None:
    points = curve(np.array([0.2, 0.4]), np.array([True, True]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rank_metrics(points.tps, points.fps, points.thresholds)
    assert all(np.isnan(value) for value in found.values())
