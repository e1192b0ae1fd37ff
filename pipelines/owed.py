"""What is owed: the anti-join of the catalog with the tables.

One rule gives resume, rescan and rescoring.

Work is owed for a (video, content version, crop) that ``clips`` lacks and for a (clip, model) that
``scores`` lacks. A transient failure is owed again until its attempts are used up; a permanent one
when the content changes, or when somebody asks (``fakeout quarantine retry``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import pyarrow as pa

from fakeout_core.errors import TRANSIENT
from pipelines.config import PolicyConfig
from pipelines.current import FILE, Attempt, View, current
from pipelines.requests import Failure, requested_retries

Made = Callable[[str, Attempt | None], int | None]
"""From a video and its current attempt to the attempts so far, or None if nothing is owed."""


def owed_crops(view: View, policy: PolicyConfig) -> pa.Table:
    """Videos of the catalog that are owed a clip.

    A clip whose stored frames could not be scored (a transient failure of the score stage on a
    clip that is ok) is owed again too: cropping it anew is the remedy.

    Args:
        view: the tables.
        policy: attempts allowed for transient failures.

    Returns:
        Catalog rows, partition columns included; ``attempts`` int32: those made so far on this
        content, the next row carries one more; and ``why``: ``new``, ``changed`` or ``retry``.
    """
    asked = requested_retries(view.lake, view.dataset, view.split)

    def made(video: str, found: Attempt | None) -> int | None:
        if found is not None and found.is_ok:
            for score in view.failed_scores.get(video, ()):
                if (score.version, score.attempts) == (found.version, found.attempts):
                    return _next(video, score, policy, asked)
        return _next(video, found, policy, asked)

    return _owed(view.catalog, view.clips, made)


def owed_fused(view: View, policy: PolicyConfig) -> pa.Table:
    """Videos of the catalog that are owed a score, where no clips are kept; as ``owed_crops``."""
    asked = requested_retries(view.lake, view.dataset, view.split)
    return _owed(view.catalog, view.scores, lambda video, found: _next(video, found, policy, asked))


def owed_scores(view: View) -> pa.Table:
    """Current clips that the model has not scored yet.

    Failed clips are among them: the score stage passes them on as failed scores, so that every
    video has a row with its status and reason.

    Returns:
        One row per clip: ``clip_file`` (URI of the file that holds it), ``dataset``, ``split``,
        ``crop``, ``video_id``, ``content_version``, ``attempts`` (of the clip; its score carries
        the same), ``status``, ``reason``, ``duration_s``.
    """
    take: list[int] = []
    for video, version, listed_at in _identities(view.catalog):
        found = current(view.clips.get(video, ()), version, listed_at)
        if found is None:
            continue
        done = view.scores.get(video, ())
        if not any((s.version, s.attempts) == (found.version, found.attempts) for s in done):
            take.append(found.row)
    rows = view.clip_rows.take(pa.array(take, pa.int64()))
    prefix = f"{view.lake.root_path}/"
    files = [view.lake.place(path.removeprefix(prefix)) for path in rows[FILE].to_pylist()]
    n = rows.num_rows
    columns = {
        FILE: pa.array(files, pa.string()),
        "dataset": pa.array([view.dataset] * n, pa.string()),
        "split": pa.array([view.split] * n, pa.string()),
        "crop": pa.array([view.crop] * n, pa.string()),
    }
    for name in ("video_id", "content_version", "attempts", "status", "reason", "duration_s"):
        columns[name] = rows[name]
    # Clips of one file side by side: a reader opens it once.
    return pa.table(columns).sort_by([(FILE, "ascending"), ("video_id", "ascending")])


def _identities(catalog: pa.Table) -> Iterator[tuple[str, str, datetime]]:
    names = ("video_id", "content_version", "listed_at")
    return zip(*(catalog[name].to_pylist() for name in names), strict=True)


def _owed(catalog: pa.Table, attempts: Mapping[str, list[Attempt]], made: Made) -> pa.Table:
    take: list[int] = []
    counts: list[int] = []
    why: list[str] = []
    for index, (video, version, listed_at) in enumerate(_identities(catalog)):
        found = current(attempts.get(video, ()), version, listed_at)
        so_far = made(video, found)
        if so_far is not None:
            take.append(index)
            counts.append(so_far)
            why.append("retry" if found else "changed" if video in attempts else "new")
    rows = catalog.take(pa.array(take, pa.int64()))
    rows = rows.append_column("attempts", pa.array(counts, pa.int32()))
    return rows.append_column("why", pa.array(why, pa.string()))


def _next(
    video: str, found: Attempt | None, policy: PolicyConfig, asked: frozenset[Failure]
) -> int | None:
    """Attempts so far, if the video is owed one more; None if it is not."""
    if found is None:
        return 0
    if found.is_ok:
        return None
    if found.reason in TRANSIENT and found.attempts < policy.max_attempts:
        return found.attempts
    if Failure(video, found.version, found.attempts) in asked:
        return found.attempts
    return None
