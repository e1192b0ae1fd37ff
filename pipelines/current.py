"""The current view: which of a video's rows counts now.

Tables only grow: a failed attempt may be followed by another, a changed video by rows of its new
version. What counts is the newest attempt on what the catalog lists, or on something newer (the
bytes were replaced between listing and reading). Videos that left the catalog have no current row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as pads

from pipelines.lake import Lake
from pipelines.scan import FILENAME

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
    others = ["crop", *extra]  # the crop is what callers filter by
    columns = [*names, *(FILENAME if name == FILE else name for name in others)]
    rows = lake.read(table, columns=columns, filter=filter, **where)
    rows = rows.rename_columns([*names, *others])
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


Attempts = dict[str, list[Attempt]]
"""video_id → its rows."""


class View:
    """The tables of one dataset, split and crop (and model) at one moment; read once, on demand.

    Args:
        lake: the lake.
        dataset: its name.
        split: its split.
        crop: crop fingerprint.
        model: model fingerprint; empty if scores do not matter.
    """

    def __init__(self, lake: Lake, dataset: str, split: str, crop: str, model: str = "") -> None:
        self.lake, self.dataset, self.split = lake, dataset, split
        self.crop, self.model = crop, model
        self._where = {"dataset": dataset, "split": split}

    @cached_property
    def catalog(self) -> pa.Table:
        """Catalog rows, partition columns included."""
        return read_catalog(self.lake, self.dataset, self.split)

    @cached_property
    def _clips(self) -> tuple[pa.Table, Attempts]:
        where = {**self._where, "crop": self.crop}
        return read_attempts(self.lake, "clips", where, [FILE, "duration_s"])

    @property
    def clip_rows(self) -> pa.Table:
        """Rows of ``clips``, without what is in the clips; ``Attempt.row`` points here."""
        return self._clips[0]

    @property
    def clips(self) -> Attempts:
        """Attempts at the crop stage."""
        return self._clips[1]

    @cached_property
    def scores(self) -> Attempts:
        """Attempts of the model at clips of this crop."""
        where = {**self._where, "model": self.model}
        only = pads.field("crop") == self.crop
        return read_attempts(self.lake, "scores", where, filter=only)[1]

    @cached_property
    def failed_scores(self) -> Attempts:
        """Failed attempts of any model at clips of this crop."""
        only = (pads.field("crop") == self.crop) & (pads.field("status") == "failed")
        return read_attempts(self.lake, "scores", self._where, filter=only)[1]

    def deleted(self) -> int:
        """Videos that have clips or scores here and left the catalog."""
        listed = set(self.catalog["video_id"].to_pylist())
        return len((self.clips.keys() | self.scores.keys()) - listed)
