"""Create the nightly RayJob from its suspended template, and wait for its end.

This is the command of the CronJob in infra/k8s and of the Cloud Run job in infra/terraform. The
template is a RayJob with ``spec.suspend: true``: the operator validates it and starts nothing. A
copy under a new name, not suspended, is one run. Waiting is what makes the CronJob's
``concurrencyPolicy: Forbid`` mean something: the CronJob's own pod lives as long as the run.

The name of the copy comes from the Kubernetes Job, so a pod that is started again (a drained node)
finds its RayJob and waits for it, instead of starting another.

It needs the standard library only, and prints one JSON object a line for the log-based metrics of
infra/terraform/modules/monitoring.

Examples:
    python -m jobs.launch_rayjob launch --template=fakeout-nightly --name=fakeout-nightly-29381760
    python -m jobs.launch_rayjob age --cronjob=fakeout-nightly
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
METADATA_TOKEN_URL = (
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
)
TEMPLATE_LABEL = "fakeout.dev/template"
_FINAL = {"Complete", "Failed", "ValidationFailed"}
_DRIVER_EXIT = re.compile(r"exit code (\d+)")
_DONE_WITH_QUARANTINE = 3


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status; 0 if there was no answer.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429) or self.status >= 500


@dataclass(frozen=True)
class ApiServer:
    """The Kubernetes API server, reached with a bearer token.

    Attributes:
        url: its address, without a trailing slash.
        token: gives a valid token; called for each request, because tokens expire.
        context: certificate authorities to trust; None for plain HTTP or the system's.
        timeout_s: of one request.
    """

    url: str
    token: Callable[[], str]
    context: ssl.SSLContext | None = None
    timeout_s: float = 30.0

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request and return the decoded answer.

        Raises:
            ApiError: an answer other than 2xx, or none.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token()}"},
        )
        try:
            with urllib.request.urlopen(
                request, timeout=self.timeout_s, context=self.context
            ) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")[:500]) from error
        except OSError as error:
            raise ApiError(0, str(error)) from error


def log(event: str, severity: str = "INFO", **fields: Any) -> None:
    """Print one structured line; Cloud Logging reads ``severity`` and ``message`` by name."""
    print(json.dumps({"event": event, "severity": severity, **fields}), flush=True)


def metadata_token() -> str:
    """An access token of the Google service account that this container runs as."""
    request = urllib.request.Request(METADATA_TOKEN_URL, headers={"Metadata-Flavor": "Google"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["access_token"]


def connect(api_server: str, google_token: bool) -> ApiServer:
    """The API server of the arguments: in the cluster by the pod's account, else by IAM."""
    if google_token:
        return ApiServer(api_server, metadata_token, ssl.create_default_context())
    authority = ACCOUNT_DIR / "ca.crt"
    context = None
    if api_server.startswith("https:"):
        context = ssl.create_default_context(cafile=authority if authority.exists() else None)
    token_file = ACCOUNT_DIR / "token"  # rotated: read anew each time
    return ApiServer(
        api_server, lambda: token_file.read_text() if token_file.exists() else "", context
    )


def copy_of(template: dict[str, Any], name: str) -> dict[str, Any]:
    """A RayJob that runs: the template's specification under a new name, not suspended.

    Raises:
        ValueError: the template is not suspended, so it would itself have run.
    """
    if template["spec"].get("suspend") is not True:
        raise ValueError(f"{template['metadata']['name']}: spec.suspend must be true in a template")
    labels = dict(template["metadata"].get("labels", {}))
    labels[TEMPLATE_LABEL] = template["metadata"]["name"]
    return {
        "apiVersion": template["apiVersion"],
        "kind": template["kind"],
        "metadata": {
            "name": name,
            "namespace": template["metadata"]["namespace"],
            "labels": labels,
        },
        "spec": {**template["spec"], "suspend": False},
    }


def outcome(rayjob: dict[str, Any]) -> str | None:
    """``done``, ``quarantine`` or ``failed`` once the RayJob has ended, else None.

    The operator knows two ends, success and failure; the driver's exit code stands in the message.
    """
    status = rayjob.get("status", {})
    if status.get("jobDeploymentStatus") not in _FINAL:
        return None
    if status.get("jobStatus") == "SUCCEEDED":
        return "done"
    code = _DRIVER_EXIT.search(status.get("message", ""))
    return "quarantine" if code and int(code[1]) == _DONE_WITH_QUARANTINE else "failed"


