"""Deepfake detection from face and voice: the model, media and faces, with no engine in sight.

``Detector`` is imported when it is first asked for, because JAX comes with it and most of what
imports this package needs only schemas or settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakeout_core.detector import Detector

__all__ = ["Detector"]


def __getattr__(name: str) -> object:
    if name == "Detector":
        from fakeout_core.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
