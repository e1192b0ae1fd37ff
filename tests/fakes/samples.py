"""Small videos made on the spot: every kind the readers must take, or refuse by name."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np


def pictures(n: int, width: int, height: int, seed: int = 0) -> list[np.ndarray]:
    """A textured picture that drifts; each frame tells its number by a grey corner.

    Returns:
        uint8 RGB [height, width, 3] each.
    """
    rng = np.random.default_rng(seed)
    grid = (height // 8 + 2, width // 8 + n // 4 + 2)
    grey, tint = rng.integers(40, 200, (*grid, 1)), rng.integers(0, 40, (*grid, 3))
    coarse = (grey + tint).astype(np.uint8)
    wide = cv2.resize(coarse, (width + 2 * n, height), interpolation=cv2.INTER_CUBIC)
    frames = [np.ascontiguousarray(wide[:, 2 * i : 2 * i + width]) for i in range(n)]
    for i, frame in enumerate(frames):
        frame[:16, :16] = i * 4 % 256
    return frames


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: Fraction | int = 30,
    options: dict[str, str] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    rotation: int = 0,
    tags: tuple[int, int] | None = None,
    sound: np.ndarray | None = None,
    sound_hz: int = 44_100,
    sound_codec: str = "aac",
    sound_start_s: float = 0.0,
) -> Path:
    """Encode frames, and sound if given.

    Args:
        path: file to write.
        frames: uint8 RGB.
        codec: PyAV's encoder name.
        pix_fmt: of the encoded stream.
        fps: constant rate, and the clock of ``stamps``.
        options: of the encoder.
        container: muxer; by the suffix if None.
        container_options: of the muxer.
        stamps: time of each frame in 1/fps, for variable rates.
        rotation: counterclockwise turn noted in the display matrix.
        tags: colour matrix and range, FFmpeg's numbers.
        sound: float [n] or [n, channels] in [-1, 1].
        sound_hz: its rate.
        sound_codec: its encoder.
        sound_start_s: when it starts.

    Returns:
        ``path``.
    """
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream: Any = output.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if options:
            stream.options = options
        if rotation:
            stream.set_display_rotation(rotation)
        if tags:
            stream.codec_context.colorspace, stream.codec_context.color_range = tags
        voice: Any = None
        if sound is not None:
            layout = "mono" if sound.ndim == 1 else "stereo"
            voice = output.add_stream(sound_codec, rate=sound_hz, layout=layout)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = 1 / Fraction(fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if voice is not None and sound is not None:
            _encode_sound(output, voice, sound, sound_hz, sound_start_s)
    return path


def write_sound(path: Path, sound: np.ndarray, hz: int = 44_100, codec: str = "aac") -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as output:
        _encode_sound(output, output.add_stream(codec, rate=hz, layout="mono"), sound, hz, 0.0)
    return path


def with_hidden_start(path: Path, source: Path, n_hidden: int) -> Path:
    """Copy a video so that an edit list hides its first frames."""
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(source)) as opened, av.open(str(path), "w", options=options) as output:
        stream = opened.streams.video[0]
        copy = output.add_stream_from_template(stream)
        assert stream.time_base is not None
        assert stream.average_rate is not None
        back = round(n_hidden / stream.average_rate / stream.time_base)
        for packet in opened.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= back
            packet.dts -= back
            packet.stream = copy
            output.mux(packet)
    return path


def tone(seconds: float, hz: int = 44_100, pitch: float = 440.0) -> np.ndarray:
    """A sine at half volume, float [n]."""
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * hz)) / hz)


def _encode_sound(output: Any, voice: Any, sound: np.ndarray, hz: int, start_s: float) -> None:
    data = (np.asarray(sound) * 32_767).astype(np.int16)
    channels = 1 if data.ndim == 1 else data.shape[1]
    size = voice.codec_context.frame_size or 1_024
    resampler = av.AudioResampler(
        format=voice.codec_context.format, layout=voice.codec_context.layout, rate=hz
    )
    for start in range(0, len(data), size):
        block = np.ascontiguousarray(data[start : start + size]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            block, format="s16", layout="mono" if channels == 1 else "stereo"
        )
        frame.sample_rate = hz
        frame.time_base = Fraction(1, hz)
        frame.pts = start + round(start_s * hz)
        for made in resampler.resample(frame):
            output.mux(voice.encode(made))
    output.mux(voice.encode(None))
