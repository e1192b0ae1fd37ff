"""The metrics table as the terminal shows it: a line for each slice."""

from __future__ import annotations

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from jobs.terminal import printable

HEADLINE = {
    "roc_auc": "AUC",
    "eer": "EER",
    "average_precision": "AP",
    "log_loss": "log loss",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "balanced_accuracy": "balanced acc.",
    "ece": "ECE",
}
"""Metrics shown, as far as the terminal's width goes, and their headings."""


def show_metrics(console: Console, rows: pa.Table, *, every_slice: bool = True) -> None:
    """Print the headline metrics of the video level, one line per slice.

    Args:
        console: where to.
        rows: of the ``metrics`` table; other levels and policies are left out.
        every_slice: False leaves out all but the whole and each manipulation.
    """
    names = list(HEADLINE)[: max(2, (console.width - 44) // 14)]
    found: dict[tuple[str, str, str], dict[str, dict[str, dict[str, object]]]] = {}
    for row in rows.to_pylist():
        if row["level"] == "video" and row["no_face_policy"] == "exclude":
            if not (every_slice or row["slice"].startswith(("all", "manipulation="))):
                continue
            group = found.setdefault((row["dataset"], row["split"], row["model"]), {})
            group.setdefault(row["slice"], {})[row["metric"]] = row
    for (dataset, split, model), slices in found.items():
        grid = Table(title=f"metrics · {dataset}/{split} · {model} (videos; no face: left out)")
        grid.add_column("slice", min_width=20, overflow="fold")
        for name in ("reals", "fakes", *(HEADLINE[name] for name in names)):
            grid.add_column(name, justify="right")
        for name, metrics in slices.items():
            first = metrics["roc_auc"]
            cells = [_cell(metrics[metric]) for metric in names]
            grid.add_row(printable(name), str(first["n_real"]), str(first["n_fake"]), *cells)
        console.print(grid)


def _cell(row: dict[str, object]) -> str:
    value, low, high = (row[name] for name in ("value", "ci_low", "ci_high"))
    if value is None:
        return str(row["undefined_reason"])
    interval = f"\n{low:.3f}–{high:.3f}" if low is not None else ""
    return f"{value:.4f}{interval}"
