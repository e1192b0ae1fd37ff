"""The ``fakeout`` command: collects the subcommands and maps errors to exit codes.

Exit codes: 0 done; 1 the job failed; 2 usage or configuration; 3 done, but more than the allowed
share of videos is in quarantine.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer

from fakeout_core.errors import CheckpointError, ConfigError, FakeoutError

COMMANDS = (
    "demo",
    "run",
    "catalog",
    "crop",
    "score",
    "metrics",
    "report",
    "plan",
    "rescan",
    "quarantine",
    "compact",
    "submit",
    "query",
    "checkpoint",
    "doctor",
)
"""Modules of ``jobs.commands``; each has ``register(app)``. Order is that of ``--help``."""


def build_app() -> typer.Typer:
    """Assemble the application; command modules keep heavy imports inside their functions."""
    app = typer.Typer(
        help="Score whole video corpora for deepfakes, from face and voice.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version and leave.", callback=_version),
        ] = False,
    ) -> None:
        pass

    for name in COMMANDS:
        importlib.import_module(f"jobs.commands.{name}").register(app)
    return app


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"fakeout {metadata.version('fakeout')}")
        raise typer.Exit


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    """Leave through the stack on SIGTERM, so that a run gives its lock back."""
    raise SystemExit(128 + signal.SIGTERM)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:  # Ray sets it in the jobs it starts
        from pipelines.telemetry import log_json

        log_json()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        build_app()(args=argv, prog_name="fakeout")  # leaves by itself; usage errors with 2
    except (ConfigError, CheckpointError) as error:
        print(f"fakeout: {error}", file=sys.stderr)
        sys.exit(2)
    except FakeoutError as error:
        print(f"fakeout: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
