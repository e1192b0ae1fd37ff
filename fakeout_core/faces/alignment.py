"""From landmarks to aligned faces: gaps, smoothing, transform, warp, mask."""

from __future__ import annotations

import bisect
from enum import Enum

import cv2
import numpy as np

from fakeout_core.faces.candidates import FILL, Candidate
from fakeout_core.faces.geometry import Window, similarity
from fakeout_core.faces.schedule import SMOOTHING

SIDE = 224


class Wait(Enum):
    """Why there are no points: later frames may bring them, or the face is not there."""

    LATER = "later"
    ABSENT = "absent"


def located(candidate: Candidate, frame: int, now: int, n_frames: int) -> np.ndarray | Wait:
    """The five landmarks of a frame, gaps filled.

    Args:
        candidate: whose.
        frame: which.
        now: the last frame looked at; ``n_frames`` once the video is over.
        n_frames: frames of the video.

    Returns:
        float64 [5, 2]; found, linear between neighbours at most ``FILL`` frames apart in the same
        shot, or held at the edges of a shot; or why there is none.

    Source: FacePipe fills gaps of any length; longer ones show background there.
    """
    start, end = candidate.shot(frame)
    at = bisect.bisect_left(candidate.frames, frame)
    has_next = at < len(candidate.frames)
    if has_next and candidate.frames[at] == frame:
        return candidate.points[at]
    before = candidate.frames[at - 1] if at and candidate.frames[at - 1] >= start else None
    after = candidate.frames[at] if has_next else None
    if after is not None and end is not None and after >= end:
        after = None
    if before is not None and after is not None:
        if after - before - 1 > FILL:
            return Wait.ABSENT
        share = (frame - before) / (after - before)
        return (1 - share) * candidate.points[at - 1] + share * candidate.points[at]
    if after is not None:
        return candidate.points[at] if after - start <= FILL else Wait.ABSENT
    shot_end = end if end is not None else n_frames
    is_over = now >= shot_end
    if before is not None:
        if is_over:
            return candidate.points[at - 1] if shot_end - 1 - before <= FILL else Wait.ABSENT
        return Wait.LATER if now - before <= FILL else Wait.ABSENT
    return Wait.ABSENT if is_over or now - start > FILL else Wait.LATER


def transform(candidate: Candidate, frame: int, now: int, n_frames: int) -> np.ndarray | Wait:
    """Transform of a frame from the mean of the landmarks of it and the four frames after it.

    Near the end of the video, of a shot, or before a long gap, the last transform that has its five
    frames is used again.

    Args:
        candidate: whose.
        frame: which.
        now: the last frame looked at; ``n_frames`` once the video is over.
        n_frames: frames of the video.

    Returns:
        float64 [2, 3], full frame to crop; or why there is none.
    """
    here = located(candidate, frame, now, n_frames)
    if isinstance(here, Wait):
        return here
    points = [here]
    start, _ = candidate.shot(frame)
    for later in range(frame + 1, min(frame + SMOOTHING, n_frames)):
        if later > now:
            return Wait.LATER
        if candidate.shot(later)[0] != start:
            break
        there = located(candidate, later, now, n_frames)
        if there is Wait.LATER:
            return Wait.LATER
        if isinstance(there, Wait):
            break
        points.append(there)
    for earlier in range(frame - 1, start - 1, -1):
        if len(points) >= SMOOTHING:
            break
        there = located(candidate, earlier, now, n_frames)
        if isinstance(there, Wait):
            break
        points.append(there)
    return similarity(np.add.reduce(points) / len(points))


def warp(bgr: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Cut out one aligned face.

    Args:
        bgr: uint8 [h, w, 3], the full frame.
        matrix: float64 [2, 3], full frame to crop.

    Returns:
        uint8 [224, 224, 3]; bilinear in float32 and cut down to whole numbers as the reference
        does; what lies outside the picture is black.
    """
    height, width = bgr.shape[:2]
    turn, shift = matrix[:, :2], matrix[:, 2]
    source = _edges(SIDE) - shift
    source = source @ np.linalg.inv(turn).T
    x1, y1 = (int(max(0, np.floor(value) - 2)) for value in source.min(0))
    x2 = int(min(width, np.ceil(source[:, 0].max()) + 3))
    y2 = int(min(height, np.ceil(source[:, 1].max()) + 3))
    if x2 <= x1 or y2 <= y1:
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    part = bgr[y1:y2, x1:x2].astype(np.float32)
    moved = np.column_stack([turn, shift + turn @ (x1, y1)])
    return cv2.warpAffine(part, moved, (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(np.uint8)


def blackened(
    crop: np.ndarray, matrix: np.ndarray, window: Window, width: int, height: int
) -> np.ndarray:
    """A crop as if it had been cut from the window: pixels from outside it are black.

    Args:
        crop: uint8 [224, 224, 3], cut from the full frame.
        matrix: float64 [2, 3], full frame to crop.
        window: where pixels may come from. Where it ends with the picture nothing is done, since
            there the crop is black already.
        width: of the picture in px.
        height: of the picture in px.

    Returns:
        The crop itself if all of it lies inside, else a copy.
    """
    inverse = np.linalg.inv(matrix[:, :2])
    source = (_edges(SIDE - 1) - matrix[:, 2]) @ inverse.T
    across = np.arange(SIDE)
    out = crop
    for axis, (low, high, size) in enumerate(
        ((window.x1, window.x2, width), (window.y1, window.y2, height))
    ):
        is_low_near = low > 0 and source[:, axis].min() < low
        is_high_near = high < size and source[:, axis].max() > high - 1
        if not (is_low_near or is_high_near):
            continue
        start = float(inverse[axis] @ -matrix[:, 2])
        at = (inverse[axis, 0] * across + start)[None, :] + (inverse[axis, 1] * across)[:, None]
        out = out.copy() if out is crop else out
        if is_low_near:
            out[at <= low - 0.5] = 0
        if is_high_near:
            out[at >= high - 0.5] = 0
    return out


def _edges(side: int) -> np.ndarray:
    """Corners of the crop, float64 [4, 2]."""
    return np.array([[0.0, 0.0], [side, 0.0], [0.0, side], [side, side]])
