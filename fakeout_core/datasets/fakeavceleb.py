"""FakeAVCeleb: four kinds by whether picture and sound are fake; methods are in meta_data.csv.

A video counts as fake if its picture or its sound is. Identity: the celebrity of the folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fakeout_core.datasets.facts import FAKE, REAL, Facts, Listed
from fakeout_core.datasets.roster import Roster, check_options, compiled
from fakeout_core.datasets.spec import DatasetSpec
from fakeout_core.errors import ConfigError


@dataclass(frozen=True)
class FakeAvCelebLayout:
    """Layout of FakeAVCeleb v1.2.

    Attributes:
        spec: from the registry.
    """

    spec: DatasetSpec

    def is_sidecar(self, path: str) -> bool:
        """The list of methods."""
        return PurePosixPath(path).name == self.spec.settings["records"]

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> _Resolver:
        """Read the list of methods.

        Raises:
            ConfigError: it has other columns.
        """
        check_options(self.spec.name, options, self.spec.options)
        methods: dict[str, str] = {}
        for path, content in sidecars.items():
            methods.update(_read_methods(path, content))
        return _Resolver(self.spec, methods)


def _read_methods(path: str, content: bytes) -> dict[str, str]:
    """Method by ``<kind>/…/<file>``.

    Rows hold the file name under ``path`` (or ``filename``) and, in a last column that the header
    leaves unnamed, its folder, which begins with the name of the data set's root.
    """
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    empty: list[str] = []
    header = next(rows, empty)
    if not {"method", "type", "path"} <= set(header):
        raise ConfigError(
            f"{path}: wanted columns method, type and path among source,target1,target2,method,"
            f"category,type,race,gender,path; found {', '.join(header) or 'none'}"
        )
    at = {name: header.index(name) for name in ("method", "type", "path")}
    methods: dict[str, str] = {}
    for row in rows:
        if len(row) <= max(at.values()):
            continue
        whole = "/".join(reversed([part for part in row[at["path"] :] if part]))
        if "filename" in header:
            whole = f"{row[at['path']]}/{row[header.index('filename')]}"
        kind = row[at["type"]]
        _, found, rest = whole.partition(f"{kind}/")
        if found:
            methods[f"{kind}/{rest}"] = row[at["method"]]
    return methods


class _Resolver:
    def __init__(self, spec: DatasetSpec, methods: dict[str, str]) -> None:
        self._video = compiled(spec.settings["video"])
        self._real: str = spec.settings["real_kind"]
        self._methods = methods
        self._roster = Roster()
        for key in sorted(methods):
            kind, _, _ = key.partition("/")
            self._roster.add(key, key, self._manipulation(kind, key), ())

    def _manipulation(self, kind: str, key: str) -> str:
        """Method of a fake; without a list, which of picture and sound is fake."""
        return "real" if kind == self._real else self._methods.get(key, kind)

    def resolve(self, path: str) -> Facts | None:
        """Go by the folders."""
        match = self._video.fullmatch(path)
        if match is None:
            return None
        kind = match["kind"]
        key = kind + match["rest"]
        return Facts(
            label=REAL if kind == self._real else FAKE,
            manipulation=self._manipulation(kind, key),
            source_id=match["person"],
            entry=self._roster.entry(key),
        )

    def expected(self, split: str) -> Sequence[Listed]:
        """Every listed video, whatever the split: there are none."""
        del split
        return self._roster.expected("all")
