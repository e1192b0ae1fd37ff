"""``fakeout demo``: the whole pipeline on a small corpus that ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.options import ConfigOption, SetOption, load_config


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: fakeout demo --folder build/demo")
    def demo(
        folder: Annotated[Path, typer.Option(help="Where videos and lake go.")] = Path(
            "build/demo"
        ),
        config: ConfigOption = None,
        settings: SetOption = None,
    ) -> None:
        """Score short real videos and altered copies of them, end to end, on this machine."""
        from jobs.commands.run import execute
        from jobs.demo_corpus import build_demo_corpus
        from pipelines.run import RunRequest

        videos = folder / "videos"
        print(f"corpus: {len(build_demo_corpus(videos))} videos in {videos}")
        execute(
            RunRequest(
                lake_uri=str(folder / "lake"),
                dataset="demo",
                split="all",
                source_uri=str(videos),
                labels_csv=str(videos / "labels.csv"),
                config=load_config(config, settings),
            )
        )
