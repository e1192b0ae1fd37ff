"""The commit protocol of shards: staged whole by workers, published by the driver alone.

A worker writes its files under ``_staging/<dataset>/<run>/`` and last a marker that lists them.
Until the driver, which holds the dataset's lock, moves them into place no reader sees a row. Final
names come from the rows' keys and the run, so a repeated task replaces itself and a half-published
shard is recognised by its own names. Staged names carry a token of the attempt: a late twin of a
task cannot mix its files into the ones that a marker promises.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from fakeout_core.schemas import TableSpec
from pipelines import layout, storage
from pipelines.retry import RetryPolicy

FOLDER = "_staging"


@dataclass(frozen=True)
class StagedFile:
    """One file of a shard: where it is, where it goes (relative to the root), rows in it."""

    table: str
    staged: str
    final: str
    rows: int


@dataclass(frozen=True)
class Marker:
    """What a shard's marker says.

    Attributes:
        dataset: the dataset.
        run_id: run that staged it.
        shard: digest of the keys of its rows.
        files: in publishing order.
        keys: digests of row keys, by table: of the tables with one row per video (``clips``,
            ``scores``) if the shard has any, else of all.
        reasons: outcome → videos.
    """

    dataset: str
    run_id: str
    shard: str
    files: tuple[StagedFile, ...]
    keys: dict[str, list[str]]
    reasons: dict[str, int]

    def to_json(self) -> bytes:
        """The marker's bytes."""
        files = [[one.table, one.staged, one.final, one.rows] for one in self.files]
        record = {"dataset": self.dataset, "run_id": self.run_id, "shard": self.shard}
        return json.dumps(
            record | {"files": files, "keys": self.keys, "reasons": self.reasons}
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Marker:
        """Read a marker."""
        record: dict[str, Any] = json.loads(data)
        files = tuple(StagedFile(*one) for one in record["files"])
        return cls(
            record["dataset"],
            record["run_id"],
            record["shard"],
            files,
            record["keys"],
            record["reasons"],
        )

    @property
    def all_keys(self) -> set[str]:
        """Digests of the keys of all video rows."""
        return {key for keys in self.keys.values() for key in keys}


@dataclass(frozen=True)
class PublishedShard:
    """What publishing a shard did.

    Attributes:
        files: files now visible, relative to the lake's root.
        rows: table → rows.
        reasons: outcome (``ok``/a reason) → videos.
        is_new: False if its rows were published already and the shard was dropped.
    """

    files: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    is_new: bool = True


def staging_folder(dataset: str, run_id: str = "") -> str:
    """Folder of a dataset's staged shards, or of one run's."""
    folder = f"{FOLDER}/{layout.encode_value(dataset)}"
    return f"{folder}/{layout.encode_value(run_id)}" if run_id else folder


def dataset_of_marker(root: str, marker_uri: str) -> str:
    """The dataset that a marker's place belongs to."""
    from urllib.parse import unquote

    relative = marker_uri.removeprefix(root.rstrip("/") + "/")
    parts = relative.split("/")
    if len(parts) != 4 or parts[0] != FOLDER or not parts[3].endswith(".json"):
        raise ValueError(f"{marker_uri} is not a marker of the lake at {root}")
    return unquote(parts[1])


def stage_shard(
    root: str,
    dataset: str,
    run_id: str,
    shard: Mapping[str, pa.Table],
    provenance: Mapping[str, str],
    policy: RetryPolicy,
) -> str:
    """Write a shard's files, then its marker; see ``Lake.stage``."""
    unknown = set(shard) - set(layout.PUBLISH_ORDER)
    if unknown:
        raise ValueError(f"no such tables: {sorted(unknown)}")
    parts: list[tuple[TableSpec, dict[str, str], pa.Table]] = []
    keys: dict[str, list[str]] = {}
    reasons: Counter[str] = Counter()
    keyed = set(layout.KEYED_TABLES) & set(shard) or set(shard)
    for table in layout.PUBLISH_ORDER:
        rows = shard.get(table)
        if rows is None or rows.num_rows == 0:
            continue
        spec = layout.spec_of(table)
        rows = layout.conform(spec, rows)
        part_keys = layout.row_keys(spec, rows)
        _require_unique(spec, rows, part_keys)
        if table in keyed:
            keys[table] = part_keys
        if table in layout.KEYED_TABLES:
            # Of clips and scores in one shard, the later one tells how the video ended.
            reasons = Counter(reason or "ok" for reason in rows["reason"].to_pylist())
        parts += [(spec, *part) for part in layout.split_by_partition(spec, rows)]
    if not parts:
        raise ValueError("a shard without rows; stages give one row for every video")
    # Every file is named after the whole shard: what bears its name was published from it.
    name = layout.digest_of_keys([key for part in keys.values() for key in part])
    folder, token = staging_folder(dataset, run_id), secrets.token_hex(4)
    facts = {"run_id": run_id, "dataset": dataset, **provenance}
    files: list[StagedFile] = []
    for number, (spec, values, rows) in enumerate(parts):
        final = f"{layout.partition_path(spec, values)}/{name}-{run_id}.parquet"
        staged = f"{folder}/{name}-{token}-{number}.parquet"
        data = layout.encode_parquet(spec, rows, facts)
        storage.write_bytes(storage.join(root, staged), memoryview(data), policy)
        files.append(StagedFile(spec.name, staged, final, rows.num_rows))
    uri = storage.join(root, folder, f"{name}.json")
    marker = Marker(dataset, run_id, name, tuple(files), keys, dict(reasons))
    storage.write_bytes(uri, marker.to_json(), policy)
    return uri


def _require_unique(spec: TableSpec, rows: pa.Table, keys: list[str]) -> None:
    if len(set(keys)) == len(keys):
        return
    twice = [key for key, n in Counter(keys).items() if n > 1]
    first = rows.slice(keys.index(twice[0]), 1).select(list(spec.key)).to_pylist()[0]
    raise ValueError(f"{len(twice)} keys of {spec.name} occur twice in a shard, e.g. {first}")


def read_marker(uri: str, policy: RetryPolicy) -> Marker:
    """The marker at a URI. Raises FileNotFoundError."""
    return Marker.from_json(storage.read_bytes(uri, policy))
