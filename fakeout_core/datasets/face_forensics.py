"""FaceForensics++ and its FaceShifter part: original layout, and one manipulation flattened.

Identity: a fake ``a_b`` shows person b's face on video a, and the official pairs use every original
exactly once, so related videos are the two originals a and b and the fakes a_b and b_a of every
manipulation. ``source_id`` names that group by its smaller number first, ``000_003``.
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
    face_forensics_pairs,
    one_of,
)
from fakeout_core.datasets.spec import DatasetSpec

FILTERED = "filtered_test"


@dataclass(frozen=True)
class FaceForensicsLayout:
    """Layout of FaceForensics++, or of one manipulation of it.

    Attributes:
        spec: from the registry.
    """

    spec: DatasetSpec

    def is_sidecar(self, path: str) -> bool:
        """The official lists ship with this package; copies in the tree are not read."""
        del path
        return False

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> _Resolver:
        """Take the options."""
        del sidecars
        check_options(self.spec.name, options, self.spec.options)
        compression = one_of("compression", options.get("compression"), COMPRESSIONS)
        manipulations = tuple(self.spec.settings["manipulations"])
        manipulation = one_of("manipulation", options.get("manipulation"), manipulations)
        return _Resolver(self.spec, compression and compression_of(compression), manipulation)


class _Resolver:
    def __init__(
        self, spec: DatasetSpec, compression: str | None, manipulation: str | None
    ) -> None:
        settings = spec.settings
        self._compression, self._manipulation = compression, manipulation
        self._manipulations = set(settings["manipulations"])
        self._flat_manipulation = manipulation or settings.get("flattened_manipulation")
        self._original = compiled(settings["original"])
        self._manipulated = compiled(settings["manipulated"])
        self._flattened = compiled(settings["flattened"])
        self._not_flattened = tuple(settings["not_flattened"])
        left_out = set(settings.get("filtered_test_leaves_out", ()))
        chosen = [manipulation] if manipulation else settings["manipulations"]
        self._roster = Roster()
        self._groups: dict[str, str] = {}
        self._splits: dict[str, tuple[str, ...]] = {}
        for split, pairs in face_forensics_pairs().items():
            for a, b in pairs:
                for stem in (a, b, f"{a}_{b}", f"{b}_{a}"):
                    is_filtered = FILTERED in spec.splits and split == "test"
                    kept = is_filtered and stem not in left_out
                    self._splits[stem] = (split, FILTERED) if kept else (split,)
                    self._groups[stem] = "_".join(sorted((a, b)))
                    for kind in chosen if "_" in stem else ["real"]:
                        self._roster.add((kind, stem), stem, kind, self._splits[stem])

    def resolve(self, path: str) -> Facts | None:
        """Match the original layout first, then a flattened folder."""
        for pattern in (self._original, self._manipulated):
            match = pattern.fullmatch(path)
            if match:
                parts = match.groupdict()
                kind = parts.get("manipulation", "real")
                if kind != "real" and kind not in self._manipulations:
                    return None
                return self._facts(parts["stem"], kind, compression_of(parts["compression"]))
        match = self._flattened.fullmatch(path)
        if match is None or any(part in path for part in self._not_flattened):
            return None
        stem = match["stem"]
        return self._facts(stem, self._flat_manipulation if "_" in stem else "real", "")

    def _facts(self, stem: str, kind: str | None, compression: str) -> Facts:
        is_chosen = (not compression or self._compression in (None, compression)) and (
            kind in ("real", None) or self._manipulation in (None, kind)
        )
        return Facts(
            label=REAL if kind == "real" else FAKE,
            manipulation=kind,
            source_id=self._groups.get(stem, stem),
            splits=self._splits.get(stem, ()),
            variant=compression,
            entry=self._roster.entry((kind, stem)),
            is_chosen=is_chosen,
        )

    def expected(self, split: str) -> Sequence[Listed]:
        """Originals and fakes of the official pairs."""
        return self._roster.expected(split)
