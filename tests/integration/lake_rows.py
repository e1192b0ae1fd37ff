"""Rows for lake tests, and a local store that dies at a chosen file-system operation."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from fakeout_core.errors import TRANSIENT, Reason
from fakeout_core.schemas import CATALOG, CLIPS, QUARANTINE, SCORES, WINDOWS
from pipelines.store_local import LocalStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATASET = "d 1/é"  # needs encoding everywhere
SPLIT = "test"
CROP = "c-0123456789ab"
MODEL = "x1-av-0123456789ab"


class Mine:
    """A lock that is always ours."""

    def verify(self) -> None:
        return None


def catalog(videos: Iterable[str], **changes: Any) -> pa.Table:
    rows = [
        {
            "dataset": DATASET,
            "split": SPLIT,
            "video_id": video,
            "uri": f"/corpus/{video}",
            "size_bytes": 1000,
            "content_version": "v-1",
            "duration_s": 10.0,
            "listed_at": NOW,
        }
        | changes
        for video in videos
    ]
    return pa.Table.from_pylist(rows, schema=CATALOG.full_schema)


def clips(videos: Iterable[str], **changes: Any) -> pa.Table:
    rows = [
        {
            "dataset": DATASET,
            "split": SPLIT,
            "crop": CROP,
            "video_id": video,
            "uri": f"/corpus/{video}",
            "content_version": "v-1",
            "status": "failed" if "reason" in changes else "ok",
            "attempts": 1,
            "duration_s": 10.0,
            "crop_s": 2.0,
            "run_id": "r",
            "cropped_at": NOW,
        }
        | changes
        for video in videos
    ]
    return pa.Table.from_pylist(rows, schema=CLIPS.full_schema)


def scores(videos: Iterable[str], **changes: Any) -> pa.Table:
    rows = [
        {
            "dataset": DATASET,
            "split": SPLIT,
            "model": MODEL,
            "crop": CROP,
            "video_id": video,
            "uri": f"/corpus/{video}",
            "content_version": "v-1",
            "status": "failed" if "reason" in changes else "scored",
            "attempts": 1,
            "score": None if "reason" in changes else 0.5,
            "n_windows": 2,
            "aggregation": "mean,max",
            "weights": "untrained",
            "duration_s": 10.0,
            "run_id": "r",
            "scored_at": NOW,
        }
        | changes
        for video in videos
    ]
    return pa.Table.from_pylist(rows, schema=SCORES.full_schema)


def windows(videos: Iterable[str], **changes: Any) -> pa.Table:
    rows = [
        {
            "dataset": DATASET,
            "split": SPLIT,
            "model": MODEL,
            "crop": CROP,
            "video_id": video,
            "content_version": "v-1",
            "track": 0,
            "window": window,
            "logit_real": 0.0,
            "logit_fake": 1.0,
            "p_fake": 0.7,
            "run_id": "r",
        }
        | changes
        for video in videos
        for window in range(2)
    ]
    return pa.Table.from_pylist(rows, schema=WINDOWS.full_schema)


def failures(videos: Iterable[str], stage: str = "crop", **changes: Any) -> pa.Table:
    rows = [
        {
            "dataset": DATASET,
            "split": SPLIT,
            "stage": stage,
            "video_id": video,
            "uri": f"/corpus/{video}",
            "content_version": "v-1",
            "reason": "timeout",
            "message": "too slow",
            "attempts": 1,
            "run_id": "r",
            "at": NOW,
        }
        | changes
        for video in videos
    ]
    for row in rows:
        row["transient"] = Reason(row["reason"]) in TRANSIENT
    return pa.Table.from_pylist(rows, schema=QUARANTINE.full_schema)


class Killed(BaseException):
    """The process is gone; nothing in it runs any more."""


class Switch:
    """Counts file-system operations and cuts the power before a chosen one.

    Attributes:
        at: number of the operation that never happens; 0 for none.
        done: operations so far.
    """

    def __init__(self, at: int = 0) -> None:
        self.at, self.done = at, 0
        self.is_dead = False
        self._mutex = threading.Lock()

    def step(self) -> None:
        with self._mutex:
            self.done += 1
            if self.is_dead or self.done == self.at:
                self.is_dead = True
                raise Killed(f"at operation {self.at}")


def mortal_store(switch: Switch, *, copies: bool) -> type[LocalStore]:
    """A local store that dies with the switch.

    With ``copies`` it moves as object stores do, by copy and delete with a step between, instead
    of renaming. Writes die before they begin, or torn: with a temporary file left behind.
    """

    class Mortal(LocalStore):
        def write(self, path: str, data: bytes | memoryview) -> None:
            switch.step()
            try:
                switch.step()
            except Killed:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).with_name(f".{Path(path).name}.torn.tmp").write_bytes(
                    bytes(data)[: len(data) // 2]
                )
                raise
            super().write(path, data)

        def create(self, path: str, data: bytes) -> str | None:
            switch.step()
            return super().create(path, data)

        def swap(self, path: str, data: bytes, generation: str) -> str | None:
            switch.step()
            return super().swap(path, data, generation)

        def delete(self, path: str) -> None:
            switch.step()
            super().delete(path)

        def move(self, source: str, target: str) -> None:
            switch.step()
            if not copies:
                super().move(source, target)
                return
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, f"{target}.part")
            Path(f"{target}.part").replace(target)
            switch.step()
            super().delete(source)

    return Mortal
