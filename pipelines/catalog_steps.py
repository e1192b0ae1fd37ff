"""The steps of the catalog's Beam graph, as DoFns over the pure functions beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

from fakeout_core.config import MediaLimits
from fakeout_core.datasets.facts import Resolver
from fakeout_core.datasets.registry import find_spec, open_layout
from fakeout_core.errors import MediaError, Reason, StorageError
from fakeout_core.media.isolate import Child, ChildLimits
from fakeout_core.schemas import QUARANTINE
from pipelines import catalog_duplicates as duplicates
from pipelines.catalog_listing import LISTED, Shard, Sidecar, into_tables
from pipelines.catalog_outcome import Outcome, write_outcome
from pipelines.catalog_probe import Probed, UnreadableObjectError, reason_of
from pipelines.catalog_ranges import local_view
from pipelines.catalog_rows import RESOLVED, OldSnapshot, finish, resolve
from pipelines.catalog_tally import Tally, merge
from pipelines.storage import (
    ObjectInfo,
    join,
    list_objects,
    local_path,
    read_bytes,
    write_bytes,
)

PROBE_TARGET = "pipelines.catalog_probe:probe_file"


@dataclass(frozen=True)
class CatalogTask:
    """All that the graph's steps need; travels pickled.

    Attributes:
        source_uri: root of the corpus.
        lake_uri: root of the lake; objects below it are not part of the corpus.
        dataset: partition key.
        split: partition key.
        layout: registry name of the layout.
        spool_uri: folder for this build's own files, in the lake's staging.
        run_id: of the build.
        listed_at: when the build began.
        labels_csv: label file of a custom corpus.
        options: choices for the layout's parser.
        old: the catalog as it stands.
        probe: whether new content is looked at.
        limits: bounds on one video.
        probe_wall_s: wall clock of one probe.
        probe_memory_bytes: memory of the probing child.
        shard_rows: listing entries per shard.
        lister: lists the corpus; another one stands in for it in benchmarks.
        probe_target: ``module:function`` that the child runs.
    """

    source_uri: str
    lake_uri: str
    dataset: str
    split: str
    layout: str
    spool_uri: str
    run_id: str
    listed_at: datetime
    labels_csv: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    old: OldSnapshot = field(default_factory=OldSnapshot)
    probe: bool = True
    limits: MediaLimits = field(default_factory=MediaLimits)
    probe_wall_s: float = 30.0
    probe_memory_bytes: int = 1 << 30
    shard_rows: int = 20_000
    lister: Callable[[str], Iterable[ObjectInfo]] = list_objects
    probe_target: str = PROBE_TARGET

    @property
    def outcome_uri(self) -> str:
        """Address of what the graph reports at its end."""
        return join(self.spool_uri, "outcome.parquet")

    def place(self, kind: str, number: int) -> str:
        """Address of a spool file."""
        return join(self.spool_uri, f"{kind}-{number:06d}.parquet")


@dataclass(frozen=True)
class ToProbe:
    """An object that must be looked at: its row, and where its bytes are."""

    shard: int
    row: int
    uri: str
    video_id: str
    content_version: str


def write_spool(uri: str, table: pa.Table) -> None:
    """Write one Parquet file of the spool."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(uri, memoryview(sink.getvalue()))


