"""Frames of a video, once, in order, and which of them make up 29 frames per second.

decord decodes plain files; PyAV decodes what decord is measured to get wrong (edit lists, variable
rates, damaged files) or colours otherwise (matrices other than BT.601). On plain files both give
the same bytes. Pictures are BGR by the BT.601 matrix whatever the file says, and upright, because
that is what the published crops went through.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.probe import OPTIONS, VideoInfo

MAX_FRAMES_29 = 1_711
"""Frames of 59 s at 29 fps, as the reference's ffmpeg call keeps."""


@dataclass(frozen=True)
class Frame:
    """One shown frame; its picture is converted when asked for.

    Attributes:
        index: number among the shown frames, from 0.
        time_s: when it is shown, seconds from the first.
        bgr: returns uint8 [height, width, 3] BGR, upright. Valid until the next frame is taken.
    """

    index: int
    time_s: float
    bgr: Callable[[], np.ndarray]


class VideoReader:
    """Iterates a video's frames once. ``decoder`` says what serves: it may change on damage.

    Args:
        path: a local file that was probed.
        info: what the probe said, packets walked.
        limits: frames and pixels beyond them end in ``too_large``.
        decoder: ``auto``, or one of ``decord`` and ``pyav``, for tests.
    """

    def __init__(
        self, path: str, info: VideoInfo, limits: MediaLimits, decoder: str = "auto"
    ) -> None:
        self._path, self._info, self._limits = path, info, limits
        if decoder == "auto":
            has_decord = importlib.util.find_spec("decord") is not None
            decoder = "decord" if info.is_plain and has_decord else "pyav"
        self.decoder = decoder
        self.n_damaged = 0

    def __iter__(self) -> Iterator[Frame]:
        done = 0
        if self.decoder == "decord":
            for frame in self._decord():
                yield frame
                done += 1
            if done == len(self._info.times_s):
                return
            self.decoder = "pyav"  # decord gave up early: PyAV keeps what is good of the rest
        for frame in self._pyav():
            if frame.index >= done:
                yield frame

    def _decord(self) -> Iterator[Frame]:
        import decord

        times = self._info.times_s
        try:
            reader = decord.VideoReader(self._path, ctx=decord.cpu(0), num_threads=1)
            if len(reader) != len(times):
                return
        except (decord.DECORDError, RuntimeError):
            return
        for index in range(len(times)):
            try:
                picture = reader.next()
            except (decord.DECORDError, StopIteration, RuntimeError):
                return
            yield Frame(index, float(times[index] - times[0]), _from_rgb(picture))

    def _pyav(self) -> Iterator[Frame]:
        index, first_s = 0, None
        try:
            with av.open(self._path, options=dict(OPTIONS), metadata_errors="replace") as container:
                stream = container.streams.video[0]
                stream.thread_type = "NONE"
                stream.codec_context.thread_count = 1
                for picture in self._pictures(container, stream):
                    at_s = picture.time if picture.time is not None else 0.0
                    first_s = at_s if first_s is None else first_s
                    self._check(picture, index)
                    yield Frame(index, at_s - first_s, _from_picture(picture))
                    index += 1
        except (av.FFmpegError, IndexError) as error:
            if index == 0:
                raise MediaError(Reason.UNREADABLE, f"decoder: {error}"[:200]) from None
            self.n_damaged += 1

    def _pictures(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Decode packet by packet, so that a bad one costs itself and not the rest."""
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                self.n_damaged += 1
                continue
            for picture in pictures:
                if isinstance(picture, av.VideoFrame):
                    yield picture

    def _check(self, picture: av.VideoFrame, index: int) -> None:
        if index >= self._limits.max_frames:
            raise MediaError(Reason.TOO_LARGE, f"more than {self._limits.max_frames} frames")
        if picture.width * picture.height > self._limits.max_pixels:
            size = f"{picture.width}×{picture.height}"
            raise MediaError(Reason.TOO_LARGE, f"frame {index} is {size} px")


def _from_rgb(picture: object) -> Callable[[], np.ndarray]:
    def convert() -> np.ndarray:
        return np.ascontiguousarray(picture.asnumpy()[..., ::-1])  # type: ignore[attr-defined]

    return convert


def _from_picture(picture: av.VideoFrame) -> Callable[[], np.ndarray]:
    def convert() -> np.ndarray:
        image = picture.reformat(format="bgr24", src_colorspace="ITU601").to_ndarray()
        turns = round(picture.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    return convert


class Resampler:
    """Which frames a constant 29 frames per second shows, frame by frame.

    Follows ffmpeg's drop-and-duplicate rule with exact arithmetic: a frame is shown ``copies``
    times, so that the output never drifts by more than about one frame.

    Args:
        target: output rate.
        max_frames: output frames after which nothing is shown any more.

    Source: ffmpeg 9.0's ``-r`` for constant rates; variable rates use timestamps.
    """

    def __init__(self, target: int = 29, max_frames: int = MAX_FRAMES_29) -> None:
        self._target, self._max_frames, self.n_out = target, max_frames, 0

    def copies(self, at_s: Fraction, lasts_s: Fraction) -> int:
        """How often a frame is shown.

        Args:
            at_s: when it is shown, from the first frame.
            lasts_s: for how long, by the nominal rate.
        """
        drift = self._target * (at_s + lasts_s) - self.n_out
        if drift < Fraction(-11, 10):
            count = 0
        elif drift > Fraction(11, 10):
            count = int(drift + Fraction(1, 2))
        else:
            count = 1
        count = min(count, self._max_frames - self.n_out)
        self.n_out += count
        return count


def fps_map(
    n_frames: int, fps: Fraction, target: int = 29, max_frames: int = MAX_FRAMES_29
) -> np.ndarray:
    """Source frame of every output frame, for a constant rate.

    Args:
        n_frames: frames of the source.
        fps: its rate.
        target: output rate.
        max_frames: at most so many output frames.

    Returns:
        int32 [n_out], ascending, in [0, n_frames).
    """
    resampler, step = Resampler(target, max_frames), 1 / Fraction(fps)
    counts = [resampler.copies(index * step, step) for index in range(n_frames)]
    return np.repeat(np.arange(n_frames, dtype=np.int32), counts)


def source_rate(info: VideoInfo) -> Fraction:
    """The constant rate that FacePipe would have written: the declared one, cut to an integer.

    A rate below 1 is kept as it is.
    """
    whole = int(info.fps)
    return Fraction(whole) if whole >= 1 else info.fps


def shown_frames(info: VideoInfo, max_frames: int = MAX_FRAMES_29) -> np.ndarray:
    """Source frame of every frame at 29 fps, as the towers' windows count them.

    Args:
        info: a probed video, packets walked.
        max_frames: at most so many.

    Returns:
        int32 [n_out], ascending. Constant rates follow FacePipe and ffmpeg; variable rates follow
        the timestamps.
    """
    if not info.is_variable_rate:
        return fps_map(len(info.times_s), source_rate(info), max_frames=max_frames)
    resampler = Resampler(max_frames=max_frames)
    times = info.times_s - info.times_s[0]
    lasts = Fraction(float(np.median(np.diff(times)))).limit_denominator(100_000)
    counts = [
        resampler.copies(Fraction(float(at_s)).limit_denominator(100_000), lasts) for at_s in times
    ]
    return np.repeat(np.arange(len(times), dtype=np.int32), counts)
