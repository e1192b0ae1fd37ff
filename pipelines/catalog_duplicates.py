"""Videos with the same bytes, found without holding the corpus.

Sixteen bytes a video travel through the shuffle: a hash of checksum and length, and where the
row is. Length is part of the key because a crc32c alone collides: a million objects give about
a hundred false pairs in 32 bits.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator

import numpy as np

PLACE = np.dtype([("key", "<u8"), ("shard", "<i4"), ("row", "<i4")])
BUCKETS = 16


def key_of(checksum: str | None, size_bytes: int) -> int:
    """64-bit key of content; without a checksum, of the length, for a closer look later."""
    text = f"{checksum or ''}\x00{size_bytes}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def into_buckets(places: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Split an array of ``PLACE`` by key; equal keys share a bucket.

    Yields:
        Bucket number and the raw bytes of its entries.
    """
    bucket = places["key"] % BUCKETS
    for number in range(BUCKETS):
        mine = places[bucket == number]
        if len(mine):
            yield number, mine.tobytes()


def same_keys(chunks: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Yield groups of two or more entries with one key, each in listing order."""
    raw = b"".join(chunks)
    places = np.frombuffer(raw, PLACE)
    places = places[np.lexsort((places["row"], places["shard"], places["key"]))]
    edges = np.flatnonzero(places["key"][1:] != places["key"][:-1]) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [len(places)])))
    for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
        yield places[start : start + length]


def content_groups(
    group: np.ndarray, digest_of: Callable[[int, int], str | None]
) -> Iterator[np.ndarray]:
    """Split a group of equal lengths into groups of equal content.

    Args:
        group: entries of ``PLACE`` whose store lists no checksum.
        digest_of: digest of the object at (shard, row); None if it cannot be read.
    """
    digests = [digest_of(int(place["shard"]), int(place["row"])) for place in group]
    for wanted in dict.fromkeys(value for value in digests if value is not None):
        same = group[[value == wanted for value in digests]]
        if len(same) > 1:
            yield same


def file_digest(path: str) -> str | None:
    """Digest of a local file's bytes; None if it cannot be read, or is no longer a plain file."""
    try:
        # Without blocking: a pipe put in the file's place would hold the reader for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return None
