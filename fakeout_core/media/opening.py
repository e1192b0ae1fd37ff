"""Opening a container with PyAV so that nothing but the given file can be read."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError

from fakeout_core.errors import MediaError, Reason

DEMUXERS = {
    "mp4": "mp4",
    "mov": "mov",
    "3gp": "3gp",
    "matroska": "matroska",
    "webm": "matroska",
    "avi": "avi",
    "flv": "flv",
    "mpegts": "mpegts",
    "mpeg": "mpeg",
}
"""FFmpeg's demuxer for each container that ``sniff`` names."""

_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,mpeg",
    "protocol_whitelist": "file",
}
"""Beside the guard below: even a demuxer that was fooled finds no other format or protocol."""


@contextmanager
def open_container(
    source: str | BinaryIO, container: str, max_pixels: int
) -> Generator[InputContainer]:
    """Open media for reading; whatever it names besides itself stays closed.

    FFmpeg never opens a path here: it is handed one open file, and a demuxer that asks for another
    is refused. The demuxer is the one the magic bytes call for; FFmpeg does not guess. Demuxers
    that would open files without asking (concat) are on no list.

    Args:
        source: path of a local file, or a seekable binary stream.
        container: what ``sniff`` said of its first bytes.
        max_pixels: decoders refuse larger pictures.

    Yields:
        The open container.

    Raises:
        MediaError: ``unreadable``, the demuxer makes no sense of it; ``forbidden``, it asked for
            another file.
    """
    with _stream(source) as stream:
        guard = _Guard(stream)
        try:
            opened = av.open(
                "video",
                "r",
                format=DEMUXERS[container],
                options={**_OPTIONS, "max_pixels": str(max_pixels)},
                metadata_errors="replace",
                io_open=guard,
            )
        except (FFmpegError, ValueError, OverflowError, PermissionError) as error:
            guard.raise_if_tripped()
            raise MediaError(Reason.UNREADABLE, f"not readable as {container}: {error}") from None
        try:
            yield opened
        finally:
            opened.close()
        guard.raise_if_tripped()


@contextmanager
def _stream(source: str | BinaryIO) -> Generator[BinaryIO]:
    if isinstance(source, str):
        with Path(source).open("rb") as stream:
            yield stream
    else:
        source.seek(0)
        yield source


class _Guard:
    """Hands out the one open file, once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream
        self._wanted = ""

    def __call__(self, url: str, *_: Any) -> Any:
        if self._stream is not None and url == "video":
            stream, self._stream = _Unclosable(self._stream), None
            return stream
        self._wanted = url
        raise PermissionError(f"the media asks for another file: {url!r}")

    def raise_if_tripped(self) -> None:
        if self._wanted:
            raise MediaError(Reason.FORBIDDEN, f"it asks for another file: {self._wanted!r}")


class _Unclosable:
    """The stream for FFmpeg, which must not close what it did not open."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
        self.seek = stream.seek
        self.tell = stream.tell
