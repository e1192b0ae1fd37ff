"""Face detection: MTCNN, box for box the reference's, on ONNX Runtime.

A detector turns one picture into :class:`Detections`; a better one can be put in by giving the
tracker another object with the same ``detect``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fakeout_core.faces.nets import onnx_net, run
from fakeout_core.faces.pooling import Integral

LEAST_FACE_PX = 20
PYRAMID_FACTOR = 0.6
THRESHOLDS = (0.6, 0.7, 0.7)
CELL, CELL_STEP = 12, 2
"""Field of view of the first net and the distance between its cells, px of a level."""

FITTING = (0.6, 3.0)
"""Levels on which a known face is looked for: its side there, in fields of view."""

FAR = 1_000_000.0
"""More px than any picture has on a side; whole, so that sums stay exact."""

DENSE = 400
"""Candidates compared all with all."""


@dataclass(frozen=True)
class Detections:
    """Faces of one picture, largest first.

    Attributes:
        boxes: float32 [n, 4], x, y, w, h in px.
        confidence: float32 [n], 0..1.
        points: float32 [n, 5, 2]: eyes, nose, mouth corners, px.
    """

    boxes: np.ndarray
    confidence: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


NOTHING = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
)


class Detector(Protocol):
    """Finds faces."""

    def detect(self, bgr: np.ndarray, near: np.ndarray | None = None) -> Detections:
        """Find the faces of a picture uint8 [h, w, 3].

        With ``near``, float [k, 4] boxes x, y, w, h, only faces near those and of similar size
        need be found.
        """
        ...


def levels_to_skip(setting: int | Literal["auto"], width: int, height: int) -> int:
    """How many of the finest pyramid levels to leave out.

    Args:
        setting: of the configuration; ``auto`` follows the picture.
        width: px.
        height: px.

    Returns:
        0 finds faces from 20 px, 1 from 33 px, 2 from 56 px, 3 from 93 px. ``auto``: 1 below 360
        lines, 2 from there on; windows of the reference's clips stay equal with that rule except
        where faces are under 56 px.
    """
    if setting != "auto":
        return setting
    return 1 if min(width, height) < 360 else 2


class Mtcnn:
    """The three nets in cascade.

    Source: facenet-pytorch's ``MTCNN.detect`` with smallest face 20 px and factor 0.6, as FacePipe
    sets it. Boxes equal those of the reference to 0.00 px with ``skip`` 0. A candidate outside the
    picture is dropped, where the reference loses the whole video.
    """

    def __init__(self, skip: int = 0, threads: int = 1) -> None:
        self._skip = skip
        self._first = onnx_net("pnet.onnx", threads)
        self._second = onnx_net("rnet.onnx", threads)
        self._third = onnx_net("onet.onnx", threads)

    def detect(self, bgr: np.ndarray, near: np.ndarray | None = None) -> Detections:
        """Find faces in the whole picture, or only near known ones.

        Args:
            bgr: uint8 [h, w, 3].
            near: float [k, 4] boxes x, y, w, h. The first net then looks only at the cells around
                each (half a side more on every side), at levels where a face of half to thrice
                its size shows. Scores of those cells do not depend on the rest of the
                picture, so boxes equal those of a full look, unless a farther candidate would have
                suppressed one.

        Returns:
            Faces, largest first.
        """
        height, width = bgr.shape[:2]
        integral = Integral(bgr)
        boxes = self._propose(integral, width, height, near)
        if not len(boxes):
            return NOTHING
        boxes = self._refine(integral, boxes)
        if not len(boxes):
            return NOTHING
        return self._finish(integral, boxes)

    def _propose(
        self, integral: Integral, width: int, height: int, near: np.ndarray | None
    ) -> np.ndarray:
        """Candidates of the first net, float64 [n, 5]: x1, y1, x2, y2, probability."""
        scale = CELL / LEAST_FACE_PX
        least, level = min(width, height) * scale, 0
        cells: list[np.ndarray] = []
        places: list[tuple[int, float]] = []
        while least >= CELL:
            if level >= self._skip:
                rows, columns = int(height * scale + 1), int(width * scale + 1)
                for part in _parts(near, scale, rows, columns):
                    cells.append(self._cells(integral.level(rows, columns, part), part))
                    places.append((level, scale))
            scale *= PYRAMID_FACTOR
            least *= PYRAMID_FACTOR
            level += 1
        if not cells:
            return np.zeros((0, 5))
        level_of, scale_of = np.repeat(places, [found.shape[1] for found in cells], axis=0).T
        return _proposals(np.concatenate(cells, axis=1), level_of, scale_of.astype(np.float32))

    def _cells(self, picture: np.ndarray, part: tuple[int, int, int, int]) -> np.ndarray:
        """Cells over the threshold in part of a level: float32 [7, n], x, y of their corner in px
        of the level, probability, offsets."""
        scores, offsets = run(self._first, ["probability", "offsets"], picture)
        faces, columns = scores[0, 1].reshape(-1), scores.shape[3]
        at = np.flatnonzero(faces >= THRESHOLDS[0])
        found = np.empty((7, len(at)), np.float32)
        found[0] = at % columns * CELL_STEP + part[2]
        found[1] = at // columns * CELL_STEP + part[0]
        found[2] = faces[at]
        found[3:] = offsets.reshape(4, -1)[:, at]
        return found

    def _refine(self, integral: Integral, boxes: np.ndarray) -> np.ndarray:
        """Second net: candidates checked, corrected and squared, float64 [n, 5]."""
        crops, good = integral.crops(boxes[:, :4], 24)
        boxes = boxes[good]
        if not len(boxes):
            return boxes
        scores, offsets = run(self._second, ["probability", "offsets"], crops)
        kept = scores[:, 1] > THRESHOLDS[1]
        boxes = np.column_stack([boxes[kept, :4], scores[kept, 1]])
        offsets = offsets[kept]
        kept = suppress(boxes[:, :4], boxes[:, 4], 0.7)
        return _squared(_corrected(boxes[kept], offsets[kept]))

    def _finish(self, integral: Integral, boxes: np.ndarray) -> Detections:
        """Third net: faces with confidence and points."""
        crops, good = integral.crops(boxes[:, :4], 48)
        boxes = boxes[good]
        if not len(boxes):
            return NOTHING
        scores, offsets, places = run(self._third, ["probability", "offsets", "points"], crops)
        kept = scores[:, 1] > THRESHOLDS[2]
        boxes = np.column_stack([boxes[kept, :4], scores[kept, 1]])
        offsets, places = offsets[kept], places[kept]
        sizes = boxes[:, 2:4] - boxes[:, 0:2] + 1
        points = np.stack(
            [
                sizes[:, :1] * places[:, :5] + boxes[:, 0:1] - 1,
                sizes[:, 1:] * places[:, 5:] + boxes[:, 1:2] - 1,
            ],
            axis=2,
        )
        boxes = _corrected(boxes, offsets)
        kept = suppress(boxes[:, :4], boxes[:, 4], 0.7, over_smaller=True)
        boxes, points = boxes[kept], points[kept]
        sizes = boxes[:, 2:4] - boxes[:, 0:2]
        order = np.argsort(-(sizes[:, 0] * sizes[:, 1]), kind="stable")
        xywh = np.concatenate([boxes[:, 0:2], sizes], axis=1)[order]
        return Detections(
            xywh.astype(np.float32),
            boxes[order, 4].astype(np.float32),
            points[order].astype(np.float32),
        )


def _proposals(cells: np.ndarray, levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Boxes of the cells that are the best of their surroundings, on their own level and then on
    all, corrected and squared: float64 [k, 5].

    Args:
        cells: float32 [7, n], as ``Mtcnn._cells`` gives them.
        levels: float64 [n], number of a cell's level.
        scales: float32 [n], px of that level for one of the picture.
    """
    # In float32, as the reference: the floor of a whole number depends on it.
    low = np.floor((cells[:2] + 1) / scales)
    high = np.floor((cells[:2] + CELL) / scales)
    boxes = np.concatenate([low, high, cells[2:]]).T.astype(np.float64)
    # Moved apart, boxes of two levels never overlap, so that one call serves all levels.
    apart = boxes[:, :4] + (levels * FAR)[:, None]
    boxes = boxes[suppress(apart, boxes[:, 4], 0.5)]
    boxes = boxes[suppress(boxes[:, :4], boxes[:, 4], 0.7)]
    sizes = np.tile(boxes[:, 2:4] - boxes[:, 0:2], 2)
    boxes[:, :4] += boxes[:, 5:9] * sizes
    return _squared(boxes[:, :5])


