"""Settings of the metrics and the closed list of reasons for a null."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

POLICIES = ("exclude", "score_0.5")
"""What becomes of a video without a face: left out, or scored 0.5 (as SelfBlendedImages does)."""


class Undefined(StrEnum):
    """Why a metric has no value. The list is closed."""

    NO_LABELS = "no_labels"  # nothing in the slice is labelled
    NO_SCORES = "no_scores"  # labelled, and none of it scored
    ONE_CLASS = "one_class"  # only reals, or only fakes
    NAN_SCORES = "nan_scores"  # a score is NaN or infinite: a defect of the model or the table
    OUT_OF_RANGE = "out_of_range"  # a score outside 0..1 where a probability is needed
    NO_VIDEOS = "no_videos"  # nothing in the slice at all


@dataclass(frozen=True)
class MetricsConfig:
    """How metrics are computed. Defaults are those of the published tables this project makes.

    Attributes:
        replicates: bootstrap replicates per slice; 0 leaves the intervals out.
        confidence: of the intervals, 0..1.
        seed: of the bootstrap; equal seeds and rows give equal intervals.
        max_groups: more sources than this are dealt at random into this many groups for the
            bootstrap (docs/decisions/0063); memory grows with groups × cells.
        max_cells: more distinct scores than this are merged, for the bootstrap only.
        exact_rows: above this many rows of one level, ranks come from a histogram.
        sketch_bins: bins of that histogram.
        sketch_groups: bootstrap groups in histogram form.
        sketch_cells: bootstrap cells in histogram form.
        ece_bins: equal-width bins of the calibration error and the reliability table.
        curve_points: points kept per ROC and precision-recall curve.
        duration_edges_s: borders of the duration slices, seconds.
        face_edges_px: borders of the face-size slices, px.
    """

    replicates: int = 1000
    confidence: float = 0.95
    seed: int = 0
    max_groups: int = 1000
    max_cells: int = 2048
    exact_rows: int = 10_000_000
    sketch_bins: int = 65_536
    sketch_groups: int = 400
    sketch_cells: int = 1024
    ece_bins: int = 15
    curve_points: int = 500
    duration_edges_s: tuple[float, ...] = (5.0, 15.0, 60.0)
    face_edges_px: tuple[float, ...] = (64.0, 128.0, 256.0)

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")
        if self.replicates < 0:
            raise ValueError(f"replicates must be at least 0, got {self.replicates}")
        for name in ("max_groups", "max_cells", "sketch_groups", "sketch_cells", "curve_points"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        if self.ece_bins < 1:
            raise ValueError(f"ece_bins must be at least 1, got {self.ece_bins}")
        if self.sketch_bins % 2 or self.sketch_bins < 2 or self.sketch_bins % self.sketch_cells:
            raise ValueError(
                f"sketch_bins must be even and a multiple of sketch_cells ({self.sketch_cells}),"
                f" got {self.sketch_bins}"
            )
        for name in ("duration_edges_s", "face_edges_px"):
            edges = getattr(self, name)
            if list(edges) != sorted(set(edges)):
                raise ValueError(f"{name} must rise, got {list(edges)}")
