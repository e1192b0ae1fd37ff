"""Rows of a query as a terminal table, CSV, JSON or Parquet."""

from __future__ import annotations

import io
import json
import math
from datetime import datetime
from typing import Any, BinaryIO

import pyarrow as pa

from jobs.terminal import console, printable

FORMATS = ("table", "csv", "json", "parquet")
MAX_SHOWN = 100
_BYTES_SHOWN = 12


def render(table: pa.Table, form: str) -> bytes:
    """Encode rows.

    Args:
        table: any rows.
        form: csv, json (an array of objects) or parquet.

    Returns:
        The encoded rows.
    """
    sink = io.BytesIO()
    if form == "csv":
        write_csv(table, sink)
    elif form == "json":
        rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
        text = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        sink.write(f"[\n{text}\n]\n".encode() if rows else b"[]\n")
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def write_csv(table: pa.Table, sink: BinaryIO) -> None:
    """Write CSV with a header; lists and structs as JSON, times as ISO 8601, null as nothing."""
    import csv

    text = io.TextIOWrapper(sink, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=65_536):
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            writer.writerow([_cell(value) for value in row])
    text.detach()


def _cell(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def plain(value: Any) -> Any:
    """Reduce a value to JSON types: times as ISO 8601, bytes as hex, NaN as null."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show(table: pa.Table, *, limit: int = MAX_SHOWN) -> None:
    """Print rows as a table fit for people.

    Args:
        table: any rows.
        limit: most rows printed; what is left out is said.
    """
    from rich.table import Table

    screen = console()
    grid = Table()
    for field in table.schema:
        is_number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        justify = "right" if is_number else "left"
        grid.add_column(printable(field.name), justify=justify, overflow="fold")
    for row in table.slice(0, limit).to_pylist():
        grid.add_row(*(_short(value) for value in row.values()))
    screen.print(grid)
    more = table.num_rows - limit
    rows = "1 row" if table.num_rows == 1 else f"{table.num_rows:,} rows"
    screen.print(f"{rows}; {more:,} not shown" if more > 0 else rows)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bytes):
        return f"{value[:_BYTES_SHOWN].hex()}… ({len(value)} bytes)"
    if isinstance(value, list):
        shown = ", ".join(_short(entry) for entry in value[:6])
        return f"[{shown}{', …' if len(value) > 6 else ''}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(entry)}" for key, entry in value.items()) + "}"
    return "" if value is None else printable(str(value))
