"""What changes in a picture, from a coarse look at each frame: shots, and where to search anew."""

from __future__ import annotations

import cv2
import numpy as np

GRID = (32, 18)
"""Columns and rows of a coarse look."""

CUT_CHANGE = 32.0
"""Mean change of level between two looks that makes a cut."""

CELL_CHANGE = 24
"""Change of level that makes a cell another."""

CHANGED_CELLS = 4
"""So many other cells away from known faces may hold a new face."""


def coarse(bgr: np.ndarray) -> np.ndarray:
    """A few pixels of a frame uint8 [h, w, 3]: uint8 [18, 32, 3]."""
    return cv2.resize(bgr, GRID, interpolation=cv2.INTER_NEAREST)


class ShotChange:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, look: np.ndarray) -> bool:
        """Whether a new shot begins with this look."""
        last, self._last = self._last, look
        return last is not None and cv2.norm(look, last, cv2.NORM_L1) > CUT_CHANGE * look.size


class Searched:
    """Remembers the picture at the last search of all of it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def remember(self, look: np.ndarray) -> None:
        """All of this picture was searched."""
        self._last = look

    def is_changed(self, look: np.ndarray, boxes: np.ndarray, width: int, height: int) -> bool:
        """Whether the picture differs since, away from the faces known.

        Args:
            look: coarse look at the picture now.
            boxes: known faces, float [k, 4] x, y, w, h; each with one half of its longer side
                around it does not count, since it is searched anyway.
            width: of the picture in px.
            height: of the picture in px.
        """
        if self._last is None:
            return True
        is_other = cv2.absdiff(look, self._last).max(-1) > CELL_CHANGE
        columns, rows = GRID
        for x, y, w, h in boxes:
            side = max(w, h)
            x1, x2 = (x + w / 2 - side) / width, (x + w / 2 + side) / width
            y1, y2 = (y + h / 2 - side) / height, (y + h / 2 + side) / height
            top, left = max(0, int(y1 * rows)), max(0, int(x1 * columns))
            is_other[top : int(np.ceil(y2 * rows)), left : int(np.ceil(x2 * columns))] = False
        return int(is_other.sum()) >= CHANGED_CELLS
