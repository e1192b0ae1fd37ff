"""Identities and fingerprints: what makes two pieces of work the same work.

A video is its path inside the dataset. Its *content version* changes when its bytes do. The *crop
fingerprint* digests every setting that shapes a clip, and the version of the code that makes it;
the *model fingerprint* digests weights and model settings. Work is owed where the tables lack a
(video, content version, crop) or a (clip, model) pair.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import Any

CROP_CODE_VERSION = 2
"""Raise when the crop stage's output changes for the same input and settings."""


def canonical_json(value: Any) -> str:
    """Render ``value`` with sorted keys and no spaces, so equal settings have equal text.

    Args:
        value: JSON types, dataclasses, or containers of them.

    Returns:
        Compact JSON text.

    Raises:
        TypeError: the value holds something JSON cannot.
    """

    def plain(item: Any) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return dataclasses.asdict(item)
        raise TypeError(f"cannot fingerprint a {type(item).__name__}")

    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain, allow_nan=False)


def digest(value: Any, length: int = 12) -> str:
    """Return the first ``length`` hex digits of the SHA-256 of ``value``'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def crop_fingerprint(settings: Any) -> str:
    """Fingerprint of the crop settings and code: ``c-`` and 12 hex digits.

    The letter keeps query engines from reading a partition value as a number.
    """
    return "c-" + digest({"settings": settings, "code": CROP_CODE_VERSION})


def content_version(generation: str | int, checksum: str, size_bytes: int) -> str:
    """Name one version of a video's bytes.

    Args:
        generation: object generation, entity tag, or modification time in ns of a local file.
        checksum: crc32c or md5 as listed; empty where the store lists none.
        size_bytes: length in bytes.

    Returns:
        ``v-`` and 16 hex digits.
    """
    return "v-" + digest([str(generation), checksum, int(size_bytes)], 16)


def new_run_id(now: datetime | None = None) -> str:
    """A run id that sorts by time: ``20250102T030405Z-1a2b3c``."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