def read_spool(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file of the spool."""
    return pq.read_table(pa.BufferReader(read_bytes(uri)), columns=columns)


class ListShards(beam.DoFn):
    """One element in, the corpus out: shards of the listing. Other outputs: sidecars, tallies."""

    SIDECARS, TALLIES = "sidecars", "tallies"

    def __init__(self, task: CatalogTask) -> None:
        self._task = task

    def process(self, element: str) -> Iterator[Any]:
        """List the corpus at ``element``."""
        task, tally = self._task, Tally()
        layout = open_layout(find_spec(task.layout), task.source_uri)
        number = 0
        for item in into_tables(
            task.lister(element), layout, task.shard_rows, tally, _below(task.lake_uri)
        ):
            if isinstance(item, Sidecar):
                yield TaggedOutput(self.SIDECARS, item)
                continue
            shard = Shard(number, task.place("listed", number), item.num_rows)
            write_spool(shard.uri, item)
            number += 1
            yield shard
        yield TaggedOutput(self.TALLIES, tally)


def _below(lake_uri: str) -> Callable[[ObjectInfo], bool]:
    root = (local_path(lake_uri) or lake_uri).rstrip("/") + "/"
    return lambda item: item.uri.startswith(root)


class ResolveShard(beam.DoFn):
    """Join a shard with facts and old rows. Other outputs: what to probe, buckets, tallies."""

    PROBES, BUCKETS, TALLIES = "probes", "buckets", "tallies"

    def __init__(self, task: CatalogTask) -> None:
        self._task = task
        self._shared = Shared()

    def process(self, element: Shard, sidecars: list[Sidecar]) -> Iterator[Any]:
        """Write the shard's rows to the spool and say what is left to do."""
        task, tally = self._task, Tally()
        table = resolve(
            read_spool(element.uri).cast(LISTED),
            self._resolver(sidecars),
            task.split,
            task.old,
            task.listed_at,
            tally,
        )
        yield TaggedOutput(self.TALLIES, tally)
        if table.num_rows == 0:
            return
        shard = replace(element, uri=task.place("resolved", element.number), n_rows=table.num_rows)
        write_spool(shard.uri, table)
        if task.probe:
            for probe in _to_probe(shard.number, table):
                yield TaggedOutput(self.PROBES, probe)
        for bucket, chunk in duplicates.into_buckets(_places(shard.number, table)):
            yield TaggedOutput(self.BUCKETS, (bucket, chunk))
        yield shard.number, shard

    def _resolver(self, sidecars: list[Sidecar]) -> Resolver:
        # One per process, not per bundle: label files can hold a million rows.
        return self._shared.acquire(
            lambda: bind_resolver(self._task, sidecars), tag=self._task.run_id
        )


def bind_resolver(task: CatalogTask, sidecars: Iterable[Sidecar]) -> Resolver:
    """Read the sidecars and bind the layout to them."""
    content = {side.path: read_bytes(side.uri) for side in sorted(sidecars, key=lambda s: s.path)}
    if task.labels_csv is not None:
        content = {task.labels_csv: read_bytes(task.labels_csv)}
    layout = open_layout(find_spec(task.layout), local_path(task.source_uri) or task.source_uri)
    return layout.bind(content, task.options)


def _to_probe(shard: int, table: pa.Table) -> Iterator[ToProbe]:
    wanted = table["probe_status"].is_null()
    rows = np.flatnonzero(wanted.to_numpy())
    columns = (table[name].filter(wanted) for name in ("uri", "video_id", "content_version"))
    for row, *values in zip(rows, *(column.to_pylist() for column in columns), strict=True):
        yield ToProbe(shard, int(row), *values)


def _places(shard: int, table: pa.Table) -> np.ndarray:
    places = np.empty(table.num_rows, duplicates.PLACE)
    pairs = zip(table["checksum"].to_pylist(), table["size_bytes"].to_pylist(), strict=True)
    places["key"] = [duplicates.key_of(checksum, size) for checksum, size in pairs]
    places["shard"] = shard
    places["row"] = np.arange(table.num_rows)
    return places


class ProbeObject(beam.DoFn):
    """Look at one object in a killable child. Raises for objects that cannot be read."""

    def __init__(self, task: CatalogTask) -> None:
        self._task = task
        self._child: Child | None = None

    def process(self, element: ToProbe) -> Iterator[tuple[int, tuple[int, Probed]]]:
        """Yield the shard's number, the row and what the object declares."""
        if self._child is None:
            limits = ChildLimits(
                wall_s=self._task.probe_wall_s,
                memory_bytes=self._task.probe_memory_bytes,
                output_bytes=1 << 20,
                calls_before_recycle=1_000,
            )
            self._child = Child(self._task.probe_target, limits)
        try:
            with local_view(element.uri) as path:
                probed = self._child.call(path, self._task.limits)
        except MediaError as error:
            raise UnreadableObjectError(error.reason, error.detail) from None
        except StorageError as error:
            raise UnreadableObjectError(Reason.STORAGE, str(error)) from None
        yield element.shard, (element.row, Probed(**probed))

    def teardown(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
            self._child = None


def failed_probe(letter: tuple[ToProbe, tuple[type, str, list[str]]]) -> tuple[int, Any]:
    """Turn a dead letter of Beam into a probe result that carries the reason."""
    element, (_, text, _) = letter
    reason, detail = reason_of(text)
    return element.shard, (element.row, Probed(reason.value), element, detail)


class FindDuplicates(beam.DoFn):
    """Per bucket of content keys, the rows that repeat an earlier row's bytes."""

    def __init__(self, task: CatalogTask) -> None:
        self._task = task
        self._names: dict[int, pa.Table] = {}

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, Any]]:
        """Yield the shard's number, the row and the first video_id with the same bytes."""
        self._names = {}
        for group in duplicates.same_keys(element[1]):
            first = group[0]
            if self._row("checksum", int(first["shard"]), int(first["row"])) is None:
                groups = duplicates.content_groups(group, self._digest)
            else:
                groups = iter([group])
            for same in groups:
                name = self._row("video_id", int(same[0]["shard"]), int(same[0]["row"]))
                for place in same[1:]:
                    yield int(place["shard"]), (int(place["row"]), name)

    def _row(self, column: str, shard: int, row: int) -> Any:
        if shard not in self._names:
            if len(self._names) >= 4:  # groups come in key order, not by shard: keep a few
                self._names.pop(next(iter(self._names)))
            columns = ["video_id", "uri", "checksum"]
            self._names[shard] = read_spool(self._task.place("resolved", shard), columns)
        return self._names[shard][column][row].as_py()

    def _digest(self, shard: int, row: int) -> str | None:
        uri = self._row("uri", shard, row)
        path = local_path(uri)
        if path is None:  # a store without checksums: reading it all back would cost egress
            return None
        return duplicates.file_digest(path)


