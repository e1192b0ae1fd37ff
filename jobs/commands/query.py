"""``fakeout query``: SQL over a lake, read-only, with ready views."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fakeout_core.errors import ConfigError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Format = Literal["table", "csv", "json", "parquet"]

_EPILOG = (
    "Views: latest_scores, metrics, suspicious, disagreements, failures, drift; and every table "
    "of the lake. "
    'Examples: fakeout query lake/ "select * from suspicious limit 20" · '
    "fakeout query lake/ (interactive) · "
    'fakeout query gs://b/lake "select reason, count(*) from failures group by all" --format csv · '
    'fakeout query lake/ "from latest_scores" --out scores.parquet'
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog=_EPILOG)
    def query(
        lake: Annotated[str, typer.Argument(help="Root of the tables: a folder, gs://… or s3://…")],
        sql: Annotated[
            str | None, typer.Argument(help="One statement; without it, interactive or from stdin.")
        ] = None,
        format: Annotated[
            Format | None, typer.Option("--format", "-f", help="By default: table, or as --out.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="Write here; .csv, .json or .parquet.")
        ] = None,
    ) -> None:
        """Ask the lake in SQL. It is only read, and nothing else can be read or written."""
        form = choose_format(format, out)
        try:
            from pipelines.views import connect
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"queries need DuckDB ({error}); install it with: pip install 'fakeout[query]'"
            ) from None
        connection = connect(lake)
        if sql is None and sys.stdin.isatty() and out is None:
            interact(connection, lake)
            return
        write(run(connection, sys.stdin.read() if sql is None else sql), form, out)


def choose_format(wanted: Format | None, out: Path | None) -> Format:
    """Decide on the output's format from the option and the file's name.

    Raises:
        ConfigError: a file whose format nobody can tell, or a table into a file.
    """
    by_name: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
    if out is not None:
        form = wanted or by_name.get(out.suffix.lower())
        if form is None or form == "table":
            raise ConfigError(
                f"--out {out}: end the name in .csv, .json or .parquet, or give --format"
            )
        if not out.absolute().parent.is_dir():
            raise ConfigError(f"--out {out}: the folder {out.absolute().parent} does not exist")
        return form
    if wanted == "parquet" and sys.stdout.isatty():
        raise ConfigError("--format parquet writes bytes; add --out FILE.parquet or a pipe")
    return wanted or "table"


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Run statements; the last one's rows.

    Raises:
        ConfigError: the SQL is wrong, or asks for something that is not allowed.
    """
    import duckdb

    if not sql.strip():
        raise ConfigError('no SQL; for example: fakeout query LAKE "select * from suspicious"')
    try:
        found = connection.execute(sql)
        if not found.description:
            raise ConfigError(f"{sql.strip()[:60]!r} has no result; give a select")
        return found.to_arrow_table()
    except duckdb.PermissionException as error:
        raise ConfigError(
            f"refused, a lake is only read here (use --out to write a result): {error}"
        ) from None
    except duckdb.Error as error:
        raise ConfigError(f"{type(error).__name__}: {error}") from None


def write(table: pa.Table, form: Format, out: Path | None) -> None:
    """Print or save rows; a file appears whole or not at all."""
    from jobs.query_output import render, show

    if form == "table":
        show(table)
    elif out is None:
        sys.stdout.buffer.write(render(table, form))
        sys.stdout.buffer.flush()
    else:
        part = out.with_name(out.name + ".part")
        part.write_bytes(render(table, form))
        part.replace(out)
        typer.echo(f"{table.num_rows:,} rows to {out}", err=True)


HELP = """\
.tables          tables and views
.schema NAME     columns of one
.help  .quit
SQL ends with a semicolon and may span lines."""


def interact(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    """Read SQL from the terminal until the end of input."""
    import contextlib
    import importlib

    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # line editing and history for input()
    typer.echo(f"{lake} (read only). .help for help, .quit to leave.")
    lines: list[str] = []
    while True:
        try:
            line = input("    ...> " if lines else "fakeout> ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()
            lines = []
            continue
        if not lines and line.strip().startswith("."):
            if not _dot_command(connection, line.strip()):
                return
        elif line.strip() or lines:
            lines.append(line)
            if line.rstrip().endswith(";"):
                _answer(connection, "\n".join(lines))
                lines = []


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    from jobs.query_output import show

    try:
        show(run(connection, sql))
    except ConfigError as error:
        typer.echo(str(error), err=True)


def _dot_command(connection: duckdb.DuckDBPyConnection, line: str) -> bool:
    """Carry out a command of the prompt; False to leave."""
    from fakeout_core.schemas import TABLES
    from pipelines.views import VIEWS

    word, _, argument = line.partition(" ")
    if word in (".quit", ".exit"):
        return False
    if word == ".tables":
        abouts = {view.name: view.about for view in VIEWS}
        abouts |= {name: f"one row per {spec.row}" for name, spec in TABLES.items()}
        for name, about in abouts.items():
            typer.echo(f"{name:18} {about}")
    elif word == ".schema" and argument.strip():
        name = argument.strip().strip(";").replace('"', '""')
        _answer(connection, f'describe "{name}"')
    else:
        typer.echo(HELP)
    return True
