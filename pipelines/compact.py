"""Compaction: many small files of a partition become few large ones; rows stay as they are.

Each group of files is swapped in one ``Lake.replace`` transaction under the dataset's lock, so our
readers see every row once at any moment, and a crash loses nothing. See docs/decisions/0043.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow.parquet as pq

from fakeout_core.errors import FakeoutError
from fakeout_core.ids import new_run_id
from fakeout_core.schemas import TABLES
from pipelines import layout, storage, transactions
from pipelines.lake import Lake
from pipelines.lock import DatasetLock
from pipelines.retry import retrying

DEFAULT_TARGET_BYTES = 128 << 20

SMALL_SHARE = 0.5
"""A file below this share of the target is a crumb; larger ones are left alone."""


@dataclass(frozen=True)
class Group:
    """Files of one partition that become one.

    Attributes:
        table: the table.
        dataset: whose lock guards them.
        partition: their folder, relative to the root.
        files: paths relative to the root.
        size_bytes: their length together.
    """

    table: str
    dataset: str
    partition: str
    files: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class Compaction:
    """What was done, or would be.

    Attributes:
        group: the files before.
        new_files: the files after; empty in a dry run.
        rows: rows in them; None in a dry run.
    """

    group: Group
    new_files: tuple[str, ...] = ()
    rows: int | None = None


def find_groups(
    lake: Lake, tables: Iterable[str] | None = None, target_bytes: int = DEFAULT_TARGET_BYTES
) -> list[Group]:
    """Groups of small files worth merging.

    Args:
        lake: the lake.
        tables: names; None takes all.
        target_bytes: most bytes of a group.

    Returns:
        Groups of at least two files, in order of table and partition.
    """
    groups: list[Group] = []
    for table in tables or sorted(TABLES):
        spec = layout.spec_of(table)
        sizes = {
            f"{table}/{info.relative_path}": info.size_bytes
            for info in transactions.list_folder(lake.place(table), lake.retry)
        }
        crumbs: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in lake.files(table):
            if sizes.get(path, target_bytes) < target_bytes * SMALL_SHARE:
                folder = path.rpartition("/")[0]
                crumbs[folder, _owner(lake, spec.partition_keys, path)].append(path)
        for (folder, dataset), paths in sorted(crumbs.items()):
            for files in _pack(paths, sizes, target_bytes):
                size = sum(sizes[path] for path in files)
                groups.append(Group(table, dataset, folder, tuple(files), size))
    return groups


def _owner(lake: Lake, keys: tuple[str, ...], path: str) -> str:
    """The dataset whose lock guards a file: from its folder, else from its metadata."""
    if "dataset" in keys:
        return layout.partition_of(path)["dataset"]
    metadata = _footer(lake, path).metadata or {}
    return metadata.get(b"fakeout.dataset", b"").decode()


def _footer(lake: Lake, path: str) -> pq.FileMetaData:
    def read() -> pq.FileMetaData:
        filesystem, full = storage.filesystem(lake.place(path))
        with filesystem.open_input_file(full) as source:
            return pq.read_metadata(source)

    return retrying(read, f"read {path}", lake.retry)


def _pack(paths: list[str], sizes: dict[str, int], target_bytes: int) -> list[list[str]]:
    """Neighbours in name order, up to the target; groups of one are left out."""
    packed: list[list[str]] = [[]]
    filled = 0
    for path in sorted(paths):
        if packed[-1] and filled + sizes[path] > target_bytes:
            packed.append([])
            filled = 0
        packed[-1].append(path)
        filled += sizes[path]
    return [files for files in packed if len(files) > 1]


def compact(
    lake: Lake,
    tables: Iterable[str] | None = None,
    target_bytes: int = DEFAULT_TARGET_BYTES,
    *,
    dataset: str | None = None,
    is_dry_run: bool = False,
    lock_ttl_s: float = 600.0,
    lock_wait_s: float = 0.0,
) -> list[Compaction]:
    """Merge small files.

    Args:
        lake: the lake. Datasets whose lock it holds already are compacted under that lock.
        tables: names; None takes all.
        target_bytes: about the size of a new file.
        dataset: only this one's files; None takes all.
        is_dry_run: only say what would be done.
        lock_ttl_s: time to live of the locks taken.
        lock_wait_s: how long to wait for a dataset that a run is working on.

    Returns:
        One entry per merged group.

    Raises:
        LockedError: a run is working on a dataset.
        StorageError: the store does not answer.
        FakeoutError: rows in and rows out differ; nothing was replaced.
    """
    chosen = list(tables) if tables is not None else None
    groups = find_groups(lake, chosen, target_bytes)
    if dataset is not None:
        groups = [group for group in groups if group.dataset == dataset]
    if is_dry_run:
        return [Compaction(group) for group in groups]
    done: list[Compaction] = []
    run_id = f"compact-{new_run_id()}"
    for owner in sorted({group.dataset for group in groups}):
        if not owner or lake.is_guarded(owner):
            done += _compact_dataset(lake, owner, chosen, target_bytes, run_id)
            continue
        with DatasetLock(lake, owner, run_id, lock_ttl_s).held(lock_wait_s):
            lake.recover(owner, run_id)
            done += _compact_dataset(lake, owner, chosen, target_bytes, run_id)
    return done


def _compact_dataset(
    lake: Lake, dataset: str, tables: list[str] | None, target_bytes: int, run_id: str
) -> list[Compaction]:
    # Looked for again under the lock: a run may have ended in between.
    mine = [one for one in find_groups(lake, tables, target_bytes) if one.dataset == dataset]
    return [_merge(lake, group, run_id) for group in mine]


def _merge(lake: Lake, group: Group, run_id: str) -> Compaction:
    rows = lake.read_files(group.table, group.files)
    promised = sum(_footer(lake, path).num_rows for path in group.files)
    if promised != rows.num_rows:
        raise FakeoutError(
            f"{group.partition}: {promised} rows in {len(group.files)} files, {rows.num_rows} read"
        )
    new = lake.replace(group.table, group.files, [rows], dataset=group.dataset, run_id=run_id)
    return Compaction(group, tuple(new), rows.num_rows)
