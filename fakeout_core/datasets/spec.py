"""One entry of the dataset registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
