"""From a listing to shards: Parquet files of a few thousand entries each, in the lake's staging.

A shard's address is what travels through Beam, so that no runner has to hold the listing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from fakeout_core.datasets.facts import Layout
from fakeout_core.datasets.media_names import Likeness, likeness
from pipelines.catalog_tally import Tally
from pipelines.storage import ObjectInfo

LISTED = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("generation", pa.string()),
        pa.field("checksum", pa.string()),
        pa.field("sure", pa.bool_(), nullable=False),  # False: only magic bytes can tell
    ]
)


@dataclass(frozen=True)
class Shard:
    """One chunk of the listing.

    Attributes:
        number: from 0, in listing order.
        uri: of its Parquet file.
        n_rows: entries in it.
    """

    number: int
    uri: str
    n_rows: int


@dataclass(frozen=True)
class Sidecar:
    """A file of labels or lists inside the corpus.

    Attributes:
        path: inside the corpus.
        uri: where it is.
    """

    path: str
    uri: str


def into_tables(
    objects: Iterable[ObjectInfo],
    layout: Layout,
    rows: int,
    tally: Tally,
    leave_out: Callable[[ObjectInfo], bool] = lambda _: False,
) -> Iterator[pa.Table | Sidecar]:
    """Cut a listing into tables of at most ``rows`` candidates, holding one at a time.

    Args:
        objects: the listing.
        layout: says which files are sidecars.
        rows: at least 1.
        tally: counts what is left out.
        leave_out: objects that are not part of the corpus, such as a lake inside it.

    Yields:
        Tables with the schema ``LISTED``, and sidecars as they come by.
    """
    columns: list[list[object]] = [[] for _ in LISTED]
    for item in objects:
        if leave_out(item):
            continue
        tally.counts["listed"] += 1
        path = item.relative_path
        if layout.is_sidecar(path):
            tally.counts["sidecars"] += 1
            yield Sidecar(path, item.uri)
            continue
        kind = likeness(path)
        if kind in (Likeness.HIDDEN, Likeness.OTHER):
            tally.skip(kind.value, path)
            continue
        values = (
            path,
            item.uri,
            item.size_bytes,
            item.generation or None,
            item.checksum or None,
            kind is Likeness.VIDEO,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        if len(columns[0]) >= rows:
            yield _table(columns)
            columns = [[] for _ in LISTED]
    if columns[0]:
        yield _table(columns)


def _table(columns: list[list[object]]) -> pa.Table:
    arrays = [pa.array(values, field.type) for values, field in zip(columns, LISTED, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LISTED)
