"""Metrics of many windows: ``rows``, ``seconds``, ``peak_mb``, ``auc_error``, ``auc_error_bound``.

A lake is made with ten million window scores (25 a video) in 20 slices, then ``compute_metrics``
runs on it in a process of its own, from Parquet to the stored tables: window and video level, every
metric, intervals, curves. Ranks of windows come from the histogram, as above ``exact_rows``; each
slice's area is then compared with the exact one (``auc_error`` is the greatest difference,
``auc_error_bound`` the greatest bound stored, ``within_bound`` whether each slice keeps its own).

The peer is scikit-learn in one process: area, average precision, ROC curve, log loss and Brier of
the same slices from arrays in memory, without intervals (``peer_seconds``, ``peer_peak_mb``).

    python benchmarks/metrics.py
    python benchmarks/metrics.py --rows 1000000 --exact
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATASET, SPLIT, MODEL = "bench", "test", "x1-av-0123456789ab"
PER_VIDEO = 25
KINDS = ("real", *(f"method-{number}" for number in range(9)))
FILE_ROWS = 500_000


def make_lake(folder: str, rows: int) -> None:
    """Write catalog, scores and windows straight as files of the lake's layout."""
    from fakeout_core.schemas import TABLES

    rng = np.random.default_rng(0)
    videos = rows // PER_VIDEO
    kind = np.where(rng.random(videos) < 0.3, 0, rng.integers(1, len(KINDS), videos))
    fake = kind > 0
    ids = np.char.add("part/", np.char.zfill(np.arange(videos).astype(str), 9))
    sources = np.char.add("s", (np.arange(videos) // 4).astype(str))
    logit = rng.normal(fake * 1.8 - 0.4, 1.5)
    sound = rng.random(videos) < 0.6

    def write(name: str, columns: dict[str, Any], number: int = 0) -> None:
        spec = TABLES[name]
        n = len(columns["video_id"])
        arrays = []
        for field in spec.schema:
            value = columns.get(field.name)
            if value is None or isinstance(value, str | int | datetime):
                arrays.append(pa.repeat(pa.scalar(value, field.type), n))
            else:
                arrays.append(pa.array(value, field.type))
        keys = {"dataset": DATASET, "split": SPLIT, "model": MODEL}
        place = "/".join(f"{key}={keys[key]}" for key in spec.partition_keys)
        target = Path(folder, name, place)
        target.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_arrays(arrays, schema=spec.schema)
        pq.write_table(table, target / f"{number:05d}.parquet", compression="zstd")

    known = {
        "label": fake.astype(np.int8),
        "manipulation": pa.DictionaryArray.from_arrays(pa.array(kind, pa.int32()), KINDS).cast(
            pa.string()
        ),
        "source_id": sources,
    }
    common = {"video_id": ids, "uri": "", "content_version": "v-1"}
    write("catalog", common | known | {"size_bytes": 1, "listed_at": NOW, "has_audio": sound})
    write(
        "scores",
        {
            **common,
            **known,
            "crop": "c-0123456789ab",
            "status": "scored",
            "attempts": 1,
            "score": 1 / (1 + np.exp(-logit)),
            "n_windows": PER_VIDEO,
            "aggregation": "mean,max",
            "weights": "untrained",
            "audio_status": np.where(sound, "used", "absent"),
            "duration_s": rng.gamma(2.0, 12.0, videos),
            "face_px": rng.gamma(4.0, 35.0, videos),
            "run_id": "bench",
            "scored_at": NOW,
        },
    )
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        video = np.arange(start, min(start + FILE_ROWS, rows)) // PER_VIDEO
        noisy = (logit[video] + rng.normal(0, 1.0, video.size)).astype(np.float32)
        columns = {
            "video_id": ids[video],
            "content_version": "v-1",
            "crop": "c-0123456789ab",
            "track": 0,
            "window": np.arange(video.size) % PER_VIDEO,
            "logit_real": np.zeros(video.size, np.float32),
            "logit_fake": noisy,
            "p_fake": 1 / (1 + np.exp(-noisy.astype(np.float64))),
            "run_id": "bench",
        }
        write("windows", columns, number)


def measure(folder: str, rows: int, exact: bool) -> dict[str, Any]:
    """Run the product on the lake; called in a fresh process."""
    from fakeout_core.metrics.config import MetricsConfig
    from pipelines.metrics import compute_metrics

    start = time.perf_counter()
    config = MetricsConfig(exact_rows=rows if exact else rows - 1)
    table = compute_metrics(folder, config=config, run_id="bench")
    seconds = time.perf_counter() - start
    found = {
        row["slice"]: (row["value"], row["error_bound"])
        for row in table.to_pylist()
        if (row["level"], row["metric"]) == ("window", "roc_auc")
    }
    return {"seconds": round(seconds, 1), "peak_mb": peak_mb(), "areas": found}


def peer(folder: str) -> dict[str, Any]:
    """Exact areas by scikit-learn, with what it takes; called in a fresh process."""
    from sklearn import metrics

    from fakeout_core.metrics.config import MetricsConfig
    from fakeout_core.metrics.slices import population
    from pipelines.lake import Lake
    from pipelines.metrics_views import Group, read_view, window_rows

    lake = Lake(folder)
    view = read_view(lake, Group(DATASET, SPLIT, MODEL))
    people = population(view, MetricsConfig())
    uris = [lake.place(path) for path in lake.files("windows")]
    parts = list(window_rows(uris, view))
    scores = np.concatenate([part[0] for part in parts])
    video = np.concatenate([part[1] for part in parts])
    del parts
    fake = people.label[video] == 1
    start = time.perf_counter()
    areas = {}
    for index, name in enumerate(people.slices):
        mine = people.member[index][video]
        y, p = fake[mine], scores[mine]
        areas[name] = metrics.roc_auc_score(y, p)
        metrics.average_precision_score(y, p)
        metrics.roc_curve(y, p)
        metrics.log_loss(y, p)
        metrics.brier_score_loss(y, p)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 1), "peak_mb": peak_mb(), "areas": areas}


