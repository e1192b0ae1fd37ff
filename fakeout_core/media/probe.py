"""What a video declares about itself: read from its header, checked against the limits."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from av.error import FFmpegError

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.bmff import Movie, Track, read_movie
from fakeout_core.media.opening import open_container
from fakeout_core.media.sniff import HEAD_BYTES, sniff

_COMMON = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
_OLDER = ("h263", "flv1", "vp6f", "vp6", "msmpeg4v2", "msmpeg4v3", "svq3", "cinepak", "dvvideo")
_STUDIO = ("prores", "dnxhd", "qtrle", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png")
VIDEO_CODECS = frozenset(_COMMON + _OLDER + _STUDIO)
"""Codecs we let run. FFmpeg has hundreds; each is a parser of hostile bytes."""

_BT601_MATRICES = frozenset({2, 4, 5, 6})
"""Tags under which every decoder converts with BT.601: unspecified, FCC, BT.470BG, SMPTE 170M."""

_LARGEST_FPS = 1_000


@dataclass(frozen=True)
class VideoInfo:
    """What a video declares.

    Attributes:
        container: by magic bytes.
        codec: of the video stream.
        pix_fmt: FFmpeg's name; empty if the header does not say.
        width: px, after rotation.
        height: px, after rotation.
        rotation: degrees clockwise that turn the decoded picture upright: 0, 90, 180 or 270.
        fps: declared mean frame rate; None if the header does not say.
        duration_s: declared length in seconds; None if the header does not say.
        n_frames_declared: by the header; 0 if it does not say.
        has_audio: whether a sound stream is declared.
        audio_codec: of the first sound stream; empty without one.
        is_variable_rate: the header's mean rate is not its base rate. A hint: the packet table
            that ``open_reader`` makes decides.
        has_edit_list: an edit hides or moves pictures; a lone shift of the start is none.
        is_full_range: luma from 0 to 255.
        is_bt601: the colour tag leads every decoder to the BT.601 matrix.
        is_interlaced: the header says fields.
        bits: per component; 0 if the header does not say.
        has_alpha: the pixel format carries transparency, which is left out.
        is_fragmented: MP4 in fragments.
        start_s: when the pictures start on the container's clock, to place sound by.
    """

    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    rotation: int
    fps: Fraction | None
    duration_s: float | None
    n_frames_declared: int
    has_audio: bool
    audio_codec: str = ""
    is_variable_rate: bool = False
    has_edit_list: bool = False
    is_full_range: bool = False
    is_bt601: bool = True
    is_interlaced: bool = False
    bits: int = 8
    has_alpha: bool = False
    is_fragmented: bool = False
    start_s: float = 0.0


def probe(source: str | BinaryIO, limits: MediaLimits | None = None) -> VideoInfo:
    """Read a video's header. At most one picture is decoded.

    Args:
        source: path of a local file, or a seekable binary stream.
        limits: bounds on one video; the defaults if None.

    Returns:
        What it declares.

    Raises:
        MediaError: a permanent reason: what ``sniff`` refuses; ``too_large`` by bytes, pixels or
            duration; ``no_video``; ``forbidden`` for data references; ``unsupported`` for codecs,
            mirrored or obliquely turned pictures; ``unreadable``; or ``not_found``.
    """
    bounds = limits or MediaLimits()
    if isinstance(source, str):
        _check_file(source)
        with Path(source).open("rb") as stream:
            return _probe(stream, bounds)
    return _probe(source, bounds)


def _check_file(path: str) -> None:
    """Refuse what is no regular file: opening a pipe or a device may hang."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (a Path would refuse embedded NULs otherwise)
    except FileNotFoundError:
        raise MediaError(Reason.NOT_FOUND, "there is no such file") from None
    except (OSError, ValueError) as error:
        raise MediaError(Reason.STORAGE, f"the file cannot be read: {error}") from None
    if not stat.S_ISREG(mode):
        raise MediaError(Reason.FORBIDDEN, f"not a regular file: {stat.filemode(mode)}")


def _probe(stream: BinaryIO, limits: MediaLimits) -> VideoInfo:
    size = stream.seek(0, os.SEEK_END)
    if size > limits.max_bytes:
        raise MediaError(Reason.TOO_LARGE, f"{size} bytes; at most {limits.max_bytes}")
    stream.seek(0)
    container = sniff(stream.read(HEAD_BYTES))
    movie = Movie()
    if container in ("mp4", "mov", "3gp"):
        movie = read_movie(stream, size)
        if movie.video is not None:
            _check_pixels(movie.video.width, movie.video.height, limits)
    with open_container(stream, container, limits.max_pixels) as opened:
        if not opened.streams.video:
            kinds = ", ".join(sorted({item.type for item in opened.streams})) or "nothing"
            raise MediaError(Reason.NO_VIDEO, f"no video stream; found {kinds}")
        try:
            return _describe(opened, container, movie, limits)
        except FFmpegError as error:
            raise MediaError(Reason.UNREADABLE, f"the header makes no sense: {error}") from None


