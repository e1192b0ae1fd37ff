"""Window sampling against the published code's own indices."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from fakeout_core.media.windows import window_frames, window_offsets

REGENERATE = "run FakeOut's temporal sampling over the (L, W, S, k) in *_combos"


@pytest.fixture(scope="module")
def golden(data):
    with np.load(data / "golden" / "golden_sampling.npz") as file:
        return {name: file[name] for name in file.files}


def test_video_windows_equal_the_reference(golden):
    starts, indices = golden["video_indices_start"], golden["video_indices_concat"]
    for row, (length, windows, steps, stride) in enumerate(golden["video_combos"].tolist()):
        wanted = indices[starts[row] : starts[row + 1]].reshape(windows, steps)
        made = window_frames(length, steps, stride, windows)
        case = f"L={length} W={windows} S={steps} k={stride}; regenerate: {REGENERATE}"
        assert np.array_equal(made, wanted), case


@pytest.mark.parametrize("n_windows", [2, 3, 5, 10])
def test_offsets_of_every_length_up_to_62_seconds(golden, n_windows):
    table = golden[f"video_offset_table_w{n_windows}"]
    made = np.stack([window_offsets(length, 64, n_windows) for length in range(1, len(table) + 1)])
    wrong = np.flatnonzero((made != table).any(axis=1)) + 1
    assert wrong.tolist() == []


def test_audio_windows_equal_the_reference_to_the_sample(golden):
    for row, (length, windows, steps, stride) in enumerate(golden["audio_combos"].tolist()):
        made = window_frames(length, steps, stride, windows)
        case = f"L={length} W={windows}; regenerate: {REGENERATE}"
        assert made[:, 0].tolist() == golden["audio_first_index"][row, :windows].tolist(), case
        assert made[:, -1].tolist() == golden["audio_last_index"][row, :windows].tolist(), case
        assert zlib.crc32(made.astype("<i4").tobytes()) == golden["audio_indices_crc32"][row], case
