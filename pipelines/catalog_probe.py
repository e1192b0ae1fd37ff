"""What a video declares about itself, read in a killable child without network or credentials.

Nothing here imports Beam: the child process loads this module and must start quickly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason

HEAD_BYTES = 4096
"""Enough for every magic number, and for telling text from media."""

VERDICTS = frozenset(
    {
        Reason.EMPTY,
        Reason.UNREADABLE,
        Reason.UNSUPPORTED,
        Reason.FORBIDDEN,
        Reason.NO_VIDEO,
        Reason.TOO_LARGE,
        Reason.TOO_SHORT,
    }
)
"""Reasons about the content itself. The crop stage reads the same bytes and gives the video its
failure row; the catalog notes them. Every other reason means that the object was not read."""

OK = "ok"


@dataclass(frozen=True)
class Probed:
    """What the probe says; the fields are columns of the catalog.

    Attributes:
        probe_status: ``ok``, or a reason from the closed list.
        container: by magic bytes; None if not recognised.
        codec: of the video stream.
        duration_s: declared length in seconds.
        fps: declared mean frame rate.
        width: px after rotation.
        height: px after rotation.
        has_audio: whether a sound stream is declared.
    """

    probe_status: str
    container: str | None = None
    codec: str | None = None
    duration_s: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    has_audio: bool | None = None


class UnreadableObjectError(Exception):
    """An object that could not be read. Its ``repr`` is all that Beam's dead letters keep."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __repr__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


def reason_of(text: str) -> tuple[Reason, str]:
    """Read back the ``repr`` of an exception that Beam caught.

    Returns:
        The reason and the detail; ``internal`` for exceptions nobody foresaw.
    """
    word, separator, detail = text.partition(": ")
    if separator and word in set(Reason):
        return Reason(word), detail
    return Reason.INTERNAL, text[:500]


def probe_file(path: str, limits: MediaLimits) -> dict[str, Any]:
    """Sniff and probe one local file; runs inside the child.

    Args:
        path: a whole video, or a view of one (see ``catalog_ranges``).
        limits: bounds on one video.

    Returns:
        Fields of ``Probed``, as plain values: a child may send nothing else.

    Raises:
        MediaError: the file could not be read (a reason outside ``VERDICTS``).
    """
    return asdict(_probed(path, limits))


def _probed(path: str, limits: MediaLimits) -> Probed:
    from fakeout_core.media.probe import probe
    from fakeout_core.media.sniff import sniff

    container: str | None = None
    try:
        with open(path, "rb") as stream:
            container = sniff(stream.read(HEAD_BYTES))
            stream.seek(0)
            info = probe(stream, limits)
    except MediaError as error:
        if error.reason in VERDICTS:
            return Probed(error.reason.value, container)
        raise
    except FileNotFoundError:
        raise MediaError(Reason.NOT_FOUND, "listed, and gone when read") from None
    except OSError as error:
        raise MediaError(Reason.STORAGE, f"cannot be read: {error}") from None
    return Probed(
        OK,
        info.container,
        info.codec,
        info.duration_s,
        float(info.fps) if info.fps is not None else None,
        info.width,
        info.height,
        info.has_audio,
    )
