"""The CronJob's own command, run against a small API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs import launch_rayjob
from tests.infra import crd
from tests.infra.test_manifests import named

pytestmark = pytest.mark.timeout(60)  # a launcher that is broken waits for ever

REPOSITORY = Path(__file__).resolve().parents[2]


class Cluster:
    """RayJobs and CronJobs in memory; a created RayJob ends after a few looks at it."""

    def __init__(self) -> None:
        template = named("production", "RayJob")
        template["metadata"]["creationTimestamp"] = "2026-11-01T00:00:00Z"
        self.rayjobs: dict[str, dict[str, Any]] = {"fakeout-nightly": template}
        self.cronjobs: dict[str, dict[str, Any]] = {}
        self.end = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
        self.looks = 0
        self.failures: list[int] = []  # statuses to answer before answering properly
        self.created: list[str] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.failures:
            return self.failures.pop(0), {"message": "not now"}
        path, _, query = path.partition("?")
        name = path.rsplit("/", 1)[-1]
        if "/cronjobs/" in path:
            return 200, self.cronjobs[name]
        assert path.startswith("/apis/ray.io/v1/namespaces/fakeout/rayjobs"), path
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.rayjobs:
                return 409, {"reason": "AlreadyExists"}
            body["metadata"]["creationTimestamp"] = f"2026-11-02T00:00:{len(self.rayjobs):02d}Z"
            self.rayjobs[name] = body
            self.created.append(name)
            return 201, body
        if name == "rayjobs":
            value = query.removeprefix("labelSelector=fakeout.dev/template%3D")
            items = [
                job
                for job in self.rayjobs.values()
                if job["metadata"].get("labels", {}).get("fakeout.dev/template") == value
            ]
            return 200, {"items": items}
        if name not in self.rayjobs:
            return 404, {"reason": "NotFound"}
        if method == "DELETE":
            return 200, self.rayjobs.pop(name)
        job = self.rayjobs[name]
        if not job["spec"]["suspend"]:
            self.looks += 1
            job["status"] = self.end if self.looks >= 3 else {"jobDeploymentStatus": "Running"}
        return 200, job


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, str]]:
    state = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, answer = state.answer(self.command, self.path, body)
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def cronjob_command(name: str, **variables: str) -> list[str]:
    """Command and arguments of a CronJob in the production overlay, variables filled in."""
    pod = named("production", "CronJob", name)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    words = [*container["command"], *container["args"]]
    assert words[0] == "python"
    filled = [re.sub(r"\$\((\w+)\)", lambda m: variables[m[1]], word) for word in words]
    return [sys.executable, *filled[1:]]


def run(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def nightly(url: str, job: str = "fakeout-nightly-29381760") -> tuple[int, list[dict[str, Any]]]:
    command = cronjob_command("fakeout-nightly", NAMESPACE="fakeout", JOB_NAME=job)
    return run([*command, f"--api-server={url}", "--poll-s=0.01"])


def test_the_cronjobs_command_creates_a_run_and_waits(
    cluster: tuple[Cluster, str], data: Path
) -> None:
    state, url = cluster
    code, lines = nightly(url)
    assert code == 0
    assert [line["event"] for line in lines] == ["rayjob_created", "rayjob_finished"]
    assert lines[-1]["status"] == "done"
    assert state.created == ["fakeout-nightly-29381760"]
    made = state.rayjobs["fakeout-nightly-29381760"]
    template = state.rayjobs["fakeout-nightly"]
    assert made["spec"] == {**template["spec"], "suspend": False}
    assert template["spec"]["suspend"] is True
    made = {key: value for key, value in made.items() if key != "status"}
    assert crd.problems(data, made) == []


def test_a_pod_started_again_finds_its_run(cluster: tuple[Cluster, str]) -> None:
    state, url = cluster
    assert nightly(url)[0] == 0
    code, lines = nightly(url)
    assert code == 0
    assert lines[0]["event"] == "rayjob_found"
    assert len(state.created) == 1


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("Job entrypoint command failed with exit code 1, last logs: …", "failed", 1),
        ("Job entrypoint command failed with exit code 3, last logs: …", "quarantine", 0),
        ("head pod was deleted", "failed", 1),
    ],
)
def test_ends_are_told_apart(
    cluster: tuple[Cluster, str], message: str, status: str, code: int
) -> None:
    state, url = cluster
    state.end = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": message}
    found, lines = nightly(url)
    assert (found, lines[-1]["status"]) == (code, status)
    assert lines[-1]["severity"] == {"failed": "ERROR", "quarantine": "WARNING"}[status]


def test_a_retry_of_the_operator_is_not_the_end() -> None:
    job = {"status": {"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED"}}
    assert launch_rayjob.outcome(job) is None


def test_an_absent_api_server_is_borne(cluster: tuple[Cluster, str]) -> None:
    state, url = cluster
    api = launch_rayjob.connect(url, google_token=False)
    state.rayjobs["x"] = {"spec": {"suspend": False}, "metadata": {"name": "x"}}
    state.failures = [503, 429]
    path = "/apis/ray.io/v1/namespaces/fakeout/rayjobs/x"
    job = launch_rayjob.wait(api, path, 0.0, 60.0, lambda _: None)
    assert launch_rayjob.outcome(job) == "done"


def test_a_refusal_for_good_is_reported(cluster: tuple[Cluster, str]) -> None:
    state, url = cluster
    state.failures = [403]
    code, lines = nightly(url)
    assert code == 1
    assert (lines[-1]["event"], lines[-1]["status"]) == ("rayjob_finished", "failed")
    assert "403" in lines[-1]["message"]


def test_a_template_that_runs_is_refused() -> None:
    template = named("run", "RayJob")
    with pytest.raises(ValueError, match="suspend must be true"):
        launch_rayjob.copy_of(template, "copy")


def test_old_runs_are_tidied(cluster: tuple[Cluster, str]) -> None:
    state, url = cluster
    for number in range(4):
        state.looks = 0
        api = launch_rayjob.connect(url, google_token=False)
        options = ["launch", "--template=fakeout-nightly", f"--name=n{number}", "--keep=2"]
        parsed = launch_rayjob._parser().parse_args(options)
        assert launch_rayjob.launch(api, parsed, sleep=lambda _: None) == 0
    assert sorted(state.rayjobs) == ["fakeout-nightly", "n2", "n3"]


@pytest.mark.parametrize(("status", "expected_h"), [("good", 5.0), ("never", 50.0)])
def test_the_age_of_the_last_good_night(
    cluster: tuple[Cluster, str], status: str, expected_h: float
) -> None:
    state, url = cluster
    now = datetime.now(UTC)
    made = (now - timedelta(hours=50)).isoformat().replace("+00:00", "Z")
    last = (now - timedelta(hours=5)).isoformat().replace("+00:00", "Z")
    state.cronjobs["fakeout-nightly"] = {
        "metadata": {"creationTimestamp": made},
        "status": {"lastSuccessfulTime": last} if status == "good" else {},
    }
    command = cronjob_command("fakeout-nightly-age", NAMESPACE="fakeout")
    code, lines = run([*command, f"--api-server={url}"])
    assert code == 0
    assert lines[0]["event"] == "nightly_age"
    assert lines[0]["nightly_age_h"] == pytest.approx(expected_h, abs=0.1)


def test_log_fields_are_those_that_the_metrics_read() -> None:
    module = REPOSITORY / "infra/terraform/modules/monitoring/main.tf"
    text = module.read_text()
    for event in ("run_finished", "rayjob_finished", "nightly_age"):
        assert f'"{event}"' in text
    telemetry = (REPOSITORY / "pipelines/telemetry.py").read_text()
    fields = ("status", "dataset", "quarantine_share", "videos_scored", "score_drift")
    for field in ("run_finished", "rescan_finished", *fields):
        assert f'"{field}"' in telemetry, f"pipelines/telemetry.py no longer logs {field}"
    source = Path(launch_rayjob.__file__).read_text()
    assert "nightly_age_h=" in source
    assert "nightly_age_h " in text


def test_a_submitted_job_states_its_end_as_json() -> None:
    """Inside a Ray job the driver's lines are JSON; the log-based metrics read nothing else."""
    code = """
import sys
from types import SimpleNamespace
from jobs import cli
from pipelines import telemetry
try:
    cli.main(["--help"])
except SystemExit:
    pass
report = SimpleNamespace(exceeded=True, quarantine_share=0.25, scored=3, timings_s={})
telemetry.run_finished(report, "corpus")
telemetry.rescan_finished("corpus", 4, 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    run_line, rescan_line = (json.loads(line) for line in done.stderr.splitlines()[-2:])
    assert run_line["event"] == "run_finished"
    assert (run_line["status"], run_line["quarantine_share"]) == ("quarantine", 0.25)
    assert (rescan_line["event"], rescan_line["score_drift"]) == ("rescan_finished", 0.25)
