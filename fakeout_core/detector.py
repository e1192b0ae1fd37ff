"""The detector: weights in, scores out, for one video or for windows, without any engine around it.

detector = Detector.load("fakeout.safetensors")
result = detector.score_video("clip.mp4")
print(result.score, [window.p_fake for window in result.windows])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fakeout_core.aggregate import fake_probability, rule_name, track_score, video_score
from fakeout_core.clip import Clip
from fakeout_core.config import CropConfig
from fakeout_core.errors import MediaError, Reason
from fakeout_core.ids import digest
from fakeout_core.media.logmel import no_sound
from fakeout_core.model.checkpoint import load_weights
from fakeout_core.model.config import Modality, ModelConfig, Variant
from fakeout_core.model.engines import choose_engine, make_engine
from fakeout_core.model.trees import LOG_MEL_SHAPE, WINDOW_SHAPE, Weights

IMAGE_SHAPE = WINDOW_SHAPE[1:]


@dataclass(frozen=True)
class WindowScore:
    """One window's result.

    Attributes:
        track: face track.
        window: window number.
        start_s: start in the video, seconds.
        end_s: end in the video, seconds.
        logit_real: first logit.
        logit_fake: second logit.
        p_fake: softmax of the second, 0..1.
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
    """A video's result.

    Attributes:
        score: probability that the video is fake, 0..1.
        track_scores: of each face track.
        windows: of each window of each track.
        engine: what ran the towers, e.g. ``onnxruntime/float32``.
        weights: ``untrained``, or the checkpoint's digest.
    """

    score: float
    track_scores: tuple[float, ...]
    windows: tuple[WindowScore, ...]
    engine: str
    weights: str


@dataclass(frozen=True)
class ClipInputs:
    """What the network gets of one video: its windows in order, track by track.

    Attributes:
        frames: uint8 [N, 32, 224, 224, 3].
        log_mel: float32 [N, 183, 80, 1], zeros where there is no sound; None for video-only.
    """

    frames: np.ndarray
    log_mel: np.ndarray | None


