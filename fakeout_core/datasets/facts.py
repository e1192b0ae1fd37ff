"""What a corpus says about a video, and what every layout's parser offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

REAL, FAKE = 0, 1
ALL = "all"
"""Split name that takes every video, whatever split it belongs to."""


@dataclass(frozen=True)
class Facts:
    """What path, lists and labels say about one video.

    Attributes:
        label: 0 real, 1 fake, None unknown.
        manipulation: method of a fake, ``real`` for reals, None unknown.
        source_id: identity that related videos share; None where nothing is known.
        splits: splits the video belongs to; None where the corpus knows no splits.
        variant: what else tells copies of one video apart, such as the compression; may be empty.
        entry: number on the resolver's lists, -1 for a video on none.
        is_chosen: False if an option leaves the video out.
    """

    label: int | None = None
    manipulation: str | None = None
    source_id: str | None = None
    splits: tuple[str, ...] | None = None
    variant: str = ""
    entry: int = -1
    is_chosen: bool = True

    def is_in(self, split: str) -> bool:
        """Whether the video belongs into ``split``; corpora without splits fit into any."""
        return split == ALL or self.splits is None or split in self.splits


@dataclass(frozen=True)
class Listed:
    """A video that a list names.

    Attributes:
        entry: its number, as in ``Facts.entry``.
        name: how to name it to a person.
        manipulation: as in ``Facts``.
    """

    entry: int
    name: str
    manipulation: str | None


class Resolver(Protocol):
    """A layout bound to the lists of one corpus."""

    def resolve(self, path: str) -> Facts | None:
        """Say what is known of the video at ``path``; None if the layout has no such path."""
        ...

    def expected(self, split: str) -> Sequence[Listed]:
        """Videos that ``split`` should hold according to the lists; empty where none exists."""
        ...


class Layout(Protocol):
    """A family of directory layouts, described by registry data."""

    def is_sidecar(self, path: str) -> bool:
        """Whether the file at ``path`` holds labels or lists that ``bind`` wants."""
        ...

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> Resolver:
        """Read the corpus's own lists.

        Args:
            sidecars: content by path inside the corpus.
            options: choices of the user, such as ``manipulation`` for a flattened folder.

        Raises:
            ConfigError: a list is malformed, or an option is unknown.
        """
        ...


def stem(path: str) -> str:
    """File name without its last extension and without FacePipe's ``@part1``, ``@part2``."""
    return PurePosixPath(path).stem.partition("@part")[0]
