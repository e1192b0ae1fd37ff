"""Table-to-table steps of the catalog, free of Beam: facts joined, old rows reused, rows ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset as pds

from fakeout_core.datasets.facts import Resolver
from fakeout_core.ids import content_version
from fakeout_core.schemas import CATALOG
from pipelines.catalog_probe import VERDICTS, Probed
from pipelines.catalog_tally import Tally
from pipelines.storage import filesystem

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

PROBE_COLUMNS = tuple(field.name for field in fields(Probed))
RESOLVED = pa.schema([*CATALOG.schema, pa.field("sure", pa.bool_(), nullable=False)])
NOT_LOOKED_AT = Probed("")


@dataclass(frozen=True)
class OldSnapshot:
    """The catalog of this dataset and split as it stands.

    Attributes:
        uris: its Parquet files.
        n_rows: videos in it.
    """

    uris: tuple[str, ...] = ()
    n_rows: int = 0

    def between(self, video_ids: pa.ChunkedArray) -> pa.Table:
        """Read the rows whose ids lie within the range of ``video_ids``.

        Files are sorted by id and listings nearly are, so row-group statistics leave most out.
        """
        empty = CATALOG.schema.empty_table()
        if not self.uris or len(video_ids) == 0:
            return empty
        store, _ = filesystem(self.uris[0])
        paths = [filesystem(uri)[1] for uri in self.uris]
        source = pds.dataset(paths, schema=CATALOG.schema, format="parquet", filesystem=store)
        ends = pc.min_max(video_ids)
        inside = (pc.field("video_id") >= ends["min"]) & (pc.field("video_id") <= ends["max"])
        return source.to_table(filter=inside, use_threads=False)


def resolve(
    listed: pa.Table, resolver: Resolver, split: str, old: OldSnapshot, now: datetime, tally: Tally
) -> pa.Table:
    """Join one shard of the listing with facts, and with what was known of the same bytes.

    Args:
        listed: schema ``LISTED``.
        resolver: of the corpus.
        split: wanted split.
        old: the catalog as it stands.
        now: when this build listed the corpus, for new content.
        tally: counts what is left out.

    Returns:
        Rows of the split, schema ``RESOLVED``. ``probe_status`` is null where the object must
        still be looked at.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("label", "manipulation", "source_id")}
    keep: list[int] = []
    seen: dict[str, list[int]] = {}
    for row, path in enumerate(listed["video_id"].to_pylist()):
        facts = resolver.resolve(path)
        if facts is None:
            tally.skip("outside_layout", path)
            continue
        if not facts.is_chosen:
            tally.skip("left_out", path)
            continue
        tally.splits.update(facts.splits or ())
        if not facts.is_in(split):
            tally.skip("other_split", path)
            continue
        keep.append(row)
        columns["label"].append(facts.label)
        columns["manipulation"].append(facts.manipulation)
        columns["source_id"].append(facts.source_id)
        tally.groups[facts.variant, facts.manipulation, facts.label] += 1
        if facts.entry >= 0:
            seen.setdefault(facts.variant, []).append(facts.entry)
    for variant, entries in seen.items():
        tally.seen[variant] = np.unique(np.asarray(entries, np.int32))
    kept = listed.take(pa.array(keep, pa.int64()))
    version = [
        content_version(generation or "", checksum or "", size)
        for generation, checksum, size in zip(
            kept["generation"].to_pylist(),
            kept["checksum"].to_pylist(),
            kept["size_bytes"].to_pylist(),
            strict=True,
        )
    ]
    table = pa.table(
        {
            **{name: kept[name] for name in kept.column_names},
            "content_version": pa.array(version, pa.string()),
            **{name: pa.array(values, _type(name)) for name, values in columns.items()},
            "duplicate_of": pa.nulls(len(keep), pa.string()),
        }
    )
    return _with_old(table, old.between(kept["video_id"]), now)


