"""``fakeout score``: the score stage alone, on clips that exist."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.options import (
    AddressOption,
    CheckpointOption,
    ConfigOption,
    LakeOption,
    SetOption,
    SplitOption,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Example, a new checkpoint on clips already cut: fakeout score --lake gs://b/lake "
        "--dataset dfdc --split test --checkpoint new.safetensors --address auto"
    )
    def score(
        lake: LakeOption,
        dataset: Annotated[str, typer.Option(help="Dataset name.")],
        split: SplitOption = "all",
        checkpoint: CheckpointOption = None,
        address: AddressOption = None,
        config: ConfigOption = None,
        settings: SetOption = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what is owed, and stop.")
        ] = False,
    ) -> None:
        """Run the towers over every clip that this model has not scored yet."""
        from jobs.commands.run import execute, existing, show_owed
        from jobs.options import load_config
        from pipelines.run import RunRequest

        existing(lake, dataset, split)
        request = RunRequest(
            lake,
            dataset,
            split,
            checkpoint=checkpoint,
            address=address,
            stages=("score", "metrics"),
            config=load_config(config, settings),
        )
        show_owed(request) if dry_run else execute(request)
