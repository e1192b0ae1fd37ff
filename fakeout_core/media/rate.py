"""From a video's own frames to frames at 29 per second, by index.

FakeOut reads video through ``ffmpeg -r 29``, which drops and doubles frames as drift builds up; it
is not nearest-neighbour. FacePipe before it rewrites every clip at the whole part of its declared
rate, so a source of 29.97 fps arrives as 29 and passes unchanged. Both are kept for constant rates.
Variable rates go by timestamps, where the reference would let picture and time drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import numpy as np

TARGET_FPS = 29
FfmpegRule = Literal["9", "4.2"]


def fps_map(
    n_frames: int,
    fps: Fraction | int,
    target: int = TARGET_FPS,
    limit: int | None = None,
    rule: FfmpegRule = "9",
) -> np.ndarray:
    """The source frame behind every output frame, for a constant rate.

    Args:
        n_frames: of the source.
        fps: of the source, exact.
        target: output frames per second.
        limit: at most this many output frames; FakeOut's 59 s make 1,711.
        rule: version of ffmpeg to agree with.

    Returns:
        int32 [n_out], not decreasing, in [0, n_frames).

    Source: ``spec/fakeout.md`` section 7; equal to golden_fps29.npz for both versions.
    """
    counter = FpsCounter(Fraction(fps), target, rule)
    return _expand((counter.copies(i) for i in range(n_frames)), limit)


def times_map(
    times_s: np.ndarray, end_s: float, target: int = TARGET_FPS, limit: int | None = None
) -> np.ndarray:
    """The source frame behind every output frame, for a variable rate.

    Args:
        times_s: float64 [n], when each frame is shown; the first at 0, not decreasing.
        end_s: when the last one ends.
        target: output frames per second.
        limit: at most this many output frames.

    Returns:
        int32 [n_out], not decreasing, in [0, n).

    Source: the same rule as ``fps_map`` with each frame's own duration.
    """
    ends = np.append(times_s[1:], end_s) * target
    shown = 0
    copies: list[int] = []
    for end in ends.tolist():
        count = _copies(round((end - shown) * 1_000_000), 1_000_000)
        shown += count
        copies.append(count)
    return _expand(copies, limit)


class FpsCounter:
    """The constant-rate rule, frame by frame: how often each source frame is shown."""

    def __init__(self, fps: Fraction, target: int = TARGET_FPS, rule: FfmpegRule = "9") -> None:
        if fps <= 0:
            raise ValueError(f"fps must be above 0, got {fps}")
        step = Fraction(target) / fps
        # Whole numbers of 1/unit: exact like fractions, and quick.
        self._unit, self._step = step.denominator, step.numerator
        self._lead = self._step
        if rule == "4.2":
            whole = (2 * self._step + self._unit) // (2 * self._unit)
            self._lead = whole * self._unit if whole >= 1 else min(self._step, self._unit)
        self._shown = 0

    def copies(self, index: int) -> int:
        """Output frames that show source frame ``index``; call once for each, in order."""
        surplus = self._step * index - self._shown * self._unit + self._lead
        count = _copies(surplus, self._unit)
        self._shown += count
        return count


def reference_rate(fps: Fraction) -> int:
    """The rate at which FacePipe rewrites a clip: the whole part, and at least 1."""
    return max(1, int(fps))


def _copies(surplus: int, unit: int) -> int:
    """ffmpeg's decision; the end of this frame is ``surplus / unit`` frames ahead of what is shown.

    Below -1.1 the frame is dropped, above 1.1 shown as often as the surplus rounds to.
    """
    if 10 * surplus < -11 * unit:
        return 0
    return (2 * surplus + unit) // (2 * unit) if 10 * surplus > 11 * unit else 1


def _expand(copies: Iterable[int], limit: int | None) -> np.ndarray:
    indices: list[int] = []
    for index, count in enumerate(copies):
        room = count if limit is None else min(count, limit - len(indices))
        indices.extend([index] * room)
        if limit is not None and len(indices) >= limit:
            break
    return np.array(indices, np.int32)
