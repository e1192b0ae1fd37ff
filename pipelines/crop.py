"""The crop stage on Ray Data: owed videos in, staged shards of the ``clips`` table out.

    owed rows → crop (actors, one video at a time, each with a decoder child) → stage (tasks)

Each video yields exactly one row, failures included. A worker never decodes: its child process
does, so a hostile file can only kill the child. Nothing becomes visible here; the driver
publishes the shards (see ``pipelines.lake``).
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from fakeout_core.clip import Clip
from fakeout_core.clip_rows import clip_to_row
from fakeout_core.config import CropConfig
from fakeout_core.errors import TRANSIENT, MediaError, Reason, StorageError
from fakeout_core.ids import content_version, crop_fingerprint
from fakeout_core.media.isolate import Child, ChildLimits
from fakeout_core.schemas import CLIPS, QUARANTINE
from pipelines import telemetry
from pipelines.board import ask, tell
from pipelines.config import CropStageConfig
from pipelines.lake import Lake
from pipelines.storage import ObjectInfo, fetch, local_path, stat_object

CLIP_SCHEMA = CLIPS.full_schema
CROP_TARGET = "fakeout_core.crop:crop_video"


@dataclass(frozen=True)
class CropTask:
    """What every crop worker of a run knows.

    Attributes:
        lake_uri: root of the lake.
        dataset: dataset of the run (one lock, one staging area).
        run_id: the run.
        crop: what a clip looks like.
        stage: how the stage works.
        target: ``module:function`` run in the child on (path, crop settings).
    """

    lake_uri: str
    dataset: str
    run_id: str
    crop: CropConfig
    stage: CropStageConfig
    target: str = CROP_TARGET


class CropWorker:
    """Ray actor: crops one video at a time in a child process it owns."""

    def __init__(self, task: CropTask, board: Any = None) -> None:
        telemetry.log_json(run_id=task.run_id, dataset=task.dataset, stage="crop")
        self._task = task
        self._board = board
        self._child = Child(
            task.target,
            ChildLimits(
                wall_s=task.stage.wall_s,
                memory_bytes=task.stage.child_memory_mb * 1_000_000,
                calls_before_recycle=task.stage.calls_per_child,
            ),
        )
        self._crop_key = crop_fingerprint(task.crop)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Crop every video of a batch of owed rows; as many rows come out as went in."""
        rows = [self._row(owed) for owed in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=CLIP_SCHEMA)

    def _row(self, owed: Mapping[str, Any]) -> dict[str, Any]:
        start = time.monotonic()
        key = f"{owed['split']}/{owed['video_id']}"
        deaths = ask(self._board, "begin", "crop", key)
        row: dict[str, Any] = {
            "dataset": owed["dataset"],
            "split": owed["split"],
            "crop": self._crop_key,
            "video_id": owed["video_id"],
            "uri": owed["uri"],
            "content_version": owed["content_version"],
            "attempts": int(owed.get("attempts") or 0) + 1,
            "label": owed.get("label"),
            "manipulation": owed.get("manipulation"),
            "source_id": owed.get("source_id"),
            "run_id": self._task.run_id,
        }
        n_windows = 0
        try:
            if deaths is not None and deaths >= self._task.stage.worker_deaths:
                raise MediaError(Reason.CRASHED, f"its worker died {deaths} times in this run")
            clip, version = self._with_retries(owed)
            n_windows = sum(len(track.windows) for track in clip.tracks)
            row |= {"status": "ok", "content_version": version, **clip_to_row(clip)}
        except MediaError as error:
            row |= {"status": "failed", "reason": error.reason.value, "message": error.detail}
        row |= {"crop_s": time.monotonic() - start, "cropped_at": datetime.now(UTC)}
        outcome = row.get("reason") or "ok"
        tell(self._board, "done", "crop", key, outcome, n_windows, row["crop_s"])
        message = row.get("message") or ""
        telemetry.video_done("crop", outcome, row["crop_s"], n_windows, row["video_id"], message)
        return row

    def _with_retries(self, owed: Mapping[str, Any]) -> tuple[Clip, str]:
        """Crop, trying transient failures again with growing, jittered pauses."""
        wait_s = self._task.stage.retry_wait_s
        for attempt in range(1, self._task.stage.attempts + 1):
            try:
                return self._read_and_crop(owed["uri"])
            except MediaError as error:
                is_last = attempt == self._task.stage.attempts
                if is_last or not error.is_transient or error.reason in _OWN_LIMITS:
                    raise
            time.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _read_and_crop(self, uri: str) -> tuple[Clip, str]:
        """Crop what the URI holds now; return the clip and the version really read."""
        limit = self._task.crop.limits.max_bytes
        path = local_path(uri)
        if path is not None:
            before = _stat(uri)
            if before.size_bytes > limit:
                raise MediaError(Reason.TOO_LARGE, f"{before.size_bytes} bytes, limit {limit}")
            clip = self._crop(path)
            if _version(_stat(uri)) != _version(before):
                raise MediaError(Reason.CHANGED, "the file changed while it was read")
            return clip, _version(before)
        with tempfile.TemporaryDirectory(prefix="fakeout-") as folder:
            copy = str(Path(folder) / "video")
            info = fetch(uri, copy, limit)
            return self._crop(copy), _version(info)

    def _crop(self, path: str) -> Clip:
        return self._child.call(path, self._task.crop)


