"""Boxes, windows and similarity transforms: the arithmetic of the FacePipe method.

Boxes are x, y, w, h in px of the full frame; windows are whole-numbered rectangles with exclusive
ends. All arithmetic is double precision: a box edge on a boundary decides whole pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ENLARGE = 1.8
"""A window is this many times the longer side of the box it is made from."""

SHIFT = (-17.05, 5.0)
MEAN_FACE = (
    (128.87017960974802, 137.30253355584708),
    (92.52245552947952, 94.36876013925871),
    (112.7724172413806, 94.94360869870115),
    (145.52511509158018, 94.5349986248377),
    (166.67710071343456, 93.56562295717796),
)
"""Points 33, 36, 39, 42 and 45 of the mean face in mpc001/auto_avsr (Apache-2.0)."""

TARGET = np.array(MEAN_FACE) + SHIFT
"""Where landmarks 2, 130, 243, 463 and 359 go in the 224 px crop, float64 [5, 2]."""

LANDMARKS = (2, 130, 243, 463, 359)
"""Under the nose; right eye, outer and inner corner; left eye, inner and outer corner."""


class Window(NamedTuple):
    """Rectangle in whole px of the full frame; ``x2`` and ``y2`` are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int

    def joined(self, other: Window) -> Window:
        """Smallest window that holds both."""
        return Window(
            min(self.x1, other.x1),
            min(self.y1, other.y1),
            max(self.x2, other.x2),
            max(self.y2, other.y2),
        )

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.x1 <= x < self.x2 and self.y1 <= y < self.y2


def area(box: np.ndarray) -> float:
    """Width × height of a box x, y, w, h."""
    return float(box[2]) * float(box[3])


def centre(box: np.ndarray) -> tuple[int, int]:
    """Centre of a box x, y, w, h, truncated towards zero."""
    x, y, w, h = (float(value) for value in box)
    return int(x + w / 2), int(y + h / 2)


def enlarged(box: np.ndarray, width: int, height: int) -> Window:
    """The square around a box from which a crop may be taken, clipped to the picture.

    Args:
        box: x, y, w, h in px.
        width: of the picture in px.
        height: of the picture in px.

    Returns:
        Square of 1.8 times the longer side around the truncated centre, each edge clipped alone.

    Source: FacePipe's box arithmetic; truncations as there.
    """
    cx, cy = centre(box)
    half = int(ENLARGE * max(float(box[2]), float(box[3])) / 2)
    return Window(
        max(cx - half, 0), max(cy - half, 0), min(cx + half, width), min(cy + half, height)
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two rectangles x1, y1, x2, y2 (no pixel added to lengths)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / total) if total > 0 else 0.0


def corners(box: np.ndarray) -> np.ndarray:
    """A box x, y, w, h as x1, y1, x2, y2, float64 [4]."""
    x, y, w, h = (float(value) for value in box)
    return np.array([x, y, x + w, y + h])


def similarity(points: np.ndarray, target: np.ndarray = TARGET) -> np.ndarray:
    """Least-squares similarity transform from points to target.

    Args:
        points: float [k, 2], px of the full frame, not all equal.
        target: float [k, 2], px of the crop.

    Returns:
        float64 [2, 3]: rotation and scale, then translation.

    Source: closed form of the two-dimensional Procrustes problem; equals the reference's stored
    transforms to 3e-7 (matrix) and 2e-4 px (translation).
    """
    points = np.asarray(points, np.float64)
    n_points = len(points)
    middle, goal = np.add.reduce(points) / n_points, np.add.reduce(target) / n_points
    a, b = points - middle, target - goal
    spread = max(float((a * a).sum()), 1e-12)
    c = float((a * b).sum()) / spread
    s = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[c, -s], [s, c]])
    found = np.empty((2, 3))
    found[:, :2], found[:, 2] = turn, goal - turn @ middle
    return found