def peak_mb() -> int:
    """Greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def child(*arguments: str) -> dict[str, Any]:
    """Run a part in a process of its own; its last line is the result."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="window scores")
    parser.add_argument("--exact", action="store_true", help="sort the rows, no histogram")
    parser.add_argument("--no-peer", action="store_true", help="leave scikit-learn out")
    parser.add_argument("--part", choices=("measure", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--lake", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "measure":
        print(json.dumps(measure(given.lake, given.rows, given.exact)))
        return
    if given.part == "peer":
        print(json.dumps(peer(given.lake)))
        return
    folder = tempfile.mkdtemp(prefix="fakeout-bench-")
    try:
        make_lake(folder, given.rows)
        common = ["--lake", folder, "--rows", str(given.rows)]
        ours = child("--part", "measure", *common, *(["--exact"] if given.exact else []))
        result: dict[str, Any] = {
            "rows": given.rows,
            "slices": len(ours["areas"]),
            "mode": "exact" if given.exact else "histogram",
            "seconds": ours["seconds"],
            "peak_mb": ours["peak_mb"],
        }
        if not given.no_peer:
            theirs = child("--part", "peer", *common)
            errors = {n: abs(a - theirs["areas"][n]) for n, (a, _) in ours["areas"].items()}
            result |= {
                "auc_error": max(errors.values()),
                "auc_error_bound": max(bound for _, bound in ours["areas"].values()),
                "within_bound": all(
                    errors[name] <= bound + 1e-12 for name, (_, bound) in ours["areas"].items()
                ),
                "peer": "scikit-learn, no intervals, video level left out",
                "peer_seconds": theirs["seconds"],
                "peer_peak_mb": theirs["peak_mb"],
            }
        print(json.dumps(result))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
