"""Shot changes, from a coarse look at each frame."""

from __future__ import annotations

import numpy as np

GRID = (18, 32)
LEAST_CHANGE = 32.0
"""Mean change of grey level between two coarse looks that makes a cut."""


class ShotChange:
    """Compares each frame with the one looked at before."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, bgr: np.ndarray) -> bool:
        """Whether a new shot begins with this frame, uint8 [h, w, 3]."""
        rows = np.linspace(0, bgr.shape[0] - 1, GRID[0]).astype(np.int64)
        columns = np.linspace(0, bgr.shape[1] - 1, GRID[1]).astype(np.int64)
        look = bgr[rows[:, None], columns].astype(np.float32).mean(-1)
        last, self._last = self._last, look
        return last is not None and float(np.abs(look - last).mean()) > LEAST_CHANGE
