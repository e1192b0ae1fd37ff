"""Compaction: fewer files, the same rows, readers undisturbed; and the commands on top."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fakeout_core.errors import LockedError
from pipelines.compact import compact, find_groups
from pipelines.lake import Lake
from pipelines.lock import DatasetLock

from .lake_rows import CROP, DATASET, SPLIT, Mine, catalog, clips, failures, scores, windows


def filled(root: str, dataset: str = DATASET) -> Lake:
    lake = Lake(root)
    lake.guard(dataset, Mine())
    here = {"dataset": dataset}
    lake.replace("catalog", [], [catalog("abcdefgh", **here)])
    for video in "abcdef":
        shard = {"scores": scores(video, **here), "windows": windows(video, **here)}
        lake.publish(lake.stage(dataset, "r", shard))
    for video in "gh":
        shard = {"clips": clips(video, reason="crashed", **here)}
        shard["quarantine"] = failures(video, reason="crashed", **here)
        lake.publish(lake.stage(dataset, "r", shard))
    lake.guard(dataset, None)
    return lake


def test_readers_see_every_row_once_all_the_time(tmp_path: Path) -> None:
    lake = filled(str(tmp_path))
    is_over = threading.Event()
    seen: list[Counter[str]] = []

    def watch() -> None:
        mine = Lake(str(tmp_path))
        while not is_over.is_set():
            seen.append(Counter(mine.read("scores", ["video_id"])["video_id"].to_pylist()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lake.guard(DATASET, Mine())
        for _ in range(8):
            lake.replace("scores", lake.files("scores"), [lake.read("scores")])
            halves = [lake.read("scores").slice(0, 3), lake.read("scores").slice(3)]
            lake.replace("scores", lake.files("scores"), halves)
    finally:
        is_over.set()
        watcher.join()
    assert len(seen) > 3
    assert all(one == Counter("abcdef") for one in seen)


def test_groups_respect_partition_target_and_owner(tmp_path: Path) -> None:
    lake = filled(str(tmp_path))
    filled(str(tmp_path), "other")
    assert {(one.table, one.dataset, len(one.files)) for one in find_groups(lake)} == {
        (table, dataset, n)
        for dataset in (DATASET, "other")
        for table, n in (("clips", 2), ("quarantine", 2), ("scores", 6), ("windows", 6))
    }
    sizes = [Path(lake.place(path)).stat().st_size for path in lake.files("scores")]
    small = find_groups(lake, ["scores"], target_bytes=2 * max(sizes) + 10)
    assert {len(one.files) for one in small} == {2}
    assert find_groups(lake, ["scores"], target_bytes=max(sizes)) == []
    before = {table: lake.read(table).num_rows for table in ("scores", "windows", "quarantine")}
    done = compact(lake)
    assert len(done) == 8
    assert {table: lake.read(table).num_rows for table in before} == before
    assert len(lake.files("quarantine")) == 2, "each dataset keeps its own file"
    assert compact(lake) == []


def test_it_leaves_a_dataset_alone_while_a_run_is_at_work(tmp_path: Path) -> None:
    lake = filled(str(tmp_path))
    with DatasetLock(Lake(str(tmp_path)), DATASET, "run", 60).held(), pytest.raises(LockedError):
        compact(lake)
    assert len(lake.files("scores")) == 6


@pytest.fixture
def app() -> typer.Typer:
    from jobs.commands import compact, plan, quarantine

    made = typer.Typer()
    for module in (compact, plan, quarantine):
        module.register(made)
    return made


def test_the_commands(tmp_path: Path, app: typer.Typer) -> None:
    filled(str(tmp_path))
    runner = CliRunner()

    def call(*arguments: str) -> str:
        result = runner.invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    listed = call("quarantine", "list", str(tmp_path), "--json").splitlines()
    assert [json.loads(line)["video_id"] for line in listed] == ["g", "h"]
    assert "crashed 2" in call("quarantine", "list", str(tmp_path))
    assert "nothing was recorded" in call(
        "quarantine", "retry", str(tmp_path), "--all", "--dry-run"
    )
    assert not (tmp_path / "_requests").exists()
    assert "1 failures are owed again" in call("quarantine", "retry", str(tmp_path), "--video", "g")
    assert "would become" in call("compact", str(tmp_path), "--dry-run")
    assert "16 files became 4" in call("compact", str(tmp_path))
    (planned,) = json.loads(call("plan", "--lake", str(tmp_path), "--json"))
    assert (planned["dataset"], planned["split"], planned["videos"]) == (DATASET, SPLIT, 8)
    # Another crop fingerprint than the rows': all eight are owed under the default settings.
    assert planned["to_crop"] == {"new": 8}
    assert CROP not in json.dumps(planned)
    assert "to crop: new" in call("plan", "--lake", str(tmp_path))
