"""Running the catalog's graph and publishing what it leaves; needs Beam installed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fakeout_core.datasets.facts import Listed
from fakeout_core.errors import ConfigError, StorageError
from fakeout_core.schemas import CATALOG
from pipelines.beam_pipeline import pipeline_for
from pipelines.catalog_graph import build_graph
from pipelines.catalog_outcome import Outcome, read_outcome
from pipelines.catalog_rows import OldSnapshot
from pipelines.catalog_steps import CatalogTask, bind_resolver, read_spool
from pipelines.catalog_summary import CatalogSummary
from pipelines.lake import Lake
from pipelines.staging import staging_folder
from pipelines.storage import list_objects, local_path, read_bytes

_log = logging.getLogger(__name__)

_OWN_ERROR = re.compile(r"fakeout_core\.errors\.(ConfigError|StorageError): (.*)", re.DOTALL)


def plan(
    source_uri: str, lake_uri: str, dataset: str, split: str, *, run_id: str, **settings: Any
) -> CatalogTask:
    """Resolve what a build needs before it starts.

    Raises:
        ConfigError: the source does not exist, or a setting is unknown.
    """
    if settings.get("lister") is list_objects:
        check_source(source_uri)
    unknown = sorted(set(settings) - set(CatalogTask.__dataclass_fields__))
    if unknown:
        known = ", ".join(CatalogTask.__dataclass_fields__)
        raise ConfigError(f"no catalog setting {', '.join(unknown)}; there are {known}")
    lake = Lake(lake_uri)
    uris = tuple(lake.place(path) for path in lake.files("catalog", dataset=dataset, split=split))
    return CatalogTask(
        source_uri=source_uri,
        lake_uri=lake.uri,
        dataset=dataset,
        split=split,
        spool_uri=lake.place(staging_folder(dataset, run_id), "catalog"),
        run_id=run_id,
        old=OldSnapshot(uris, _count_rows(uris)),
        **settings,
    )


def check_source(source_uri: str) -> None:
    """Raise ConfigError if there is nothing at ``source_uri``; cheap on every store."""
    path = local_path(source_uri)
    if path is None:
        if next(iter(list_objects(source_uri)), None) is None:
            raise ConfigError(f"{source_uri} holds no objects; check the bucket and the prefix")
        return
    if not Path(path).exists():
        raise ConfigError(f"{source_uri} does not exist; give a folder that holds videos")


def _count_rows(uris: Sequence[str]) -> int:
    return sum(pq.read_metadata(pa.BufferReader(read_bytes(uri))).num_rows for uri in uris)


def execute(task: CatalogTask, beam_args: Sequence[str] = ()) -> Outcome:
    """Run the graph to its end.

    Args:
        task: what to catalog.
        beam_args: of the runner; without one the graph runs in this process.

    Raises:
        ConfigError: a list of the corpus is malformed.
        StorageError: the corpus or the lake cannot be read or written.
    """
    pipeline = pipeline_for(beam_args)
    build_graph(pipeline, task)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:
        own = _OWN_ERROR.search(str(error))
        if own is None:
            raise
        kind = ConfigError if own.group(1) == "ConfigError" else StorageError
        text = re.split(r" \[while running|\n\n", own.group(2).strip())[0].strip()
        raise kind(text) from error
    return read_outcome(task.outcome_uri)


def expected(task: CatalogTask, outcome: Outcome) -> Sequence[Listed]:
    """Videos that the lists expect in the split."""
    return bind_resolver(task, outcome.sidecars).expected(task.split)


def publish(
    task: CatalogTask, outcome: Outcome, summary: CatalogSummary, lake: Lake | None = None
) -> tuple[str, ...] | None:
    """Replace the snapshot, then make quarantine rows visible.

    Args:
        task: of the build.
        outcome: what the graph left.
        summary: says whether anything changed.
        lake: the caller's, which knows the dataset's lock; without it the lock
            is not checked again at the moment of the commit.

    Returns:
        The snapshot's files; None if nothing changed and the old one stays.
    """
    lake = lake or Lake(task.lake_uri)
    moved = summary.n_new + summary.n_changed + summary.n_edited + summary.n_removed
    files: tuple[str, ...] | None = None
    if moved:
        old = [uri.removeprefix(lake.place("")) for uri in task.old.uris]
        new = lake.replace("catalog", old, _snapshot(task, outcome), run_id=task.run_id)
        files = tuple(lake.place(path) for path in new)
    if outcome.quarantine:
        rows = map(read_spool, outcome.quarantine)
        lake.replace("quarantine", [], rows, dataset=task.dataset, run_id=task.run_id)
    return files


def _snapshot(task: CatalogTask, outcome: Outcome) -> Iterator[pa.Table]:
    """The new rows, a part at a time, with their partition keys."""
    for part in outcome.parts:
        yield with_keys(read_spool(part.uri), task)


def with_keys(rows: pa.Table, task: CatalogTask) -> pa.Table:
    """Add the partition keys as columns."""
    for key in CATALOG.partition_keys:
        value = pa.repeat(pa.scalar(getattr(task, key), pa.string()), rows.num_rows)
        rows = rows.append_column(pa.field(key, pa.string(), nullable=False), value)
    return rows
