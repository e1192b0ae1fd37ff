"""Tables as comparable rows: run ids and times left out."""

from __future__ import annotations

from typing import Any

from pipelines.lake import Lake

UNSTABLE = {"run_id", "scored_at", "cropped_at", "crop_s", "computed_at", "listed_at", "at"}


def rows_of(lake_uri: str, table: str, *, without: frozenset[str] = frozenset()) -> list[Any]:
    """Every row of a table, sorted, less what may differ between equal runs."""
    rows = Lake(lake_uri).read(table).to_pylist()
    kept = [{k: v for k, v in row.items() if k not in UNSTABLE | without} for row in rows]
    return sorted(kept, key=repr)


def outcomes(lake_uri: str) -> dict[str, str]:
    """video_id → ``scored`` or the reason of the failure; fails if a video has two rows."""
    found: dict[str, str] = {}
    for row in Lake(lake_uri).read("scores").to_pylist():
        assert row["video_id"] not in found, f"two rows of {row['video_id']}"
        found[row["video_id"]] = row["reason"] or row["status"]
    return found
