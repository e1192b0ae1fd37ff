"""What the pipeline costs beside the work: overhead, memory over length, and scaling.

The work itself is replaced by sleep of a known length with clips of real size, so two workers do
not compete for the machine's two cores and what is left is the pipeline's own. Prints one JSON
object:

- ``overhead``: (time of the crop and score stages from the first video taken to the last shard
  published × workers − the work) / the work. Starting Ray and the pools is ``startup_s``, apart.
- ``peak_mb_20``, ``peak_mb_400``: highest sum of private and shared memory (PSS) of the driver and
  every Ray process, object store included, in runs of 20 and of 400 videos.
- ``speedup_2_workers``: the peer in the same run, one worker against two.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])

from benchmarks.standins import CROP_S, SCORE_S
from pipelines.config import RunConfig
from pipelines.run import Parts, RunRequest, run
from pipelines.settings import load_settings

PARTS = Parts("benchmarks.standins:crop", "benchmarks.standins:SleepingDetector")


class Clock:
    """Times each stage from its first finished video to its last."""

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}

    def stage(self, name: str, total: int) -> None:
        """Note the start."""
        self.stages[name] = [time.monotonic()]

    def advance(self, name: str, done: int, note: str) -> None:
        """Note a step."""
        self.stages[name].append(time.monotonic())

    def note(self, text: str) -> None:
        """Ignore."""


class Memory:
    """Samples the memory of this process and everything it started."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(1.0):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, total / 1e6)


def measure(n_videos: int, workers: int) -> dict[str, float]:
    """One run of its own; its times and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        for index in range(n_videos):
            (videos / f"{index:04d}.mp4").write_bytes(b"video %d" % index)
        sets = [f"crop_stage.placement.workers={workers}", "crop_stage.rows_per_shard=16"]
        sets += [f"score_stage.placement.workers={workers}", "score_stage.rows_per_shard=64"]
        config = load_settings(RunConfig, None, sets)
        request = RunRequest(
            str(Path(folder) / "lake"),
            "bench",
            "all",
            source_uri=str(videos),
            stages=("catalog", "crop", "score"),
            config=config,
            parts=PARTS,
        )
        clock = Clock()
        with Memory() as memory:
            start = time.monotonic()
            report = run(request, clock)
            wall_s = time.monotonic() - start
        if (report.cropped, report.scored) != (n_videos, n_videos):
            raise SystemExit(f"{report.cropped} cropped, {report.scored} scored of {n_videos}")
    # The work of the first video lies before the first step that is seen.
    busy_s = sum(steps[-1] - steps[1] for steps in clock.stages.values())
    return {"wall_s": wall_s, "busy_s": busy_s, "peak_mb": memory.peak_mb}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=400, help="length of the long run")
    arguments = parser.parse_args()
    import ray

    results: dict[str, dict[str, float]] = {}
    for name, n_videos, workers in (
        ("warm", 4, 2),
        ("short", 20, 2),
        ("long", arguments.videos, 2),
        ("two", 60, 2),
        ("one", 60, 1),
    ):
        results[name] = measure(n_videos, workers)
        print(name, {key: round(value, 2) for key, value in results[name].items()}, flush=True)
        if ray.is_initialized():
            ray.shutdown()  # each run by itself, as from the command line
    work_s = arguments.videos * (CROP_S + SCORE_S)
    spent_s = results["long"]["busy_s"] * 2
    print(
        json.dumps(
            {
                "benchmark": "pipeline",
                "videos": arguments.videos,
                "overhead": round(spent_s / work_s - 1, 4),
                "startup_s": round(results["long"]["wall_s"] - results["long"]["busy_s"], 1),
                "peak_mb_20": round(results["short"]["peak_mb"]),
                f"peak_mb_{arguments.videos}": round(results["long"]["peak_mb"]),
                "speedup_2_workers": round(results["one"]["busy_s"] / results["two"]["busy_s"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
