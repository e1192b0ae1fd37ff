"""``fakeout report``: a lake as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakeout_core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout report lake/ · "
        "fakeout report gs://b/lake --out dfdc.html --no-faces"
    )
    def report(
        lake: Annotated[str, typer.Argument(help="Root of the tables: a folder, gs://… or s3://…")],
        out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path(
            "report.html"
        ),
        no_faces: Annotated[
            bool, typer.Option("--no-faces", help="Leave out pictures of people's faces.")
        ] = False,
    ) -> None:
        """Write metrics, curves, suspicious videos, failures and drift as one HTML file.

        The file holds no scripts and fetches nothing. Metrics are shown as stored: run
        fakeout metrics first if labels or scores have changed.
        """
        if not out.absolute().parent.is_dir():
            raise ConfigError(f"--out {out}: the folder {out.absolute().parent} does not exist")
        try:
            from jobs.report.gather import gather
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"reports need DuckDB ({error}); install it with: pip install 'fakeout[query]'"
            ) from None
        from jobs.report.page import page

        data = gather(lake, with_faces=not no_faces)
        part = out.with_name(out.name + ".part")
        part.write_text(page(data), encoding="utf-8")
        part.replace(out)
        typer.echo(f"wrote {out}: {len(data.models)} models, {len(data.suspicious)} suspicious")
