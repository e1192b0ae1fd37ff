"""Catalog of a large listing: ``objects``, ``seconds``, ``peak_mb``.

A generator stands in for the object store's listing (a million real objects cannot be made here):
it yields entries with generation and crc32c at the rate of a fast store, and the objects behind
them do not exist, so probing is off. Everything else is the product: shards, label join from a CSV,
duplicates, comparison with the old snapshot, Parquet, the lake's transaction. Objects per second of
the probe itself are measured on a real video and reported beside it (``probes_per_s``).

The peer is the plain way: one process that holds the listing as a list and a dict of checksums, and
writes one Parquet file (``peer_seconds``, ``peer_peak_mb``).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = "gs://corpus/archive"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class SyntheticListing:
    """Entries of a listing by number; picklable. Every 97th object repeats an earlier one."""

    def __init__(self, objects: int) -> None:
        self._objects = objects

    def __call__(self, uri: str) -> Iterator[Any]:
        """Yield the entries below ``uri``."""
        from pipelines.objects import ObjectInfo

        for number in range(self._objects):
            path = f"day={number // 5000:05d}/camera {number % 50:02d}/{number:09d}.mp4"
            content = number // 2 if number % 97 == 0 else number
            yield ObjectInfo(
                uri=f"{uri}/{path}",
                relative_path=path,
                size_bytes=1_000_000 + content,
                generation=str(1_700_000_000_000_000 + number),
                checksum=f"crc32c:{content * 2654435761 % 2**32:08x}",
                updated=NOW,
            )


def write_labels(path: Path, objects: int) -> None:
    """Label every second object."""
    with path.open("w", encoding="utf-8") as file:
        file.write("path,label,manipulation,source_id\n")
        for item in SyntheticListing(objects)(ROOT):
            number = int(item.generation) % 1_000_000_000
            if number % 2:
                fake = number % 4 == 1
                kind = "wav2lip" if fake else "real"
                file.write(f"{item.relative_path},{int(fake)},{kind},person{number % 999}\n")


def product(folder: str, objects: int) -> dict[str, Any]:
    """Catalog the listing twice: all new, then all unchanged."""
    from pipelines.catalog import build_catalog

    results: dict[str, Any] = {}
    for name in ("first", "again"):
        start = time.monotonic()
        summary = build_catalog(
            ROOT,
            f"{folder}/lake",
            "bench",
            "all",
            labels_csv=f"{folder}/labels.csv",
            lister=SyntheticListing(objects),
            probe=False,
        )
        results[name] = time.monotonic() - start
        assert summary.n_videos == objects, summary
        results[f"{name}_duplicates"] = summary.n_duplicates
        assert summary.replaced == (name == "first"), summary
    return results


def peer(folder: str, objects: int) -> dict[str, Any]:
    """Hold everything, write one file."""
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    start = time.monotonic()
    with open(f"{folder}/labels.csv", encoding="utf-8") as file:
        labels = {row["path"]: row for row in csv.DictReader(file)}
    rows: list[dict[str, Any]] = []
    first: dict[tuple[str, int], str] = {}
    for item in SyntheticListing(objects)(ROOT):
        label = labels.get(item.relative_path, {})
        key = (item.checksum, item.size_bytes)
        rows.append(
            {
                "video_id": item.relative_path,
                "uri": item.uri,
                "size_bytes": item.size_bytes,
                "generation": item.generation,
                "checksum": item.checksum,
                "label": int(label["label"]) if label else None,
                "manipulation": label.get("manipulation"),
                "source_id": label.get("source_id"),
                "duplicate_of": first.get(key),
            }
        )
        first.setdefault(key, item.relative_path)
    pq.write_table(pa.Table.from_pylist(rows), f"{folder}/peer.parquet", compression="zstd")
    duplicates = sum(row["duplicate_of"] is not None for row in rows)
    return {"first": time.monotonic() - start, "first_duplicates": duplicates}


def probes(folder: str, count: int) -> dict[str, Any]:
    """Look at copies of one real video through the catalog, and take the time per object."""
    from pipelines.catalog import build_catalog

    video = Path(__file__).parent.parent / "tests/data/media/obama_speech.mp4"
    corpus = Path(folder) / "videos"
    corpus.mkdir()
    shutil.copy(video, corpus / "0.mp4")
    for number in range(1, count):
        (corpus / f"{number}.mp4").hardlink_to(corpus / "0.mp4")
    times = {}
    for name, is_probed in (("warm-up", False), ("without", False), ("with", True)):
        start = time.monotonic()
        build_catalog(str(corpus), f"{folder}/lake-{name}", "probes", "all", probe=is_probed)
        times[name] = time.monotonic() - start
    return {"first": count / (times["with"] - times["without"])}


TASKS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "product": product,
    "peer": peer,
    "probes": probes,
}


def measured(task: str, folder: str, count: int) -> dict[str, Any]:
    """Run a task in a process of its own and watch its memory, children included."""
    command = [sys.executable, __file__, "--task", task, "--folder", folder]
    process = subprocess.Popen(
        [*command, "--objects", str(count)], stdout=subprocess.PIPE, text=True
    )
    peak = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not done.wait(0.05):
            try:
                family = [root, *root.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in family) / 1e6)
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{task} failed with {process.returncode}")
    return json.loads(output.splitlines()[-1]) | {"peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=1_000_000, help="entries of the listing")
    parser.add_argument("--probes", type=int, default=2_000, help="real objects to look at")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=sorted(TASKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(TASKS[arguments.task](arguments.folder, arguments.objects)))
        return
    with tempfile.TemporaryDirectory(prefix="fakeout-bench-") as folder:
        write_labels(Path(folder) / "labels.csv", arguments.objects)
        ours = measured("product", folder, arguments.objects)
        theirs = measured("peer", folder, arguments.objects)
        looked = measured("probes", folder, arguments.probes)
    print(
        json.dumps(
            {
                "objects": arguments.objects,
                "seconds": round(ours["first"], 1),
                "peak_mb": round(ours["peak_mb"]),
                "again_seconds": round(ours["again"], 1),
                "duplicates": ours["first_duplicates"],
                "peer_seconds": round(theirs["first"], 1),
                "peer_peak_mb": round(theirs["peak_mb"]),
                "peer_duplicates": theirs["first_duplicates"],
                "probes_per_s": round(looked["first"]),
                "listing": "synthetic generator; probing off",
                "cpus": multiprocessing.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
