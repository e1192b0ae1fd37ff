"""Exact area pooling of a picture and of parts of it, from one integral image.

MTCNN's reference shrinks by adaptive average pooling: output row r is the plain mean of source rows
floor(r·H/h) to ceil((r+1)·H/h) - 1, columns likewise. Resizes of image libraries are not the same
and move boxes by tens of pixels. Sums of a rectangle are four look-ups in an integral image, so
every pyramid level and every candidate crop comes from one.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

GAIN = np.float32(1 / 128)
OFFSET = np.float32(127.5 / 128)


@functools.lru_cache(maxsize=256)
def _bins(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one past last source index of every output index."""
    index = np.arange(target, dtype=np.int64)
    return index * source // target, -(-(index + 1) * source // target)


@functools.lru_cache(maxsize=64)
def _gains(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """Normalisation of every pooled cell, float32 [rows, columns]."""
    top, bottom = _bins(height, rows)
    left, right = _bins(width, columns)
    return (GAIN / ((bottom - top)[:, None] * (right - left)[None, :])).astype(np.float32)


class Integral:
    """Sums of a BGR picture, from which means of any rectangle are read."""

    def __init__(self, bgr: np.ndarray) -> None:
        self.height, self.width = bgr.shape[:2]
        sums = cv2.integral(bgr)
        self._flat = sums.reshape(self.height + 1, -1)
        self._cells = sums.reshape(-1, 3)

    def level(self, rows: int, columns: int, part: tuple[int, int, int, int]) -> np.ndarray:
        """Part of the picture pooled to a pyramid level.

        Args:
            rows: height of the whole level.
            columns: width of the whole level.
            part: first row, one past last row, first column, one past last column of the level.

        Returns:
            float32 [1, 3, part rows, part columns], RGB, (value - 127.5) / 128.
        """
        r1, r2, c1, c2 = part
        top, bottom = _bins(self.height, rows)
        left, right = _bins(self.width, columns)
        gains = _gains(self.height, self.width, rows, columns)[r1:r2, c1:c2]
        first, last = int(left[c1]) * 3, int(right[c2 - 1]) * 3 + 3
        flat = self._flat[:, first:last]
        bands = flat[bottom[r1:r2]]
        bands -= flat[top[r1:r2]]
        left, right = left[c1:c2] * 3 - first, right[c1:c2] * 3 - first
        out = np.empty((1, 3, r2 - r1, c2 - c1), np.float32)
        for channel in range(3):
            blue_first = 2 - channel
            sums = bands.take(right + blue_first, 1)
            sums -= bands.take(left + blue_first, 1)
            out[0, channel] = sums  # exact below 2^24, that is bins of up to 256 px
        out *= gains
        out -= OFFSET
        return out

    def crops(self, boxes: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Candidate boxes cut out and pooled to squares.

        Args:
            boxes: float [n, 4], x1, y1, x2, y2; the reference's one-based, inclusive px.
            side: of the output in px.

        Returns:
            float32 [k, 3, side, side], RGB, (value - 127.5) / 128, and which boxes they are, bool
            [n]: boxes without a pixel inside the picture are left out (there the reference breaks).
        """
        whole = np.trunc(boxes).astype(np.intp)  # the type in which look-ups are made
        x1, y1 = np.maximum(whole[:, 0], 1) - 1, np.maximum(whole[:, 1], 1) - 1
        x2, y2 = np.minimum(whole[:, 2], self.width), np.minimum(whole[:, 3], self.height)
        good = (x2 > x1) & (y2 > y1)
        x1, y1, x2, y2 = x1[good], y1[good], x2[good], y2[good]
        w, h = (x2 - x1)[:, None], (y2 - y1)[:, None]
        index = np.arange(side)
        left, right = index * w // side, -(-(index + 1) * w // side)
        top, bottom = index * h // side, -(-(index + 1) * h // side)
        gains = (GAIN / ((bottom - top)[:, :, None] * (right - left)[:, None, :])).astype(
            np.float32
        )
        stride = self.width + 1
        left, right = (x1[:, None] + left)[:, None], (x1[:, None] + right)[:, None]
        top = ((y1[:, None] + top) * stride)[:, :, None]
        bottom = ((y1[:, None] + bottom) * stride)[:, :, None]
        cells = self._cells
        sums = cells.take(bottom + right, 0)
        sums -= cells.take(top + right, 0)
        sums -= cells.take(bottom + left, 0)
        sums += cells.take(top + left, 0)
        # Exact below 2^24, that is bins of up to 256 px.
        means = sums.transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32, order="C")
        means *= gains[:, None]
        means -= OFFSET
        return means, good