def wait(
    api: ApiServer, path: str, poll_s: float, silence_s: float, sleep: Callable[[float], None]
) -> dict[str, Any]:
    """Poll a RayJob until it has ended; bear an API server that is away for a while.

    Raises:
        ApiError: refused for good, or no answer for `silence_s` (the control plane's upgrade takes
            minutes; the RayJob itself goes on).
    """
    last_answer = time.monotonic()
    while True:
        try:
            rayjob = api.request("GET", path)
            last_answer = time.monotonic()
            if outcome(rayjob):
                return rayjob
        except ApiError as error:
            if not error.is_transient or time.monotonic() - last_answer > silence_s:
                raise
            log("api_server_away", "WARNING", message=str(error))
        sleep(poll_s)


def prune(api: ApiServer, collection: str, template: str, keep: int) -> None:
    """Delete the oldest ended copies of a template; the lake keeps the record of each run."""
    listed = api.request("GET", f"{collection}?labelSelector={TEMPLATE_LABEL}%3D{template}")
    ended = [item for item in listed["items"] if outcome(item)]
    ended.sort(key=lambda item: item["metadata"]["creationTimestamp"], reverse=True)
    for item in ended[keep:]:
        api.request("DELETE", f"{collection}/{item['metadata']['name']}")


def launch(
    api: ApiServer,
    options: argparse.Namespace,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Create the copy, or find it, and wait. Returns 0 if the run was done, else 1."""
    collection = f"/apis/ray.io/v1/namespaces/{options.namespace}/rayjobs"
    name = options.name or f"{options.template}-{datetime.now(UTC):%Y%m%d-%H%M}"
    template = api.request("GET", f"{collection}/{options.template}")
    try:
        api.request("POST", collection, copy_of(template, name))
        log("rayjob_created", rayjob=name)
    except ApiError as error:
        if error.status != 409:  # AlreadyExists: an earlier pod of this Job made it
            raise
        log("rayjob_found", rayjob=name)
    rayjob = wait(api, f"{collection}/{name}", options.poll_s, options.silence_s, sleep)
    status = outcome(rayjob) or "failed"
    message = rayjob["status"].get("message", "")[:500]
    severity = {"done": "INFO", "quarantine": "WARNING"}.get(status, "ERROR")
    log("rayjob_finished", severity, status=status, rayjob=name, message=message)
    prune(api, collection, options.template, options.keep)
    return 1 if status == "failed" else 0


def age(api: ApiServer, options: argparse.Namespace) -> int:
    """Print how long ago the CronJob last ended well (since it was made, if it never has)."""
    path = f"/apis/batch/v1/namespaces/{options.namespace}/cronjobs/{options.cronjob}"
    cronjob = api.request("GET", path)
    since = cronjob.get("status", {}).get("lastSuccessfulTime")
    since = since or cronjob["metadata"]["creationTimestamp"]
    elapsed = datetime.now(UTC) - datetime.fromisoformat(since)
    log("nightly_age", nightly_age_h=round(elapsed.total_seconds() / 3600, 2), since=since)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.launch_rayjob",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    launcher = commands.add_parser("launch", help="run a copy of a suspended RayJob and wait")
    launcher.add_argument("--template", required=True, help="name of the suspended RayJob")
    launcher.add_argument("--name", help="name of the copy; default: template, date and time")
    launcher.add_argument("--poll-s", type=float, default=30.0, help="seconds between looks")
    launcher.add_argument("--silence-s", type=float, default=1800.0, help="no answer for so long")
    launcher.add_argument("--keep", type=int, default=14, help="ended RayJobs that stay")
    teller = commands.add_parser("age", help="print the age of the last good run")
    teller.add_argument("--cronjob", required=True, help="name of the CronJob")
    for command in (launcher, teller):
        command.add_argument("--namespace", default="fakeout")
        command.add_argument("--api-server", default="https://kubernetes.default.svc")
        command.add_argument("--google-token", action="store_true", help="from outside, by IAM")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the run failed or the API server refused, 2 wrong usage."""
    options = _parser().parse_args(argv)
    api = connect(options.api_server.rstrip("/"), options.google_token)
    try:
        return launch(api, options) if options.command == "launch" else age(api, options)
    except (ApiError, ValueError) as error:
        event = "rayjob_finished" if options.command == "launch" else "nightly_age_unknown"
        log(event, "ERROR", status="failed", message=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
