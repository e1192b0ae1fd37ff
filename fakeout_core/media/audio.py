"""The sound of a video, as the audio front end wants it: one channel, placed on the video's clock.

Source: the published script makes a stereo wav and uses its first channel at the file's own rate;
here sound is brought to 44.1 kHz (switch: ``CropConfig.resample_audio``) and placed by its
timestamps, so that a stream that starts late stays aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from fakeout_core.clip import AudioStatus
from fakeout_core.config import CropConfig
from fakeout_core.media.logmel import SAMPLE_HZ
from fakeout_core.media.probe import OPTIONS, VideoInfo

MAX_START_S = 3_600.0
"""Timestamps further from the video's start than this are taken for damage."""


@dataclass(frozen=True)
class Sound:
    """Sound of one video.

    Attributes:
        samples: float32 [n] in int16's range, the first of two channels, from the video's start.
        status: what became of it; ``samples`` is empty unless used or silent.
    """

    samples: np.ndarray
    status: AudioStatus


def read_audio(path: str, info: VideoInfo, config: CropConfig) -> Sound:
    """Read a video's first sound stream.

    Args:
        path: a local file that was probed.
        info: what the probe said.
        config: ``audio``, ``resample_audio`` and the limit on duration.

    Returns:
        The sound; damage ends it early, and ``unreadable`` stands for a stream that gives nothing.
    """
    nothing = np.zeros(0, np.float32)
    if not config.audio:
        return Sound(nothing, AudioStatus.DISABLED)
    if not info.has_audio:
        return Sound(nothing, AudioStatus.ABSENT)
    try:
        samples = _samples(path, info, config)
    except (av.FFmpegError, ValueError, IndexError, OverflowError):
        samples = nothing
    if len(samples) == 0:
        return Sound(nothing, AudioStatus.UNREADABLE)
    status = AudioStatus.USED if np.any(samples) else AudioStatus.SILENT
    return Sound(samples, status)


def _samples(path: str, info: VideoInfo, config: CropConfig) -> np.ndarray:
    video_start_s = float(info.times_s[0]) if len(info.times_s) else 0.0
    blocks: list[np.ndarray] = []
    start_s: float | None = None
    with av.open(path, options=dict(OPTIONS), metadata_errors="replace") as container:
        stream = container.streams.audio[0]
        rate = SAMPLE_HZ if config.resample_audio else stream.rate
        room = int(config.limits.max_duration_s * rate)
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=rate)
        for frame in _decoded(container, stream):
            if start_s is None:
                start_s = frame.time if frame.time is not None else video_start_s
            frame.pts = None
            room -= _collect(resampler.resample(frame), blocks)
            if room <= 0:
                break
        _collect(resampler.resample(None), blocks)
        end_s = _declared_end(stream)
    if not blocks or start_s is None:
        return np.zeros(0, np.float32)
    samples = np.concatenate(blocks)
    if end_s is not None and end_s > start_s:
        samples = samples[: round((end_s - start_s) * rate)]
    late_s = start_s - video_start_s
    if abs(late_s) > MAX_START_S:
        late_s = 0.0
    shift = round(late_s * rate)
    samples = np.pad(samples, (shift, 0)) if shift > 0 else samples[-shift:]
    return samples.astype(np.float32)


def _decoded(container: av.container.InputContainer, stream: av.AudioStream):
    """Decode packet by packet; a bad packet costs itself."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame))


def _collect(frames: list[av.AudioFrame], blocks: list[np.ndarray]) -> int:
    """Keep the first channel of packed stereo frames; return how many samples that were."""
    count = 0
    for frame in frames:
        left = frame.to_ndarray().reshape(-1, 2)[:, 0].copy()
        blocks.append(left)
        count += len(left)
    return count


def _declared_end(stream: av.AudioStream) -> float | None:
    """When the stream ends by its header: encoders pad the last block beyond it."""
    if not stream.duration or not stream.time_base:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
