"""Deepfake Detection Challenge: labels lie beside the videos, in metadata.json or labels.csv.

Identity: the original a fake was made of, where metadata.json names it (training parts); elsewhere
each video stands for itself, because nothing is published about who appears in it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, cast

from fakeout_core.datasets.facts import FAKE, REAL, Facts, Listed, stem
from fakeout_core.datasets.roster import Roster, check_options, compiled, packaged_names
from fakeout_core.datasets.spec import DatasetSpec
from fakeout_core.errors import ConfigError

FILTERED = "filtered_test"
_WORDS = {"real": REAL, "0": REAL, "fake": FAKE, "1": FAKE}
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class DfdcLayout:
    """Layout of DFDC.

    Attributes:
        spec: from the registry.
    """

    spec: DatasetSpec

    def is_sidecar(self, path: str) -> bool:
        """Every metadata.json and labels.csv."""
        return PurePosixPath(path).name in self.spec.settings["records"]

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> _Resolver:
        """Read all records.

        Raises:
            ConfigError: a record is malformed.
        """
        check_options(self.spec.name, options, self.spec.options)
        records: dict[str, dict[str, Facts]] = {}
        for path, content in sorted(sidecars.items()):
            read = _read_json if path.endswith(".json") else _read_csv
            folder = str(PurePosixPath(path).parent)
            records.setdefault(folder, {}).update(read(path, content))
        return _Resolver(self.spec, records)


def _read_json(path: str, content: bytes) -> dict[str, Facts]:
    """Read ``{"name.mp4": {"label": "FAKE", "split": "train", "original": "x.mp4"}, …}``."""
    try:
        raw: Any = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: wanted an object of videos by file name")
    found: dict[str, Facts] = {}
    for name, entry in cast("dict[str, Any]", raw).items():
        values = cast("dict[str, Any]", entry if isinstance(entry, dict) else {})
        word = str(values.get("label", values.get("is_fake", ""))).lower()
        default = "test" if "label" not in values else None
        found[stem(name)] = _facts(
            path, name, word, str(values.get("split") or default or ""), values.get("original")
        )
    return found


def _read_csv(path: str, content: bytes) -> dict[str, Facts]:
    """Read ``filename,label`` of the test set."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    header = rows.fieldnames or []
    if "filename" not in header or "label" not in header:
        raise ConfigError(
            f"{path}: wanted columns filename,label, found {', '.join(header) or 'none'}"
        )
    found: dict[str, Facts] = {}
    for row in rows:
        name = row["filename"]
        found.setdefault(stem(name), _facts(path, name, row["label"].strip().lower(), "test", None))
    return found


def _facts(path: str, name: str, word: str, split: str, original: Any) -> Facts:
    if word not in _WORDS:
        raise ConfigError(f"{path}: {name} has the label {word!r}, wanted REAL, FAKE, 0 or 1")
    label = _WORDS[word]
    return Facts(
        label=label,
        manipulation="real" if label == REAL else None,
        source_id=stem(original) if isinstance(original, str) and original else stem(name),
        splits=(_SPLITS[split],) if split in _SPLITS else None,
    )


class _Resolver:
    def __init__(self, spec: DatasetSpec, records: dict[str, dict[str, Facts]]) -> None:
        self._video = compiled(spec.settings["video"])
        self._records = records
        self._filtered = set(packaged_names("dfdc_filtered_test.txt"))
        self._roster = Roster()
        for folder in sorted(records):
            for name, facts in sorted(records[folder].items()):
                splits = self._splits(name, facts.splits, f"{folder}/{name}")
                self._roster.add(name, name, facts.manipulation or "fake", splits)
        for name in sorted(self._filtered):
            self._roster.add(name, name, None, (FILTERED,))

    def _splits(self, name: str, recorded: tuple[str, ...] | None, path: str) -> tuple[str, ...]:
        """Recorded split, else what the folders say; the filtered list lies inside the test set."""
        splits = recorded or _split_of_folders(path)
        if name in self._filtered and splits in ((), ("test",)):
            return ("test", FILTERED)
        return splits

    def resolve(self, path: str) -> Facts | None:
        """Look the name up in the nearest record above the file."""
        match = self._video.fullmatch(path)
        if match is None:
            return None
        name = match["stem"]
        facts = Facts(source_id=name)
        for folder in PurePosixPath(path).parents:
            found = self._records.get(str(folder), {}).get(name)
            if found is not None:
                facts = found
                break
        splits = self._splits(name, facts.splits, path)
        return replace(facts, splits=splits or None, entry=self._roster.entry(name))

    def expected(self, split: str) -> Sequence[Listed]:
        """Every recorded video, and the filtered test list."""
        return self._roster.expected(split)


def _split_of_folders(path: str) -> tuple[str, ...]:
    for folder in reversed(PurePosixPath(path).parts[:-1]):
        for word, split in _SPLITS.items():
            if word in folder.lower().replace("-", "_").split("_"):
                return (split,)
    return ()
