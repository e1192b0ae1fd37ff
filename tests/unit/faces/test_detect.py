from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fakeout_core.faces.detect import Mtcnn, levels_to_skip, suppress
from fakeout_core.faces.pooling import Integral

SPEECH = Path(__file__).resolve().parents[3] / "jobs" / "assets" / "speech.mp4"


def pooled(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Adaptive average pooling the slow way, RGB, normalised, [3, rows, columns]."""
    height, width = picture.shape[:2]
    out = np.empty((3, rows, columns))
    for r in range(rows):
        for c in range(columns):
            y1, y2 = r * height // rows, -(-(r + 1) * height // rows)
            x1, x2 = c * width // columns, -(-(c + 1) * width // columns)
            out[:, r, c] = picture[y1:y2, x1:x2, ::-1].mean((0, 1))
    return (out - 127.5) / 128


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    with av.open(str(SPEECH)) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24")


@pytest.mark.parametrize(("rows", "columns"), [(31, 47), (120, 7), (52, 69)])
def test_levels_are_pooled_exactly(picture, rows: int, columns: int):
    found = Integral(picture).level(rows, columns, (0, rows, 0, columns))
    np.testing.assert_allclose(found[0], pooled(picture, rows, columns), atol=1e-5)


def test_part_of_a_level_is_that_part(picture):
    whole = Integral(picture).level(52, 69, (0, 52, 0, 69))
    part = Integral(picture).level(52, 69, (10, 40, 20, 60))
    np.testing.assert_array_equal(part, whole[:, :, 10:40, 20:60])


def test_candidates_are_cut_out_exactly(picture):
    """One-based, inclusive, truncated coordinates; what sticks out of the picture is cut off."""
    boxes = np.array([[10.7, 20.2, 90.9, 100.1], [-30.0, -5.0, 50.0, 60.0], [300, 200, 400, 300.0]])
    found, good = Integral(picture).crops(boxes, 24)
    assert good.all()
    cuts = [picture[19:100, 9:90], picture[0:60, 0:50], picture[199:240, 299:320]]
    for one, cut in zip(found, cuts, strict=True):
        np.testing.assert_allclose(one, pooled(cut, 24, 24), atol=1e-5)


def test_candidates_outside_the_picture_are_dropped(picture):
    found, good = Integral(picture).crops(np.array([[-50.0, 5, -20, 40], [5, 5, 60, 60]]), 48)
    assert good.tolist() == [False, True]
    assert found.shape == (1, 3, 48, 48)


def test_suppression_keeps_the_best_of_those_that_overlap():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 3, 3.0]])
    scores = np.array([0.8, 0.9, 0.7, 0.6])
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    # Over the smaller area the small box inside counts as the same.
    assert suppress(boxes, scores, 0.3, over_smaller=True).tolist() == [1, 2]


def test_nothing_is_suppressed_of_nothing():
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


@pytest.mark.parametrize(
    ("setting", "size", "skip"),
    [
        ("auto", (320, 240), 1),
        ("auto", (640, 360), 2),
        ("auto", (360, 640), 2),
        (0, (1920, 1080), 0),
    ],
)
def test_levels_to_skip(setting, size, skip):
    assert levels_to_skip(setting, *size) == skip


def test_faces_come_largest_first_and_upright(picture):
    faces = Mtcnn(0).detect(picture)
    assert len(faces) >= 1
    areas = faces.boxes[:, 2] * faces.boxes[:, 3]
    assert (np.diff(areas) <= 0).all()
    x, y, w, h = faces.boxes[0]
    eyes, nose, mouth = faces.points[0, :2], faces.points[0, 2], faces.points[0, 3:]
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()
    assert (faces.points[0] > (x, y)).all()
    assert (faces.points[0] < (x + w, y + h)).all()


def test_a_look_near_a_known_face_gives_the_same_box(picture):
    detector = Mtcnn(1)
    full = detector.detect(picture)
    near = detector.detect(picture, full.boxes)
    np.testing.assert_allclose(near.boxes, full.boxes, atol=1e-3)
    np.testing.assert_allclose(near.confidence, full.confidence, atol=1e-5)


@pytest.mark.parametrize("size", [(20, 20), (20, 500), (21, 33)])
def test_pictures_too_small_or_empty_have_no_face(size):
    flat = np.full((*size, 3), 90, np.uint8)
    assert len(Mtcnn(0).detect(flat)) == 0


def test_shifting_the_picture_shifts_the_box(picture):
    moved = cv2.copyMakeBorder(picture, 0, 60, 0, 80, cv2.BORDER_REPLICATE)
    one, other = Mtcnn(0).detect(picture), Mtcnn(0).detect(moved)
    assert np.abs(one.boxes[0] - other.boxes[0]).max() < 4
