"""Options that several subcommands share, and the request they make."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated

import typer

from fakeout_core.datasets.registry import canonical_name
from fakeout_core.errors import ConfigError
from pipelines.config import RunConfig
from pipelines.settings import load_settings

LakeOption = Annotated[
    str, typer.Option("--lake", help="Root of the tables: a folder, gs://… or s3://…")
]
DatasetOption = Annotated[
    str | None, typer.Option(help="Dataset name; by default the name of the source folder.")
]
SplitOption = Annotated[str, typer.Option(help="Split name.")]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        help="FakeOut weights (pickle or safetensors), local or by URI. Without: untrained."
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option("--labels", help="CSV: path,label[,manipulation,source_id,split]; 1 is fake."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: auto, host:port, ray://…; without: this machine.")
]
ConfigOption = Annotated[str | None, typer.Option(help="YAML file of settings.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, e.g. crop.n_windows=10. Repeatable.")
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def load_config(path: str | None, overrides: list[str] | None) -> RunConfig:
    """Resolve the settings of a run; see ``pipelines.settings``."""
    return load_settings(RunConfig, path, overrides)


def dataset_name(given: str | None, source: str) -> str:
    """The dataset's name: as given (known aliases by their own name), else the source's last part.

    Raises:
        ConfigError: the name given cannot be a partition value.
    """
    if given is None:
        last = PurePosixPath(source.rstrip("/")).name
        given = re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip("._-") or "videos"
    return partition_name("--dataset", canonical_name(given))


def partition_name(option: str, value: str) -> str:
    """Check a value that becomes part of a path in the lake.

    Raises:
        ConfigError: it has other characters than letters, digits, dot, dash and underscore.
    """
    if not _NAME.fullmatch(value):
        raise ConfigError(
            f"{option} {value!r}: use letters, digits, '.', '-' and '_', beginning with a letter "
            "or digit; the name becomes a folder of the lake"
        )
    return value
