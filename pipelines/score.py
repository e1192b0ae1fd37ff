"""The score stage on Ray Data: owed clips in, staged shards of ``windows`` and ``scores`` out.

    owed clips → load rows and decode JPEG (tasks) → towers (fixed actor pool) → stage (tasks)

Decoding runs ahead of the towers on CPUs, so a device does not wait for it. One row per video all
the way: a video's windows never part, which keeps the per-video rules (one decibel maximum, one
aggregation) and exactly-once simple. A failed clip passes through and becomes a failed score.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fakeout_core.clip_rows import row_to_clip
from fakeout_core.errors import MediaError
from fakeout_core.frames import IMAGE_SHAPE
from fakeout_core.frames import decode_frames as decode_images
from fakeout_core.model.config import Modality, ModelConfig, Variant
from fakeout_core.schemas import SCORES, WINDOWS
from pipelines import telemetry
from pipelines.board import tell
from pipelines.checkpoints import local_checkpoint
from pipelines.config import ScoreStageConfig
from pipelines.crop import CLIP_SCHEMA, quarantine_rows
from pipelines.lake import Lake
from pipelines.storage import filesystem

if TYPE_CHECKING:  # only the score workers pay for importing it
    from fakeout_core.detector import ClipScore, Detector

DETECTOR_TARGET = "fakeout_core.detector:Detector"

_FAILED_HERE = pa.field("failed_here", pa.bool_())

READY_SCHEMA = pa.schema(
    [*CLIP_SCHEMA, pa.field("pixels", pa.list_(pa.large_binary())), _FAILED_HERE]
)
"""A clip whose JPEG frames were replaced by raw RGB, one buffer per track."""

SCORED_SCHEMA = pa.schema(
    [
        *SCORES.full_schema,
        pa.field("windows", pa.list_(pa.struct(list(WINDOWS.full_schema)))),
        _FAILED_HERE,
    ]
)
"""A ``scores`` row with its ``windows`` rows, and whether this stage is what failed it."""


@dataclass(frozen=True)
class ScoreTask:
    """What every score worker of a run knows.

    Attributes:
        lake_uri: root of the lake.
        dataset: dataset of the run.
        run_id: the run.
        checkpoint: path or URI of the weights; None scores with the untrained golden rule.
        variant: towers without a checkpoint.
        modality: ``av`` or ``v`` without a checkpoint.
        model: how the towers run.
        model_key: the model fingerprint, value of the ``model`` partition.
        stage: how the stage works.
        gpu_share: share of a device one worker may fill; 0 on CPU.
        target: ``module:class`` of the detector.
    """

    lake_uri: str
    dataset: str
    run_id: str
    checkpoint: str | None
    variant: Variant
    modality: Modality
    model: ModelConfig
    model_key: str
    stage: ScoreStageConfig
    gpu_share: float = 0.0
    target: str = DETECTOR_TARGET


def load_clips(owed: pa.Table) -> pa.Table:
    """Read the clips that owed rows name, frames as stored.

    Args:
        owed: rows with ``clip_file``, ``video_id``, ``content_version``, ``attempts``.

    Returns:
        ``clips`` rows, partition keys included, one per owed row.
    """
    by_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in owed.to_pylist():
        by_file[row["clip_file"]].append(row)
    rows: list[dict[str, Any]] = []
    for clip_file, wanted in by_file.items():
        keys = {(row["video_id"], row["content_version"], row["attempts"]): row for row in wanted}
        for row in _rows_of(clip_file, {key[0] for key in keys}):
            named = keys.get((row["video_id"], row["content_version"], row["attempts"]))
            if named is not None:
                rows.append(row | {key: named[key] for key in ("dataset", "split", "crop")})
    if len(rows) != owed.num_rows:
        raise RuntimeError(
            f"{owed.num_rows} clips are owed a score and {len(rows)} were found in "
            f"{sorted(by_file)}; the clips table changed under the run: run it again"
        )
    return pa.Table.from_pylist(rows, schema=CLIP_SCHEMA)


def _rows_of(clip_file: str, video_ids: set[str]) -> Iterable[dict[str, Any]]:
    """Yield a file's rows of some videos, reading only the row groups that may hold them."""
    fs, path = filesystem(clip_file)
    with fs.open_input_file(path) as source:
        parquet = pq.ParquetFile(source)
        column = parquet.schema_arrow.get_field_index("video_id")
        for group in range(parquet.num_row_groups):
            bounds = parquet.metadata.row_group(group).column(column).statistics
            if bounds is not None and bounds.has_min_max:
                inside = [bounds.min <= one <= bounds.max for one in video_ids]
                if not any(inside):
                    continue
            table = parquet.read_row_group(group)
            yield from table.filter(pc.field("video_id").isin(sorted(video_ids))).to_pylist()


