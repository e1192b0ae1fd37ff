"""What a run prints at its end: the tables, where they are, and what to do next."""

from __future__ import annotations

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from jobs.metrics_table import show_metrics
from jobs.terminal import printable
from pipelines.lake import Lake
from pipelines.run import RunReport, RunRequest

MAX_ROWS = 20


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
            )
    console.print(f"\nLake: {request.lake_uri}", soft_wrap=True)
    glob = f"{request.lake_uri.rstrip('/')}/scores/**/*.parquet"
    console.print(
        "Go on with:\n  fakeout query "
        f'{request.lake_uri} "select video_id, score, status from latest_scores order by score"\n'
        f"  duckdb -c \"select * from read_parquet('{glob}', hive_partitioning=true)\"",
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
        table.add_row(
            *(printable(row["video_id"]), labels[row["label"]], score, str(row["n_windows"])),
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
    )
    rows = lake.read("metrics", filter=where)
    if rows.num_rows:
        show_metrics(console, rows, every_slice=False)
    else:
        console.print("metrics: none (they need labels; see --labels)")
