"""Requests to try failures again: small durable objects that are void once they were followed.

A request names a failure with its number of attempts. The attempt that follows has a higher
number, so the request no longer matches anything: each is honoured exactly once, whoever crashes
when, and nobody has to delete it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fakeout_core.errors import StorageError
from pipelines import layout, storage, transactions
from pipelines.lake import Lake

FOLDER = "_requests"


class Failure(NamedTuple):
    """One failed attempt: the video, the version of its bytes, and the attempt's number."""

    video_id: str
    content_version: str
    attempts: int


def request_retry(lake: Lake, dataset: str, split: str, failures: Iterable[Failure]) -> str:
    """Make failures owed again, once.

    Args:
        lake: the lake.
        dataset: of the failures.
        split: of the failures.
        failures: which; the newest attempt of each video.

    Returns:
        URI of the request.
    """
    now = datetime.now(UTC)
    record = {
        "dataset": dataset,
        "split": split,
        "at": now.isoformat(),
        "failures": sorted(set(failures)),
    }
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.json"
    uri = lake.place(_folder(dataset, split), name)
    if not storage.create_if_absent(uri, json.dumps(record, indent=1).encode()):
        raise StorageError(f"{uri} exists already")
    return uri


def requested_retries(lake: Lake, dataset: str, split: str) -> frozenset[Failure]:
    """All failures of a dataset and split that somebody asked to try again, ever."""
    found: set[Failure] = set()
    for info in transactions.list_folder(lake.place(_folder(dataset, split)), lake.retry):
        record: dict[str, Any] = json.loads(storage.read_bytes(info.uri, lake.retry))
        found.update(Failure(*one) for one in record["failures"])
    return frozenset(found)


def _folder(dataset: str, split: str) -> str:
    return f"{FOLDER}/{layout.encode_value(dataset)}/{layout.encode_value(split)}"
