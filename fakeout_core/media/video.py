"""One pass over a video's frames, by the decoder that gets this file right.

decord decodes plain files. PyAV decodes what decord is known to get wrong or cannot do as the
reference does: ``choose_decoder`` holds the rule, and says why. On plain files both give the same
pixels, which a test pins. Frames always come in order, once; nothing seeks, because decord returns
wrong frames after a seek into an open group of pictures.

Source: measurements in ``docs/decisions/0020-decoder-roles.md``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import cv2
import numpy as np
from av.error import FFmpegError

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.opening import open_container
from fakeout_core.media.packets import PacketTable, read_packets
from fakeout_core.media.probe import VideoInfo
from fakeout_core.media.rate import TARGET_FPS, fps_map, reference_rate, times_map

Decoder = Literal["decord", "pyav"]
Wanted = Callable[[int], bool]

_PLAIN_CONTAINERS = frozenset({"mp4", "mov", "3gp", "matroska", "webm"})
_PLAIN_CODECS = frozenset({"h264", "hevc", "mpeg4", "vp8", "vp9"})
_ANY_FAULT = 1e-9
"""decord's ``fault_tol``: raise at the first frame it would fill in with an earlier one."""

_DEMUXER_ERRORS = 8
"""So often the demuxer may stumble and be asked to go on."""


class Frame(Protocol):
    """One picture in the file's own order.

    Attributes:
        index: from 0.
        time_s: when it is shown, from the first frame's time.
    """

    index: int
    time_s: float

    def bgr(self) -> np.ndarray:
        """uint8 [height, width, 3], BT.601, upright. Raises LookupError if it was not wanted."""
        ...

    def rgb(self) -> np.ndarray:
        """The same in RGB order."""
        ...


def choose_decoder(info: VideoInfo, table: PacketTable) -> tuple[Decoder, str]:
    """Pick the decoder of a file.

    Returns:
        The decoder, and the rule that picked PyAV; empty for decord.
    """
    declared = info.n_frames_declared
    rules = (
        (importlib.util.find_spec("decord") is None, "no_decord"),
        (info.container not in _PLAIN_CONTAINERS, f"container:{info.container}"),
        (info.codec not in _PLAIN_CODECS, f"codec:{info.codec}"),
        (info.pix_fmt != "yuv420p", f"pixels:{info.pix_fmt or 'unknown'}"),
        (bool(info.width % 2 or info.height % 2), "odd_size"),
        (info.rotation != 0, "rotation"),
        (not info.is_bt601, "colour_tag"),
        (info.is_full_range, "full_range"),
        (info.is_interlaced, "interlaced"),
        (info.has_edit_list or table.n_hidden > 0, "edit_list"),
        (table.is_variable, "variable_rate"),
        (info.is_fragmented, "fragmented"),
        (table.is_damaged, "damaged"),
        (table.is_whole and declared not in (0, table.n_packets), "frame_count"),
        (len(table.times_s) == 0, "no_packets"),
    )
    for applies, name in rules:
        if applies:
            return "pyav", name
    return "decord", ""


def open_reader(
    path: str,
    info: VideoInfo,
    *,
    limits: MediaLimits | None = None,
    max_seconds: float = 59.0,
    decoder: Decoder | None = None,
) -> VideoReader:
    """Open a probed video for one pass.

    Args:
        path: of a local file.
        info: what ``probe`` said of it.
        limits: bounds on one video; the defaults if None.
        max_seconds: later frames are not read.
        decoder: overrules ``choose_decoder``; for tests and comparisons.

    Returns:
        A reader; close it, or use it as a context manager.

    Raises:
        MediaError: as ``read_packets``.
    """
    bounds = limits or MediaLimits()
    table = read_packets(path, info, bounds, max_seconds)
    chosen, rule = choose_decoder(info, table)
    if decoder is not None:
        chosen, rule = decoder, "asked"
    return VideoReader(path, info, table, bounds, max_seconds, chosen, rule)


