"""DeeperForensics-1.0: fakes of actors on the originals of FaceForensics++.

Splits follow the target video, as FaceForensics++ splits it. Identity: the target video too; a fake
and its original share it, and no other pairing exists. The actors' own source videos belong to no
split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fakeout_core.datasets.facts import FAKE, REAL, Facts, Listed
from fakeout_core.datasets.roster import (
    COMPRESSIONS,
    Roster,
    check_options,
    compiled,
    compression_of,
    face_forensics_split,
    one_of,
    packaged_names,
)
from fakeout_core.datasets.spec import DatasetSpec

FILTERED = "filtered_test"


@dataclass(frozen=True)
class DeeperForensicsLayout:
    """Layout of DeeperForensics-1.0.

    Attributes:
        spec: from the registry.
    """

    spec: DatasetSpec

    def is_sidecar(self, path: str) -> bool:
        """The lists ship with this package."""
        del path
        return False

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> _Resolver:
        """Take the options."""
        del sidecars
        check_options(self.spec.name, options, self.spec.options)
        compression = one_of("compression", options.get("compression"), COMPRESSIONS)
        return _Resolver(
            self.spec, compression and compression_of(compression), options.get("manipulation")
        )


class _Resolver:
    def __init__(
        self, spec: DatasetSpec, compression: str | None, manipulation: str | None
    ) -> None:
        settings = spec.settings
        self._compression, self._manipulation = compression, manipulation
        self._flat_manipulation: str = settings["flattened_manipulation"]
        self._patterns = [compiled(settings[kind]) for kind in ("manipulated", "original")]
        self._actors = compiled(settings["actors"])
        self._split = face_forensics_split()
        self._left_out = set(settings["filtered_test_leaves_out"])
        self._filtered = set(packaged_names("deeper_forensics_filtered_test.txt"))
        self._roster = Roster()
        for target, split in sorted(self._split.items()):
            self._roster.add(target, target, "real", self._real_splits(target, split))
        for stem in sorted(self._filtered):
            self._roster.add(stem, stem, self._flat_manipulation, (FILTERED,))

    def _real_splits(self, target: str, split: str | None) -> tuple[str, ...]:
        if split == "test" and target not in self._left_out:
            return (split, FILTERED)
        return (split,) if split else ()

    def resolve(self, path: str) -> Facts | None:
        """Tell fakes by their two-part names, reals by three digits."""
        actor = self._actors.fullmatch(path)
        if actor:
            return Facts(REAL, "real", actor["actor"], splits=())
        for pattern in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return self._facts(match.groupdict())
        return None

    def _facts(self, parts: dict[str, str | None]) -> Facts:
        target = parts["target"] or ""
        split = self._split.get(target)
        stem = parts.get("stem")
        if stem is None:
            compression = compression_of(parts.get("compression"))
            return Facts(
                label=REAL,
                manipulation="real",
                source_id=target,
                splits=self._real_splits(target, split),
                entry=self._roster.entry(target),
                is_chosen=not compression or self._compression in (None, compression),
            )
        kind = parts.get("manipulation") or self._flat_manipulation
        splits = (split,) if split else ()
        if stem in self._filtered and kind == self._flat_manipulation:
            splits = (*splits, FILTERED)
        return Facts(
            label=FAKE,
            manipulation=kind,
            source_id=target,
            splits=splits,
            entry=self._roster.entry(stem) if kind == self._flat_manipulation else -1,
            is_chosen=self._manipulation in (None, kind),
        )

    def expected(self, split: str) -> Sequence[Listed]:
        """Originals of every split, and the fakes of the published evaluation."""
        return self._roster.expected(split)
