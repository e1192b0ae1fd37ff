"""``fakeout crop``: the crop stage alone, on a catalog that exists."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.options import AddressOption, ConfigOption, LakeOption, SetOption, SplitOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: fakeout crop --lake gs://b/lake --dataset dfdc --split test")
    def crop(
        lake: LakeOption,
        dataset: Annotated[str, typer.Option(help="Dataset name.")],
        split: SplitOption = "all",
        address: AddressOption = None,
        config: ConfigOption = None,
        settings: SetOption = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what is owed, and stop.")
        ] = False,
    ) -> None:
        """Decode, track and align the faces of every video that has no clip yet."""
        from jobs.commands.run import execute, existing, show_owed
        from jobs.options import load_config
        from pipelines.run import RunRequest

        existing(lake, dataset, split)
        resolved = load_config(config, settings)
        request = RunRequest(
            lake, dataset, split, address=address, stages=("crop",), config=resolved
        )
        show_owed(request) if dry_run else execute(request)
