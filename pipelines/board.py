"""A small Ray actor that the workers of a run report to: progress, and deaths by video.

The driver reads it to show progress. It also ends poison: a video whose worker dies again and
again (killed for memory, say) would otherwise be handed to the next worker for ever.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@dataclass
class StageCount:
    """What a stage has done so far.

    Attributes:
        videos: finished videos.
        windows: windows made or scored.
        seconds: work over all workers.
        reasons: finished videos by outcome, ``ok`` included.
    """

    videos: int = 0
    windows: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


class Board:
    """Counts by stage. Runs as an actor; see ``start_board``."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()
        self._stages: dict[str, StageCount] = {}

    def begin(self, stage: str, video: str) -> int:
        """Note that a worker takes a video; return how often one has without finishing it."""
        self._open[stage, video] += 1
        return self._open[stage, video] - 1

    def done(self, stage: str, video: str, outcome: str, windows: int, seconds: float) -> None:
        """Note that a video left the stage, with its outcome, windows and seconds of work."""
        self._open.pop((stage, video), None)
        count = self._stages.setdefault(stage, StageCount())
        count.videos += 1
        count.windows += windows
        count.seconds += seconds
        count.reasons[outcome] += 1

    def snapshot(self) -> dict[str, StageCount]:
        """Return the counts of every stage so far."""
        return self._stages


def start_board() -> Any:
    """Start the board on the driver's own node, so that it lives as long as the driver."""
    here = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(Board)
        .options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
        )
        .remote()
    )


def tell(board: Any, method: str, *arguments: Any) -> None:
    """Report without waiting; None stands for no board."""
    if board is not None:
        getattr(board, method).remote(*arguments)


def ask(board: Any, method: str, *arguments: Any) -> Any:
    """Report and wait for the answer; None if there is no board or it is gone.

    A board that is gone must not stop the work: the driver went with it.
    """
    if board is None:
        return None
    try:
        return ray.get(getattr(board, method).remote(*arguments), timeout=30)
    except RayError:
        return None
