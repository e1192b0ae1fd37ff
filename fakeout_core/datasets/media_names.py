"""Which paths can be videos, judged by name alone."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import PurePosixPath

import yaml

from fakeout_core.datasets.packaged import data_text


class Likeness(StrEnum):
    """How much a path looks like a video."""

    VIDEO = "video"  # a video's extension; what is inside is for the crop stage to judge
    UNKNOWN = "unknown"  # no extension, or one nobody knows: the magic bytes decide
    OTHER = "not_media"  # an extension of something else
    HIDDEN = "hidden"  # dot files and macOS resource forks


@cache
def suffixes(kind: str) -> frozenset[str]:
    """File name extensions with their dot, of ``video`` or ``other``."""
    return frozenset(yaml.safe_load(data_text("media_suffixes.yaml"))[kind].split())


def likeness(path: str) -> Likeness:
    """Judge ``path``, '/'-separated and relative to the corpus, by its name."""
    pure = PurePosixPath(path)
    if any(part.startswith(".") or part == "__MACOSX" for part in pure.parts):
        return Likeness.HIDDEN
    suffix = pure.suffix.lower()
    if suffix in suffixes("video"):
        return Likeness.VIDEO
    if suffix in suffixes("other"):
        return Likeness.OTHER
    return Likeness.UNKNOWN
