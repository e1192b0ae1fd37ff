"""``fakeout doctor``: what this machine can do, line by line, and what to do where it cannot."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from fakeout_core.errors import FakeoutError

MIN_DISK_GB = 5.0
MIN_MEMORY_GB = 4.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        ok: whether a run can rely on it.
        text: what was found.
        remedy: what to do if it is not ok.
    """

    name: str
    ok: bool
    text: str
    remedy: str = ""


def check_python() -> Finding:
    """Python's version."""
    found = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, found, "install Python 3.11 or 3.12")


def check_jax() -> Finding:
    """JAX's backend and devices."""
    import jax

    devices = jax.devices()
    kinds = ", ".join(sorted({device.device_kind for device in devices}))
    text = f"jax {jax.__version__}, {jax.default_backend()}: {len(devices)} × {kinds}"
    return Finding("accelerator", True, text)


def check_engine() -> Finding:
    """The engine the towers will run on here."""
    from fakeout_core.model.config import ModelConfig
    from fakeout_core.model.engines import choose_engine

    return Finding("engine", True, "towers run on " + "/".join(choose_engine(ModelConfig())))


def check_decoder() -> Finding:
    """The video decoders, on a real file."""
    from importlib import resources

    from fakeout_core.config import CropConfig
    from fakeout_core.media.isolate import Child

    asset = resources.files("jobs") / "assets" / "speech.mp4"
    with resources.as_file(asset) as path, Child("fakeout_core.crop:crop_video") as child:
        clip = child.call(str(path), CropConfig(n_windows=1))
    versions = ", ".join(f"{name} {_version(name)}" for name in ("decord", "av"))
    text = f"{versions}; {clip.n_frames} frames, {len(clip.tracks)} face, sound {clip.audio_status}"
    return Finding("decoder", bool(clip.tracks), text, "reinstall from requirements.lock")


def check_ray() -> Finding:
    """Ray, and the cluster it would join."""
    import ray

    address = os.environ.get("RAY_ADDRESS")
    where = f"RAY_ADDRESS={address}" if address else "a local cluster for each run"
    return Finding("ray", True, f"ray {ray.__version__}, {where}")


def check_beam() -> Finding:
    """Apache Beam, for the catalog and the metrics."""
    return Finding("beam", True, f"apache-beam {_version('apache-beam')}")


def check_disk() -> Finding:
    """Room for local copies of videos and Ray's spill."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    free_gb = shutil.disk_usage(folder).free / 1e9
    remedy = f"free some of {folder} or point TMPDIR at a larger disk"
    return Finding("disk", free_gb >= MIN_DISK_GB, f"{free_gb:.1f} GB free in {folder}", remedy)


def check_memory() -> Finding:
    """Memory for one crop and one score worker."""
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    text = f"{total_gb:.1f} GB, {len(os.sched_getaffinity(0))} CPUs"
    return Finding("memory", total_gb >= MIN_MEMORY_GB, text, f"{MIN_MEMORY_GB:.0f} GB at least")


def check_lake(uri: str) -> Finding:
    """Whether the lake can be written to and read back with the credentials at hand."""
    from pipelines.storage import create_if_absent, delete, read_bytes

    probe = f"{uri.rstrip('/')}/_locks/doctor-{os.getpid()}"
    create_if_absent(probe, b"doctor")
    try:
        readable = read_bytes(probe) == b"doctor"
    finally:
        delete(probe)
    return Finding("lake", readable, f"{uri} can be written and read", "check its permissions")


def check_credentials() -> Finding:
    """Cloud credentials, without printing them."""
    found = [
        name
        for name, present in (
            ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS" in os.environ),
            ("gcloud default", Path("~/.config/gcloud/application_default_credentials.json")),
            ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID" in os.environ),
            ("STORAGE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST" in os.environ),
        )
        if (present.expanduser().exists() if isinstance(present, Path) else present)
    ]
    text = ", ".join(found) if found else "none found; local folders only (--lake URI tests one)"
    return Finding("credentials", True, text)


def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)


CHECKS: tuple[tuple[str, Callable[[], Finding]], ...] = (
    ("python", check_python),
    ("memory", check_memory),
    ("disk", check_disk),
    ("accelerator", check_jax),
    ("engine", check_engine),
    ("decoder", check_decoder),
    ("ray", check_ray),
    ("beam", check_beam),
    ("credentials", check_credentials),
)


def examine(lake: str | None = None) -> list[Finding]:
    """Run every check; one that fails becomes a line with its reason."""
    checks = list(CHECKS)
    if lake is not None:
        checks.append(("lake", lambda: check_lake(lake)))
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:  # a check that breaks is the finding
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            findings.append(Finding(name, False, reason, "reinstall from requirements.lock"))
    return findings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Examples: [bold]fakeout doctor[/] · fakeout doctor --lake gs://b/lake")
    def doctor(
        lake: Annotated[str | None, typer.Option(help="Also test this lake's access.")] = None,
    ) -> None:
        """Check Python, devices, decoders, Ray, disk, memory and credentials."""
        findings = examine(lake)
        for finding in findings:
            mark = "ok  " if finding.ok else "FAIL"
            print(f"{mark} {finding.name:<12} {finding.text}")
            if not finding.ok and finding.remedy:
                print(f"     {'':<12} → {finding.remedy}")
        if not all(finding.ok for finding in findings):
            raise FakeoutError("something is missing; see the lines marked FAIL")
