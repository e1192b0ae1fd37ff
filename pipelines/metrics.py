"""Metrics of everything scored, in one Beam pipeline over any storage.

``compute_metrics`` joins catalog and scores into the current view, evaluates every slice at video
and window level, compares models, and replaces the results of what it evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute

from fakeout_core.ids import new_run_id
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.tables import RESULT_TABLES
from fakeout_core.schemas import METRICS
from pipelines.beam_support import quiet_import, spool
from pipelines.lake import Lake
from pipelines.layout import partition_of
from pipelines.metrics_views import Group, read_table, read_view, view_digest
from pipelines.staging import staging_folder

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers


_PARTS = 32
"""Parts that a group's window files are dealt into, for as many workers."""


def compute_metrics(
    lake_uri: str,
    dataset: str | None = None,
    split: str | None = None,
    model: str | None = None,
    *,
    run_id: str | None = None,
    config: MetricsConfig | None = None,
    beam_args: Sequence[str] = (),
    lake: Lake | None = None,
) -> pa.Table:
    """Compute and store metrics. The caller holds the datasets' locks, if others may write.

    Args:
        lake_uri: root of the lake.
        dataset: only this one; None takes all.
        split: only this one.
        model: only this one; it is still compared with the others.
        run_id: of the run that computes; None makes one.
        config: settings.
        beam_args: options of a Beam runner; none runs in this process.
        lake: the lake whose locks the caller holds, so that they are verified before results are
            replaced; None opens it.

    Returns:
        The new rows of the ``metrics`` table, empty if nothing is scored.

    Raises:
        StorageError: the lake cannot be read or written.
    """
    lake = lake or Lake(lake_uri)
    config = config or MetricsConfig()
    run_id = run_id or new_run_id()
    everything = find_groups(lake, dataset, split)
    wanted = [group for group in everything if model in (None, group.model)]
    if not wanted:
        return METRICS.full_schema.empty_table()
    with quiet_import():
        from pipelines import metrics_graph, metrics_run
    task = metrics_graph.MetricsTask(
        lake.uri,
        lake.place(staging_folder(wanted[0].dataset, run_id), "metrics"),
        run_id,
        datetime.now(UTC),
        config,
    )
    places = {(group.dataset, group.split) for group in wanted}
    work = [
        metrics_graph.Work(group, group in wanted, _window_parts(lake, group, group in wanted))
        for group in everything
        if (group.dataset, group.split) in places
    ]
    with spool(task.spool_uri):
        found = metrics_run.execute(task, work, beam_args)
        return _publish(lake, wanted, found, run_id)


def metrics_are_current(
    lake_uri: str,
    dataset: str,
    split: str,
    model: str,
    config: MetricsConfig | None = None,
) -> bool:
    """Whether the stored metrics were made of the very scores and labels the lake holds now."""
    lake = Lake(lake_uri)
    where = {"dataset": dataset, "split": split, "model": model}
    if not lake.files("metrics", **where):
        return False
    stored = pc.unique(lake.read("metrics", ["input_digest"], **where)["input_digest"]).to_pylist()
    view = read_view(lake, Group(dataset, split, model))
    return stored == [view_digest(view, config or MetricsConfig())]


def find_groups(lake: Lake, dataset: str | None, split: str | None) -> list[Group]:
    """Dataset, split and model of everything that has score rows, sorted."""
    wanted = {key: value for key, value in (("dataset", dataset), ("split", split)) if value}
    found = {
        Group(values["dataset"], values["split"], values["model"])
        for values in map(partition_of, lake.files("scores", **wanted))
    }
    return sorted(found, key=lambda group: (group.dataset, group.split, group.model))


def _window_parts(lake: Lake, group: Group, is_wanted: bool) -> tuple[tuple[str, ...], ...]:
    if not is_wanted:
        return ()
    where = {"dataset": group.dataset, "split": group.split, "model": group.model}
    uris = [lake.place(path) for path in lake.files("windows", **where)]
    parts = min(_PARTS, len(uris))
    return tuple(tuple(uris[start::parts]) for start in range(parts))


def _publish(
    lake: Lake, wanted: list[Group], found: list[tuple[str, str]], run_id: str
) -> pa.Table:
    """Replace the stored results of the groups by the new ones, dataset by dataset."""
    tables = {
        name: [read_table(uri) for table, uri in sorted(found) if table == name]
        for name in (*RESULT_TABLES, "model_comparisons")
    }
    for dataset in sorted({group.dataset for group in wanted}):
        groups = [group for group in wanted if group.dataset == dataset]
        for name in RESULT_TABLES:
            old = [
                path
                for group in groups
                for path in lake.files(name, dataset=dataset, split=group.split, model=group.model)
            ]
            new = [_of_dataset(part, dataset) for part in tables[name]]
            lake.replace(name, old, [part for part in new if part.num_rows], run_id=run_id)
        _publish_comparisons(lake, dataset, groups, tables["model_comparisons"], run_id)
    return pa.concat_tables([METRICS.full_schema.empty_table(), *tables["metrics"]])


def _publish_comparisons(
    lake: Lake, dataset: str, groups: list[Group], found: list[pa.Table], run_id: str
) -> None:
    """Replace the rows that name an evaluated model; other pairs stay."""
    for split in sorted({group.split for group in groups}):
        models = pa.array([group.model for group in groups if group.split == split])
        where = {"dataset": dataset, "split": split}
        old = lake.read("model_comparisons", **where)
        touched = pc.or_(
            pc.is_in(old["model_a"], value_set=models), pc.is_in(old["model_b"], value_set=models)
        )
        here = [
            part.filter(pc.and_(pc.equal(part["dataset"], dataset), pc.equal(part["split"], split)))
            for part in found
        ]
        new = pa.concat_tables([old.filter(pc.invert(touched)), *here])
        files = lake.files("model_comparisons", **where)
        if files or new.num_rows:
            lake.replace("model_comparisons", files, [new] if new.num_rows else [], run_id=run_id)


def _of_dataset(table: pa.Table, dataset: str) -> pa.Table:
    return table.filter(pc.equal(table["dataset"], dataset))
