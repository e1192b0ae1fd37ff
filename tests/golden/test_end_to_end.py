"""Seven small clips and their sound, from file to video score, against the published script."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest

from fakeout_core.aggregate import fake_probability, track_score
from fakeout_core.detector import Detector
from fakeout_core.media.logmel import log_mel
from fakeout_core.media.probe import probe
from fakeout_core.media.rate import fps_map
from fakeout_core.media.video import open_reader
from fakeout_core.media.windows import window_frames
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.golden_rule import golden_weights

N_WINDOWS = 3

SCORED = ("000_003.mp4", "003.mp4", "012.mp4", "012_026.mp4")
"""Sound or none, long or shorter than a window, 30 fps and 29.97; the rest is checked to pixels."""


def read_windows(path: str) -> np.ndarray:
    """Windows of a clip that needs no face search: uint8 [3, 32, 224, 224, 3]."""
    info = probe(path)
    with open_reader(path, info) as reader:
        images = np.stack([frame.rgb() for frame in reader])
    # The reader's own map goes by FacePipe's whole rates; the script met these clips as they are.
    images = images[fps_map(len(images), info.fps)]
    return images[window_frames(len(images), 32, 2, N_WINDOWS)]


def read_sound(path: str) -> np.ndarray:
    with wave.open(path) as file:
        data = file.readframes(file.getnframes())
        return np.frombuffer(data, "<i2").reshape(-1, file.getnchannels())[:, 0].astype(np.float32)


@pytest.mark.slow
@pytest.mark.shared
def test_clips_to_scores(shared):
    folder = shared / "golden" / "e2e"
    wanted = json.loads((folder / "golden_e2e.json").read_text())
    vectors = np.load(folder / "golden_e2e.npz")
    detector = Detector(golden_weights("x1", "av"), ModelConfig(threads=2))
    for name, facts in wanted["videos"].items():
        frames = read_windows(str(folder / "videos" / name))
        some = frames[:, ::8, ::28, ::28].astype(np.float32) / np.float32(255)
        assert np.array_equal(some, vectors[f"rgb_strided/{name}"]), name
        sound = None
        if facts["audio_used"]:
            samples = read_sound(str(folder / "wavs" / name.replace(".mp4", ".wav")))
            sound = log_mel(samples, N_WINDOWS)
            assert np.abs(sound - vectors[f"mel/{name}"]).max() <= 5e-3, name
        if name not in SCORED:
            continue
        logits = detector.score_windows(frames, sound)
        p_fake = fake_probability(logits)
        # Same decoded pixels; what is left is colour conversion and arithmetic.
        direct = np.array(facts["window_softmax_direct_rgb"])[:, 1]
        assert np.abs(p_fake - direct).max() <= 5e-4, name
        # The script itself looks at frames that went through JPEG.
        published = np.array(facts["window_softmax_reference"])[:, 1]
        assert np.abs(p_fake - published).max() <= 5e-3, name
        score = track_score(p_fake, ModelConfig())
        assert score == pytest.approx(facts["score_reference"], abs=5e-3), name
