"""S3 and stores that speak it: boto3 for listing and conditions, pyarrow for the bytes."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from pyarrow import fs as pafs

from fakeout_core.errors import ConfigError
from pipelines.objects import ObjectInfo, Versioned

_SINGLE_PUT_BYTES = 64 << 20


def endpoint_url() -> str | None:
    """The endpoint named by the standard variables; None means Amazon's."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        value = os.environ.get(name, "").rstrip("/")
        if value:
            return value
    return None


class S3Store:
    """One process's connection to S3."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError("s3:// needs boto3: pip install 'fakeout[s3]'") from None
        style = {"addressing_style": "path"} if self._endpoint else {}
        return boto3.client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=_region(),
            config=Config(
                retries={"total_max_attempts": 1},  # ours decide
                connect_timeout=10,
                read_timeout=60,
                s3=style,
            ),
        )

    @cached_property
    def _filesystem(self) -> pafs.FileSystem:
        options: dict[str, Any] = {
            "connect_timeout": 10,
            "request_timeout": 60,
            "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=2),
        }
        if _region():
            options["region"] = _region()
        if self._endpoint:
            scheme, host = self._endpoint.split("://", 1)
            options |= {"scheme": scheme, "endpoint_override": host}
        return pafs.S3FileSystem(**options)

    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow file system for data."""
        return self._filesystem

    def uri(self, path: str) -> str:
        """``s3://bucket/key``; names are taken literally."""
        return f"s3://{path}"

    def list_page(self, path: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        """One page of up to 1,000 objects below ``path``; an object lists itself."""
        bucket, _, key = path.partition("/")
        prefix = key.rstrip("/") + "/" if key.rstrip("/") else ""
        options = {"ContinuationToken": token} if token else {}
        try:
            page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, **options)
        except Exception as error:
            raise _not_found(error, path) from error
        found = [
            ObjectInfo(
                uri=self.uri(f"{bucket}/{item['Key']}"),
                relative_path=item["Key"][len(prefix) :],
                size_bytes=item["Size"],
                generation=item["ETag"].strip('"'),
                checksum=_md5(item["ETag"]),
                updated=item["LastModified"],
            )
            for item in page.get("Contents", [])
            if not item["Key"].endswith("/")
        ]
        following = page.get("NextContinuationToken") if page.get("IsTruncated") else None
        if not found and token is None and following is None and key:
            try:
                found = [self.stat(path)]
            except FileNotFoundError:
                found = []
        return found, following

    def stat(self, path: str) -> ObjectInfo:
        """One object; ``relative_path`` is its base name."""
        bucket, _, key = path.partition("/")
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise _not_found(error, path) from error
        return ObjectInfo(
            uri=self.uri(path),
            relative_path=key.rsplit("/", 1)[-1],
            size_bytes=head["ContentLength"],
            generation=head["ETag"].strip('"'),
            checksum=_md5(head["ETag"]),
            updated=head["LastModified"],
        )

    def read(self, path: str) -> Versioned:
        """A small object, whole."""
        bucket, _, key = path.partition("/")
        try:
            response = self._client.get_object(Bucket=bucket, Key=key)
            return Versioned(response["Body"].read(), response["ETag"].strip('"'))
        except Exception as error:
            raise _not_found(error, path) from error

    def write(self, path: str, data: bytes | memoryview) -> None:
        """One request up to 64 MB; in parts above, which count only when all have arrived."""
        if len(data) <= _SINGLE_PUT_BYTES:
            bucket, _, key = path.partition("/")
            self._client.put_object(Bucket=bucket, Key=key, Body=bytes(data))
            return
        with self._filesystem.open_output_stream(path) as stream:
            stream.write(data)

    def create(self, path: str, data: bytes) -> str | None:
        """Create only if absent."""
        return self._put_if(path, data, {"IfNoneMatch": "*"})

    def swap(self, path: str, data: bytes, generation: str) -> str | None:
        """Overwrite only if the entity tag is current; equal bytes have equal tags."""
        return self._put_if(path, data, {"IfMatch": f'"{generation}"'})

    def _put_if(self, path: str, data: bytes, condition: dict[str, str]) -> str | None:
        bucket, _, key = path.partition("/")
        try:
            put = self._client.put_object(Bucket=bucket, Key=key, Body=data, **condition)
        except Exception as error:
            # 409: another conditional write of this key is under way, and wins.
            if _status(error) in (409, 412) or (_status(error) == 404 and "IfMatch" in condition):
                return None
            raise
        return put["ETag"].strip('"')

    def delete(self, path: str) -> None:
        """Delete; nothing to delete is no error."""
        bucket, _, key = path.partition("/")
        self._client.delete_object(Bucket=bucket, Key=key)

    def move(self, source: str, target: str) -> None:
        """Server-side copy (in parts when large), then delete."""
        bucket, _, key = target.partition("/")
        from_bucket, _, from_key = source.partition("/")
        try:
            self._client.copy({"Bucket": from_bucket, "Key": from_key}, bucket, key)
        except Exception as error:
            raise _not_found(error, source) from error
        self.delete(source)


def _region() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _md5(etag: str) -> str:
    tag = etag.strip('"')
    return "" if "-" in tag else f"md5:{tag}"  # a tag of parts is no digest of the bytes


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None


def _not_found(error: Exception, path: str) -> Exception:
    if _status(error) == 404:
        return FileNotFoundError(2, "no such object", f"s3://{path}")
    return error
