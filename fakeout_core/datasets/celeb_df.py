"""Celeb-DF v2: names alone tell reals of celebrities, other reals and fakes apart.

Identity: the person in the target video (``id0`` of ``id0_id1_0000``). Joining both persons of
every fake would tie nearly all celebrities into one group, and leave nothing to resample. A real
of ``YouTube-real`` stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fakeout_core.datasets.facts import FAKE, REAL, Facts, Listed, stem
from fakeout_core.datasets.roster import Roster, check_options, compiled, packaged_names
from fakeout_core.datasets.spec import DatasetSpec
from fakeout_core.errors import ConfigError


@dataclass(frozen=True)
class CelebDfLayout:
    """Layout of Celeb-DF v2.

    Attributes:
        spec: from the registry.
    """

    spec: DatasetSpec

    def is_sidecar(self, path: str) -> bool:
        """The corpus's own test list, if it is there."""
        return PurePosixPath(path).name == self.spec.settings["test_list"]

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> _Resolver:
        """Prefer the corpus's test list to the packaged copy."""
        check_options(self.spec.name, options, self.spec.options)
        test = [name for path, text in sidecars.items() for name in _read_list(path, text)]
        return _Resolver(self.spec, test or list(packaged_names("celeb_df_test.txt")))


def _read_list(path: str, content: bytes) -> list[str]:
    """Stems of lines like ``1 YouTube-real/00170.mp4`` (there 1 means real, unlike our labels)."""
    names: list[str] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split(maxsplit=1)
        if len(parts) != 2 or parts[0] not in ("0", "1"):
            raise ConfigError(
                f"{path}, line {number}: wanted '1 YouTube-real/00170.mp4', found {line[:80]!r}"
            )
        names.append(stem(parts[1].strip()))
    return names


class _Resolver:
    def __init__(self, spec: DatasetSpec, test: list[str]) -> None:
        settings = spec.settings
        self._manipulation: str = settings["manipulation"]
        self._synthesis = compiled(settings["synthesis"])
        self._real = [compiled(settings[kind]) for kind in ("celeb_real", "youtube_real")]
        self._test = set(test)
        self._roster = Roster()
        for name in sorted(self._test):
            is_fake = self._synthesis.fullmatch(f"{name}.mp4") is not None
            kind = self._manipulation if is_fake else "real"
            self._roster.add(name, name, kind, ("test",))

    def resolve(self, path: str) -> Facts | None:
        """Go by the name of the file; folders do not matter."""
        match = self._synthesis.fullmatch(path)
        kind = self._manipulation if match else "real"
        for pattern in self._real:
            match = match or pattern.fullmatch(path)
        if match is None:
            return None
        parts = match.groupdict()
        return Facts(
            label=REAL if kind == "real" else FAKE,
            manipulation=kind,
            source_id=parts.get("person") or f"youtube-{parts['stem']}",
            splits=("test",) if parts["stem"] in self._test else ("train",),
            entry=self._roster.entry(parts["stem"]),
        )

    def expected(self, split: str) -> Sequence[Listed]:
        """The test list; training videos are on no list."""
        return self._roster.expected(split)
