"""``fakeout metrics``: what the scores in a lake are worth."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from fakeout_core.errors import ConfigError
from jobs.options import ConfigOption, SetOption


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
        from jobs.metrics_table import show_metrics
        from jobs.terminal import console
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
        screen = console()
        show_metrics(screen, rows)
        if "untrained" in rows["weights"].unique().to_pylist():
            screen.print("The weights are untrained: these figures say nothing about FakeOut.")
