"""``fakeout plan``: what a run would do and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import CheckpointOption, ConfigOption, LakeOption, SetOption, load_config

if TYPE_CHECKING:
    from pipelines.plan import Plan


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Examples: fakeout plan --lake gs://b/lake · "
        "fakeout plan --lake lake/ --dataset dfdc --checkpoint new.pkl --json · "
        "fakeout plan --lake lake/ --set prices.cpu_hour=0.05 --set prices.gpu_hour=0.8"
    )
    def plan(
        lake: LakeOption,
        dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
        split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
        checkpoint: CheckpointOption = None,
        is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
        config: ConfigOption = None,
        settings: SetOption = None,
    ) -> None:
        """Tell what is owed: videos, hours, estimated CPU- and GPU-hours, and cost.

        Compares the catalog with the tables and runs nothing. Speeds come from the lake's past
        runs, or from the settings throughput.*; prices from the settings prices.*.
        """
        from fakeout_core.detector import model_fingerprint
        from fakeout_core.errors import ConfigError
        from fakeout_core.ids import crop_fingerprint
        from pipelines.checkpoints import local_checkpoint
        from pipelines.lake import existing_lake
        from pipelines.plan import datasets_of, make_plan

        resolved = load_config(config, settings)
        tables = existing_lake(lake)
        found = datasets_of(tables, dataset, split)
        if not found:
            raise ConfigError(
                f"the catalog of {lake} holds no such dataset; make it with: fakeout catalog"
            )
        with local_checkpoint(checkpoint) as path:
            model = model_fingerprint(path, resolved.variant, resolved.modality, resolved.model)
        crop = crop_fingerprint(resolved.crop)
        plans = [make_plan(tables, *one, crop, model, resolved) for one in found]
        _print_json(plans) if is_json else _print_table(plans)


def _print_json(plans: list[Plan]) -> None:
    import dataclasses
    import json

    print(json.dumps([dataclasses.asdict(plan) for plan in plans], indent=1))


def _print_table(plans: list[Plan]) -> None:
    from rich.table import Table

    from jobs.terminal import console

    table = Table("owed", title="Plan")
    for plan in plans:
        table.add_column(f"{plan.dataset} / {plan.split}", justify="right")
    lines: dict[str, list[str]] = {
        "videos in the catalog": [str(plan.videos) for plan in plans],
        "to crop: new": [str(plan.to_crop.get("new", 0)) for plan in plans],
        "to crop: changed": [str(plan.to_crop.get("changed", 0)) for plan in plans],
        "to crop: tried again": [str(plan.to_crop.get("retry", 0)) for plan in plans],
        "to score": [str(plan.to_score) for plan in plans],
        "deleted, nothing to do": [str(plan.deleted) for plan in plans],
        "hours of video": [f"{plan.video_hours:,.2f}" for plan in plans],
        "CPU-hours": [f"{plan.cpu_hours:,.2f}" for plan in plans],
        "GPU-hours": ["-" if p.gpu_hours is None else f"{p.gpu_hours:,.2f}" for p in plans],
        "cost": ["-" if p.cost is None else f"{p.cost:,.2f} {p.currency}" for p in plans],
    }
    for name, cells in lines.items():
        table.add_row(name, *cells)
    screen = console()
    screen.print(table)
    speed = plans[0].speed
    gpu = speed.score_gpu_s_per_window
    screen.print(
        f"assuming {speed.crop_cpu_s_per_video_s:.3g} CPU s per second of video, "
        f"{speed.score_cpu_s_per_window:.3g} CPU s "
        f"({'GPU speed not known' if gpu is None else f'{gpu:.3g} GPU s'}) per window, "
        f"{speed.windows_per_video:.3g} windows per video; from: {speed.source}",
        soft_wrap=True,
    )
    if all(plan.cost is None for plan in plans):
        screen.print("no cost: set prices.cpu_hour and prices.gpu_hour", soft_wrap=True)