def decode_frames(clips: pa.Table) -> pa.Table:
    """Replace JPEG frames by raw RGB; a frame that will not decode fails its video.

    Args:
        clips: ``clips`` rows.

    Returns:
        The rows with ``pixels``: per track uint8 RGB [n, 224, 224, 3] as bytes; JPEG dropped.
    """
    begin = time.monotonic()
    rows = []
    for row in clips.to_pylist():
        row |= {"pixels": None, "failed_here": False}
        if row["status"] == "ok":
            try:
                row["pixels"] = [
                    decode_images(track["frames"]).tobytes() for track in row["tracks"]
                ]
            except MediaError as error:
                row |= {"status": "failed", "reason": error.reason.value, "message": error.detail}
                row["failed_here"] = True
        for track in row["tracks"] or []:
            track["frames"] = []
            track["sprite"] = b""
        rows.append(row)
    telemetry.count("fakeout_decode_seconds_total", time.monotonic() - begin)
    return pa.Table.from_pylist(rows, schema=READY_SCHEMA)


def load_frames(owed: pa.Table) -> pa.Table:
    """Read the clips that owed rows name and decode their frames: one task, no copy between."""
    return decode_frames(load_clips(owed))


class ScoreWorker:
    """Ray actor: holds the towers, compiled once for one batch shape."""

    def __init__(self, task: ScoreTask, board: Any = None) -> None:
        if task.gpu_share > 0:
            # JAX takes three quarters of a device at once unless told its share beforehand.
            os.environ["XLA_CLIENT_MEM_FRACTION"] = f"{0.9 * min(task.gpu_share, 1.0):.2f}"
        telemetry.log_json(run_id=task.run_id, dataset=task.dataset, stage="score")
        with local_checkpoint(task.checkpoint) as path:
            module, _, name = task.target.partition(":")
            detector = getattr(importlib.import_module(module), name)
            self._detector: Detector = detector.load(
                path, variant=task.variant, modality=task.modality, config=task.model
            )
        if self._detector.fingerprint != task.model_key:
            raise RuntimeError(
                f"the checkpoint changed since the run was planned: {task.model_key} was planned, "
                f"{self._detector.fingerprint} was loaded"
            )
        self._task = task
        self._board = board
        self._idle_since = time.monotonic()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score every video of a batch; as many rows come out as went in."""
        begin = time.monotonic()
        rows = [self._score(row) for row in batch.to_pylist()]
        end = time.monotonic()
        telemetry.device_time(busy_s=end - begin, idle_s=begin - self._idle_since)
        self._idle_since = end
        return pa.Table.from_pylist(rows, schema=SCORED_SCHEMA)

    def _score(self, clip_row: dict[str, Any]) -> dict[str, Any]:
        start = time.monotonic()
        row = score_base(clip_row, self._task.model_key, self._task.run_id)
        row |= {"weights": self._detector.weights, "aggregation": self._detector.aggregation}
        if clip_row["status"] == "ok":
            pixels = [
                np.frombuffer(one, np.uint8).reshape(-1, *IMAGE_SHAPE) for one in clip_row["pixels"]
            ]
            row |= _outcome(row, self._detector.score_tracks(row_to_clip(clip_row), pixels))
        seconds = time.monotonic() - start
        key, outcome = f"{row['split']}/{row['video_id']}", row["reason"] or "ok"
        tell(self._board, "done", "score", key, outcome, row["n_windows"], seconds)
        telemetry.video_done("score", outcome, seconds, row["n_windows"], row["video_id"])
        return row


def _outcome(row: Mapping[str, Any], result: ClipScore) -> dict[str, Any]:
    """The columns of a scored video, its ``windows`` rows among them."""
    shared = ("dataset", "split", "model", "video_id", "content_version", "crop", "label", "run_id")
    common = {key: row[key] for key in shared}
    return {
        "status": "scored",
        "reason": None,
        "message": None,
        "score": result.score,
        "track_scores": list(result.track_scores),
        "n_windows": len(result.windows),
        "engine": result.engine,
        "windows": [common | dataclasses.asdict(window) for window in result.windows],
    }


def score_base(row: Mapping[str, Any], model_key: str, run_id: str) -> dict[str, Any]:
    """The columns of a ``scores`` row that come from its clip, as for a failed video."""
    faces = [track["face_px"] for track in row["tracks"] or []]
    same = ("dataset", "split", "video_id", "uri", "content_version", "crop", "reason", "message")
    same += ("attempts", "audio_status", "duration_s", "label", "manipulation", "source_id")
    same += ("failed_here",)
    return {key: row[key] for key in same} | {
        "model": model_key,
        "status": "failed",
        "score": None,
        "n_windows": 0,
        "face_px": max(faces) if faces else None,
        "run_id": run_id,
        "scored_at": datetime.now(UTC),
        "windows": [],
    }


def stage_scores(task: ScoreTask) -> Callable[[pa.Table], pa.Table]:
    """Build the task that writes one shard of scores and windows and returns its marker."""

    def write(rows: pa.Table) -> pa.Table:
        scores = rows.drop_columns(["windows", "failed_here"]).cast(SCORES.full_schema)
        windows = [one for many in rows["windows"].to_pylist() for one in many or []]
        shard = {"scores": scores}
        if windows:
            shard["windows"] = pa.Table.from_pylist(windows, schema=WINDOWS.full_schema)
        # What failed in the crop stage has its quarantine row from there.
        own = scores.filter(rows["failed_here"])
        failures = quarantine_rows(own, "score", datetime.now(UTC))
        if failures.num_rows:
            shard["quarantine"] = failures
        marker = Lake(task.lake_uri).stage(task.dataset, task.run_id, shard)
        return pa.table({"marker": [marker], "rows": [rows.num_rows]})

    return write


def score_dataset(
    source: Any,
    task: ScoreTask,
    workers: int,
    options: dict[str, Any],
    board: Any,
    prepare: Callable[[pa.Table], pa.Table] = load_frames,
) -> Any:
    """Chain decoding, towers and staging onto a Ray dataset.

    Args:
        source: Ray dataset of rows for ``prepare``.
        task: the run's score task.
        workers: size of the fixed actor pool.
        options: resources of one worker.
        board: the run's board.
        prepare: turns one row into a clip with raw frames: ``load_frames`` for owed rows of the
            lake, ``decode_frames`` for ``clips`` rows fresh from the crop step.

    Returns:
        A lazy Ray dataset of (marker, rows), one row per staged shard.
    """
    import ray.data

    ready = source.map_batches(
        prepare,
        batch_size=1,
        batch_format="pyarrow",
        # Other than the pool's, or the steps fuse and decode in series with the towers.
        num_cpus=0.25,
        compute=ray.data.TaskPoolStrategy(size=task.stage.decoders or workers + 1),
    )
    scored = ready.map_batches(
        ScoreWorker,
        fn_constructor_args=(task, board),
        batch_size=task.stage.rows_per_batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        **options,
    )
    return scored.map_batches(
        stage_scores(task),
        batch_size=task.stage.rows_per_shard,
        batch_format="pyarrow",
        num_cpus=0.5,
    )
