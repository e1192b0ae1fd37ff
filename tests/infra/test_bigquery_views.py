"""The BigQuery views, run by DuckDB over small tables: it reads the SQL they are written in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from fakeout_core.schemas import TABLES

VIEWS = (
    Path(__file__).resolve().parents[2] / "infra" / "terraform" / "modules" / "bigquery" / "views"
)
START = datetime(2026, 11, 1, tzinfo=UTC)


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a lake table; columns that a row leaves out are null or empty."""
    schema = TABLES[name].full_schema
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    return pa.Table.from_pylist(rows, schema=nullable)


def catalog(video: str, version: str) -> dict[str, Any]:
    return {"dataset": "d", "split": "all", "video_id": video, "content_version": version}


def score(
    video: str, version: str, status: str, attempts: int, hours: int, **more: Any
) -> dict[str, Any]:
    return {
        **catalog(video, version),
        "model": "m1",
        "crop": "c",
        "status": status,
        "attempts": attempts,
        "scored_at": START + timedelta(hours=hours),
        **more,
    }


@pytest.fixture
def lake() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    tables = {
        "catalog": [catalog("a", "1"), catalog("b", "2"), catalog("c", "1"), catalog("e", "1")],
        "scores": [
            score("a", "1", "failed", 1, 0),
            score("a", "1", "scored", 2, 1, score=0.5),
            score("a", "1", "scored", 1, 9, score=0.75, model="m2"),
            score("b", "1", "scored", 1, 0, score=0.1),  # older bytes
            score("c", "1", "failed", 1, 0),
            score("gone", "1", "scored", 1, 0, score=0.9),  # deleted since
        ],
        "quarantine": [
            {**catalog("a", "1"), "stage": "crop", "at": START},  # scored later
            {**catalog("b", "1"), "stage": "crop", "at": START},  # older bytes
            {**catalog("c", "1"), "stage": "crop", "at": START, "message": "first"},
            {
                **catalog("c", "1"),
                "stage": "crop",
                "at": START + timedelta(days=1),
                "message": "second",
            },
        ],
    }
    for name, rows in tables.items():
        connection.register(name, table(name, rows))
    for path in sorted(VIEWS.glob("*.sql"), key=lambda p: p.stem != "scores_current"):
        sql = re.sub(r"`\$\{dataset\}\.(\w+)`", r"\1", path.read_text())
        assert "$" not in sql
        assert "`" not in sql
        connection.execute(f"CREATE VIEW {path.stem} AS {sql}")
    return connection


def test_current_scores_are_the_newest_attempt_on_the_present_bytes(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    query = "SELECT video_id, model, attempts, score FROM scores_current ORDER BY ALL"
    assert lake.execute(query).fetchall() == [
        ("a", "m1", 2, 0.5),
        ("a", "m2", 1, 0.75),
        ("c", "m1", 1, None),
    ]


def test_coverage_counts_what_has_no_row_at_all(lake: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT model, videos, scored, failed, coverage FROM coverage ORDER BY model"
    assert lake.execute(query).fetchall() == [("m1", 4, 1, 1, 0.25), ("m2", 4, 1, 0, 0.25)]


def test_open_quarantine_holds_the_last_failure_of_unscored_videos(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    assert lake.execute("SELECT video_id, message FROM quarantine_open").fetchall() == [
        ("c", "second")
    ]


def test_score_changes_compare_with_the_score_before(lake: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT video_id, previous_model, model, score_change FROM score_changes"
    assert lake.execute(query).fetchall() == [("a", "m1", "m2", 0.25)]
