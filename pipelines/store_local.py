"""Local files behind the same operations as object stores: whole writes, generations, swaps."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat as stat_mode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

from pyarrow import fs as pafs

from pipelines.objects import ObjectInfo, Versioned

T = TypeVar("T")


def path_of(uri: str) -> str:
    """Absolute path of a plain path (taken literally) or a ``file://`` URI (percent-decoded)."""
    if uri.startswith("file://"):
        rest = uri[len("file://") :]
        if rest.startswith("localhost/"):
            rest = rest[len("localhost") :]
        return os.path.abspath(os.fsdecode(unquote_to_bytes(rest)))  # noqa: PTH100 (keeps links)
    return os.path.abspath(os.path.expanduser(uri))  # noqa: PTH100, PTH111 (keeps links)


def readable(path: str) -> str:
    """``path`` as valid UTF-8: bytes that are none become ``%XX``."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "".join(
            character if not 0xDC80 <= ord(character) <= 0xDCFF else f"%{ord(character) - 0xDC00:X}"
            for character in path
        )
    return path


class LocalStore:
    """The file system of this machine, or a shared mount."""

    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow file system for data."""
        return pafs.LocalFileSystem(use_mmap=False)

    def uri(self, path: str) -> str:
        """The plain path, or a ``file://`` URI if its bytes are not UTF-8."""
        try:
            path.encode()
        except UnicodeEncodeError:
            return "file://" + quote(os.fsencode(path))
        return path

    def list_page(self, path: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        """All regular files below ``path`` (one page), sorted; a file lists itself."""
        del token
        if os.path.isfile(path):  # noqa: PTH113
            return [self.stat(path)], None
        if not os.path.isdir(path):  # noqa: PTH112
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", path)
        return [
            self._info(entry, entry[len(path.rstrip("/")) + 1 :]) for entry in _files_below(path)
        ], None

    def stat(self, path: str) -> ObjectInfo:
        """One file; ``relative_path`` is its base name."""
        return self._info(path, os.path.basename(path))  # noqa: PTH119

    def _info(self, path: str, relative: str) -> ObjectInfo:
        status = os.stat(path)  # noqa: PTH116
        if stat_mode.S_ISDIR(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "is a directory, not a file", path)
        return ObjectInfo(
            uri=self.uri(path),
            relative_path=readable(relative),
            size_bytes=status.st_size,
            generation=str(status.st_mtime_ns),
            checksum="",
            updated=datetime.fromtimestamp(status.st_mtime, UTC),
        )

    def read(self, path: str) -> Versioned:
        """A small file, whole."""
        with open(path, "rb") as file:
            return Versioned(file.read(), _generation(file.fileno()))

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Write beside the target, flush to the disk, rename over it."""
        temporary = self._beside(path, data)
        try:
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def create(self, path: str, data: bytes) -> str | None:
        """Create only if absent: a hard link appears whole or not at all."""
        temporary = self._beside(path, data)
        try:
            os.link(temporary, path)
            return _generation_of(path)
        except FileExistsError:
            return None
        finally:
            Path(temporary).unlink(missing_ok=True)

    def swap(self, path: str, data: bytes, generation: str) -> str | None:
        """Compare and replace under an advisory lock of the folder."""
        with _guard(path):
            try:
                with open(path, "rb") as file:
                    current = _generation(file.fileno())
            except FileNotFoundError:
                return None
            if current != generation:
                return None
            self.write(path, data)
            return _generation_of(path)

    def delete(self, path: str) -> None:
        """Delete; nothing to delete is no error."""
        Path(path).unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        """Rename; across file systems copy whole beside the target, then rename."""
        try:
            _in_folder_of(target, lambda: os.replace(source, target))  # noqa: PTH105
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            temporary = _temporary(target)
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)  # noqa: PTH105
            self.delete(source)

    def _beside(self, path: str, data: bytes | memoryview) -> str:
        temporary = _temporary(path)
        try:
            with _in_folder_of(path, lambda: open(temporary, "xb")) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return temporary


def _in_folder_of(path: str, act: Callable[[], T]) -> T:
    """Make the target's folder and act; again if the folder was pruned in between."""
    for _ in range(10):
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        try:
            return act()
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(path)):  # noqa: PTH112, PTH120
                raise
    return act()


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:80]}.{secrets.token_hex(6)}.tmp")  # noqa: PTH118


def _generation(descriptor: int) -> str:
    # The inode is part of it: two writes within one clock tick must not look alike to swap().
    status = os.fstat(descriptor)
    return f"{status.st_mtime_ns}-{status.st_ino}"


def _generation_of(path: str) -> str:
    with open(path, "rb") as file:
        return _generation(file.fileno())


@contextmanager
def _guard(path: str) -> Iterator[None]:
    folder = os.path.dirname(path)  # noqa: PTH120
    with open(os.path.join(folder, ".guard"), "ab") as file:  # noqa: PTH118
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files_below(root: str) -> Iterator[str]:
    """Regular files below ``root``, sorted; links that lead out of it, or in a circle, are left."""
    real_root = os.path.realpath(root)

    def inside(real: str) -> bool:
        return real == real_root or real.startswith(real_root.rstrip("/") + "/")

    def walk(folder: str, ancestors: frozenset[str]) -> Iterator[str]:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            real = os.path.realpath(entry.path) if entry.is_symlink() else None
            if real is not None and not inside(real):
                continue
            if entry.is_dir():
                identity = real or os.path.realpath(entry.path)
                if identity not in ancestors:
                    yield from walk(entry.path, ancestors | {identity})
            elif entry.is_file():
                yield entry.path

    yield from walk(root.rstrip("/") or "/", frozenset({real_root}))
