"""Which faces of a video become tracks, and the window each is cut from.

Works on boxes alone, after the whole video was seen: mean area of the leading face, usual number of
faces, anchors, windows. Detections count once for every frame they are valid at ("slot").

Source: FacePipe's crop rules, repaired where the reference loses a video or a person; every repair
that acted is named in the result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fakeout_core.faces.detect import Detections
from fakeout_core.faces.geometry import Window, area, centre, enlarged

FIRM = 0.9995
SURE = 0.99
LIKELY = 0.9
COUNT_AREA = (0.8, 1.2)
FOLLOW_AREA = (0.6, 1.4)
NEAR_SHARE = 0.2
REFUSALS = 5
"""So many boxes in a row refused for their area, agreeing with each other, start anew."""


@dataclass(frozen=True)
class Slot:
    """One detection and the frames it is valid at.

    Attributes:
        first: first frame.
        count: number of frames.
        faces: largest first.
        is_after_cut: a shot change lies between the detection before and this one.
    """

    first: int
    count: int
    faces: Detections
    is_after_cut: bool = False


@dataclass(frozen=True)
class Choice:
    """One output asked for.

    Attributes:
        window: by the reference's rule.
        anchor_frame: frame of the box the window started from.
        anchor: that box, x, y, w, h.
        is_single: one-face mode.
        fixes: repairs that acted.
    """

    window: Window
    anchor_frame: int
    anchor: np.ndarray
    is_single: bool
    fixes: tuple[str, ...]


def leading_area(slots: Sequence[Slot]) -> float:
    """Mean area of the largest face where it is firm, in px²; NaN if it never is."""
    total, count = 0.0, 0
    for slot in slots:
        if len(slot.faces) and slot.faces.confidence[0] > FIRM:
            total += slot.count * area(slot.faces.boxes[0])
            count += slot.count
    return total / count if count else math.nan


def usual_count(slots: Sequence[Slot], leading: float) -> int:
    """How many relevant faces a slot usually has; the first met wins a tie; 0 without any face."""
    counts: Counter[int] = Counter()
    for slot in slots:
        if len(slot.faces):
            relevant = [
                float(sure) > FIRM
                or (float(sure) > LIKELY and _within(area(box), leading, COUNT_AREA))
                for box, sure in zip(slot.faces.boxes, slot.faces.confidence, strict=True)
            ]
            counts[sum(relevant)] += slot.count
    return max(counts, key=counts.__getitem__) if counts else 0


def choose(slots: Sequence[Slot], width: int, height: int, max_tracks: int) -> list[Choice]:
    """Decide the outputs of a video.

    Args:
        slots: in order.
        width: of the picture in px.
        height: of the picture in px.
        max_tracks: at most this many outputs; FacePipe's audio step keeps two.

    Returns:
        None to ``max_tracks`` choices, the largest face's first; none if no slot has a face.
    """
    if not any(len(slot.faces) for slot in slots):
        return []
    leading = leading_area(slots)
    usual = usual_count(slots, leading)
    if usual <= 1:
        return [_single(slots, width, height)]
    return _several(slots, width, height, usual, leading)[:max_tracks]


def _within(value: float, reference: float, share: tuple[float, float]) -> bool:
    """Comparison with an undefined reference is false, as in the reference."""
    return share[0] * reference <= value <= share[1] * reference


def _single(slots: Sequence[Slot], width: int, height: int) -> Choice:
    """One-face mode: the largest face of each slot, by confidence and area, at any place."""
    seen = [slot for slot in slots if len(slot.faces)]
    sure = [slot for slot in seen if slot.faces.confidence[0] > SURE]
    start = (sure or seen)[0]
    fixes = ["start_box"] if start is not seen[0] else []
    box = start.faces.boxes[0]
    window, last = enlarged(box, width, height), area(box)
    refused: list[np.ndarray] = []
    is_fresh = False
    for slot in slots:
        is_fresh = is_fresh or (slot.is_after_cut and slot.first > start.first)
        if not len(slot.faces) or not slot.faces.confidence[0] > SURE:
            continue
        box = slot.faces.boxes[0]
        size = area(box)
        fits = _within(size, last, FOLLOW_AREA)
        if not fits and slot.first > start.first:
            agrees = bool(refused) and _within(size, area(refused[-1]), FOLLOW_AREA)
            refused = [*refused, box] if agrees else [box]
        if fits or is_fresh or len(refused) >= REFUSALS:
            if not fits:
                fixes.append("reseed_at_cut" if is_fresh else "reseed_after_refusals")
            for accepted in refused if not fits and not is_fresh else [box]:
                window = window.joined(enlarged(accepted, width, height))
            last, refused, is_fresh = size, [], False
    return Choice(window, start.first, start.faces.boxes[0], True, tuple(dict.fromkeys(fixes)))


def _several(
    slots: Sequence[Slot], width: int, height: int, usual: int, leading: float
) -> list[Choice]:
    """Multi-face mode: each anchor's window grows by firm faces of leading size near it."""
    start, anchors, fixes = _anchors(slots, usual)
    middles = [centre(box) for box in anchors]
    windows = [enlarged(box, width, height) for box in anchors]
    for slot in slots:
        firm = [
            box
            for box, sure in zip(slot.faces.boxes, slot.faces.confidence, strict=True)
            if float(sure) > FIRM and _within(area(box), leading, COUNT_AREA)
        ]
        for number, middle in enumerate(middles):
            near = next((box for box in firm if _near(box, middle, width, height)), None)
            if near is not None:
                windows[number] = windows[number].joined(enlarged(near, width, height))
    named = tuple(dict.fromkeys(fixes))
    return [
        Choice(window, start.first, box, False, named)
        for window, box in zip(windows, anchors, strict=True)
    ]


def _anchors(slots: Sequence[Slot], usual: int) -> tuple[Slot, list[np.ndarray], list[str]]:
    """The first slot with exactly the usual number of sure faces, else the one nearest to it."""

    def sure(slot: Slot) -> list[np.ndarray]:
        return [
            box
            for box, value in zip(slot.faces.boxes, slot.faces.confidence, strict=True)
            if float(value) > SURE
        ]

    for slot in slots:
        if len(sure(slot)) == usual:
            return slot, sure(slot), []

    def misfit(slot: Slot) -> tuple[int, float]:
        best = sorted((float(value) for value in slot.faces.confidence), reverse=True)
        return abs(len(sure(slot)) - usual), -sum(best[:usual])

    nearest = min((slot for slot in slots if len(slot.faces)), key=misfit)
    boxes = sure(nearest) or list(nearest.faces.boxes)
    return nearest, boxes[:usual], ["nearest_anchors"]


def _near(box: np.ndarray, middle: tuple[int, int], width: int, height: int) -> bool:
    x, y = centre(box)
    return abs(x - middle[0]) <= NEAR_SHARE * width and abs(y - middle[1]) <= NEAR_SHARE * height
