"""Every command that the texts show for one machine is run, in order, in a fresh folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).resolve().parents[2]


def documented_commands() -> list[str]:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    blocks = re.findall(r"^```bash run\n(.*?)^```", text, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line]


def test_documented_commands_work_in_order(tmp_path: Path, data: Path) -> None:
    commands = documented_commands()
    assert len(commands) >= 8
    (tmp_path / "videos").mkdir()
    shutil.copy(data / "media" / "obama_speech.mp4", tmp_path / "videos" / "speech.mp4")
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("RAY_ADDRESS", None)
    for command in commands:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "decoded 0, scored 0" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 1_000
