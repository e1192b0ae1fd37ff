"""A nightly rescan: one run, compaction, and what changed since the last one.

The run does what is owed and nothing else; what is added here is the account of it: the current
outcome of every video before and after, compared.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow.dataset as pads

from fakeout_core.ids import crop_fingerprint
from pipelines import storage, telemetry
from pipelines.compact import compact
from pipelines.current import read_catalog
from pipelines.lake import Lake
from pipelines.run import RunReport, RunRequest, Show, model_key_of, run

FOLDER = "reports"
MAX_NAMED = 50
"""Videos named one by one in each list of a summary; all are counted."""


@dataclass(frozen=True)
class NightlyConfig:
    """What a rescan does beside the run.

    Attributes:
        shift: a score that moved by at least this much is reported.
        compact: whether small files are merged at the end.
    """

    shift: float = 0.1
    compact: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a video stands.

    Attributes:
        content_version: of the bytes that the outcome is about.
        score: None if it has none.
        reason: why it has none.
    """

    content_version: str
    score: float | None
    reason: str | None


@dataclass(frozen=True)
class Summary:
    """What a rescan changed. Lists name at most fifty videos; counts are whole.

    Attributes:
        run_id: the run.
        dataset: its dataset.
        split: its split.
        videos: in the catalog now.
        counts: new, changed, deleted, shifted, failed, healed.
        new: videos that were not there before.
        changed: videos whose bytes changed.
        deleted: videos that are gone.
        shifted: video, score before, score now.
        failed: video and reason, of failures that were none before.
        healed: videos that failed before and have a score now.
        cropped: videos decoded by the run.
        scored: videos scored by the run.
        compacted_files: small files that were merged.
        quarantine_share: share of the videos in quarantine.
        weights_untrained: whether the scores mean nothing.
    """

    run_id: str
    dataset: str
    split: str
    videos: int
    counts: dict[str, int] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    shifted: list[tuple[str, float, float]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)
    cropped: int = 0
    scored: int = 0
    compacted_files: int = 0
    quarantine_share: float = 0.0
    weights_untrained: bool = False

    def __str__(self) -> str:
        lines = [
            f"{self.dataset}/{self.split}: {self.videos} videos; "
            + ", ".join(f"{count} {name}" for name, count in self.counts.items())
            + f"; decoded {self.cropped}, scored {self.scored}"
        ]
        for name in ("new", "changed", "deleted", "healed"):
            lines += [f"  {name}: {_plain(video)}" for video in getattr(self, name)]
        lines += [f"  shifted: {_plain(v)}: {a:.3f} → {b:.3f}" for v, a, b in self.shifted]
        lines += [f"  failed: {_plain(video)}: {reason}" for video, reason in self.failed]
        return "\n".join(lines)


def rescan(
    request: RunRequest, config: NightlyConfig, show: Show | None = None
) -> tuple[RunReport, Summary]:
    """Bring a dataset up to date and say what changed.

    Args:
        request: the run; its source is listed anew.
        config: what is done beside the run.
        show: told about progress.

    Returns:
        The run's report, and the summary, which is also kept as ``reports/<run_id>.json``.

    Raises:
        As ``pipelines.run.run``.
    """
    # Both looks and the compaction are made under the run's lock: what another run does before
    # or after is not ours to report, and none gets in between.
    model_key = model_key_of(request)
    before: dict[str, Outcome] = {}
    after: dict[str, Outcome] = {}
    merged: list[str] = []

    def look(lake: Lake) -> None:
        before.update(outcomes(lake, request, model_key))

    def finish(lake: Lake, _: RunReport) -> None:
        after.update(outcomes(lake, request, model_key))
        if config.compact:
            for one in compact(lake, dataset=request.dataset):
                merged.extend(one.group.files)

    report = run(request, show, look, finish)
    summary = dataclasses.replace(
        compare(before, after, config.shift),
        run_id=report.run_id,
        dataset=request.dataset,
        split=request.split,
        cropped=report.cropped,
        scored=report.scored,
        compacted_files=len(merged),
        quarantine_share=report.quarantine_share,
        weights_untrained=request.checkpoint is None,
    )
    compared = sum(outcome.score is not None for outcome in before.values())
    telemetry.rescan_finished(request.dataset, compared, summary.counts.get("shifted", 0))
    uri = Lake(request.lake_uri).place(FOLDER, f"{report.run_id}.json")
    storage.write_bytes(uri, json.dumps(dataclasses.asdict(summary), indent=1).encode())
    return report, summary


