"""What a video declares about itself, read in a killable child from a few ranges of its bytes.

Nothing here imports Beam: the child process loads this module and must start quickly.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, cast

from fakeout_core.config import MediaLimits
from fakeout_core.errors import MediaError, Reason

HEAD_BYTES = 4096
"""Enough for every magic number, and for telling text from media."""

READ_AHEAD_BYTES = 1 << 18
"""One range read; the header of most files, and few requests for those with a trailing index."""

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


def probe_object(uri: str, limits: MediaLimits) -> Probed:
    """Sniff and probe one object; runs inside the child.

    Args:
        uri: of the object.
        limits: bounds on one video.

    Returns:
        What it declares, or the verdict why it is no video.

    Raises:
        MediaError: the object could not be read (a reason outside ``VERDICTS``).
    """
    from fakeout_core.media.probe import probe
    from fakeout_core.media.sniff import sniff
    from pipelines.storage import filesystem

    store, path = filesystem(uri)
    container: str | None = None
    try:
        with store.open_input_file(path) as raw:
            head = raw.read(HEAD_BYTES)
            container = sniff(head)
            raw.seek(0)
            with io.BufferedReader(cast(Any, raw), READ_AHEAD_BYTES) as stream:
                info = probe(cast(Any, stream), limits)
    except MediaError as error:
        if error.reason in VERDICTS:
            return Probed(error.reason.value, container)
        raise
    except FileNotFoundError as error:
        raise MediaError(Reason.NOT_FOUND, f"{uri}: listed, and gone when read: {error}") from None
    except OSError as error:
        raise MediaError(Reason.STORAGE, f"{uri}: cannot be read: {error}") from None
    return Probed(
        OK,
        info.container,
        info.codec,
        info.duration_s,
        float(info.fps) if info.fps else None,
        info.width,
        info.height,
        info.has_audio,
    )
