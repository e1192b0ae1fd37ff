"""The metrics' Beam graph: views → videos, windows, comparisons → tables in the spool.

What travels between steps is small: addresses of Parquet files in the spool, and one state per
group for the windows, which holds at most ``exact_rows`` scores or a histogram of fixed size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
from apache_beam.pvalue import AsDict

from fakeout_core.ids import digest
from fakeout_core.metrics.compare import compare
from fakeout_core.metrics.config import POLICIES, MetricsConfig
from fakeout_core.metrics.evaluate import (
    SCORE_WITHOUT_FACE,
    SliceResult,
    evaluate_sketch,
    evaluate_videos,
    evaluate_windows,
    sketch_members,
)
from fakeout_core.metrics.sketch import Sketch
from fakeout_core.metrics.slices import ALL
from fakeout_core.metrics.tables import Stamp, result_tables
from fakeout_core.schemas import MODEL_COMPARISONS
from pipelines.lake import Lake
from pipelines.metrics_views import (
    Group,
    View,
    load_view,
    read_view,
    view_digest,
    window_rows,
    write_table,
)
from pipelines.storage import join

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers


@dataclass(frozen=True)
class MetricsTask:
    """All that the graph's steps need; travels pickled.

    Attributes:
        lake_uri: root of the lake.
        spool_uri: folder for this computation's own files.
        run_id: of the run that computes.
        computed_at: when it began.
        config: settings.
    """

    lake_uri: str
    spool_uri: str
    run_id: str
    computed_at: datetime
    config: MetricsConfig


@dataclass(frozen=True)
class Work:
    """One group, and its window files in parts.

    Attributes:
        group: what it is about.
        is_wanted: whether its metrics are; else it is there to be compared with.
        window_uris: files of its windows, in parts for one step each.
    """

    group: Group
    is_wanted: bool
    window_uris: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Kept:
    """A view in the spool.

    Attributes:
        group: what it is about.
        is_wanted: as in `Work`.
        uri: its file.
        n_windows: windows its score rows claim; decides between exact and histogram.
        stamp: shared columns of the group's results.
    """

    group: Group
    is_wanted: bool
    uri: str
    n_windows: int
    stamp: Stamp


class KeepView(beam.DoFn):
    """Joins catalog and scores of a group and keeps the result in the spool."""

    def __init__(self, task: MetricsTask) -> None:
        self._task = task

    def process(self, element: Work) -> Iterator[tuple[str, Kept]]:
        """Yield the group's view."""
        task, group = self._task, element.group
        table = read_view(Lake(task.lake_uri), group)
        uri = join(task.spool_uri, "views", f"{_name(group)}.parquet")
        write_table(uri, table)
        weights = pc.drop_null(pc.unique(table["weights"])).to_pylist()
        stamp = Stamp(
            **asdict(group),
            run_id=task.run_id,
            computed_at=task.computed_at,
            weights=weights[0] if len(weights) == 1 else None,
            input_digest=view_digest(table, task.config),
        )
        n_windows = int(pc.sum(table["n_windows"]).as_py() or 0)
        yield _name(group), Kept(group, element.is_wanted, uri, n_windows, stamp)


def _name(group: Group) -> str:
    """Key of a group between steps, and its files' name: partition values may hold anything."""
    return digest(asdict(group), 16)


def _keep_results(
    task: MetricsTask, kept: Kept, level: str, results: Iterable[SliceResult]
) -> Iterator[tuple[str, str]]:
    """Write the rows of one level; yield (table, address)."""
    for name, rows in result_tables(results, kept.stamp, task.config).items():
        if rows.num_rows:
            uri = join(task.spool_uri, "results", f"{name}-{level}-{_name(kept.group)}.parquet")
            write_table(uri, rows)
            yield name, uri


class EvaluateVideos(beam.DoFn):
    """Metrics of the video level of one group."""

    def __init__(self, task: MetricsTask) -> None:
        self._task = task

    def process(self, element: tuple[str, Kept]) -> Iterator[tuple[str, str]]:
        """Yield (table, address of its rows)."""
        _, kept = element
        if kept.is_wanted:
            people = load_view(kept.uri, self._task.config).people
            results = evaluate_videos(people, self._task.config)
            yield from _keep_results(self._task, kept, "video", results)


@dataclass
class WindowState:
    """Windows of one group seen so far: rows, or a histogram beyond the limit.

    Attributes:
        scores: float64 chunks.
        videos: int32 chunks, index in the view.
        sketch: the histogram; None while exact.
    """

    scores: list[npt.NDArray[np.float64]] = field(default_factory=list)
    videos: list[npt.NDArray[np.int32]] = field(default_factory=list)
    sketch: Sketch | None = None

    def merge(self, other: WindowState) -> None:
        """Add another state of the same group and kind."""
        self.scores += other.scores
        self.videos += other.videos
        if other.sketch is not None:
            if self.sketch is None:
                self.sketch = other.sketch
            else:
                self.sketch.merge(other.sketch)


class CountWindows(beam.DoFn):
    """Reads some window files of a group into a state."""

    def __init__(self, task: MetricsTask) -> None:
        self._task = task

    def process(
        self, element: tuple[str, tuple[str, ...]], views: dict[str, Kept]
    ) -> Iterator[tuple[str, WindowState]]:
        """Yield the state of these files."""
        key, uris = element
        config, kept = self._task.config, views[key]
        view = load_view(kept.uri, config)
        state = WindowState()
        if kept.n_windows > config.exact_rows:
            state.sketch = _sketch(uris, view, config)
        else:
            for scores, videos in window_rows(uris, view.table):
                state.scores.append(scores)
                state.videos.append(videos.astype(np.int32))
        yield key, state


