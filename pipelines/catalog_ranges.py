"""The few ranges of a remote object that hold its headers, as a sparse local file.

The child that parses hostile bytes has no network and no credentials, so the worker fetches for
it, and looks at nothing but the frames of top-level MP4 boxes. A view has the object's length;
what was not fetched reads as zeros, which is where the samples are.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from fakeout_core.errors import MediaError, Reason
from pipelines.retry import retrying
from pipelines.storage import filesystem, local_path

HEAD_BYTES = 1 << 18
TAIL_BYTES = 1 << 18
MAX_INDEX_BYTES = 64 << 20
"""Of an MP4's ``moov``; hours of video need a few MB."""

MAX_BOXES = 64
_BOXES = frozenset([b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"])

Read = Callable[[int, int], bytes]


def header_ranges(read: Read, size: int) -> dict[int, bytes]:
    """Fetch the ranges of an object that a demuxer needs for its headers.

    Args:
        read: gives ``length`` bytes at ``offset``.
        size: of the object.

    Returns:
        Bytes by offset: the head; then an MP4's box frames and index, or any other file's tail.
    """
    if size == 0:
        return {}  # stores answer a range of nothing with an error
    head = read(0, min(size, HEAD_BYTES))
    ranges = {0: head}
    if size <= len(head):
        return ranges
    if head[4:8] in _BOXES:
        ranges.update(_boxes(read, size, head))
    else:
        start = max(len(head), size - TAIL_BYTES)
        ranges[start] = read(start, size - start)
    return ranges


def _boxes(read: Read, size: int, head: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for _ in range(MAX_BOXES):
        if offset + 16 > size:
            return
        if offset + 16 <= len(head):
            frame = head[offset : offset + 16]
        else:
            frame = read(offset, 16)
            yield offset, frame
        length, kind = struct.unpack(">I4s", frame[:8])
        if length == 1:
            length = struct.unpack(">Q", frame[8:])[0]
        elif length == 0:
            length = size - offset
        if length < 8:
            return
        if kind == b"moov":
            end = min(offset + length, size, offset + MAX_INDEX_BYTES)
            if end > len(head):
                yield offset, read(offset, end - offset)
            return
        offset += length


@contextmanager
def local_view(uri: str) -> Iterator[str]:
    """Give a local path to an object's headers: the file itself if it is local.

    Raises:
        MediaError: NOT_FOUND or STORAGE, after retries of what is transient.
    """
    path = local_path(uri)
    if path is not None:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="fakeout-probe-") as view:
        try:
            size, ranges = retrying(lambda: _fetched(uri), f"probe {uri}")
        except FileNotFoundError:
            raise MediaError(Reason.NOT_FOUND, "listed, and gone when read") from None
        except (OSError, pa.ArrowInvalid) as error:  # the latter for a range beyond the end
            raise MediaError(Reason.STORAGE, f"cannot be read: {error}") from None
        view.truncate(size)
        for offset, data in ranges.items():
            view.seek(offset)
            view.write(data)
        view.flush()
        yield view.name


def _fetched(uri: str) -> tuple[int, dict[int, bytes]]:
    store, key = filesystem(uri)
    with store.open_input_file(key) as file:
        size = int(file.size())
        return size, header_ranges(lambda offset, length: file.read_at(length, offset), size)