def _describe(opened: Any, container: str, movie: Movie, limits: MediaLimits) -> VideoInfo:
    stream: Any = opened.streams.video[0]
    if stream.disposition & stream.disposition.__class__.attached_pic:
        raise MediaError(Reason.NO_VIDEO, "sound with a cover picture")
    context = stream.codec_context
    codec = str(getattr(getattr(context, "codec", None), "canonical_name", "unknown"))
    if codec not in VIDEO_CODECS:
        raise MediaError(Reason.UNSUPPORTED, f"video codec {codec!r} is not among those we decode")
    _check_pixels(context.width, context.height, limits)
    track = movie.video or Track()
    rotation = _right_angle(track)
    if container in ("matroska", "webm"):
        rotation = _shown_rotation(opened, stream)
    width, height = context.width, context.height
    if rotation in (90, 270):
        width, height = height, width
    duration_s = _duration_s(opened, stream)
    if duration_s is not None and duration_s > limits.max_duration_s:
        raise MediaError(
            Reason.TOO_LARGE, f"{duration_s:.0f} s long; at most {limits.max_duration_s:.0f}"
        )
    fps, base = _positive(stream.average_rate), _positive(stream.base_rate)
    pixels = context.format
    names = [] if pixels is None else [component for component in pixels.components]
    audio = opened.streams.audio
    return VideoInfo(
        container=container,
        codec=codec,
        pix_fmt=context.pix_fmt or "",
        width=width,
        height=height,
        rotation=rotation,
        fps=fps or base,
        duration_s=duration_s,
        n_frames_declared=max(0, stream.frames),
        has_audio=bool(audio),
        audio_codec=str(audio[0].codec_context.name) if audio and audio[0].codec_context else "",
        is_variable_rate=bool(fps and base and abs(fps / base - 1) > 0.03),
        has_edit_list=_is_edited(track),
        is_full_range=int(context.color_range or 0) == 2 or "yuvj" in (context.pix_fmt or ""),
        is_bt601=int(context.colorspace) in _BT601_MATRICES,
        is_interlaced=int(context.field_order or 0) > 1,
        bits=max((component.bits for component in names), default=0),
        has_alpha=any(component.is_alpha for component in names),
        is_fragmented=movie.is_fragmented,
        start_s=float((stream.start_time or 0) * (stream.time_base or 0)),
    )


def _check_pixels(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise MediaError(
            Reason.TOO_LARGE, f"pictures of {width}×{height}; at most {limits.max_pixels} pixels"
        )


def _right_angle(track: Track) -> int:
    if track.is_mirrored:
        raise MediaError(Reason.UNSUPPORTED, "the display matrix mirrors the picture")
    turns = track.rotation / 90
    if abs(turns - round(turns)) > 0.02:
        raise MediaError(Reason.UNSUPPORTED, f"turned by {track.rotation:.1f}°, not by quarters")
    return 90 * (round(turns) % 4)


def _shown_rotation(opened: Any, stream: Any) -> int:
    """Rotation of the first picture: Matroska's header is not walked, so FFmpeg must say it."""
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    try:
        frame = next(opened.decode(stream), None)
    except (FFmpegError, ValueError):
        return 0  # the reader meets the same damage and judges it
    turned = 0.0 if frame is None else -float(frame.rotation)
    return _right_angle(Track(rotation=turned))


def _is_edited(track: Track) -> bool:
    """Whether edits do more than shift the start (one edit, perhaps after an empty one)."""
    real = [edit for edit in track.edits if edit[1] >= 0]
    return len(real) > 1 or len(track.edits) > 2 or any(rate != 1.0 for _, _, rate in real)


def _duration_s(opened: Any, stream: Any) -> float | None:
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    return opened.duration / 1_000_000 if opened.duration and opened.duration > 0 else None


def _positive(rate: Fraction | None) -> Fraction | None:
    """A rate that can be one; None for FFmpeg's 0/0, 0/1 and absurd values."""
    return rate if rate is not None and 0 < rate <= _LARGEST_FPS else None