def _sketch(uris: tuple[str, ...], view: View, config: MetricsConfig) -> Sketch:
    people = view.people
    sketch = Sketch.empty(len(people.slices), people.n_sources, config)
    member = sketch_members(people)
    for scores, videos in window_rows(uris, view.table):
        sketch.add(scores, videos, people.label == 1, people.source, member, config)
    return sketch


class MergeWindows(beam.CombineFn):
    """Adds up window states, in any order."""

    def create_accumulator(self) -> WindowState:
        """Nothing yet."""
        return WindowState()

    def add_input(self, accumulator: WindowState, element: WindowState) -> WindowState:
        """Add one state."""
        accumulator.merge(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[WindowState]) -> WindowState:
        """Add several."""
        total = WindowState()
        for part in accumulators:
            total.merge(part)
        return total

    def extract_output(self, accumulator: WindowState) -> WindowState:
        """The state itself."""
        return accumulator


class EvaluateWindows(beam.DoFn):
    """Metrics of the window level of one group."""

    def __init__(self, task: MetricsTask) -> None:
        self._task = task

    def process(
        self, element: tuple[str, WindowState], views: dict[str, Kept]
    ) -> Iterator[tuple[str, str]]:
        """Yield (table, address of its rows)."""
        key, state = element
        config, kept = self._task.config, views[key]
        people = load_view(kept.uri, config).people
        if state.sketch is not None:
            results = evaluate_sketch(state.sketch, people, config)
        else:
            scores = np.concatenate([np.empty(0), *state.scores])
            videos = np.concatenate([np.empty(0, np.int64), *state.videos])
            results = evaluate_windows(scores, videos.astype(np.int64), people, config)
        yield from _keep_results(self._task, kept, "window", results)


class CompareModels(beam.DoFn):
    """Paired comparisons of the models of one dataset and split."""

    def __init__(self, task: MetricsTask) -> None:
        self._task = task

    def process(self, element: tuple[tuple[str, str], Iterable[Kept]]) -> Iterator[tuple[str, str]]:
        """Yield (table, address of its rows)."""
        place, kept = element
        rows: list[dict[str, Any]] = []
        for a, b in combinations(sorted(kept, key=lambda item: item.group.model), 2):
            if a.is_wanted or b.is_wanted:
                rows.extend(self._pair(a, b))
        if rows:
            uri = join(self._task.spool_uri, "results", f"compare-{digest(place, 16)}.parquet")
            write_table(uri, pa.Table.from_pylist(rows, MODEL_COMPARISONS.full_schema))
            yield "model_comparisons", uri

    def _pair(self, a: Kept, b: Kept) -> Iterator[dict[str, Any]]:
        config = self._task.config
        first, second = load_view(a.uri, config), load_view(b.uri, config)
        people = first.people
        at = pc.index_in(first.table["video_id"], value_set=second.table["video_id"])
        same = pc.equal(first.table["content_version"], second.table["content_version"].take(at))
        shared = np.flatnonzero(np.asarray(pc.fill_null(same, False)) & (people.label >= 0))
        other = np.asarray(pc.fill_null(at, 0))[shared]
        theirs = second.people
        for index, name in enumerate(people.slices):
            if name != ALL and not name.startswith("manipulation="):
                continue
            for policy in POLICIES:
                pair = []
                usable = people.member[index][shared]
                for side, rows in ((people, shared), (theirs, other)):
                    filled = side.is_no_face[rows] & (policy != "exclude")
                    pair.append(np.where(filled, SCORE_WITHOUT_FACE, side.score[rows]))
                    usable = usable & (side.is_scored[rows] | filled)
                scores = np.stack(pair)[:, usable]
                kept = shared[usable]
                for found in compare(scores, people.label[kept] == 1, people.source[kept], config):
                    yield {
                        **asdict(found),
                        "dataset": a.group.dataset,
                        "split": a.group.split,
                        "level": "video",
                        "slice": name,
                        "no_face_policy": policy,
                        "metric": "roc_auc",
                        "model_a": a.group.model,
                        "model_b": b.group.model,
                        "run_id": self._task.run_id,
                        "computed_at": self._task.computed_at,
                    }


def by_split(element: tuple[str, Kept]) -> tuple[tuple[str, str], Kept]:
    """Key a view by dataset and split, where models are compared."""
    kept = element[1]
    return (kept.group.dataset, kept.group.split), kept


def build_graph(
    pipeline: beam.Pipeline, task: MetricsTask, work: list[Work]
) -> beam.PCollection[tuple[str, str]]:
    """Add the metrics' steps to a pipeline.

    Args:
        pipeline: of any runner.
        task: settings and places.
        work: the groups.

    Returns:
        (table, address of rows in the spool), one for each table and group.
    """
    views = (
        pipeline
        | "Groups" >> beam.Create(work)
        | "Spread groups" >> beam.Reshuffle()
        | "Current view" >> beam.ParDo(KeepView(task))
    )
    by_group = AsDict(views)
    videos = views | "Video level" >> beam.ParDo(EvaluateVideos(task))
    parts = [
        (_name(item.group), part) for item in work if item.is_wanted for part in item.window_uris
    ]
    windows = (
        pipeline
        | "Window files" >> beam.Create(parts)
        | "Spread files" >> beam.Reshuffle()
        | "Count windows" >> beam.ParDo(CountWindows(task), by_group)
        | "Add up" >> beam.CombinePerKey(MergeWindows())
        | "Window level" >> beam.ParDo(EvaluateWindows(task), by_group)
    )
    compared = (
        views
        | "By split" >> beam.Map(by_split)
        | "All models" >> beam.GroupByKey()
        | "Compare" >> beam.ParDo(CompareModels(task))
    )
    return (videos, windows, compared) | "Results" >> beam.Flatten()
