"""Any folder of videos: labels from a CSV, from folder names, or none at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fakeout_core.datasets.facts import FAKE, REAL, Facts, Listed
from fakeout_core.datasets.labels_csv import LabelFile, parse_labels
from fakeout_core.errors import ConfigError

REAL_FOLDERS = frozenset(
    ["real", "reals", "original", "originals", "genuine", "pristine", "bonafide"]
)
FAKE_FOLDERS = frozenset(
    ["fake", "fakes", "deepfake", "deepfakes", "manipulated", "synthetic", "forged", "altered"]
)


def from_folders(path: str) -> Facts:
    """Label a path by its folders; the one nearest to the file that says something wins.

    A folder must *be* such a word: ``real-estate`` labels nothing. The folder right below a
    folder of fakes names the manipulation, as in ``fake/wav2lip/x.mp4``.
    """
    folders = PurePosixPath(path).parts[:-1]
    for at in range(len(folders) - 1, -1, -1):
        word = folders[at].casefold()
        if word in REAL_FOLDERS:
            return Facts(REAL, "real")
        if word in FAKE_FOLDERS:
            return Facts(FAKE, folders[at + 1] if at + 1 < len(folders) else None)
    return Facts()


@dataclass(frozen=True)
class CustomResolver:
    """Labels of a custom corpus.

    Attributes:
        labels: the label file, or None to go by folder names.
    """

    labels: LabelFile | None = None

    def resolve(self, path: str) -> Facts:
        """Every path is welcome; one that the label file leaves out is unlabelled."""
        if self.labels is None:
            return from_folders(path)
        found = self.labels.facts.get(path)
        if found is not None:
            return found
        return Facts(splits=() if self.labels.has_splits else None)

    def expected(self, split: str) -> Sequence[Listed]:
        """Rows of the label file that belong into ``split``."""
        if self.labels is None:
            return []
        return [
            Listed(facts.entry, path, facts.manipulation)
            for path, facts in self.labels.facts.items()
            if facts.is_in(split)
        ]


@dataclass(frozen=True)
class CustomLayout:
    """The layout of a custom corpus: none.

    Attributes:
        source_uri: root of the corpus, for label files that hold whole URIs.
    """

    source_uri: str = ""

    def is_sidecar(self, path: str) -> bool:
        """Labels are named by the user, never found by chance."""
        del path
        return False

    def bind(self, sidecars: Mapping[str, bytes], options: Mapping[str, str]) -> CustomResolver:
        """Read the label file, the only sidecar there can be."""
        if options:
            raise ConfigError(f"a custom corpus takes no options, got {', '.join(options)}")
        for name, content in sidecars.items():
            return CustomResolver(parse_labels(content, name, self.source_uri))
        return CustomResolver()
