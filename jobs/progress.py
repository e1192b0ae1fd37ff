"""How a run shows itself: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

LINE_EVERY_S = 10.0


class ConsoleShow:
    """Progress per stage; in a log, a line when a stage moves, at most every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._totals: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}
        self._bars: Progress | None = None

    def __enter__(self) -> ConsoleShow:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
            self._bars = Progress(*columns, Elapsed(), TextColumn("{task.fields[note]}"))
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def stage(self, name: str, total: int) -> None:
        """A stage begins with this many videos to do."""
        self._totals[name] = total
        if self._bars is not None:
            self._tasks[name] = self._bars.add_task(name, total=total, note="")
        else:
            self._console.print(f"{name}: {total} videos to do")

    def advance(self, name: str, done: int, note: str) -> None:
        """So many videos of the stage are done."""
        total = self._totals.get(name, done)
        done = min(done, total)  # a video repeated after a fault is counted once
        if self._bars is not None and name in self._tasks:
            self._bars.update(self._tasks[name], completed=done, note=note)
            return
        now = time.monotonic()
        if done == total or now - self._last.get(name, 0.0) >= LINE_EVERY_S:
            self._last[name] = now
            self._console.print(f"{name}: {done}/{total} videos, {note}")

    def note(self, text: str) -> None:
        """One line worth reading."""
        console = self._bars.console if self._bars is not None else self._console
        console.print(text)
