"""From a URI to its storage: ``gs://``, ``s3://``, ``file://`` and plain local paths.

Every function retries transient errors (429, 5xx, resets, timeouts) with jitter, and only those.
Emulators are honoured through the standard variables STORAGE_EMULATOR_HOST and AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pyarrow import fs as pafs

from fakeout_core.errors import ConfigError, MediaError, Reason, StorageError
from pipelines.objects import ObjectInfo, Store, Versioned
from pipelines.retry import DEFAULT, RetryPolicy, ShortReadError, is_transient, retrying
from pipelines.store_gcs import GcsStore, emulator_url
from pipelines.store_local import LocalStore, path_of
from pipelines.store_s3 import S3Store, endpoint_url

T = TypeVar("T")

_CHUNK_BYTES = 4 << 20
_FETCH_TRIES = 3


@lru_cache(maxsize=8)
def _cloud(scheme: str, endpoint: str | None) -> Store:
    return GcsStore(endpoint) if scheme == "gs" else S3Store(endpoint)


def resolve(uri: str) -> tuple[Store, str]:
    """The store of a URI and the path inside it.

    Args:
        uri: ``gs://bucket/key``, ``s3://bucket/key``, ``file:///path`` or a local path.

    Returns:
        The store, and ``bucket/key`` or an absolute path. Keys are taken literally, without
        percent-decoding.

    Raises:
        ConfigError: another scheme, or no bucket.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "file":
        if not uri:
            raise ConfigError("an empty path; wanted a folder, gs://bucket/… or s3://bucket/…")
        return LocalStore(), path_of(uri)
    if scheme not in ("gs", "s3"):
        raise ConfigError(f"{uri}: cannot read {scheme}://; wanted gs://, s3://, file:// or a path")
    if not rest.partition("/")[0]:
        raise ConfigError(f"{uri}: names no bucket")
    endpoint = emulator_url() if scheme == "gs" else endpoint_url()
    return _cloud(scheme, endpoint), rest


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The pyarrow file system of a URI and the path inside it, for Parquet and Ray."""
    store, path = resolve(uri)
    return store.filesystem(), path.rstrip("/") or path


def local_path(uri: str) -> str | None:
    """The path of a local URI, to be read in place; None if it is on an object store."""
    store, path = resolve(uri)
    return path if isinstance(store, LocalStore) else None


def join(uri: str, *parts: str) -> str:
    """A place below ``uri``; parts are taken literally."""
    return "/".join([uri.rstrip("/"), *parts])


def _run(call: Callable[[], T], what: str, policy: RetryPolicy, **options: Any) -> T:
    """Retry, then translate what is left into a StorageError."""
    try:
        return retrying(call, what, policy, **options)
    except (FileNotFoundError, ConfigError):
        raise
    except Exception as error:
        advice = "gave up after retries" if is_transient(error) else "not worth a retry"
        raise StorageError(f"{what}: {type(error).__name__}: {error} ({advice})") from error


def _write(call: Callable[[], T], uri: str, policy: RetryPolicy, **options: Any) -> T:
    """As ``_run``; nothing is looked for, so what is not found is the bucket or folder itself."""
    try:
        return _run(call, f"write {uri}", policy, **options)
    except FileNotFoundError as error:
        raise StorageError(
            f"write {uri}: the bucket or folder does not exist and cannot be made here ({error})"
        ) from error


def list_objects(uri: str, policy: RetryPolicy = DEFAULT) -> Iterator[ObjectInfo]:
    """All objects below a place, in name order; a URI of one object lists that one.

    Local links that lead out of the root are not followed; only regular files are listed.

    Args:
        uri: folder, bucket or prefix.
        policy: each page is retried on its own.

    Yields:
        ObjectInfo, ``relative_path`` counted from ``uri``.

    Raises:
        ConfigError: the place does not exist (an empty prefix of a bucket lists nothing).
        StorageError: the store does not answer.
    """
    store, path = resolve(uri)
    token: str | None = None
    while True:
        try:
            page, token = _run(partial(store.list_page, path, token), f"list {uri}", policy)
        except FileNotFoundError:
            raise ConfigError(f"{uri} does not exist") from None
        yield from page
        if token is None:
            return


def stat_object(uri: str, policy: RetryPolicy = DEFAULT) -> ObjectInfo:
    """One object.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: the store does not answer.
    """
    store, path = resolve(uri)
    return _run(lambda: store.stat(path), f"stat {uri}", policy)


def exists(uri: str, policy: RetryPolicy = DEFAULT) -> bool:
    """Whether there is an object (not a folder)."""
    try:
        stat_object(uri, policy)
    except FileNotFoundError:
        return False
    return True


def read_versioned(uri: str, policy: RetryPolicy = DEFAULT) -> Versioned:
    """A small object with its generation, for ``replace_if``."""
    store, path = resolve(uri)
    return _run(lambda: store.read(path), f"read {uri}", policy)


def read_bytes(uri: str, policy: RetryPolicy = DEFAULT) -> bytes:
    """A small object, whole. Raises FileNotFoundError, StorageError."""
    return read_versioned(uri, policy).data


def write_bytes(uri: str, data: bytes | memoryview, policy: RetryPolicy = DEFAULT) -> None:
    """Create or overwrite an object whole. Raises StorageError."""
    store, path = resolve(uri)
    _write(lambda: store.write(path, data), uri, policy)


def delete(uri: str, policy: RetryPolicy = DEFAULT) -> None:
    """Delete an object; nothing to delete is no error. Raises StorageError."""
    store, path = resolve(uri)
    _run(lambda: store.delete(path), f"delete {uri}", policy)


def move(source: str, target: str, policy: RetryPolicy = DEFAULT) -> None:
    """Move an object within one store, replacing the target.

    Raises:
        FileNotFoundError: the source is not there and neither is the target. If a lost answer made
            us repeat a move that had already happened, the target is there and all is well.
        StorageError: the store does not answer.
    """
    store, path = resolve(source)
    _, target_path = resolve(target)
    retried = False

    def note(_: BaseException) -> None:
        nonlocal retried
        retried = True

    try:
        _run(lambda: store.move(path, target_path), f"move {source}", policy, on_retry=note)
    except FileNotFoundError:
        if not retried or not exists(target, policy):
            raise


def create_if_absent(uri: str, data: bytes, policy: RetryPolicy = DEFAULT) -> bool:
    """Create an object unless there is one; of many callers exactly one gets True.

    An answer lost on the way back makes the outcome unknown: then the object is read, and bytes
    equal to ours count as our success. Put something unique into ``data``.
    """
    return _conditional(uri, data, None, policy) is not None


def create_versioned(uri: str, data: bytes, policy: RetryPolicy = DEFAULT) -> str | None:
    """As ``create_if_absent``; returns the generation, or None if something was there."""
    return _conditional(uri, data, None, policy)


def replace_if(uri: str, data: bytes, generation: str, policy: RetryPolicy = DEFAULT) -> str | None:
    """Overwrite if ``generation`` is still current; the new generation, or None if it is not."""
    return _conditional(uri, data, generation, policy)


def _conditional(uri: str, data: bytes, generation: str | None, policy: RetryPolicy) -> str | None:
    store, path = resolve(uri)
    retried = False

    def note(_: BaseException) -> None:
        nonlocal retried
        retried = True

    def attempt() -> str | None:
        if generation is None:
            return store.create(path, data)
        return store.swap(path, data, generation)

    won = _write(attempt, uri, policy, on_retry=note)
    if won is None and retried:
        try:
            found = read_versioned(uri, policy)
        except FileNotFoundError:
            return None
        if found.data == data:
            return found.generation
    return won


def fetch(
    uri: str, path: str, max_bytes: int | None = None, policy: RetryPolicy = DEFAULT
) -> ObjectInfo:
    """Copy an object to a local file, and say which version of it the bytes are.

    The object is looked at before and after; if it changed in between, it is read again.

    Args:
        uri: what to read.
        path: local file to write, replaced if there.
        max_bytes: refuse anything longer.
        policy: for each request.

    Returns:
        The version really read.

    Raises:
        MediaError: STORAGE, DISK_FULL, NOT_FOUND, CHANGED (kept changing) or TOO_LARGE.
    """
    store, source = resolve(uri)
    try:
        for _ in range(_FETCH_TRIES):
            before = retrying(lambda: store.stat(source), f"stat {uri}", policy)
            if max_bytes is not None and before.size_bytes > max_bytes:
                raise MediaError(
                    Reason.TOO_LARGE, f"{before.size_bytes} bytes, at most {max_bytes} are read"
                )
            copy = partial(_copy, store, source, path, before.size_bytes)
            try:
                retrying(copy, f"read {uri}", policy)
            except ShortReadError:
                if _same(before, retrying(lambda: store.stat(source), f"stat {uri}", policy)):
                    raise
                continue
            after = retrying(lambda: store.stat(source), f"stat {uri}", policy)
            if _same(before, after):
                _verify(path, after)
                return after
        raise MediaError(Reason.CHANGED, f"changed during each of {_FETCH_TRIES} reads")
    except MediaError:
        Path(path).unlink(missing_ok=True)
        raise
    except Exception as error:
        Path(path).unlink(missing_ok=True)
        raise _as_media_error(error) from error


def _same(first: ObjectInfo, second: ObjectInfo) -> bool:
    return (first.generation, first.size_bytes) == (second.generation, second.size_bytes)


def _copy(store: Store, source: str, path: str, size: int) -> None:
    """Copy exactly ``size`` bytes."""
    done = 0
    with open(path, "wb") as target, _open(store, source) as stream:
        while done <= size:
            try:
                chunk = stream.read(min(_CHUNK_BYTES, size + 1 - done))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESTALE):
                    raise FileNotFoundError(errno.ENOENT, "gone while read", source) from error
                raise
            if not chunk:
                break
            target.write(chunk)
            done += len(chunk)
    if done != size:
        raise ShortReadError(f"short read of {source}: {done} bytes, {size} promised")


def _open(store: Store, source: str) -> BinaryIO:
    if isinstance(store, LocalStore):
        return open(source, "rb")  # names that are not UTF-8 are beyond pyarrow
    return store.filesystem().open_input_file(source)  # type: ignore[return-value]


def _verify(path: str, info: ObjectInfo) -> None:
    """Compare the local copy with the store's checksum, where it lists one."""
    kind, _, wanted = info.checksum.partition(":")
    if kind == "crc32c":
        try:
            import google_crc32c
        except ImportError:
            return
        checksum: Any = google_crc32c.Checksum()
    elif kind == "md5":
        checksum = hashlib.md5(usedforsecurity=False)
    else:
        return
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    digest = checksum.digest()
    if wanted not in (base64.b64encode(digest).decode(), digest.hex()):
        raise ShortReadError(f"short read: the copy's {kind} differs from the store's {wanted}")


def _as_media_error(error: Exception) -> MediaError:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        return MediaError(Reason.NOT_FOUND, "listed, and gone when read")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return MediaError(
            Reason.DISK_FULL, f"no room for the local copy: {os.strerror(error.errno)}"
        )
    return MediaError(Reason.STORAGE, text)


def prune(uri: str, keep: str = "") -> None:
    """Remove empty folders below a local place, except ``keep``; object stores have none."""
    root = local_path(uri)
    if root is None:
        return
    for folder, _, _ in os.walk(root, topdown=False):
        if folder != root and Path(folder).relative_to(root).parts[0] != keep:
            with contextlib.suppress(OSError):  # not empty, or another process was first
                os.rmdir(folder)  # noqa: PTH106
