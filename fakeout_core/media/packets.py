"""The packet table: which pictures a video stream shows, and when, without decoding any.

It costs one pass over the file's packets (decord makes the same pass when it opens a file) and it
settles what headers get wrong: the number of frames, hidden frames, variable rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.error import FFmpegError

from fakeout_core.config import MediaLimits
from fakeout_core.media.opening import open_container
from fakeout_core.media.probe import VideoInfo

_FALLBACK_FPS = Fraction(25)


@dataclass(frozen=True)
class PacketTable:
    """The pictures of a stream, up to the limits.

    Attributes:
        times_s: when each is shown, float64 [n], the first at 0.
        end_s: when the last one ends.
        start_s: time of the first picture on the container's clock, to place sound by.
        fps: mean rate: declared, or else measured.
        is_variable: distances differ so much that an index does not tell the time.
        n_hidden: packets that an edit list hides.
        n_packets: packets seen, hidden ones included.
        is_damaged: the demuxer reported an error or a corrupt packet.
        is_whole: the pass reached the end of the stream.
    """

    times_s: np.ndarray
    end_s: float
    start_s: float
    fps: Fraction
    is_variable: bool
    n_hidden: int
    n_packets: int
    is_damaged: bool
    is_whole: bool


def read_packets(
    path: str, info: VideoInfo, limits: MediaLimits, max_seconds: float
) -> PacketTable:
    """List the pictures of the first video stream.

    Args:
        path: of a local file.
        info: what ``probe`` said of it.
        limits: bounds on one video.
        max_seconds: the table ends a little after this.

    Returns:
        The table; empty if there is no packet.

    Raises:
        MediaError: as ``open_container``.
    """
    stamps: list[int] = []
    hidden = packets = missing = 0
    damaged, whole = False, True
    with open_container(path, info.container, limits.max_pixels) as opened:
        stream = opened.streams.video[0]
        unit = stream.time_base or Fraction(1, 90_000)
        last = (max_seconds + 2.0) / float(unit)
        first: int | None = None
        try:
            for packet in opened.demux(stream):
                if packet.size == 0 and packet.pts is None and packet.dts is None:
                    continue  # the flush packet at the end
                packets += 1
                damaged |= packet.is_corrupt
                stamp = packet.pts if packet.pts is not None else packet.dts
                if packet.is_discard:
                    hidden += 1
                elif stamp is None:
                    missing += 1
                else:
                    stamps.append(stamp)
                    first = stamp if first is None else min(first, stamp)
                # Decoding times only grow, and no later picture is shown before its own.
                at = stamp if packet.dts is None else packet.dts
                over_time = first is not None and at is not None and at - first > last
                if over_time or packets > limits.max_frames + 64:
                    whole = False
                    break
        except (FFmpegError, ValueError, OverflowError):
            damaged = True
    if not whole:  # cut in decoding order: pictures that others overtook are missing at the end
        stamps = sorted(stamps)[: limits.max_frames]
        stamps = [stamp for stamp in stamps if first is not None and stamp - first <= last]
    return _table(stamps, unit, info, hidden, packets, missing, damaged, whole)


def _table(
    stamps: list[int],
    unit: Fraction,
    info: VideoInfo,
    hidden: int,
    packets: int,
    missing: int,
    damaged: bool,
    whole: bool,
) -> PacketTable:
    fps = info.fps or _measured_fps(stamps, unit)
    if missing:  # a container without times: the index is all there is
        times = np.arange(len(stamps) + missing) / float(fps)
        start_s, variable = 0.0, False
    else:
        ticks = np.sort(np.array(stamps, np.int64))
        start_s = float(ticks[0] * unit) if len(ticks) else 0.0
        times = (ticks - ticks[:1]) * float(unit)
        variable = is_variable(times)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0 / float(fps)
    end_s = float(times[-1]) + step if len(times) else 0.0
    return PacketTable(times, end_s, start_s, fps, variable, hidden, packets, damaged, whole)


def is_variable(times_s: np.ndarray) -> bool:
    """Whether some frame lies half a frame off an even grid, or some distance is off by half.

    Rounding in the container (Matroska counts milliseconds) does not make a rate variable.
    """
    if len(times_s) < 3:
        return False
    gaps = np.diff(times_s)
    middle = float(np.median(gaps))
    if middle <= 0:
        return True
    slack = 0.5 * middle + 0.001
    grid = times_s[0] + np.arange(len(times_s)) * ((times_s[-1] - times_s[0]) / (len(times_s) - 1))
    return bool(np.abs(gaps - middle).max() > slack or np.abs(times_s - grid).max() > slack)


def _measured_fps(stamps: list[int], unit: Fraction) -> Fraction:
    span = max(stamps) - min(stamps) if len(stamps) > 1 else 0
    if span <= 0:
        return _FALLBACK_FPS
    measured = Fraction(len(stamps) - 1) / (span * unit)
    return measured.limit_denominator(1001) or _FALLBACK_FPS
