"""Slices of a dataset, and the current view as arrays the metrics work on."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute  # pyright: ignore[reportMissingTypeStubs]

from fakeout_core.errors import Reason
from fakeout_core.metrics.config import MetricsConfig
from fakeout_core.metrics.curve import Floats, Ints

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

ALL = "all"


@dataclass(frozen=True)
class Population:
    """Videos of one dataset, split and model, as arrays of equal length.

    Attributes:
        score: float64, NaN where the video has no score.
        is_scored: bool; a scored video whose score is NaN stays one, to be reported.
        is_no_face: bool, failed for want of a face.
        label: int8, 1 fake, 0 real, −1 unknown.
        source: int64 code of the source identity; a video without one is its own source.
        status: int32, index in ``statuses``.
        statuses: scored, unscored, or the reason of failure; only those that occur.
        slices: names of the slices.
        member: bool [slices, videos].
        n_sources: number of codes.
    """

    score: Floats
    is_scored: npt.NDArray[np.bool_]
    is_no_face: npt.NDArray[np.bool_]
    label: npt.NDArray[np.int8]
    source: Ints
    status: npt.NDArray[np.int32]
    statuses: tuple[str, ...]
    slices: tuple[str, ...]
    member: npt.NDArray[np.bool_]
    n_sources: int


def population(view: pa.Table, config: MetricsConfig) -> Population:
    """Turn a current view (`fakeout_core.metrics.view.current_view`) into arrays.

    Args:
        view: one row per video.
        config: borders of the slices.

    Returns:
        The population with every slice that has members, ``all`` first.
    """
    status = pc.if_else(
        pc.equal(view["status"], "failed"),
        pc.coalesce(view["reason"], pa.scalar(Reason.INTERNAL.value)),
        view["status"],
    )
    outcome = pc.dictionary_encode(status).combine_chunks()
    source = pc.coalesce(view["source_id"], pc.binary_join_element_wise("", view["video_id"], "/"))
    code = np.asarray(pc.dictionary_encode(source).combine_chunks().indices, dtype=np.int64)
    label = np.asarray(pc.fill_null(pc.cast(view["label"], pa.int8()), -1), dtype=np.int8)
    names, member = _slices(view, label, config)
    is_scored = _bools(pc.equal(view["status"], "scored"))
    score = np.asarray(pc.fill_null(view["score"], np.nan), dtype=np.float64)
    return Population(
        score=np.where(is_scored, score, np.nan),
        is_scored=is_scored,
        is_no_face=_bools(pc.equal(view["reason"], Reason.NO_FACE.value)) & ~is_scored,
        label=label,
        source=code,
        status=np.asarray(outcome.indices, dtype=np.int32),
        statuses=tuple(outcome.dictionary.to_pylist()),
        slices=names,
        member=member,
        n_sources=int(code.max()) + 1 if code.size else 0,
    )


def _bools(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False)).astype(np.bool_)


def _slices(
    view: pa.Table, label: npt.NDArray[np.int8], config: MetricsConfig
) -> tuple[tuple[str, ...], npt.NDArray[np.bool_]]:
    found: dict[str, npt.NDArray[np.bool_]] = {ALL: np.ones(view.num_rows, dtype=bool)}
    made_by = view["manipulation"]
    for name in sorted(str(v) for v in pc.unique(made_by).to_pylist() if v not in (None, "real")):
        fakes = _bools(pc.equal(made_by, name)) & (label == 1)
        if fakes.any():
            found[f"manipulation={name}"] = fakes | (label == 0)
    sound = view["has_audio"]
    found["audio=with"] = _bools(sound)
    found["audio=without"] = _bools(pc.invert(sound))
    found |= _bins("duration", "s", view["duration_s"], config.duration_edges_s)
    found |= _bins("face_px", "px", view["face_px"], config.face_edges_px)
    kept = {name: rows for name, rows in found.items() if name == ALL or rows.any()}
    return tuple(kept), np.stack(list(kept.values()))


def _bins(
    name: str, unit: str, column: pa.ChunkedArray, edges: tuple[float, ...]
) -> dict[str, npt.NDArray[np.bool_]]:
    values = np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan), dtype=np.float64)
    borders = [0.0, *edges, np.inf]
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for low, high in pairwise(borders):
        upper = f"{high:g}{unit}" if np.isfinite(high) else ""
        text = f"{name}={low:g}-{upper}" if upper else f"{name}={low:g}{unit}+"
        found[text] = (values >= low) & (values < high)
    return found
