"""What a run would do, and cost: videos, hours of video, CPU- and GPU-hours, money.

Speeds come from the lake's own run manifests where there are any, else from the configuration;
prices always from the configuration. The plan reads tables and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import layout
from pipelines.config import RunConfig
from pipelines.current import View
from pipelines.lake import Lake
from pipelines.manifest import read_manifests
from pipelines.owed import owed_crops, owed_fused, owed_scores


@dataclass(frozen=True)
class Speed:
    """Cost of the stages, and where the figures come from.

    Attributes:
        crop_cpu_s_per_video_s: CPU seconds for one second of video.
        score_cpu_s_per_window: CPU seconds for one window, if scored on CPUs.
        score_gpu_s_per_window: GPU seconds for one window; None if not known.
        windows_per_video: mean over videos.
        source: ``configuration``, or the run ids it was measured in.
    """

    crop_cpu_s_per_video_s: float
    score_cpu_s_per_window: float
    score_gpu_s_per_window: float | None
    windows_per_video: float
    source: str


@dataclass(frozen=True)
class Plan:
    """What is owed for one dataset and split.

    Attributes:
        dataset: its name.
        split: its split.
        videos: videos in the catalog.
        to_crop: videos owed a clip (or, fused, a score), by why: new, changed, retry.
        to_score: clips owed a score: those to be made, and those that the model has not seen.
        deleted: videos that have clips or scores and left the catalog; they cost nothing.
        video_hours: length of what is to be cropped.
        unknown_durations: videos to be cropped whose length the catalog does not know; they
            count with the mean of the others.
        cpu_hours: crop, and score if it runs on CPUs.
        gpu_hours: score on GPUs; None if it runs on CPUs or the speed is not known.
        cost: None without prices, or where GPU-hours are not known.
        currency: of the cost.
        speed: the assumptions.
    """

    dataset: str
    split: str
    videos: int
    to_crop: dict[str, int]
    to_score: int
    deleted: int
    video_hours: float
    unknown_durations: int
    cpu_hours: float
    gpu_hours: float | None
    cost: float | None
    currency: str
    speed: Speed = field(repr=False)


def datasets_of(
    lake: Lake, dataset: str | None = None, split: str | None = None
) -> list[tuple[str, str]]:
    """The (dataset, split) pairs that the catalog holds, filtered."""
    found = {
        (values["dataset"], values["split"])
        for values in map(layout.partition_of, lake.files("catalog"))
    }
    return sorted(pair for pair in found if dataset in (None, pair[0]) and split in (None, pair[1]))


def make_plan(
    lake: Lake, dataset: str, split: str, crop: str, model: str, config: RunConfig
) -> Plan:
    """Plan one dataset and split.

    Args:
        lake: the lake.
        dataset: its name.
        split: its split.
        crop: crop fingerprint.
        model: model fingerprint.
        config: policy, prices, assumed speeds, and whether scoring has GPUs.

    Returns:
        The plan.
    """
    view = View(lake, dataset, split, crop, model)
    waiting: list[str] = []
    if config.fused:
        owed = owed_fused(view, config.policy)
    else:
        owed = owed_crops(view, config.policy)
        clips = owed_scores(view)
        # A clip that is to be made again is scored once, as the new one.
        again = set(owed["video_id"].to_pylist())
        pairs = zip(clips["video_id"].to_pylist(), clips["status"].to_pylist(), strict=True)
        waiting = [video for video, status in pairs if status == "ok" and video not in again]
    speed = speeds(read_manifests(lake), config)
    durations = owed["duration_s"].to_pylist()
    unknown = sum(1 for one in durations if one is None)
    video_s = sum(one for one in durations if one is not None)
    video_s += unknown * _mean(durations, view.catalog["duration_s"].to_pylist())
    to_score = owed.num_rows + len(waiting)
    windows = to_score * speed.windows_per_video
    cpu_s = video_s * speed.crop_cpu_s_per_video_s
    gpu_hours = None
    has_gpus = config.score_stage.placement.gpus > 0
    if not has_gpus:
        cpu_s += windows * speed.score_cpu_s_per_window
    elif speed.score_gpu_s_per_window is not None:
        gpu_hours = windows * speed.score_gpu_s_per_window / 3600
    return Plan(
        dataset=dataset,
        split=split,
        videos=view.catalog.num_rows,
        to_crop=dict(Counter(owed["why"].to_pylist())),
        to_score=to_score,
        deleted=view.deleted(),
        video_hours=video_s / 3600,
        unknown_durations=unknown,
        cpu_hours=cpu_s / 3600,
        gpu_hours=gpu_hours,
        cost=_cost(config, cpu_s / 3600, gpu_hours, has_gpus=has_gpus),
        currency=config.prices.currency,
        speed=speed,
    )


def _mean(*choices: Sequence[float | None]) -> float:
    """Mean of the known values of the first list that has any."""
    for values in choices:
        known = [one for one in values if one is not None]
        if known:
            return sum(known) / len(known)
    return 0.0


def _cost(
    config: RunConfig, cpu_hours: float, gpu_hours: float | None, *, has_gpus: bool
) -> float | None:
    prices = config.prices
    if prices.cpu_hour == 0 and prices.gpu_hour == 0:
        return None
    if has_gpus and gpu_hours is None:
        return None
    return cpu_hours * prices.cpu_hour + (gpu_hours or 0.0) * prices.gpu_hour


def speeds(manifests: Sequence[Mapping[str, Any]], config: RunConfig) -> Speed:
    """Mean speeds over past runs, weighted by their work; the configuration's where none ran.

    Args:
        manifests: as ``read_manifests`` returned them.
        config: the assumptions; runs count for a stage only if its resources were of the same
            kind (CPU or GPU), and for the crop only if its settings were the same.
    """
    assumed = config.throughput
    wants_gpus = config.score_stage.placement.gpus > 0
    crop_s = video_s = 0.0
    work_s = windows = videos = 0.0
    used: list[str] = []
    for manifest in manifests:
        speed = manifest.get("throughput", {})
        crop, score = speed.get("crop"), speed.get("score")
        before = (crop_s, work_s)
        if crop and crop["video_s"] > 0:
            crop_s += crop["work_s"]
            video_s += crop["video_s"]
        gpus = manifest["config"].get("score_stage", {}).get("placement", {}).get("gpus", 0)
        if score and score["windows"] > 0 and (gpus > 0) == wants_gpus:
            work_s += score["work_s"]
            windows += score["windows"]
            videos += score["videos"]
        if (crop_s, work_s) != before:
            used.append(manifest["run_id"])
    per_window = work_s / windows if windows else None
    default_windows = assumed.windows_per_video or float(config.crop.n_windows)
    return Speed(
        crop_cpu_s_per_video_s=crop_s / video_s if video_s else assumed.crop_cpu_s_per_video_s,
        score_cpu_s_per_window=(
            per_window if per_window and not wants_gpus else assumed.score_cpu_s_per_window
        ),
        score_gpu_s_per_window=(
            per_window if per_window and wants_gpus else assumed.score_gpu_s_per_window
        ),
        windows_per_video=windows / videos if videos else default_windows,
        source="runs " + ", ".join(used) if used else "configuration",
    )
