"""Candidate tracks: people followed through a video before it is known whose track is wanted.

Boxes link over the whole video; landmarks are followed frame by frame where windows need them. A
face is picked up from its box, then followed by its own landmarks, as FaceMesh does, until its
presence falls. Shot changes end the following, and nothing is interpolated across them.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np

from fakeout_core.faces.detect import Detections
from fakeout_core.faces.geometry import LANDMARKS, area, corners, iou
from fakeout_core.faces.mesh import Landmarker, Landmarks, Region

MAX_LIVE = 4
"""Candidates followed at once; the largest stay."""

LEAST_CONFIDENCE = 0.9
LEAST_PRESENCE = 0.8
SAME_IOU = 0.2
TWIN_IOU = 0.5
STEADY = 0.02
"""Bend of a landmark's path, as a share of the distance of the outer eye corners, up to which the
next frame is interpolated. The error is about an eighth of it, and then one of five that are
averaged; a smaller bound mostly answers to the landmarks' own noise."""

SPARED_EVERY = 2
FILL = 15
"""Gaps of up to this many frames are bridged; in longer ones the face counts as absent."""


@dataclass(eq=False)
class Candidate:
    """One person.

    Attributes:
        boxes: detections taken for this person: frame, box x, y, w, h.
        frames: frames with landmarks, ascending.
        points: the five landmarks of each of those, float64 [5, 2], px of the full frame.
        rectangle: last seen at, x1, y1, x2, y2.
        last_frame: last seen in.
        region: where landmarks are looked for in the next frame; None while not followed.
        breaks: frames at which a new shot begins.
    """

    boxes: list[tuple[int, np.ndarray]]
    rectangle: np.ndarray
    last_frame: int
    frames: list[int] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    region: Region | None = None
    breaks: list[int] = field(default_factory=list)

    def add(self, frame: int, landmarks: Landmarks) -> None:
        """Record landmarks of a frame later than all others."""
        self.frames.append(frame)
        self.points.append(landmarks.points[list(LANDMARKS)])
        self.rectangle, self.last_frame = landmarks.rectangle, frame

    def forget_last(self) -> None:
        """Take back the last landmarks."""
        self.frames.pop()
        self.points.pop()

    @property
    def is_steady(self) -> bool:
        """Whether the last three sightings lie on a line in time, so that one may be left out."""
        if len(self.frames) < 3:
            return False
        (f1, f2, f3), (p1, p2, p3) = self.frames[-3:], self.points[-3:]
        if f3 - f1 > 2 * SPARED_EVERY:
            return False
        bend = p3 - p2 - (p2 - p1) * ((f3 - f2) / (f2 - f1))
        eyes = p3[4] - p3[1]
        return float(np.abs(bend).max()) <= STEADY * float(np.hypot(*eyes))

    def shot(self, frame: int) -> tuple[int, int | None]:
        """First frame of the shot that holds ``frame``, and first of the next one if known."""
        at = bisect.bisect_right(self.breaks, frame)
        start = self.breaks[at - 1] if at else 0
        return start, self.breaks[at] if at < len(self.breaks) else None


