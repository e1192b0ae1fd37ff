"""Google Cloud Storage: its client for listing, conditions and writing, pyarrow for reading.

pyarrow reads several times faster per CPU second (docs/decisions/0042), and cannot list generations
or make conditional requests; hence both.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pyarrow import fs as pafs

from fakeout_core.errors import ConfigError
from pipelines.objects import ObjectInfo, Versioned

_TIMEOUT_S = (10, 60)
_UPLOAD_TIMEOUT_S = (10, 300)
_FIELDS = "items(name,size,generation,crc32c,md5Hash,updated),nextPageToken"


def emulator_url() -> str | None:
    """Root of the emulator named by the standard variable, with a scheme; None without one."""
    host = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if not host:
        return None
    return host if "://" in host else f"http://{host}"


class GcsStore:
    """One process's connection to Google Cloud Storage, or to an emulator."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint

    @cached_property
    def _client(self) -> Any:
        try:
            from google.auth.credentials import AnonymousCredentials
            from google.auth.exceptions import DefaultCredentialsError
            from google.cloud import storage
        except ImportError:
            raise ConfigError(
                "gs:// needs the Google Cloud client: pip install 'fakeout[gcp]'"
            ) from None
        if self._endpoint:
            return storage.Client(
                project="emulator",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": self._endpoint},
            )
        try:
            return storage.Client()
        except DefaultCredentialsError as error:
            raise ConfigError(
                f"no Google Cloud credentials: {error}. Run `gcloud auth application-default "
                "login`, set GOOGLE_APPLICATION_CREDENTIALS, or use workload identity."
            ) from None

    @cached_property
    def _filesystem(self) -> pafs.FileSystem:
        # pyarrow's own retries stay short: ours decide, and log.
        options: dict[str, Any] = {"retry_time_limit": timedelta(seconds=2)}
        if self._endpoint:
            scheme, host = self._endpoint.split("://", 1)
            options |= {"anonymous": True, "scheme": scheme, "endpoint_override": host}
        return pafs.GcsFileSystem(**options)

    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow file system for data."""
        return self._filesystem

    def uri(self, path: str) -> str:
        """``gs://bucket/key``; names are taken literally."""
        return f"gs://{path}"

    def _blob(self, path: str) -> Any:
        bucket, _, key = path.partition("/")
        return self._client.bucket(bucket).blob(key)

    def _info(self, blob: Any, bucket: str, relative: str) -> ObjectInfo:
        checksum = ""
        if blob.crc32c:
            checksum = f"crc32c:{blob.crc32c}"
        elif blob.md5_hash:
            checksum = f"md5:{blob.md5_hash}"
        return ObjectInfo(
            uri=self.uri(f"{bucket}/{blob.name}"),
            relative_path=relative,
            size_bytes=int(blob.size or 0),
            generation=str(blob.generation),
            checksum=checksum,
            updated=blob.updated or datetime.fromtimestamp(0, UTC),
        )

    def list_page(self, path: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        """One page of up to 1,000 objects below ``path``; an object lists itself."""
        bucket, _, key = path.partition("/")
        prefix = key.rstrip("/") + "/" if key.rstrip("/") else ""
        listing = self._client.list_blobs(
            bucket,
            prefix=prefix or None,
            page_token=token,
            page_size=1000,
            fields=_FIELDS,
            timeout=_TIMEOUT_S,
            retry=None,
        )
        try:
            page = next(listing.pages)
        except StopIteration:
            return [], None
        except Exception as error:
            raise _not_found(error, path) from error
        found = [
            self._info(blob, bucket, blob.name[len(prefix) :])
            for blob in page
            if not blob.name.endswith("/")
        ]
        following = listing.next_page_token
        if not found and token is None and following is None and key:
            try:
                found = [self.stat(path)]
            except FileNotFoundError:
                found = []
        return found, following

    def stat(self, path: str) -> ObjectInfo:
        """One object; ``relative_path`` is its base name."""
        blob = self._blob(path)
        try:
            blob.reload(timeout=_TIMEOUT_S, retry=None)
        except Exception as error:
            raise _not_found(error, path) from error
        return self._info(blob, path.partition("/")[0], path.rsplit("/", 1)[-1])

    def read(self, path: str) -> Versioned:
        """A small object, whole; the generation comes with the response."""
        blob = self._blob(path)
        try:
            data = blob.download_as_bytes(timeout=_TIMEOUT_S, retry=None)
            if blob.generation is None:  # the emulator's media response may leave it out
                blob.reload(timeout=_TIMEOUT_S, retry=None)
        except Exception as error:
            raise _not_found(error, path) from error
        return Versioned(data, str(blob.generation))

    def write(self, path: str, data: bytes | memoryview) -> None:
        """One upload of the whole object; nothing is visible before it has all arrived."""
        # Not through pyarrow: its uploads take two requests and several seconds of own retries.
        self._blob(path).upload_from_string(bytes(data), timeout=_UPLOAD_TIMEOUT_S, retry=None)

    def create(self, path: str, data: bytes) -> str | None:
        """Create only if absent."""
        return self._upload_if(path, data, 0)

    def swap(self, path: str, data: bytes, generation: str) -> str | None:
        """Overwrite only if ``generation`` is current."""
        return self._upload_if(path, data, int(generation))

    def _upload_if(self, path: str, data: bytes, generation: int) -> str | None:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._blob(path)
        try:
            blob.upload_from_string(
                data,
                content_type="application/json",
                if_generation_match=generation,
                timeout=_TIMEOUT_S,
                retry=None,
            )
        except PreconditionFailed:
            return None
        return str(blob.generation)

    def delete(self, path: str) -> None:
        """Delete; nothing to delete is no error."""
        from google.api_core.exceptions import NotFound

        try:
            self._blob(path).delete(timeout=_TIMEOUT_S, retry=None)
        except NotFound:
            return

    def move(self, source: str, target: str) -> None:
        """Server-side copy (any size: the rewrite call repeats), then delete."""
        blob, destination = self._blob(source), self._blob(target)
        token: str | None = None
        try:
            while True:
                token, _, _ = destination.rewrite(blob, token=token, timeout=_TIMEOUT_S, retry=None)
                if token is None:
                    break
        except Exception as error:
            raise _not_found(error, source) from error
        self.delete(source)


def _not_found(error: Exception, path: str) -> Exception:
    from google.api_core.exceptions import NotFound

    return (
        FileNotFoundError(2, "no such object", f"gs://{path}")
        if isinstance(error, NotFound)
        else error
    )
