"""A thread in the driver that turns the board's counts into progress."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pipelines.board import StageCount

PERIOD_S = 1.0


class Advance(Protocol):
    """The part of a run's display that moves."""

    def advance(self, name: str, done: int, note: str) -> None:
        """So many videos of the stage are done."""
        ...


@contextmanager
def watched(board: Any, stages: tuple[str, ...], show: Advance) -> Iterator[None]:
    """Show the board's counts of ``stages`` every second while the block runs."""
    stop = threading.Event()

    def poll() -> None:
        import ray
        from ray.exceptions import RayError

        last = False
        shown: dict[str, int] = {}
        while not last:
            last = stop.wait(PERIOD_S)
            try:
                counts: dict[str, StageCount] = ray.get(board.snapshot.remote(), timeout=10)  # type: ignore[assignment]
            except RayError:
                continue  # the display can miss a beat; the work goes on
            for stage in stages:
                if stage in counts:
                    count = counts[stage]
                    failed = count.videos - count.reasons["ok"]
                    note = f"{count.windows} windows" + (f", {failed} failed" if failed else "")
                    if shown.get(stage) != count.videos:
                        shown[stage] = count.videos
                        show.advance(stage, count.videos, note)

    thread = threading.Thread(target=poll, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=15)
