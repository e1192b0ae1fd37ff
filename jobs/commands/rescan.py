"""``fakeout rescan``: what runs every night."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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


class IfLocked(StrEnum):
    """What to do while another run works on the dataset."""

    LEAVE = "leave"
    WAIT = "wait"


WAIT_S = 12 * 3600.0
"""How long ``--if-locked wait`` waits: a night."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout rescan gs://b/corpus --lake gs://b/lake --address auto · "
        "fakeout rescan videos/ --lake lake/ --report report.html --webhook https://… "
        "--webhook-secret-env HOOK_SECRET"
    )
    def rescan(
        videos: Annotated[str, typer.Argument(help="Folder or URI of videos, searched whole.")],
        lake: LakeOption,
        checkpoint: CheckpointOption = None,
        labels: LabelsOption = None,
        dataset: DatasetOption = None,
        split: SplitOption = "all",
        address: AddressOption = None,
        if_locked: Annotated[
            IfLocked, typer.Option(help="While another run holds the dataset.")
        ] = IfLocked.LEAVE,
        report_file: Annotated[
            Path | None, typer.Option("--report", help="Also write an HTML report here.")
        ] = None,
        shift: Annotated[float, typer.Option(help="Report scores that moved this much.")] = 0.1,
        webhook: Annotated[str | None, typer.Option(help="Post the summary here.")] = None,
        webhook_secret_env: Annotated[
            str | None, typer.Option(help="Environment variable with the signing secret.")
        ] = None,
        config: ConfigOption = None,
        settings: SetOption = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Update the catalog, say what is owed, stop.")
        ] = False,
    ) -> None:
        """Do what is new, changed or was left undone, and say what changed since the last time.

        Deleted videos leave the current view, small files are merged, the summary is kept in the
        lake under reports/. Exit codes are those of `fakeout run`; 1 also if the dataset is locked
        and --if-locked is leave.
        """
        import dataclasses

        from fakeout_core.errors import ConfigError
        from jobs.commands.run import TOO_MANY_FAILED, execute, show_owed
        from jobs.notify import notify, webhook_of
        from jobs.progress import ConsoleShow
        from jobs.terminal import console
        from pipelines import nightly
        from pipelines.run import RunRequest

        resolved = load_config(config, settings)
        hook = webhook_of(webhook, webhook_secret_env) if webhook is not None else None
        if report_file is not None and not report_file.absolute().parent.is_dir():
            raise ConfigError(f"--report {report_file}: its folder does not exist")
        if if_locked is IfLocked.WAIT:
            policy = dataclasses.replace(resolved.policy, lock_wait_s=WAIT_S)
            resolved = dataclasses.replace(resolved, policy=policy)
        request = RunRequest(
            lake_uri=lake,
            dataset=dataset_name(dataset, videos),
            split=partition_name("--split", split),
            source_uri=videos,
            labels_csv=labels,
            checkpoint=checkpoint,
            address=address,
            config=resolved,
        )
        if dry_run:
            execute(dataclasses.replace(request, stages=("catalog",)), results=False)
            show_owed(request)
            return
        with ConsoleShow(console()) as show:
            report, summary = nightly.rescan(request, nightly.NightlyConfig(shift=shift), show)
        print(summary)
        if report_file is not None:
            from jobs.report.gather import gather
            from jobs.report.page import page

            report_file.write_text(page(gather(lake)), encoding="utf-8")
            print(f"report: {report_file}")
        if hook is not None:
            message = {"text": str(summary), "summary": dataclasses.asdict(summary)}
            problem = notify(hook, message)
            if problem:
                print(problem)
        if report.exceeded:
            raise typer.Exit(TOO_MANY_FAILED)
