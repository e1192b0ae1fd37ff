"""Deepfake detection from face and voice: the model, media and faces, with no engine in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeout_core.detector import Detector

__all__ = ["Detector"]


def __getattr__(name: str) -> Any:
    """Import the detector when it is asked for; the tables and errors need no JAX."""
    if name == "Detector":
        from fakeout_core.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