_OWN_LIMITS = frozenset({Reason.TIMEOUT, Reason.OUT_OF_MEMORY})
"""Transient, yet dear to repeat at once on the same machine: left to the next run."""


def _stat(uri: str) -> ObjectInfo:
    try:
        return stat_object(uri)
    except FileNotFoundError:
        raise MediaError(Reason.NOT_FOUND, "listed, and gone when it was to be read") from None
    except StorageError as error:
        raise MediaError(Reason.STORAGE, str(error)) from None


def _version(info: ObjectInfo) -> str:
    return content_version(info.generation or "", info.checksum or "", info.size_bytes)


def quarantine_rows(rows: pa.Table, stage: str, at: datetime) -> pa.Table:
    """The quarantine rows of failed ``clips`` or ``scores`` rows.

    Args:
        rows: rows with status, reason, message and the identity columns.
        stage: ``crop`` or ``score``.
        at: time of the record.

    Returns:
        Quarantine rows with the ``stage`` column, one for each failed row.
    """
    columns = ["dataset", "split", "video_id", "uri", "content_version"]
    columns += ["status", "reason", "message", "attempts", "run_id"]
    failed = [row for row in rows.select(columns).to_pylist() if row.pop("status") == "failed"]
    for row in failed:
        row |= {"stage": stage, "transient": Reason(row["reason"]) in TRANSIENT, "at": at}
    return pa.Table.from_pylist(failed, schema=QUARANTINE.full_schema)


def stage_clips(task: CropTask) -> Callable[[pa.Table], pa.Table]:
    """Build the task that writes one shard of clips and returns its marker."""

    def write(rows: pa.Table) -> pa.Table:
        shard = {"clips": rows.cast(CLIP_SCHEMA)}
        failures = quarantine_rows(rows, "crop", datetime.now(UTC))
        if failures.num_rows:
            shard["quarantine"] = failures
        marker = Lake(task.lake_uri).stage(task.dataset, task.run_id, shard)
        return pa.table({"marker": [marker], "rows": [rows.num_rows]})

    return write


def crop_dataset(owed: Any, task: CropTask, workers: int, options: dict[str, Any], board: Any):
    """Chain the crop and staging steps onto a Ray dataset of owed rows.

    Args:
        owed: Ray dataset of catalog rows with ``attempts``.
        task: the run's crop task.
        workers: size of the fixed actor pool.
        options: resources of one worker.
        board: the run's board.

    Returns:
        A lazy Ray dataset of (marker, rows), one row per staged shard.
    """
    return cropped(owed, task, workers, options, board).map_batches(
        stage_clips(task),
        batch_size=task.stage.rows_per_shard,
        batch_format="pyarrow",
        num_cpus=0.5,
    )


def cropped(owed: Any, task: CropTask, workers: int, options: dict[str, Any], board: Any):
    """The crop step alone: a lazy Ray dataset of ``clips`` rows, one per owed video."""
    import ray.data

    return owed.map_batches(
        CropWorker,
        fn_constructor_args=(task, board),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        **options,
    )
