"""The current view: one row per catalogued video, with its newest score if it has one.

Deleted videos (not in the catalog) leave it. A score counts if it is of the bytes that the catalog
lists, or younger than the listing (they were replaced between listing and reading). Of several
such rows the newest stands. Planning decides by the same rule (``pipelines.current``).
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute  # pyright: ignore[reportMissingTypeStubs]

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

CATALOG_COLUMNS = (
    "video_id",
    "content_version",
    "label",
    "manipulation",
    "source_id",
    "has_audio",
    "duration_s",
    "listed_at",
)
SCORE_COLUMNS = (
    "video_id",
    "content_version",
    "crop",
    "status",
    "reason",
    "score",
    "n_windows",
    "weights",
    "audio_status",
    "duration_s",
    "face_px",
    "label",
    "manipulation",
    "source_id",
    "run_id",
    "attempts",
    "scored_at",
)
UNSCORED = "unscored"
"""Status of a catalogued video without any score row."""


def newest(table: pa.Table, by: tuple[str, ...]) -> pa.Table:
    """Keep one row per video: the greatest by the columns ``by``, in their order.

    Args:
        table: with ``video_id`` and the columns of ``by``.
        by: columns to compare, most significant first.

    Returns:
        One row per ``video_id``, in order of first appearance of the video.
    """
    if not table.num_rows:
        return table
    code = pc.dictionary_encode(table["video_id"]).combine_chunks()
    video = np.asarray(code.indices)
    keys = [np.asarray(_sortable(table[name])) for name in reversed(by)]
    order = np.lexsort([*keys, video])
    last = np.append(video[order][1:] != video[order][:-1], True)
    return table.take(pa.array(order[last]))


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.int64()) if pa.types.is_timestamp(column.type) else column


def current_view(catalog: pa.Table | None, scores: pa.Table) -> pa.Table:
    """Join the catalog of one dataset and split with one model's score rows.

    Args:
        catalog: `CATALOG_COLUMNS`, or None for a lake without catalog: then every scored video
            counts as catalogued with the content of its newest row.
        scores: `SCORE_COLUMNS`, of one model.

    Returns:
        One row per video: the score columns (null where unscored, ``status`` 'unscored'), with
        label, manipulation and source_id of the catalog, which may have learned them since, and
        ``has_audio`` and ``duration_s`` of whichever table knows.
    """
    if catalog is None:
        rows = newest(scores, ("scored_at", "attempts"))
        return rows.append_column("has_audio", pc.equal(rows["audio_status"], "used"))
    listed: Any = newest(catalog, ("listed_at",))
    at = pc.index_in(scores["video_id"], value_set=listed["video_id"])
    version = listed["content_version"].take(at)
    is_newer = pc.greater_equal(scores["scored_at"], listed["listed_at"].take(at))
    is_current = pc.or_kleene(pc.equal(scores["content_version"], version), is_newer)
    is_current = pc.fill_null(is_current, False)
    rows: Any = newest(scores.filter(is_current), ("scored_at", "attempts"))
    found = pc.index_in(listed["video_id"], value_set=rows["video_id"])
    scored: Any = rows.take(found)
    columns: dict[str, pa.ChunkedArray] = {}
    for name in SCORE_COLUMNS:
        columns[name] = scored[name]
    columns["status"] = pc.fill_null(columns["status"], UNSCORED)
    columns["video_id"] = listed["video_id"]
    columns["content_version"] = pc.coalesce(scored["content_version"], listed["content_version"])
    for name in ("label", "manipulation", "source_id"):
        columns[name] = pc.coalesce(listed[name], scored[name])
    columns["duration_s"] = pc.coalesce(scored["duration_s"], listed["duration_s"])
    used = pc.equal(scored["audio_status"], "used")
    columns["has_audio"] = pc.coalesce(used, listed["has_audio"])
    return pa.table(columns)
