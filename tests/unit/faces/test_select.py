from __future__ import annotations

import numpy as np
import pytest

from fakeout_core.faces.detect import Detections
from fakeout_core.faces.geometry import enlarged
from fakeout_core.faces.select import Slot, choose, leading_area, usual_count

Face = tuple[float, float, float, float]  # x, y, side, confidence


def slot(first: int, *faces: Face, count: int = 3, cut: bool = False) -> Slot:
    """A slot of square faces, given largest first."""
    boxes = np.array([[x, y, side, side] for x, y, side, _ in faces], np.float32).reshape(-1, 4)
    sure = np.array([confidence for *_, confidence in faces], np.float32)
    return Slot(first, count, Detections(boxes, sure, np.zeros((len(faces), 5, 2))), cut)


def box(x: float, y: float, side: float) -> np.ndarray:
    return np.array([x, y, side, side], np.float32)


def test_slots_count_as_often_as_they_last():
    slots = [slot(0, (0, 0, 10, 1.0), count=3), slot(3, (0, 0, 20, 1.0), count=1)]
    assert leading_area(slots) == pytest.approx((3 * 100 + 400) / 4)


def test_an_undefined_leading_area_fits_nothing():
    slots = [slot(0, (0, 0, 50, 0.95), (60, 0, 50, 0.95))]
    assert np.isnan(leading_area(slots))
    assert usual_count(slots, leading_area(slots)) == 0


def test_weaker_faces_count_if_they_have_the_leading_size():
    slots = [slot(0, (0, 0, 50, 1.0), (100, 0, 49, 0.95), (200, 0, 30, 0.95))]
    assert usual_count(slots, leading_area(slots)) == 2


def test_the_count_met_first_wins_a_tie():
    two = ((0, 0, 50, 1.0), (100, 0, 50, 1.0))
    assert usual_count([slot(0, *two), slot(3, two[0])], 2500) == 2
    assert usual_count([slot(0, two[0]), slot(3, *two)], 2500) == 1


def test_nobody_is_chosen_without_a_face():
    assert choose([slot(0), slot(3)], 640, 360, 2) == []


def test_a_lone_face_widens_its_window_where_it_goes():
    slots = [
        slot(0, (100, 100, 50, 1.0)),
        slot(3, (140, 100, 50, 0.995)),
        slot(6, (400, 9, 50, 0.9)),
    ]
    (choice,) = choose(slots, 640, 360, 2)
    assert choice.is_single
    assert choice.window == enlarged(box(100, 100, 50), 640, 360).joined(
        enlarged(box(140, 100, 50), 640, 360)
    )
    assert choice.fixes == ()


def test_a_doubtful_first_box_does_not_start_the_window():
    slots = [slot(0, (500, 200, 90, 0.8)), *(slot(3 * k, (100, 100, 50, 1.0)) for k in (1, 2, 3))]
    (choice,) = choose(slots, 640, 360, 2)
    assert choice.window == enlarged(box(100, 100, 50), 640, 360)
    assert choice.anchor_frame == 3
    assert len(choice.fixes) == 1


def test_one_box_of_another_size_is_refused():
    slots = [slot(3 * k, (100, 100, 50, 1.0)) for k in range(9)]
    slots[4] = slot(12, (300, 100, 120, 1.0))
    (choice,) = choose(slots, 640, 360, 2)
    assert choice.window == enlarged(box(100, 100, 50), 640, 360)


def test_a_new_size_is_believed_after_five_looks_in_a_row():
    """The reference refuses all of them, and cuts the face by a stale window."""
    before = [slot(3 * k, (100, 100, 50, 1.0)) for k in range(4)]
    after = [slot(12 + 3 * k, (100, 100, 120, 1.0)) for k in range(6)]
    (choice,) = choose(before + after, 640, 360, 2)
    wide = enlarged(box(100, 100, 120), 640, 360)
    assert choice.window == wide.joined(enlarged(box(100, 100, 50), 640, 360))
    assert any("reseed" in fix for fix in choice.fixes)
    (kept,) = choose(before + after[:4], 640, 360, 2)
    assert kept.window == enlarged(box(100, 100, 50), 640, 360)


def test_a_new_size_is_believed_at_a_cut():
    before = [slot(3 * k, (100, 100, 50, 1.0)) for k in range(4)]
    (choice,) = choose([*before, slot(12, (100, 100, 120, 1.0), cut=True)], 640, 360, 2)
    assert choice.window.joined(enlarged(box(100, 100, 120), 640, 360)) == choice.window


def two(first: int, shift: float = 0.0) -> Slot:
    return slot(first, (100 + shift, 100, 52, 1.0), (400 + shift, 100, 50, 1.0))


def test_two_faces_give_two_windows_largest_first():
    choices = choose([two(0), two(3, 10)], 640, 360, 2)
    assert [choice.is_single for choice in choices] == [False, False]
    assert choices[0].window.x1 < choices[1].window.x1
    assert choices[0].window == enlarged(box(100, 100, 52), 640, 360).joined(
        enlarged(box(110, 100, 52), 640, 360)
    )


def test_faces_far_from_the_anchor_do_not_widen_its_window():
    choices = choose([two(0), two(3), two(6, 135)], 640, 360, 2)
    assert choices[0].window == enlarged(box(100, 100, 52), 640, 360)


def test_at_most_the_faces_asked_for():
    three = slot(0, (50, 100, 54, 1.0), (250, 100, 52, 1.0), (450, 100, 50, 1.0))
    assert len(choose([three], 640, 360, 2)) == 2
    assert len(choose([three], 640, 360, 1)) == 1


def test_anchors_come_from_the_nearest_count_if_none_is_exact():
    """Two faces usually, but one of them never above 0.99: the reference loses the video."""
    slots = [slot(3 * k, (100, 100, 50, 1.0), (400, 100, 50, 0.95)) for k in range(4)]
    choices = choose(slots, 640, 360, 2)
    assert choices
    assert choices[0].window.x1 < 200
    assert choices[0].fixes
