from __future__ import annotations

import numpy as np
import pytest

from fakeout_core.faces.alignment import blackened, warp
from fakeout_core.faces.geometry import Window
from fakeout_core.faces.mesh import FaceMesh
from fakeout_core.faces.mpeg4 import through_mpeg4
from fakeout_core.faces.schedule import detection_frame, make_plan

SIDE = 224


def picture(width: int = 400, height: int = 300) -> np.ndarray:
    """Smooth, different in every place and channel."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1)


def test_a_shift_by_whole_pixels_copies_them():
    source = picture().astype(np.uint8)
    crop = warp(source, np.array([[1.0, 0, -50], [0, 1, -30]]))
    np.testing.assert_array_equal(crop, source[30 : 30 + SIDE, 50 : 50 + SIDE])


def test_values_are_cut_down_and_not_rounded():
    source = np.zeros((300, 400, 3), np.uint8)
    source[:, 1::2] = 1
    crop = warp(source, np.array([[1.0, 0, -50.5], [0, 1, -30]]))
    assert crop.max() == 0


def test_outside_the_picture_is_black():
    crop = warp(np.full((60, 80, 3), 200, np.uint8), np.array([[1.0, 0, 100], [0, 1, 100]]))
    assert crop[:99].max() == 0
    assert crop[:, :99].max() == 0
    assert (crop[101:159, 101:179] == 200).all()
    assert crop[161:].max() == 0


def test_a_crop_beside_the_picture_is_black():
    crop = warp(np.full((60, 80, 3), 200, np.uint8), np.array([[1.0, 0, 900], [0, 1, 900]]))
    assert crop.shape == (SIDE, SIDE, 3)
    assert crop.max() == 0


def test_a_turned_crop_is_bilinear():
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 1.3
    matrix = np.column_stack([turn, (40.0, -90.0)])
    crop = warp(picture().astype(np.uint8), matrix)
    u, v = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    at = (np.stack([u, v], -1) - matrix[:, 2]) @ np.linalg.inv(turn).T
    inside = (at > 1).all(-1) & (at[..., 0] < 398) & (at[..., 1] < 298)
    expected = at[..., 0] * 255 / 400
    assert inside.sum() > 20_000
    assert np.abs(crop[..., 0][inside] - expected[inside]).max() < 2


def test_a_crop_inside_the_window_stays_as_it_is():
    crop = np.full((SIDE, SIDE, 3), 7, np.uint8)
    matrix = np.array([[1.0, 0, -50], [0, 1, -30]])
    assert blackened(crop, matrix, Window(50, 30, 274, 254), 400, 300) is crop


def test_what_lies_outside_the_window_is_blackened():
    crop = np.full((SIDE, SIDE, 3), 7, np.uint8)
    matrix = np.array([[1.0, 0, -50], [0, 1, -30]])
    masked = blackened(crop, matrix, Window(80, 30, 200, 254), 400, 300)
    assert masked[:, :29].max() == 0
    assert (masked[:, 31:149] == 7).all()
    assert masked[:, 151:].max() == 0
    assert crop.min() == 7


@pytest.mark.parametrize(
    ("index", "frame"), [(0, 0), (2, 0), (3, 3), (79, 78), (80, 80), (82, 80), (83, 83), (161, 160)]
)
def test_the_schedule_starts_anew_every_80_frames(index: int, frame: int):
    assert detection_frame(index, 3) == frame


def test_landmarks_are_followed_where_windows_need_them():
    plan = make_plan(1000, np.arange(500, 564, 2), 3)
    assert plan.keep.sum() == 32
    assert plan.follow[500:567].all()
    assert 495 >= np.flatnonzero(plan.follow)[0] >= 490
    assert not plan.follow[600:].any()
    assert plan.detect.sum() == sum(len(range(0, 80, 3)) for _ in range(12)) + len(range(0, 40, 3))


def test_a_plan_never_leaves_the_video():
    plan = make_plan(10, np.arange(10), 3)
    assert plan.follow.all()
    assert plan.n_frames == 10


def test_the_codec_step_keeps_count_and_order():
    crops = [np.full((SIDE, SIDE, 3), 10 * k + 40, np.uint8) for k in range(15)]
    back = through_mpeg4(crops, 25)
    assert [round(float(one.mean())) for one in back] == pytest.approx(
        [10 * k + 40 for k in range(15)], abs=4.5
    )


def test_the_codec_step_of_nothing_is_nothing():
    assert through_mpeg4([], 25) == []


def test_a_region_is_level_and_half_as_large_again():
    box, points = np.array([100.0, 50, 40, 60]), np.array([[110.0, 70], [130, 90], *[[0, 0]] * 3])
    region = FaceMesh().region_from_box(box, points)
    assert (region.cx, region.cy, region.side) == (120, 80, 90)
    assert region.turn == pytest.approx(np.pi / 4)


def test_an_empty_picture_holds_no_face():
    flat = np.full((200, 200, 3), 128, np.uint8)
    mesh = FaceMesh()
    region = mesh.region_from_box(np.array([60.0, 60, 80, 80]), np.zeros((5, 2)))
    assert mesh.locate(flat, region).presence < 0.5
