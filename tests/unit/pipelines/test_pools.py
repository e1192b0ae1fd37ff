"""Pool sizes: a pool never takes every CPU, and never more workers than there is work."""

from __future__ import annotations

import re
import socket

import pytest

from fakeout_core.errors import ConfigError
from pipelines import cluster
from pipelines.board import Board
from pipelines.cluster import ClusterSize, actor_options, pool_size
from pipelines.config import PlacementConfig


@pytest.mark.parametrize(
    ("placement", "size", "work", "workers"),
    [
        (PlacementConfig(), ClusterSize(8, 0, 1), 100, 8),
        (PlacementConfig(cpus=2), ClusterSize(8, 0, 1), 100, 4),
        (PlacementConfig(), ClusterSize(8, 0, 1), 3, 3),
        (PlacementConfig(workers=5), ClusterSize(2, 0, 1), 100, 5),
        (PlacementConfig(workers=5), ClusterSize(2, 0, 1), 3, 3),
        (PlacementConfig(gpus=1), ClusterSize(64, 4, 4), 100, 4),
        (PlacementConfig(gpus=0.5), ClusterSize(64, 4, 4), 100, 8),
        (PlacementConfig(gpus=1), ClusterSize(64, 0, 4), 100, 1),
        (PlacementConfig(cpus=4), ClusterSize(1, 0, 1), 100, 1),
    ],
)
def test_pool_size(placement: PlacementConfig, size: ClusterSize, work: int, workers: int) -> None:
    assert pool_size(placement, size, work) == workers


def test_actor_options_name_only_what_is_asked_for() -> None:
    assert actor_options(PlacementConfig()) == {"num_cpus": 1.0}
    placement = PlacementConfig(cpus=0.5, gpus=0.25, memory_mb=100, resources={"crop": 1.0})
    assert actor_options(placement) == {
        "num_cpus": 0.5,
        "num_gpus": 0.25,
        "memory": 100_000_000,
        "resources": {"crop": 1.0},
    }


def test_board_counts_unfinished_attempts_of_a_video() -> None:
    board = Board()
    assert [board.begin("crop", "a") for _ in range(3)] == [0, 1, 2]
    assert board.begin("crop", "b") == 0
    board.done("crop", "a", "ok", 5, 1.5)
    assert board.begin("crop", "a") == 0
    counts = board.snapshot()["crop"]
    assert (counts.videos, counts.windows, counts.reasons["ok"]) == (1, 5, 1)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "[::1]:{port}"])
def test_an_address_where_nobody_answers_is_told(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_S", 0.0001)
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        wanted = address.format(port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match=re.escape(f"no Ray cluster at {wanted}")):
            cluster.connect(wanted)
