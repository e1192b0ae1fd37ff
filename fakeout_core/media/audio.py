"""The sound of a video, as the audio front end wants it: one channel, placed on the video's clock.

The published script makes a stereo wav with ffmpeg and uses its first channel, at whatever rate the
file has. Here sound is brought to 44.1 kHz (``CropConfig.resample_audio`` off repeats the script),
and every stretch lies where its timestamps say, so a stream that starts late or has a hole stays
aligned with the picture. Windows are spread over sound and picture alike, so where the two end more
than ``_END_S`` apart the sound is cut, or filled with silence, to the picture's end.

Source: ``spec/fakeout.md`` sections 9 and 13, ``spec/facepipe.md`` section 13 row 26.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from fakeout_core.clip import AudioStatus
from fakeout_core.config import CropConfig
from fakeout_core.errors import MediaError
from fakeout_core.media.logmel import SAMPLE_HZ
from fakeout_core.media.opening import open_container
from fakeout_core.media.probe import VideoInfo

_GAP_S = 0.05
"""A jump in time beyond this is a hole or an overlap; less is rounding."""

_END_S = 0.5
"""Sound and picture of one recording end this close together."""

_MAX_RATE_HZ = 384_000
_MAX_STRETCHES = 10_000


@dataclass(frozen=True)
class Sound:
    """Sound of one video.

    Attributes:
        samples: float32 [n] in int16's range, the first of two channels, from the first picture's
            time on; empty unless ``status`` is used or silent.
        status: what became of it.
    """

    samples: np.ndarray
    status: AudioStatus


@dataclass
class _Stretch:
    """Sound without a hole."""

    start_s: float
    blocks: list[np.ndarray] = field(default_factory=list[np.ndarray])


def read_audio(path: str, info: VideoInfo, config: CropConfig) -> Sound:
    """Read a video's first sound stream, as far as pictures are looked at.

    Args:
        path: a local file that was probed.
        info: what ``probe`` said.
        config: ``audio``, ``resample_audio``, ``max_seconds`` and the limits.

    Returns:
        The sound. Damage ends it early or leaves silence; ``unreadable`` stands for a stream that
        gives nothing.

    Raises:
        MemoryError: over the process's limit.
    """
    nothing = np.zeros(0, np.float32)
    if not config.audio:
        return Sound(nothing, AudioStatus.DISABLED)
    if not info.has_audio:
        return Sound(nothing, AudioStatus.ABSENT)
    try:
        samples = _samples(path, info, config)
    except MemoryError:
        raise
    except (FFmpegError, MediaError, ValueError, IndexError, OverflowError):
        samples = nothing
    if len(samples) == 0:
        return Sound(nothing, AudioStatus.UNREADABLE)
    return Sound(samples, AudioStatus.USED if np.any(samples) else AudioStatus.SILENT)


def _samples(path: str, info: VideoInfo, config: CropConfig) -> np.ndarray:
    with open_container(path, info.container, config.limits.max_pixels) as opened:
        stream = opened.streams.audio[0]
        rate = SAMPLE_HZ if config.resample_audio else int(stream.rate or SAMPLE_HZ)
        if rate > _MAX_RATE_HZ:
            raise ValueError(f"a sampling rate of {rate} Hz")
        end_s = info.start_s + config.max_seconds
        declared_s = _declared_end_s(stream)
        if declared_s is not None and declared_s > info.start_s:
            end_s = min(end_s, declared_s)  # encoders pad the last block beyond the declared end
        stretches = _stretches(opened, stream, rate, end_s)
    timeline = _placed(stretches, info.start_s, end_s, rate)
    if len(timeline) == 0 or info.duration_s is None:
        return timeline
    picture = round(min(info.duration_s, config.max_seconds) * rate)
    if abs(len(timeline) - picture) <= _END_S * rate:
        return timeline
    return np.pad(timeline[:picture], (0, max(0, picture - len(timeline))))


def _stretches(opened: Any, stream: Any, rate: int, end_s: float) -> list[_Stretch]:
    """Decode and resample; a jump in time begins a new stretch."""
    stretches: list[_Stretch] = []
    resampler: Any = None
    expected_s = 0.0
    for frame in _decoded(opened, stream):
        start_s = frame.time if frame.time is not None else expected_s
        if start_s >= end_s or len(stretches) > _MAX_STRETCHES:
            break
        if resampler is None or abs(start_s - expected_s) > _GAP_S:
            if resampler is not None:
                _collect(resampler.resample(None), stretches[-1])
            resampler = av.AudioResampler(format="s16", layout="stereo", rate=rate)
            stretches.append(_Stretch(start_s))
        expected_s = start_s + frame.samples / frame.sample_rate
        frame.pts = None
        _collect(resampler.resample(frame), stretches[-1])
    if resampler is not None:
        _collect(resampler.resample(None), stretches[-1])
    return stretches


def _placed(stretches: list[_Stretch], start_s: float, end_s: float, rate: int) -> np.ndarray:
    """Lay stretches on one timeline from ``start_s``; holes are silent."""
    whole = [(item.start_s, np.concatenate(item.blocks)) for item in stretches if item.blocks]
    if not whole:
        return np.zeros(0, np.float32)
    last_s = min(end_s, max(at_s + len(samples) / rate for at_s, samples in whole))
    timeline = np.zeros(max(0, round((last_s - start_s) * rate)), np.float32)
    for at_s, samples in whole:
        offset = round((at_s - start_s) * rate)
        part = samples[max(0, -offset) :][: max(0, len(timeline) - max(0, offset))]
        timeline[max(0, offset) : max(0, offset) + len(part)] = part
    return timeline


def _decoded(opened: Any, stream: Any) -> Generator[Any]:
    """Decode packet by packet; a bad packet costs itself, a lost demuxer the rest."""
    packets = iter(opened.demux(stream))
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):  # among them a packet said to be of gigabytes
            return
        try:
            frames = packet.decode()
        except EOFError:
            return
        except MemoryError:
            raise
        except (FFmpegError, ValueError):
            continue
        yield from frames


def _collect(frames: list[Any], stretch: _Stretch) -> None:
    """Keep the first channel of packed stereo frames, int16."""
    for frame in frames:
        stretch.blocks.append(frame.to_ndarray().reshape(-1, 2)[:, 0].copy())


def _declared_end_s(stream: Any) -> float | None:
    if not stream.duration or stream.duration < 0 or not stream.time_base:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
