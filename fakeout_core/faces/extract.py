"""One pass over a video: detection on schedule, landmarks and crops where windows need them.

What the crops are cut from, whose they are and which are wanted is decided after the pass; until
then the candidates' crops of the shown frames are kept, and of the frames themselves only the few
that still wait for later landmarks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from fakeout_core.faces.alignment import Wait, transform, warp
from fakeout_core.faces.candidates import FILL, Candidate, Tracker
from fakeout_core.faces.detect import Detections, Detector
from fakeout_core.faces.mesh import Landmarker
from fakeout_core.faces.schedule import SMOOTHING, Plan
from fakeout_core.faces.search import Search
from fakeout_core.faces.select import Slot
from fakeout_core.faces.shots import ShotChange, coarse
from fakeout_core.media.video import Frame

RAW_CROPS = 1_500
"""Crops kept as pixels (150 KB each); further ones are packed."""


@dataclass(frozen=True)
class Crop:
    """An aligned face before the window is known.

    Attributes:
        matrix: float64 [2, 3], full frame to crop.
        data: uint8 [224, 224, 3] BGR, or the same as PNG bytes.
    """

    matrix: np.ndarray
    data: np.ndarray

    def pixels(self) -> np.ndarray:
        """The crop, uint8 [224, 224, 3] BGR."""
        if self.data.ndim == 3:
            return self.data
        return np.asarray(cv2.imdecode(self.data, cv2.IMREAD_COLOR))


@dataclass
class Extraction:
    """What one pass found.

    Attributes:
        slots: detections, in order.
        candidates: everyone followed.
        crops: per candidate, crops by frame.
        times_s: when each frame is shown, seconds from the first.
        detections: by frame, for another pass over the same video.
    """

    slots: list[Slot] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    crops: list[dict[int, Crop]] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    detections: dict[int, Detections] = field(default_factory=dict)


class Extractor:
    """The pass. One object serves one video.

    Args:
        plan: what to do with each frame.
        detector: finds faces.
        landmarker: finds landmarks.
        detections: from an earlier pass over the same video.
    """

    def __init__(
        self,
        plan: Plan,
        detector: Detector,
        landmarker: Landmarker,
        detections: dict[int, Detections] | None = None,
    ) -> None:
        self._plan = plan
        self._search = Search(detector)
        self._tracker = Tracker(landmarker)
        self._is_new_shot = ShotChange()
        self._pending: deque[tuple[int, np.ndarray, set[int]]] = deque()
        self._known = detections or {}
        self._n_crops = 0
        self._last_followed = -2
        self._cuts: list[int] = []
        self._result = Extraction(candidates=self._tracker.candidates)

    def run(self, frames: Iterable[Frame]) -> Extraction:
        """Look at the frames, in order, up to the plan's end; later ones are only counted."""
        for frame in frames:
            at = frame.index
            self._result.times_s.append(frame.time_s)
            if self.needs_pixels(at):
                self._step(at, frame.bgr())
        self._settle(self._plan.n_frames)
        self._result.slots = self._slots(len(self._result.times_s))
        return self._result

    def needs_pixels(self, at: int) -> bool:
        """Whether anything will look at a frame; to be asked when all before it were looked at."""
        plan = self._plan
        return at < plan.n_frames and bool(
            plan.detect[at] or plan.keep[at] or (plan.follow[at] and not self._is_spared(at))
        )

    def _is_spared(self, at: int) -> bool:
        """Whether the landmarks of a frame may be interpolated: the frame before was looked at, the
        one after will be, and every face moves evenly."""
        plan = self._plan
        return (
            self._last_followed == at - 1
            and at + 1 < plan.n_frames
            and bool(plan.follow[at + 1])
            and self._tracker.is_steady
        )

    def _step(self, at: int, bgr: np.ndarray) -> None:
        plan = self._plan
        is_spared = self._is_spared(at)
        glance = coarse(bgr)
        is_cut = self._is_new_shot(glance)
        if is_cut:
            self._tracker.cut(at)
            self._cuts.append(at)
            self._search.forget()
        if plan.follow[at]:
            if is_cut or not is_spared:
                self._tracker.follow(at, bgr)
                self._last_followed = at
        else:
            self._tracker.rest()
        if plan.detect[at] or is_cut:
            self._detect(at, bgr, glance)
        if plan.keep[at]:
            self._pending.append((at, bgr, set()))
        self._settle(at)

    def _detect(self, at: int, bgr: np.ndarray, glance: np.ndarray) -> None:
        plan = self._plan
        if at not in self._known:
            self._known[at] = self._search.look(at, bgr, glance)
        faces, wanted = self._known[at], bgr if plan.follow[at] else None
        links = self._tracker.see(at, faces, wanted, is_scheduled=bool(plan.detect[at]))
        self._search.owned(faces, links, bgr.shape[1], bgr.shape[0])

    def _settle(self, now: int) -> None:
        """Cut faces out of waiting frames, oldest first, as far as landmarks allow."""
        n_frames = self._plan.n_frames
        while self._pending:
            at, bgr, done = self._pending[0]
            if now < min(at + SMOOTHING, n_frames) - 1:
                return  # its smoothing needs frames to come
            if at <= FILL and now <= FILL and now < n_frames:
                return  # someone may appear yet whose first landmarks hold for this frame
            is_waiting = False
            while len(self._result.crops) < len(self._result.candidates):
                self._result.crops.append({})
            for number, candidate in enumerate(self._result.candidates):
                if number in done:
                    continue
                matrix = transform(candidate, at, now, n_frames)
                if matrix is Wait.LATER:
                    is_waiting = True
                    continue
                done.add(number)
                if isinstance(matrix, np.ndarray):
                    self._result.crops[number][at] = self._crop(bgr, matrix)
            if is_waiting:
                return
            self._pending.popleft()

    def _crop(self, bgr: np.ndarray, matrix: np.ndarray) -> Crop:
        pixels = warp(bgr, matrix)
        self._n_crops += 1
        if self._n_crops <= RAW_CROPS:
            return Crop(matrix, pixels)
        return Crop(matrix, cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])

    def _slots(self, n_frames: int) -> list[Slot]:
        starts = [at for at in np.flatnonzero(self._plan.detect).tolist() if at < n_frames]
        self._result.detections = self._known
        slots: list[Slot] = []
        for place, at in enumerate(starts):
            end = starts[place + 1] if place + 1 < len(starts) else n_frames
            before = starts[place - 1] if place else at
            is_after_cut = any(before < cut <= at for cut in self._cuts)
            slots.append(Slot(at, end - at, self._known[at], is_after_cut))
        return slots
