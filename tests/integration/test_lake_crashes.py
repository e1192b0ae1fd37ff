"""The driver dies at every file-system operation in turn; the tables end up the same each time."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import storage
from pipelines.lake import Lake

from .lake_rows import (
    DATASET,
    Killed,
    Mine,
    Switch,
    catalog,
    clips,
    failures,
    mortal_store,
    scores,
    windows,
)

VIDEOS = "abcdefg"
BROKEN = frozenset("bf")


def shard(videos: str, run_id: str) -> dict[str, pa.Table]:
    """What a fused stage writes: clips, windows, scores and the failures among them."""
    good = [one for one in videos if one not in BROKEN]
    bad = [one for one in videos if one in BROKEN]
    return {
        "quarantine": failures(bad, run_id=run_id),
        "clips": pa.concat_tables(
            [clips(good, run_id=run_id), clips(bad, reason="timeout", run_id=run_id)]
        ),
        "windows": windows(good, run_id=run_id),
        "scores": pa.concat_tables(
            [scores(good, run_id=run_id), scores(bad, reason="timeout", run_id=run_id)]
        ),
    }


def dead_runs(root: str) -> None:
    """What earlier runs left: whole shards, twins of each other, a shard without its marker."""
    lake = Lake(root)
    lake.stage(DATASET, "r0", shard("ab", "r0"))
    lake.stage(DATASET, "r0", shard("c", "r0"))
    lake.stage(DATASET, "r1", shard("bc", "r1"))  # overlaps both: adopted or dropped whole
    Path(lake.stage(DATASET, "r1", shard("d", "r1"))).unlink()


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake as dead runs left it, to be copied."""
    root = tmp_path_factory.mktemp("remains") / "lake"
    dead_runs(str(root))
    return root


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, machines do not: nothing needs to reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def drive(root: str, run_id: str) -> None:
    """One run: recover, do what is owed, replace the catalog, compact."""
    lake = Lake(root)
    lake.guard(DATASET, Mine())
    lake.recover(DATASET, run_id)
    lake.replace("catalog", lake.files("catalog"), [catalog(VIDEOS)])
    done = set(lake.read("clips", ["video_id"])["video_id"].to_pylist())
    owed = [one for one in VIDEOS if one not in done]
    for chunk in pairs(owed):
        lake.publish(lake.stage(DATASET, run_id, shard("".join(chunk), run_id)))
    for table in ("clips", "scores"):
        files = lake.files(table, dataset=DATASET)
        if len(files) > 1:
            lake.replace(table, files, [lake.read(table)])


def pairs(items: list[str]) -> list[list[str]]:
    return [items[start : start + 2] for start in range(0, len(items), 2)]


def rows_of(lake: Lake) -> dict[str, Counter[tuple[str, ...]]]:
    """Every table as a bag of rows, without what names the run."""
    found: dict[str, Counter[tuple[str, ...]]] = {}
    for table in ("catalog", "clips", "windows", "scores", "quarantine"):
        rows = lake.read(table)
        if "run_id" in rows.column_names:
            rows = rows.drop_columns(["run_id"])
        found[table] = Counter(tuple(map(str, row.values())) for row in rows.to_pylist())
    return found


def seen_by_others(root: str, table: str) -> Counter[tuple[str, str]]:
    """Keys as an engine sees them that knows nothing of commit records."""
    found: Counter[tuple[str, str]] = Counter()
    for path in Path(root, table).rglob("*.parquet"):
        rows = pq.ParquetFile(path).read(["video_id", "content_version"]).to_pylist()
        found.update((row["video_id"], row["content_version"]) for row in rows)
    return found


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[tuple[str, ...]]]:
    """The tables of a run in which nothing goes wrong."""
    root = str(tmp_path_factory.mktemp("calm") / "lake")
    drive(root, "r9")
    found = rows_of(Lake(root))
    assert {table: bag.total() for table, bag in found.items()} == {
        "catalog": 7,
        "clips": 7,
        "windows": 10,
        "scores": 7,
        "quarantine": 2,
    }
    return found


def check_readers(root: str, where: str) -> None:
    """At any moment at all nobody sees a video twice, and no score without its windows."""
    lake = Lake(root)
    for table in ("catalog", "clips", "scores"):
        ours = Counter(lake.read(table, ["video_id"])["video_id"].to_pylist())
        assert not [key for key, n in ours.items() if n > 1], f"{table} doubled {where}"
        theirs = seen_by_others(root, table)
        assert not [key for key, n in theirs.items() if n > 1], f"{table} doubled outside {where}"
    scored = set(lake.read("scores", ["video_id"])["video_id"].to_pylist()) - BROKEN
    assert scored <= set(lake.read("windows", ["video_id"])["video_id"].to_pylist()), where


def check_clean(root: str) -> None:
    assert not list(Path(root, "_staging").rglob("*.parquet"))
    assert not list(Path(root, "_staging").rglob("*.json"))
    assert not list(Path(root, "_tx").glob("*.json"))


@pytest.mark.parametrize("copies", [False, True], ids=["rename", "copy-then-delete"])
def test_crash_at_every_operation(
    tmp_path: Path,
    wanted: dict[str, Counter[tuple[str, ...]]],
    remains: Path,
    monkeypatch: pytest.MonkeyPatch,
    copies: bool,
) -> None:
    # The operations are much the same both ways: odd ones die here, even ones there.
    for number in range(1 + copies, 1000, 2):
        root = str(tmp_path / f"lake{number}")
        shutil.copytree(remains, root)
        switch = Switch(number)
        monkeypatch.setattr(storage, "LocalStore", mortal_store(switch, copies=copies))
        try:
            drive(root, "r2")
            died = False
        except Killed:
            died = True
        where = f"after a crash at operation {number}"
        monkeypatch.setattr(storage, "LocalStore", mortal_store(Switch(), copies=copies))
        check_readers(root, where)
        drive(root, "r3")
        assert rows_of(Lake(root)) == wanted, where
        check_clean(root)
        if not died:
            break
        shutil.rmtree(root)
    assert number > 60, "the walk must have met every operation of recover, publish and replace"


@pytest.mark.parametrize("seed", range(10))
def test_crash_again_and_again(
    tmp_path: Path,
    wanted: dict[str, Counter[tuple[str, ...]]],
    remains: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    chance = random.Random(seed)
    root = str(tmp_path / "lake")
    shutil.copytree(remains, root)
    copies = seed % 2 == 0
    for life in range(6):
        switch = Switch(chance.randrange(1, 40))
        monkeypatch.setattr(storage, "LocalStore", mortal_store(switch, copies=copies))
        try:
            drive(root, f"life{life}")
        except Killed:
            monkeypatch.setattr(storage, "LocalStore", mortal_store(Switch(), copies=copies))
            check_readers(root, f"in life {life} of seed {seed}")
        # A worker of a dead life wakes up and stages its shard, late.
        late = chance.sample(VIDEOS, 2)
        monkeypatch.setattr(storage, "LocalStore", mortal_store(Switch(), copies=copies))
        Lake(root).stage(DATASET, f"life{life}", shard("".join(late), f"life{life}"))
    drive(root, "last")
    assert rows_of(Lake(root)) == wanted
    check_clean(root)
