"""How to search each scheduled frame: all of it, around known faces, or not at all.

Detections decide who is tracked and how far windows reach. Searching all of every scheduled picture
is what the reference does; most of those searches cannot change anything, and are spared:

* Where the picture has not changed away from known faces, only their surroundings are searched.
* Where moreover all faces are followed by their landmarks and stay well inside what their boxes
  have reached already, no window can grow, and the boxes are moved along with the landmarks.
"""

from __future__ import annotations

import numpy as np

from fakeout_core.faces.candidates import Candidate
from fakeout_core.faces.detect import Detections, Detector
from fakeout_core.faces.geometry import Window, area, enlarged, similarity
from fakeout_core.faces.select import LIKELY
from fakeout_core.faces.shots import Searched

FULL_EVERY = 10
"""At least every so many detections all of the picture is searched."""

MARGIN = 0.03
"""Boxes tremble: so far inside its reach, as a share of its side, a window must lie to stay."""


class Search:
    """Searches the scheduled frames of one video.

    Attributes:
        n_full: searches of a whole picture.
        n_near: searches around known faces.
        n_moved: detections moved along with landmarks.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._searched = Searched()
        self._last: Detections | None = None
        self._owners: dict[int, tuple[Candidate, np.ndarray]] = {}
        self._reach: dict[int, Window] = {}
        self._is_real = False
        self._since_full = 0
        self.n_full = self.n_near = self.n_moved = 0

    def forget(self) -> None:
        """A new shot: nothing is known."""
        self._last = None

    def look(self, at: int, bgr: np.ndarray, glance: np.ndarray) -> Detections:
        """Faces of a scheduled frame, landmarks of followed faces already found.

        Args:
            at: its number.
            bgr: uint8 [h, w, 3].
            glance: coarse look at it.
        """
        height, width = bgr.shape[:2]
        last, faces = self._last, None
        self._since_full += 1
        self._is_real = True
        if (
            last is not None
            and len(last)
            and self._since_full < FULL_EVERY
            and not self._searched.is_changed(glance, last.boxes, width, height)
        ):
            moved = self._moved(at, last, width, height)
            if moved is not None:
                self.n_moved += 1
                self._is_real = False
                return moved
            self.n_near += 1
            faces = self._detector.detect(bgr, last.boxes)
            if _n_likely(faces) < _n_likely(last):
                faces = None  # someone is gone, or has moved out of the part searched
        if faces is None:
            faces = self._detector.detect(bgr)
            self.n_full += 1
            self._searched.remember(glance)
            self._since_full = 0
        self._last = faces
        return faces

    def owned(
        self, faces: Detections, links: list[tuple[int, Candidate]], width: int, height: int
    ) -> None:
        """Remember whose the faces just found are, to move their boxes later."""
        if not self._is_real:
            return
        self._owners = {}
        for face, candidate in links:
            window = enlarged(faces.boxes[face], width, height)
            known = self._reach.get(id(candidate))
            self._reach[id(candidate)] = window if known is None else known.joined(window)
            if candidate.region is not None and candidate.frames:
                self._owners[face] = (candidate, candidate.points[-1])

    def _moved(self, at: int, last: Detections, width: int, height: int) -> Detections | None:
        """The last faces where their landmarks are now; None if one might reach farther."""
        if len(self._owners) < len(last):
            return None
        boxes, points = last.boxes.astype(np.float64), last.points.copy()
        for face, (candidate, before) in self._owners.items():
            if candidate.region is None or candidate.frames[-1] < at - 1:
                return None
            matrix = similarity(before, candidate.points[-1])
            scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
            middle = matrix[:, :2] @ (boxes[face, :2] + boxes[face, 2:] / 2) + matrix[:, 2]
            boxes[face, 2:] *= scale
            boxes[face, :2] = middle - boxes[face, 2:] / 2
            points[face] = last.points[face] @ matrix[:, :2].T + matrix[:, 2]
            window, reach = enlarged(boxes[face], width, height), self._reach[id(candidate)]
            if not _is_well_inside(window, reach, width, height):
                return None
        order = np.argsort([-area(box) for box in boxes], kind="stable")
        return Detections(boxes[order].astype(np.float32), last.confidence[order], points[order])


def _is_well_inside(window: Window, reach: Window, width: int, height: int) -> bool:
    """Whether a window could grow by the margin and not pass its reach, or only the picture."""
    margin = MARGIN * max(window.x2 - window.x1, window.y2 - window.y1)
    return (
        (reach.x1 == 0 or window.x1 - margin >= reach.x1)
        and (reach.y1 == 0 or window.y1 - margin >= reach.y1)
        and (reach.x2 == width or window.x2 + margin <= reach.x2)
        and (reach.y2 == height or window.y2 + margin <= reach.y2)
    )


def _n_likely(faces: Detections) -> int:
    return int((faces.confidence > LIKELY).sum())
