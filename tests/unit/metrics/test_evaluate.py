"""Slices, policies and nulls: what the tables say when there is nothing to say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fakeout_core.metrics.config import MetricsConfig, Undefined
from fakeout_core.metrics.evaluate import (
    METRIC_NAMES,
    ONE_CLASS_METRICS,
    SliceResult,
    evaluate_sketch,
    evaluate_videos,
    evaluate_windows,
    sketch_members,
)
from fakeout_core.metrics.sketch import Sketch
from fakeout_core.metrics.slices import Population, population
from fakeout_core.metrics.tables import RESULT_TABLES, Stamp, curve_points, result_tables
from fakeout_core.metrics.view import CATALOG_COLUMNS, SCORE_COLUMNS, UNSCORED, current_view
from fakeout_core.schemas import CATALOG, SCORES, TABLES

CONFIG = MetricsConfig(replicates=60)
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def table(spec: Any, names: tuple[str, ...], rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {field.name: field.type for field in spec.full_schema}
    return pa.table({n: pa.array([row.get(n) for row in rows], kinds[n]) for n in names})


def listed(video: str, version: str = "v-1", **more: Any) -> dict[str, Any]:
    return {"video_id": video, "content_version": version, "listed_at": T0, **more}


def scored(video: str, score: float | None, version: str = "v-1", **more: Any) -> dict[str, Any]:
    status = {"status": "failed", "reason": "timeout"} if score is None else {"status": "scored"}
    given = {"video_id": video, "content_version": version, "score": score, "attempts": 1}
    return {**given, **status, "scored_at": T0 - timedelta(hours=1), **more}


def view(catalog: list[dict[str, Any]] | None, scores: list[dict[str, Any]]) -> pa.Table:
    known = None if catalog is None else table(CATALOG, CATALOG_COLUMNS, catalog)
    return current_view(known, table(SCORES, SCORE_COLUMNS, scores))


def people(n: int = 60, **columns: Any) -> Population:
    rng = np.random.default_rng(0)
    catalog, scores = [], []
    for i in range(n):
        fake = i % 3 > 0
        kind = ("real", "DF", "FS")[i % 3]
        catalog.append(listed(f"{i}", label=int(fake), manipulation=kind, source_id=f"s{i // 6}"))
        one = scored(f"{i}", float(np.clip(rng.normal(0.4 + 0.2 * fake, 0.2), 0, 1)))
        scores.append(one | {"audio_status": "used" if i % 2 else "absent", "duration_s": float(i)})
    for name, change in columns.items():
        for i, row in enumerate(catalog if name in ("label", "source_id") else scores):
            row[name] = change(i, row.get(name))
    return population(view(catalog, scores), CONFIG)


def values(result: SliceResult) -> dict[str, Any]:
    return {value.metric: value for value in result.values}


def named(results: Any, name: str = "all", policy: str = "exclude") -> SliceResult:
    return next(r for r in results if (r.slice, r.policy) == (name, policy))


def test_the_current_view_takes_the_newest_attempt_on_what_is_listed() -> None:
    catalog = [listed("a"), listed("b", "v-2"), listed("c"), listed("d", label=1)]
    later = {"scored_at": T0 - timedelta(minutes=1), "attempts": 2}
    scores = [
        scored("a", 0.1),
        scored("a", 0.2, **later),
        scored("b", 0.3),  # of older bytes
        scored("c", 0.4),
        scored("c", 0.5, "v-9", scored_at=T0 + timedelta(minutes=1)),  # replaced after the listing
        scored("gone", 0.9),
    ]
    rows = {row["video_id"]: row for row in view(catalog, scores).to_pylist()}
    assert {name: row["score"] for name, row in rows.items()} == {
        "a": 0.2,
        "b": None,
        "c": 0.5,
        "d": None,
    }
    assert [rows[name]["status"] for name in "abcd"] == ["scored", UNSCORED, "scored", UNSCORED]
    assert rows["d"]["label"] == 1


def test_the_later_of_two_crops_counts_whatever_its_attempts() -> None:
    older = scored("a", 0.1, attempts=3, crop="c-1")
    newer = scored("a", 0.2, attempts=1, crop="c-2", scored_at=T0 - timedelta(minutes=1))
    assert view([listed("a")], [newer, older])["score"].to_pylist() == [0.2]


def test_without_a_catalog_every_scored_video_counts() -> None:
    rows = view(None, [scored("a", 0.1), scored("b", 0.2, label=1)]).to_pylist()
    assert {row["video_id"]: row["label"] for row in rows} == {"a": None, "b": 1}


def test_labels_learned_after_scoring_count() -> None:
    rows = view([listed("a", label=0)], [scored("a", 0.3, label=1)]).to_pylist()
    assert rows[0]["label"] == 0


def test_slices_hold_their_videos() -> None:
    found = people()
    names = {name: found.member[i] for i, name in enumerate(found.slices)}
    assert next(iter(names)) == "all"
    kinds = np.arange(60) % 3
    assert (names["manipulation=DF"] == (kinds != 2)).all(), "DF and the reals"
    assert names["audio=with"].sum() == names["audio=without"].sum() == 30
    assert names["duration=0-5s"].sum() == 5
    assert names["duration=5-15s"].sum() == 10
    assert "duration=60s+" not in names, "slices without members are left out"


def test_a_video_without_source_is_its_own() -> None:
    assert people(source_id=lambda i, old: None).n_sources == 60


def test_policies_differ_only_in_videos_without_a_face() -> None:
    def reason(i: int, old: Any) -> Any:
        return {0: "no_face", 1: "timeout"}.get(i % 10)

    found = people(
        reason=reason,
        status=lambda i, old: "failed" if i % 10 < 2 else "scored",
        score=lambda i, old: None if i % 10 < 2 else old,
    )
    results = list(evaluate_videos(found, CONFIG))
    exclude, halves = named(results), named(results, policy="score_0.5")
    assert exclude.n_real + exclude.n_fake == 48
    assert halves.n_real + halves.n_fake == 54, "no face: scored 0.5; timeout: still left out"
    assert exclude.coverage == halves.coverage == pytest.approx(0.8)
    assert values(exclude)["share_no_face"].value == pytest.approx(0.1)
    assert values(exclude)["share_timeout"].value == pytest.approx(0.1)
    assert values(exclude)["coverage"].value == pytest.approx(0.8)
    assert values(exclude)["roc_auc"].value != values(halves)["roc_auc"].value
    assert "coverage" not in values(halves)


def test_every_metric_has_a_value_and_an_interval_around_it() -> None:
    found = values(named(evaluate_videos(people(), CONFIG)))
    assert set(METRIC_NAMES) | {"roc_auc_delong", "coverage"} == set(found)
    for name in METRIC_NAMES:
        one = found[name]
        assert one.value is not None, name
        assert one.undefined_reason is None, name
        if name != "eer_threshold":
            assert one.ci_low <= one.value <= one.ci_high, name
            assert one.ci_method == "bootstrap-source", name
    assert found["roc_auc_delong"].ci_method == "delong"


NOTHING = {
    Undefined.NO_LABELS: {"label": lambda i, old: None},
    Undefined.NO_SCORES: {"status": lambda i, old: "failed", "score": lambda i, old: None},
    Undefined.NAN_SCORES: {"score": lambda i, old: float("nan") if i == 7 else old},
}


@pytest.mark.parametrize("reason", NOTHING)
def test_nulls_carry_their_reason(reason: Undefined) -> None:
    found = people(**NOTHING[reason])
    for result in evaluate_videos(found, CONFIG):
        if result.slice != "all":
            continue
        for name, one in values(result).items():
            if name in METRIC_NAMES or name == "roc_auc_delong":
                assert (one.value, one.undefined_reason) == (None, reason), name
                assert one.ci_low is None
    scores, video = found.score, np.arange(60)
    kept = found.is_scored
    windows = named(evaluate_windows(scores[kept], video[kept], found, CONFIG))
    sketch = Sketch.empty(len(found.slices), found.n_sources, CONFIG)
    member = sketch_members(found)
    sketch.add(scores[kept], video[kept], found.label == 1, found.source, member, CONFIG)
    counted = named(evaluate_sketch(sketch, found, CONFIG))
    for result in (windows, counted):
        assert {one.undefined_reason for one in result.values} == {reason}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_what_one_class_defines(label: int) -> None:
    found = people()
    alone = replace(found, label=np.where(found.label == label, label, -1).astype(np.int8))
    result = values(named(evaluate_videos(alone, CONFIG)))
    for name in METRIC_NAMES:
        if name in ONE_CLASS_METRICS:
            assert result[name].value is not None, name
        else:
            assert result[name].undefined_reason is Undefined.ONE_CLASS, name
    assert result["roc_auc_delong"].undefined_reason is Undefined.ONE_CLASS


def test_scores_that_are_no_probabilities_have_ranks_only() -> None:
    found = people()
    result = values(named(evaluate_videos(replace(found, score=found.score * 40 - 20), CONFIG)))
    assert result["roc_auc"].value == values(named(evaluate_videos(found, CONFIG)))["roc_auc"].value
    assert result["log_loss"].undefined_reason is Undefined.OUT_OF_RANGE
    assert result["ece"].undefined_reason is Undefined.OUT_OF_RANGE


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_populations_do_not_crash(n: int) -> None:
    catalog = [listed(f"{i}", label=i % 2) for i in range(n)]
    found = population(view(catalog, [scored(f"{i}", 0.5) for i in range(n)]), CONFIG)
    results = list(evaluate_videos(found, CONFIG))
    assert {r.policy for r in results} == {"exclude", "score_0.5"}
    list(evaluate_windows(found.score, np.arange(n), found, CONFIG))


def test_the_same_rows_in_another_order_give_the_same_tables() -> None:
    found = people()
    order = np.random.default_rng(1).permutation(60)
    shuffled = replace(
        found,
        **{
            name: getattr(found, name)[order]
            for name in ("score", "is_scored", "is_no_face", "label", "source", "status")
        },
        member=found.member[:, order],
    )
    first, second = (list(evaluate_videos(one, CONFIG)) for one in (found, shuffled))
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a.values, b.values, strict=True):
            if x.value is not None:
                assert y.value == pytest.approx(x.value, abs=1e-12), x.metric
            if x.ci_low is not None:
                assert y.ci_low == pytest.approx(x.ci_low, abs=1e-12), x.metric


def test_tables_follow_their_schemas_and_curves_end_at_the_corners() -> None:
    stamp = Stamp("d", "s", "m", "r", T0, "untrained", "m-0")
    found = result_tables(evaluate_videos(people(), CONFIG), stamp, CONFIG)
    assert set(found) == set(RESULT_TABLES)
    for name, rows in found.items():
        assert rows.schema.equals(TABLES[name].full_schema), name
        keys = rows.select(list(TABLES[name].key)).to_pylist()
        assert len({tuple(key.values()) for key in keys}) == rows.num_rows > 0, name
    roc = [r for r in found["roc_points"].to_pylist() if r["slice"] == "all"]
    mine = [r for r in roc if r["no_face_policy"] == "exclude"]
    assert (mine[0]["fpr"], mine[0]["tpr"], mine[0]["threshold"]) == (0, 0, None)
    assert (mine[-1]["fpr"], mine[-1]["tpr"]) == (1, 1)
    bins = [r for r in found["score_histogram"].to_pylist() if r["slice"] == "all"]
    assert sum(r["n_real"] + r["n_fake"] for r in bins) == 2 * 60
    assert sum(r["n"] for r in found["reliability"].to_pylist() if r["slice"] == "all") == 2 * 60


def test_long_curves_are_thinned_to_the_limit() -> None:
    rng = np.random.default_rng(0)
    from fakeout_core.metrics.curve import curve

    points = curve(rng.random(5000), rng.random(5000) < 0.5)
    kept = curve_points(points, 100)
    assert kept.size <= 102
    assert (kept[0], kept[-1]) == (0, points.tps.size - 1)


def test_unlabelled_videos_reach_the_histogram() -> None:
    found = people(**NOTHING[Undefined.NO_LABELS])
    stamp = Stamp("d", "s", "m", "r", T0, None, "m-0")
    rows = result_tables(evaluate_videos(found, CONFIG), stamp, CONFIG)["score_histogram"]
    mine = [r for r in rows.to_pylist() if (r["slice"], r["no_face_policy"]) == ("all", "exclude")]
    assert sum(r["n_unlabelled"] for r in mine) == 60


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in (
        {"confidence": 1.0},
        {"replicates": -1},
        {"sketch_bins": 1001},
        {"ece_bins": 0},
        {"max_groups": 1},
        {"duration_edges_s": (5.0, 1.0)},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            MetricsConfig(**wrong)
