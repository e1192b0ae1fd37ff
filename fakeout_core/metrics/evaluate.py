"""Every metric of every slice of one population, with the reason where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fakeout_core.metrics.bootstrap import Estimate, Evidence, estimate, evidence_from_sorted
from fakeout_core.metrics.config import POLICIES, MetricsConfig, Undefined
from fakeout_core.metrics.curve import RANK_METRICS, Curve, Floats, Ints
from fakeout_core.metrics.delong import auc_interval, delong
from fakeout_core.metrics.sketch import Sketch
from fakeout_core.metrics.slices import Population
from fakeout_core.metrics.sums import SUM_METRICS

METRIC_NAMES = (*RANK_METRICS, *SUM_METRICS)
ONE_CLASS_METRICS = frozenset({"accuracy", "log_loss", "brier", "ece"})
"""Metrics that one class alone defines."""
SCORE_WITHOUT_FACE = 0.5
HISTOGRAM_BINS = 50


@dataclass(frozen=True)
class Value:
    """One metric of one slice.

    Attributes:
        metric: name.
        value: None where undefined.
        undefined_reason: why, else None.
        ci_low: lower end of the interval, if there is one.
        ci_high: upper end.
        ci_method: bootstrap-source, delong or None.
        error_bound: greatest error of the value; 0 if exact.
    """

    metric: str
    value: float | None
    undefined_reason: Undefined | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = None
    error_bound: float | None = 0.0


@dataclass(frozen=True)
class SliceResult:
    """All metrics of one slice.

    Attributes:
        level: video or window.
        slice: its name.
        policy: what became of videos without a face.
        n_real: reals with a score.
        n_fake: fakes with a score.
        n_sources: source identities among them.
        coverage: share of the labelled videos that have a score of their own; None without labels.
        values: the metrics.
        curve: for the point tables; None where a class is empty.
        sums: totals of `fakeout_core.metrics.sums.group_sums` over all rows; None if undefined.
        unlabelled: int64 [HISTOGRAM_BINS], scores of unknown label; None if not counted.
    """

    level: str
    slice: str
    policy: str
    n_real: int
    n_fake: int
    n_sources: int
    coverage: float | None
    values: tuple[Value, ...]
    curve: Curve | None = None
    sums: Floats | None = None
    unlabelled: Ints | None = None


def histogram_bin(scores: Floats) -> Ints:
    """Bin of each score in the histogram tables; scores outside 0..1 join the end bins."""
    return np.clip(scores * HISTOGRAM_BINS, 0, HISTOGRAM_BINS - 1).astype(np.int64)


def evaluate_videos(people: Population, config: MetricsConfig) -> Iterator[SliceResult]:
    """Evaluate the video level under every no-face policy.

    Args:
        people: videos of one dataset, split and model.
        config: settings.

    Yields:
        One result per slice and policy; coverage and status shares are with policy ``exclude``.
    """
    by_score = np.argsort(-people.score, kind="stable")  # NaN last
    halves = np.where(people.is_no_face, SCORE_WITHOUT_FACE, people.score)
    by_halves = np.argsort(-halves, kind="stable")
    for index, name in enumerate(people.slices):
        member = people.member[index]
        labelled = member & (people.label >= 0)
        coverage = _share(people.is_scored & labelled, labelled)
        unknown = people.score[member & ~labelled & np.isfinite(people.score)]
        first: SliceResult | None = None
        for policy in POLICIES:
            filled = policy != "exclude"
            if first is not None and not (labelled & people.is_no_face).any():
                yield replace(first, policy=policy, values=_without_shares(first.values))
                continue
            rows = labelled & (people.is_scored | people.is_no_face & filled)
            order = by_halves if filled else by_score
            order = order[rows[order]]
            result = _evaluate_rows(
                ("video", name, policy),
                (halves if filled else people.score)[order],
                people.label[order] == 1,
                people.source[order],
                coverage,
                bool(labelled.any()),
                config,
            )
            counts = np.bincount(histogram_bin(unknown), minlength=HISTOGRAM_BINS)
            result = replace(result, unlabelled=counts)
            if not filled:
                result = replace(result, values=(*result.values, *_shares(people, member)))
                first = result
            yield result


def evaluate_windows(
    scores: Floats, video: Ints, people: Population, config: MetricsConfig
) -> Iterator[SliceResult]:
    """Evaluate the window level exactly.

    Args:
        scores: float64 [n] of the windows of current videos.
        video: int [n], index of each window's video in ``people``.
        people: the videos.
        config: settings.

    Yields:
        One result per slice, with policy ``exclude``: a video without a face has no windows.
    """
    order = np.argsort(-scores, kind="stable")
    scores, video = scores[order], video[order]
    label = people.label[video]
    for index, name in enumerate(people.slices):
        labelled = people.member[index] & (people.label >= 0)
        rows = np.flatnonzero(people.member[index][video] & (label >= 0))
        yield _evaluate_rows(
            ("window", name, "exclude"),
            scores[rows],
            label[rows] == 1,
            people.source[video[rows]],
            _share(people.is_scored & labelled, labelled),
            bool(labelled.any()),
            config,
        )


def evaluate_sketch(
    sketch: Sketch, people: Population, config: MetricsConfig
) -> Iterator[SliceResult]:
    """Evaluate the window level from a histogram; see `evaluate_windows`."""
    for index, name in enumerate(people.slices):
        labelled = people.member[index] & (people.label >= 0)
        coverage = _share(people.is_scored & labelled, labelled)
        place = ("window", name, "exclude")
        n_real, n_fake = (int(n) for n in sketch.fine[index].sum(axis=1))
        if sketch.n_bad[index] or not n_real + n_fake:
            reason = Undefined.NAN_SCORES if sketch.n_bad[index] else Undefined.NO_SCORES
            reason = reason if labelled.any() else Undefined.NO_LABELS
            yield _undefined(place, reason, n_real, n_fake, 0, coverage)
        else:
            yield _evaluate(place, sketch.evidence(index), coverage, config)


def sketch_members(people: Population) -> npt.NDArray[np.bool_]:
    """Members of each slice that are labelled: what `Sketch.add` wants."""
    return people.member & (people.label >= 0)


def _evaluate_rows(
    place: tuple[str, str, str],
    scores: Floats,
    is_fake: npt.NDArray[np.bool_],
    source: Ints,
    coverage: float | None,
    has_labels: bool,
    config: MetricsConfig,
) -> SliceResult:
    n_fake = int(is_fake.sum())
    n_real = int(is_fake.size - n_fake)
    if not scores.size:
        reason = Undefined.NO_SCORES if has_labels else Undefined.NO_LABELS
        return _undefined(place, reason, 0, 0, 0, coverage)
    if not np.isfinite(scores).all():
        n_sources = int(np.unique(source).size)
        return _undefined(place, Undefined.NAN_SCORES, n_real, n_fake, n_sources, coverage)
    result = _evaluate(
        place, evidence_from_sorted(scores, is_fake, source, config), coverage, config
    )
    if place[0] == "video":
        result = replace(result, values=(*result.values, _delong_row(scores, is_fake, config)))
    return result


def _evaluate(
    place: tuple[str, str, str], evidence: Evidence, coverage: float | None, config: MetricsConfig
) -> SliceResult:
    found = estimate(evidence, config)
    curve = evidence.curve
    n_real, n_fake = int(curve.fps[-1]), int(curve.tps[-1])
    both = n_real > 0 and n_fake > 0
    values: list[Value] = []
    for name in METRIC_NAMES:
        if name not in found:
            values.append(Value(name, None, Undefined.OUT_OF_RANGE, error_bound=None))
        elif not both and name not in ONE_CLASS_METRICS:
            values.append(Value(name, None, Undefined.ONE_CLASS, error_bound=None))
        else:
            values.append(_value(name, found[name], evidence.error_bounds.get(name, 0.0)))
    level, name, policy = place
    return SliceResult(
        level,
        name,
        policy,
        n_real,
        n_fake,
        evidence.n_sources,
        coverage,
        tuple(values),
        curve,
        None if evidence.sums is None else evidence.sums.sum(axis=0),
    )


def _value(name: str, found: Estimate, error_bound: float) -> Value:
    if not np.isfinite(found.value):  # only eer_threshold: no score reaches the point
        return Value(name, None, Undefined.OUT_OF_RANGE, error_bound=None)
    method = None if found.low is None else "bootstrap-source"
    return Value(name, found.value, None, found.low, found.high, method, error_bound)


def _delong_row(scores: Floats, is_fake: npt.NDArray[np.bool_], config: MetricsConfig) -> Value:
    """The area once more, with DeLong's interval, which takes all videos as independent."""
    name, n_fake = "roc_auc_delong", int(is_fake.sum())
    n_real = is_fake.size - n_fake
    if not n_fake or not n_real:
        return Value(name, None, Undefined.ONE_CLASS, error_bound=None)
    if min(n_fake, n_real) < 2:
        return Value(name, float(delong_area(scores, is_fake)))
    found = delong(scores[None], is_fake)
    interval = auc_interval(float(found.auc[0]), float(found.covariance[0, 0]), config.confidence)
    if interval is None:
        return Value(name, float(found.auc[0]))
    return Value(name, float(found.auc[0]), None, *interval, "delong")


