"""Runs as Ray jobs: submit, follow, stop, through Ray's job submission API.

A job is known by its submission id. Submitting an id that exists attaches to that job, so a
command that was cut off can be repeated. Following polls, and so survives a lost connection.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakeout_core.errors import ConfigError, FakeoutError

POLL_S = 1.0
GIVE_UP_S = 600.0
"""How long a cluster may be out of reach before following it ends; the job itself goes on."""

START_S = 90.0
"""How long a fresh cluster may answer that it has no agent yet."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
STOPPED_CODE = 143


@dataclass(frozen=True)
class JobRequest:
    """A run to be submitted.

    Attributes:
        arguments: the ``fakeout`` command line, without ``fakeout``.
        python: interpreter on the cluster that has fakeout installed.
        submission_id: the job's name; None lets the cluster choose.
        runtime_env: Ray's runtime environment; empty if the cluster's image has everything.
        metadata: shown by the dashboard.
        cpus: logical CPUs of the driver.
        memory_bytes: memory of the driver.
        resources: custom resources, which place the driver.
    """

    arguments: tuple[str, ...]
    python: str = "python"
    submission_id: str | None = None
    runtime_env: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    memory_bytes: int = 0
    resources: dict[str, float] = field(default_factory=dict)

    @property
    def entrypoint(self) -> str:
        """The shell command that the cluster runs."""
        return shlex.join([self.python, "-m", "jobs.cli", *self.arguments])


def environment(kind: str, *, image: str | None = None, root: Path | None = None) -> dict[str, Any]:
    """A runtime environment.

    Args:
        kind: ``cluster`` (installed there already), ``lock`` (the lock file and this checkout's
            packages are sent), or ``image`` (a container that has everything).
        image: of ``image``.
        root: checkout that ``lock`` sends; found from the installed packages if None.

    Raises:
        ConfigError: the kind is unknown, or what it needs is missing.
    """
    if kind == "cluster":
        return {}
    if kind == "image":
        if not image:
            raise ConfigError("--env image needs --image REGISTRY/NAME:TAG")
        return {"image_uri": image}
    if kind == "lock":
        root = root or Path(__file__).resolve().parent.parent
        lock = root / "requirements.lock"
        if not lock.is_file():
            raise ConfigError(f"--env lock needs {lock}; run from a checkout of fakeout")
        modules = [str(root / name) for name in ("fakeout_core", "pipelines", "jobs")]
        return {"pip": str(lock), "py_modules": modules}
    raise ConfigError(f"--env {kind}: choose cluster, lock or image")


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of the dashboard, e.g. ``http://127.0.0.1:8265``; None asks Ray.
        client: stands in for Ray's, in tests.
    """

    def __init__(self, address: str | None, client: Any = None) -> None:
        self._address = address
        self._client = client or _client(address)

    def submit(self, request: JobRequest) -> tuple[str, bool]:
        """Submit a run, or find the one of that id.

        Returns:
            Its id, and whether it was there already.

        Raises:
            FakeoutError: the cluster refuses.
        """
        if request.submission_id and self._info(request.submission_id) is not None:
            return request.submission_id, True
        deadline = time.monotonic() + START_S
        while True:
            try:
                return self._submit(request), False
            except (RuntimeError, ConnectionError) as error:
                if request.submission_id and self._info(request.submission_id) is not None:
                    return request.submission_id, False  # the answer was lost, the job was not
                if "No available agent" not in str(error):
                    raise FakeoutError(f"the cluster refused the job: {error}") from None
                if time.monotonic() > deadline:
                    raise FakeoutError(
                        f"the cluster refused the job for {START_S:.0f} s: its head node has no "
                        "agent that takes jobs; if another Ray cluster runs on that machine, it "
                        "holds the agent's port: start the head with "
                        "--dashboard-agent-listen-port=PORT"
                    ) from None
                time.sleep(POLL_S)

    def _submit(self, request: JobRequest) -> str:
        options: dict[str, Any] = {}
        if request.cpus:
            options["entrypoint_num_cpus"] = request.cpus
        if request.memory_bytes:
            options["entrypoint_memory"] = request.memory_bytes
        if request.resources:
            options["entrypoint_resources"] = dict(request.resources)
        return self._client.submit_job(
            entrypoint=request.entrypoint,
            submission_id=request.submission_id,
            runtime_env=dict(request.runtime_env) or None,
            metadata=dict(request.metadata) or None,
            **options,
        )

    def follow(self, job_id: str, write: Callable[[str], None]) -> int:
        """Copy the job's log until it ends.

        Args:
            job_id: the job.
            write: takes text as it comes.

        Returns:
            The command's own exit code; 143 if the job was stopped.

        Raises:
            FakeoutError: there is no such job, or the cluster stays out of reach.
        """
        shown = 0
        lost_at: float | None = None
        while True:
            try:
                info = self._client.get_job_info(job_id)
                text = self._client.get_job_logs(job_id)
            except Exception as error:
                if "does not exist" in str(error):
                    raise FakeoutError(f"there is no job {job_id} at {self._address}") from None
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > GIVE_UP_S:
                    raise FakeoutError(
                        f"the cluster is out of reach; the job may go on: fakeout logs {job_id}"
                    ) from None
                time.sleep(POLL_S)
                continue
            lost_at = None
            if len(text) > shown:
                write(text[shown:])
                shown = len(text)
            if _name(info.status) in ENDED:
                return exit_code(info)
            time.sleep(POLL_S)

    def status(self, job_id: str) -> Any:
        """The job's details.

        Raises:
            FakeoutError: there is no such job.
        """
        info = self._info(job_id)
        if info is None:
            raise FakeoutError(f"there is no job {job_id} at {self._address}")
        return info

    def all(self) -> list[Any]:
        """Every job of the cluster that was submitted, newest first."""
        jobs = [job for job in self._client.list_jobs() if job.submission_id]
        return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)

    def logs(self, job_id: str) -> str:
        """What the job wrote so far."""
        self.status(job_id)
        return self._client.get_job_logs(job_id)

    def stop(self, job_id: str, wait_s: float = 60.0) -> str:
        """Stop a job and wait for its end; return its status.

        What it had published stays; repeating the run finishes the rest.
        """
        self.status(job_id)
        self._client.stop_job(job_id)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            status = _name(self.status(job_id).status)
            if status in ENDED:
                return status
            time.sleep(POLL_S / 2)
        return _name(self.status(job_id).status)

    def _info(self, job_id: str) -> Any:
        try:
            return self._client.get_job_info(job_id)
        except RuntimeError as error:
            if "does not exist" in str(error) or "404" in str(error):
                return None
            raise FakeoutError(f"the cluster does not answer: {error}") from None


def exit_code(info: Any) -> int:
    """The exit code of an ended job: the command's own where Ray kept it."""
    status = _name(info.status)
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return STOPPED_CODE
    return info.driver_exit_code or 1


def _name(status: Any) -> str:
    return str(getattr(status, "value", status))


def _client(address: str | None) -> Any:
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray dashboard at {address or 'the default address'}: {error}. Give --address "
            "http://HOST:8265, or start a cluster with `ray start --head`."
        ) from None
