"""One run over one dataset and split: catalog, crop, score, metrics, under the dataset's lock.

The driver alone publishes. Workers stage whole files; as each marker comes back the driver makes
its files visible. A driver that dies leaves staged shards, which the next run adopts or drops
before it asks what is owed, so repeating the command finishes the job and repeats no row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from fakeout_core.detector import model_fingerprint
from fakeout_core.errors import ConfigError, StorageError
from fakeout_core.ids import crop_fingerprint, new_run_id
from pipelines import telemetry
from pipelines.board import StageCount, start_board
from pipelines.checkpoints import local_checkpoint
from pipelines.cluster import ClusterSize, actor_options, await_room, connect, measure, pool_size
from pipelines.config import RunConfig
from pipelines.crop import CROP_TARGET, CropTask, crop_dataset, cropped
from pipelines.current import View
from pipelines.lake import Lake
from pipelines.lock import DatasetLock
from pipelines.manifest import write_manifest
from pipelines.owed import owed_crops, owed_fused, owed_scores
from pipelines.quarantine import quarantine_share
from pipelines.score import DETECTOR_TARGET, ScoreTask, decode_frames, score_dataset
from pipelines.watch import watched

STAGES = ("catalog", "crop", "score", "metrics")

MAX_BLOCKS = 10_000
"""Blocks of owed rows in the driver's hands; above it a block holds several videos."""


@dataclass(frozen=True)
class Parts:
    """The two pieces of work, as ``module:name``, that Ray workers import.

    Attributes:
        crop: function of (path, crop settings) that returns a clip; runs in the child.
        detector: class with the interface of ``fakeout_core.detector.Detector``.
    """

    crop: str = CROP_TARGET
    detector: str = DETECTOR_TARGET


@dataclass(frozen=True)
class RunRequest:
    """What to run.

    Attributes:
        lake_uri: root of the lake.
        dataset: dataset name, a partition key.
        split: split name, a partition key.
        source_uri: folder or URI of the videos; None takes the catalog as it stands.
        labels_csv: labels for a custom dataset.
        checkpoint: weights; None scores with the untrained golden rule.
        address: Ray cluster; None starts a local one.
        stages: which stages run.
        config: everything else.
        parts: what crops and what scores; only tests and benchmarks give others.
    """

    lake_uri: str
    dataset: str
    split: str
    source_uri: str | None = None
    labels_csv: str | None = None
    checkpoint: str | None = None
    address: str | None = None
    stages: tuple[str, ...] = STAGES
    config: RunConfig = field(default_factory=RunConfig)
    parts: Parts = field(default_factory=Parts)


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        run_id: the run.
        model_key: model fingerprint.
        crop_key: crop fingerprint.
        catalogued: videos in the catalog now; None if the catalog stage did not run.
        cropped: videos cropped in this run.
        scored: videos that went through the score stage in this run.
        adopted: shards of an interrupted run that were finished.
        reasons: outcome → videos of this run, by stage.
        metrics_rows: rows of metrics written; 0 when nothing changed.
        quarantine_share: share of the current videos that are in quarantine.
        exceeded: whether that share is above the allowed one.
        timings_s: seconds by stage.
    """

    run_id: str
    model_key: str
    crop_key: str
    catalogued: int | None = None
    cropped: int = 0
    scored: int = 0
    adopted: int = 0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    metrics_rows: int = 0
    quarantine_share: float = 0.0
    exceeded: bool = False
    timings_s: dict[str, float] = field(default_factory=dict)


class Show(Protocol):
    """Where a run tells what it is doing."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins with this many videos to do."""
        ...

    def advance(self, name: str, done: int, note: str) -> None:
        """So many videos of the stage are done."""
        ...

    def note(self, text: str) -> None:
        """One line worth reading."""
        ...


