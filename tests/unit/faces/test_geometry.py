from __future__ import annotations

import numpy as np
import pytest

from fakeout_core.faces.geometry import TARGET, Window, centre, enlarged, iou, similarity


def test_a_box_is_enlarged_about_its_truncated_centre():
    # Centre (60, 65), half = int(1.8 · 50 / 2) = 45.
    assert enlarged(np.array([40.9, 40.6, 40.0, 50.0]), 640, 360) == Window(15, 20, 105, 110)


def test_each_edge_is_clipped_alone():
    assert enlarged(np.array([-10.0, 300.0, 60.0, 50.0]), 640, 360) == Window(0, 271, 74, 360)


def test_centres_are_cut_towards_zero():
    assert centre(np.array([-11.0, -3.5, 4.0, 1.0])) == (-9, -3)


def test_windows_join():
    assert Window(1, 2, 10, 10).joined(Window(0, 5, 4, 20)) == Window(0, 2, 10, 20)


def test_overlap():
    assert iou(np.array([0, 0, 2, 2]), np.array([1, 1, 3, 3])) == pytest.approx(1 / 7)
    assert iou(np.array([0, 0, 1, 1]), np.array([1, 0, 2, 1])) == 0.0


@pytest.mark.parametrize("angle", [-2.0, 0.0, 0.4, 3.0])
@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_a_similarity_is_recovered(angle: float, scale: float):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (TARGET - (3.0, -40.0)) @ np.linalg.inv(turn).T
    found = similarity(source)
    np.testing.assert_allclose(found[:, :2], turn, atol=1e-9)
    np.testing.assert_allclose(found[:, 2], (3.0, -40.0), atol=1e-8)


def test_noise_is_averaged_as_least_squares_does():
    """No similarity near the found one maps the points nearer to the target."""
    points = TARGET * 1.7 + 30 + np.random.default_rng(1).normal(0, 4, TARGET.shape)
    best = similarity(points)

    def cost(matrix: np.ndarray) -> float:
        return float(((points @ matrix[:, :2].T + matrix[:, 2] - TARGET) ** 2).sum())

    for delta in ([1e-3, 0, 0, 0], [0, 1e-3, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0.1]):
        for sign in (-1, 1):
            c, s, x, y = sign * np.array(delta)
            assert cost(best + np.array([[c, -s, x], [s, c, y]])) > cost(best)
