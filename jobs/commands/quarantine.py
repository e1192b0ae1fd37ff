"""``fakeout quarantine``: what failed and why, and another attempt for chosen failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.quarantine import CurrentFailure

_Lake = Annotated[str, typer.Argument(help="Root of the tables.")]
_Dataset = Annotated[str | None, typer.Option(help="Only this dataset.")]
_Split = Annotated[str | None, typer.Option(help="Only this split.")]
_Stage = Annotated[str | None, typer.Option(help="Only failures of this stage.")]
_Reason = Annotated[str | None, typer.Option(help="Only this reason, e.g. timeout.")]
_Video = Annotated[list[str] | None, typer.Option(help="Only this video id. Repeatable.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    group = typer.Typer(
        help="Failures that stand: list them, or ask for another attempt.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    app.add_typer(group, name="quarantine")

    @group.command(
        "list",
        epilog="Examples: fakeout quarantine list gs://b/lake · "
        "fakeout quarantine list lake/ --reason crashed --json",
    )
    def list_failures(
        lake: _Lake,
        dataset: _Dataset = None,
        split: _Split = None,
        stage: _Stage = None,
        reason: _Reason = None,
        video: _Video = None,
        is_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """List videos whose newest attempt failed, with reason and attempts."""
        found = _find(lake, dataset, split, stage, reason, video)
        if is_json:
            import dataclasses
            import json

            for one in found:
                print(json.dumps(dataclasses.asdict(one), default=str, ensure_ascii=False))
        else:
            _print_table(found)

    @group.command(
        "retry",
        epilog="Examples: fakeout quarantine retry gs://b/lake --reason timeout · "
        "fakeout quarantine retry lake/ --dataset dfdc --video clips/a.mp4",
    )
    def retry_failures(
        lake: _Lake,
        dataset: _Dataset = None,
        split: _Split = None,
        stage: _Stage = None,
        reason: _Reason = None,
        video: _Video = None,
        everything: Annotated[
            bool, typer.Option("--all", help="Every failure; else name what to retry.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="List what would be retried.")
        ] = False,
    ) -> None:
        """Make failures owed again, exactly once each; the next run tries them.

        Transient reasons are retried by themselves up to policy.max_attempts. This is for the
        others, and for transient ones that are used up.
        """
        from fakeout_core.errors import ConfigError
        from pipelines.lake import existing_lake
        from pipelines.quarantine import retry

        if not everything and not any((dataset, split, stage, reason, video)):
            raise ConfigError(
                "say what to retry: --dataset, --split, --stage, --reason, --video, or --all"
            )
        found = _find(lake, dataset, split, stage, reason, video)
        if dry_run:
            _print_table(found)
            print(f"{len(found)} failures would be owed again; nothing was recorded")
            return
        for uri in retry(existing_lake(lake), found):
            print(f"recorded {uri}")
        print(f"{len(found)} failures are owed again; the next run tries each once")


def _find(
    lake: str,
    dataset: str | None,
    split: str | None,
    stage: str | None,
    reason: str | None,
    videos: list[str] | None,
) -> list[CurrentFailure]:
    from fakeout_core.errors import ConfigError
    from pipelines.lake import existing_lake
    from pipelines.quarantine import current_failures

    found = current_failures(
        existing_lake(lake), dataset=dataset, split=split, stage=stage, reason=reason
    )
    if videos:
        missing = set(videos) - {one.video_id for one in found}
        if missing:
            raise ConfigError(f"not in quarantine: {sorted(missing)}")
        found = [one for one in found if one.video_id in videos]
    return found


def _print_table(found: list[CurrentFailure]) -> None:
    from collections import Counter

    from rich.table import Table

    from jobs.terminal import console, printable

    table = Table("dataset", "split", "stage", "reason", "attempts", "video", "message")
    for one in found:
        texts = [one.dataset, one.split, one.stage, one.reason, str(one.attempts)]
        table.add_row(*texts, printable(one.video_id), printable(one.message or ""))
    screen = console()
    if found:
        screen.print(table)
    counts = Counter(one.reason for one in found)
    summary = ", ".join(f"{reason} {n}" for reason, n in counts.most_common())
    many = "1 video" if len(found) == 1 else f"{len(found)} videos"
    screen.print(f"{many} in quarantine" + (f": {summary}" if summary else ""))
