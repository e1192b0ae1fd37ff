"""The Dockerfiles cannot be built here; they are linted, and their promises are checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "infra" / "docker"
FILES = ("cpu.Dockerfile", "cuda.Dockerfile")


def instructions(name: str) -> list[str]:
    """Each instruction on one line, without comments."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / name).read_text(), flags=re.M)
    return re.sub(r"\\\n\s*", "", text).splitlines()


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "hadolint"
    return subprocess.run(
        [program, "--no-color", str(path)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", FILES)
def test_hadolint_has_no_complaint(name: str) -> None:
    done = hadolint(DOCKER / name)
    assert done.returncode == 0, done.stdout


def test_hadolint_catches_planted_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    text = (DOCKER / "cpu.Dockerfile").read_text()
    file.write_text(text.replace("rm -rf /var/lib/apt/lists/*", "true"))
    assert "DL3009" in hadolint(file).stdout
    file.write_text("FROM python:latest\nRUN pip install ray\n")
    assert {"DL3007", "DL3013"} <= set(re.findall(r"DL\d+", hadolint(file).stdout))


@pytest.mark.parametrize("name", FILES)
def test_images_run_as_a_plain_user_and_can_be_asked(name: str) -> None:
    lines = instructions(name)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1] == "10001:10001", "as in the manifests' runAsUser"
    assert any(line.startswith("HEALTHCHECK") and '"doctor"' in line for line in lines)
    assert not any(line.startswith("ADD ") for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_by_hash(name: str) -> None:
    installs = re.findall(r"pip install [^&]*", "\n".join(instructions(name)))
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "/build/dist/*.whl" in install, install


def test_bases_are_exact() -> None:
    bases = [
        line.split("=", 1)[1]
        for name in FILES
        for line in instructions(name)
        if line.startswith(("ARG BASE=", "ARG CPU_IMAGE="))
    ]
    assert len(bases) == 2
    for base in bases:
        assert re.search(r":\d+\.\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$", base), base
    python = next(base for base in bases if base.startswith("python:"))
    assert python.startswith("python:3.11."), "the locks are for CPython 3.11"


def test_the_cuda_lock_fits_the_lock() -> None:
    pins = r"^([\w.-]+)==([\w.]+)"
    ours = dict(re.findall(pins, (REPOSITORY / "requirements.lock").read_text(), re.M))
    cuda = dict(re.findall(pins, (DOCKER / "cuda.lock").read_text(), re.M))
    assert cuda["jax-cuda12-plugin"] == cuda["jax-cuda12-pjrt"] == ours["jax"]
    assert not set(cuda) & set(ours), "a package in both would be installed over"


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    for name in FILES:
        allowed = (DOCKER / f"{name}.dockerignore").read_text().splitlines()
        for line in instructions(name):
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (REPOSITORY / source).exists(), source
                    covered = source.startswith("infra/docker/") or f"!{source}" in allowed
                    assert covered, f"{name}: {source} is ignored"
