"""Replacing files of a table so that none of our readers sees rows twice, or too few.

A replacement is written aside, then committed by one small record that says which files go and
which come. From that moment our readers see the new files, wherever they lie. The record is then
carried out: delete the old, move the new into place, mark it done. A crash before the record
leaves garbage that nobody reads; a crash after it is rolled forward by the next writer. Done
records stay for an hour, so that a reader whose listing straddled a replacement notices.

Readers that know nothing of records (DuckDB, Spark) may miss rows for the moment between delete
and move, and never see them twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fakeout_core.errors import StorageError
from pipelines import storage
from pipelines.layout import partition_of
from pipelines.objects import ObjectInfo
from pipelines.retry import RetryPolicy

FOLDER = "_tx"
KEEP_DONE = timedelta(hours=1)
_THREADS = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transaction:
    """A committed replacement.

    Attributes:
        id: sorts by time.
        table: the table.
        dataset: whose lock guards it; empty if the table is not partitioned by dataset.
        delete: files that go, relative to the lake's root.
        publish: (staged, final) paths of the files that come.
    """

    id: str
    table: str
    dataset: str
    delete: tuple[str, ...]
    publish: tuple[tuple[str, str], ...]

    def to_json(self) -> bytes:
        """The record's bytes."""
        fields = {"id": self.id, "table": self.table, "dataset": self.dataset}
        lists = {"delete": list(self.delete), "publish": [list(pair) for pair in self.publish]}
        return json.dumps(fields | lists, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Transaction:
        """Read a record."""
        record: dict[str, Any] = json.loads(data)
        return cls(
            record["id"],
            record["table"],
            record["dataset"],
            tuple(record["delete"]),
            tuple((staged, final) for staged, final in record["publish"]),
        )


@dataclass(frozen=True)
class Records:
    """What ``_tx`` holds: names of all records, and the ones to resolve."""

    names: frozenset[str]
    active: tuple[Transaction, ...]


def read_records(root: str, policy: RetryPolicy) -> Records:
    """The records of a lake, read until two listings agree."""
    while True:
        listed = list_folder(storage.join(root, FOLDER), policy)
        names = frozenset(info.relative_path for info in listed if "/" not in info.relative_path)
        active = []
        for name in sorted(names):
            stem, _, kind = name.rpartition(".")
            if kind != "json" or f"{stem}.done" in names:
                continue
            try:
                data = storage.read_bytes(storage.join(root, FOLDER, name), policy)
            except FileNotFoundError:
                break  # finished since the listing: look again
            active.append(Transaction.from_json(data))
        else:
            return Records(names, tuple(active))


def list_folder(uri: str, policy: RetryPolicy) -> list[ObjectInfo]:
    """The objects below a place that may not exist yet; temporary names are left out."""
    from fakeout_core.errors import ConfigError

    try:
        return [
            info
            for info in storage.list_objects(uri, policy)
            if not info.relative_path.rsplit("/", 1)[-1].startswith(".")
        ]
    except ConfigError:
        if storage.local_path(uri) is None:
            raise
        return []
    except FileNotFoundError:  # a local folder pruned while it was walked
        return list_folder(uri, policy)


def commit(root: str, transaction: Transaction, policy: RetryPolicy) -> None:
    """Make the replacement count. Its new files are staged already."""
    uri = storage.join(root, FOLDER, f"{transaction.id}.json")
    if not storage.create_if_absent(uri, transaction.to_json(), policy):
        raise StorageError(f"{uri} exists already; transaction ids must be unique")


def carry_out(root: str, transaction: Transaction, policy: RetryPolicy) -> None:
    """Delete the old files, move the new ones into place, mark the record done. Repeatable."""
    record = storage.join(root, FOLDER, f"{transaction.id}.json")
    _each(lambda path: storage.delete(storage.join(root, path), policy), transaction.delete)
    _each(lambda pair: _place(root, pair, policy), transaction.publish)
    storage.write_bytes(record.removesuffix("json") + "done", b"{}", policy)
    storage.delete(record, policy)


def _place(root: str, pair: tuple[str, str], policy: RetryPolicy) -> None:
    staged, final = (storage.join(root, path) for path in pair)
    try:
        storage.move(staged, final, policy)
    except FileNotFoundError:
        if not storage.exists(final, policy):
            raise StorageError(
                f"{pair[1]} was committed and is neither staged nor in place; something outside "
                "fakeout deleted it"
            ) from None


def _each(call: Any, items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(call, items):
            pass


def roll_forward(root: str, dataset: str, policy: RetryPolicy) -> int:
    """Carry out what a dead writer of ``dataset`` had committed; call under its lock.

    Returns:
        Number of transactions finished. Old done records and staged leftovers are swept.
    """
    records = read_records(root, policy)
    mine = [one for one in records.active if one.dataset in (dataset, "")]
    for transaction in mine:
        _log.warning("finishing replacement %s of %s", transaction.id, transaction.table)
        carry_out(root, transaction, policy)
    _sweep(root, dataset, policy)
    return len(mine)


def _sweep(root: str, dataset: str, policy: RetryPolicy) -> None:
    listed = list_folder(storage.join(root, FOLDER), policy)
    names = {info.relative_path for info in listed}
    recorded = {name.rpartition(".")[0] for name in names if "/" not in name}
    old = datetime.now(UTC) - KEEP_DONE
    for info in listed:
        first, _, rest = info.relative_path.partition("/")
        stem, _, kind = first.rpartition(".")
        if not rest and kind == "json" and f"{stem}.done" in names:
            storage.delete(info.uri, policy)  # died between marking it done and deleting it
        elif info.updated > old:
            continue
        elif not rest and kind == "done" and f"{stem}.json" not in names:
            storage.delete(info.uri, policy)
        elif rest and first not in recorded and partition_of(rest).get("dataset") == dataset:
            storage.delete(info.uri, policy)  # staged, and its writer died before the record


def resolve(listed: Iterable[str], active: Iterable[Transaction], table: str) -> dict[str, str]:
    """Final path → path to read now, for the files that count.

    Args:
        listed: files found in the table's folder, relative to the lake's root.
        active: transactions committed and perhaps half carried out.
        table: only its transactions matter.
    """
    paths = {path: path for path in listed}
    for transaction in active:
        if transaction.table != table:
            continue
        for path in transaction.delete:
            paths.pop(path, None)
        for staged, final in transaction.publish:
            paths.setdefault(final, staged)
    return paths
