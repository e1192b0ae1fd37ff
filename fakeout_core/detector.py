"""The detector: a checkpoint in, scores out, for one video or for windows made elsewhere.

Knows nothing of Ray, lakes or clusters::

    from fakeout_core import Detector

    detector = Detector.load("fakeout_x1.safetensors")
    print(detector.score_video("speech.mp4").score)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fakeout_core.aggregate import fake_probability, rule_name, track_score, video_score
from fakeout_core.clip import AudioStatus, Clip
from fakeout_core.config import CropConfig
from fakeout_core.errors import ConfigError, FakeoutError, MediaError, Reason
from fakeout_core.frames import decode_frames
from fakeout_core.ids import digest
from fakeout_core.media.logmel import no_sound
from fakeout_core.model.config import Modality, ModelConfig, Variant
from fakeout_core.model.engines import Engine, make_engine
from fakeout_core.model.folding import head_of
from fakeout_core.model.golden_rule import UNTRAINED, golden_weights
from fakeout_core.model.trees import LOG_MEL_SHAPE, WINDOW_SHAPE, Weights

MODEL_CODE_VERSION = 1
"""Raise when scores change for the same clip, weights and settings."""


MAX_COMPILATIONS = 2
"""One program per tower; a third would mean that every batch may cost a compilation."""

DEFAULTS = ModelConfig()


@dataclass(frozen=True)
class WindowScore:
    """One window of one face track.

    Attributes:
        track: position of the track in the clip.
        window: number of the window in the video.
        start_s: its start in the video, seconds.
        end_s: its end.
        logit_real: first logit.
        logit_fake: second logit.
        p_fake: softmax of the two, 0..1.
    """

    track: int
    window: int
    start_s: float
    end_s: float
    logit_real: float
    logit_fake: float
    p_fake: float


@dataclass(frozen=True)
class ClipScore:
    """What the detector says of one video.

    Attributes:
        score: probability of fake, 0..1; means nothing if ``weights`` is ``untrained``.
        track_scores: the same per face track.
        windows: every window, tracks in order.
        audio_status: what became of the sound; silence and absence look alike to the network.
        engine: what computed it, e.g. ``onnxruntime/float32``.
        weights: ``untrained`` or the checkpoint's digest.
        aggregation: rule from windows to tracks to the video, e.g. ``mean,max``.
    """

    score: float
    track_scores: tuple[float, ...]
    windows: tuple[WindowScore, ...]
    audio_status: AudioStatus
    engine: str
    weights: str
    aggregation: str


class Detector:
    """The towers, their head and the way from windows to a score.

    Attributes:
        variant: ``x1`` or ``x2``, of the parameters.
        modality: ``av`` or ``v``, of the parameters.
        config: settings it was made with.
        weights: ``untrained`` or the checkpoint's digest.
        engine: engine and precision, e.g. ``onnxruntime/float32``.
        fingerprint: names weights and settings: the ``model`` partition of the tables.
        aggregation: rule from windows to a score, e.g. ``mean,max``.
    """

    def __init__(self, weights: Weights, config: ModelConfig, engine: Engine | None = None) -> None:
        self.variant, self.modality = weights.variant, weights.modality
        self.config = config
        self.weights = weights.digest
        self.fingerprint = _fingerprint(weights.variant, weights.modality, weights.digest, config)
        self.aggregation = rule_name(config)
        self._head = head_of(weights.params)
        self._engine = engine or make_engine(weights, config)
        self.engine = self._engine.name

    @classmethod
    def load(
        cls,
        checkpoint: str | None = None,
        *,
        variant: str = "x1",
        modality: str = "av",
        config: ModelConfig = DEFAULTS,
    ) -> Detector:
        """Load a checkpoint, or the golden rule's weights.

        Args:
            checkpoint: local ``.safetensors`` or pickle; None for untrained weights.
            variant: towers without a checkpoint; a checkpoint's own parameters decide.
            modality: likewise.
            config: how the towers run and how windows become a score.

        Raises:
            CheckpointError: the file is hostile, damaged, or holds another network.
            ConfigError: a setting is wrong, or its engine is not installed.
        """
        return cls(_load_weights(checkpoint, variant, modality), config)

    @property
    def compilations(self) -> int:
        """Programs compiled so far; at most one per tower, whatever was scored."""
        return self._engine.compilations

    def score_windows(self, frames: np.ndarray, log_mel: np.ndarray | None = None) -> np.ndarray:
        """Compute the logits of windows, in any number.

        Args:
            frames: uint8 RGB [W, 32, 224, 224, 3].
            log_mel: float32 [W, 183, 80, 1] in dB from ``media.logmel.log_mel``; None where there
                is no sound, or for a video-only network.

        Returns:
            float32 [W, 2]; real, fake. A window's logits do not depend on its neighbours.

        Raises:
            ConfigError: sound for a video-only network.
            ValueError: a shape or type is wrong.
        """
        n_windows = len(frames)
        _check("frames", frames, np.dtype(np.uint8), (n_windows, *WINDOW_SHAPE))
        if self.modality == "v" and log_mel is not None:
            raise ConfigError(
                f"the network is video-only ({self.variant}-v): wanted log_mel=None, found "
                f"{list(np.shape(log_mel))}; load an audio+video checkpoint to use the sound"
            )
        if n_windows == 0:
            return np.zeros((0, 2), np.float32)
        features = _each_once(self._engine.see, frames, self.config.batch_windows)
        if self.modality == "av":
            sound = no_sound(n_windows) if log_mel is None else log_mel
            _check("log_mel", sound, np.dtype(np.float32), (n_windows, *LOG_MEL_SHAPE))
            heard = _each_once(self._engine.hear, sound, self.config.batch_windows)
            features = np.concatenate([features, heard], axis=1)
        weight, bias = self._head
        logits = (features.astype(np.float64) @ weight + bias).astype(np.float32)
        if not np.isfinite(logits).all():
            raise FakeoutError(f"{self.engine} gave logits that are not finite; try float32")
        if self.compilations > MAX_COMPILATIONS:
            raise FakeoutError(
                f"{self.engine} compiled {self.compilations} programs for two towers: some batch "
                "was not padded to the static shape"
            )
        return logits

    def score_tracks(self, clip: Clip, pixels: Sequence[np.ndarray]) -> ClipScore:
        """Score a clip whose frames are already decoded.

        Args:
            clip: windows, sound and times; its JPEG frames are not looked at.
            pixels: per track uint8 RGB [n, 224, 224, 3], the track's unique frames.

        Raises:
            MediaError: ``no_face``, the clip has no track.
        """
        if not clip.tracks:
            raise MediaError(Reason.NO_FACE, "the clip has no face track")
        has_sound = clip.audio_status in (AudioStatus.USED, AudioStatus.SILENT)
        windows: list[WindowScore] = []
        track_scores: list[float] = []
        for number, (track, images) in enumerate(zip(clip.tracks, pixels, strict=True)):
            use_sound = has_sound and self.modality == "av"
            log_mel = clip.log_mel[track.windows] if use_sound else None
            logits = self.score_windows(images[track.window_frames], log_mel)
            p_fake = fake_probability(logits)
            track_scores.append(track_score(p_fake, self.config))
            windows += [
                WindowScore(
                    track=number,
                    window=int(window),
                    start_s=float(clip.window_start_s[window]),
                    end_s=float(clip.window_end_s[window]),
                    logit_real=float(pair[0]),
                    logit_fake=float(pair[1]),
                    p_fake=float(p),
                )
                for window, pair, p in zip(track.windows, logits, p_fake, strict=True)
            ]
        return ClipScore(
            score=video_score(track_scores, self.config),
            track_scores=tuple(track_scores),
            windows=tuple(windows),
            audio_status=clip.audio_status,
            engine=self.engine,
            weights=self.weights,
            aggregation=self.aggregation,
        )

    def score_clip(self, clip: Clip) -> ClipScore:
        """Score a clip with its stored JPEG frames.

        Raises:
            MediaError: it has no track, or a frame will not decode.
        """
        return self.score_tracks(clip, [decode_frames(track.frames) for track in clip.tracks])

    def score_video(self, path: str, crop_config: CropConfig | None = None) -> ClipScore:
        """Crop and score one video file, in this process.

        Args:
            path: local file. Decoders can crash on crafted files; the pipelines decode in killable
                children, this call does not.
            crop_config: how clips are made; FakeOut's settings by default.

        Raises:
            MediaError: the video cannot be used; ``reason`` says why.
        """
        from fakeout_core.crop import crop_video

        return self.score_clip(crop_video(path, crop_config or CropConfig()))


def model_fingerprint(
    checkpoint: str | None, variant: str, modality: str, config: ModelConfig
) -> str:
    """The fingerprint a detector would have, without making its engine.

    Args:
        checkpoint: as for ``Detector.load``.
        variant: towers without a checkpoint.
        modality: likewise.
        config: model settings.

    Returns:
        ``<variant>-<modality>-<12 hex>``. It depends on the arrays that scoring reads, on the
        aggregation and on the precision asked for; not on file format, engine, threads or batch.

    Raises:
        CheckpointError: the file is hostile, damaged, or holds another network.
    """
    if checkpoint is None:
        checked_variant, checked_modality = _known(variant, modality)
        return _fingerprint(checked_variant, checked_modality, UNTRAINED, config)
    weights = _load_weights(checkpoint, variant, modality)
    return _fingerprint(weights.variant, weights.modality, weights.digest, config)


def _fingerprint(variant: str, modality: str, weights: str, config: ModelConfig) -> str:
    settings = {
        "weights": weights,
        "aggregation": rule_name(config),
        # As asked, not as settled: workers of one run may have different devices.
        "precision": config.precision,
        "code": MODEL_CODE_VERSION,
    }
    return f"{variant}-{modality}-{digest(settings)}"


def _load_weights(checkpoint: str | None, variant: str, modality: str) -> Weights:
    if checkpoint is None:
        return golden_weights(*_known(variant, modality))
    from fakeout_core.model.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint)


def _known(variant: str, modality: str) -> tuple[Variant, Modality]:
    if variant not in ("x1", "x2"):
        raise ConfigError(f"variant must be x1 or x2, got {variant!r}")
    if modality not in ("av", "v"):
        raise ConfigError(f"modality must be av or v, got {modality!r}")
    return variant, modality


def _each_once(
    tower: Callable[[np.ndarray], np.ndarray], windows: np.ndarray, batch: int
) -> np.ndarray:
    """Compute a tower on each distinct window once, in batches padded to one static shape."""
    seen: dict[bytes, int] = {}
    place = np.array([seen.setdefault(one.tobytes(), len(seen)) for one in windows], np.int64)
    first = np.unique(place, return_index=True)[1]
    results = []
    for start in range(0, len(first), batch):
        chosen = windows[first[start : start + batch]]
        padding = np.zeros((batch - len(chosen), *windows.shape[1:]), windows.dtype)
        results.append(tower(np.concatenate([chosen, padding]))[: len(chosen)])
    return np.concatenate(results)[place]


def _check(name: str, array: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        wanted, found = f"{dtype} {list(shape)}", f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"{name}: wanted {wanted}, found {found}")
