"""The command line: help everywhere, and exit codes that scripts can trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakeout_core.errors import ConfigError, FakeoutError
from jobs import cli
from jobs.options import dataset_name, partition_name
from jobs.ray_jobs import JobRequest, Jobs, environment, exit_code
from pipelines.lake import Lake
from tests.integration.lake_rows import catalog


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


@pytest.mark.parametrize("command", [*cli.COMMANDS, "status", "logs", "stop"])
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(command, "--help") == 0
    said = capsys.readouterr().out
    if command not in ("quarantine", "checkpoint"):  # groups; their commands have theirs
        assert "Example" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--nosuch"],
        ["run", "/no/such/folder", "--lake", "unused"],
        ["run", "somewhere", "--lake", "unused", "--set", "crop.nope=1"],
        ["run", "somewhere", "--lake", "unused", "--dataset", "a/b"],
        ["submit", "--", "rm", "-rf"],
        ["plan", "--lake", "no/such/lake"],
        ["crop", "--lake", "no/such/lake", "--dataset", "x"],
        ["compact", "no/such/lake"],
        ["quarantine", "list", "no/such/lake"],
        ["report", "no/such/lake"],
    ],
)
def test_usage_errors_leave_with_two(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leave(*arguments) == 2


def test_a_misspelt_dataset_is_told_and_a_right_one_says_what_it_owes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = str(tmp_path / "lake")
    Lake(lake).replace("catalog", [], [catalog("ab", dataset="films", split="all")])
    for stage in ("crop", "score"):
        assert leave(stage, "--lake", lake, "--dataset", "flims", "--dry-run") == 2
        assert "it has: films (split all)" in capsys.readouterr().err
        assert leave(stage, "--lake", lake, "--dataset", "films", "--dry-run") == 0
        assert "owed: 2 videos to crop, 0 more clips" in capsys.readouterr().out


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out.startswith("fakeout 0.")


def test_dataset_names() -> None:
    assert dataset_name(None, "gs://bucket/my corpus/") == "my_corpus"
    assert dataset_name("films", "anything") == "films"
    with pytest.raises(ConfigError, match="--split"):
        partition_name("--split", "../up")


class Info:
    """What Ray says of a job."""

    def __init__(self, status: str, code: int | None = None) -> None:
        self.status, self.driver_exit_code = status, code
        self.submission_id, self.entrypoint, self.message = "one", "…", ""


class Cluster:
    """A job server that can be out of reach. Ray's own is used in the integration tests."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[Info]] = {}
        self.text = ""
        self.outages = 0
        self.submitted: list[dict[str, Any]] = []

    def submit_job(self, **options: Any) -> str:
        self.submitted.append(options)
        self.jobs[options["submission_id"]] = [Info("RUNNING"), Info("FAILED", 3)]
        return options["submission_id"]

    def get_job_info(self, job: str) -> Info:
        if self.outages:
            self.outages -= 1
            raise ConnectionError("gone for a moment")
        if job not in self.jobs:
            raise RuntimeError(f"Job {job} does not exist")
        states = self.jobs[job]
        return states.pop(0) if len(states) > 1 else states[0]

    def get_job_logs(self, job: str) -> str:
        self.text += "line\n"
        return self.text


def test_following_survives_an_outage_and_gives_the_commands_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.ray_jobs.POLL_S", 0.0)
    cluster = Cluster()
    jobs = Jobs("http://nowhere", cluster)
    request = JobRequest(("run", "it's here"), submission_id="one")
    assert jobs.submit(request) == ("one", False)
    assert cluster.submitted[0]["entrypoint"] == """python -m jobs.cli run 'it'"'"'s here'"""
    cluster.outages = 3
    said: list[str] = []
    assert jobs.follow("one", said.append) == 3
    assert "".join(said) == cluster.text
    assert jobs.submit(request) == ("one", True)
    assert len(cluster.submitted) == 1
    with pytest.raises(FakeoutError, match="no job two"):
        jobs.follow("two", said.append)


def test_exit_codes_of_jobs() -> None:
    assert exit_code(Info("SUCCEEDED", 0)) == 0
    assert exit_code(Info("STOPPED")) == 143
    assert exit_code(Info("FAILED", None)) == 1


def test_environments(tmp_path: Path) -> None:
    assert environment("cluster") == {}
    assert environment("image", image="r/n:1") == {"image_uri": "r/n:1"}
    assert environment("lock")["pip"].endswith("requirements.lock")
    for kind, more in (("image", {}), ("nothing", {}), ("lock", {"root": tmp_path})):
        with pytest.raises(ConfigError):
            environment(kind, **more)
