"""The current view of one dataset, split and model: read, kept for the steps, and matched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from fakeout_core.ids import digest
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.slices import Population, population
from fakeout_core.metrics.view import CATALOG_COLUMNS, SCORE_COLUMNS, current_view
from pipelines.lake import Lake
from pipelines.storage import filesystem

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

METRICS_CODE_VERSION = 1
"""Raise when the same scores give other metrics."""

_DIGESTED = (
    "video_id",
    "content_version",
    "crop",
    "run_id",
    "status",
    "reason",
    "score",
    "label",
    "manipulation",
    "source_id",
    "has_audio",
    "duration_s",
    "face_px",
)
_MATCHED = ("content_version", "crop", "run_id")
_BATCH_ROWS = 1 << 20


@dataclass(frozen=True)
class Group:
    """Dataset, split and model: what one set of metrics is about."""

    dataset: str
    split: str
    model: str


def read_view(lake: Lake, group: Group) -> pa.Table:
    """The current view of one group; one row per catalogued video."""
    where = {"dataset": group.dataset, "split": group.split}
    scores = lake.read("scores", SCORE_COLUMNS, **where, model=group.model)
    has_catalog = bool(lake.files("catalog", **where))
    catalog = lake.read("catalog", CATALOG_COLUMNS, **where) if has_catalog else None
    return current_view(catalog, scores).sort_by("video_id").combine_chunks()


def view_digest(view: pa.Table, config: MetricsConfig) -> str:
    """Digest of all that the metrics depend on: equal digests, equal metrics.

    Args:
        view: of `read_view`, sorted by video.
        config: settings.
    """
    state = hashlib.sha256(digest([config, METRICS_CODE_VERSION], 64).encode())
    for name in _DIGESTED:
        column = view[name].combine_chunks()
        state.update(np.packbits(np.asarray(column.is_null())).tobytes())
        if pa.types.is_string(column.type):
            text = pc.fill_null(column, "")
            state.update(np.asarray(pc.binary_length(text)).tobytes())
            state.update("".join(text.to_pylist()).encode())
        else:
            plain = pc.cast(column, pa.int8()) if pa.types.is_boolean(column.type) else column
            state.update(np.asarray(pc.fill_null(plain, 0)).tobytes())
    return "m-" + state.hexdigest()[:16]


def write_table(uri: str, table: pa.Table) -> None:
    """Keep a table for a later step; overwriting makes repeated work harmless."""
    where, path = filesystem(uri)
    where.create_dir(path.rpartition("/")[0], recursive=True)
    with where.open_output_stream(path) as sink:
        pq.write_table(table, sink, compression="zstd")


def read_table(uri: str) -> pa.Table:
    """Read what `write_table` kept."""
    where, path = filesystem(uri)
    with where.open_input_file(path) as source:
        return pq.read_table(source)


@dataclass(frozen=True)
class View:
    """A current view, ready for the metrics.

    Attributes:
        table: one row per video, sorted.
        people: the same as arrays.
    """

    table: pa.Table
    people: Population


@lru_cache(maxsize=4)
def load_view(uri: str, config: MetricsConfig) -> View:
    """Read a kept view; cached, as all files of a group want the same one."""
    table = read_table(uri)
    return View(table, population(table, config))


def window_rows(
    uris: Sequence[str], view: pa.Table
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
    """Stream the windows of current videos.

    Args:
        uris: files of the ``windows`` table, of the view's group.
        view: current view.

    Yields:
        float64 [n] probabilities of fake (NaN where null) and int64 [n] index of the video in
        the view, about a million rows at a time. Windows of deleted videos, older content or
        superseded runs are left out.
    """
    videos = view["video_id"].combine_chunks()
    wanted = {name: pc.dictionary_encode(view[name]).combine_chunks() for name in _MATCHED}
    for uri in uris:
        where, path = filesystem(uri)
        with where.open_input_file(path) as source:
            file = pq.ParquetFile(source, read_dictionary=["video_id", *_MATCHED])
            columns = ["video_id", "p_fake", *_MATCHED]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                video = _codes(batch["video_id"], videos)
                keep = video >= 0
                for name, values in wanted.items():
                    code = _codes(batch[name], values.dictionary)
                    of_view = np.asarray(pc.fill_null(values.indices, -1))
                    keep &= (code >= 0) & (code == of_view[np.maximum(video, 0)])
                score = np.asarray(pc.fill_null(batch["p_fake"], np.nan), dtype=np.float64)
                yield score[keep], video[keep]


def _codes(column: pa.Array, values: pa.Array) -> npt.NDArray[np.int64]:
    """Position of each row's text in ``values``, −1 where it is not there."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    place = pc.fill_null(pc.index_in(encoded.dictionary, value_set=values), -1)
    if not len(place):
        return np.full(len(column), -1, dtype=np.int64)
    at = np.asarray(place, dtype=np.int64)[np.asarray(pc.fill_null(encoded.indices, 0))]
    return np.where(np.asarray(encoded.is_null()), -1, at)