def outcomes(lake: Lake, request: RunRequest, model_key: str) -> dict[str, Outcome]:
    """The current outcome of every catalogued video, None-scored where it has no row yet."""
    crop_key = crop_fingerprint(request.config.crop)
    where = {"dataset": request.dataset, "split": request.split}
    names = ["video_id", "content_version", "listed_at"]
    rows = _scores(lake, {**where, "model": model_key}, crop_key)
    found: dict[str, Outcome] = {}
    for video in read_catalog(lake, request.dataset, request.split, names).to_pylist():
        row = current_row(rows.get(video["video_id"], []), video)
        found[video["video_id"]] = Outcome(
            video["content_version"],
            row["score"] if row else None,
            row["reason"] if row else None,
        )
    return found


def _scores(lake: Lake, where: dict[str, str], crop_key: str) -> dict[str, list[dict[str, Any]]]:
    columns = ["video_id", "content_version", "attempts", "scored_at", "score", "reason", "status"]
    table = lake.read("scores", columns, pads.field("crop") == crop_key, **where)
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_video.setdefault(row["video_id"], []).append(row)
    return by_video


def current_row(rows: list[dict[str, Any]], video: dict[str, Any]) -> dict[str, Any] | None:
    """The row that counts for a catalogued video: newest of its version."""
    valid = [
        row
        for row in rows
        if row["content_version"] == video["content_version"]
        or row["scored_at"] >= video["listed_at"]
    ]
    return max(valid, key=lambda row: (row["scored_at"], row["attempts"]), default=None)


def compare(before: dict[str, Outcome], after: dict[str, Outcome], shift: float) -> Summary:
    """What changed between two states.

    Args:
        before: video → outcome.
        after: video → outcome.
        shift: least difference of scores that is reported.

    Returns:
        A summary without the facts of the run.
    """
    both = sorted(before.keys() & after.keys())
    new = sorted(after.keys() - before.keys())
    deleted = sorted(before.keys() - after.keys())
    changed = [v for v in both if before[v].content_version != after[v].content_version]
    shifted = [
        (video, old, now)
        for video in both
        if (old := before[video].score) is not None
        and (now := after[video].score) is not None
        and abs(now - old) >= shift
    ]
    failed = [
        (video, reason)
        for video in sorted(after)
        if (reason := after[video].reason) is not None
        and (video not in before or before[video].reason != reason or video in set(changed))
    ]
    healed = [v for v in both if before[v].reason is not None and after[v].score is not None]
    counts = {
        "new": len(new),
        "changed": len(changed),
        "deleted": len(deleted),
        "shifted": len(shifted),
        "failed": len(failed),
        "healed": len(healed),
    }
    shifted.sort(key=lambda one: -abs(one[2] - one[1]))
    return Summary(
        run_id="",
        dataset="",
        split="",
        videos=len(after),
        counts=counts,
        new=new[:MAX_NAMED],
        changed=changed[:MAX_NAMED],
        deleted=deleted[:MAX_NAMED],
        shifted=shifted[:MAX_NAMED],
        failed=failed[:MAX_NAMED],
        healed=healed[:MAX_NAMED],
    )


def _plain(name: str) -> str:
    """A file name on one line, whatever it holds."""
    return name.encode("unicode_escape").decode()
