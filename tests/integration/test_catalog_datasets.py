"""Miniature trees in each benchmark's original layout, catalogued by the pipeline."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakeout_core.datasets.roster import face_forensics_pairs
from fakeout_core.errors import ConfigError
from pipelines.catalog import CatalogSummary, build_catalog
from pipelines.lake import Lake

from .catalog_trees import Tree, write_pattern

pytestmark = pytest.mark.beam

METHODS = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"]
Build = Callable[..., tuple[CatalogSummary, dict[str, Any]]]


@pytest.fixture
def tree(tmp_path: Path, data: Path) -> Tree:
    real, fake = tmp_path / "one.mp4", tmp_path / "two.mp4"
    shutil.copy(data / "media" / "obama_speech.mp4", real)
    write_pattern(fake)
    return Tree(tmp_path / "corpus", real, fake)


@pytest.fixture
def build(tree: Tree, tmp_path: Path) -> Build:
    lake = str(tmp_path / "lake")

    def run(dataset: str, split: str, **more: Any):
        summary = build_catalog(str(tree.root), lake, dataset, split, **more)
        rows = Lake(lake).read("catalog", dataset=dataset, split=split).to_pylist()
        assert all(row["probe_status"] == "ok" for row in rows) or not more.get("probe", True)
        facts = {
            row["video_id"]: (row["label"], row["manipulation"], row["source_id"]) for row in rows
        }
        return summary, facts

    return run


def test_face_forensics_test_split(tree: Tree, build: Build) -> None:
    for split, pairs in face_forensics_pairs().items():
        for a, b in pairs if split == "test" else pairs[:2]:
            for identity in (a, b):
                tree.add(f"original_sequences/youtube/c23/videos/{identity}.mp4")
            for method in METHODS:
                for name in (f"{a}_{b}", f"{b}_{a}"):
                    tree.add(f"manipulated_sequences/{method}/c23/videos/{name}.mp4", fake=True)
    tree.add("original_sequences/actors/c23/videos/01__kitchen_pan.mp4")
    summary, facts = build("face_forensics", "test", probe=False)
    counts = Counter((label, manipulation) for label, manipulation, _ in facts.values())
    assert counts == {(0, "real"): 140} | {(1, method): 140 for method in METHODS}
    groups = Counter(source_id for _, _, source_id in facts.values())
    assert len(groups) == 70
    assert set(groups.values()) == {2 + 2 * len(METHODS)}
    fake = facts["manipulated_sequences/FaceSwap/c23/videos/974_953.mp4"]
    assert fake == (1, "FaceSwap", "953_974")
    assert summary.warnings == ()
    assert summary.skipped == {"other_split": 4 * (2 + 2 * len(METHODS)), "outside_layout": 1}


def test_face_forensics_tells_what_is_missing(tree: Tree, build: Build) -> None:
    tree.add("original_sequences/youtube/c23/videos/953.mp4")
    tree.add("original_sequences/youtube/c40/videos/953.mp4")
    tree.add("manipulated_sequences/Deepfakes/c23/videos/953_974.mp4", fake=True)
    summary, facts = build("ff++", "test", options={"compression": "c23"})
    assert len(facts) == 2
    assert summary.skipped == {"left_out": 1}
    warned = "\n".join(summary.warnings)
    assert "139 of 140 listed c23 real videos are missing, e.g. 000, 003, " in warned
    assert "139 of 140 listed c23 Deepfakes videos are missing" in warned
    assert "140 of 140 listed c23 NeuralTextures videos are missing" in warned


def test_face_forensics_flattened(tree: Tree, build: Build) -> None:
    folder = "tmp/downloads/extracted/ZIP.FaceForensics_test.zip"
    tree.add(f"{folder}/953.mp4")
    tree.add(f"{folder}/953_974@part1.mp4", f"{folder}/071_054.mp4", fake=True)
    tree.text("tmp/downloads/extracted/ZIP.train_test_split.zip/testlist.txt", "953.mp4\n")
    summary, facts = build("face_forensics", "test")
    assert facts == {
        f"{folder}/953.mp4": (0, "real", "953_974"),
        f"{folder}/953_974@part1.mp4": (1, None, "953_974"),
    }
    assert any("--option manipulation" in warning for warning in summary.warnings)
    _, facts = build("face_forensics", "test", options={"manipulation": "FaceSwap"})
    assert facts[f"{folder}/953_974@part1.mp4"] == (1, "FaceSwap", "953_974")


def test_face_shifter(tree: Tree, build: Build) -> None:
    tree.add("original_sequences/youtube/c23/videos/701.mp4")
    for name in ("701_579", "579_701"):
        tree.add(f"manipulated_sequences/FaceShifter/c23/videos/{name}.mp4", fake=True)
    tree.add("manipulated_sequences/Deepfakes/c23/videos/579_701.mp4", fake=True)
    _, facts = build("face_shifter", "test")
    assert Counter(facts.values()) == {
        (0, "real", "579_701"): 1,
        (1, "FaceShifter", "579_701"): 2,
    }
    _, filtered = build("face_shifter", "filtered_test")
    assert len(filtered) == 2, "the published evaluation lacks 701_579"


def test_deeper_forensics(tree: Tree, build: Build) -> None:
    tree.add("original_sequences/youtube/c23/videos/480.mp4")
    tree.add("original_sequences/youtube/c40/videos/480.mp4")
    tree.add("manipulated_videos/end_to_end/480_W133.mp4", fake=True)
    tree.add("manipulated_videos/end_to_end_level_3/480_W133.mp4", fake=True)
    tree.add("manipulated_videos/end_to_end/071_M101.mp4", fake=True)
    tree.add("source_videos/W133/light_up/happy/camera_left/W133_light_up_happy.mp4")
    summary, facts = build("deeper_forensics", "test", options={"compression": "c23"})
    assert facts == {
        "original_sequences/youtube/c23/videos/480.mp4": (0, "real", "480"),
        "manipulated_videos/end_to_end/480_W133.mp4": (1, "end_to_end", "480"),
        "manipulated_videos/end_to_end_level_3/480_W133.mp4": (1, "end_to_end_level_3", "480"),
    }
    assert any("139 of 140 listed real" in warning for warning in summary.warnings)
    assert "1 test end_to_end videos, 140 are published" in summary.warnings
    _, facts = build("deeper_forensics", "filtered_test", options={"manipulation": "end_to_end"})
    assert len(facts) == 3, "two compressions of the original and one fake"


def test_celeb_df(tree: Tree, build: Build) -> None:
    tree.add("Celeb-real/id0_0000.mp4", "Celeb-real/id1_0007.mp4", "YouTube-real/00170.mp4")
    tree.add("Celeb-synthesis/id1_id0_0007.mp4", "Celeb-synthesis/id0_id1_0000.mp4", fake=True)
    tree.text(
        "List_of_testing_videos.txt",
        "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0007.mp4\n0 Celeb-synthesis/id1_id0_0007.mp4\n",
    )
    summary, facts = build("celeb", "test")
    assert facts == {
        "YouTube-real/00170.mp4": (0, "real", "youtube-00170"),
        "Celeb-real/id1_0007.mp4": (0, "real", "id1"),
        "Celeb-synthesis/id1_id0_0007.mp4": (1, "Celeb-synthesis", "id1"),
    }
    assert set(summary.warnings) == {
        "2 test real videos, 178 are published",
        "1 test fake videos, 340 are published",
    }
    _, facts = build("celeb", "train")
    assert set(facts) == {"Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"}


def test_dfdc(tree: Tree, build: Build) -> None:
    part = {
        "aaaaaaaaaa.mp4": {"label": "FAKE", "split": "train", "original": "bbbbbbbbbb.mp4"},
        "bbbbbbbbbb.mp4": {"label": "REAL", "split": "train"},
        "missingone.mp4": {"label": "REAL", "split": "train"},
    }
    tree.text("dfdc_train_part_3/metadata.json", json.dumps(part))
    tree.add("dfdc_train_part_3/bbbbbbbbbb.mp4")
    tree.add("dfdc_train_part_3/aaaaaaaaaa.mp4", fake=True)
    tree.text("test/labels.csv", "filename,label\naalscayrfi.mp4,1\nzzzzzzzzzz.mp4,0\n")
    tree.add("test/aalscayrfi.mp4", fake=True)
    tree.add("test/zzzzzzzzzz.mp4")
    summary, facts = build("dfdc", "train")
    assert facts == {
        "dfdc_train_part_3/aaaaaaaaaa.mp4": (1, None, "bbbbbbbbbb"),
        "dfdc_train_part_3/bbbbbbbbbb.mp4": (0, "real", "bbbbbbbbbb"),
    }
    assert any("missingone" in warning for warning in summary.warnings)
    _, facts = build("dfdc", "test")
    assert facts == {
        "test/aalscayrfi.mp4": (1, None, "aalscayrfi"),
        "test/zzzzzzzzzz.mp4": (0, "real", "zzzzzzzzzz"),
    }
    summary, facts = build("dfdc", "filtered_test")
    assert list(facts) == ["test/aalscayrfi.mp4"]
    assert any("3214 of 3214 listed videos are missing" in one for one in summary.warnings)


def test_dfdc_with_a_damaged_list(tree: Tree, build: Build) -> None:
    tree.add("dfdc_train_part_3/bbbbbbbbbb.mp4")
    tree.text("dfdc_train_part_3/metadata.json", "{")
    with pytest.raises(ConfigError, match=r"metadata\.json: not JSON"):
        build("dfdc", "train")


def test_fakeavceleb(tree: Tree, build: Build) -> None:
    person = "African/men/id00076"
    tree.add(f"RealVideo-RealAudio/{person}/00109.mp4")
    tree.add(f"FakeVideo-FakeAudio/{person}/00109_10_id00476_wavtolip.mp4", fake=True)
    tree.text(
        "meta_data.csv",
        "source,target1,target2,method,category,type,race,gender,path,\n"
        f"id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,"
        f"FakeAVCeleb/RealVideo-RealAudio/{person}\n"
        f"id00076,id00476,-,wav2lip,D,FakeVideo-FakeAudio,African,men,"
        f"00109_10_id00476_wavtolip.mp4,FakeAVCeleb/FakeVideo-FakeAudio/{person}\n",
    )
    summary, facts = build("fakeavceleb", "test")
    assert facts == {
        f"RealVideo-RealAudio/{person}/00109.mp4": (0, "real", "id00076"),
        f"FakeVideo-FakeAudio/{person}/00109_10_id00476_wavtolip.mp4": (1, "wav2lip", "id00076"),
    }
    assert any("21044 are published" in warning for warning in summary.warnings)


def test_wrong_split_names_the_ones_found(tree: Tree, build: Build) -> None:
    tree.add("original_sequences/youtube/c23/videos/953.mp4")
    with pytest.raises(ConfigError, match="the corpus holds 1 of test"):
        build("face_forensics", "val")
