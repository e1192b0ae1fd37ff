"""Metrics and structured logs. Without Ray the metrics do nothing, so any code may call them.

Names, kinds and labels stand in ``METRICS``; the dashboard and the alert rules in
``docs/dashboards`` use these names and no others (a test compares them). Ray exports them at each
node's metrics port with the prefix ``ray_``.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TextIO

from pipelines.staging import PublishedShard

LOGGER = "fakeout"

_context: ContextVar[dict[str, str] | None] = ContextVar("fakeout_log_context", default=None)


@dataclass(frozen=True)
class Metric:
    """One time series.

    Attributes:
        name: as given to Ray; exported as ``ray_<name>``.
        kind: counter, gauge or histogram.
        about: what it says.
        labels: label names.
        bounds: upper bounds of a histogram's buckets.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "fakeout_videos_total", "counter", "Videos that left a stage.", ("stage", "outcome")
        ),
        Metric("fakeout_windows_total", "counter", "Windows made or scored.", ("stage",)),
        Metric(
            "fakeout_video_seconds", "histogram", "Work on one video.", ("stage",), bounds=_SECONDS
        ),
        # A histogram's sum is approximate in Ray, so sums have a counter of their own.
        Metric("fakeout_work_seconds_total", "counter", "Work in a stage.", ("stage",)),
        Metric("fakeout_decode_seconds_total", "counter", "Decoding video and stored frames."),
        Metric("fakeout_device_seconds_total", "counter", "Towers at work on a device."),
        Metric("fakeout_device_busy_share", "gauge", "Share of time a worker's device computes."),
        Metric("fakeout_queue_videos", "gauge", "Videos owed and not done yet.", ("stage",)),
        Metric("fakeout_rows_total", "counter", "Rows published.", ("table",)),
        Metric("fakeout_shards_total", "counter", "Shards published or dropped.", ("fate",)),
        Metric("fakeout_runs_total", "counter", "Runs ended.", ("dataset", "outcome")),
        Metric("fakeout_run_seconds", "gauge", "Length of the last run.", ("dataset", "stage")),
        Metric(
            "fakeout_run_finished_timestamp_seconds",
            "gauge",
            "When the last run of a dataset finished, seconds since 1970.",
            ("dataset",),
        ),
        Metric("fakeout_quarantine_share", "gauge", "Share of videos in quarantine.", ("dataset",)),
    )
}


def count(name: str, value: float = 1.0, **labels: str) -> None:
    """Add to a counter."""
    if value > 0 and (series := _series(name)) is not None:
        series.inc(value, tags=labels)


def gauge(name: str, value: float, **labels: str) -> None:
    """Set a gauge."""
    if (series := _series(name)) is not None:
        series.set(value, tags=labels)


def observe(name: str, value: float, **labels: str) -> None:
    """Add to a histogram."""
    if (series := _series(name)) is not None:
        series.observe(value, tags=labels)


def _series(name: str) -> Any:
    """Ray's object for a metric; None outside Ray. Unknown names are bugs and raise KeyError."""
    METRICS[name]
    ray = sys.modules.get("ray")  # whoever runs under Ray has imported it
    if ray is None or not ray.is_initialized():
        return None
    return _make(name)


@cache
def _make(name: str) -> Any:
    from ray.util import metrics

    metric = METRICS[name]
    if metric.kind == "histogram":
        return metrics.Histogram(
            name, metric.about, boundaries=list(metric.bounds), tag_keys=metric.labels
        )
    kind = metrics.Counter if metric.kind == "counter" else metrics.Gauge
    return kind(name, metric.about, tag_keys=metric.labels)


def video_done(
    stage: str, outcome: str, seconds: float, n_windows: int, video_id: str, message: str = ""
) -> None:
    """Count one video that left a stage, and log it; called by workers.

    Args:
        stage: crop or score.
        outcome: ``ok`` or a reason.
        seconds: work on it.
        n_windows: windows made or scored.
        video_id: the video.
        message: why it failed, for people.
    """
    count("fakeout_videos_total", stage=stage, outcome=outcome)
    count("fakeout_windows_total", n_windows, stage=stage)
    count("fakeout_work_seconds_total", seconds, stage=stage)
    observe("fakeout_video_seconds", seconds, stage=stage)
    level = logging.INFO if outcome == "ok" else logging.WARNING
    facts: dict[str, Any] = {"stage": stage, "outcome": outcome, "video_id": video_id}
    facts |= {"seconds": round(seconds, 3), "windows": n_windows}
    if message:
        facts["detail"] = message
    logging.getLogger(LOGGER).log(level, "video done", extra={"facts": facts})


def device_time(*, busy_s: float, idle_s: float) -> None:
    """Count a score worker's time at the towers, and its wait for work before that."""
    count("fakeout_device_seconds_total", busy_s)
    if busy_s + idle_s > 0:
        gauge("fakeout_device_busy_share", busy_s / (busy_s + idle_s))


def published(stage: str, shard: PublishedShard) -> None:
    """Count a shard that the driver published."""
    count("fakeout_shards_total", fate="published" if shard.is_new else "dropped")
    for table, rows in shard.rows.items():
        count("fakeout_rows_total", rows, table=table)
    facts = {"stage": stage, "rows": shard.rows, "reasons": shard.reasons}
    logging.getLogger(LOGGER).info("shard published", extra={"facts": facts})


def run_finished(report: Any, dataset: str = "") -> None:
    """Record the end of a run.

    Args:
        report: has ``timings_s``, ``quarantine_share``, ``exceeded``.
        dataset: the dataset.
    """
    outcome = "quarantine" if report.exceeded else "ok"
    count("fakeout_runs_total", dataset=dataset, outcome=outcome)
    gauge("fakeout_run_finished_timestamp_seconds", time.time(), dataset=dataset)
    gauge("fakeout_quarantine_share", report.quarantine_share, dataset=dataset)
    for stage, seconds in report.timings_s.items():
        gauge("fakeout_run_seconds", seconds, dataset=dataset, stage=stage)
    facts = {
        "event": "run_finished",  # read by the log-based metrics of infra/terraform
        "status": "quarantine" if report.exceeded else "done",
        "dataset": dataset,
        "quarantine_share": report.quarantine_share,
        "videos_scored": getattr(report, "scored", None),
        "timings_s": report.timings_s,
    }
    logging.getLogger(LOGGER).info("run finished", extra={"facts": facts})


def rescan_finished(dataset: str, compared: int, shifted: int) -> None:
    """State how many scores moved; infra/terraform makes an alert of it.

    Args:
        dataset: the dataset.
        compared: videos that had a score before.
        shifted: of those, the ones whose score moved.
    """
    drift = shifted / compared if compared else None
    facts = {"event": "rescan_finished", "dataset": dataset, "score_drift": drift}
    logging.getLogger(LOGGER).info("rescan finished", extra={"facts": facts})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the run's context, the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _context.get() or {}
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_context(**values: str) -> None:
    """Add fields (run_id, dataset, …) to every later log line of this thread."""
    _context.set({**(_context.get() or {}), **values})


def log_json(level: int = logging.INFO, stream: TextIO | None = None, **context: str) -> None:
    """Send our loggers' lines as JSON to a stream (standard error by default).

    Args:
        level: least level.
        stream: where to.
        **context: fields of every line, e.g. ``run_id``.
    """
    log_context(**context)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in (LOGGER, "pipelines", "fakeout_core", "jobs"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
