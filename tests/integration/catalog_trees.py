"""Miniature corpora of real videos for the catalog's tests.

Reals are the shipped speech (public domain). Nobody shown there may be labelled fake, so fakes are
a generated moving pattern.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_pattern(path: Path, n_frames: int = 12, side: int = 64, shade: int = 0) -> None:
    """Encode a moving gradient, 25 frames a second, no sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(n_frames):
            row = (np.arange(side) * 3 + number * 8 + shade) % 256
            picture = np.repeat(row[None, :, None], side, 0).repeat(3, 2).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


class Tree:
    """A corpus under construction; equal files are hard links of one."""

    def __init__(self, root: Path, real: Path, fake: Path) -> None:
        self.root, self._real, self._fake = root, real, fake

    def add(self, *paths: str, fake: bool = False) -> None:
        """Add a video at each path."""
        for path in paths:
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(self._fake if fake else self._real)

    def text(self, path: str, content: str) -> None:
        """Add a file of text."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
