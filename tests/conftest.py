"""Fixtures for every tier; integration fixtures live beside their tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
# A worker per CPU and raylet, started ahead of need, costs more than it saves on two cores.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
os.environ.setdefault("RAY_enable_worker_prestart", "0")


REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FAKEOUT_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that may not ship; tests that need it say so when it is absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"reference data not found at {SHARED}; set FAKEOUT_SHARED to run this test")
    return SHARED


@pytest.fixture(scope="session")
def data() -> Path:
    """Small files that ship with the tests; sources and licences in tests/data/README.md."""
    return REPOSITORY / "tests" / "data"
