"""The registry: which datasets are known, read from ``data/registry.yaml``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from fakeout_core.datasets.custom import CustomLayout
from fakeout_core.datasets.facts import Layout
from fakeout_core.datasets.packaged import data_text
from fakeout_core.errors import ConfigError

CUSTOM = "custom"


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset of the registry.

    Attributes:
        name: key in the registry and default value of the partition key ``dataset``.
        title: for people.
        parser: name of the layout parser.
        aliases: other names that are accepted.
        splits: splits the dataset has; empty if it has none.
        expected_tree: example paths of every layout that is understood, for error messages.
        published_counts: by split and manipulation (``real`` included) the published number.
        source: where lists and counts come from.
        options: choices that the parser takes, by name, with what they mean.
        settings: what the parser itself needs, such as path patterns.
    """

    name: str
    title: str
    parser: str
    aliases: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    expected_tree: tuple[str, ...] = ()
    published_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Any])
    source: str = ""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@cache
def registry() -> dict[str, DatasetSpec]:
    """Return every known dataset by name."""
    raw: dict[str, dict[str, Any]] = yaml.safe_load(data_text("registry.yaml"))
    return {name: _spec(name, entry) for name, entry in raw.items()}


def _spec(name: str, entry: dict[str, Any]) -> DatasetSpec:
    lists = ("aliases", "splits", "expected_tree")
    values: dict[str, Any] = {
        key: tuple(value) if key in lists else value for key, value in entry.items()
    }
    return DatasetSpec(name=name, **values)


def find_spec(name: str) -> DatasetSpec:
    """Return the dataset called ``name`` or known under that alias; any other name is custom."""
    folded = name.casefold().replace("-", "_")
    for spec in registry().values():
        if folded == spec.name or folded in spec.aliases:
            return spec
    return registry()[CUSTOM]


def near_names(name: str) -> list[str]:
    """Known datasets that ``name`` may have been meant for, if it is itself unknown."""
    if find_spec(name).name != CUSTOM or name == CUSTOM:
        return []
    return difflib.get_close_matches(name.casefold(), registry(), n=1, cutoff=0.75)


def open_layout(spec: DatasetSpec, source_uri: str = "") -> Layout:
    """Return the parser of ``spec``.

    Args:
        spec: from the registry.
        source_uri: root of the corpus.

    Raises:
        ConfigError: the registry names a parser that does not exist.
    """
    parsers: dict[str, Any] = {CUSTOM: lambda: CustomLayout(source_uri)}
    if spec.parser not in parsers:
        raise ConfigError(f"dataset {spec.name}: no layout parser {spec.parser!r}")
    return parsers[spec.parser]()


def check_split(spec: DatasetSpec, split: str) -> None:
    """Refuse a split that the dataset does not have.

    Raises:
        ConfigError: names the splits there are.
    """
    if spec.splits and split not in (*spec.splits, "all"):
        raise ConfigError(
            f"dataset {spec.name} has no split {split!r}; choose one of "
            f"{', '.join(spec.splits)}, all"
        )
