"""Readings that children do in tests, and what they cost."""

from __future__ import annotations

import os
import resource

from fakeout_core.media.probe import probe
from fakeout_core.media.video import open_reader


def rss_bytes() -> int:
    """Resident memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """Most resident memory so far (``ru_maxrss`` would start at the parent's)."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def open_often(path: str, decoder, times: int) -> tuple[list[int], list[int], list[int]]:
    """Open one file many times, read a little; say memory, open files and threads each time."""
    info = probe(path)
    rss, files, threads = [], [], []
    for _ in range(times):
        with open_reader(path, info, decoder=decoder, max_seconds=1.0) as reader:
            for frame in reader:
                frame.bgr()
                if frame.index == 2:
                    break
        rss.append(rss_bytes())
        files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        threads.append(len(os.listdir("/proc/self/task")))  # noqa: PTH208
    return rss, files, threads


def read_all(path: str, decoder) -> tuple[int, int]:
    """Read all of a long video, few frames converted; frames and the peak of memory."""
    with open_reader(path, probe(path), decoder=decoder) as reader:
        for frame in reader.frames(lambda index: index % 8 == 0):
            if frame.index % 8 == 0:
                frame.bgr()
        return reader.n_frames, peak_bytes()
