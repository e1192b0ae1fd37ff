"""Resizing and cropping against the reference's pictures."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from fakeout_core.media.resize import resize_and_crop

SIZES = [
    "224x224",
    "225x224",
    "224x225",
    "224x300",
    "300x224",
    "256x256",
    "240x320",
    "320x240",
    "180x320",
    "112x112",
    "100x250",
    "225x401",
    "1080x1920",
    "223x224",
]


def picture(number: int, height: int, width: int) -> np.ndarray:
    """The vectors' pictures: stripes and noise, in integers."""
    y, x, c = np.ogrid[:height, :width, :3]
    phase = (3 * x + 5 * y + 40 * c) % 256
    stripes = np.minimum(2 * phase, 511 - 2 * phase) * 7 // 8
    noise = np.random.default_rng(3000 + number).integers(0, 24, stripes.shape)
    return (stripes + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel(golden, size):
    with np.load(golden / "golden_resize_crop.npz") as vectors:
        height, width = map(int, size.split("x"))
        image = picture(SIZES.index(size), height, width)
        assert zlib.crc32(image.tobytes()) == int(vectors[f"input_crc32/{size}"])
        found = resize_and_crop(image)
        assert np.array_equal(found[::4, ::4], vectors[f"crop_stride4/{size}"])
        assert zlib.crc32(found.tobytes()) == int(vectors[f"crop_crc32/{size}"])
