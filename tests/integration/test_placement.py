"""Where the stages land on a cluster of CPU and GPU nodes; the GPUs are declared, not real."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakeout_core.errors import PlacementError
from pipelines.config import RunConfig
from pipelines.lake import Lake
from pipelines.run import Parts, RunRequest, run
from pipelines.settings import load_settings
from tests.fakes.videos import write_corpus
from tests.integration.tables import outcomes

# A pool larger than the cluster, whose workers leave CPUs to the tasks between the pools.
BEYOND = ["score_stage.placement={workers: 9, cpus: 0.5, resources: {crop: 1.5}}"]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def mixed_cluster() -> Iterator[dict[str, str]]:
    """A head without work slots for the pools, a CPU node and a node with one declared GPU."""
    import ray
    from ray.cluster_utils import Cluster

    from pipelines.cluster import quiet_ray_data

    was_up = ray.is_initialized()
    if was_up:
        pytest.fail("another Ray cluster is up in this process; run this file on its own")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cpu = cluster.add_node(num_cpus=3, resources={"crop": 2})
    gpu = cluster.add_node(num_cpus=2, num_gpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    quiet_ray_data()
    try:
        yield {"cpu": cpu.node_id, "gpu": gpu.node_id}
    finally:
        ray.shutdown()
        cluster.shutdown()


def actor_nodes(stop: threading.Event, found: dict[str, set[str]]) -> None:
    """Collect on which node each pool's actors are, while the run lasts."""
    from ray._private.state import actors

    while not stop.wait(0.2):
        for actor in actors().values():
            for name in ("CropWorker", "ScoreWorker"):
                node = actor["Address"]["NodeID"]
                # One that waits to be placed has a node id too, of all ones.
                if name in actor["ActorClassName"] and actor["State"] == "ALIVE":
                    found.setdefault(name, set()).add(node)


@pytest.mark.parametrize("fused", [False, True])
def test_crop_on_cpu_nodes_and_towers_share_the_gpu(
    mixed_cluster: dict[str, str], tmp_path: Path, fused: bool
) -> None:
    write_corpus(tmp_path / "videos", 8, {index: b"slow 0.2" for index in range(8)})
    sets = [
        "crop.n_windows=2",
        "crop_stage.placement={workers: 2, resources: {crop: 1}}",
        "score_stage.placement={workers: 2, gpus: 0.5, cpus: 0.5}",
        f"fused={str(fused).lower()}",
    ]
    request = RunRequest(
        str(tmp_path / "lake"),
        "films",
        "all",
        source_uri=str(tmp_path / "videos"),
        config=load_settings(RunConfig, None, sets),
        parts=Parts("tests.fakes.videos:crop_bytes", "tests.fakes.work:PlacedDetector"),
    )
    found: dict[str, set[str]] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=actor_nodes, args=(stop, found))
    watcher.start()
    try:
        run(request)
    finally:
        time.sleep(0.3)
        stop.set()
        watcher.join()
    assert found == {"CropWorker": {mixed_cluster["cpu"]}, "ScoreWorker": {mixed_cluster["gpu"]}}
    engines = {row["engine"] for row in Lake(str(tmp_path / "lake")).read("scores").to_pylist()}
    # Every tower on the GPU node, all on device 0, each allowed 0.9 of its half of the memory.
    assert engines == {f"{mixed_cluster['gpu']}/0/0.45"}
    assert set(outcomes(str(tmp_path / "lake")).values()) == {"scored"}


def test_a_stage_no_node_has_room_for_says_so_and_ends(
    mixed_cluster: dict[str, str], tmp_path: Path
) -> None:
    """Two GPUs on one node are not to be had: an error with the remedy, and the crops stay."""
    write_corpus(tmp_path / "videos", 2, {})
    sets = ["crop.n_windows=2", "score_stage.placement={gpus: 2}", "policy.room_wait_s=2"]
    request = RunRequest(
        str(tmp_path / "lake"),
        "films",
        "all",
        source_uri=str(tmp_path / "videos"),
        config=load_settings(RunConfig, None, sets),
        parts=Parts("tests.fakes.videos:crop_bytes", "tests.fakes.work:PlacedDetector"),
    )
    with pytest.raises(PlacementError, match=r"GPU 2\.0 within 2 s.*policy\.room_wait_s"):
        run(request)
    assert Lake(request.lake_uri).read("clips").num_rows == 2
    more = replace(request, config=load_settings(RunConfig, None, [*sets[:1], *BEYOND]))
    run(more)
    assert set(outcomes(request.lake_uri).values()) == {"scored"}
