"""Frames of any size to the towers' 224×224, for clips that were cropped elsewhere.

Our own crops have the size; FacePipe's clips do as well. This is what the published input pipeline
would do to others, to the last bit.

Source: spec of FakeOut's input pipeline: smaller side to 224 (the other side cut to whole pixels),
bilinear with half-pixel centres, no antialiasing, in float32, then truncated to uint8; centre crop.
"""

from __future__ import annotations

import numpy as np


def resize_and_crop(image: np.ndarray, side_px: int = 224) -> np.ndarray:
    """Bring a picture to a square.

    Args:
        image: uint8 [height, width, 3].
        side_px: of the square.

    Returns:
        uint8 [side_px, side_px, 3].

    Raises:
        ValueError: the picture has no pixels.
    """
    height, width = image.shape[:2]
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width}×{height} px")
    target = max(side_px, height * side_px // width), max(side_px, width * side_px // height)
    if (height, width) != target:
        image = _bilinear(image, *target)
    top, left = (image.shape[0] - side_px) // 2, (image.shape[1] - side_px) // 2
    return np.ascontiguousarray(image[top : top + side_px, left : left + side_px])


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    above, below, down = _neighbours(image.shape[0], height)
    before, after, right = _neighbours(image.shape[1], width)
    pixels = image.astype(np.float32)
    right, down = right[None, :, None], down[:, None, None]
    top = pixels[above][:, before] + (pixels[above][:, after] - pixels[above][:, before]) * right
    bottom = pixels[below][:, before] + (pixels[below][:, after] - pixels[below][:, before]) * right
    return (top + (bottom - top) * down).astype(np.uint8)


def _neighbours(size: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the two pixels around each target pixel's centre, and the second's share."""
    scale = np.float32(size / target)
    centre = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(centre)
    low = np.maximum(floor, 0).astype(np.int64)
    high = np.minimum(np.ceil(centre), size - 1).astype(np.int64)
    return low, high, centre - floor