def delong_area(scores: Floats, is_fake: npt.NDArray[np.bool_]) -> float:
    """Share of (fake, real) pairs in order, ties counting half; one class may have one row."""
    fakes, reals = scores[is_fake], scores[~is_fake]
    order: Floats = np.sign(np.subtract.outer(fakes, reals))
    return float((1 + order.mean()) / 2)


def _undefined(
    place: tuple[str, str, str],
    reason: Undefined,
    n_real: int,
    n_fake: int,
    n_sources: int,
    coverage: float | None,
) -> SliceResult:
    level, name, policy = place
    names = (*METRIC_NAMES, "roc_auc_delong") if level == "video" else METRIC_NAMES
    values = tuple(Value(metric, None, reason, error_bound=None) for metric in names)
    return SliceResult(level, name, policy, n_real, n_fake, n_sources, coverage, values)


def _share(some: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> float | None:
    total = int(np.count_nonzero(of))
    return np.count_nonzero(some) / total if total else None


def _shares(people: Population, member: npt.NDArray[np.bool_]) -> Iterator[Value]:
    """Coverage by status over all videos of the slice, labelled or not."""
    if not member.any():
        yield Value("coverage", None, Undefined.NO_VIDEOS, error_bound=None)
        return
    status = people.status[member]
    yield Value("coverage", float(np.mean(people.is_scored[member])))
    for code, name in sorted(enumerate(people.statuses), key=lambda item: item[1]):
        if name != "scored":
            yield Value(f"share_{name}", float(np.count_nonzero(status == code) / status.size))


def _without_shares(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(v for v in values if v.metric != "coverage" and not v.metric.startswith("share_"))
