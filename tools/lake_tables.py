"""Write what the BigQuery module must know of the lake's tables, from fakeout_core.schemas.

Run after a change of a schema; tests/infra fails until it has been:
    python -m tools.lake_tables
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from fakeout_core.schemas import TABLES

MODULE = Path(__file__).resolve().parent.parent / "infra/terraform/modules/bigquery"


def table_definitions() -> dict[str, dict[str, object]]:
    """Per table: what a row is, its partition keys in path order, and the key of its rows."""
    return {
        name: {
            "description": f"One row per {spec.row}",
            "partition_keys": list(spec.partition_keys),
            "key": list(spec.key),
        }
        for name, spec in TABLES.items()
    }


def main() -> None:
    """Write tables.json and one empty Parquet file per table, whose schema BigQuery takes over."""
    text = json.dumps(table_definitions(), indent=2) + "\n"
    (MODULE / "tables.json").write_text(text)
    for name, spec in TABLES.items():
        pq.write_table(
            spec.schema.remove_metadata().empty_table(), MODULE / "schemas" / f"{name}.parquet"
        )


if __name__ == "__main__":
    main()
