"""A real cluster of several raylets on this machine, and runs on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def raylets() -> Iterator[object]:
    """A head and two more raylets of two CPUs each; ``ray.cluster_utils.Cluster`` for killing."""
    import ray
    from ray.cluster_utils import Cluster

    from pipelines.cluster import quiet_ray_data

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False},
    )
    cluster.add_node(num_cpus=2)
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    quiet_ray_data()
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
