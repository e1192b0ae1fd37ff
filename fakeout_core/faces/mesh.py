"""Face landmarks: MediaPipe's FaceMesh with attention, on LiteRT, with its custom operators here.

A landmarker turns a region of a picture into points and a presence; another can be put in by
giving the tracker an object with the same three methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from fakeout_core.faces.nets import lite_net

INPUT_PX = 192
REGION_SCALE = 1.5
PATCH = 16
LEVEL_POINTS = (33, 263)
"""Outer eye corners: a followed face's region is turned until they are level."""

_LEFT_CORNERS, _RIGHT_CORNERS = (33, 133), (362, 263)
# fmt: off
_LEFT_EYE = np.array([
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110,
    24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232,
    233, 244, 113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118,
    119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193
])
_RIGHT_EYE = np.array([
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255,
    339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449,
    450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295,
    372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417
])
# fmt: on
"""The 71 mesh points around each eye, in the order of the eye branches (mediapipe's graph)."""


class Region(NamedTuple):
    """Square that the landmark net looks at: centre and side in px, turn in radians."""

    cx: float
    cy: float
    side: float
    turn: float


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of one face.

    Attributes:
        points: float64 [468, 2], px of the full frame; around the eyes refined.
        presence: 0..1, whether the region holds a face.
    """

    points: np.ndarray
    presence: float

    @property
    def rectangle(self) -> np.ndarray:
        """Truncated bounds x1, y1, x2, y2, float64 [4]."""
        return np.trunc(np.concatenate([self.points.min(0), self.points.max(0)]))


class Landmarker(Protocol):
    """Finds the landmarks of one face."""

    def locate(self, bgr: np.ndarray, region: Region) -> Landmarks:
        """Landmarks of the face in a region."""
        ...

    def region_from_box(self, box: np.ndarray, points: np.ndarray) -> Region:
        """Region of a face just detected: its box x, y, w, h and five points."""
        ...

    def region_from_landmarks(self, points: np.ndarray) -> Region:
        """Region of a face followed from the frame before."""
        ...


class FaceMesh:
    """FaceMesh with attention without lips and irises.

    Source: the face graph of mediapipe 0.10.21. The picture goes in as BGR although the net
    expects RGB, as FacePipe does; outside the picture the edge pixel is repeated. The net is shown
    the full frame, which gives the same points as FacePipe's cut-out to 0.004 px of the crop.
    """

    def __init__(self) -> None:
        self._base = lite_net("mesh_base.tflite")
        self._eyes = (
            (lite_net("mesh_left_eye.tflite"), _LEFT_CORNERS, _LEFT_EYE),
            (lite_net("mesh_right_eye.tflite"), _RIGHT_CORNERS, _RIGHT_EYE),
        )
        self._picture = np.empty((1, INPUT_PX, INPUT_PX, 3), np.float32)

    def locate(self, bgr: np.ndarray, region: Region) -> Landmarks:
        """Landmarks of the face in a region.

        Args:
            bgr: uint8 [h, w, 3].
            region: where to look.

        Returns:
            468 points and a presence.
        """
        patch = _turned_out(bgr, region)
        np.multiply(patch, np.float32(1 / 255), out=self._picture[0])
        features, mesh, flag = self._base(self._picture)
        points = mesh.reshape(-1, 3)[:, :2].astype(np.float64)
        rough = points / 4  # the feature map has a quarter of the input's side
        frames = [_eye_frame(rough, eye_corners, members) for _, eye_corners, members in self._eyes]
        patches = _sampled(features[0], frames)
        for (net, _, members), frame, patch in zip(self._eyes, frames, patches, strict=True):
            (refined,) = net(patch[None])
            # The branch answers in quarters of a patch cell, the frame is in feature map cells.
            points[members] = refined[0] @ frame[:, :2].T + 4 * frame[:, 2]
        presence = 1 / (1 + np.exp(-float(flag.reshape(-1)[0])))
        return Landmarks(_placed(points, region), presence)

    def region_from_box(self, box: np.ndarray, points: np.ndarray) -> Region:
        """Square of 1.5 times the box's longer side, turned until the eyes are level."""
        x, y, w, h = (float(value) for value in box)
        across = points[1] - points[0]
        turn = float(np.arctan2(across[1], across[0]))
        return Region(x + w / 2, y + h / 2, REGION_SCALE * max(w, h), turn)

    def region_from_landmarks(self, points: np.ndarray) -> Region:
        """Square of 1.5 times the landmarks' longer side, the outer eye corners level."""
        low, high = points.min(0), points.max(0)
        across = points[LEVEL_POINTS[1]] - points[LEVEL_POINTS[0]]
        cx, cy = (low + high) / 2
        side = REGION_SCALE * float(max(high - low))
        return Region(float(cx), float(cy), side, float(np.arctan2(across[1], across[0])))


