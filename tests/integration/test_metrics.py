"""The metrics pipeline on a lake: the right rows go in, the right tables come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics as reference

from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.tables import RESULT_TABLES
from fakeout_core.schemas import TABLES
from pipelines.lake import Lake
from pipelines.metrics import compute_metrics, metrics_are_current

from .scored_lake import DATASET, MODELS, SPLIT, Truth, rows, write_lake

pytestmark = pytest.mark.beam

FAST = MetricsConfig(replicates=50)


def one(
    table: pa.Table, metric: str, level: str = "video", name: str = "all", model: str = MODELS[0]
) -> dict[str, Any]:
    found = [
        row
        for row in table.to_pylist()
        if (row["metric"], row["level"], row["slice"], row["model"], row["no_face_policy"])
        == (metric, level, name, model, "exclude")
    ]
    assert len(found) == 1, (metric, level, name, len(found))
    return found[0]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Truth, pa.Table]:
    uri = str(tmp_path_factory.mktemp("lake"))
    truth = write_lake(uri)
    return uri, truth, compute_metrics(uri, run_id="m-1", config=FAST)


def test_video_and_window_metrics_are_those_of_the_current_rows(
    computed: tuple[str, Truth, pa.Table],
) -> None:
    _, truth, table = computed
    for model in MODELS:
        has = ~np.isnan(truth.score[model])
        expected = reference.roc_auc_score(truth.label[has], truth.score[model][has])
        row = one(table, "roc_auc", model=model)
        assert row["value"] == pytest.approx(expected, abs=1e-12)
        assert row["n_real"] + row["n_fake"] == has.sum()
        assert row["coverage"] == pytest.approx(has.mean())
        assert row["weights"] == "untrained"
        p, video = truth.windows[model]
        row = one(table, "average_precision", "window", model=model)
        expected = reference.average_precision_score(truth.label[video], p)
        assert row["value"] == pytest.approx(expected, abs=1e-12)
        assert row["n_real"] + row["n_fake"] == p.size
    df = np.arange(truth.label.size) % 3 != 2
    has = df & ~np.isnan(truth.score[MODELS[0]])
    expected = reference.roc_auc_score(truth.label[has], truth.score[MODELS[0]][has])
    assert one(table, "roc_auc", name="manipulation=DF")["value"] == pytest.approx(expected)
    assert one(table, "share_no_face")["value"] == pytest.approx(0.1)
    assert one(table, "share_unscored")["value"] == pytest.approx(2 / 120), "never, and outdated"


def test_the_tables_are_in_the_lake_and_the_spool_is_gone(
    computed: tuple[str, Truth, pa.Table],
) -> None:
    uri, _, table = computed
    lake = Lake(uri)
    stored = lake.read("metrics")
    assert stored.num_rows == table.num_rows > 0
    for name in (*RESULT_TABLES, "model_comparisons"):
        found = lake.read(name)
        keys = found.select(list(TABLES[name].key)).to_pylist()
        assert len({tuple(key.values()) for key in keys}) == found.num_rows > 0, name
    assert not list(Path(uri).rglob("_staging/**/*.parquet"))


def test_models_are_compared_on_the_videos_both_scored(
    computed: tuple[str, Truth, pa.Table],
) -> None:
    uri, truth, _ = computed
    a, b = (truth.score[model] for model in MODELS)
    both = ~np.isnan(a) & ~np.isnan(b)
    delta = reference.roc_auc_score(truth.label[both], a[both]) - reference.roc_auc_score(
        truth.label[both], b[both]
    )
    found = Lake(uri).read("model_comparisons", filter=pc.field("slice") == "all").to_pylist()
    mine = [row for row in found if row["no_face_policy"] == "exclude"]
    assert {row["method"] for row in mine} == {"delong", "delong-source", "bootstrap-source"}
    for row in mine:
        assert (row["model_a"], row["model_b"]) == MODELS
        assert row["delta"] == pytest.approx(delta, abs=1e-12)
        assert 0 <= row["p_value"] <= 1
        assert row["ci_low"] <= row["delta"] <= row["ci_high"]


def test_the_histogram_agrees_within_its_bound(computed: tuple[str, Truth, pa.Table]) -> None:
    uri, _, exact = computed
    config = MetricsConfig(replicates=50, exact_rows=100, sketch_bins=2048, sketch_cells=256)
    found = compute_metrics(uri, model=MODELS[0], config=config, run_id="m-2")
    for name in ("roc_auc", "average_precision", "eer_interpolated", "log_loss", "ece"):
        a, b = one(exact, name, "window"), one(found, name, "window")
        assert abs(a["value"] - b["value"]) <= b["error_bound"] + 1e-12, name
        assert (a["n_real"], a["n_fake"], a["n_sources"]) == (
            b["n_real"],
            b["n_fake"],
            b["n_sources"],
        )
        assert a["error_bound"] == 0
    assert one(found, "roc_auc", "window")["error_bound"] > 0
    assert one(found, "roc_auc")["error_bound"] == 0, "the video level is below the limit"


def test_repeating_replaces_and_one_model_leaves_the_other(tmp_path: Path) -> None:
    uri = str(tmp_path)
    write_lake(uri)
    first = compute_metrics(uri, run_id="m-1", config=FAST)
    again = compute_metrics(uri, run_id="m-2", config=FAST, model=MODELS[1])
    stored = Lake(uri).read("metrics")
    assert stored.num_rows == first.num_rows
    by_run = {row["model"]: row["run_id"] for row in stored.to_pylist()}
    assert by_run == {MODELS[0]: "m-1", MODELS[1]: "m-2"}
    assert set(again["model"].to_pylist()) == {MODELS[1]}
    names = ("metric", "slice", "level", "no_face_policy")
    key = lambda row: tuple(row[name] for name in names)  # noqa: E731
    old = {key(row): row for row in first.to_pylist() if row["model"] == MODELS[1]}
    for row in again.to_pylist():
        for name in ("value", "ci_low", "ci_high"):
            assert row[name] == old[key(row)][name], (key(row), "the seed repeats intervals")
    comparisons = Lake(uri).read("model_comparisons")
    assert set(comparisons["run_id"].to_pylist()) == {"m-2"}


def test_metrics_are_current_until_scores_or_labels_change(tmp_path: Path) -> None:
    uri = str(tmp_path)
    write_lake(uri, models=MODELS[:1])
    where = (DATASET, SPLIT, MODELS[0])
    assert not metrics_are_current(uri, *where)
    compute_metrics(uri, config=FAST)
    assert metrics_are_current(uri, *where, config=FAST)
    assert not metrics_are_current(uri, *where), "other settings"
    lake = Lake(uri)
    catalog = lake.read("catalog").to_pylist()
    catalog[5]["label"] = 1 - catalog[5]["label"]
    changed = pa.Table.from_pylist(catalog, TABLES["catalog"].full_schema)
    lake.replace("catalog", lake.files("catalog"), [changed])
    assert not metrics_are_current(uri, *where, config=FAST)


def test_lakes_with_little_in_them(tmp_path: Path) -> None:
    empty = str(tmp_path / "empty")
    assert compute_metrics(empty).num_rows == 0

    unlabelled = str(tmp_path / "unlabelled")
    write_lake(unlabelled, labelled=False, models=MODELS[:1])
    found = compute_metrics(unlabelled, config=FAST)
    assert one(found, "roc_auc")["undefined_reason"] == "no_labels"
    assert one(found, "roc_auc", "window")["undefined_reason"] == "no_labels"
    assert one(found, "coverage")["value"] == pytest.approx(106 / 120)

    bare = str(tmp_path / "bare")  # scores only: no catalog, no windows
    write_lake(bare, models=MODELS[:1])
    lake = Lake(bare)
    for name in ("catalog", "windows", "quarantine"):
        lake.replace(name, lake.files(name), [])
    found = compute_metrics(bare, config=FAST)
    assert one(found, "coverage")["value"] > 0
    assert one(found, "roc_auc")["undefined_reason"] == "no_labels"
    assert not [row for row in found.to_pylist() if row["level"] == "window"]


def test_windows_of_superseded_runs_do_not_count(tmp_path: Path) -> None:
    uri = str(tmp_path)
    truth = write_lake(uri, models=MODELS[:1])
    lake = Lake(uri)
    old = lake.read("windows").to_pylist()
    for row in old:
        row |= {"run_id": "run-0", "p_fake": 0.0, "window": row["window"] + 10}
    twins = pa.Table.from_pylist(old, TABLES["windows"].full_schema)
    lake.replace("windows", [], [twins])
    found = one(compute_metrics(uri, config=FAST), "roc_auc", "window")
    assert found["n_real"] + found["n_fake"] == truth.windows[MODELS[0]][0].size


def test_on_an_object_store(gcs_bucket: str) -> None:
    uri = f"{gcs_bucket}/lake"
    truth = write_lake(uri, models=MODELS[:1])
    found = one(compute_metrics(uri, config=FAST), "roc_auc")
    has = ~np.isnan(truth.score[MODELS[0]])
    expected = reference.roc_auc_score(truth.label[has], truth.score[MODELS[0]][has])
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert metrics_are_current(uri, DATASET, SPLIT, MODELS[0], FAST)


def test_the_graph_is_the_same_for_another_runner(tmp_path: Path) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.metrics_graph import MetricsTask, Work, build_graph
    from pipelines.metrics_views import Group

    from .scored_lake import NOW

    task = MetricsTask("gs://b/lake", "gs://b/spool", "r", NOW, MetricsConfig())
    work = [Work(Group("d", "s", "m"), True, (("gs://b/lake/windows/x.parquet",),))]
    options = PipelineOptions(["--project=p", "--region=r", "--temp_location=gs://b/t"])
    pipeline = beam.Pipeline(options=options)
    build_graph(pipeline, task, work)
    proto = pipeline.to_runner_api()
    names = {step.unique_name for step in proto.components.transforms.values()}
    assert {"Current view", "Count windows", "Add up", "Video level", "Compare"} <= names
    assert rows("catalog", {"video_id": []}).num_rows == 0
