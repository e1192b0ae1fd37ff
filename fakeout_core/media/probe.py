"""What a video declares, and when each of its frames is shown; nothing is decoded here.

The packets are walked once (no decoding): their timestamps tell variable rates and edit lists
apart, which headers do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.sniff import HEAD_BYTES, sniff

OPTIONS = {
    # Without these FFmpeg reads whatever a playlist or concat script names.
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,mpeg,mpegvideo",
    "protocol_whitelist": "file",
}
"""Passed to every ``av.open``."""

DECORD_CONTAINERS = frozenset({"mp4", "mov", "matroska", "webm", "avi"})
DECORD_CODECS = frozenset({"h264", "hevc", "mpeg4", "vp8", "vp9"})

BT601 = frozenset({2, 5, 6})
"""FFmpeg's colour space numbers that decoders convert with the BT.601 matrix: unspecified,
BT.470BG and SMPTE 170M. FacePipe converts everything so."""

PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p"})


@dataclass(frozen=True)
class VideoInfo:
    """A video, as declared.

    Attributes:
        container: by magic bytes.
        codec: of the video stream.
        pix_fmt: pixel format of the video stream.
        width: px, after rotation.
        height: px, after rotation.
        rotation: degrees clockwise that the picture is turned for showing: 0, 90, 180 or 270.
        fps: mean frame rate.
        duration_s: length in seconds.
        n_frames_declared: frames in the header, 0 if it says nothing.
        has_audio: whether there is a sound stream.
        is_variable_rate: whether frames are unevenly spaced.
        has_edit_list: whether packets are hidden, or shown later than they are stored.
        times_s: when each shown frame is shown, float64 [n], ascending, by packet; empty from a
            probe of the header alone.
        colour_space: FFmpeg's number of the matrix.
    """

    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    rotation: int
    fps: Fraction
    duration_s: float
    n_frames_declared: int
    has_audio: bool
    is_variable_rate: bool
    has_edit_list: bool
    times_s: np.ndarray
    colour_space: int

    @property
    def is_plain(self) -> bool:
        """Whether decord gives the frames that it should, in the colours that it should."""
        return (
            self.container in DECORD_CONTAINERS
            and self.codec in DECORD_CODECS
            and self.pix_fmt in PLANAR_8_BIT
            and self.colour_space in BT601
            and not self.is_variable_rate
            and not self.has_edit_list
            and self.rotation == 0
            and len(self.times_s) > 0
        )


def probe(source: str | BinaryIO, limits: MediaLimits, *, walk: bool = True) -> VideoInfo:
    """Look at a video without decoding it.

    Args:
        source: a local path, or a seekable binary file.
        limits: what is refused as ``too_large``.
        walk: whether to walk all packets; without it timestamps stay empty and the header is
            believed.

    Returns:
        What it declares.

    Raises:
        MediaError: any reason that ``sniff`` gives; ``unreadable``, ``no_video``, ``unsupported``
            or ``too_large``.
    """
    container_name = _sniffed(source, limits)
    try:
        with av.open(source, options=dict(OPTIONS), metadata_errors="replace") as container:
            if not container.streams.video:
                raise MediaError(Reason.NO_VIDEO, "no video stream")
            stream = container.streams.video[0]
            _check(stream, limits)
            times, hidden = _packets(container, stream, limits) if walk else (np.empty(0), 0)
            return _info(container_name, container, stream, times, hidden)
    except av.FFmpegError as error:
        raise MediaError(Reason.UNREADABLE, f"demuxer: {_text(error)}") from None
    except (ValueError, IndexError, OverflowError, UnicodeError) as error:
        raise MediaError(Reason.UNREADABLE, f"header makes no sense: {error}") from None


def _sniffed(source: str | BinaryIO, limits: MediaLimits) -> str:
    if isinstance(source, str):
        size = Path(source).stat().st_size
        if size > limits.max_bytes:
            raise MediaError(Reason.TOO_LARGE, f"{size} bytes, limit {limits.max_bytes}")
        with Path(source).open("rb") as file:
            return sniff(file.read(HEAD_BYTES))
    head = source.read(HEAD_BYTES)
    source.seek(0)
    return sniff(head)


def _check(stream: av.VideoStream, limits: MediaLimits) -> None:
    context = stream.codec_context
    if context.width <= 0 or context.height <= 0:
        raise MediaError(Reason.UNREADABLE, "no picture size in the header")
    if context.width * context.height > limits.max_pixels:
        size = f"{context.width}×{context.height}"
        raise MediaError(Reason.TOO_LARGE, f"{size} px, limit {limits.max_pixels} in all")
    if not context.pix_fmt:
        raise MediaError(Reason.UNSUPPORTED, f"codec {context.name}: unknown pixel format")
    if stream.duration and stream.time_base:
        length_s = float(stream.duration * stream.time_base)
        if length_s > limits.max_duration_s:
            raise MediaError(
                Reason.TOO_LARGE, f"{length_s:.0f} s long, limit {limits.max_duration_s:.0f} s"
            )


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, limits: MediaLimits
) -> tuple[np.ndarray, int]:
    """Times of the shown packets in seconds, ascending, and how many are hidden."""
    times: list[int] = []
    hidden = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_discard:
                hidden += 1
            else:
                times.append(packet.pts if packet.pts is not None else packet.dts or 0)
            if len(times) > limits.max_frames:
                raise MediaError(Reason.TOO_LARGE, f"more than {limits.max_frames} frames")
    except av.FFmpegError:
        pass  # the rest is damaged; what comes before it may still be used
    base = float(stream.time_base or Fraction(1, 1000))
    return np.sort(np.asarray(times, np.float64)) * base, hidden


def _info(
    container_name: str,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    times: np.ndarray,
    hidden: int,
) -> VideoInfo:
    context = stream.codec_context
    rotation = _rotation(stream)
    width, height = context.width, context.height
    if rotation in (90, 270):
        width, height = height, width
    fps = _rate(stream, times)
    if len(times):
        duration_s = float(times[-1] - times[0]) + float(1 / fps)
    elif stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    else:
        duration_s = (container.duration or 0) / 1e6
    return VideoInfo(
        container=container_name,
        codec=context.name,
        pix_fmt=str(context.pix_fmt),
        width=width,
        height=height,
        rotation=rotation,
        fps=fps,
        duration_s=duration_s,
        n_frames_declared=max(0, stream.frames) if stream.frames < 1 << 31 else 0,
        has_audio=bool(container.streams.audio),
        is_variable_rate=_is_variable(times),
        has_edit_list=hidden > 0,
        times_s=times,
        colour_space=int(context.colorspace or 0) or 2,
    )


def _rate(stream: av.VideoStream, times: np.ndarray) -> Fraction:
    declared = stream.average_rate or stream.guessed_rate or stream.base_rate
    if declared and 0 < declared <= 1000:
        return Fraction(declared)
    if len(times) > 1 and times[-1] > times[0]:
        return Fraction((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1001)
    raise MediaError(Reason.UNREADABLE, f"frame rate {declared} makes no sense")


def _is_variable(times: np.ndarray) -> bool:
    """Whether some gap is half a frame off the usual one (rounding of time bases is less)."""
    gaps = np.diff(times)
    return len(gaps) > 1 and bool(np.max(np.abs(gaps - np.median(gaps))) > np.median(gaps) / 2)


def _rotation(stream: av.VideoStream) -> int:
    """Degrees clockwise, from the display matrix, to the nearest quarter turn."""
    for side in getattr(stream, "side_data", None) or ():
        if getattr(getattr(side, "type", None), "name", "") == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(side), np.int32, 4).astype(np.float64)
            angle = np.degrees(np.arctan2(matrix[1], matrix[0]))
            return round(angle / 90) % 4 * 90
    return 0


def _text(error: BaseException) -> str:
    return str(error).split("; last error log")[0][:200]
