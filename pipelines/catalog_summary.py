"""What a catalog build says at its end: numbers, and what looks wrong with the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fakeout_core.datasets.facts import ALL, Listed
from fakeout_core.datasets.registry import CUSTOM
from fakeout_core.datasets.spec import DatasetSpec
from fakeout_core.errors import ConfigError
from pipelines.catalog_tally import EXAMPLES, Tally

_SKIPPED = {
    "not_media": "not media",
    "hidden": "hidden",
    "other_split": "of another split",
    "outside_layout": "outside the layout",
    "left_out": "left out by an option",
}
_LABELS = {0: "real", 1: "fake", None: "unlabelled"}


@dataclass(frozen=True)
class CatalogSummary:
    """One build of the catalog.

    Attributes:
        dataset: partition key.
        split: partition key.
        layout: name of the layout that read the corpus.
        n_listed: files below the source.
        n_videos: rows of the snapshot.
        n_new: videos that the catalog did not have.
        n_changed: videos whose bytes changed.
        n_edited: same bytes, but another label, identity or duplicate.
        n_unchanged: rows equal to the old ones.
        n_removed: videos of the old snapshot that are gone.
        n_probed: objects looked at in this build.
        n_reused: videos whose old probe results still hold.
        n_duplicates: videos whose bytes an earlier video has.
        n_quarantined: objects that could not be read.
        skipped: listed files that are no row, by kind.
        labels: videos by ``real``, ``fake``, ``unlabelled``.
        manipulations: videos by manipulation, with the variant in front where there is one.
        warnings: what looks wrong; each names examples.
        replaced: whether a new snapshot was written; False when nothing changed or on a dry run.
        files: Parquet files of the snapshot.
        seconds: wall clock.
    """

    dataset: str
    split: str
    layout: str
    n_listed: int = 0
    n_videos: int = 0
    n_new: int = 0
    n_changed: int = 0
    n_edited: int = 0
    n_unchanged: int = 0
    n_removed: int = 0
    n_probed: int = 0
    n_reused: int = 0
    n_duplicates: int = 0
    n_quarantined: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    manipulations: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    replaced: bool = False
    files: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        labels = ", ".join(f"{count} {name}" for name, count in self.labels.items())
        line = f"catalog {self.dataset}/{self.split}: {self.n_videos} videos ({labels})"
        changes = (
            (self.n_new, "new"),
            (self.n_changed, "changed"),
            (self.n_edited, "with new facts"),
            (self.n_removed, "removed"),
        )
        said = [f"{count} {name}" for count, name in changes if count]
        line += "; " + (", ".join(said) if said else "nothing changed")
        if self.n_duplicates:
            line += f"; {self.n_duplicates} duplicates"
        if self.n_quarantined:
            line += f"; {self.n_quarantined} could not be read and are in quarantine"
        if self.skipped:
            kinds = (f"{count} {_SKIPPED.get(kind, kind)}" for kind, count in self.skipped.items())
            line += "; skipped " + ", ".join(kinds)
        return "\n".join([line, *(f"warning: {warning}" for warning in self.warnings)])


def summarise(
    spec: DatasetSpec, dataset: str, split: str, tally: Tally, n_old: int, listed: Sequence[Listed]
) -> CatalogSummary:
    """Turn counts into a summary.

    Args:
        spec: the registry's entry for the layout.
        dataset: partition key.
        split: partition key.
        tally: counts of the build.
        n_old: rows of the old snapshot.
        listed: videos that the lists expect in this split.
    """
    counts = tally.counts
    labels: Counter[str] = Counter()
    manipulations: Counter[str] = Counter()
    for (variant, manipulation, label), count in sorted(tally.groups.items(), key=str):
        if count:
            labels[_LABELS[label]] += count
            manipulations["/".join(filter(None, (variant, manipulation or "unknown")))] += count
    return CatalogSummary(
        dataset=dataset,
        split=split,
        layout=spec.name,
        n_listed=counts["listed"],
        n_videos=counts["videos"],
        n_new=counts["new"],
        n_changed=counts["changed"],
        n_edited=counts["edited"],
        n_unchanged=counts["unchanged"],
        n_removed=n_old - counts["changed"] - counts["edited"] - counts["unchanged"],
        n_probed=counts["probed"],
        n_reused=counts["reused"],
        n_duplicates=counts["duplicates"],
        n_quarantined=counts["quarantined"],
        skipped=dict(sorted((kind, n) for kind, n in tally.skipped.items() if n)),
        labels=dict(labels),
        manipulations=dict(manipulations),
        warnings=tuple(warnings(spec, split, tally, listed)),
    )


def warnings(spec: DatasetSpec, split: str, tally: Tally, listed: Sequence[Listed]) -> list[str]:
    """Compare what was found with the lists and with the published counts."""
    found: list[str] = []
    unlabelled = _count(tally, label=None)
    if unlabelled and spec.name != CUSTOM:
        found.append(f"{unlabelled} videos are on no list of labels; they stay unlabelled")
    unknown = sum(n for (_, m, label), n in tally.groups.items() if label == 1 and m is None)
    if unknown and "manipulation" in spec.options:
        # Without names for them, fakes can be counted against no list.
        return [
            *found,
            f"the manipulation of {unknown} fakes is unknown; name it with --option manipulation=…",
        ]
    variants = sorted({variant for variant, _, _ in tally.groups})
    named: set[tuple[str, str]] = set()
    for variant in variants:
        seen = set(tally.seen.get(variant, np.empty(0, np.int32)).tolist())
        by_kind: dict[str, list[Listed]] = {}
        for item in listed:
            by_kind.setdefault(item.manipulation or "", []).append(item)
        for kind, items in sorted(by_kind.items()):
            missing = [item.name for item in items if item.entry not in seen]
            if missing:
                named.add((variant, kind))
                what = " ".join(filter(None, (variant, kind)))
                found.append(
                    f"{len(missing)} of {len(items)} listed {what + ' ' if what else ''}videos "
                    f"are missing, e.g. {_some(missing)}"
                )
    published = spec.published_counts.get(split if spec.splits else ALL, {})
    for variant in variants:
        for kind, wanted in published.items():
            n = _count(tally, variant, kind)
            if n != wanted and (variant, kind) not in named:
                what = " ".join(filter(None, (variant, split, kind)))
                found.append(f"{n} {what} videos, {wanted} are published")
    return found


def _count(
    tally: Tally, variant: str | None = None, kind: str | None = None, *, label: int | None = -1
) -> int:
    """Videos of a variant and of a kind: a manipulation, or ``real`` or ``fake``; or of a label."""
    total = 0
    for (v, m, k), n in tally.groups.items():
        is_kind = kind is None or m == kind or (kind == "fake" and k == 1)
        if (variant is None or v == variant) and is_kind and label in (-1, k):
            total += n
    return total


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:EXAMPLES])
    return shown + (", …" if len(names) > EXAMPLES else "")


def refuse_empty(spec: DatasetSpec, source_uri: str, split: str, tally: Tally) -> None:
    """Raise if the corpus gave no video, and say what was wanted and what is there.

    Raises:
        ConfigError: empty folder, no video in it, another layout, or none of this split.
    """
    if tally.counts["videos"]:
        return
    if not tally.counts["listed"]:
        raise ConfigError(
            f"{source_uri} is empty; give a folder, bucket or prefix that holds videos"
        )
    found = [path for kind in sorted(tally.examples) for path in tally.examples[kind]][:EXAMPLES]
    if tally.skipped["other_split"]:
        have = ", ".join(f"{n} of {name}" for name, n in sorted(tally.splits.items()))
        raise ConfigError(
            f"{source_uri}: no video of split {split!r}; the corpus holds "
            f"{have or 'videos of no known split'}. Choose another split, or {ALL!r}"
        )
    if tally.skipped["outside_layout"]:
        raise ConfigError(
            f"{source_uri} is not laid out as {spec.title}.\n"
            f"  expected one of: {'; '.join(spec.expected_tree)}\n"
            f"  found: {'; '.join(tally.examples['outside_layout'])}\n"
            f"  Point at the folder above these, or use --dataset with another name for a custom "
            "corpus"
        )
    raise ConfigError(
        f"{source_uri}: none of its {tally.counts['listed']} files is a video; found "
        f"{'; '.join(found)}"
    )