def _parts(
    near: np.ndarray | None, scale: float, rows: int, columns: int
) -> list[tuple[int, int, int, int]]:
    """Parts of a level to look at: all of it, or surroundings of known faces of fitting size."""
    if near is None:
        return [(0, rows, 0, columns)]
    parts: list[tuple[int, int, int, int]] = []
    for x, y, w, h in near:
        side = float(max(w, h)) * scale
        if not FITTING[0] * CELL <= side <= FITTING[1] * CELL:
            continue
        cx, cy, reach = (x + w / 2) * scale, (y + h / 2) * scale, max(side, CELL * 0.75)
        # Even starts keep the pooling grid of the net where it is on the whole level.
        r1, c1 = max(0, int(cy - reach)) // 2 * 2, max(0, int(cx - reach)) // 2 * 2
        r2, c2 = min(rows, int(cy + reach) + 2), min(columns, int(cx + reach) + 2)
        if r2 - r1 >= CELL and c2 - c1 >= CELL:
            parts.append((r1, r2, c1, c2))
    return parts


def suppress(
    boxes: np.ndarray, scores: np.ndarray, limit: float, *, over_smaller: bool = False
) -> np.ndarray:
    """Greedy suppression, best score first.

    Args:
        boxes: float [n, 4], x1, y1, x2, y2.
        scores: float [n].
        limit: overlap above which the lesser box goes.
        over_smaller: overlap is intersection over the smaller area, lengths counted inclusively;
            otherwise intersection over union.

    Returns:
        int64 [k], indices kept, best first.
    """
    if len(boxes) > DENSE:
        # Only a picture full of candidates gets here; a matrix of all pairs would be large.
        order = np.argsort(-scores, kind="stable")[:DENSE]
        kept = order[suppress(boxes[order], scores[order], limit, over_smaller=over_smaller)]
        rest = np.setdiff1d(np.arange(len(boxes)), order)
        for best in kept:
            rest = rest[_overlaps(boxes[[best]], boxes[rest], over_smaller)[0] <= limit]
        more = rest[suppress(boxes[rest], scores[rest], limit, over_smaller=over_smaller)]
        return np.concatenate([kept, more])
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    is_over = _overlaps(boxes, boxes, over_smaller) > limit
    is_free = np.ones(len(boxes), bool)
    kept_places: list[int] = []
    for place in range(len(boxes)):
        if is_free[place]:
            kept_places.append(place)
            is_free[is_over[place]] = False
    return order[kept_places]


