"""Shot changes, from a coarse look at each frame."""

from __future__ import annotations

import cv2
import numpy as np

GRID = (32, 18)
LEAST_CHANGE = 32.0
"""Mean change of colour level between two coarse looks that makes a cut."""


class ShotChange:
    """Compares each frame with the one looked at before."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, bgr: np.ndarray) -> bool:
        """Whether a new shot begins with this frame, uint8 [h, w, 3]."""
        look = cv2.resize(bgr, GRID, interpolation=cv2.INTER_NEAREST)
        last, self._last = self._last, look
        return last is not None and cv2.norm(look, last, cv2.NORM_L1) > LEAST_CHANGE * look.size
