"""``fakeout catalog``: what videos there are, with labels, splits, manipulations and identities."""

from __future__ import annotations

from typing import Annotated

import typer

from fakeout_core.errors import ConfigError
from jobs.options import (
    ConfigOption,
    DatasetOption,
    LabelsOption,
    LakeOption,
    SetOption,
    SplitOption,
    dataset_name,
    load_config,
    partition_name,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout catalog videos/ --lake lake/ · "
        "fakeout catalog gs://b/dfdc/test --lake gs://b/lake --dataset dfdc --split test · "
        "fakeout catalog FaceForensics++ --lake lake/ --dataset face_forensics --split test "
        "--option compression=c23 --dry-run · "
        "fakeout catalog gs://b/corpus --lake gs://b/lake --beam-arg=--runner=DataflowRunner "
        "--beam-arg=--project=p --beam-arg=--region=europe-west4"
    )
    def catalog(
        source: Annotated[str, typer.Argument(help="Folder or URI of the corpus.")],
        lake: LakeOption,
        dataset: DatasetOption = None,
        split: SplitOption = "all",
        labels: LabelsOption = None,
        option: Annotated[
            list[str] | None,
            typer.Option(help="A choice of the layout, e.g. manipulation=Deepfakes. Repeatable."),
        ] = None,
        beam_arg: Annotated[
            list[str] | None,
            typer.Option(help="An option of the Beam runner, e.g. --runner=… Repeatable."),
        ] = None,
        no_probe: Annotated[
            bool, typer.Option("--no-probe", help="List and label only; open no video.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be catalogued; write nothing.")
        ] = False,
        config: ConfigOption = None,
        settings: SetOption = None,
    ) -> None:
        """List a corpus, join its labels and splits, and replace the dataset's catalog.

        Layouts known by name: face_forensics, dfdc, celeb_df, deeper_forensics, face_shifter,
        fakeavceleb. Any other dataset name is a custom corpus: labels come from --labels, from
        folders called real and fake, or there are none.
        """
        from contextlib import nullcontext

        from fakeout_core.ids import new_run_id
        from pipelines.catalog import build_catalog
        from pipelines.lake import Lake
        from pipelines.lock import DatasetLock

        resolved = load_config(config, settings)
        name = dataset_name(dataset, source)
        tables, run_id = Lake(lake), new_run_id()
        lock = DatasetLock(tables, name, run_id, resolved.policy.lock_ttl_s)
        held = nullcontext() if dry_run else lock.held(wait_s=resolved.policy.lock_wait_s)
        with held:
            if not dry_run:
                tables.recover(name, run_id)
            summary = build_catalog(
                source,
                lake,
                dataset=name,
                split=partition_name("--split", split),
                labels_csv=labels,
                run_id=run_id,
                beam_args=tuple(beam_arg or ()),
                options=parse_options(option or []),
                probe=not no_probe,
                dry_run=dry_run,
                lake=tables,
                limits=resolved.crop.limits,
            )
        show(summary, dry_run)


def parse_options(pairs: list[str]) -> dict[str, str]:
    """Read ``name=value`` pairs.

    Raises:
        ConfigError: a pair has no '='.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise ConfigError(f"--option {pair!r}: wanted name=value")
        options[name] = value
    return options


def show(summary: object, dry_run: bool) -> None:
    """Print a summary: the line, warnings, and a table of labels and manipulations."""
    from rich.table import Table

    from jobs.terminal import console, printable
    from pipelines.catalog_summary import CatalogSummary

    assert isinstance(summary, CatalogSummary)
    screen = console()
    screen.print(str(summary), soft_wrap=True)
    table = Table("manipulation", "videos")
    for name, count in summary.manipulations.items():
        table.add_row(printable(name), str(count))
    screen.print(table)
    if dry_run:
        screen.print("dry run: nothing was written")
    elif not summary.replaced:
        screen.print("the catalog was up to date and was left as it is")
    screen.print(f"{summary.n_probed} objects opened, {summary.seconds:.1f} s")
