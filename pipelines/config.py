"""Everything a run can be told, as one tree of frozen dataclasses.

``RunConfig`` is what YAML files and ``--set`` fill, what the run manifest records, and what Ray
workers receive. Defaults fit one machine; sizes left at None are derived from the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fakeout_core.checks import require_at_least, require_positive
from fakeout_core.config import CropConfig
from fakeout_core.model.config import Modality, ModelConfig, Variant


@dataclass(frozen=True)
class PlacementConfig:
    """Where a stage's workers run.

    Attributes:
        workers: size of the fixed actor pool; None derives it from the CPUs or GPUs that the
            cluster has when the stage begins, so give it where an autoscaler adds nodes later.
        cpus: logical CPUs of one worker.
        gpus: GPUs of one worker; a fraction shares one device.
        memory_mb: memory reserved for one worker, for Ray's scheduler; 0 reserves none.
        resources: custom resources of one worker, e.g. ``{crop: 0.001}``.
        labels: node labels a worker needs, e.g. ``{accelerator: l4}``.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 0
    resources: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "workers")
        require_at_least(self, 0, "cpus", "gpus", "memory_mb")


@dataclass(frozen=True)
class CropStageConfig:
    """The crop stage: how videos are read, not what a clip looks like (that is ``crop``).

    Attributes:
        placement: where its workers run.
        rows_per_shard: videos per Parquet file; 16 of up to 5 MB each make 64–256 MB shards.
        attempts: tries of a transient failure inside one run.
        retry_wait_s: first pause between them; doubles, with jitter.
        wall_s: wall clock of one video in the decoder process.
        child_memory_mb: memory of the decoder process.
        calls_per_child: videos before a decoder process is replaced (decord leaks).
        worker_deaths: how often one video may kill its worker before it is given up as crashed.
    """

    placement: PlacementConfig = field(default_factory=PlacementConfig)
    rows_per_shard: int = 16
    attempts: int = 3
    retry_wait_s: float = 1.0
    wall_s: float = 600.0
    child_memory_mb: int = 3_000
    calls_per_child: int = 100
    worker_deaths: int = 3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rows_per_shard", "attempts", "calls_per_child", "worker_deaths")
        require_at_least(self, 0, "retry_wait_s")
        require_positive(self, "wall_s", "child_memory_mb")


@dataclass(frozen=True)
class ScoreStageConfig:
    """The score stage.

    Attributes:
        placement: where its workers run; ``gpus`` above 0 asks for devices.
        decoders: concurrent JPEG decoding tasks ahead of the towers; None takes one per worker.
        rows_per_shard: videos per Parquet file of scores.
        rows_per_batch: videos handed to a worker at once; more only hold memory, since windows of
            different videos do not share a batch.
    """

    placement: PlacementConfig = field(default_factory=PlacementConfig)
    decoders: int | None = None
    rows_per_shard: int = 256
    rows_per_batch: int = 1

    def __post_init__(self) -> None:
        require_at_least(self, 1, "decoders", "rows_per_shard", "rows_per_batch")


@dataclass(frozen=True)
class PolicyConfig:
    """When a run is good enough, and what is tried again.

    Attributes:
        max_attempts: attempts over all runs on the same content for transient reasons.
        max_quarantine_share: exit code 3 above this share of failed videos; ``no_face`` and
            ``too_short`` describe the video and do not count.
        lock_ttl_s: a dataset lock not renewed for this long is taken over.
        lock_wait_s: how long a run waits for the lock before it leaves with exit code 1.
        room_wait_s: how long a stage waits for a node that has room for one of its workers (an
            autoscaler may be adding it) before the run leaves with exit code 1.
    """

    max_attempts: int = 3
    max_quarantine_share: float = 0.1
    lock_ttl_s: float = 600.0
    lock_wait_s: float = 0.0
    room_wait_s: float = 3600.0

    def __post_init__(self) -> None:
        require_at_least(self, 1, "max_attempts")
        require_at_least(self, 0, "lock_wait_s", "room_wait_s")
        require_positive(self, "lock_ttl_s")
        if not 0 <= self.max_quarantine_share <= 1:
            raise ValueError(
                f"max_quarantine_share must lie in 0..1, got {self.max_quarantine_share}"
            )


@dataclass(frozen=True)
class PricesConfig:
    """What an hour of a machine costs, for the estimates of ``fakeout plan``.

    Zero means no price: the plan then tells hours and no cost. Take the figures of your region
    and discounts.

    Attributes:
        currency: printed with the sums.
        cpu_hour: one CPU for an hour, memory included.
        gpu_hour: one GPU for an hour, with its share of the host.
    """

    currency: str = "USD"
    cpu_hour: float = 0.0
    gpu_hour: float = 0.0

    def __post_init__(self) -> None:
        require_at_least(self, 0, "cpu_hour", "gpu_hour")


@dataclass(frozen=True)
class ThroughputConfig:
    """Speeds that the plan assumes until the lake's own run manifests tell better.

    The CPU figures are rough: rounded from one run of the demonstration corpus on two busy Zen 4
    cores (4.6 s of work for 27.4 s of video; 94 s for 45 windows, start of the towers included).
    There is no GPU figure to give, so without one GPU-hours are left out.

    Attributes:
        crop_cpu_s_per_video_s: CPU seconds to crop one second of video.
        score_cpu_s_per_window: CPU seconds to score one window.
        score_gpu_s_per_window: GPU seconds to score one window; null if not known.
        windows_per_video: windows of one video; null takes the crop's number of windows.
    """

    crop_cpu_s_per_video_s: float = 0.2
    score_cpu_s_per_window: float = 2.0
    score_gpu_s_per_window: float | None = None
    windows_per_video: float | None = None

    def __post_init__(self) -> None:
        require_positive(self, "crop_cpu_s_per_video_s", "score_cpu_s_per_window")
        require_positive(self, "score_gpu_s_per_window", "windows_per_video")


@dataclass(frozen=True)
class RunConfig:
    """One run, resolved.

    Attributes:
        variant: ``x1`` or ``x2`` towers when there is no checkpoint; a checkpoint says its own.
        modality: ``av`` (face and voice) or ``v`` (face only), likewise.
        crop: what a clip looks like; its digest is the crop fingerprint.
        model: how the towers run and how windows become a score.
        crop_stage: workers of the crop stage.
        score_stage: workers of the score stage.
        policy: retries, thresholds and the lock.
        fused: score without keeping clips; rescoring then decodes again.
        prices: what the plan's hours cost.
        throughput: speeds that the plan assumes before the first run.
    """

    variant: Variant = "x1"
    modality: Modality = "av"
    crop: CropConfig = field(default_factory=CropConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    crop_stage: CropStageConfig = field(default_factory=CropStageConfig)
    score_stage: ScoreStageConfig = field(default_factory=ScoreStageConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    fused: bool = False
    prices: PricesConfig = field(default_factory=PricesConfig)
    throughput: ThroughputConfig = field(default_factory=ThroughputConfig)
