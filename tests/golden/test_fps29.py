"""The 29 fps map against ffmpeg itself, both versions, 16 rates each."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from fakeout_core.media.rate import fps_map, times_map

REGENERATE = "ffmpeg -i in.mp4 -r 29 -t 00:00:59 out_%d.png, frames numbered by a barcode"


@pytest.fixture(scope="module")
def golden(data):
    with np.load(data / "golden" / "golden_fps29.npz") as file:
        return {name: file[name] for name in file.files}


def rate_and_length(name: str) -> tuple[Fraction, int]:
    found = re.fullmatch(r".*/map_fps_(\d+)(?:_(\d+))?_n(\d+)", name)
    assert found
    above, below, n = found.groups()
    return Fraction(int(above), int(below or 1)), int(n)


def test_equals_both_versions_of_ffmpeg(golden):
    assert len(golden) == 32
    for name, wanted in golden.items():
        fps, n = rate_and_length(name)
        rule = "4.2" if name.startswith("ffmpeg4") else "9"
        made = fps_map(n, fps, limit=1_711, rule=rule)
        assert made.dtype == np.int32
        assert np.array_equal(made, wanted), f"{name}; regenerate: {REGENERATE}"


def test_by_timestamps_a_constant_rate_gives_the_same(golden):
    for name, wanted in golden.items():
        if name.startswith("ffmpeg9"):
            fps, n = rate_and_length(name)
            times = np.arange(n) / float(fps)
            made = times_map(times, float(n / fps), limit=1_711)
            assert np.array_equal(made, wanted), name


def test_a_source_at_30_is_passed_one_to_one_until_the_drift_exceeds_a_frame(golden):
    made = fps_map(300, 30)
    assert made[:63].tolist() == list(range(63))
    assert made[63] == 64