class Detector:
    """FakeOut's towers with one set of weights, compiled for one batch shape."""

    def __init__(self, weights: Weights, config: ModelConfig) -> None:
        self._weights, self._config = weights, config
        self._engine = make_engine(weights, config)
        self.fingerprint = _fingerprint(weights, config)

    @classmethod
    def load(
        cls,
        checkpoint: str | None = None,
        *,
        variant: Variant = "x1",
        modality: Modality = "av",
        config: ModelConfig | None = None,
    ) -> Detector:
        """Load weights and make them ready.

        Args:
            checkpoint: a FakeOut pickle or its safetensors form; None takes the untrained golden
                rule.
            variant: width of the video tower without a checkpoint; a checkpoint says its own.
            modality: ``av`` or ``v`` without a checkpoint, likewise.
            config: engine, precision and aggregation.

        Raises:
            CheckpointError: the file is refused; the text says why.
            ConfigError: the engine asked for is not installed.
        """
        return cls(load_weights(checkpoint, variant, modality), config or ModelConfig())

    @property
    def engine(self) -> str:
        """Engine and precision, as the tables say it."""
        return self._engine.name

    @property
    def weights(self) -> str:
        """``untrained``, or the checkpoint's digest."""
        return self._weights.digest

    @property
    def aggregation(self) -> str:
        """Windows → track → video rule, as the tables say it."""
        return rule_name(self._config)

    @property
    def modality(self) -> Modality:
        """``av`` or ``v``."""
        return self._weights.modality

    def score_windows(self, frames: np.ndarray, log_mel: np.ndarray | None) -> np.ndarray:
        """Run the towers over windows.

        Args:
            frames: uint8 [W, 32, 224, 224, 3] RGB, any W.
            log_mel: float32 [W, 183, 80, 1], all windows of a video from one call of ``log_mel``;
                None stands for no sound.

        Returns:
            float32 [W, 2], logits; each window's are the same in any company and order.

        Raises:
            ValueError: shapes or dtypes are others.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != WINDOW_SHAPE:
            raise ValueError(
                f"frames: wanted uint8 [W, {', '.join(map(str, WINDOW_SHAPE))}], "
                f"got {frames.dtype} {list(frames.shape)}"
            )
        mels = self._mels(log_mel, len(frames))
        size = self._config.batch_windows
        logits = np.empty((len(frames), 2), np.float32)
        for start in range(0, len(frames), size):
            part = slice(start, start + size)
            count = len(frames[part])
            batch_mels = None if mels is None else _padded(mels[part], size)
            logits[part] = self._engine(_padded(frames[part], size), batch_mels)[:count]
        return logits

    def _mels(self, log_mel: np.ndarray | None, count: int) -> np.ndarray | None:
        if self.modality == "v":
            return None
        if log_mel is None:
            return no_sound(count)
        if log_mel.dtype != np.float32 or log_mel.shape != (count, *LOG_MEL_SHAPE):
            raise ValueError(
                f"log_mel: wanted float32 {[count, *LOG_MEL_SHAPE]}, "
                f"got {log_mel.dtype} {list(log_mel.shape)}"
            )
        return log_mel

    def score_clip(self, clip: Clip) -> ClipScore:
        """Score a cropped video, decoding its frames.

        Raises:
            MediaError: ``internal``, a stored frame is damaged.
        """
        inputs = self.inputs_of(clip, [decode_frames(track.frames) for track in clip.tracks])
        return self.result_of(clip, self.score_windows(inputs.frames, inputs.log_mel))

    def score_video(self, path: str, crop_config: CropConfig | None = None) -> ClipScore:
        """Crop and score one local video, in this process.

        Decoding here is not isolated: give videos you do not trust to ``fakeout run``.

        Raises:
            MediaError: the video cannot be used; ``reason`` says why.
        """
        from fakeout_core.crop import crop_video

        return self.score_clip(crop_video(path, crop_config or CropConfig()))

    def inputs_of(self, clip: Clip, pixels: Sequence[np.ndarray]) -> ClipInputs:
        """Lay out a clip's windows for the network.

        Args:
            clip: the clip.
            pixels: per track the decoded frames, uint8 [n, 224, 224, 3] RGB.

        Returns:
            The windows of all tracks, in order.
        """
        frames = [
            images[track.window_frames] for track, images in zip(clip.tracks, pixels, strict=True)
        ]
        if self.modality == "v":
            return ClipInputs(np.concatenate(frames), None)
        heard = clip.log_mel if len(clip.log_mel) else no_sound(len(clip.window_start_s))
        mels = [heard[track.windows] for track in clip.tracks]
        return ClipInputs(np.concatenate(frames), np.concatenate(mels))

    def result_of(self, clip: Clip, logits: np.ndarray) -> ClipScore:
        """Turn a clip's logits, in the order of ``inputs_of``, into its result."""
        probabilities = fake_probability(logits)
        windows: list[WindowScore] = []
        track_scores: list[float] = []
        for number, track in enumerate(clip.tracks):
            first = len(windows)
            for window in track.windows.tolist():
                row = len(windows)
                windows.append(
                    WindowScore(
                        track=number,
                        window=window,
                        start_s=float(clip.window_start_s[window]),
                        end_s=float(clip.window_end_s[window]),
                        logit_real=float(logits[row, 0]),
                        logit_fake=float(logits[row, 1]),
                        p_fake=float(probabilities[row]),
                    )
                )
            track_scores.append(track_score(probabilities[first : len(windows)], self._config))
        score = video_score(track_scores, self._config)
        return ClipScore(score, tuple(track_scores), tuple(windows), self.engine, self.weights)


def decode_frames(frames: Sequence[bytes]) -> np.ndarray:
    """Decode a track's stored frames.

    Args:
        frames: JPEG bytes.

    Returns:
        uint8 [n, 224, 224, 3] RGB.

    Raises:
        MediaError: ``internal``, a frame does not decode to that shape.
    """
    out = np.empty((len(frames), *IMAGE_SHAPE), np.uint8)
    for index, data in enumerate(frames):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape != IMAGE_SHAPE:
            raise MediaError(Reason.INTERNAL, f"stored frame {index} is damaged; crop it again")
        out[index] = image
    return out


def model_fingerprint(
    checkpoint: str | None, variant: Variant, modality: Modality, config: ModelConfig
) -> str:
    """The fingerprint that a detector loaded with these arguments has, without compiling it.

    Returns:
        ``<variant>-<modality>-<12 hex digits>``: weights and all settings that can change a score.

    Raises:
        CheckpointError: the checkpoint is refused.
    """
    return _fingerprint(load_weights(checkpoint, variant, modality, digest_only=True), config)


def _fingerprint(weights: Weights, config: ModelConfig) -> str:
    precision = choose_engine(config)[1]
    settings = [weights.digest, weights.variant, weights.modality, precision, rule_name(config)]
    return f"{weights.variant}-{weights.modality}-{digest(settings)}"


def _padded(items: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last item until there are ``size``, so that the batch shape never changes."""
    if len(items) == size:
        return np.ascontiguousarray(items)
    return np.concatenate([items, np.repeat(items[-1:], size - len(items), axis=0)])
