"""The lake: Hive-partitioned Parquet tables under one root, written exactly once.

Workers call ``stage``. The driver, holding the dataset's lock, calls ``recover`` once and
``publish`` for each marker. Anyone calls ``read``, ``dataset`` and ``files``. ``replace`` swaps
files of a table in one transaction (compaction, catalog snapshots, metrics).
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from fakeout_core.errors import ConfigError, LockedError, StorageError
from pipelines import layout, scan, staging, storage, transactions
from pipelines.objects import ObjectInfo
from pipelines.retry import DEFAULT, RetryPolicy, retrying
from pipelines.staging import Marker, PublishedShard

_log = logging.getLogger(__name__)

_READ_TRIES = 5


class Fence(Protocol):
    """What guards a dataset: proves that this process still holds it, or raises LockedError."""

    def verify(self) -> None:
        """Raise LockedError unless the lock is still ours."""
        ...


class Lake:
    """Tables under one root URI. Cheap to make; picklable."""

    def __init__(self, uri: str, retry: RetryPolicy = DEFAULT) -> None:
        path = storage.local_path(uri)
        self.uri = path if path is not None else uri.rstrip("/")
        self._retry = retry
        self._fences: dict[str, Fence] = {}
        self._published: dict[str, PublishedShard] = {}
        self._published_keys: set[str] = set()

    def __getstate__(self) -> dict[str, object]:
        return {"uri": self.uri, "_retry": self._retry}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__init__(state["uri"], state["_retry"])  # type: ignore[arg-type, misc]

    @property
    def root_path(self) -> str:
        """The root as pyarrow file systems name it: ``bucket/…`` or a local path."""
        return storage.filesystem(self.uri)[1]

    @property
    def retry(self) -> RetryPolicy:
        """How this lake repeats storage calls."""
        return self._retry

    # Reading ------------------------------------------------------------------------------------

    def place(self, *parts: str) -> str:
        """URI of something below the root, e.g. of a path that ``files`` returned."""
        return storage.join(self.uri, *parts)

    def files(self, table: str, **partitions: str) -> list[str]:
        """Current data files of a table, relative to the root, sorted.

        Args:
            table: name.
            **partitions: values of partition keys; only files of these.
        """
        return sorted(self._current(table, partitions))

    def _current(self, table: str, partitions: Mapping[str, str]) -> dict[str, str]:
        """Final path → path to read now; see ``transactions.resolve``."""
        spec = layout.spec_of(table)
        folder = layout.partition_path(spec, partitions)
        before = transactions.read_records(self.uri, self._retry)
        while True:
            listed = [
                f"{folder}/{info.relative_path}"
                for info in transactions.list_folder(self.place(folder), self._retry)
                if info.relative_path.endswith(".parquet")
            ]
            after = transactions.read_records(self.uri, self._retry)
            if after.names == before.names:
                break
            before = after
        found = transactions.resolve(listed, after.active, table)
        return {
            final: path
            for final, path in found.items()
            if partitions.items() <= layout.partition_of(final).items()
        }

    def dataset(self, table: str, **partitions: str) -> pads.Dataset:
        """A pyarrow dataset over the current files, partition keys as string columns.

        The list of files is taken now: hold the dataset's lock while scanning, or use ``read``.
        """
        spec = layout.spec_of(table)
        found = self._current(table, partitions)
        if not found:
            return pads.dataset(spec.full_schema.empty_table())
        filesystem, root = storage.filesystem(self.uri)
        fragments = [
            scan.fragment_of(filesystem, root, final, path) for final, path in sorted(found.items())
        ]
        return pads.FileSystemDataset(
            fragments, spec.full_schema, pads.ParquetFileFormat(), filesystem
        )

    def read_files(
        self, table: str, files: Iterable[str], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """All rows of some files of a table, as ``files`` named them. Hold the lock."""
        filesystem, root = storage.filesystem(self.uri)
        paths = {path: path for path in files}
        read = partial(scan.read_files, filesystem, root, layout.spec_of(table), paths, columns)
        return retrying(read, f"read files of {table}", self._retry)

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
        **partitions: str,
    ) -> pa.Table:
        """Rows of a table, all files at one moment.

        Args:
            table: name.
            columns: names; None reads all. ``__filename`` gives each row's file.
            filter: a pyarrow expression.
            **partitions: values of partition keys; other partitions are not even listed.

        Returns:
            Rows in file order.

        Raises:
            StorageError: the store does not answer, or files keep disappearing.
        """
        spec = layout.spec_of(table)
        filesystem, root = storage.filesystem(self.uri)
        for attempt in range(1, _READ_TRIES + 1):
            found = self._current(table, partitions)
            read = partial(scan.read_files, filesystem, root, spec, found, columns, filter)
            try:
                return retrying(read, f"read {table}", self._retry)
            except FileNotFoundError:
                # Compacted between listing and reading: list again.
                if attempt == _READ_TRIES:
                    raise StorageError(f"files of {table} keep disappearing") from None
            except OSError as error:
                raise StorageError(f"read {table} of {self.uri}: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    # Writing ------------------------------------------------------------------------------------

    def stage(
        self,
        dataset: str,
        run_id: str,
        shard: Mapping[str, pa.Table],
        provenance: Mapping[str, str] | None = None,
    ) -> str:
        """Write one shard aside, for ``publish``; called by workers, safe to repeat.

        Args:
            dataset: the dataset.
            run_id: the run.
            shard: table → rows with partition columns; empty tables are left out.
            provenance: more metadata of the files, as ``fakeout.<name>``.

        Returns:
            URI of the marker, written last.

        Raises:
            ValueError: rows do not fit the schema, a key occurs twice, or there is no row.
            StorageError: the store does not answer.
        """
        facts = {"version": _version(), **(provenance or {})}
        return staging.stage_shard(self.uri, dataset, run_id, shard, facts, self._retry)

    def guard(self, dataset: str, fence: Fence | None) -> None:
        """Tell which lock guards a dataset; ``DatasetLock`` does it when taken and released."""
        if fence is None:
            self._fences.pop(dataset, None)
        else:
            self._fences[dataset] = fence

    def is_guarded(self, dataset: str) -> bool:
        """Whether a lock of this process guards the dataset through this object."""
        return dataset in self._fences

    def _verify(self, dataset: str, *, is_required: bool = True) -> None:
        fence = self._fences.get(dataset)
        if fence is not None:
            fence.verify()
        elif is_required:
            raise LockedError(
                f"this process does not hold the lock of dataset {dataset!r}; take a DatasetLock"
            )

    def publish(self, marker_uri: str) -> PublishedShard:
        """Make a staged shard visible, table by table; called by the driver under the lock.

        Args:
            marker_uri: what ``stage`` returned. Publishing it again does nothing.

        Returns:
            What became visible; ``is_new`` False if the rows already were.

        Raises:
            LockedError: the dataset's lock is not, or no longer, ours.
            StorageError: the store does not answer, or a staged file is gone.
        """
        self._verify(staging.dataset_of_marker(self.uri, marker_uri))
        done = self._published.get(marker_uri)
        if done is not None:
            return done
        try:
            marker = staging.read_marker(marker_uri, self._retry)
        except FileNotFoundError:
            raise StorageError(f"there is no staged shard {marker_uri}") from None
        if marker.all_keys & self._published_keys:
            _log.warning("shard %s repeats rows of this run and is dropped", marker_uri)
            self._drop(marker_uri, marker)
            return PublishedShard(is_new=False)
        shard = self._finish(marker_uri, marker)
        self._published[marker_uri] = shard
        return shard

    def _finish(self, marker_uri: str, marker: Marker) -> PublishedShard:
        """Move the files into place in order, then delete the marker. Repeatable."""
        for file in marker.files:
            staged, final = self.place(file.staged), self.place(file.final)
            try:
                storage.move(staged, final, self._retry)
            except FileNotFoundError:
                if not storage.exists(final, self._retry):
                    raise StorageError(
                        f"{file.final} is neither staged nor published; something outside fakeout "
                        "deleted it. Run again: its videos are owed again."
                    ) from None
        storage.delete(marker_uri, self._retry)
        self._published_keys |= marker.all_keys
        rows: dict[str, int] = defaultdict(int)
        for file in marker.files:
            rows[file.table] += file.rows
        return PublishedShard(
            tuple(file.final for file in marker.files), dict(rows), marker.reasons
        )

    def _drop(self, marker_uri: str, marker: Marker) -> None:
        # The marker first: files without one are garbage, a marker without files is a riddle.
        storage.delete(marker_uri, self._retry)
        for file in marker.files:
            storage.delete(self.place(file.staged), self._retry)

    def recover(self, dataset: str, live_run_id: str) -> int:
        """Finish or drop what dead runs of a dataset left behind; call first, under the lock.

        A committed replacement is rolled forward. A staged shard none of whose rows is published
        is adopted; one whose publishing had begun is finished; any other is dropped (a twin,
        written late by a worker whose run was taken over). Files without a marker are deleted.

        Args:
            dataset: the dataset.
            live_run_id: the run that calls; its own staging is left alone.

        Returns:
            Number of shards adopted.

        Raises:
            LockedError: the dataset's lock is not ours.
            StorageError: the store does not answer.
        """
        self._verify(dataset)
        transactions.roll_forward(self.uri, dataset, self._retry)
        folder = staging.staging_folder(dataset)
        dead: list[ObjectInfo] = [
            info
            for info in transactions.list_folder(self.place(folder), self._retry)
            if unquote(info.relative_path.partition("/")[0]) != live_run_id
        ]
        known = _KnownKeys(self)
        present = {f"{folder}/{info.relative_path}" for info in dead}
        adopted = 0
        for info in dead:
            if not info.relative_path.endswith(".json"):
                continue
            marker_uri = self.place(folder, info.relative_path)
            marker = staging.read_marker(marker_uri, self._retry)
            self._verify(dataset)
            missing = self._missing(marker, present, known)
            if missing:
                self._finish(marker_uri, dataclasses.replace(marker, files=missing))
                known.add(marker)
                adopted += 1
            else:
                self._drop(marker_uri, marker)
        for path in sorted(present):
            if path.endswith(".parquet"):
                storage.delete(self.place(path), self._retry)
        storage.prune(self.place(folder), keep=layout.encode_value(live_run_id))
        return adopted

    def _missing(
        self, marker: Marker, present: set[str], known: _KnownKeys
    ) -> tuple[staging.StagedFile, ...]:
        """Files of a dead run's shard that have to be published; none: drop the shard."""
        placed = {
            file.final
            for file in marker.files
            if storage.exists(self.place(file.final), self._retry)
        }
        rest = tuple(file for file in marker.files if file.final not in placed)
        for file in rest:
            if file.staged not in present:
                _log.warning("shard %s lost its file %s: dropped", marker.shard, file.final)
                return ()
        if not placed:
            return () if known.has_any(marker) else rest
        # Publishing had begun. Or it had ended, some files were compacted away since, and this is
        # a twin that was staged late: ask of each file whether its rows are there.
        return tuple(file for file in rest if not self._has_rows_of(file))

    def _has_rows_of(self, file: staging.StagedFile) -> bool:
        """Whether rows with the keys of a staged file are published already."""
        spec = layout.spec_of(file.table)
        values = layout.partition_of(file.final)
        filesystem, root = storage.filesystem(self.uri)
        paths = {file.final: file.staged}
        look = partial(scan.read_files, filesystem, root, spec, paths, list(spec.key))
        staged = retrying(look, f"read {file.staged}", self._retry)
        videos = pads.field("video_id").isin(staged["video_id"].unique())
        rows = self.read(file.table, list(spec.key), videos, **values)
        return not set(layout.row_keys(spec, rows)).isdisjoint(layout.row_keys(spec, staged))

    def replace(
        self,
        table: str,
        old_files: Iterable[str],
        new_tables: Iterable[pa.Table],
        *,
        dataset: str | None = None,
        run_id: str | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> list[str]:
        """Swap files of a table for new rows in one transaction.

        Hold the dataset's lock (as every run does): two replacements of the same files at once
        would both add their rows.

        Args:
            table: name.
            old_files: current files that go, as ``files`` returned them; may be empty.
            new_tables: one table of rows, partition columns included, for each new file (and
                partition); may be empty.
            dataset: whose lock guards the files; None reads it off their folders.
            run_id: who does it, for the files' metadata.
            before_commit: called when all is written and nothing has changed yet.

        Returns:
            The new files, relative to the root.

        Raises:
            ValueError: rows do not fit the schema.
            LockedError: the lock was lost.
            StorageError: the store does not answer.
        """
        spec = layout.spec_of(table)
        identity = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"
        facts = {"version": _version(), "run_id": run_id or identity}
        old = tuple(old_files)
        datasets = {layout.partition_of(path).get("dataset", dataset or "") for path in old}
        publish: list[tuple[str, str]] = []
        for rows in new_tables:
            for values, part in layout.split_by_partition(spec, layout.conform(spec, rows)):
                name = layout.digest_of_keys(layout.row_keys(spec, part))
                final = f"{layout.partition_path(spec, values)}/{name}-{identity}.parquet"
                staged = f"{transactions.FOLDER}/{identity}/{final}"
                owner = values.get("dataset", dataset or "")
                datasets.add(owner)
                data = layout.encode_parquet(spec, part, {"dataset": owner, **facts})
                storage.write_bytes(self.place(staged), memoryview(data), self._retry)
                publish.append((staged, final))
        if len(datasets) > 1:
            raise ValueError(f"one replacement, several datasets: {sorted(datasets)}")
        if not old and not publish:
            return []
        owner = next(iter(datasets))
        if before_commit is not None:
            before_commit()
        self._verify(owner, is_required=False)
        transaction = transactions.Transaction(identity, table, owner, old, tuple(publish))
        transactions.commit(self.uri, transaction, self._retry)
        transactions.carry_out(self.uri, transaction, self._retry)
        storage.prune(self.place(transactions.FOLDER))
        return [final for _, final in publish]


def existing_lake(uri: str) -> Lake:
    """A lake that a run has written, for commands that only make sense on one.

    Raises:
        ConfigError: a local lake is not there; an object store has no folders to look for.
    """
    path = storage.local_path(uri)
    if path is not None and not Path(path).is_dir():
        raise ConfigError(f"{uri} is not a folder; give the lake that a run has written")
    return Lake(uri)


class _KnownKeys:
    """Keys of the published rows, read partition by partition as markers ask for them."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._keys: dict[str, set[str]] = {}

    def _of(self, file: staging.StagedFile) -> set[str]:
        folder = file.final.rpartition("/")[0]
        if folder not in self._keys:
            spec = layout.spec_of(file.table)
            values = layout.partition_of(file.final)
            rows = self._lake.read(file.table, columns=list(spec.key), **values)
            self._keys[folder] = set(layout.row_keys(spec, rows))
        return self._keys[folder]

    def has_any(self, marker: Marker) -> bool:
        """Whether any video row of the shard is published already."""
        keyed = [file for file in marker.files if file.table in marker.keys]
        return any(not self._of(file).isdisjoint(marker.all_keys) for file in keyed)

    def add(self, marker: Marker) -> None:
        """Count a shard's rows as published."""
        for file in marker.files:
            folder = file.final.rpartition("/")[0]
            if folder in self._keys:
                self._keys[folder] |= marker.all_keys


def _version() -> str:
    try:
        return metadata.version("fakeout")
    except metadata.PackageNotFoundError:
        return "unknown"