class Quiet:
    """Shows nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignore."""

    def advance(self, name: str, done: int, note: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


def run(
    request: RunRequest,
    show: Show | None = None,
    locked: Callable[[Lake], object] | None = None,
    finished: Callable[[Lake, RunReport], object] | None = None,
) -> RunReport:
    """Bring the tables of one dataset and split up to date.

    Args:
        request: what to run.
        show: told about progress; None shows nothing.
        locked: called once the lock is held and nothing has been changed yet.
        finished: called when all is done and the lock is still held, so that what belongs to the
            run is done before another one waiting for the lock begins.

    Returns:
        What was done. Doing it again at once does nothing more.

    Raises:
        ConfigError: the request makes no sense, or the source is missing or empty.
        LockedError: another run holds the dataset.
        StorageError: the lake cannot be read or written.
    """
    return _Run(request, show or Quiet()).go(locked, finished)


class _Run:
    """State of one run: its lock, its timings and what it has done so far."""

    def __init__(self, request: RunRequest, show: Show) -> None:
        unknown = [stage for stage in request.stages if stage not in STAGES]
        if unknown:
            raise ConfigError(f"no such stage: {unknown}; stages are {list(STAGES)}")
        self._request, self._show, self._config = request, show, request.config
        self._lake = Lake(request.lake_uri)
        self._model_key = model_key_of(request)
        self._crop_key = crop_fingerprint(request.config.crop)
        self._run_id = new_run_id()
        self._timings: dict[str, float] = {}
        self._reasons: dict[str, Counter[str]] = {}
        self._files: list[str] = []
        self._work_s: dict[str, float] = {}
        self._connected = False
        self._seen: View | None = None

    def go(
        self,
        locked: Callable[[Lake], object] | None,
        finished: Callable[[Lake, RunReport], object] | None,
    ) -> RunReport:
        request, policy = self._request, self._config.policy
        report = RunReport(self._run_id, self._model_key, self._crop_key)
        lock = DatasetLock(self._lake, request.dataset, self._run_id, policy.lock_ttl_s)
        with lock.held(wait_s=policy.lock_wait_s):
            self._lock = lock
            if locked is not None:
                locked(self._lake)
            adopted = self._lake.recover(request.dataset, self._run_id)
            if adopted:
                self._show.note(f"finished {adopted} shards that an interrupted run had staged")
            report = replace(report, adopted=adopted)
            if "catalog" in request.stages and request.source_uri is not None:
                with self._timed("catalog"):
                    report = replace(report, catalogued=self._catalog(request.source_uri))
            if "crop" in request.stages and not self._config.fused:
                with self._timed("crop"):
                    report = replace(report, cropped=self._crop())
            if "score" in request.stages:
                with self._timed("score"):
                    scored = self._fused() if self._config.fused else self._score()
                    report = replace(report, scored=scored)
            if "metrics" in request.stages:
                with self._timed("metrics"):
                    report = replace(report, metrics_rows=self._metrics(report))
            share = quarantine_share(self._tables())
            report = replace(
                report,
                reasons={stage: dict(counts) for stage, counts in self._reasons.items()},
                quarantine_share=share,
                exceeded=share > policy.max_quarantine_share,
                timings_s=dict(self._timings),
            )
            self._record(report)
            if finished is not None:
                finished(self._lake, report)
        return report

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._timings[stage] = round(time.monotonic() - start, 3)

    def _tables(self) -> View:
        """The tables as this run last saw them; read again once it has changed them."""
        if self._seen is None:
            where = (self._request.dataset, self._request.split)
            self._seen = View(self._lake, *where, self._crop_key, self._model_key)
        return self._seen

    def _catalog(self, source_uri: str) -> int:
        from pipelines.catalog import build_catalog

        self._show.note(f"listing {source_uri}")
        summary = build_catalog(
            source_uri,
            self._request.lake_uri,
            dataset=self._request.dataset,
            split=self._request.split,
            labels_csv=self._request.labels_csv,
            run_id=self._run_id,
            lake=self._lake,
        )
        self._show.note(str(summary))
        return summary.n_videos

    def _crop(self) -> int:
        owed = owed_crops(self._tables(), self._config.policy)
        if owed.num_rows == 0:
            self._show.note("crop: nothing owed, no video was decoded")
            return 0
        task = self._crop_task()
        placement = self._config.crop_stage.placement

        def plan(rows: Any, board: Any, size: ClusterSize) -> Any:
            workers = pool_size(placement, size, owed.num_rows)
            return crop_dataset(rows, task, workers, actor_options(placement), board)

        return self._publish_all("crop", owed, plan)

    def _score(self) -> int:
        owed = owed_scores(self._tables())
        if owed.num_rows == 0:
            self._show.note("score: nothing owed, no window was scored")
            return 0
        task = self._score_task()
        placement = self._config.score_stage.placement

        def plan(rows: Any, board: Any, size: ClusterSize) -> Any:
            workers = pool_size(placement, size, owed.num_rows)
            return score_dataset(rows, task, workers, actor_options(placement), board)

        return self._publish_all("score", owed, plan)

    def _fused(self) -> int:
        """Crop and score in one pass, keeping no clips."""
        owed = owed_fused(self._tables(), self._config.policy)
        if owed.num_rows == 0:
            self._show.note("score: nothing owed, no video was decoded and no window scored")
            return 0
        crop_task, score_task = self._crop_task(), self._score_task()
        crop_at = self._config.crop_stage.placement
        score_at = self._config.score_stage.placement

        def plan(rows: Any, board: Any, size: ClusterSize) -> Any:
            # Both pools live at once: on CPUs alone they share the machine.
            shared = size if score_at.gpus > 0 else replace(size, cpus=max(1.0, size.cpus / 2))
            crops = pool_size(crop_at, shared, owed.num_rows)
            towers = pool_size(score_at, shared, owed.num_rows)
            clips = cropped(rows, crop_task, crops, actor_options(crop_at), board)
            options = actor_options(score_at)
            return score_dataset(clips, score_task, towers, options, board, decode_frames)

        return self._publish_all("score", owed, plan)

    def _publish_all(self, stage: str, owed: pa.Table, plan: Callable[..., Any]) -> int:
        """Stream the stage's markers and make each shard visible as it comes."""
        import ray

        self._seen = None  # about to change, and not to be held while the stage runs
        if not self._connected:
            self._show.note("starting Ray" if not self._request.address else "joining the cluster")
            connect(self._request.address)
            self._connected = True
        stages = ("crop", stage) if self._config.fused else (stage,)
        self._await_room(stages)
        board = start_board()
        self._show.stage(stage, owed.num_rows)
        done = 0
        with watched(board, stages, self._show):
            markers = plan(_as_dataset(owed), board, measure(self._request.address))
            for block in markers.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for row in block.to_pylist():
                    self._lock.renew()
                    shard = self._lake.publish(row["marker"])
                    self._files.extend(shard.files)
                    self._reasons.setdefault(stage, Counter()).update(shard.reasons)
                    done += row["rows"]
                    telemetry.published(stage, shard)
                    telemetry.gauge("fakeout_queue_videos", owed.num_rows - done, stage=stage)
            counts: dict[str, StageCount] = ray.get(board.snapshot.remote(), timeout=60)  # type: ignore[assignment]
            for name, count in counts.items():
                self._work_s[name] = self._work_s.get(name, 0.0) + count.seconds
        if done != owed.num_rows:
            raise StorageError(
                f"{stage}: {owed.num_rows} videos went in and {done} rows came out; "
                "run the command again to finish the rest"
            )
        ray.kill(board)
        return done

    def _await_room(self, stages: tuple[str, ...]) -> None:
        """Wait, holding the lock, until a worker of each of the stages fits on the cluster."""
        at = {
            "crop": self._config.crop_stage.placement,
            "score": self._config.score_stage.placement,
        }
        said = False

        def waiting(wanted: str) -> None:
            nonlocal said
            self._lock.renew()
            if not said:
                limit = self._config.policy.room_wait_s
                self._show.note(
                    f"{'+'.join(stages)}: waiting up to {limit:.0f} s for a node with room for a "
                    f"worker ({wanted})"
                )
            said = True

        await_room([at[name] for name in stages], self._config.policy.room_wait_s, waiting)

    def _metrics(self, report: RunReport) -> int:
        from pipelines.metrics import compute_metrics, metrics_are_current

        lake_uri, where = self._request.lake_uri, (self._request.dataset, self._request.split)
        if not report.scored and metrics_are_current(lake_uri, *where, self._model_key):
            self._show.note("metrics: the scores have not changed, kept as they are")
            return 0
        rows = compute_metrics(
            lake_uri, *where, self._model_key, run_id=self._run_id, lake=self._lake
        )
        return rows.num_rows

    def _crop_task(self) -> CropTask:
        request, config = self._request, self._config
        return CropTask(
            lake_uri=request.lake_uri,
            dataset=request.dataset,
            run_id=self._run_id,
            crop=config.crop,
            stage=config.crop_stage,
            target=request.parts.crop,
        )

    def _score_task(self) -> ScoreTask:
        request, config = self._request, self._config
        return ScoreTask(
            lake_uri=request.lake_uri,
            dataset=request.dataset,
            run_id=self._run_id,
            checkpoint=request.checkpoint,
            variant=config.variant,
            modality=config.modality,
            model=config.model,
            model_key=self._model_key,
            stage=config.score_stage,
            gpu_share=config.score_stage.placement.gpus,
            target=request.parts.detector,
        )

    def _record(self, report: RunReport) -> None:
        write_manifest(self._lake, self._request, report, self._files, work_s=self._work_s)
        telemetry.run_finished(report, self._request.dataset)


def _as_dataset(owed: pa.Table) -> Any:
    """One block a row, so that every worker gets work and a retry repeats one video."""
    import ray.data

    rows_per_block = max(1, owed.num_rows // MAX_BLOCKS)
    return ray.data.from_arrow(owed.combine_chunks()).repartition(
        target_num_rows_per_block=rows_per_block
    )


def owed_counts(request: RunRequest) -> tuple[int, int]:
    """How many videos are owed a clip, and how many clips a score, as the tables stand."""
    config, where = request.config, (request.dataset, request.split)
    crop_key = crop_fingerprint(config.crop)
    view = View(Lake(request.lake_uri), *where, crop_key, model_key_of(request))
    return owed_crops(view, config.policy).num_rows, owed_scores(view).num_rows


def model_key_of(request: RunRequest) -> str:
    """The model fingerprint that a request's scores carry."""
    config = request.config
    with local_checkpoint(request.checkpoint) as path:
        return model_fingerprint(path, config.variant, config.modality, config.model)
