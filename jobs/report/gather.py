"""What the report shows, read from a lake through the query views."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipelines.lake import Lake
from pipelines.storage import filesystem
from pipelines.views import connect

if TYPE_CHECKING:
    import duckdb

TOP = 24
MAX_CLIPS_SEARCHED = 5_000
_SPRITE = "tracks.list.element.sprite"

Row = dict[str, Any]
Key = tuple[str, str, str]


@dataclass
class Model:
    """Everything about one dataset, split and model.

    Attributes:
        key: dataset, split, model.
        scores: counts over the current scores.
        metrics: rows of ``metrics``.
        roc: slice → ROC points of the video level.
        pr: slice → precision-recall points of the video level.
        reliability: bins of the slice ``all``, video level.
        histogram: bins of the slice ``all``, video level.
    """

    key: Key
    scores: Row
    metrics: list[Row] = field(default_factory=list)
    roc: dict[str, list[Row]] = field(default_factory=dict)
    pr: dict[str, list[Row]] = field(default_factory=dict)
    reliability: list[Row] = field(default_factory=list)
    histogram: list[Row] = field(default_factory=list)


@dataclass
class ReportData:
    """The report's contents.

    Attributes:
        lake_uri: where it comes from.
        made_at: when.
        catalog: per dataset and split: videos, labels, hours.
        models: one entry for each dataset, split and model, sorted.
        comparisons: rows of ``model_comparisons``, slice ``all``.
        suspicious: the highest current scores.
        sprites: (dataset, split, video_id) → JPEG strip of the face.
        failures: standing failures by dataset, split, stage and reason.
        drift: rows of the view ``drift``.
        note: why there are no pictures, if so.
    """

    lake_uri: str
    made_at: datetime
    catalog: list[Row]
    models: list[Model]
    comparisons: list[Row]
    suspicious: list[Row]
    sprites: dict[Key, bytes]
    failures: list[Row]
    drift: list[Row]
    note: str | None = None


def gather(lake_uri: str, *, with_faces: bool = True) -> ReportData:
    """Read a lake.

    Args:
        lake_uri: root of the lake.
        with_faces: whether to take along pictures of the faces in suspicious videos.

    Returns:
        The report's contents; empty lists where the lake has nothing.
    """
    connection = connect(lake_uri)
    models = {key: Model(key, row) for key, row in _keyed(connection, _SCORES)}
    exclude = "level = 'video' and no_face_policy = 'exclude'"
    for key, row in _keyed(connection, f"{_FROM.format('metrics')} order by slice, metric"):
        if key in models:
            models[key].metrics.append(row)
    for name in ("roc", "pr"):
        sql = f"{_FROM.format(f'{name}_points')} where {exclude} order by slice, point"
        for key, row in _keyed(connection, sql):
            if key in models:
                getattr(models[key], name).setdefault(row["slice"], []).append(row)
    for table, name in (("reliability", "reliability"), ("score_histogram", "histogram")):
        sql = f"{_FROM.format(table)} where {exclude} and slice = 'all' order by bin"
        for key, row in _keyed(connection, sql):
            if key in models:
                getattr(models[key], name).append(row)
    suspicious = _rows(connection, f"from suspicious limit {TOP}")
    sprites: dict[Key, bytes] = {}
    note = None
    if with_faces and suspicious:
        sprites, note = find_sprites(lake_uri, suspicious)
    return ReportData(
        lake_uri,
        datetime.now(UTC),
        _rows(connection, _CATALOG),
        [models[key] for key in sorted(models)],
        _rows(connection, _COMPARISONS),
        suspicious,
        sprites,
        _rows(connection, _FAILURES),
        _rows(connection, "from drift"),
        note,
    )


_FROM = "select * from {}"
_SCORES = """
select dataset, split, model, count(*) as n_videos,
  count(*) filter (where status = 'scored') as n_scored,
  count(*) filter (where status = 'scored' and score > 0.5) as n_suspicious,
  max(weights) as weights, max(engine) as engine, max(scored_at) as scored_at
from latest_scores group by all
"""
_CATALOG = """
select dataset, split, count(*) as n_videos, count(*) filter (where label = 0) as n_real,
  count(*) filter (where label = 1) as n_fake, count(*) filter (where label is null) as n_unknown,
  sum(duration_s) / 3600 as hours, sum(size_bytes) / 1e9 as gigabytes
from catalog group by all order by all
"""
_COMPARISONS = """
from model_comparisons where slice = 'all' and no_face_policy = 'exclude'
order by dataset, split, model_a, model_b, method
"""
_FAILURES = """
select dataset, split, stage, reason, count(*) as n_videos, any_value(message) as example
from failures group by dataset, split, stage, reason order by n_videos desc, dataset, split,
  stage, reason
"""


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    return connection.execute(sql).to_arrow_table().to_pylist()


def _keyed(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Key, Row]]:
    rows = _rows(connection, sql)
    return [((row["dataset"], row["split"], row["model"]), row) for row in rows]


def find_sprites(lake_uri: str, wanted: list[Row]) -> tuple[dict[Key, bytes], str | None]:
    """Find face strips of some videos, reading no more than their columns.

    Args:
        lake_uri: root of the lake.
        wanted: rows with dataset, split and video_id.

    Returns:
        Strips by (dataset, split, video_id), and why there are none if the lake is too large to
        look through.
    """
    lake = Lake(lake_uri)
    found: dict[Key, bytes] = {}
    searched = 0
    for dataset, split in sorted({(row["dataset"], row["split"]) for row in wanted}):
        ids = {
            row["video_id"] for row in wanted if (row["dataset"], row["split"]) == (dataset, split)
        }
        for path in lake.files("clips", dataset=dataset, split=split):
            where, inner = filesystem(lake.place(path))
            with where.open_input_file(inner) as source:
                file = pq.ParquetFile(source)
                searched += file.metadata.num_rows
                if searched > MAX_CLIPS_SEARCHED:
                    return found, f"faces were looked for in {MAX_CLIPS_SEARCHED:,} clips only"
                for row in file.read(columns=["video_id", _SPRITE]).to_pylist():
                    tracks = row["tracks"] or [{}]
                    if row["video_id"] in ids and tracks[0].get("sprite"):
                        found[dataset, split, row["video_id"]] = tracks[0]["sprite"]
    return found, None