def _turned_out(bgr: np.ndarray, region: Region) -> np.ndarray:
    """The region upright, uint8 [192, 192, 3]."""
    scale = INPUT_PX / max(region.side, 1.0)
    c, s = np.cos(region.turn) * scale, np.sin(region.turn) * scale
    half = INPUT_PX / 2
    matrix = np.array(
        [
            [c, s, half - c * region.cx - s * region.cy],
            [-s, c, half + s * region.cx - c * region.cy],
        ]
    )
    size = (INPUT_PX, INPUT_PX)
    return cv2.warpAffine(
        bgr, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _placed(points: np.ndarray, region: Region) -> np.ndarray:
    """Points of the net's input in px of the full frame, float64 [n, 2]."""
    local = (points / INPUT_PX - 0.5) * region.side
    c, s = np.cos(region.turn), np.sin(region.turn)
    turned = local @ np.array([[c, s], [-s, c]])
    return turned + np.array([region.cx, region.cy])


def _eye_frame(points: np.ndarray, eye_corners: tuple[int, int], members: np.ndarray) -> np.ndarray:
    """From cells of an eye's patch to the feature map: float64 [2, 3].

    Source: mediapipe's ``Landmarks2TransformMatrix``: eye corners level, bounding rectangle of the
    members times 1.5 onto the patch.
    """
    across = points[eye_corners[1]] - points[eye_corners[0]]
    c, s = across / max(float(np.hypot(*across)), 1e-9)
    level = points[members] @ np.array([[c, -s], [s, c]])
    low, high = level.min(0), level.max(0)
    middle = (low + high) / 2
    sx, sy = REGION_SCALE * (high - low) / PATCH
    turn = np.array([[c * sx, -s * sy], [s * sx, c * sy]])
    at = np.array([c * middle[0] - s * middle[1], s * middle[0] + c * middle[1]])
    return np.column_stack([turn, at - turn @ (PATCH / 2, PATCH / 2)])


_GRID = np.stack(np.meshgrid(np.arange(PATCH) + 0.5, np.arange(PATCH) + 0.5), -1).reshape(-1, 2)


def _sampled(features: np.ndarray, frames: list[np.ndarray]) -> np.ndarray:
    """Eye patches of the feature map, float32 [eyes, 16, 16, channels].

    Source: mediapipe's ``TransformTensorBilinear``: cell centres less one half, bilinear, zero
    where a coordinate lies outside the map.
    """
    side, channels = features.shape[0], features.shape[2]
    at = np.concatenate([_GRID @ frame[:, :2].T + (frame[:, 2] - 0.5) for frame in frames])
    low = np.clip(at.astype(np.int32), 0, side - 1)
    step = (low < side - 1).astype(np.int32)
    weight = (at - low).astype(np.float32)
    wx, wy = weight[:, :1], weight[:, 1:]
    flat = features.reshape(-1, channels)
    corner = low[:, 1] * side + low[:, 0]
    below = corner + step[:, 1] * side
    upper = flat[corner] * (1 - wx)
    upper += flat[corner + step[:, 0]] * wx
    lower = flat[below] * (1 - wx)
    lower += flat[below + step[:, 0]] * wx
    upper *= 1 - wy
    lower *= wy
    upper += lower
    upper[((at < 0) | (at > side - 1)).any(1)] = 0
    return upper.reshape(len(frames), PATCH, PATCH, channels)
