"""A nightly rescan of a large corpus: how long planning takes, and that only changes are worked on.

A lake is made as the first night left it: a catalog of 200,000 videos with their clips (16 a file,
not compacted) and scores (256 a file). Then the catalog of the second night replaces it: 200 new
videos, 100 changed, 50 deleted. Measured are `fakeout plan` in a fresh process, and a real run on
local Ray in which crop and towers are replaced by stubs that count their calls; nothing else is.

The peer is the anti-join alone, in DuckDB over the same files: what a user would do by hand.

Prints one JSON object as its last line:
    videos       catalogued on the second night
    plan_s       wall clock of the planning process, imports included
    plan_cpu_s   CPU time of that process, which other work on the machine does not stretch
    peak_mb      its peak resident memory
    processed    videos that the crop stub was called for; exactly new + changed
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fakeout_core.ids import crop_fingerprint
from fakeout_core.schemas import CATALOG, CLIPS, SCORES, TableSpec
from pipelines import layout
from pipelines.config import RunConfig
from pipelines.lake import Lake

DATASET, SPLIT = "corpus", "all"
NIGHT_1 = datetime(2026, 1, 1, 2, tzinfo=UTC)
NIGHT_2 = NIGHT_1 + timedelta(days=1)


def video_id(number: int) -> str:
    return f"part{number % 100:02d}/video_{number:07d}.mp4"


def rows(spec: TableSpec, columns: dict[str, Any], n: int) -> pa.Table:
    """A table of ``n`` rows; single values repeat, the rest is null."""
    arrays = []
    for field in spec.full_schema:
        value = columns.get(field.name)
        if isinstance(value, list):
            arrays.append(pa.array(value, field.type))
        elif value is None:
            arrays.append(pa.nulls(n, field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), n))
    return pa.table(arrays, schema=spec.full_schema)


def catalog(numbers: list[int], version: dict[int, str], listed_at: datetime) -> pa.Table:
    ids = [video_id(number) for number in numbers]
    return rows(
        CATALOG,
        {
            "dataset": DATASET,
            "split": SPLIT,
            "video_id": ids,
            "uri": [f"gs://corpus/{one}" for one in ids],
            "size_bytes": 3_000_000,
            "content_version": [version.get(number, f"v-{number:016x}") for number in numbers],
            "duration_s": [5.0 + number % 50 for number in numbers],
            "listed_at": listed_at,
        },
        len(numbers),
    )


def chunks(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def write_files(root: str, spec: TableSpec, tables: Iterator[pa.Table]) -> None:
    """Write each table as a published file, many at a time."""

    def write(table: pa.Table) -> None:
        (values, part), *_ = layout.split_by_partition(spec, table)
        folder = Path(root, layout.partition_path(spec, values))
        folder.mkdir(parents=True, exist_ok=True)
        name = layout.digest_of_keys(layout.row_keys(spec, part))
        data = layout.encode_parquet(spec, part, {"run_id": "night1", "dataset": DATASET})
        (folder / f"{name}-night1.parquet").write_bytes(memoryview(data))

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(write, tables):
            pass


def first_night(root: str, numbers: list[int], crop: str, model: str) -> None:
    """Make the tables as they are after the first night."""
    common = {"dataset": DATASET, "split": SPLIT, "crop": crop, "attempts": 1, "run_id": "night1"}
    at = NIGHT_1 + timedelta(hours=1)

    def identity(some: list[int]) -> dict[str, Any]:
        ids = [video_id(number) for number in some]
        versions = [f"v-{number:016x}" for number in some]
        return {"video_id": ids, "uri": ids, "content_version": versions, "duration_s": 10.0}

    clips = (
        rows(CLIPS, common | identity(some) | {"status": "ok", "cropped_at": at}, len(some))
        for some in chunks(numbers, 16)
    )
    extra = {"model": model, "status": "scored", "score": 0.5, "n_windows": 5, "scored_at": at}
    extra |= {"aggregation": "mean,max", "weights": "untrained"}
    scores = (
        rows(SCORES, common | identity(some) | extra, len(some)) for some in chunks(numbers, 256)
    )
    Lake(root).replace("catalog", [], [catalog(numbers, {}, NIGHT_1)])
    write_files(root, SCORES, scores)
    write_files(root, CLIPS, clips)


def by_hand(root: str) -> tuple[int, float]:
    """The peer: the anti-join for clips in DuckDB; owed videos and seconds."""
    import duckdb

    start = time.monotonic()
    owed = duckdb.sql(
        f"""select count(*) from read_parquet('{root}/catalog/**/*.parquet') c
        where not exists (select 1 from read_parquet('{root}/clips/**/*.parquet') d
        where d.video_id = c.video_id and d.content_version = c.content_version)"""
    ).fetchall()[0][0]
    return owed, time.monotonic() - start


def run_with_stubs(root: str, calls: str) -> dict[str, int]:
    """A real run whose crop and towers only count; returns calls and rows by stage."""
    import pipelines.crop
    import pipelines.run
    import pipelines.score

    def note(stage: str, video: str) -> None:
        with Path(calls, stage).open("a") as file:
            file.write(video + "\n")

    class CountingCrop(pipelines.crop.CropWorker):
        def __call__(self, batch: pa.Table) -> pa.Table:
            out = []
            for owed in batch.to_pylist():
                note("crop", owed["video_id"])
                same = ("dataset", "split", "video_id", "uri", "content_version")
                row = {name: owed[name] for name in same}
                row |= {"crop": self._crop_key, "attempts": owed["attempts"] + 1, "status": "ok"}
                row |= {"run_id": self._task.run_id, "cropped_at": datetime.now(UTC)}
                out.append(row | {"tracks": [], "duration_s": owed["duration_s"]})
            return pa.Table.from_pylist(out, schema=pipelines.crop.CLIP_SCHEMA)

    class CountingTowers:
        def __init__(self, task: Any, board: Any = None) -> None:
            del board
            self._task = task

        def __call__(self, batch: pa.Table) -> pa.Table:
            out = []
            for row in batch.to_pylist():
                note("score", row["video_id"])
                base = pipelines.score.score_base(row, self._task.model_key, self._task.run_id)
                base |= {"status": "scored", "score": 0.5, "weights": "untrained"}
                out.append(base | {"aggregation": "mean,max", "n_windows": 5})
            return pa.Table.from_pylist(out, schema=pipelines.score.SCORED_SCHEMA)

    pipelines.crop.CropWorker = CountingCrop  # type: ignore[misc]
    pipelines.score.ScoreWorker = CountingTowers  # type: ignore[misc, assignment]
    request = pipelines.run.RunRequest(root, DATASET, SPLIT, stages=("crop", "score"))
    report = pipelines.run.run(request)
    counted = {
        stage: len(Path(calls, stage).read_text().split("\n")) - 1 for stage in ("crop", "score")
    }
    again = pipelines.run.run(request)
    return counted | {
        "cropped": report.cropped,
        "scored": report.scored,
        "again": again.cropped + again.scored,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, default=200_000, help="catalogued on night two")
    parser.add_argument("--new", type=int, default=200)
    parser.add_argument("--changed", type=int, default=100)
    parser.add_argument("--deleted", type=int, default=50)
    parser.add_argument("--plan-only", action="store_true", help="leave the run out")
    parser.add_argument("--lake", help="make the first night here, or find it here; it is changed")
    parser.add_argument("--make-only", action="store_true", help="make the first night and stop")
    options = parser.parse_args()
    from fakeout_core.detector import model_fingerprint

    config = RunConfig()
    crop = crop_fingerprint(config.crop)
    model = model_fingerprint(None, config.variant, config.modality, config.model)
    with tempfile.TemporaryDirectory() as folder:
        root = options.lake or str(Path(folder, "lake"))
        before = list(range(options.videos - options.new + options.deleted))
        lake = Lake(root)
        if not lake.files("clips"):
            start = time.monotonic()
            first_night(root, before, crop, model)
            print(f"first night made in {time.monotonic() - start:.1f} s", file=sys.stderr)
        if options.make_only:
            return
        files = {table: len(lake.files(table)) for table in ("clips", "scores")}
        after = before[options.deleted :] + [len(before) + n for n in range(options.new)]
        changed = {number: f"w-{number:016x}" for number in after[: options.changed]}
        lake.replace("catalog", lake.files("catalog"), [catalog(after, changed, NIGHT_2)])

        command = [sys.executable, "-m", "jobs.cli", "plan", "--lake", root, "--json"]
        start = time.monotonic()
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parent.parent
        )
        assert child.stdout is not None
        (plan,) = json.loads(child.stdout.read())
        _, status, usage = os.wait4(child.pid, 0)
        plan_s = time.monotonic() - start
        assert status == 0, f"fakeout plan exited with status {status}"
        owed_by_hand, peer_s = by_hand(root)
        result = {
            "videos": plan["videos"],
            "plan_s": round(plan_s, 2),
            "plan_cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_mb": round(usage.ru_maxrss / 1000),
            "planned": plan["to_crop"],
            "planned_scores": plan["to_score"],
            "planned_deleted": plan["deleted"],
            "files": files,
            "peer": "duckdb anti-join, clips only",
            "peer_owed": owed_by_hand,
            "peer_s": round(peer_s, 2),
        }
        print(json.dumps(result), file=sys.stderr)
        if not options.plan_only:
            start = time.monotonic()
            counted = run_with_stubs(root, folder)
            result |= {
                "processed": counted["crop"],
                "scored": counted["score"],
                "second_run": counted["again"],
                "run_s": round(time.monotonic() - start, 1),
                "driver_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
