"""The audio front end against the reference's TensorFlow numbers."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from fakeout_core.media.logmel import log_mel


@pytest.fixture(scope="module")
def vectors(golden):
    with np.load(golden / "golden_mel.npz") as file:
        return {key: file[key] for key in file.files}


def cases(vectors) -> list[str]:
    return [key.removeprefix("mel/") for key in vectors if key.startswith("mel/")]


def test_every_case(vectors, sound):
    names = cases(vectors)
    assert len(names) == 14
    for name in names:
        wave = sound(name)
        found = log_mel(wave, int(vectors[f"num_windows/{name}"]))
        off = np.abs(found[..., 0] - vectors[f"mel/{name}"])
        assert found.dtype == np.float32
        # float32 noise of the reference itself is 1.4e-3 dB; eager and graph differ by 2.3e-3.
        assert off.max() <= 5e-3, f"{name}: {off.max():.2g} dB"
        assert off.mean() <= 1e-4, f"{name}: {off.mean():.2g} dB on average"


def test_waveforms_are_those_of_the_vectors(vectors, sound):
    for name in cases(vectors):
        wave = sound(name)
        if name == "stereo_4s":
            continue  # the vectors' checksum covers a second channel, which nothing reads
        both = np.stack([wave, wave], axis=1)
        assert zlib.crc32(both.tobytes()) == int(vectors[f"crc/{name}"]), name


def test_windows_of_a_video_belong_together(vectors, sound):
    """The same windows one by one are other numbers: decibels count from the video's loudest."""
    name = "quiet_then_loud_6s"
    together, alone = vectors[f"mel/{name}"], vectors[f"mel_alone/{name}"]
    found = log_mel(sound(name), len(together))[..., 0]
    assert np.abs(found - together).max() <= 5e-3
    assert np.abs(found - alone).max() > 10.0
