"""Configuration: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakeout_core.errors import ConfigError
from pipelines.config import RunConfig
from pipelines.settings import load_settings


def test_defaults_file_and_overrides_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("crop: {n_windows: 7, audio: false}\nvariant: x2\n")
    config = load_settings(RunConfig, str(file), ["crop.n_windows=9"])
    assert (config.crop.n_windows, config.crop.audio, config.variant) == (9, False, "x2")
    assert config.crop.steps == RunConfig().crop.steps


def test_groups_lists_and_mappings_from_the_command_line() -> None:
    config = load_settings(
        RunConfig, None, ["score_stage.placement={workers: 2, gpus: 1, resources: {score: 1}}"]
    )
    placement = config.score_stage.placement
    assert (placement.workers, placement.gpus, placement.resources) == (2, 1.0, {"score": 1.0})


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("crop.n_window=3", "did you mean crop.n_windows"),
        ("nothing=3", "no such setting"),
        ("crop.n_windows=many", "wants int, got 'many'"),
        ("crop.audio=1", "wants bool"),
        ("crop.n_windows=true", "wants int"),
        ("model.precision=float16", "float32"),
        ("crop=3", "wants a group of settings"),
        ("score_stage.placement.workers=0", "at least 1"),
        ("crop.n_windows", "--set takes key=value"),
        ("crop.n_windows.deep=1", "wants int"),
        ("crop.n_windows=0", r"crop\.n_windows must be at least 1, got 0"),
        ("crop.jpeg_quality=101", r"crop\.jpeg_quality must lie in 1\.\.100"),
        ("crop.pyramid_skip=-1", r"crop\.pyramid_skip must be at least 0"),
        ("crop.limits.max_bytes=0", r"crop\.limits\.max_bytes must be at least 1"),
        ("crop_stage.wall_s=-1", r"crop_stage\.wall_s must be above 0"),
        ("crop_stage.retry_wait_s=.nan", r"retry_wait_s must be at least 0, got nan"),
        ("crop_stage.placement.workers=0", r"placement\.workers must be at least 1"),
        ("score_stage.rows_per_batch=0", r"score_stage\.rows_per_batch must be at least 1"),
        ("policy.max_quarantine_share=2", r"policy\.max_quarantine_share must lie in 0\.\.1"),
        ("throughput.score_gpu_s_per_window=0", r"score_gpu_s_per_window must be above 0"),
        ("crop=[", "not YAML"),
    ],
)
def test_mistakes_say_what_was_wanted(setting: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(RunConfig, None, [setting])


def test_all_mistakes_of_a_file_come_together(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("crop: {n_windows: x, nope: 1}\nvariant: x3\n")
    with pytest.raises(ConfigError) as error:
        load_settings(RunConfig, str(file))
    text = str(error.value)
    assert str(file) in text
    assert all(name in text for name in ("crop.n_windows", "crop.nope", "variant"))


@pytest.mark.parametrize("text", ["- a list", "key: [unclosed"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_settings(RunConfig, str(file))


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(RunConfig, "no/such.yaml")
