"""What a run prints at its end: the tables, where they are, and what to do next."""

from __future__ import annotations

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from pipelines.lake import Lake
from pipelines.run import RunReport, RunRequest

MAX_ROWS = 20

HEADLINE = ("roc_auc", "eer", "average_precision", "accuracy", "log_loss")
"""Metrics shown at the end of a run; all of them are in the table."""


def show_results(console: Console, request: RunRequest, report: RunReport) -> None:
    """Print counts, the score table, the metrics table, the lake and a query to go on with."""
    lake = Lake(request.lake_uri)
    _show_counts(console, report)
    if "score" in request.stages:
        untrained = _show_scores(console, lake, request, report)
        if "metrics" in request.stages:
            _show_metrics(console, lake, request, report)
        if untrained:
            console.print(
                "\nThese scores mean nothing: the weights are untrained (weights = untrained in "
                "the tables).\nGive a trained FakeOut checkpoint with --checkpoint FILE.",
                style="bold yellow",
                highlight=False,
            )
    console.print(f"\nLake: {request.lake_uri}", highlight=False, soft_wrap=True)
    glob = f"{request.lake_uri.rstrip('/')}/scores/**/*.parquet"
    console.print(
        "Go on with:\n  fakeout query "
        f'{request.lake_uri} "select video_id, score, status from latest_scores order by score"\n'
        f"  duckdb -c \"select * from read_parquet('{glob}', hive_partitioning=true)\"",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _show_counts(console: Console, report: RunReport) -> None:
    if not (report.cropped or report.scored):
        console.print("Nothing was owed: no video was decoded, no window scored, no row changed.")
        return
    for stage, reasons in report.reasons.items():
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        console.print(f"{stage}: {counts} in {report.timings_s.get(stage, 0.0):.1f} s")


def _show_scores(console: Console, lake: Lake, request: RunRequest, report: RunReport) -> bool:
    where = (
        (pc.field("dataset") == request.dataset)
        & (pc.field("split") == request.split)
        & (pc.field("model") == report.model_key)
    )
    columns = ["video_id", "label", "score", "n_windows", "status", "reason", "weights"]
    rows = lake.read("scores", columns=[*columns, "audio_status"], filter=where).to_pylist()
    table = Table(title=f"scores · {request.dataset}/{request.split} · {report.model_key}")
    for name in ("video", "label", "score", "windows", "sound", "status"):
        justify = "right" if name in ("score", "windows") else "left"
        table.add_column(name, justify=justify, overflow="fold")
    labels = {0: "real", 1: "fake", None: "–"}
    for row in sorted(rows, key=lambda row: row["video_id"])[:MAX_ROWS]:
        score = "–" if row["score"] is None else f"{row['score']:.4f}"
        status = row["status"] if row["reason"] is None else f"{row['status']}: {row['reason']}"
        name = row["video_id"].encode("unicode_escape").decode()
        table.add_row(
            *(name, labels[row["label"]], score, str(row["n_windows"])),
            *(row["audio_status"] or "–", status),
        )
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(f"… and {len(rows) - MAX_ROWS} more")
    return any(row["weights"] == "untrained" for row in rows)


def _show_metrics(console: Console, lake: Lake, request: RunRequest, report: RunReport) -> None:
    where = (
        (pc.field("dataset") == request.dataset)
        & (pc.field("split") == request.split)
        & (pc.field("model") == report.model_key)
        & (pc.field("level") == "video")
        & (pc.field("no_face_policy") == "exclude")
    )
    rows = lake.read("metrics", filter=where).to_pylist()
    table = Table(title="metrics · video level · videos without a score left out")
    for name in ("slice", "metric", "value", "95 % interval", "reals", "fakes"):
        table.add_column(name, overflow="fold")
    chosen = [row for row in rows if row["metric"] in HEADLINE and _is_headline(row["slice"])]
    for row in sorted(chosen, key=lambda row: (row["slice"], HEADLINE.index(row["metric"]))):
        value = row["undefined_reason"] if row["value"] is None else f"{row['value']:.4f}"
        has_interval = row["ci_low"] is not None
        interval = f"{row['ci_low']:.3f} – {row['ci_high']:.3f}" if has_interval else ""
        counts = (str(row["n_real"]), str(row["n_fake"]))
        table.add_row(row["slice"], row["metric"], value, interval, *counts)
    if chosen:
        console.print(table)
    else:
        console.print("metrics: none (they need labels; see --labels)")


def _is_headline(name: str) -> bool:
    return name == "all" or name.startswith("manipulation=")