class FinishShard(beam.DoFn):
    """Join rows with probes and duplicates, and write the part of the snapshot.

    Other outputs: tallies, and quarantine rows as one table per shard.
    """

    TALLIES, QUARANTINE = "tallies", "quarantine"

    def __init__(self, task: CatalogTask) -> None:
        self._task = task

    def process(self, element: tuple[int, Mapping[str, Iterable[Any]]]) -> Iterator[Any]:
        """Write one part; yield its address."""
        number, parts = element
        task, tally = self._task, Tally()
        table = read_spool(task.place("resolved", number)).cast(RESOLVED)
        probes = dict(parts["probed"])
        failures = list(parts["failed"])
        probes.update({row: probed for row, probed, _, _ in failures})
        rows = finish(table, probes, dict(parts["duplicates"]), task.old, tally)
        if failures:
            tally.counts["quarantined"] += len(failures)
            bad = quarantine_rows(
                task, [(item, probed, text) for _, probed, item, text in failures]
            )
            uri = task.place("quarantine", number)
            write_spool(uri, bad)
            yield TaggedOutput(self.QUARANTINE, uri)
        yield TaggedOutput(self.TALLIES, tally)
        if rows.num_rows:
            part = Shard(number, task.place("part", number), rows.num_rows)
            write_spool(part.uri, rows)
            yield part


def quarantine_rows(task: CatalogTask, failures: list[tuple[ToProbe, Probed, str]]) -> pa.Table:
    """Rows of the quarantine table, partition key included."""
    rows = []
    for item, probed, detail in failures:
        error = MediaError(Reason(probed.probe_status), detail)
        rows.append(
            {
                "dataset": task.dataset,
                "split": task.split,
                "video_id": item.video_id,
                "uri": item.uri,
                "content_version": item.content_version,
                "reason": error.reason.value,
                "message": detail,
                "attempts": 1,
                "transient": error.is_transient,
                "run_id": task.run_id,
                "at": task.listed_at,
                "stage": "catalog",
            }
        )
    return pa.Table.from_pylist(rows, schema=QUARANTINE.full_schema)


class MergeTallies(beam.CombineFn):
    """Adds up tallies."""

    def create_accumulator(self) -> Tally:
        """Nothing counted yet."""
        return Tally()

    def add_input(self, accumulator: Tally, element: Tally) -> Tally:
        """Add one tally."""
        return accumulator.add(element)

    def merge_accumulators(self, accumulators: Iterable[Tally]) -> Tally:
        """Add several."""
        return merge(accumulators)

    def extract_output(self, accumulator: Tally) -> Tally:
        """The sum."""
        return accumulator


class WriteOutcome(beam.DoFn):
    """Writes what the driver needs, last of all."""

    def __init__(self, task: CatalogTask) -> None:
        self._task = task

    def process(
        self, element: Tally, parts: list[Shard], quarantine: list[str], sidecars: list[Sidecar]
    ) -> Iterator[str]:
        """Write the outcome; yield its address."""
        uri = self._task.outcome_uri
        ordered = tuple(sorted(parts, key=lambda part: part.number))
        write_outcome(uri, Outcome(ordered, tuple(sorted(quarantine)), tuple(sidecars), element))
        yield uri
