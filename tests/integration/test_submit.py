"""Runs as Ray jobs, from the shell, against a cluster that ``ray start`` made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.demo_corpus import build_demo_corpus
from pipelines.lake import Lake
from pipelines.telemetry import METRICS
from tests.integration.conftest import free_port, stop
from tests.integration.tables import outcomes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

BIN = Path(sys.executable).parent
SUFFIX = {"counter": "", "gauge": "", "histogram": "_count"}
QUICK = ["--set", "crop.n_windows=1", "--set", "crop_stage.rows_per_shard=2"]


@dataclass
class Shell:
    """A started cluster, and commands against it."""

    port: int
    dashboard: str
    metrics: str
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / "fakeout"), *arguments],
            env={**self.environment, "RAY_ADDRESS": self.dashboard},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        try:
            output = process.communicate(timeout=300)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"not done after 300 s:\n{process.communicate()[0]}")
        assert process.returncode == code, output
        return output

    def nodes(self) -> int:
        """How many raylets have registered and live."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.dashboard}/api/v0/nodes", timeout=30) as answer:
                    found = json.load(answer)["data"]["result"]["result"]
                return sum(1 for node in found if node["state"] == "ALIVE")
            except OSError:  # a busy dashboard gives up on its own question
                assert time.monotonic() < deadline, "the dashboard does not list its nodes"
                time.sleep(1)

    def series(self) -> set[str]:
        """Names of the time series that the head node exports, in Prometheus' text format."""
        with urllib.request.urlopen(self.metrics, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {line.partition("{")[0] for line in lines if not line.startswith("#")}


def ray_start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    # Jobs go through a node's agent, whose default port another cluster of this machine may hold.
    agent = f"--dashboard-agent-listen-port={free_port()}"
    return subprocess.Popen(
        [str(BIN / "ray"), "start", "--block", "--disable-usage-stats", agent, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def more_raylets(shell: Shell, *offers: list[str]) -> Iterator[None]:
    """Let raylets join, one by one: two that start at once take the same socket, and one dies."""
    raylets: list[subprocess.Popen[bytes]] = []
    try:
        for offer in offers:
            had = shell.nodes()
            raylet = ray_start(shell.environment, f"--address=127.0.0.1:{shell.port}", *offer)
            raylets.append(raylet)
            deadline = time.monotonic() + 90
            while shell.nodes() == had:
                assert raylet.poll() is None, "ray start ended"
                assert time.monotonic() < deadline, "the raylet does not register"
                time.sleep(0.3)
        yield
    finally:
        for raylet in raylets:
            stop(raylet)


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    port, dashboard, metrics = free_port(), free_port(), free_port()
    # A short path: Ray's sockets have at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="fo", dir="/tmp") as folder:
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": folder,
        }
        environment.pop("RAY_ADDRESS", None)
        head = ray_start(
            environment,
            *("--head", f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=4"),
            *("--include-dashboard=true", f"--temp-dir={folder}"),
            f"--metrics-export-port={metrics}",
        )
        url = f"http://127.0.0.1:{dashboard}"
        try:
            deadline = time.monotonic() + 90
            while True:
                try:
                    urllib.request.urlopen(f"{url}/api/version", timeout=2).close()
                    break
                except OSError:
                    assert head.poll() is None, "ray start ended"
                    assert time.monotonic() < deadline, "the dashboard does not answer"
                    time.sleep(0.3)
            yield Shell(port, url, f"http://127.0.0.1:{metrics}/metrics", environment)
        finally:
            stop(head)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    build_demo_corpus(folder)
    return folder


def submit(job: str, *command: str) -> list[str]:
    return ["submit", "--id", job, "--python", sys.executable, *command]


def test_demo_corpus_followed_stopped_and_resumed(
    shell: Shell, corpus: Path, tmp_path: Path
) -> None:
    lake = str(tmp_path / "lake")
    command = ["--", "run", str(corpus), "--lake", lake, "--labels", str(corpus / "labels.csv")]
    command += ["--dataset", "demo", *QUICK]
    shell.run(*submit("first", "--no-wait", *command))
    follower = shell.start("logs", "--follow", "first")
    deadline = time.monotonic() + 240
    while not Lake(lake).files("clips"):
        assert time.monotonic() < deadline, "nothing was cropped"
        time.sleep(0.1)
    assert "STOPPED" in shell.run("stop", "first")
    said = follower.communicate(timeout=120)[0]
    assert follower.returncode == 143, said
    assert "crop: 10 videos to do" in said

    said = shell.run(*submit("second", *command))
    assert "submitted second" in said
    assert "These scores mean nothing" in said
    found = outcomes(lake)
    assert len(found) == 10
    assert sorted(found.values()) == ["no_face", *["scored"] * 9]

    # The same submission again joins the job that is there, and ends as it did.
    assert "joined second" in shell.run(*submit("second", *command))
    (facts,) = [json.loads(line) for line in shell.run("status", "second", "--json").splitlines()]
    assert (facts["status"], facts["exit_code"]) == ("SUCCEEDED", 0)

    # What the dashboard and the alerts ask for is there to be scraped, the run's end included.
    missing = {f"ray_{name}{SUFFIX[metric.kind]}" for name, metric in METRICS.items()}
    deadline = time.monotonic() + 60  # Ray's processes report every 10 s
    while missing := missing - shell.series():
        assert time.monotonic() < deadline, f"not exported: {missing}"
        time.sleep(1)


def test_exit_code_of_the_command_comes_back(shell: Shell, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    command = ["--", "run", missing, "--lake", str(tmp_path / "lake")]
    said = shell.run(*submit("usage", *command), code=2)
    assert "does not exist" in said
    shell.run("logs", "nobody", code=1)


def test_extra_raylets_one_with_a_gpu(shell: Shell, corpus: Path, tmp_path: Path) -> None:
    """Two more raylets join; the towers ask for a GPU and get onto the one that has it."""
    lake = str(tmp_path / "lake")
    command = ["--", "run", str(corpus / "real"), "--lake", lake, "--dataset", "demo", *QUICK]
    command += ["--set", "score_stage.placement={gpus: 0.5, workers: 2, cpus: 0.5}"]
    with more_raylets(shell, ["--num-cpus=2"], ["--num-cpus=2", "--num-gpus=1"]):
        shell.run(*submit("gpu", *command))
    assert sorted(outcomes(lake).values()) == ["scored"] * 3
