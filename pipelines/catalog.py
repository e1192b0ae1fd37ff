"""The catalog: what videos there are, in one Beam pipeline over any storage.

``build_catalog`` lists a corpus once, joins labels and splits, looks at new or changed objects by
range reads in a killable child, finds duplicates, and replaces the dataset's snapshot as a whole,
so that videos which are gone leave the current view.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fakeout_core.datasets.registry import check_split, find_spec, near_names
from fakeout_core.errors import ConfigError
from fakeout_core.ids import new_run_id
from pipelines.beam_support import quiet_import, spool
from pipelines.catalog_summary import CatalogSummary, refuse_empty, summarise
from pipelines.lake import Lake
from pipelines.objects import ObjectInfo
from pipelines.storage import list_objects, local_path, read_bytes

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


def build_catalog(
    source_uri: str,
    lake_uri: str,
    dataset: str,
    split: str,
    labels_csv: str | None = None,
    *,
    run_id: str | None = None,
    beam_args: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    probe: bool = True,
    dry_run: bool = False,
    lister: Callable[[str], Iterable[ObjectInfo]] = list_objects,
    lake: Lake | None = None,
    **settings: Any,
) -> CatalogSummary:
    """Bring the catalog of one dataset and split up to date. The caller holds the dataset's lock.

    Args:
        source_uri: folder, bucket or prefix of the corpus.
        lake_uri: root of the lake.
        dataset: partition key. A name of the registry selects its layout; any other name is a
            custom corpus.
        split: partition key. ``all`` takes every video; a corpus without splits fits any name.
        labels_csv: labels of a custom corpus, ``path,label[,manipulation,source_id,split]``.
        run_id: of the run that builds it; None makes one.
        beam_args: options of a Beam runner; none runs here, on the local runner.
        options: choices for the layout, such as ``{"manipulation": "Deepfakes"}``.
        probe: whether new objects are looked at; without it their media columns stay null.
        dry_run: list and label, but look at nothing and leave the lake as it is.
        lister: lists the corpus; only benchmarks give another one.
        lake: the lake object under which the caller's lock was taken.
        **settings: fields of ``CatalogTask``, such as ``limits`` and ``shard_rows``.

    Returns:
        What was found and what changed.

    Raises:
        ConfigError: a wrong name, a missing or empty source, another layout, a malformed list.
        StorageError: the corpus or the lake cannot be read or written.
    """
    start = time.monotonic()
    for key, value in (("dataset", dataset), ("split", split)):
        if not _KEY.fullmatch(value):
            raise ConfigError(f"{key} {value!r}: wanted letters, digits and . _ + - only")
    spec = find_spec(dataset)
    check_split(spec, split)
    _check_labels(labels_csv, spec.name, source_uri)
    with quiet_import():
        from pipelines import catalog_run
    task = catalog_run.plan(
        source_uri,
        lake_uri,
        dataset,
        split,
        layout=spec.name,
        run_id=run_id or new_run_id(),
        listed_at=datetime.now(UTC),
        labels_csv=labels_csv,
        options=dict(options or {}),
        probe=probe and not dry_run,
        lister=lister,
        **settings,
    )
    with spool(task.spool_uri):
        outcome = catalog_run.execute(task, beam_args)
        refuse_empty(spec, source_uri, split, outcome.tally)
        expected = catalog_run.expected(task, outcome)
        summary = summarise(spec, dataset, split, outcome.tally, task.old.n_rows, expected)
        near = near_names(dataset)
        if near:
            hint = f"{dataset!r} is read as a custom corpus; was {near[0]!r} meant?"
            summary = dataclasses.replace(summary, warnings=(hint, *summary.warnings))
        if not dry_run:
            files = catalog_run.publish(task, outcome, summary, lake)
            summary = dataclasses.replace(summary, replaced=files is not None, files=files or ())
    return dataclasses.replace(summary, seconds=round(time.monotonic() - start, 3))


def _check_labels(labels_csv: str | None, layout: str, source_uri: str) -> None:
    """Refuse a bad label file before anything starts."""
    if labels_csv is None:
        return
    if layout != "custom":
        raise ConfigError(
            f"labels {labels_csv}: dataset {layout} brings its own labels; leave the file out, or "
            "give the corpus another dataset name"
        )
    from fakeout_core.datasets.labels_csv import parse_labels

    try:
        content = read_bytes(labels_csv)
    except FileNotFoundError:
        raise ConfigError(f"labels {labels_csv} does not exist") from None
    parse_labels(content, labels_csv, local_path(source_uri) or source_uri)