class Tracker:
    """Follows the faces of one video. Give it every frame that has pixels, in order."""

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker
        self.candidates: list[Candidate] = []
        self._shot_starts: list[int] = []

    def cut(self, frame: int) -> None:
        """A new shot begins at ``frame``."""
        self._shot_starts.append(frame)
        for candidate in self.candidates:
            candidate.region = None
            candidate.breaks.append(frame)

    def rest(self) -> None:
        """No landmarks are wanted for a while."""
        for candidate in self.candidates:
            candidate.region = None

    @property
    def is_steady(self) -> bool:
        """Whether every followed face moves so evenly that one frame may be left out."""
        return all(c.is_steady for c in self.candidates if c.region is not None)

    def follow(self, frame: int, bgr: np.ndarray) -> None:
        """Find the landmarks of all followed faces in a frame."""
        for candidate in self.candidates:
            if candidate.region is not None:
                self._look(candidate, frame, bgr, candidate.region)
        self._part_twins(frame)

    def see(
        self, frame: int, faces: Detections, bgr: np.ndarray | None, *, is_scheduled: bool = True
    ) -> list[tuple[int, Candidate]]:
        """Take in a detection; with pixels, start following whoever is not followed yet.

        Args:
            frame: its number.
            faces: what was detected.
            bgr: the picture where landmarks are wanted, else None.
            is_scheduled: False for an extra look after a cut, whose boxes do not count.

        Returns:
            Number of a face and whose it is, for all faces that are someone's.
        """
        links = self._linked(frame, faces)
        for face, candidate in links:
            box = faces.boxes[face]
            is_followed = candidate.region is not None
            if is_scheduled:
                candidate.boxes.append((frame, box))
            candidate.last_frame = frame
            if not is_followed:
                candidate.rectangle = corners(box)
                if bgr is not None:
                    region = self._landmarker.region_from_box(box, faces.points[face])
                    first = self._landmarker.locate(bgr, region)
                    region = self._landmarker.region_from_landmarks(first.points)
                    self._look(candidate, frame, bgr, region)
        self._part_twins(frame)
        return links

    def _look(self, candidate: Candidate, frame: int, bgr: np.ndarray, region: Region) -> None:
        landmarks = self._landmarker.locate(bgr, region)
        candidate.region = None
        if landmarks.presence > LEAST_PRESENCE:
            candidate.add(frame, landmarks)
            candidate.region = self._landmarker.region_from_landmarks(landmarks.points)

    def _linked(self, frame: int, faces: Detections) -> list[tuple[int, Candidate]]:
        """Which face is whose: by overlap, then by return, then as newcomers."""
        boxes = [corners(box) for box in faces.boxes]
        live = [c for c in self.candidates if frame - c.last_frame <= FILL]
        links = _matched(boxes, live)
        taken = {id(candidate) for _, candidate in links}
        linked_faces = {face for face, _ in links}
        for face in (i for i in range(len(boxes)) if i not in linked_faces):
            if float(faces.confidence[face]) <= LEAST_CONFIDENCE:
                continue
            lost = [c for c in self.candidates if id(c) not in taken]
            back = _returned(boxes[face], lost, frame)
            if (back is None or back not in live) and not _has_room(boxes[face], live):
                continue
            if back is None:
                back = Candidate([], boxes[face], frame, breaks=list(self._shot_starts))
                self.candidates.append(back)
            if back not in live:
                live.append(back)
            taken.add(id(back))
            links.append((face, back))
        return links

    def _part_twins(self, frame: int) -> None:
        """Two candidates on one face: the one with fewer frames lets go."""
        here = [c for c in self.candidates if c.frames and c.frames[-1] == frame]
        here.sort(key=lambda c: -len(c.frames))
        for place, candidate in enumerate(here):
            for other in here[:place]:
                if other.region and iou(candidate.rectangle, other.rectangle) > TWIN_IOU:
                    candidate.forget_last()
                    candidate.region = None
                    break


def _has_room(box: np.ndarray, live: list[Candidate]) -> bool:
    """Whether one more can be followed; the smallest goes if the newcomer is clearly larger."""
    if len(live) < MAX_LIVE:
        return True
    smallest = min(live, key=lambda c: _size(c.rectangle))
    if _size(box) < 1.5 * _size(smallest.rectangle):
        return False
    smallest.region = None
    smallest.last_frame = -FILL - 1
    live.remove(smallest)
    return True


def _size(rectangle: np.ndarray) -> float:
    return float((rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1]))


def _matched(boxes: list[np.ndarray], live: list[Candidate]) -> list[tuple[int, Candidate]]:
    """One-to-one pairs of box and candidate, greatest overlap first."""
    overlaps = sorted(
        (-iou(box, candidate.rectangle), face, place)
        for face, box in enumerate(boxes)
        for place, candidate in enumerate(live)
    )
    links: dict[int, int] = {}
    for overlap, face, place in overlaps:
        if -overlap > SAME_IOU and face not in links and place not in links.values():
            links[face] = place
    return [(face, live[place]) for face, place in links.items()]


def _returned(box: np.ndarray, lost: list[Candidate], frame: int) -> Candidate | None:
    """The candidate that comes back with this box: in its old place, or near it and soon."""
    in_place = max(lost, key=lambda c: iou(box, c.rectangle), default=None)
    if in_place is not None and iou(box, in_place.rectangle) > SAME_IOU:
        return in_place
    side = float(np.sqrt(max(_size(box), 1.0)))
    middle = (box[:2] + box[2:]) / 2
    for candidate in lost:
        start, _ = candidate.shot(frame)
        is_recent = 0 < frame - candidate.last_frame <= FILL and candidate.last_frame >= start
        was = candidate.rectangle
        apart = float(np.hypot(*((was[:2] + was[2:]) / 2 - middle)))
        is_alike = 0.5 < _size(box) / max(_size(was), 1.0) < 2.0
        if is_recent and is_alike and apart < side:
            return candidate
    return None


def face_side(candidate: Candidate) -> float:
    """Median side of the detected boxes in px; of the last rectangle if there is none."""
    if not candidate.boxes:
        return float(np.sqrt(_size(candidate.rectangle)))
    return float(np.median([np.sqrt(area(box)) for _, box in candidate.boxes]))
