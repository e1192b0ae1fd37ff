"""The catalog on object storage, and its graph for a distributed runner."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from fakeout_core.errors import ConfigError
from fakeout_core.ids import content_version
from pipelines.beam_pipeline import options_for, pipeline_for
from pipelines.catalog import build_catalog
from pipelines.catalog_graph import build_graph
from pipelines.catalog_steps import CatalogTask
from pipelines.lake import Lake
from pipelines.storage import delete, stat_object, write_bytes

from .catalog_trees import write_pattern

pytestmark = pytest.mark.beam

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=europe-west4",
    "--temp_location=gs://some-bucket/tmp",
    "--max_num_workers=20",
]


def test_object_storage_end_to_end(gcs_bucket: str, data: Path, tmp_path: Path) -> None:
    speech = (data / "media" / "obama_speech.mp4").read_bytes()
    write_pattern(tmp_path / "p.mp4")
    pattern = (tmp_path / "p.mp4").read_bytes()
    source, lake = f"{gcs_bucket}/corpus", f"{gcs_bucket}/corpus/lake"
    for name, content in {
        "real/a.mp4": speech,
        "real/copy of a.mp4": speech,
        "fake/it's 😀.mp4": pattern,
        "broken.mp4": b"hello",
        "empty.mp4": b"",
    }.items():
        write_bytes(f"{source}/{name}", content)
    first = build_catalog(source, lake, "cloud", "all")
    assert (first.n_videos, first.n_duplicates, first.n_quarantined) == (5, 1, 0)
    rows = {row["video_id"]: row for row in Lake(lake).read("catalog").to_pylist()}
    row = rows["real/a.mp4"]
    info = stat_object(f"{source}/real/a.mp4")
    assert row["generation"] == info.generation
    assert row["checksum"] == info.checksum
    assert row["checksum"].startswith("crc32c:")
    assert row["content_version"] == content_version(
        info.generation, info.checksum, info.size_bytes
    )
    assert (row["codec"], row["width"], row["has_audio"]) == ("h264", 320, True)
    assert rows["real/copy of a.mp4"]["duplicate_of"] == "real/a.mp4"
    assert rows["fake/it's 😀.mp4"]["codec"] == "mpeg4"
    assert rows["broken.mp4"]["probe_status"] == "unreadable"
    assert rows["empty.mp4"]["probe_status"] == "empty"

    write_bytes(f"{source}/real/a.mp4", pattern)
    delete(f"{source}/broken.mp4")
    second = build_catalog(source, lake, "cloud", "all")
    assert (second.n_changed, second.n_removed, second.n_probed) == (1, 1, 1)
    after = {row["video_id"]: row for row in Lake(lake).read("catalog").to_pylist()}
    assert set(after) == set(rows) - {"broken.mp4"}
    assert after["real/a.mp4"]["generation"] != row["generation"]
    assert after["real/a.mp4"]["duplicate_of"] == "fake/it's 😀.mp4"
    assert after["real/copy of a.mp4"]["duplicate_of"] is None

    with pytest.raises(ConfigError, match="holds no objects"):
        build_catalog(f"{gcs_bucket}/nothing", lake, "cloud", "all")


def test_options_of_a_distributed_runner_are_understood() -> None:
    options = options_for(DATAFLOW)
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert options.view_as(GoogleCloudOptions).region == "europe-west4"
    with pytest.raises(ConfigError, match="no_such_option"):
        options_for(["--no_such_option=1"])
    with pytest.raises(ConfigError, match="runner=Bogus"):
        pipeline_for(["--runner=Bogus"])


def test_graph_is_complete_and_portable() -> None:
    task = CatalogTask(
        source_uri="gs://some-bucket/corpus",
        lake_uri="gs://some-bucket/lake",
        dataset="d",
        split="all",
        layout="custom",
        spool_uri="gs://some-bucket/lake/_staging/d/r/catalog",
        run_id="r",
        listed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    # Dataflow's own runner object asks Google for its bucket when a pipeline is made, so the graph
    # is built with its options but another runner, and goes through the portable form it submits.
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=options_for(DATAFLOW))
    build_graph(pipeline, task)
    portable = pipeline.to_runner_api(use_fake_coders=False)
    copy = beam.Pipeline.from_runner_api(portable, FnApiRunner(), options_for(DATAFLOW))
    assert portable.ByteSize() < 10_000_000, "Dataflow refuses larger job graphs"
    names = {transform.unique_name for transform in portable.components.transforms.values()}
    steps = ("List", "Resolve", "Probe", "Find duplicates", "By shard", "Finish", "Record")
    for step in steps:
        assert step in names, step
    rebuilt = copy.to_runner_api().components.transforms
    assert {one.unique_name for one in rebuilt.values()} == names


def test_a_runner_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"hello")
    with pytest.raises(ConfigError, match="NoSuchRunner"):
        build_catalog(
            str(tmp_path), str(tmp_path / "lake"), "d", "all", beam_args=["--runner=NoSuchRunner"]
        )
