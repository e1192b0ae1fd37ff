"""A window's logits depend on the window and on nothing else; one program serves every batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.detector import Detector, model_fingerprint
from fakeout_core.errors import ConfigError, FakeoutError, MediaError
from fakeout_core.model.config import ModelConfig
from fakeout_core.model.golden_rule import golden_weights
from fakeout_core.model.trees import LOG_MEL_SHAPE, WINDOW_SHAPE, Weights


class Counting:
    """An engine of two sums that notes the shapes it is given."""

    name = "counting/float32"
    compilations = 2

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def see(self, frames: np.ndarray) -> np.ndarray:
        self.shapes.append(frames.shape)
        mean = frames[:, ::7, ::31, ::31].mean((1, 2, 3, 4), np.float64)
        return (np.outer(mean, np.cos(np.arange(2048))) / 255).astype(np.float32)

    def hear(self, log_mel: np.ndarray) -> np.ndarray:
        self.shapes.append(log_mel.shape)
        mean = log_mel.mean((1, 2, 3), np.float64)
        return (np.outer(mean, np.sin(np.arange(2048))) / 80).astype(np.float32)


def small_head(modality: str) -> Weights:
    rng = np.random.default_rng(1)
    width = 4096 if modality == "av" else 2048
    sizes = (width, 4, 3, 2)
    params = {
        f"{name}_mlp_layer": {
            "w": rng.normal(size=sizes[at : at + 2]).astype(np.float32),
            "b": rng.normal(size=sizes[at + 1]).astype(np.float32),
        }
        for at, name in enumerate(("first", "second", "third"))
    }
    return Weights("x1", modality, params, {}, "sha256:0")  # type: ignore[arg-type]


def detector(batch: int = 1, modality: str = "av", **settings) -> tuple[Detector, Counting]:
    engine = Counting()
    config = ModelConfig(batch_windows=batch, **settings)
    return Detector(small_head(modality), config, engine), engine


def windows(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """One window per number; equal numbers make equal windows."""
    frames = np.empty((len(numbers), *WINDOW_SHAPE), np.uint8)
    log_mel = np.empty((len(numbers), *LOG_MEL_SHAPE), np.float32)
    for at, number in enumerate(numbers):
        frames[at], log_mel[at] = number * 11 % 256, -float(number % 5)
    return frames, log_mel


many = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(numbers=st.lists(st.integers(0, 9), max_size=6), batch=st.integers(1, 4), data=st.data())
def test_batch_padding_and_order(numbers, batch, data):
    frames, log_mel = windows(numbers)
    one_by_one, _ = detector()
    wanted = np.array(
        [
            one_by_one.score_windows(frames[i : i + 1], log_mel[i : i + 1])[0]
            for i in range(len(numbers))
        ],
        np.float32,
    ).reshape(-1, 2)
    order = np.array(data.draw(st.permutations(range(len(numbers)))), np.int64)
    batched, engine = detector(batch)
    assert np.array_equal(batched.score_windows(frames[order], log_mel[order]), wanted[order])
    # Every call has one of two static shapes, and no window is computed twice.
    assert set(engine.shapes) <= {(batch, *WINDOW_SHAPE), (batch, *LOG_MEL_SHAPE)}
    seen = -(-len(set(numbers)) // batch)
    heard = -(-len({number % 5 for number in numbers}) // batch)
    assert len(engine.shapes) == seen + heard


def clip(tracks: list[list[int]], n_windows: int, sound: bool = True) -> tuple[Clip, list]:
    rng = np.random.default_rng(0)
    log_mel = rng.uniform(-80, 0, (n_windows, *LOG_MEL_SHAPE)).astype(np.float32)
    status = AudioStatus.USED if sound else AudioStatus.ABSENT
    made = [
        FaceTrack(
            frames=[],
            frame_index=np.arange(3, dtype=np.int32),
            windows=np.array(chosen, np.int32),
            window_frames=np.array([np.arange(32) % (window % 3 + 1) for window in chosen]),
            absent_share=np.zeros(len(chosen), np.float32),
            face_px=100.0,
            n_frames_seen=3,
            box=(0.0, 0.0, 1.0, 1.0),
        )
        for chosen in tracks
    ]
    pixels = [rng.integers(0, 256, (3, *WINDOW_SHAPE[1:]), np.uint8) for _ in tracks]
    times = np.arange(n_windows, dtype=np.float64)
    return Clip(made, log_mel if sound else log_mel[:0], status, times, times + 2, 9.0, 29.0, 1, 1,
                9, 9, "pyav"), pixels  # fmt: skip


def test_a_clip_is_its_windows():
    made, pixels = clip([[0, 1, 2], [2, 4]], 5)
    whole, _ = detector(2)
    result = whole.score_tracks(made, pixels)
    assert [(one.track, one.window, one.start_s) for one in result.windows] == [
        (0, 0, 0.0), (0, 1, 1.0), (0, 2, 2.0), (1, 2, 2.0), (1, 4, 4.0),
    ]  # fmt: skip
    for one in result.windows:
        track = made.tracks[one.track]
        at = track.windows.tolist().index(one.window)
        frames = pixels[one.track][track.window_frames[at]]
        alone = whole.score_windows(frames[None], made.log_mel[one.window][None])[0]
        assert (one.logit_real, one.logit_fake) == tuple(alone.tolist())
        assert one.p_fake == pytest.approx(1 / (1 + np.exp(one.logit_real - one.logit_fake)))
    p = [one.p_fake for one in result.windows]
    assert result.track_scores == pytest.approx((np.mean(p[:3]), np.mean(p[3:])))
    assert result.score == max(result.track_scores)
    assert result.aggregation == "mean,max"


def test_rules_of_aggregation():
    made, pixels = clip([[0, 1, 2, 3], [4]], 5)
    reference = detector()[0].score_tracks(made, pixels)
    p = np.array([one.p_fake for one in reference.windows])
    wanted = {
        ("max", 3, "max"): (max(p[:4].max(), p[4]), "max,max"),
        ("top_k", 2, "max"): (max(np.sort(p[:4])[-2:].mean(), p[4]), "top_2,max"),
        ("top_k", 9, "mean"): ((p[:4].mean() + p[4]) / 2, "top_9,mean"),
    }
    for (window_rule, top_k, track_rule), (score, name) in wanted.items():
        made_detector, _ = detector(window_rule=window_rule, top_k=top_k, track_rule=track_rule)
        result = made_detector.score_tracks(made, pixels)
        assert result.score == pytest.approx(score), name
        assert result.aggregation == name
        assert made_detector.fingerprint != reference.weights


def test_no_sound_is_the_loudest_everywhere():
    silent, pixels = clip([[0, 1]], 2, sound=False)
    made, engine = detector()
    result = made.score_tracks(silent, pixels)
    frames = pixels[0][silent.tracks[0].window_frames]
    zeros = np.zeros((2, *LOG_MEL_SHAPE), np.float32)
    assert [one.logit_fake for one in result.windows] == made.score_windows(frames, zeros)[
        :, 1
    ].tolist()
    assert result.audio_status == AudioStatus.ABSENT
    # Two windows without sound sound alike: heard once.
    assert sum(shape[1:] == LOG_MEL_SHAPE for shape in engine.shapes) == 2


def test_wrong_inputs_are_said():
    made, _ = detector()
    video_only, _ = detector(modality="v")
    frames, log_mel = windows([1, 2])
    with pytest.raises(ConfigError, match=r"video-only.*wanted log_mel=None, found \[2, 183"):
        video_only.score_windows(frames, log_mel)
    with pytest.raises(ValueError, match=r"frames: wanted uint8 .* found float32"):
        made.score_windows(frames.astype(np.float32))
    with pytest.raises(ValueError, match=r"log_mel: wanted float32 \[2, .*found float32 \[1,"):
        made.score_windows(frames, log_mel[:1])
    with pytest.raises(MediaError, match="no_face"):
        made.score_tracks(dataclasses.replace(clip([], 1)[0]), [])
    broken = Counting()
    broken.see = lambda frames: np.full((1, 2048), np.nan, np.float32)  # type: ignore[method-assign]
    with pytest.raises(FakeoutError, match="not finite"):
        Detector(small_head("v"), ModelConfig(), broken).score_windows(frames)
    restless = Counting()
    restless.compilations = 3
    with pytest.raises(FakeoutError, match="compiled 3 programs"):
        Detector(small_head("v"), ModelConfig(), restless).score_windows(frames)
    for wrong in ({"variant": "x3"}, {"modality": "a"}):
        with pytest.raises(ConfigError):
            Detector.load(None, **wrong)


def test_video_only_ignores_a_clips_sound():
    made, pixels = clip([[0, 1]], 2)
    video_only, engine = detector(modality="v")
    assert video_only.score_tracks(made, pixels).score > 0
    assert all(shape[1:] == WINDOW_SHAPE for shape in engine.shapes)


def test_fingerprint_follows_what_changes_scores():
    def of(**changes) -> str:
        return model_fingerprint(None, "x1", "av", ModelConfig(**changes))

    assert of() == of(engine="xla") == of(threads=4) == of(batch_windows=3) == of(top_k=9)
    others = {of(), of(window_rule="max"), of(track_rule="mean"), of(precision="bfloat16")}
    others |= {of(window_rule="top_k", top_k=k) for k in (2, 3)}
    assert len(others) == 6
    assert of().startswith("x1-av-")
    assert model_fingerprint(None, "x2", "v", ModelConfig()).startswith("x2-v-")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["xla", "openvino"])
def test_one_compilation_whatever_comes(engine):
    """The real towers: numbers of windows that do and do not fill a batch."""
    if engine != "xla":
        pytest.importorskip(engine)
    frames, log_mel = windows([1, 2])
    frames[:, 1::2] //= 3
    config = ModelConfig(engine=engine, batch_windows=2, threads=2)
    made = Detector(golden_weights("x1", "av"), config)
    both = made.score_windows(frames, log_mel)
    assert made.compilations == 2
    np.testing.assert_allclose(made.score_windows(frames[1:], log_mel[1:]), both[1:], atol=1e-6)
    assert made.compilations == 2
