"""The stored frames of a clip. Nothing heavy is imported: decoding tasks need no model."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fakeout_core.errors import MediaError, Reason

IMAGE_SHAPE = (224, 224, 3)
"""Height, width and RGB channels of an aligned face."""


def decode_frames(frames: Sequence[bytes]) -> np.ndarray:
    """Decode a track's stored frames.

    Args:
        frames: JPEG bytes.

    Returns:
        uint8 RGB [n, 224, 224, 3].

    Raises:
        MediaError: ``internal``, a frame does not decode to that shape.
    """
    images = np.empty((len(frames), *IMAGE_SHAPE), np.uint8)
    for index, data in enumerate(frames):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape != IMAGE_SHAPE:
            raise MediaError(Reason.INTERNAL, f"stored frame {index} is damaged; crop it again")
        images[index] = image
    return images
