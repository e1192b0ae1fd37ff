"""A bounded walk over the boxes of MP4 and QuickTime files, before a demuxer opens them.

It answers what FFmpeg's interface does not: whether samples lie outside the file (data references,
reference movies), which edits a track carries, how it is turned, and how large its pictures are
declared to be. Every step is bounded, since the file may be hostile.

Source: ISO/IEC 14496-12 (boxes moov, trak, tkhd, edts, dinf, stsd) and the QuickTime file format
(cmov, rmra, alis).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from fakeout_core.errors import MediaError, Reason

MAX_MOOV_BYTES = 64 << 20
MAX_BOXES = 20_000
_MAX_TOP_BOXES = 4_096
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"edts", b"stbl"}


@dataclass
class Track:
    """What one track declares.

    Attributes:
        kind: handler, ``vide``, ``soun``, …
        edits: (duration in movie units, media time in track units or -1, rate) of each edit.
        rotation: degrees clockwise to turn the decoded picture by, before rounding.
        is_mirrored: the display matrix flips the picture.
        width: of the largest declared picture, px.
        height: of the same.
        timescale: track units per second.
    """

    kind: str = ""
    edits: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])
    rotation: float = 0.0
    is_mirrored: bool = False
    width: int = 0
    height: int = 0
    timescale: int = 0


@dataclass
class Movie:
    """What the boxes of a file declare.

    Attributes:
        tracks: in file order.
        is_fragmented: samples come in movie fragments.
        has_moov: an index was found.
    """

    tracks: list[Track] = field(default_factory=list[Track])
    is_fragmented: bool = False
    has_moov: bool = False

    @property
    def video(self) -> Track | None:
        """The first video track."""
        return next((track for track in self.tracks if track.kind == "vide"), None)


def read_movie(stream: BinaryIO, size_bytes: int) -> Movie:
    """Read the index of an MP4 or QuickTime file.

    Args:
        stream: seekable; its position afterwards is undefined.
        size_bytes: length of the file.

    Returns:
        What the boxes declare. Damage ends the walk early: the demuxer will judge.

    Raises:
        MediaError: ``forbidden`` if the movie takes samples or descriptions from elsewhere;
            ``too_large`` for an index over ``MAX_MOOV_BYTES``; ``unsupported`` for a compressed
            index.
    """
    movie = Movie()
    position = 0
    for _ in range(_MAX_TOP_BOXES):
        stream.seek(position)
        header = stream.read(16)
        if len(header) < 8:
            break
        size, kind = struct.unpack(">I4s", header[:8])
        body = 8
        if size == 1 and len(header) == 16:
            size, body = struct.unpack(">Q", header[8:])[0], 16
        elif size == 0:
            size = size_bytes - position
        if size < body:
            break
        if kind == b"moov":
            movie.has_moov = True
            length = min(size, size_bytes - position) - body
            if length > MAX_MOOV_BYTES:
                raise MediaError(
                    Reason.TOO_LARGE, f"an index of {length} bytes; at most {MAX_MOOV_BYTES}"
                )
            stream.seek(position + body)
            _Walk(movie).folder(memoryview(stream.read(max(0, length))), None, 0)
        elif kind in (b"moof", b"sidx", b"styp"):
            movie.is_fragmented = True
            if movie.has_moov:
                break
        position += size
        if position >= size_bytes:
            break
    return movie


class _Walk:
    """One walk over a moov box; counts boxes so that it ends."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie
        self._left = MAX_BOXES

    def folder(self, data: memoryview, track: Track | None, depth: int) -> None:
        for kind, body in self._boxes(data):
            if kind in (b"rmra", b"rmda", b"rdrf"):
                raise MediaError(Reason.FORBIDDEN, "a reference movie: it points to another file")
            if kind == b"cmov":
                raise MediaError(Reason.UNSUPPORTED, "a QuickTime movie with a compressed index")
            if kind == b"mvex":
                self._movie.is_fragmented = True
            elif kind == b"trak":
                self._movie.tracks.append(Track())
                self.folder(body, self._movie.tracks[-1], depth + 1)
            elif kind in _FOLDERS and depth < 8:
                self.folder(body, track, depth + 1)
            elif kind == b"dref":
                self._data_references(body)
            elif track is not None:
                self._leaf(kind, body, track)

    def _boxes(self, data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
        position = 0
        while position + 8 <= len(data) and self._left > 0:
            self._left -= 1
            size, kind = struct.unpack_from(">I4s", data, position)
            start = position + 8
            if size == 1 and position + 16 <= len(data):
                size = struct.unpack_from(">Q", data, position + 8)[0]
                start = position + 16
            elif size == 0:
                size = len(data) - position
            if size < start - position:
                return
            end = min(len(data), position + size)
            yield bytes(kind), data[start:end]
            position += size

    def _data_references(self, body: memoryview) -> None:
        """Refuse samples that lie anywhere but in this file (flag 1 of an entry says: here)."""
        for kind, entry in self._boxes(body[8:]):
            flags = int.from_bytes(entry[1:4], "big") if len(entry) >= 4 else 0
            if flags & 1:
                continue
            location = bytes(entry[4:68]).split(b"\0")[0].decode("latin-1")
            raise MediaError(
                Reason.FORBIDDEN,
                f"a {kind.decode('latin-1')!r} data reference to media outside: {location!r}",
            )

    def _leaf(self, kind: bytes, body: memoryview, track: Track) -> None:
        try:
            if kind == b"hdlr" and not track.kind:
                track.kind = bytes(body[8:12]).decode("latin-1")
            elif kind == b"tkhd":
                _track_header(body, track)
            elif kind == b"mdhd":
                track.timescale = struct.unpack_from(">I", body, 20 if body[0] == 1 else 12)[0]
            elif kind == b"elst":
                track.edits = _edits(body)
            elif kind == b"stsd" and track.kind == "vide":
                self._descriptions(body, track)
        except (struct.error, IndexError):
            return  # cut off: the demuxer judges what is left

    def _descriptions(self, body: memoryview, track: Track) -> None:
        for _, entry in self._boxes(body[8:]):
            width, height = struct.unpack_from(">HH", entry, 24)
            if width * height > track.width * track.height:
                track.width, track.height = width, height


def _track_header(body: memoryview, track: Track) -> None:
    matrix = struct.unpack_from(">9i", body, 52 if body[0] == 1 else 40)
    a, b, c, d = (value / 65536 for value in (matrix[0], matrix[1], matrix[3], matrix[4]))
    if a * d - b * c < 0:
        track.is_mirrored = True
    elif a or b:
        track.rotation = math.degrees(math.atan2(b, a))


def _edits(body: memoryview) -> list[tuple[int, int, float]]:
    count = min(struct.unpack_from(">I", body, 4)[0], MAX_BOXES)
    layout = ">Qqi" if body[0] == 1 else ">Iii"
    step = struct.calcsize(layout)
    edits: list[tuple[int, int, float]] = []
    for position in range(8, min(len(body) - step + 1, 8 + count * step), step):
        duration, media_time, rate = struct.unpack_from(layout, body, position)
        edits.append((duration, media_time, rate / 65536))
    return edits
