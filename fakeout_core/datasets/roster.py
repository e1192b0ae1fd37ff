"""Lists of videos: who should be there, and the names that ship with this package."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

from fakeout_core.datasets.facts import ALL, Listed
from fakeout_core.datasets.packaged import data_text
from fakeout_core.errors import ConfigError


class Roster:
    """Listed videos by key, with the splits they belong to."""

    def __init__(self) -> None:
        self._listed: list[tuple[Listed, tuple[str, ...]]] = []
        self._at: dict[Hashable, int] = {}

    def add(
        self, key: Hashable, name: str, manipulation: str | None, splits: tuple[str, ...]
    ) -> None:
        """Put a video on the list; a key that is there already keeps its first entry."""
        if key not in self._at:
            self._at[key] = len(self._listed)
            self._listed.append((Listed(len(self._listed), name, manipulation), splits))

    def entry(self, key: Hashable) -> int:
        """Number of the video with this key; -1 if it is on no list."""
        return self._at.get(key, -1)

    def expected(self, split: str) -> list[Listed]:
        """Listed videos of a split."""
        return [item for item, splits in self._listed if split == ALL or split in splits]


@cache
def packaged_names(name: str) -> tuple[str, ...]:
    """Names in a data file of this package: words, with ``#`` lines left out."""
    lines = data_text(name).splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())


@cache
def face_forensics_pairs() -> dict[str, tuple[tuple[str, str], ...]]:
    """The official pairs of FaceForensics++ by split, each in its official direction."""
    pairs: dict[str, tuple[tuple[str, str], ...]] = {}
    for line in data_text("face_forensics_pairs.txt").splitlines():
        if not line.startswith("#"):
            split, *names = line.split()
            pairs[split] = tuple((name[:3], name[4:]) for name in names)
    return pairs


@cache
def face_forensics_split() -> dict[str, str]:
    """Split of each of the 1,000 originals of FaceForensics++."""
    return {
        identity: split
        for split, pairs in face_forensics_pairs().items()
        for pair in pairs
        for identity in pair
    }


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A path pattern of the registry; it must match whole paths."""
    return re.compile(pattern)


def check_options(dataset: str, options: Mapping[str, str], allowed: Mapping[str, Any]) -> None:
    """Refuse options that the layout does not know.

    Raises:
        ConfigError: names the ones there are.
    """
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        known = "; ".join(f"{name}: {about}" for name, about in allowed.items()) or "none"
        raise ConfigError(f"dataset {dataset} has no option {', '.join(unknown)}; options: {known}")


def one_of(option: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    """Check the value of an option.

    Raises:
        ConfigError: names the values there are.
    """
    if value is not None and value not in allowed:
        raise ConfigError(f"option {option}={value}: choose one of {', '.join(allowed)}")
    return value


COMPRESSIONS = ("c0", "raw", "c23", "c40")


def compression_of(text: str | None) -> str:
    """Name of a compression: ``raw`` and ``c0`` are the same one; empty where a path has none."""
    return "c0" if text == "raw" else text or ""
