"""``fakeout metrics``: what the scores in a lake are worth."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from fakeout_core.errors import ConfigError
from jobs.options import ConfigOption, SetOption

if TYPE_CHECKING:
    import pyarrow as pa

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


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout metrics lake/ · "
        "fakeout metrics gs://b/lake --dataset dfdc --split test --set replicates=2000 · "
        "fakeout metrics gs://b/lake --beam-arg=--runner=DataflowRunner --beam-arg=--project=p "
        "--beam-arg=--region=europe-west4. "
        'All of them: fakeout query lake/ "from metrics"'
    )
    def metrics(
        lake: Annotated[str, typer.Argument(help="Root of the tables: a folder, gs://… or s3://…")],
        dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
        split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
        model: Annotated[
            str | None, typer.Option(help="Only this model; still compared with the others.")
        ] = None,
        beam_arg: Annotated[
            list[str] | None,
            typer.Option(help="An option of the Beam runner, e.g. --runner=… Repeatable."),
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be computed; write nothing.")
        ] = False,
        config: ConfigOption = None,
        settings: SetOption = None,
    ) -> None:
        """Compute ROC-AUC, EER and the rest, for every slice, with 95 % intervals."""
        from fakeout_core.ids import new_run_id
        from fakeout_core.metrics.config import MetricsConfig
        from pipelines.lake import Lake
        from pipelines.lock import DatasetLock
        from pipelines.metrics import compute_metrics, find_groups
        from pipelines.settings import load_settings

        resolved = load_settings(MetricsConfig, config, settings)
        tables, run_id = Lake(lake), new_run_id()
        groups = [g for g in find_groups(tables, dataset, split) if model in (None, g.model)]
        if not groups:
            raise ConfigError(
                f"{lake} has no scores for dataset {dataset or '(any)'}, split {split or '(any)'}, "
                f"model {model or '(any)'}; make some with: fakeout run"
            )
        if dry_run:
            for group in groups:
                typer.echo(f"would compute: {group.dataset} {group.split} {group.model}")
            return
        with ExitStack() as held:
            for name in sorted({group.dataset for group in groups}):
                held.enter_context(DatasetLock(tables, name, run_id).held())
            rows = compute_metrics(
                lake,
                dataset,
                split,
                model,
                run_id=run_id,
                config=resolved,
                beam_args=tuple(beam_arg or ()),
                lake=tables,
            )
        show(rows)


def show(rows: pa.Table) -> None:
    """Print the headline metrics of the video level, one line per slice."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    names = list(HEADLINE)[: max(2, (console.width - 44) // 14)]
    found: dict[tuple[str, str, str], dict[str, dict[str, dict[str, object]]]] = {}
    for row in rows.to_pylist():
        if row["level"] == "video" and row["no_face_policy"] == "exclude":
            group = found.setdefault((row["dataset"], row["split"], row["model"]), {})
            group.setdefault(row["slice"], {})[row["metric"]] = row
    for (dataset, split, model), slices in found.items():
        grid = Table(title=Text(f"{dataset} · {split} · {model} (videos; no face: left out)"))
        grid.add_column("slice", min_width=20, overflow="fold")
        for name in ("reals", "fakes", *(HEADLINE[name] for name in names)):
            grid.add_column(name, justify="right")
        for name, metrics in slices.items():
            first = metrics["roc_auc"]
            cells = [_cell(metrics[metric]) for metric in names]
            grid.add_row(Text(name), str(first["n_real"]), str(first["n_fake"]), *cells)
        console.print(grid)
    untrained = any(value == "untrained" for value in rows["weights"].unique().to_pylist())
    if untrained:
        console.print("The weights are untrained: these figures say nothing about FakeOut.")


def _cell(row: dict[str, object]) -> str:
    value, low, high = (row[name] for name in ("value", "ci_low", "ci_high"))
    if value is None:
        return str(row["undefined_reason"])
    interval = f"\n{low:.3f}–{high:.3f}" if low is not None else ""
    return f"{value:.4f}{interval}"
