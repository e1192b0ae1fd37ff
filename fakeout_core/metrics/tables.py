"""Results into rows of the lake's tables."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]

from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.curve import Curve, corners
from fakeout_core.metrics.evaluate import HISTOGRAM_BINS, SliceResult, histogram_bin
from fakeout_core.metrics.sums import N_PLAIN
from fakeout_core.schemas import TABLES

RESULT_TABLES = ("metrics", "roc_points", "pr_points", "reliability", "score_histogram")


@dataclass(frozen=True)
class Stamp:
    """What every row of one computation carries.

    Attributes:
        dataset: partition key.
        split: partition key.
        model: partition key.
        run_id: of the run that computes.
        computed_at: when.
        weights: of the model, if its score rows name them.
        input_digest: of scores, labels and settings.
    """

    dataset: str
    split: str
    model: str
    run_id: str
    computed_at: datetime
    weights: str | None
    input_digest: str


def result_tables(
    results: Iterable[SliceResult], stamp: Stamp, config: MetricsConfig
) -> dict[str, pa.Table]:
    """Turn results into rows of all `RESULT_TABLES`.

    Args:
        results: of one dataset, split and model.
        stamp: shared columns.
        config: the settings they were computed with.

    Returns:
        Table name to rows with that table's full schema.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in RESULT_TABLES}
    for result in results:
        place = {
            "dataset": stamp.dataset,
            "split": stamp.split,
            "model": stamp.model,
            "level": result.level,
            "slice": result.slice,
            "no_face_policy": result.policy,
            "run_id": stamp.run_id,
        }
        rows["metrics"].extend({**place, **row} for row in _metric_rows(result, stamp))
        rows["score_histogram"].extend({**place, **row} for row in _histogram(result))
        if result.curve is not None:
            points = curve_points(result.curve, config.curve_points)
            rows["roc_points"].extend({**place, **row} for row in _roc_rows(result.curve, points))
            rows["pr_points"].extend({**place, **row} for row in _pr_rows(result.curve, points))
        if result.sums is not None:
            rows["reliability"].extend({**place, **row} for row in _reliability(result.sums))
    return {
        name: pa.Table.from_pylist(found, schema=TABLES[name].full_schema)
        for name, found in rows.items()
    }


def _metric_rows(result: SliceResult, stamp: Stamp) -> Iterable[dict[str, Any]]:
    for value in result.values:
        why = value.undefined_reason
        yield {
            "metric": value.metric,
            "value": value.value,
            "undefined_reason": None if why is None else why.value,
            "ci_low": value.ci_low,
            "ci_high": value.ci_high,
            "ci_method": value.ci_method,
            "n_real": result.n_real,
            "n_fake": result.n_fake,
            "n_sources": result.n_sources,
            "coverage": result.coverage,
            "error_bound": value.error_bound,
            "weights": stamp.weights,
            "computed_at": stamp.computed_at,
            "input_digest": stamp.input_digest,
        }


def curve_points(curve: Curve, limit: int) -> npt.NDArray[np.int64]:
    """Choose the points of a curve to keep: its corners, thinned evenly along its length.

    Args:
        curve: any curve.
        limit: most points kept.

    Returns:
        Rising indices, first and last point among them.
    """
    kept = np.flatnonzero(corners(curve.tps, curve.fps))
    if kept.size <= limit:
        return kept
    n_fake, n_real = max(curve.tps[-1], 1.0), max(curve.fps[-1], 1.0)
    length = curve.tps[kept] / n_fake + curve.fps[kept] / n_real
    wanted = np.searchsorted(length, np.linspace(0, length[-1], limit))
    return kept[np.unique(np.append(np.minimum(wanted, kept.size - 1), [0, kept.size - 1]))]


def _roc_rows(curve: Curve, points: npt.NDArray[np.int64]) -> Iterable[dict[str, Any]]:
    n_fake, n_real = curve.tps[-1], curve.fps[-1]
    if not n_fake or not n_real:
        return
    for number, at in enumerate(points.tolist()):
        threshold = float(curve.thresholds[at])
        yield {
            "point": number,
            "threshold": threshold if np.isfinite(threshold) else None,
            "fpr": float(curve.fps[at] / n_real),
            "tpr": float(curve.tps[at] / n_fake),
        }


def _pr_rows(curve: Curve, points: npt.NDArray[np.int64]) -> Iterable[dict[str, Any]]:
    n_fake = curve.tps[-1]
    if not n_fake:
        return
    for number, at in enumerate(points[points > 0].tolist()):
        yield {
            "point": number,
            "threshold": float(curve.thresholds[at]),
            "recall": float(curve.tps[at] / n_fake),
            "precision": float(curve.tps[at] / (curve.tps[at] + curve.fps[at])),
        }


def _histogram(result: SliceResult) -> Iterable[dict[str, Any]]:
    curve, other = result.curve, result.unlabelled
    if curve is None and (other is None or not other.any()):
        return
    n_real = n_fake = np.zeros(HISTOGRAM_BINS)
    if curve is not None:
        at = histogram_bin(curve.thresholds[1:])
        n_fake = np.bincount(at, np.diff(curve.tps), HISTOGRAM_BINS)
        n_real = np.bincount(at, np.diff(curve.fps), HISTOGRAM_BINS)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    for number in range(HISTOGRAM_BINS):
        yield {
            "bin": number,
            "low": float(edges[number]),
            "high": float(edges[number + 1]),
            "n_real": int(n_real[number]),
            "n_fake": int(n_fake[number]),
            "n_unlabelled": None if other is None else int(other[number]),
        }


def _reliability(sums: npt.NDArray[np.float64]) -> Iterable[dict[str, Any]]:
    count, score, fake = np.split(sums[N_PLAIN:], 3)
    edges = np.linspace(0, 1, count.size + 1)
    for number, n in enumerate(count.tolist()):
        yield {
            "bin": number,
            "low": float(edges[number]),
            "high": float(edges[number + 1]),
            "n": int(n),
            "mean_score": float(score[number] / n) if n else None,
            "share_fake": float(fake[number] / n) if n else None,
        }