def _with_old(table: pa.Table, old: pa.Table, now: datetime) -> pa.Table:
    """Take probe results and listing time from old rows of the same content."""
    at = pc.index_in(table["video_id"], value_set=old["video_id"].combine_chunks())
    before = old.take(at)
    same = pc.fill_null(pc.equal(before["content_version"], table["content_version"]), False)
    for name in (*PROBE_COLUMNS, "listed_at"):
        otherwise = pa.scalar(now if name == "listed_at" else None, _type(name))
        table = table.append_column(name, pc.if_else(same, before[name], otherwise))
    looked_at = pc.is_in(table["probe_status"], pa.array(["ok", *map(str, VERDICTS)]))
    status = pc.if_else(looked_at, table["probe_status"], pa.scalar(None, pa.string()))
    table = table.set_column(table.column_names.index("probe_status"), "probe_status", status)
    return table.select(RESOLVED.names).cast(RESOLVED)


def finish(
    resolved: pa.Table,
    probes: Mapping[int, Probed],
    duplicates: Mapping[int, str],
    old: OldSnapshot,
    tally: Tally,
) -> pa.Table:
    """Fill in probe results and duplicates, drop what is no video, and compare with before.

    Args:
        resolved: one shard, schema ``RESOLVED``.
        probes: by row, for the rows that were looked at now.
        duplicates: by row, the video_id of the first video with the same bytes.
        old: the catalog as it stands.
        tally: counts rows by what happened to them.

    Returns:
        Rows with the catalog's schema.
    """
    table = _with_probes(resolved, probes)
    if duplicates:
        names = [duplicates.get(row) for row in range(table.num_rows)]
        table = _set(table, "duplicate_of", names)
    status = table["probe_status"]
    # Without an extension the magic bytes decide, even if the header then makes no sense.
    media = pc.or_(table["sure"], pc.or_(status.is_null(), table["container"].is_valid()))
    for path in table.filter(pc.invert(media))["video_id"].to_pylist():
        tally.skip("not_media", path)
    tally.counts["reused"] += pc.sum(pc.is_valid(resolved["probe_status"])).as_py() or 0
    tally.counts["probed"] += len(probes)
    kept = table.filter(media)
    for group in _dropped_groups(table.filter(pc.invert(media))):
        tally.groups[group] -= 1
    rows = kept.select(CATALOG.schema.names).cast(CATALOG.schema)
    _compare(rows, old.between(rows["video_id"]), tally)
    tally.counts["videos"] += rows.num_rows
    tally.counts["duplicates"] += rows.num_rows - rows["duplicate_of"].null_count
    return rows


def _dropped_groups(dropped: pa.Table) -> Iterable[tuple[str, str | None, int | None]]:
    labels = dropped["label"].to_pylist()
    for manipulation, label in zip(dropped["manipulation"].to_pylist(), labels, strict=True):
        yield "", manipulation, label


def _with_probes(table: pa.Table, probes: Mapping[int, Probed]) -> pa.Table:
    if not probes:
        return table
    for name in PROBE_COLUMNS:
        values = table[name].to_pylist()
        for row, probed in probes.items():
            values[row] = getattr(probed, name)
        table = _set(table, name, values)
    return table


def _compare(rows: pa.Table, old: pa.Table, tally: Tally) -> None:
    """Count new, changed, edited and unchanged rows."""
    at = pc.index_in(rows["video_id"], value_set=old["video_id"].combine_chunks())
    before = old.take(at)
    is_old = pc.is_valid(at)
    same = pc.fill_null(pc.equal(rows["content_version"], before["content_version"]), False)
    equal = same
    for name in rows.column_names:
        a, b = rows[name], before[name]
        both_null = pc.and_(pc.is_null(a), pc.is_null(b))
        equal = pc.and_(equal, pc.or_(both_null, pc.fill_null(pc.equal(a, b), False)))
    n_old, n_same, n_equal = (pc.sum(mask).as_py() or 0 for mask in (is_old, same, equal))
    tally.counts["new"] += rows.num_rows - n_old
    tally.counts["changed"] += n_old - n_same
    tally.counts["edited"] += n_same - n_equal
    tally.counts["unchanged"] += n_equal


def _type(name: str) -> pa.DataType:
    return CATALOG.schema.field(name).type


def _set(table: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, RESOLVED.field(name), pa.array(values, RESOLVED.field(name).type))