def _overlaps(boxes: np.ndarray, others: np.ndarray, over_smaller: bool) -> np.ndarray:
    """Overlap of boxes with others, float [n, m]; lengths inclusive if over the smaller."""
    extra = 1.0 if over_smaller else 0.0
    a, b = boxes[:, None], others[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extra
    np.maximum(sides, 0, out=sides)
    shared = sides[..., 0] * sides[..., 1]
    lengths = boxes[:, 2:4] - boxes[:, :2] + extra
    lengths_b = others[:, 2:4] - others[:, :2] + extra
    area_a, area_b = lengths[:, 0] * lengths[:, 1], lengths_b[:, 0] * lengths_b[:, 1]
    if over_smaller:
        return shared / np.minimum(area_a[:, None], area_b[None])
    return shared / (area_a[:, None] + area_b[None] - shared)


def _corrected(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes [n, 5] moved by a net's offsets, in units of their inclusive sides."""
    boxes = boxes.copy()
    sizes = np.tile(boxes[:, 2:4] - boxes[:, 0:2] + 1, 2)
    boxes[:, :4] += offsets * sizes
    return boxes


def _squared(boxes: np.ndarray) -> np.ndarray:
    """Boxes [n, 5] with the longer side on both axes, same centre."""
    boxes = boxes.copy()
    sizes = boxes[:, 2:4] - boxes[:, 0:2]
    side = sizes.max(1, keepdims=True)
    boxes[:, 0:2] += sizes * 0.5 - side * 0.5
    boxes[:, 2:4] = boxes[:, 0:2] + side
    return boxes
