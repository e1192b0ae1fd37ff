"""From windows to a video's score, against the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fakeout_core.aggregate import track_score, video_score
from fakeout_core.model.config import ModelConfig


@pytest.fixture(scope="module")
def vectors(golden):
    return json.loads((golden / "golden_aggregate.json").read_text())


def test_windows_to_track(vectors):
    case = vectors["window_mean"]
    windows = np.reshape(case["window_softmax_fake"], (-1, case["num_windows"]))
    found = [track_score(one, ModelConfig()) for one in windows]
    np.testing.assert_allclose(found, case["video_score"], atol=1e-6)


def test_tracks_to_video(vectors):
    """The reference joins tracks by file name; a clip holds them together."""
    case = vectors["union"]
    tracks: dict[str, list[float]] = {}
    for score, _, name in case["rows"]:
        tracks.setdefault(name.split("@")[0].split(".")[0] + ".mp4", []).append(score)
    found = {name: video_score(scores, ModelConfig()) for name, scores in tracks.items()}
    assert found == {name: score for score, _, name in case["result"]}
