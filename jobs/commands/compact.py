"""``fakeout compact``: merge small files, unseen by readers."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.options import ConfigOption, SetOption, load_config


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout compact gs://b/lake --dry-run · "
        "fakeout compact lake/ --table scores --table windows --target-mb 256"
    )
    def compact(
        lake: Annotated[str, typer.Argument(help="Root of the tables.")],
        table: Annotated[
            list[str] | None, typer.Option(help="Only this table. Repeatable.")
        ] = None,
        target_mb: Annotated[int, typer.Option(min=1, help="Size of a merged file, MB.")] = 128,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be merged; write nothing.")
        ] = False,
        config: ConfigOption = None,
        settings: SetOption = None,
    ) -> None:
        """Merge the small files that nightly runs leave, one transaction per merged file.

        Takes each dataset's lock, so it leaves with code 1 while a run is at work there.
        """
        from pipelines.compact import compact as run
        from pipelines.lake import existing_lake

        policy = load_config(config, settings).policy
        done = run(
            existing_lake(lake),
            table,
            target_mb * 1_000_000,
            is_dry_run=dry_run,
            lock_ttl_s=policy.lock_ttl_s,
            lock_wait_s=policy.lock_wait_s,
        )
        for one in done:
            size = one.group.size_bytes / 1e6
            verb = "would become" if dry_run else f"({one.rows} rows) became"
            print(f"{one.group.partition}: {len(one.group.files)} files, {size:.1f} MB {verb} one")
        before = sum(len(one.group.files) for one in done)
        print(f"{before} files {'would become' if dry_run else 'became'} {len(done)}")
