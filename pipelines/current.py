"""The current view: which of a video's rows counts now.

Tables only grow: a failed attempt may be followed by another, a changed video by rows of its new
version. What counts is the newest attempt on what the catalog lists, or on something newer (the
bytes were replaced between listing and reading). Videos that left the catalog have no current row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.lake import Lake

FILE = "clip_file"
"""Column with each row's Parquet file, on request."""


class Attempt(NamedTuple):
    """One row of ``clips`` or ``scores``, as far as planning cares.

    Attributes:
        version: content version really read.
        attempts: attempts on it so far, this one included.
        status: ``ok``, ``scored`` or ``failed``.
        reason: why it failed.
        at: when.
        row: its place in the table that was read.
    """

    version: str
    attempts: int
    status: str
    reason: str | None
    at: datetime
    row: int

    @property
    def is_ok(self) -> bool:
        """Whether it did not fail."""
        return self.status != "failed"


def read_attempts(
    lake: Lake,
    table: str,
    where: Mapping[str, str],
    extra: Sequence[str] = (),
    filter: Any = None,
) -> tuple[pa.Table, dict[str, list[Attempt]]]:
    """Read the rows of a partition, and group them by video.

    Args:
        lake: the lake.
        table: ``clips`` or ``scores``.
        where: partition values.
        extra: further columns to read; ``clip_file`` is each row's file, as the file
            system names it.
        filter: a pyarrow expression.

    Returns:
        The rows, and video_id → its attempts.
    """
    moment = "cropped_at" if table == "clips" else "scored_at"
    names = ["video_id", "content_version", "attempts", "status", "reason", moment]
    columns = [*names, *("__filename" if name == FILE else name for name in extra)]
    rows = lake.read(table, columns=columns, filter=filter, **where)
    rows = rows.rename_columns([*names, *extra])
    by_video: dict[str, list[Attempt]] = {}
    lists = [rows[name].to_pylist() for name in names]
    for index, (video, version, count, status, reason, at) in enumerate(zip(*lists, strict=True)):
        by_video.setdefault(video, []).append(Attempt(version, count, status, reason, at, index))
    return rows, by_video


def current(
    attempts: Iterable[Attempt], content_version: str, listed_at: datetime
) -> Attempt | None:
    """The attempt that counts for a catalogued video; None if there is none yet.

    Args:
        attempts: all of the video's rows.
        content_version: as the catalog lists it.
        listed_at: when the catalog's listing saw that version.
    """
    valid = [one for one in attempts if one.version == content_version or one.at >= listed_at]
    return max(valid, key=lambda one: (one.at, one.attempts), default=None)


def read_catalog(
    lake: Lake, dataset: str, split: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Catalog rows of a dataset and split, partition columns included."""
    return lake.read("catalog", columns=columns, dataset=dataset, split=split)
