"""The registry: which datasets are known, read from ``data/registry.yaml``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml

from fakeout_core.datasets.celeb_df import CelebDfLayout
from fakeout_core.datasets.custom import CustomLayout
from fakeout_core.datasets.deeper_forensics import DeeperForensicsLayout
from fakeout_core.datasets.dfdc import DfdcLayout
from fakeout_core.datasets.face_forensics import FaceForensicsLayout
from fakeout_core.datasets.facts import Layout
from fakeout_core.datasets.fakeavceleb import FakeAvCelebLayout
from fakeout_core.datasets.packaged import data_text
from fakeout_core.datasets.spec import DatasetSpec
from fakeout_core.errors import ConfigError

CUSTOM = "custom"

PARSERS: dict[str, Callable[[DatasetSpec], Layout]] = {
    "face_forensics": FaceForensicsLayout,
    "deeper_forensics": DeeperForensicsLayout,
    "celeb_df": CelebDfLayout,
    "dfdc": DfdcLayout,
    "fakeavceleb": FakeAvCelebLayout,
}


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


def canonical_name(name: str) -> str:
    """Name of the registry for an alias, such as ``celeb_df`` for ``celeb``; else ``name``."""
    spec = find_spec(name)
    return name if spec.name == CUSTOM else spec.name


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
    if spec.parser == CUSTOM:
        return CustomLayout(source_uri)
    if spec.parser not in PARSERS:
        raise ConfigError(f"dataset {spec.name}: no layout parser {spec.parser!r}")
    return PARSERS[spec.parser](spec)


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
