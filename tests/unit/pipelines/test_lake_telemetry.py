"""Metrics are no-ops without Ray, logs are JSON, and dashboards use only names that exist."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
import yaml

from pipelines import telemetry

DASHBOARDS = Path(__file__).resolve().parents[3] / "docs" / "dashboards"
_SUFFIXES = ("_bucket", "_sum", "_count")


def used_names(text: str) -> set[str]:
    names = set()
    for found in re.findall(r"ray_(fakeout_\w+)", text):
        stem = next((found.removesuffix(s) for s in _SUFFIXES if found.endswith(s)), found)
        is_part = stem in telemetry.METRICS and telemetry.METRICS[stem].kind == "histogram"
        names.add(stem if is_part else found)
    return names


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yaml"])
def test_dashboards_use_metrics_that_exist(name: str) -> None:
    used = used_names((DASHBOARDS / name).read_text())
    assert len(used) >= 4
    assert used <= telemetry.METRICS.keys(), f"{name} names unknown metrics"


def test_every_metric_is_on_the_dashboard() -> None:
    assert used_names((DASHBOARDS / "grafana.json").read_text()) == telemetry.METRICS.keys()


def expressions() -> list[str]:
    board = json.loads((DASHBOARDS / "grafana.json").read_text())
    rules = yaml.safe_load((DASHBOARDS / "alerts.yaml").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return found


@pytest.mark.parametrize("expression", expressions())
def test_labels_in_selectors_exist(expression: str) -> None:
    assert expression.count("(") == expression.count(")")
    for name, selector in re.findall(r"ray_(fakeout_\w+)\{([^}]*)\}", expression):
        labels = re.findall(r"(\w+)\s*[=!~]+", selector)
        assert set(labels) <= set(telemetry.METRICS[name].labels), expression


def test_panels_do_not_overlap_and_rules_say_what_to_do() -> None:
    board = json.loads((DASHBOARDS / "grafana.json").read_text())
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
    rules = yaml.safe_load((DASHBOARDS / "alerts.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert {"summary", "action"} <= rule["annotations"].keys()


def test_without_ray_nothing_happens_and_wrong_names_are_bugs() -> None:
    telemetry.count("fakeout_videos_total", stage="crop", outcome="ok")
    telemetry.gauge("fakeout_queue_videos", 3, stage="crop")
    telemetry.observe("fakeout_video_seconds", 1.0, stage="crop")
    with pytest.raises(KeyError):
        telemetry.count("fakeout_video_total")


def test_logs_are_json_with_run_and_video() -> None:
    stream = io.StringIO()
    names = (telemetry.LOGGER, "pipelines", "fakeout_core", "jobs")
    before = {n: (logging.getLogger(n).handlers, logging.getLogger(n).propagate) for n in names}
    try:
        telemetry.log_json(stream=stream, run_id="r1", dataset="d")
        telemetry.video_done("crop", "timeout", 1.5, 0, "a b/é\n.mp4", "too slow")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("pipelines.lake").exception("what %s", "now")
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers = handlers
            logging.getLogger(name).propagate = propagate
        telemetry._context.set(None)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["run_id"] == "r1"
    assert first["video_id"] == "a b/é\n.mp4"
    assert (first["severity"], first["outcome"], first["detail"]) == (
        "WARNING",
        "timeout",
        "too slow",
    )
    assert second["message"] == "what now"
    assert "ValueError: boom" in second["exception"]
