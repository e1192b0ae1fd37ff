"""Every local command in the infrastructure texts is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MINE = {"Deploy", "Upgrade and rollback", "Cost"}  # sections of operations.md; others test theirs


def local_commands() -> list[str]:
    infrastructure = (REPOSITORY / "docs/infrastructure.md").read_text()
    operations = (REPOSITORY / "docs/operations.md").read_text()
    sections = re.split(r"^## ", operations, flags=re.M)
    mine = [text for text in sections if text.split("\n", 1)[0].strip() in MINE]
    assert len(mine) == len(MINE)
    found = []
    for text in [infrastructure, *mine]:
        for block in re.findall(r"^ *```bash local\n(.*?)^ *```", text, re.M | re.S):
            found += [line for line in textwrap.dedent(block).splitlines() if line]
    return list(dict.fromkeys(found))


def test_there_are_local_commands() -> None:
    assert len(local_commands()) >= 3


@pytest.mark.parametrize("command", local_commands())
def test_local_command_works(command: str) -> None:
    binaries = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    needed = {"kubectl": "kubectl", "python -m tools.infra_check": "terraform"}
    for start, program in needed.items():
        if command.startswith(start) and shutil.which(program, path=env["PATH"]) is None:
            pytest.skip(f"{program} is not installed; {command!r} was not run")
    done = subprocess.run(
        command,
        shell=True,
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
