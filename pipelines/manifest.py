"""The run manifest ``runs/<run_id>.json``: what ran, on what, with what result, how fast."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from fakeout_core.errors import FakeoutError
from fakeout_core.ids import digest
from pipelines import layout, storage, transactions
from pipelines.current import read_catalog
from pipelines.lake import Lake

FOLDER = "runs"

_PACKAGES = (
    "fakeout",
    "ray",
    "apache-beam",
    "jax",
    "dm-haiku",
    "onnxruntime",
    "numpy",
    "pyarrow",
    "av",
    "decord",
    "opencv-python-headless",
    "ai-edge-litert",
)


@dataclass(frozen=True)
class Throughput:
    """Measured speed of one stage in one run.

    Attributes:
        videos: videos that went through.
        video_s: their length, as far as known, in seconds.
        work_s: seconds of work summed over workers.
        windows: windows made or scored.
    """

    videos: int
    video_s: float
    work_s: float
    windows: int


def write_manifest(
    lake: Lake,
    request: Any,
    report: Any,
    files: Iterable[str],
    work_s: Mapping[str, float] | None = None,
) -> str:
    """Write a run's manifest; the last thing a run does.

    Args:
        lake: the lake.
        request: the run's request (a dataclass with ``dataset``, ``split``, ``config``).
        report: the run's report (a dataclass with ``run_id``).
        files: data files that the run published, relative to the root.
        work_s: stage → seconds of work summed over its workers; the report's wall clock stands in
            for a stage that is not named.

    Returns:
        URI of the manifest.
    """
    run_id = report.run_id
    named = {key: value for key, value in dataclasses.asdict(request).items() if key != "config"}
    config = dataclasses.asdict(request.config)
    published = sorted(files)
    fresh = measured(lake, published, {**report.timings_s, **(work_s or {})})
    record = {
        "run_id": run_id,
        "finished_at": datetime.now(UTC).isoformat(),
        "request": named,
        "config": config,
        "config_digest": digest(config),
        "catalog_digest": catalog_digest(lake, request.dataset, request.split),
        "versions": versions(),
        "report": dataclasses.asdict(report),
        "throughput": {stage: dataclasses.asdict(speed) for stage, speed in fresh.items()},
        "files": published,
    }
    uri = lake.place(FOLDER, f"{layout.encode_value(run_id)}.json")
    data = json.dumps(record, indent=1, sort_keys=True, default=str, ensure_ascii=False).encode()
    storage.write_bytes(uri, data, lake.retry)
    return uri


def read_manifests(lake: Lake, last: int = 20) -> list[dict[str, Any]]:
    """The newest run manifests, newest first; unreadable ones are an error."""
    listed = transactions.list_folder(lake.place(FOLDER), lake.retry)
    names = sorted(one.relative_path for one in listed if one.relative_path.endswith(".json"))
    found: list[dict[str, Any]] = []
    for name in reversed(names[-last:]):
        uri = lake.place(FOLDER, name)
        try:
            found.append(json.loads(storage.read_bytes(uri, lake.retry)))
        except ValueError as error:
            raise FakeoutError(f"{uri} is not a run manifest: {error}") from None
    return found


def measured(
    lake: Lake, files: Iterable[str], work_s: Mapping[str, float]
) -> dict[str, Throughput]:
    """Throughput of a run, from the rows it wrote and the work of its score stage.

    The crop stage's work is the sum of its rows' ``crop_s``.

    Args:
        lake: the lake.
        files: what the run published; read under its lock.
        work_s: stage → seconds of work.

    Returns:
        Stage → speed.
    """
    found: dict[str, Throughput] = {}
    mine = list(files)
    clips = [path for path in mine if path.startswith("clips/")]
    if clips:
        rows = lake.read_files("clips", clips, ["duration_s", "crop_s"])
        found["crop"] = Throughput(rows.num_rows, _sum(rows["duration_s"]), _sum(rows["crop_s"]), 0)
    scores = [path for path in mine if path.startswith("scores/")]
    if scores:
        rows = lake.read_files("scores", scores, ["duration_s", "n_windows"])
        found["score"] = Throughput(
            rows.num_rows,
            _sum(rows["duration_s"]),
            float(work_s.get("score", 0.0)),
            int(_sum(rows["n_windows"])),
        )
    return found


def _sum(column: Any) -> float:
    return float(sum(value for value in column.to_pylist() if value is not None))


def catalog_digest(lake: Lake, dataset: str, split: str) -> str:
    """Digest of the (video, content version) pairs that the run saw."""
    rows = read_catalog(lake, dataset, split, ["video_id", "content_version"])
    pairs = sorted(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    state = hashlib.sha256()
    for video, version in pairs:
        state.update(json.dumps([video, version]).encode())
    return state.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and the packages that shape results."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
