"""Reading many small Parquet files of a table: bounded memory, a few columns, any age of file.

pyarrow's dataset scanner keeps every file's footer for as long as it lives (4 GB for 12,500 files
of clips, whose nested columns have large footers). Here a file is opened, read and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from fakeout_core.schemas import TableSpec
from pipelines.layout import partition_of

FILENAME = "__filename"
"""Column with the path of each row's file, on request."""

_MERGE_EVERY = 256
_LOCAL_THREADS = 4
_REMOTE_THREADS = 32


def read_files(
    filesystem: pafs.FileSystem,
    root: str,
    spec: TableSpec,
    paths: Mapping[str, str],
    columns: Sequence[str] | None = None,
    filter: Any = None,
) -> pa.Table:
    """Read rows of some files.

    Args:
        filesystem: where they are.
        root: the lake's root there.
        spec: the table; columns that an older file lacks are null.
        paths: final path → path to read, relative to the root.
        columns: names, partition keys and ``__filename`` among them; None reads all.
        filter: a pyarrow expression over columns of the table.

    Returns:
        Rows in the order of the final paths.

    Raises:
        FileNotFoundError: a file is gone.
        OSError: a file cannot be read.
    """
    names = spec.full_schema.names if columns is None else list(columns)
    schema = pa.schema([_field(spec, name) for name in names])
    is_after = filter is not None and _fits(schema, filter)
    if filter is None or is_after:
        one = partial(_read_file, filesystem, root, schema, filter)
    else:
        one = partial(_scan_file, filesystem, root, spec, schema, filter)
    is_local = isinstance(filesystem, pafs.LocalFileSystem)
    merged: list[pa.Table] = [schema.empty_table()]
    pending: list[pa.Table] = []
    with ThreadPoolExecutor(_LOCAL_THREADS if is_local else _REMOTE_THREADS) as pool:
        items = sorted(paths.items())
        for start in range(0, len(items), _MERGE_EVERY):
            # A tiny table weighs ten times its data: merge as we go.
            pending = [
                table for table in pool.map(one, items[start : start + _MERGE_EVERY]) if len(table)
            ]
            if pending:
                merged.append(_joined(pending))
    return pa.concat_tables(merged)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """Concatenate; small chunks become one, large ones stay (offsets are 32 bits wide)."""
    table = pa.concat_tables(tables)
    return table.combine_chunks() if table.nbytes < 256 << 20 else table


def _field(spec: TableSpec, name: str) -> pa.Field:
    if name == FILENAME:
        return pa.field(name, pa.string())
    return spec.full_schema.field(name)


def _fits(schema: pa.Schema, filter: Any) -> bool:
    """Whether a filter needs no other columns than those that are read."""
    try:
        schema.empty_table().filter(filter)
    except pa.ArrowInvalid:
        return False
    return True


def _read_file(
    filesystem: pafs.FileSystem,
    root: str,
    schema: pa.Schema,
    filter: Any,
    item: tuple[str, str],
) -> pa.Table:
    final, path = item
    values = partition_of(final)
    inside = [name for name in schema.names if name not in values and name != FILENAME]
    with filesystem.open_input_file(f"{root}/{path}") as source:
        parquet = pq.ParquetFile(
            source, pre_buffer=not isinstance(filesystem, pafs.LocalFileSystem)
        )
        n_rows = parquet.metadata.num_rows
        body = parquet.read(inside, use_threads=False) if inside else None
    columns = []
    for field in schema:
        if field.name == FILENAME:
            columns.append(_repeat(f"{root}/{path}", n_rows))
        elif field.name in values:
            columns.append(_repeat(values[field.name], n_rows))
        elif body is not None and field.name in body.column_names:
            column = body[field.name]
            columns.append(column if column.type == field.type else column.cast(field.type))
        else:
            columns.append(pa.nulls(n_rows, field.type))
    table = pa.Table.from_arrays(columns, schema=schema)
    return table if filter is None else table.filter(filter)


def _repeat(value: str, n: int) -> pa.Array:
    return pa.array([value] * n, pa.string())


def _scan_file(
    filesystem: pafs.FileSystem,
    root: str,
    spec: TableSpec,
    schema: pa.Schema,
    filter: Any,
    item: tuple[str, str],
) -> pa.Table:
    final, path = item
    fragment = fragment_of(filesystem, root, final, path)
    found = fragment.to_table(
        schema=spec.full_schema, columns=schema.names, filter=filter, use_threads=False
    )
    return found.cast(schema)


def fragment_of(
    filesystem: pafs.FileSystem, root: str, final: str, path: str
) -> pads.ParquetFileFragment:
    """A file as pyarrow's datasets know it, with the values of its partition."""
    expression = None
    for key, value in partition_of(final).items():
        here = pads.field(key) == pa.scalar(value, pa.string())
        expression = here if expression is None else expression & here
    return pads.ParquetFileFormat().make_fragment(
        f"{root}/{path}", filesystem, partition_expression=expression
    )
