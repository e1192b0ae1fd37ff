"""What is owed, table by table: each rule of the design as one small case."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fakeout_core.errors import ConfigError, FakeoutError, Reason
from pipelines.config import (
    PlacementConfig,
    PolicyConfig,
    PricesConfig,
    RunConfig,
    ScoreStageConfig,
    ThroughputConfig,
)
from pipelines.current import View
from pipelines.lake import Lake
from pipelines.manifest import catalog_digest, read_manifests, write_manifest
from pipelines.owed import owed_crops, owed_fused, owed_scores
from pipelines.plan import datasets_of, make_plan
from pipelines.quarantine import current_failures, exit_code, quarantine_share, retry

from ...integration.lake_rows import (
    CROP,
    DATASET,
    MODEL,
    NOW,
    SPLIT,
    Mine,
    catalog,
    clips,
    failures,
    scores,
)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    made = Lake(str(tmp_path / "lake"))
    made.guard(DATASET, Mine())
    return made


def put(lake: Lake, **tables: pa.Table) -> None:
    lake.publish(lake.stage(DATASET, "r", tables))


def set_catalog(lake: Lake, table: pa.Table) -> None:
    lake.replace("catalog", lake.files("catalog"), [table])


def view(lake: Lake, model: str = MODEL) -> View:
    return View(lake, DATASET, SPLIT, CROP, model)


def crops(lake: Lake, policy: PolicyConfig | None = None) -> dict[str, tuple[int, str]]:
    rows = owed_crops(view(lake), policy or PolicyConfig()).to_pylist()
    return {row["video_id"]: (row["attempts"], row["why"]) for row in rows}


def to_score(lake: Lake, model: str = MODEL) -> dict[str, int]:
    rows = owed_scores(view(lake, model)).to_pylist()
    return {row["video_id"]: row["attempts"] for row in rows}


LATER = NOW + timedelta(days=1)


def test_an_empty_lake_owes_nothing(lake: Lake) -> None:
    assert crops(lake) == {}
    assert to_score(lake) == {}
    assert owed_fused(view(lake), PolicyConfig()).num_rows == 0


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([], (0, "new")),
        ([{}], None),
        ([{"crop": "c-other"}], (0, "new")),
        ([{"content_version": "v-0", "cropped_at": NOW - timedelta(1)}], (0, "changed")),
        # Replaced between listing and reading: the clip is newer than the catalog.
        ([{"content_version": "v-2", "cropped_at": NOW + timedelta(1)}], None),
        ([{"reason": "timeout"}], (1, "retry")),
        ([{"reason": "timeout", "attempts": 2}], (2, "retry")),
        ([{"reason": "timeout", "attempts": 3}], None),
        ([{"reason": "crashed"}], None),
        ([{"reason": "no_face"}], None),
        ([{"reason": "timeout"}, {"attempts": 2, "cropped_at": LATER}], None),
        # A permanent failure of older content does not count.
        (
            [{"reason": "empty", "content_version": "v-0", "cropped_at": NOW - timedelta(1)}],
            (0, "changed"),
        ),
    ],
)
def test_when_a_crop_is_owed(
    lake: Lake, rows: list[dict[str, Any]], wanted: tuple[int, str] | None
) -> None:
    set_catalog(lake, catalog("a"))
    for row in rows:
        put(lake, clips=clips("a", **row))
    assert crops(lake).get("a") == wanted


def test_the_closed_list_of_reasons_decides_what_is_tried_again(lake: Lake) -> None:
    set_catalog(lake, catalog([reason.value for reason in Reason]))
    put(lake, clips=pa.concat_tables([clips([r.value], reason=r.value) for r in Reason]))
    assert set(crops(lake)) == {
        "timeout",
        "out_of_memory",
        "storage",
        "disk_full",
        "not_found",
        "changed",
        "internal",
    }
    assert crops(lake, PolicyConfig(max_attempts=1)) == {}


def test_scores_follow_clips_models_and_content(lake: Lake) -> None:
    set_catalog(lake, catalog("abc"))
    put(lake, clips=clips("ab"))
    put(lake, clips=clips("c", reason="no_face"))
    put(lake, clips=clips("z"))  # deleted from the catalog since
    assert to_score(lake) == {"a": 1, "b": 1, "c": 1}, "failed clips get their failed score"
    put(lake, scores=scores("ab"))
    put(lake, scores=scores("c", reason="no_face"))
    assert to_score(lake) == {}
    assert set(to_score(lake, "x1-av-another")) == {"a", "b", "c"}
    set_catalog(lake, catalog("abc", content_version="v-2", listed_at=LATER))
    assert to_score(lake, "x1-av-another") == {}, "clips of old content are not worth scoring"
    newest = clips("a", content_version="v-2", cropped_at=LATER + timedelta(hours=1))
    put(lake, clips=newest)
    assert to_score(lake) == {"a": 1}


def test_a_healed_clip_is_scored_again(lake: Lake) -> None:
    set_catalog(lake, catalog("a"))
    put(lake, clips=clips("a", reason="timeout"), quarantine=failures("a"))
    put(lake, scores=scores("a", reason="timeout"))
    assert [one.video_id for one in current_failures(lake)] == ["a"]
    put(lake, clips=clips("a", attempts=2, cropped_at=LATER))
    assert to_score(lake) == {"a": 2}
    put(lake, scores=scores("a", attempts=2, scored_at=LATER))
    assert to_score(lake) == {}
    assert crops(lake) == {}
    assert current_failures(lake) == []


def test_a_clip_that_could_not_be_scored_is_cropped_again(lake: Lake) -> None:
    set_catalog(lake, catalog("a"))
    put(lake, clips=clips("a"))
    put(lake, scores=scores("a", reason="internal"), quarantine=failures("a", "score"))
    assert crops(lake) == {"a": (1, "retry")}
    assert to_score(lake) == {}
    assert [one.stage for one in current_failures(lake)] == ["score"]


def test_fused_compares_the_catalog_with_the_scores(lake: Lake) -> None:
    set_catalog(lake, catalog("abc"))
    put(lake, scores=scores("a"))
    put(lake, scores=scores("b", reason="storage"))
    owed = owed_fused(view(lake), PolicyConfig())
    assert owed["video_id"].to_pylist() == ["b", "c"]
    assert owed["attempts"].to_pylist() == [1, 0]


def test_a_request_is_honoured_exactly_once(lake: Lake) -> None:
    set_catalog(lake, catalog("abc"))
    put(lake, clips=clips("a", reason="crashed"), quarantine=failures("a", reason="crashed"))
    used_up = {"reason": "timeout", "attempts": 3}
    put(lake, clips=clips("b", **used_up), quarantine=failures("b", **used_up))
    assert crops(lake) == {"c": (0, "new")}
    assert len(retry(lake, current_failures(lake, reason="crashed"))) == 1
    assert crops(lake) == {"a": (1, "retry"), "c": (0, "new")}
    retry(lake, current_failures(lake, reason="crashed"))  # asked twice, owed once
    again = {"reason": "crashed", "attempts": 2, "cropped_at": LATER}
    put(lake, clips=clips("a", **again), quarantine=failures("a", reason="crashed", attempts=2))
    assert crops(lake) == {"c": (0, "new")}, "followed once, and void"
    retry(lake, current_failures(lake))
    assert crops(lake) == {"a": (2, "retry"), "b": (3, "retry"), "c": (0, "new")}


def test_current_failures_leave_out_deleted_and_changed_videos(lake: Lake) -> None:
    set_catalog(lake, catalog("abc"))
    put(lake, clips=clips("abc", reason="crashed"), quarantine=failures("abc", reason="crashed"))
    changed = catalog("b", content_version="v-2", listed_at=LATER)
    set_catalog(lake, pa.concat_tables([catalog("a"), changed]))
    assert [one.video_id for one in current_failures(lake)] == ["a"]
    assert current_failures(lake, reason="timeout") == []
    assert current_failures(lake, stage="score") == []
    assert len(current_failures(lake, dataset=DATASET, split=SPLIT)) == 1
    with pytest.raises(ConfigError, match="no such reason"):
        current_failures(lake, reason="slow")


def test_the_share_counts_what_went_wrong_and_not_what_has_no_face(lake: Lake) -> None:
    set_catalog(lake, catalog("abcdefgh"))
    put(lake, clips=clips("abcd"))
    put(lake, clips=clips("e", reason="no_face"))
    put(lake, clips=clips("f", reason="crashed"))
    put(lake, scores=scores("abc"))
    put(lake, scores=scores("d", reason="internal"))
    share = quarantine_share(view(lake))
    assert share == 2 / 8
    assert (exit_code(share, 0.25), exit_code(share, 0.2)) == (0, 3)


def report(run_id: str, **changes: Any) -> Any:
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Report:
        run_id: str
        timings_s: dict[str, float]

    return Report(run_id, {"score": 8.0} | changes)


def request(config: RunConfig) -> Any:
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Request:
        dataset: str
        split: str
        config: RunConfig

    return Request(DATASET, SPLIT, config)


def test_the_plan_counts_hours_and_money(lake: Lake) -> None:
    assumed = ThroughputConfig(crop_cpu_s_per_video_s=3.0, score_cpu_s_per_window=2.0)
    config = RunConfig(prices=PricesConfig(cpu_hour=0.5), throughput=assumed)
    set_catalog(
        lake, pa.concat_tables([catalog("abcd"), catalog("e", duration_s=None), catalog("f")])
    )
    put(lake, clips=clips("ab"))
    put(lake, scores=scores("a"))
    put(lake, clips=clips("z"))
    plan = make_plan(lake, DATASET, SPLIT, CROP, MODEL, config)
    assert (plan.videos, plan.to_crop, plan.to_score, plan.deleted) == (6, {"new": 4}, 5, 1)
    assert plan.unknown_durations == 1
    assert plan.video_hours == pytest.approx(40 / 3600)
    assert plan.cpu_hours == pytest.approx((40 * 3 + 5 * 5 * 2) / 3600)
    assert plan.cost == pytest.approx(plan.cpu_hours * 0.5)
    assert plan.gpu_hours is None
    assert plan.speed.source == "configuration"
    gpus = RunConfig(
        prices=PricesConfig(gpu_hour=2.0),
        throughput=ThroughputConfig(score_gpu_s_per_window=0.1),
        score_stage=ScoreStageConfig(PlacementConfig(gpus=1.0)),
    )
    on_gpus = make_plan(lake, DATASET, SPLIT, CROP, MODEL, gpus)
    assert on_gpus.gpu_hours == pytest.approx(25 * 0.1 / 3600)
    assert on_gpus.cost == pytest.approx(on_gpus.gpu_hours * 2.0)
    assert datasets_of(lake) == [(DATASET, SPLIT)]
    assert datasets_of(lake, "other") == []


def test_the_plan_learns_from_past_runs(lake: Lake) -> None:
    set_catalog(lake, catalog("abc"))
    put(lake, clips=clips("ab"))
    put(lake, scores=scores("ab"))
    files = [*lake.files("clips"), *lake.files("scores")]
    uri = write_manifest(lake, request(RunConfig()), report("r1"), files)
    assert uri.endswith("runs/r1.json")
    (manifest,) = read_manifests(lake)
    assert manifest["files"] == sorted(files)
    assert manifest["catalog_digest"] == catalog_digest(lake, DATASET, SPLIT)
    assert len(manifest["config_digest"]) == 12
    assert manifest["versions"]["pyarrow"] == pa.__version__
    assert manifest["throughput"]["crop"] == {
        "videos": 2,
        "video_s": 20.0,
        "work_s": 4.0,
        "windows": 0,
    }
    plan = make_plan(lake, DATASET, SPLIT, CROP, MODEL, RunConfig())
    assert plan.speed.crop_cpu_s_per_video_s == pytest.approx(0.2)
    assert plan.speed.score_cpu_s_per_window == pytest.approx(2.0)
    assert plan.speed.windows_per_video == 2.0
    assert plan.speed.source == "runs r1"
    write_manifest(lake, request(RunConfig()), report("r2"), files, {"score": 40.0})
    plan = make_plan(lake, DATASET, SPLIT, CROP, MODEL, RunConfig())
    assert plan.speed.score_cpu_s_per_window == pytest.approx((8 + 40) / 8)
    Path(lake.place("runs/r3.json")).write_text("{")
    with pytest.raises(FakeoutError, match=r"r3\.json is not a run manifest"):
        read_manifests(lake)
