"""Quarantine policy: what still fails, what may be tried again, and when it is too much."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import pyarrow.dataset as pads

from fakeout_core.errors import ConfigError, Reason
from pipelines.current import Attempt, View, current, read_attempts, read_catalog
from pipelines.lake import Lake
from pipelines.requests import Failure, request_retry

EXIT_QUARANTINE = 3
"""Exit code: done, and more than the allowed share of the videos failed."""

DESCRIPTIVE = frozenset({Reason.NO_FACE, Reason.TOO_SHORT})
"""Reasons that describe a healthy video; they do not count against a run."""


@dataclass(frozen=True)
class CurrentFailure:
    """A video whose newest attempt failed.

    Attributes:
        dataset: its dataset.
        split: its split.
        stage: stage that failed.
        video_id: the video.
        uri: where it is.
        content_version: version of the bytes.
        reason: from the closed list.
        message: one line for people.
        attempts: attempts so far.
        transient: whether it is tried again by itself while attempts last.
        at: when.
    """

    dataset: str
    split: str
    stage: str
    video_id: str
    uri: str | None
    content_version: str
    reason: str
    message: str | None
    attempts: int
    transient: bool
    at: datetime


def current_failures(
    lake: Lake,
    *,
    dataset: str | None = None,
    split: str | None = None,
    stage: str | None = None,
    reason: str | None = None,
) -> list[CurrentFailure]:
    """Failures that stand: not healed by a later attempt, not of a deleted or changed video.

    Args:
        lake: the lake.
        dataset: only this one.
        split: only this one.
        stage: only failures of this stage.
        reason: only this reason.

    Returns:
        Sorted by dataset, split, reason, video.

    Raises:
        ConfigError: no such reason.
    """
    if reason is not None and reason not in list(Reason):
        raise ConfigError(f"no such reason: {reason}; reasons are {[one.value for one in Reason]}")
    wanted = None
    for name, value in (("dataset", dataset), ("split", split)):
        if value is not None:
            here = pads.field(name) == value
            wanted = here if wanted is None else wanted & here
    where = {"stage": stage} if stage else {}
    newest: dict[tuple[str, str, str, str], CurrentFailure] = {}
    for row in lake.read("quarantine", filter=wanted, **where).to_pylist():
        row.pop("run_id")
        failure = CurrentFailure(**row)
        key = (failure.dataset, failure.split, failure.video_id, failure.content_version)
        if key not in newest or failure.attempts >= newest[key].attempts:
            newest[key] = failure
    by_split: dict[tuple[str, str], list[CurrentFailure]] = defaultdict(list)
    for failure in newest.values():
        by_split[failure.dataset, failure.split].append(failure)
    standing: list[CurrentFailure] = []
    for (one_dataset, one_split), failures in by_split.items():
        standing += _standing(lake, one_dataset, one_split, failures)
    found = [one for one in standing if reason is None or one.reason == reason]
    return sorted(found, key=lambda one: (one.dataset, one.split, one.reason, one.video_id))


def _standing(
    lake: Lake, dataset: str, split: str, failures: list[CurrentFailure]
) -> list[CurrentFailure]:
    where = {"dataset": dataset, "split": split}
    columns = ["video_id", "content_version"]
    listed = dict(
        zip(
            *(read_catalog(lake, dataset, split, columns)[c].to_pylist() for c in columns),
            strict=True,
        )
    )
    ids = {one.video_id for one in failures}
    only = pads.field("video_id").isin(sorted(ids))
    later: dict[tuple[str, str], int] = {}
    for table in ("clips", "scores"):
        _, by_video = read_attempts(lake, table, where, filter=only)
        for video, attempts in by_video.items():
            for one in attempts:
                # A clip that is ok does not heal a failed score of the same attempt.
                number = one.attempts if one.is_ok and table == "scores" else one.attempts - 1
                if one.is_ok:
                    key = (video, one.version)
                    later[key] = max(later.get(key, 0), number)
    return [
        one
        for one in failures
        if listed.get(one.video_id) == one.content_version
        and later.get((one.video_id, one.content_version), 0) < one.attempts
    ]


def retry(lake: Lake, failures: list[CurrentFailure]) -> list[str]:
    """Make failures owed again, exactly once; the next run follows it.

    Returns:
        URIs of the recorded requests, one for each dataset and split.
    """
    by_split: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for one in failures:
        by_split[one.dataset, one.split].append(
            Failure(one.video_id, one.content_version, one.attempts)
        )
    return [
        request_retry(lake, dataset, split, found)
        for (dataset, split), found in sorted(by_split.items())
    ]


def quarantine_share(view: View) -> float:
    """Share of the catalogued videos whose current outcome is a failure that counts.

    The score's outcome decides, and the clip's where there is no score yet. Reasons that only
    describe the video (no face, too short) do not count.

    Returns:
        0..1; 0 for an empty catalog.
    """
    columns = ["video_id", "content_version", "listed_at"]
    catalog = view.catalog.select(columns)
    failed = 0
    for row in catalog.to_pylist():
        video, version, listed_at = (row[name] for name in columns)
        score = current(view.scores.get(video, ()), version, listed_at)
        clip = current(view.clips.get(video, ()), version, listed_at)
        failed += _counts(score or clip)
    return failed / catalog.num_rows if catalog.num_rows else 0.0


def _counts(attempt: Attempt | None) -> bool:
    return attempt is not None and not attempt.is_ok and attempt.reason not in DESCRIPTIVE


def exit_code(share: float, max_share: float) -> int:
    """0, or 3 when a larger share of the videos is in quarantine than allowed."""
    return EXIT_QUARANTINE if share > max_share else 0
