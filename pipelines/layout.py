"""Where things lie in a lake: partition folders, file names from row keys, Parquet encoding.

<table>/<key>=<value>/…/<digest of row keys>-<run>.parquet      what readers see
_staging/<dataset>/<run>/…     whole files that workers wrote, and a marker per shard
_tx/<id>.json                  commit records of replacements, see pipelines.transactions
_locks/<dataset>.json          one run at a time
runs/<run>.json                run manifests
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from fakeout_core.errors import ConfigError
from fakeout_core.schemas import TABLES, TableSpec

PUBLISH_ORDER = ("catalog", "clips", "windows", "scores", "metrics", "quarantine")
"""Tables in the order in which a shard becomes visible: a score never precedes its windows."""

KEYED_TABLES = ("clips", "scores")
"""Tables with one row per video: their keys decide whether a shard is already published."""

# Distinct in (almost) every row: a dictionary would only cost.
_NO_DICTIONARY = frozenset(
    {"video_id", "uri", "content_version", "generation", "checksum", "message", "duplicate_of"}
)


def spec_of(table: str) -> TableSpec:
    """The table's description; ConfigError for an unknown name."""
    try:
        return TABLES[table]
    except KeyError:
        raise ConfigError(f"no such table: {table}; tables are {sorted(TABLES)}") from None


def encode_value(value: str) -> str:
    """Percent-encode a partition value as DuckDB, Spark, Polars and pyarrow decode it.

    Raises:
        ConfigError: the value is empty, which engines would read as null.
    """
    if not value:
        raise ConfigError("a partition value (dataset, split, …) is empty")
    return quote(value, safe="")


def partition_path(spec: TableSpec, values: Mapping[str, str]) -> str:
    """Folders of a partition below the lake's root, as far as ``values`` name keys in order.

    Raises:
        ConfigError: a value names no partition key of the table.
    """
    unknown = set(values) - set(spec.partition_keys)
    if unknown:
        raise ConfigError(
            f"{spec.name} has no partition keys {sorted(unknown)}; it has {spec.partition_keys}"
        )
    parts = [spec.name]
    for key in spec.partition_keys:
        if key not in values:
            break
        parts.append(f"{key}={encode_value(str(values[key]))}")
    return "/".join(parts)


def partition_of(path: str) -> dict[str, str]:
    """Partition values of a file's path below the lake's root."""
    values: dict[str, str] = {}
    for part in path.split("/")[1:-1]:
        key, separator, value = part.partition("=")
        if separator:
            values[key] = unquote(value)
    return values


def row_keys(spec: TableSpec, table: pa.Table) -> list[str]:
    """Digest of each row's key, 24 hex digits; ``table`` holds the partition keys too."""
    columns = [table[name].to_pylist() for name in spec.key]
    return [
        hashlib.blake2b(
            json.dumps(values, separators=(",", ":"), default=str).encode(), digest_size=12
        ).hexdigest()
        for values in zip(*columns, strict=True)
    ]


def digest_of_keys(keys: list[str]) -> str:
    """One name for a set of rows, whatever their order."""
    return hashlib.blake2b("".join(sorted(keys)).encode(), digest_size=10).hexdigest()


def conform(spec: TableSpec, table: pa.Table) -> pa.Table:
    """Bring a table to the spec: column order, types, missing nullable columns as nulls.

    Raises:
        ValueError: a column is unknown, a required one is missing, null, or of another type.
    """
    schema = spec.full_schema
    unknown = set(table.column_names) - set(schema.names)
    if unknown:
        raise ValueError(f"{spec.name} has no columns {sorted(unknown)}")
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
            if column.type != field.type:
                column = column.cast(field.type)
            if not field.nullable and column.null_count:
                raise ValueError(f"{spec.name}.{field.name} is null in {column.null_count} rows")
        elif field.nullable:
            column = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        else:
            raise ValueError(f"{spec.name} needs a column {field.name}")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def split_by_partition(
    spec: TableSpec, table: pa.Table
) -> Iterator[tuple[dict[str, str], pa.Table]]:
    """Yield each partition's values and rows, partition columns kept."""
    keys = list(spec.partition_keys)
    present = table.select(keys).group_by(keys).aggregate([]).to_pylist()
    if len(present) == 1:
        yield present[0], table
        return
    for values in sorted(present, key=lambda one: [str(one[key]) for key in keys]):
        mask = None
        for key, value in values.items():
            here = pads.field(key) == pa.scalar(value, pa.string())
            mask = here if mask is None else mask & here
        yield values, table.filter(mask)


def encode_parquet(spec: TableSpec, table: pa.Table, provenance: Mapping[str, str]) -> pa.Buffer:
    """One Parquet file: explicit schema, zstd, the table's row groups, provenance as metadata.

    Args:
        spec: the table.
        table: rows; partition columns are left out of the file.
        provenance: added to the schema's metadata as ``fakeout.<name>``.

    Returns:
        The file's bytes. Rows are in key order, so that statistics prune and repeats are equal.
    """
    order = [(name, "ascending") for name in spec.key if name not in spec.partition_keys]
    body = table.sort_by(order).drop_columns(list(spec.partition_keys)).cast(spec.schema)
    metadata = {**(spec.schema.metadata or {})}
    metadata |= {f"fakeout.{name}".encode(): text.encode() for name, text in provenance.items()}
    body = body.replace_schema_metadata(metadata)
    dictionary = [
        field.name
        for field in spec.schema
        if pa.types.is_string(field.type) and field.name not in _NO_DICTIONARY
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        body,
        sink,
        compression="zstd",
        row_group_size=spec.row_group_rows,
        use_dictionary=dictionary,  # pyright: ignore[reportArgumentType]
        version="2.6",
    )
    return sink.getvalue()
