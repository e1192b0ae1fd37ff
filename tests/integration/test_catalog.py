"""The catalog on local corpora: what becomes a row, rescans, duplicates, failures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fakeout_core.errors import ConfigError
from fakeout_core.ids import content_version
from jobs.commands import catalog
from pipelines.catalog import CatalogSummary, build_catalog
from pipelines.lake import Lake
from pipelines.objects import ObjectInfo
from pipelines.storage import list_objects, stat_object

from .catalog_trees import Tree, write_pattern

pytestmark = pytest.mark.beam

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pattern") / "pattern.mp4"
    write_pattern(path)
    return path


@pytest.fixture
def tree(tmp_path: Path, data: Path, pattern: Path) -> Tree:
    real = tmp_path / "one.mp4"  # hard links need one file system
    fake = tmp_path / "two.mp4"
    shutil.copy(data / "media" / "obama_speech.mp4", real)
    shutil.copy(pattern, fake)
    return Tree(tmp_path / "corpus", real, fake)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., tuple[CatalogSummary, Rows]]:
    lake = str(tmp_path / "lake")

    def run(source: object, dataset: str = "mine", split: str = "all", **more: Any):
        summary = build_catalog(str(source), lake, dataset, split, **more)
        rows = Lake(lake).read("catalog", dataset=dataset, split=split).to_pylist()
        assert len({row["video_id"] for row in rows}) == len(rows)
        return summary, {row["video_id"]: row for row in rows}

    return run


def test_what_becomes_a_row(tree: Tree, build) -> None:
    odd = 'fake/wav2lip/it\'s "odd"\nname 😀.mp4'
    tree.add("real/same.mp4", "b/noextension", "b/same.MOV")
    tree.add("fake/same.mp4", odd, fake=True)
    bad_name = os.fsdecode(b"not utf-8 \xff.mp4")
    tree.add(bad_name)
    tree.text("text.mp4", "hello")
    tree.text("empty.mp4", "")
    tree.text("notes.txt", "hello")
    tree.text("unknown.xyz", "hello")
    tree.text(".DS_Store", "hello")
    summary, rows = build(tree.root)
    assert set(rows) == {
        "real/same.mp4",
        "fake/same.mp4",
        odd,
        "b/noextension",
        "b/same.MOV",
        "text.mp4",
        "empty.mp4",
        "not utf-8 %FF.mp4",
    }
    assert rows["not utf-8 %FF.mp4"]["codec"] == "h264"
    real, fake = rows["real/same.mp4"], rows[odd]
    assert (real["label"], real["manipulation"]) == (0, "real")
    assert (fake["label"], fake["manipulation"]) == (1, "wav2lip")
    assert rows["b/same.MOV"]["label"] is None
    assert (real["container"], real["codec"]) == ("mp4", "h264")
    assert (real["width"], real["height"], real["has_audio"]) == (320, 240, True)
    assert real["duration_s"] == pytest.approx(8.71, abs=0.05)
    assert (fake["codec"], fake["has_audio"], fake["fps"]) == ("mpeg4", False, 25.0)
    assert rows["text.mp4"]["probe_status"] == "unreadable"
    assert rows["text.mp4"]["container"] is None
    assert rows["empty.mp4"]["probe_status"] == "empty"
    assert summary.skipped == {"hidden": 1, "not_media": 2}
    assert summary.labels == {"real": 1, "fake": 2, "unlabelled": 5}
    assert summary.n_quarantined == 0
    info = stat_object(str(tree.root / "real/same.mp4"))
    assert real["content_version"] == content_version(info.generation, info.checksum, 173378)
    assert real["uri"] == info.uri


def test_rescan_looks_only_at_what_changed(tree: Tree, build, tmp_path: Path) -> None:
    tree.add("a.mp4", "b.mp4", "c.mp4")
    first, before = build(tree.root)
    assert (first.n_new, first.n_probed, first.replaced) == (3, 3, True)
    again, rows = build(tree.root)
    assert (again.n_unchanged, again.n_probed, again.replaced) == (3, 0, False)
    assert rows == before, "nothing changed: the old snapshot stays, listing times included"
    assert "nothing changed" in str(again)

    (tree.root / "b.mp4").unlink()
    (tree.root / "c.mp4").unlink()
    tree.add("c.mp4", "d.mp4", fake=True)
    third, rows = build(tree.root)
    assert set(rows) == {"a.mp4", "c.mp4", "d.mp4"}
    assert (third.n_new, third.n_changed, third.n_removed, third.n_unchanged) == (1, 1, 1, 1)
    assert (third.n_probed, third.n_reused) == (2, 1)
    assert rows["c.mp4"]["codec"] == "mpeg4"
    assert rows["c.mp4"]["content_version"] != before["c.mp4"]["content_version"]
    assert rows["a.mp4"] == before["a.mp4"]
    assert rows["c.mp4"]["listed_at"] > before["c.mp4"]["listed_at"]

    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\na.mp4,real\nc.mp4,fake\ngone.mp4,fake\n")
    fourth, rows = build(tree.root, labels_csv=str(labels))
    assert (fourth.n_edited, fourth.n_probed) == (2, 0)
    assert [rows[name]["label"] for name in ("a.mp4", "c.mp4", "d.mp4")] == [0, 1, None]
    assert any("gone.mp4" in warning for warning in fourth.warnings)
    leftovers = [item.uri for item in list_objects(str(tmp_path / "lake" / "_staging"))]
    assert leftovers == []


def test_duplicates_by_content(tree: Tree, build) -> None:
    tree.add("a/one.mp4", "z/copy.mp4")
    same_length = (tree.root / "a/one.mp4").read_bytes()
    (tree.root / "m.mp4").write_bytes(same_length[:-1] + b"\0")
    tree.add("b/other.mp4", fake=True)
    for shard_rows in (1, 100):
        summary, rows = build(tree.root, dataset=f"by{shard_rows}", shard_rows=shard_rows)
        found = {name: row["duplicate_of"] for name, row in rows.items()}
        assert found == {
            "a/one.mp4": None,
            "b/other.mp4": None,
            "m.mp4": None,
            "z/copy.mp4": "a/one.mp4",
        }
        assert summary.n_duplicates == 1


class WithGhosts:
    """A listing that also names what cannot be read."""

    def __init__(self, *ghosts: str) -> None:
        self._ghosts = ghosts

    def __call__(self, uri: str) -> Iterator[ObjectInfo]:
        for item in list_objects(uri):
            yield item
        for name in self._ghosts:
            yield ObjectInfo(f"{uri}/{name}", name, 5, "1", "", item.updated)


def test_unreadable_objects_are_quarantined(tree: Tree, build, tmp_path: Path) -> None:
    tree.add("a.mp4")
    os.mkfifo(tree.root / "hangs.mp4")
    summary, rows = build(
        tree.root, lister=WithGhosts("gone.mp4", "hangs.mp4"), probe_wall_s=1.5, run_id="r-1"
    )
    assert rows["a.mp4"]["probe_status"] == "ok", "its neighbours are untouched"
    assert rows["gone.mp4"]["probe_status"] == "not_found"
    assert rows["hangs.mp4"]["probe_status"] == "timeout"
    assert summary.n_quarantined == 2
    bad = Lake(str(tmp_path / "lake")).read("quarantine").to_pylist()
    found = {(row["video_id"], row["reason"], row["stage"], row["transient"]) for row in bad}
    assert found == {
        ("gone.mp4", "not_found", "catalog", True),
        ("hangs.mp4", "timeout", "catalog", True),
    }
    assert {row["run_id"] for row in bad} == {"r-1"}
    assert {row["content_version"] for row in bad} == {
        rows[name]["content_version"] for name in ("gone.mp4", "hangs.mp4")
    }
    again, _ = build(tree.root, lister=WithGhosts("gone.mp4"))
    assert again.n_probed == 1, "an object that was not read is looked at again"


def test_dry_run_leaves_no_trace(tree: Tree, build, tmp_path: Path) -> None:
    tree.add("a.mp4")
    summary, rows = build(tree.root, dry_run=True)
    assert (summary.n_videos, summary.n_probed, summary.replaced, rows) == (1, 0, False, {})
    files = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert files == []


def test_one_file_as_a_corpus(tree: Tree, build) -> None:
    tree.add("a b.mp4")
    _, rows = build(tree.root / "a b.mp4")
    assert list(rows) == ["a b.mp4"]


def test_lake_inside_the_corpus_is_no_corpus(tree: Tree) -> None:
    tree.add("a.mp4")
    lake = str(tree.root / "lake")
    for _ in range(2):
        summary = build_catalog(str(tree.root), lake, "mine", "all")
        assert (summary.n_videos, summary.n_listed) == (1, 1)


def test_wrong_input_is_explained(tree: Tree, build, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    tree.add("a.mp4")
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\na.mp4,perhaps\n")
    text = tmp_path / "text"
    text.mkdir()
    (text / "notes.txt").write_text("hello")
    cases: list[tuple[object, dict[str, Any], list[str]]] = [
        (tmp_path / "nowhere", {}, ["does not exist"]),
        (empty, {}, ["is empty"]),
        (text, {}, ["none of its 1 files is a video", "notes.txt"]),
        (tree.root, {"labels_csv": str(labels)}, ["line 2", "perhaps"]),
        (tree.root, {"labels_csv": str(tmp_path / "no.csv")}, ["no.csv does not exist"]),
        (tree.root, {"dataset": "a/b"}, ["dataset 'a/b'"]),
        (tree.root, {"shard_size": 3}, ["shard_size", "shard_rows"]),
        (tree.root, {"dataset": "dfdc", "split": "exam"}, ["validation"]),
        (tree.root, {"dataset": "dfdc", "labels_csv": str(labels)}, ["its own labels"]),
        (tree.root, {"dataset": "dfdc"}, ["expected one of", "metadata.json", "found: a.mp4"]),
    ]
    for source, more, messages in cases:
        with pytest.raises(ConfigError) as caught:
            build(source, **more)
        for message in messages:
            assert message in str(caught.value), (source, more)


def test_a_source_that_became_empty_keeps_the_old_catalog(tree: Tree, build, tmp_path) -> None:
    tree.add("a.mp4")
    build(tree.root)
    (tree.root / "a.mp4").unlink()
    with pytest.raises(ConfigError, match="is empty"):
        build(tree.root)
    assert len(Lake(str(tmp_path / "lake")).read("catalog")) == 1


def test_command(tree: Tree, tmp_path: Path) -> None:
    tree.add("real/a.mp4")
    app = typer.Typer()
    catalog.register(app)
    app.callback()(lambda: None)
    lake = tmp_path / "lake"
    arguments = ["catalog", str(tree.root), "--lake", str(lake)]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "1 videos (1 real)" in dry.output
    assert "nothing was written" in dry.output
    assert not [path for path in lake.rglob("*") if path.is_file()]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert len(Lake(str(lake)).read("catalog", dataset="corpus", split="all")) == 1
    again = CliRunner().invoke(app, arguments)
    assert "left as it is" in again.output
    wrong = CliRunner().invoke(app, [*arguments, "--option", "compression"])
    assert isinstance(wrong.exception, ConfigError)
    assert "name=value" in str(wrong.exception)
