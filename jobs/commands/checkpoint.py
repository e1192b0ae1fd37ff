"""``fakeout checkpoint``: look at a checkpoint without running it, and convert it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

SourceArgument = Annotated[
    str, typer.Argument(help="Checkpoint: safetensors or pickle; a path, gs:// or s3:// URI.")
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Look at a checkpoint without running what is in it, and convert it.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )

    @group.command(
        epilog="Examples:\n\nfakeout checkpoint inspect fakeout_tsm_resnet_x1.pkl\n\n"
        "fakeout checkpoint inspect gs://b/fakeout.safetensors --json",
    )
    def inspect(
        source: SourceArgument,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Say which network a checkpoint holds and whether it can score.

        A pickle is interpreted, never unpickled: arrays and dicts are read, anything else is
        refused by name. Exit code 2 if the checkpoint is refused.
        """
        _inspect(source, as_json)

    @group.command(
        epilog="Examples:\n\nfakeout checkpoint convert fakeout_tsm_resnet_x1.pkl x1.safetensors"
        "\n\nfakeout checkpoint convert x1.pkl x1.safetensors --scoring-only --dry-run",
    )
    def convert(
        source: SourceArgument,
        target: Annotated[Path, typer.Argument(help="safetensors file to write.")],
        scoring_only: Annotated[
            bool, typer.Option(help="Leave out the heads and texts that only training needs.")
        ] = False,
        note: Annotated[str, typer.Option(help="Licence or provenance, kept with the file.")] = "",
        force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
        dry_run: Annotated[bool, typer.Option(help="Check the source and write nothing.")] = False,
    ) -> None:
        """Convert a checkpoint to safetensors, checked whole before anything is written.

        The model fingerprint stays the same: it depends on the numbers, not on the file.
        """
        _convert(source, target, scoring_only, note, force=force, dry_run=dry_run)

    app.add_typer(group, name="checkpoint")


def _inspect(source: str, as_json: bool) -> None:
    from fakeout_core.model.checkpoint import open_checkpoint, set_aside, weights_of
    from pipelines.checkpoints import local_checkpoint

    with local_checkpoint(source) as path:
        inventory = open_checkpoint(str(path))
        weights = weights_of(inventory)
        aside = [name for name in inventory.shapes if set_aside(name, weights.modality)]
        facts = {
            "file": source,
            "format": inventory.format,
            "variant": weights.variant,
            "modality": weights.modality,
            "weights": weights.digest,
            "parameters": inventory.n_values,
            "arrays": len(inventory.shapes),
            "arrays_only_training_needs": len(aside),
            "ignored_entries": list(inventory.ignored),
            "metadata": dict(inventory.metadata),
        }
    _show(facts, as_json)


def _convert(
    source: str, target: Path, scoring_only: bool, note: str, *, force: bool, dry_run: bool
) -> None:
    from fakeout_core.errors import ConfigError
    from fakeout_core.model.checkpoint import convert, load_checkpoint
    from pipelines.checkpoints import local_checkpoint

    if target.exists() and not force and not dry_run:
        raise ConfigError(f"{target} exists; --force overwrites it")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is not a folder")
    with local_checkpoint(source) as path:
        if dry_run:
            weights = load_checkpoint(str(path))
        else:
            weights = convert(str(path), str(target), scoring_only=scoring_only, note=note)
    done = "would write" if dry_run else "wrote"
    typer.echo(f"{done} {target}: {weights.variant}-{weights.modality}, {weights.digest}")


def _show(facts: Mapping[str, object], as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    from rich.table import Table

    from jobs.terminal import console, printable

    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(key.replace("_", " "), printable(text))
    console().print(table)
