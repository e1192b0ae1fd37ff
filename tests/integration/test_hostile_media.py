"""Hostile and damaged files through the whole crop, in its child, as a worker would."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakeout_core.clip import Clip
from fakeout_core.config import CropConfig
from fakeout_core.errors import MediaError
from fakeout_core.media.isolate import Child, ChildLimits
from tests.fakes.samples import pictures, write_video
from tests.mutate import Corpus, Mutant

LIMITS = ChildLimits(wall_s=30.0, memory_bytes=1_500_000_000, output_bytes=64 << 20)
SLACK_S = 15.0
"""To notice, kill and reap on a busy machine."""

_IN_OPEN = 0x20


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    mutant: Mutant
    outcome: str
    detail: str
    took_s: float


@contextmanager
def watched(path: Path) -> Iterator[list[int]]:
    """Count how often anybody opens ``path``, whatever library does it (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN) >= 0
    opened: list[int] = []
    try:
        yield opened
        while select.select([descriptor], [], [], 0)[0]:
            opened.append(len(os.read(descriptor, 1 << 16)))
    finally:
        os.close(descriptor)


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A port of this host that nobody may call."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield server


def was_called(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def cropped(mutants: list[Mutant], config: CropConfig) -> list[Row]:
    """Crop with one child, in order, as a worker does: a row for each file."""
    rows: list[Row] = []
    with Child("fakeout_core.crop:crop_video", LIMITS) as child:
        for mutant in mutants:
            start = time.monotonic()
            try:
                clip = child.call(str(mutant.path), config)
                assert isinstance(clip, Clip)
                outcome, detail = "ok", clip.decoder
            except MediaError as error:
                outcome, detail = error.reason.value, error.detail
            rows.append(Row(mutant, outcome, detail, time.monotonic() - start))
    return rows


def run(folder: Path, seed: int, count: int) -> list[Row]:
    """Make a corpus beside a canary and crop all of it with two workers."""
    canary = write_video(folder / "canary.mp4", pictures(30, 96, 64))
    with listening() as server:
        port = server.getsockname()[1]
        mutants = Corpus(folder / "corpus", seed, canary, port).make(count)
        config = CropConfig()
        with watched(canary) as opened, ThreadPoolExecutor(2) as pool:
            halves = list(pool.map(cropped, [mutants[::2], mutants[1::2]], [config, config]))
        assert not was_called(server)
    assert opened == []
    rows = [row for half in halves for row in half]
    show(rows)
    return rows


def show(rows: list[Row]) -> None:
    """Print the count by reason, and by kind."""
    print(f"\n{len(rows)} files: {dict(Counter(row.outcome for row in rows).most_common())}")
    for kind in dict.fromkeys(row.mutant.kind for row in rows):
        outcomes = Counter(row.outcome for row in rows if row.mutant.kind == kind)
        print(f"  {kind:24} {dict(outcomes.most_common())}")
    for row in rows:
        if row.outcome in ("crashed", "timeout", "out_of_memory", "internal"):
            print(f"  {row.outcome}: {row.mutant.path.name}: {row.detail}")


def check(rows: list[Row], count: int) -> None:
    assert len({row.mutant.path for row in rows}) == count
    assert [row for row in rows if row.mutant.is_good and row.outcome != "ok"] == []
    assert [row for row in rows if row.outcome == "internal"] == []
    assert [row for row in rows if row.took_s > LIMITS.wall_s + SLACK_S] == []
    for row in rows:
        if row.mutant.kind == "data reference":
            assert row.outcome == "forbidden", row
        if row.mutant.kind == "pointer":
            assert row.outcome in ("forbidden", "unreadable", "unsupported"), row


def test_every_kind_of_hostile_file_has_its_row(tmp_path, capsys):
    with capsys.disabled():
        rows = run(tmp_path, seed=3, count=64)
    check(rows, 64)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_mutated_files(tmp_path, capsys):
    with capsys.disabled():
        rows = run(tmp_path, seed=7, count=1_000)
    check(rows, 1_000)
    assert len({row.outcome for row in rows}) >= 7


def test_the_watch_sees_an_open(tmp_path):
    canary = tmp_path / "canary"
    canary.write_bytes(b"x")
    with watched(canary) as opened:
        canary.read_bytes()
    assert opened
