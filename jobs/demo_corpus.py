"""The demonstration corpus: short takes of a public-domain speech, and altered copies of them.

The source is a presidential statement, a work of the US federal government (17 U.S.C. § 105). The
altered copies say in their folder how they were altered; they exist so that both labels do, and
claim nothing about the person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

import av
import cv2
import numpy as np

from fakeout_core.config import CropConfig
from fakeout_core.media.isolate import Child

TAKES_S = ((0.0, 3.0), (2.8, 5.8), (5.6, 8.7))
"""Start and end of each take, seconds; they overlap a little so that each has enough frames."""

AUDIO_SHIFT_S = 1.0
"""How far the sound of an ``audio_shift`` copy is moved against the picture."""


@dataclass(frozen=True)
class Take:
    """Decoded picture and sound.

    Attributes:
        frames: uint8 RGB [n, height, width, 3].
        rate: frames per second.
        sound: float32 [samples] in -1..1, mono.
        sound_hz: its sample rate.
    """

    frames: np.ndarray
    rate: Fraction
    sound: np.ndarray
    sound_hz: int


def build_demo_corpus(folder: Path) -> list[Path]:
    """Write the corpus; files that are there already are kept, so that reruns change nothing.

    Args:
        folder: receives ``real/``, ``altered_selfblend/``, ``altered_audio_shift/``, ``other/``
            and ``labels.csv``.

    Returns:
        The videos, sorted.
    """
    marker = folder / "labels.csv"
    if not marker.exists():
        source = resources.files("jobs") / "assets" / "speech.mp4"
        with resources.as_file(source) as path:
            speech = read_take(path)
        lines = ["path,label,manipulation,source_id"]
        for number, (start_s, end_s) in enumerate(TAKES_S, 1):
            take = cut(speech, start_s, end_s)
            name = f"take{number}.mp4"
            write_take(folder / "real" / name, take)
            face = _face_box(folder / "real" / name)
            copies = {
                "altered_selfblend": self_blended(take, face),
                "altered_audio_shift": audio_shifted(take),
            }
            lines.append(f"real/{name},0,real,take{number}")
            for method, copy in copies.items():
                write_take(folder / method / name, copy)
                lines.append(f"{method}/{name},1,{method},take{number}")
        write_take(folder / "other" / "test_card.mp4", test_card(speech))
        marker.write_text("\n".join(lines) + "\n")
    return sorted(folder.glob("*/*.mp4"))


def read_take(path: Path) -> Take:
    """Decode a whole small file."""
    frames: list[np.ndarray] = []
    sound: list[np.ndarray] = []
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        for frame in container.decode(video, audio):
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            elif isinstance(frame, av.AudioFrame):
                sound.append(frame.to_ndarray()[0])
        rate = len(frames) / (Fraction(video.duration or 1) * (video.time_base or 1))
        return Take(
            np.stack(frames),
            rate.limit_denominator(1000),
            np.concatenate(sound).astype(np.float32),
            audio.rate,
        )


def cut(take: Take, start_s: float, end_s: float) -> Take:
    """The part of a take between two times."""
    first, last = (round(float(take.rate) * at) for at in (start_s, end_s))
    begin, end = (round(take.sound_hz * at) for at in (start_s, end_s))
    return Take(take.frames[first:last], take.rate, take.sound[begin:end], take.sound_hz)


def self_blended(take: Take, box: tuple[float, float, float, float]) -> Take:
    """Blend the face with a recoloured, slightly enlarged copy of itself.

    The idea of self-blended images (Shiohara & Yamasaki, CVPR 2022): a seam and a colour step
    such as face swaps leave, without anybody else's face.
    """
    left, top, right, bottom = box
    centre = (int((left + right) / 2), int((top + bottom) / 2))
    axes = (int((right - left) / 4), int((bottom - top) / 3.4))  # the box is 1.8 faces wide
    mask = np.zeros(take.frames.shape[1:3], np.float32)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(axes[0] / 8, 1))[..., None]
    zoom = cv2.getRotationMatrix2D(centre, 1.5, 1.05)
    colour = np.array([1.10, 0.98, 0.90], np.float32)

    def blend(frame: np.ndarray) -> np.ndarray:
        size = (frame.shape[1], frame.shape[0])
        other = cv2.warpAffine(frame, zoom, size, flags=cv2.INTER_LINEAR) * colour
        return np.clip(frame * (1 - mask) + other * mask, 0, 255).astype(np.uint8)

    return _with_frames(take, blend)


def audio_shifted(take: Take) -> Take:
    """Move the sound against the picture, in a circle."""
    shift = round(AUDIO_SHIFT_S * take.sound_hz)
    return Take(take.frames, take.rate, np.roll(take.sound, shift), take.sound_hz)


def test_card(take: Take) -> Take:
    """Colour bars with the take's sound: a video in which there is nobody."""
    height, width = take.frames.shape[1:3]
    colours = np.array(
        [[191] * 3, [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0]],
        np.uint8,
    )
    bars = np.repeat(colours, -(-width // len(colours)), axis=0)[:width]
    frame = np.broadcast_to(bars, (height, width, 3))
    return Take(np.stack([frame] * 36), take.rate, take.sound[: 3 * take.sound_hz], take.sound_hz)


def _with_frames(take: Take, change: Callable[[np.ndarray], np.ndarray]) -> Take:
    frames = np.stack([change(frame) for frame in take.frames])
    return Take(frames, take.rate, take.sound, take.sound_hz)


def _face_box(path: Path) -> tuple[float, float, float, float]:
    with Child("fakeout_core.crop:crop_video") as child:
        return child.call(str(path), CropConfig(audio=False)).tracks[0].box


def write_take(path: Path, take: Take) -> None:
    """Encode a take as H.264 and AAC; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=take.rate, options={"crf": "16"})
        video.height, video.width = take.frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=take.sound_hz, layout="mono")
        for frame in take.frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode())
        for packet in _encode_sound(audio, take):
            container.mux(packet)
    part.replace(path)


def _encode_sound(stream: av.AudioStream, take: Take) -> Iterable[av.Packet]:
    block = 1024
    for start in range(0, len(take.sound), block):
        samples = np.ascontiguousarray(take.sound[None, start : start + block])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate, frame.pts = take.sound_hz, start
        yield from stream.encode(frame)
    yield from stream.encode()
