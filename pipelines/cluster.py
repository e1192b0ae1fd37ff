"""Joining or starting a Ray cluster, and sizing the stages' pools from it."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from fakeout_core.errors import ConfigError, PlacementError
from pipelines.config import PlacementConfig

SPARE_CPUS = 2
"""Logical CPUs of a local cluster beyond the machine's: reading and writing tasks need a slot
while the pools hold all others (ray#44687), and use little of it."""

SPARE_SHARE = 0.1
"""Share of a cluster's CPUs, at least one, left to the tasks between the pools."""

STORE_BYTES_PER_CPU = 256_000_000
"""Object store that the rows of a stage may fill on their way, per logical CPU: some ten videos'
decoded frames. Left to itself Ray Data fills half of the store, which never shrinks again; towers
are no faster for it."""

ANSWER_S = 20.0
"""How long a cluster's address may take to answer; a head node that restarts takes seconds."""

_NO_CLUSTER = (
    "no Ray cluster at {address}: {error}. Start one with `ray start --head`, or leave out "
    "--address to use this machine alone."
)

TELL_S = 10.0
"""How often a run that waits for a node says so, and renews its lock."""


@dataclass(frozen=True)
class ClusterSize:
    """What the cluster offers now.

    Attributes:
        cpus: logical CPUs for pools; those left to the tasks between them are not counted.
        gpus: GPUs.
        nodes: live nodes.
    """

    cpus: float
    gpus: float
    nodes: int


def connect(address: str | None = None) -> None:
    """Join the cluster at ``address``, the one this job runs in, or start a local one.

    Args:
        address: ``auto``, ``host:port``, ``ray://…``, or None (RAY_ADDRESS, else local).

    Raises:
        ConfigError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The core worker reports every pool whose actors have arguments as an error.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    target = _target(address)
    if not ray.is_initialized():
        if target is not None:
            _require_answer(target)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if target is None:
            options["num_cpus"] = _machine_cpus() + SPARE_CPUS
            options["include_dashboard"] = False
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            with _without_native_chatter():
                ray.init(address=target or "local", **options)
        except ConnectionError as error:
            raise ConfigError(_NO_CLUSTER.format(address=target, error=error)) from None
    quiet_ray_data()


def measure(address: str | None = None) -> ClusterSize:
    """Size the connected cluster as it is now, and bound the object store of its stages by it.

    Args:
        address: as given to ``connect``.
    """
    resources = ray.cluster_resources()
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    cpus = resources.get("CPU", 1.0)
    # Pools that take every CPU leave none for the tasks between them, and the job hangs.
    local = _target(address) is None
    spare = SPARE_CPUS if local else max(1.0, SPARE_SHARE * cpus)
    size = ClusterSize(max(cpus - spare, 1.0), resources.get("GPU", 0.0), nodes)
    limits = ray.data.ExecutionResources.for_limits(
        object_store_memory=size.cpus * STORE_BYTES_PER_CPU
    )
    ray.data.DataContext.get_current().execution_options.resource_limits = limits
    return size


def await_room(
    placements: Sequence[PlacementConfig], wait_s: float, waiting: Callable[[str], None]
) -> None:
    """Wait until one worker of every placement fits on the cluster, all at the same time.

    Ray Data would wait for ever, and without a word, for a node that never comes. The placement
    group that does the waiting is also what tells an autoscaler which node to add.

    Args:
        placements: of the pools that will live at once.
        wait_s: seconds to wait.
        waiting: told every ten seconds what is waited for.

    Raises:
        PlacementError: there is no room in time.
    """
    bundles = [(_bundle(one), dict(one.labels)) for one in placements]
    bundles = [(needs, labels) for needs, labels in bundles if needs]
    if not bundles:
        return
    group = placement_group(
        [needs for needs, _ in bundles],
        strategy="PACK",
        bundle_label_selector=[labels for _, labels in bundles],
    )
    wanted = " and ".join(_text(needs | labels) for needs, labels in bundles)
    deadline = time.monotonic() + wait_s
    tell_at = time.monotonic() + TELL_S
    try:
        while not group.wait(1):  # returns at once for a group that no node could ever hold
            now = time.monotonic()
            if now >= deadline:
                raise PlacementError(
                    f"the cluster had no room for a worker with {wanted} within {wait_s:.0f} s. "
                    "Add such a node, wait longer (policy.room_wait_s), or ask for less in the "
                    "stage's placement; what was published stays, and the next run goes on"
                )
            if now >= tell_at:
                waiting(wanted)
                tell_at = now + TELL_S
            time.sleep(0.5)
    finally:
        remove_placement_group(group)


def _bundle(placement: PlacementConfig) -> dict[str, float]:
    """What one worker reserves, in Ray's names."""
    needs = {"CPU": placement.cpus, "GPU": placement.gpus, "memory": placement.memory_mb * 1e6}
    return {name: float(much) for name, much in (needs | placement.resources).items() if much > 0}


def _text(needs: Mapping[str, float | str]) -> str:
    return ", ".join(f"{name} {much}" for name, much in needs.items())


def _target(address: str | None) -> str | None:
    """The cluster that is meant; None starts a local one."""
    return address or os.environ.get("RAY_ADDRESS") or None


def _require_answer(address: str) -> None:
    """Knock at a cluster first: Ray itself tries an address that nobody answers for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto" and the like: Ray looks for the cluster
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= deadline or isinstance(error, OverflowError):
                raise ConfigError(_NO_CLUSTER.format(address=address, error=error)) from None
            time.sleep(0.5)


@contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Keep the core worker's start-up lines, which no setting turns off, from the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def quiet_ray_data() -> None:
    """Turn Ray Data's own bars and chatter off: the run shows its own progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # A pool for more rows than there happen to be is no mistake.
    warnings.filterwarnings("ignore", "The maximum number of concurrent tasks", UserWarning)


def _machine_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_size(placement: PlacementConfig, size: ClusterSize, work: int) -> int:
    """Workers of a fixed pool: as configured, else what fits, never more than there is work.

    Args:
        placement: the stage's placement.
        size: the cluster.
        work: rows the stage has to do.

    Returns:
        At least 1.
    """
    if placement.workers is not None:
        fitting = placement.workers
    elif placement.gpus > 0:
        fitting = math.floor(size.gpus / placement.gpus)
    else:
        fitting = math.floor(size.cpus / max(placement.cpus, 0.01))
    return max(1, min(fitting, work))


def actor_options(placement: PlacementConfig) -> dict[str, Any]:
    """Keyword arguments of ``map_batches`` for one worker of a pool."""
    options: dict[str, Any] = {"num_cpus": placement.cpus}
    if placement.gpus > 0:
        options["num_gpus"] = placement.gpus
    if placement.memory_mb > 0:
        options["memory"] = placement.memory_mb * 1_000_000
    if placement.resources:
        options["resources"] = dict(placement.resources)
    if placement.labels:
        options["label_selector"] = dict(placement.labels)
    return options
