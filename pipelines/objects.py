"""What every store offers: the shared vocabulary of local, Google Cloud and S3 storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pyarrow import fs as pafs


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a store lists it.

    Attributes:
        uri: where it is; can be handed back to any function of ``pipelines.storage``.
        relative_path: '/'-separated path below the listed place; valid UTF-8 always.
        size_bytes: length.
        generation: object generation, entity tag (S3), or modification time in ns (local).
        checksum: ``crc32c:…`` or ``md5:…`` as the store lists it; empty where it lists none.
        updated: last change, UTC.
    """

    uri: str
    relative_path: str
    size_bytes: int
    generation: str
    checksum: str
    updated: datetime


@dataclass(frozen=True)
class Versioned:
    """Bytes together with the generation they were read at."""

    data: bytes
    generation: str


class Store(Protocol):
    """One kind of storage. Paths are ``bucket/key``, or absolute local paths.

    Methods raise FileNotFoundError for what is not there and the client's own errors for the
    rest; ``pipelines.storage`` retries and translates.
    """

    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow file system for data."""
        ...

    def uri(self, path: str) -> str:
        """The URI of a path of this store."""
        ...

    def list_page(self, path: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        """One page of the objects below ``path``, and the token of the next (None: the end)."""
        ...

    def stat(self, path: str) -> ObjectInfo:
        """One object; ``relative_path`` is its base name."""
        ...

    def read(self, path: str) -> Versioned:
        """A small object, whole, with the generation of these very bytes."""
        ...

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Create or overwrite; a reader sees the old or the new bytes, never a part."""
        ...

    def create(self, path: str, data: bytes) -> str | None:
        """Create only if absent: the new generation, or None if something is there."""
        ...

    def swap(self, path: str, data: bytes, generation: str) -> str | None:
        """Overwrite only if ``generation`` is current: the new one, or None if it is not."""
        ...

    def delete(self, path: str) -> None:
        """Delete; nothing to delete is no error."""
        ...

    def move(self, source: str, target: str) -> None:
        """Move one object, replacing the target: rename, or server-side copy then delete."""
        ...


def pages(store: Store, path: str) -> Iterator[ObjectInfo]:
    """All objects below ``path``, page by page, without retries."""
    token: str | None = None
    while True:
        page, token = store.list_page(path, token)
        yield from page
        if token is None:
            return
