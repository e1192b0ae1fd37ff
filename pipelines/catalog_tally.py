"""Counts of one catalog build: mergeable in any order, and what people read at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

EXAMPLES = 5
"""Example paths kept per kind of skipped file."""


@dataclass
class Tally:
    """Counts that shards add up to; merging is associative and commutative.

    Attributes:
        counts: events by name: ``listed``, ``videos``, ``new``, ``changed``, ``unchanged``,
            ``edited`` (same bytes, other facts), ``probed``, ``reused``, ``duplicates``, …
        skipped: listed files that are no row, by kind.
        examples: by kind of skipped file the first few paths in alphabetical order.
        groups: videos by (variant, manipulation, label), each None possible.
        splits: videos of the layout by split they belong to, whatever split is asked for.
        seen: numbers of list entries found, by variant.
    """

    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    groups: Counter[tuple[str, str | None, int | None]] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    def skip(self, kind: str, path: str) -> None:
        """Count a file that is no row."""
        self.skipped[kind] += 1
        self.examples[kind] = _first([*self.examples.get(kind, []), path])

    def add(self, other: Tally) -> Tally:
        """Merge ``other`` into this one and return this one."""
        self.counts.update(other.counts)
        self.skipped.update(other.skipped)
        self.groups.update(other.groups)
        self.splits.update(other.splits)
        for kind, paths in other.examples.items():
            self.examples[kind] = _first([*self.examples.get(kind, []), *paths])
        for variant, entries in other.seen.items():
            mine = self.seen.get(variant, np.empty(0, np.int32))
            self.seen[variant] = np.union1d(mine, entries).astype(np.int32)
        return self


def merge(tallies: Iterable[Tally]) -> Tally:
    """Add up tallies into a new one."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _first(paths: list[str]) -> list[str]:
    return sorted(paths)[:EXAMPLES]
