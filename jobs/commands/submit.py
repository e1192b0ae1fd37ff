"""``fakeout submit`` and its companions: runs as Ray jobs."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from fakeout_core.errors import ConfigError

AddressOption = Annotated[
    str | None,
    typer.Option(help="Dashboard, e.g. http://127.0.0.1:8265; by default RAY_ADDRESS."),
]
JobArgument = Annotated[str, typer.Argument(help="Submission id.")]

SUBMITTED = ("run", "catalog", "crop", "score", "metrics", "rescan", "compact", "report")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""

    @app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog="Examples: fakeout submit -- run gs://b/corpus --lake gs://b/lake · "
        "fakeout submit --id dfdc-1 --address http://head:8265 -- run gs://b/dfdc --lake "
        "gs://b/lake --address auto · fakeout submit --no-wait --env lock -- rescan …",
    )
    def submit(
        context: typer.Context,
        address: AddressOption = None,
        job_id: Annotated[
            str | None, typer.Option("--id", help="Submission id; an id that exists is joined.")
        ] = None,
        wait: Annotated[
            bool, typer.Option("--wait/--no-wait", help="Follow the log to the end.")
        ] = True,
        env: Annotated[
            str, typer.Option(help="Where fakeout comes from there: cluster, lock or image.")
        ] = "cluster",
        image: Annotated[str | None, typer.Option(help="Container of --env image.")] = None,
        python: Annotated[
            str, typer.Option(help="Interpreter on the cluster that has fakeout.")
        ] = "python",
        cpus: Annotated[float, typer.Option(help="Logical CPUs of the driver.")] = 0.0,
        memory_mb: Annotated[int, typer.Option(help="Memory of the driver, MB.")] = 0,
        resource: Annotated[
            list[str] | None, typer.Option(help="Place the driver, e.g. head=0.01. Repeatable.")
        ] = None,
        metadata: Annotated[
            list[str] | None, typer.Option(help="key=value for the dashboard. Repeatable.")
        ] = None,
    ) -> None:
        """Run a fakeout command as a job of a Ray cluster; the command comes after `--`.

        Leaves with the command's own exit code; 143 if the job was stopped.
        """
        from jobs.ray_jobs import JobRequest, Jobs, environment

        arguments = tuple(context.args)
        if not arguments or arguments[0] not in SUBMITTED:
            raise ConfigError(
                f"after `--` comes one of {', '.join(SUBMITTED)} with its options, for example: "
                "fakeout submit -- run gs://bucket/videos --lake gs://bucket/lake"
            )
        request = JobRequest(
            arguments=arguments,
            python=python,
            submission_id=job_id,
            runtime_env=environment(env, image=image),
            metadata={"product": "fakeout", **_pairs("--metadata", metadata)},
            cpus=cpus,
            memory_bytes=memory_mb * 1_000_000,
            resources={key: float(value) for key, value in _pairs("--resource", resource).items()},
        )
        jobs = Jobs(address)
        found, joined = jobs.submit(request)
        print(f"{'joined' if joined else 'submitted'} {found}: {request.entrypoint}", flush=True)
        if not wait:
            print(f"follow it with: fakeout logs --follow {found}")
            return
        raise typer.Exit(jobs.follow(found, _write))

    @app.command(epilog="Examples: fakeout status · fakeout status dfdc-1 --json")
    def status(
        job_id: Annotated[str | None, typer.Argument(help="Submission id; without: all.")] = None,
        address: AddressOption = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a job.")] = False,
    ) -> None:
        """Say how submitted jobs stand."""
        from jobs.ray_jobs import ENDED, Jobs, exit_code

        jobs = Jobs(address)
        for info in [jobs.status(job_id)] if job_id else jobs.all():
            state = str(getattr(info.status, "value", info.status))
            facts = {
                "id": info.submission_id,
                "status": state,
                "exit_code": exit_code(info) if state in ENDED else None,
                "entrypoint": info.entrypoint,
                "message": info.message,
            }
            if as_json:
                print(json.dumps(facts))
            else:
                code = "" if facts["exit_code"] is None else f" (exit code {facts['exit_code']})"
                print(f"{info.submission_id}  {state}{code}  {info.entrypoint}")

    @app.command(epilog="Example: fakeout logs --follow dfdc-1")
    def logs(
        job_id: JobArgument,
        address: AddressOption = None,
        follow: Annotated[bool, typer.Option("--follow", help="Until the job ends.")] = False,
    ) -> None:
        """Print a job's log; with --follow, leave with the job's exit code."""
        from jobs.ray_jobs import Jobs

        jobs = Jobs(address)
        if follow:
            raise typer.Exit(jobs.follow(job_id, _write))
        _write(jobs.logs(job_id))

    @app.command(epilog="Example: fakeout stop dfdc-1")
    def stop(job_id: JobArgument, address: AddressOption = None) -> None:
        """Stop a job; what it published stays, and running it again finishes the rest."""
        from jobs.ray_jobs import Jobs

        print(f"{job_id}  {Jobs(address).stop(job_id)}")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _pairs(option: str, items: list[str] | None) -> dict[str, str]:
    pairs = {}
    for item in items or []:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(f"{option} takes key=value, got {item!r}")
        pairs[key] = value
    return pairs
