"""``fakeout run``: from a folder of videos to tables."""

from __future__ import annotations

from typing import Annotated

import typer

from fakeout_core.errors import ConfigError
from jobs.options import (
    AddressOption,
    CheckpointOption,
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

TOO_MANY_FAILED = 3


def execute(request: object, *, results: bool = True) -> None:
    """Run a request on the console and leave with the right exit code.

    Args:
        request: a ``pipelines.run.RunRequest``.
        results: whether to print the tables at the end.

    Raises:
        typer.Exit: code 3, when too large a share of the videos is in quarantine.
    """
    from jobs.progress import ConsoleShow
    from jobs.results import show_results
    from jobs.terminal import console
    from pipelines.run import RunRequest, run

    assert isinstance(request, RunRequest)
    screen = console()
    with ConsoleShow(screen) as show:
        report = run(request, show)
    if results:
        show_results(screen, request, report)
    if report.exceeded:
        allowed = request.config.policy.max_quarantine_share
        screen.print(
            f"\n{report.quarantine_share:.1%} of the videos are in quarantine, more than the "
            f"{allowed:.1%} allowed (policy.max_quarantine_share). See: fakeout quarantine list "
            f"{request.lake_uri}",
            style="bold red",
            soft_wrap=True,
        )
        raise typer.Exit(TOO_MANY_FAILED)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout run videos/ --lake lake/ · "
        "fakeout run gs://b/corpus --lake gs://b/lake --checkpoint gs://b/fakeout.safetensors "
        "--address auto · fakeout run videos/ --lake lake/ --labels labels.csv --set "
        "crop.n_windows=10"
    )
    def run(
        videos: Annotated[str, typer.Argument(help="Folder or URI of videos, searched whole.")],
        lake: LakeOption,
        checkpoint: CheckpointOption = None,
        labels: LabelsOption = None,
        dataset: DatasetOption = None,
        split: SplitOption = "all",
        address: AddressOption = None,
        config: ConfigOption = None,
        settings: SetOption = None,
        fused: Annotated[
            bool, typer.Option("--fused", help="Keep no clips: rescoring will decode again.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Update the catalog, say what is owed, stop.")
        ] = False,
    ) -> None:
        """Catalog, crop, score and measure every video; repeating it does only what is new.

        Exit codes: 0 done; 1 the job failed; 2 usage or configuration; 3 done, but too many
        videos are in quarantine.
        """
        import dataclasses

        from pipelines.run import STAGES, RunRequest

        resolved = load_config(config, settings)
        if fused:
            resolved = dataclasses.replace(resolved, fused=True)
        request = RunRequest(
            lake_uri=lake,
            dataset=dataset_name(dataset, videos),
            split=partition_name("--split", split),
            source_uri=videos,
            labels_csv=labels,
            checkpoint=checkpoint,
            address=address,
            stages=("catalog",) if dry_run else STAGES,
            config=resolved,
        )
        execute(request, results=not dry_run)
        if dry_run:
            show_owed(request)


def show_owed(request: object) -> None:
    """Print how many videos and clips are owed, as the tables stand; a dry run ends with it."""
    from pipelines.run import RunRequest, owed_counts

    assert isinstance(request, RunRequest)
    crops, scores = owed_counts(request)
    print(f"owed: {crops} videos to crop, {scores} more clips to score; nothing was run")


def existing(lake_uri: str, dataset: str, split: str) -> None:
    """Refuse a dataset that has no catalog.

    Raises:
        ConfigError: there is nothing to work on.
    """
    from pipelines.lake import Lake
    from pipelines.layout import partition_of

    lake = Lake(lake_uri)
    if lake.files("catalog", dataset=dataset, split=split):
        return
    found = {tuple(partition_of(path).values()) for path in lake.files("catalog")}
    there = ", ".join(f"{one} (split {other})" for one, other in sorted(found))
    raise ConfigError(
        f"{lake_uri} has no catalog of dataset {dataset}, split {split}; "
        + (f"it has: {there}" if there else "make one with: fakeout catalog VIDEOS --lake LAKE")
    )
