"""The data files that ship with this package."""

from __future__ import annotations

import importlib.resources


def data_text(name: str) -> str:
    """Return the text of a file in ``fakeout_core/datasets/data``."""
    return (importlib.resources.files(__package__ or "") / "data" / name).read_text("utf-8")