class VideoReader:
    """Frames of one video in order.

    Attributes:
        decoder: who decodes: ``decord``, or ``pyav``, also if it had to take over.
        rule: why PyAV; empty for decord.
        width: px, upright.
        height: px, upright.
        fps: declared mean rate.
        is_variable: frame times decide, not indices.
        n_expected: frames that the packet table promises; a damaged file may yield fewer.
        n_frames: frames yielded so far.
        n_errors: decoding errors met so far.
        start_s: time of the first frame on the container's clock.
        times_s: time of each frame yielded so far, from the first, list of float seconds.
    """

    def __init__(
        self,
        path: str,
        info: VideoInfo,
        table: PacketTable,
        limits: MediaLimits,
        max_seconds: float,
        decoder: Decoder,
        rule: str,
    ) -> None:
        self.decoder: Decoder = decoder
        self.rule = rule
        self.width, self.height = info.width, info.height
        self.fps = table.fps
        self.is_variable = table.is_variable
        self.start_s = table.start_s
        self.n_expected = min(
            int(np.searchsorted(table.times_s, max_seconds)) if max_seconds else 0,
            limits.max_frames,
        )
        self.n_frames = 0
        self.n_errors = 0
        self.times_s: list[float] = []
        self._path, self._info, self._table = path, info, table
        self._limits, self._max_seconds = limits, max_seconds
        self._open: Generator[Frame] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Release the decoder; reading ends."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def end_s(self) -> float:
        """When the last frame read so far ends, from the first frame's time."""
        if self.n_frames == 0:
            return 0.0
        if self.n_frames < len(self._table.times_s) and not self.n_errors:
            return float(self._table.times_s[self.n_frames])
        step = self._table.end_s - float(self._table.times_s[-1]) if len(self._table.times_s) else 0
        return self.times_s[-1] + step

    def frames(self, wanted: Wanted | None = None) -> Iterator[Frame]:
        """Yield every frame, once, in order.

        Args:
            wanted: asked just before a frame is decoded whether its pixels will be looked at; it
                may depend on earlier frames. Pixels of other frames may be missing (``LookupError``
                when touched). All are wanted if None.

        Yields:
            Frames, at most ``limits.max_frames`` and only those shown before ``max_seconds``.

        Raises:
            MediaError: after the last frame: ``no_video``, none came; ``too_short``, fewer than
                ``limits.min_frames``. ``unreadable`` or ``unsupported`` from the decoder.
        """
        if self._open is not None or self.n_frames:
            raise ValueError("a video is read once; open it again")
        self._open = self._frames(wanted or (lambda _: True))
        return self._open

    def output_map(self, n_frames: int | None = None) -> np.ndarray:
        """The native frame behind every frame at 29 fps.

        Args:
            n_frames: of the source; what was read so far if None. Give ``n_expected`` to know
                the windows before reading.

        Returns:
            int32 [n_out], at most 29 × ``max_seconds`` long.

        Source: ``fakeout_core.media.rate``; constant rates as FacePipe and FakeOut together.
        """
        limit = int(TARGET_FPS * self._max_seconds)
        count = self.n_frames if n_frames is None else n_frames
        if not self.is_variable:
            return fps_map(count, reference_rate(self.fps), limit=limit)
        if n_frames is None:
            return times_map(np.array(self.times_s), self.end_s, limit=limit)
        times = np.append(self._table.times_s, self._table.end_s)[: count + 1]
        return times_map(times[:-1], float(times[-1]), limit=limit)

    def _frames(self, wanted: Wanted) -> Generator[Frame]:
        if self.decoder == "decord":
            yield from self._from_decord(wanted)
        if self.decoder == "pyav":
            yield from self._from_pyav()
        if self.n_frames == 0:
            promised = max(self._info.n_frames_declared, len(self._table.times_s))
            raise MediaError(Reason.NO_VIDEO, f"no frame can be decoded; {promised} declared")
        if self.n_frames < self._limits.min_frames:
            raise MediaError(
                Reason.TOO_SHORT, f"{self.n_frames} frames; at least {self._limits.min_frames}"
            )

    def _count(self, time_s: float) -> None:
        self.n_frames += 1
        self.times_s.append(time_s)

    def _from_decord(self, wanted: Wanted) -> Generator[Frame]:
        """Frames from decord; leaves ``decoder`` at ``pyav`` if PyAV must go on from here."""
        times = self._table.times_s.tolist()
        try:
            source = _Decord(self._path, self._info, len(times))
            for index in range(self.n_expected):
                pixels = source.take(wanted(index))
                self._count(times[index])
                yield _Pixels(index, times[index], pixels)
        except _DecordFailedError as error:
            self.decoder, self.rule = "pyav", str(error)

    def _from_pyav(self) -> Generator[Frame]:
        """Frames from PyAV, beginning after those already yielded."""
        skip = self.n_frames
        info = self._info
        turns = -(info.rotation // 90) % 4
        size = (self.height, self.width) if turns % 2 else (self.width, self.height)
        unit_s = 1.0 / float(self.fps)
        with open_container(self._path, info.container, self._limits.max_pixels) as opened:
            stream = opened.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            index, start, last = 0, None, 0.0
            for frame in self._decoded(opened, stream):
                if frame.width * frame.height > self._limits.max_pixels:
                    raise MediaError(Reason.TOO_LARGE, f"a frame of {frame.width}×{frame.height}")
                stamp = frame.time
                if stamp is not None and start is None:
                    start = stamp
                time_s = last + unit_s if stamp is None or start is None else stamp - start
                time_s = max(last, time_s) if index else 0.0
                if time_s >= self._max_seconds or index >= self._limits.max_frames:
                    return
                last, index = time_s, index + 1
                if index > skip:
                    self._count(time_s)
                    yield _Picture(index - 1, time_s, frame, turns, size)

    def _decoded(self, opened: Any, stream: Any) -> Generator[Any]:
        """Decode packet by packet: a bad one costs itself, not what follows."""
        demuxer_errors = 0
        while demuxer_errors < _DEMUXER_ERRORS:
            packets = iter(opened.demux(stream))
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except (FFmpegError, ValueError, OverflowError):
                    self.n_errors += 1
                    demuxer_errors += 1
                    break
                try:
                    pictures = packet.decode()
                except EOFError:
                    return
                except MemoryError:
                    raise
                except (FFmpegError, ValueError, OverflowError):
                    self.n_errors += 1
                    continue
                yield from pictures


class _DecordFailedError(Exception):
    """decord cannot go on; the text is the rule that PyAV then serves under."""


class _Decord:
    """decord, read strictly in order.

    ``skip_frames`` spares the conversion of frames nobody wants. Across a key frame it would seek,
    and then return wrong frames after an open group of pictures, so frames beside key frames are
    always taken.
    """

    def __init__(self, path: str, info: VideoInfo, n_expected: int) -> None:
        decord: Any = importlib.import_module("decord")  # heavy, and absent on some platforms
        self._errors = (decord.DECORDError, RuntimeError, AssertionError, UnicodeError)
        decord.logging.set_level(decord.logging.QUIET)
        self._next = 0
        try:
            self._reader: Any = decord.VideoReader(
                str(Path(path).absolute()), ctx=decord.cpu(0), num_threads=1, fault_tol=_ANY_FAULT
            )
            count = len(self._reader)
            keys: list[int] = self._reader.get_key_indices()
        except self._errors as error:
            raise _DecordFailedError("decord_refused") from error
        if count < n_expected:
            raise _DecordFailedError("decord_frame_count")
        self._shape = (info.height, info.width, 3)
        self._beside_keys = {index + step for index in keys for step in (-1, 0)}

    def take(self, is_wanted: bool) -> np.ndarray | None:
        """The next frame in RGB, or None if it was skipped."""
        index, self._next = self._next, self._next + 1
        try:
            if not is_wanted and index not in self._beside_keys:
                self._reader.skip_frames(1)
                return None
            pixels: np.ndarray = self._reader.next().asnumpy()
        except (*self._errors, StopIteration) as error:
            raise _DecordFailedError("decord_failed") from error
        if pixels.shape != self._shape:
            raise _DecordFailedError("decord_size")
        return pixels


class _Pixels:
    """A frame that decord converted, or skipped."""

    __slots__ = ("_rgb", "index", "time_s")

    def __init__(self, index: int, time_s: float, rgb: np.ndarray | None) -> None:
        self.index, self.time_s, self._rgb = index, time_s, rgb

    def rgb(self) -> np.ndarray:
        if self._rgb is None:
            raise LookupError(f"frame {self.index} was not wanted when it was decoded")
        return self._rgb

    def bgr(self) -> np.ndarray:
        return cv2.cvtColor(self.rgb(), cv2.COLOR_RGB2BGR)


class _Picture:
    """A frame that PyAV decoded; converted when touched."""

    __slots__ = ("_frame", "_size", "_turns", "index", "time_s")

    def __init__(
        self, index: int, time_s: float, frame: Any, turns: int, size: tuple[int, int]
    ) -> None:
        self.index, self.time_s = index, time_s
        self._frame, self._turns, self._size = frame, turns, size

    def bgr(self) -> np.ndarray:
        return self._converted("bgr24")

    def rgb(self) -> np.ndarray:
        return self._converted("rgb24")

    def _converted(self, layout: str) -> np.ndarray:
        width, height = self._size
        try:
            picture = self._frame.reformat(
                width=width, height=height, format=layout, src_colorspace="ITU601", threads=1
            ).to_ndarray()
        except (FFmpegError, ValueError) as error:
            name = self._frame.format.name
            raise MediaError(Reason.UNSUPPORTED, f"pixel format {name}: {error}") from None
        return np.ascontiguousarray(np.rot90(picture, self._turns))
