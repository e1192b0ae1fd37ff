"""Each benchmark's parser: labels, manipulations, identities, splits, lists."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from fakeout_core.datasets.facts import Resolver
from fakeout_core.datasets.registry import (
    PARSERS,
    canonical_name,
    check_split,
    find_spec,
    near_names,
    open_layout,
    registry,
)
from fakeout_core.datasets.roster import face_forensics_pairs, packaged_names
from fakeout_core.errors import ConfigError

METHODS = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"]


def bound(name: str, sidecars: dict[str, bytes] | None = None, **options: str) -> Resolver:
    return open_layout(find_spec(name)).bind(sidecars or {}, options)


def test_registry_is_sound() -> None:
    for name, spec in registry().items():
        assert spec.parser in {*PARSERS, "custom"}, name
        assert spec.expected_tree, name
        assert set(spec.published_counts) <= {*spec.splits, "all"}, name


@pytest.mark.parametrize(
    ("alias", "name"),
    [("celeb", "celeb_df"), ("FF++", "face_forensics"), ("faceshifter", "face_shifter")],
)
def test_aliases(alias: str, name: str) -> None:
    assert canonical_name(alias) == name


def test_other_names_are_custom_and_near_ones_are_noticed() -> None:
    assert find_spec("my_corpus").name == "custom"
    assert canonical_name("my_corpus") == "my_corpus"
    assert near_names("dfcd") == ["dfdc"]
    assert near_names("my_corpus") == []
    assert near_names("dfdc") == []


def test_unknown_split_and_option_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="train, val, test, all"):
        check_split(find_spec("face_forensics"), "tset")
    with pytest.raises(ConfigError, match="compression"):
        bound("face_forensics", compresion="c23")
    with pytest.raises(ConfigError, match="c0, raw, c23, c40"):
        bound("face_forensics", compression="c24")
    with pytest.raises(ConfigError, match="options: none"):
        bound("dfdc", compression="c23")


# FaceForensics++ --------------------------------------------------------------------------------


def test_official_pairs_are_disjoint_and_complete() -> None:
    pairs = face_forensics_pairs()
    assert {split: len(rows) for split, rows in pairs.items()} == {
        "train": 360,
        "val": 70,
        "test": 70,
    }
    ids = Counter(one for rows in pairs.values() for pair in rows for one in pair)
    assert sorted(ids) == [f"{number:03d}" for number in range(1000)]
    assert set(ids.values()) == {1}
    assert ("953", "974") in pairs["test"]


@pytest.mark.shared
def test_pairs_equal_the_published_lists(shared) -> None:
    for split, rows in face_forensics_pairs().items():
        published = json.loads((shared / f"datasets/FaceForensics/{split}.json").read_text())
        assert set(rows) == {tuple(pair) for pair in published}


def test_face_forensics_test_split_has_140_of_each() -> None:
    counts = Counter(item.manipulation for item in bound("face_forensics").expected("test"))
    assert counts == dict.fromkeys(["real", *METHODS], 140)


@pytest.mark.parametrize(
    ("path", "label", "manipulation", "source_id", "splits", "variant"),
    [
        ("original_sequences/youtube/c23/videos/953.mp4", 0, "real", "953_974", "test", "c23"),
        ("x/FF/original_sequences/youtube/raw/videos/974.mp4", 0, "real", "953_974", "test", "c0"),
        (
            "manipulated_sequences/Deepfakes/c40/videos/974_953.mp4",
            1,
            "Deepfakes",
            "953_974",
            "test",
            "c40",
        ),
        (
            "manipulated_sequences/FaceShifter/c23/videos/071_054.mp4",
            1,
            "FaceShifter",
            "054_071",
            "train",
            "c23",
        ),
        ("720.mp4", 0, "real", "672_720", "val", ""),
        ("ZIP.FaceForensics_test.zip/953_974@part2.mp4", 1, None, "953_974", "test", ""),
    ],
)
def test_face_forensics_paths(path, label, manipulation, source_id, splits, variant) -> None:
    facts = bound("face_forensics").resolve(path)
    assert facts is not None
    assert (facts.label, facts.manipulation, facts.source_id, facts.splits, facts.variant) == (
        label,
        manipulation,
        source_id,
        (splits,),
        variant,
    )


@pytest.mark.parametrize(
    "path",
    [
        "original_sequences/actors/c23/videos/01__hugging_happy.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__x__YVGY8LOK.mp4",
        "manipulated_sequences/Deepfakes/c23/images/000_003.mp4",
        "1234.mp4",
        "abc.mp4",
    ],
)
def test_face_forensics_leaves_other_paths(path: str) -> None:
    assert bound("face_forensics").resolve(path) is None


def test_face_forensics_options() -> None:
    resolver = bound("face_forensics", compression="raw", manipulation="FaceSwap")
    chosen = {
        path: resolver.resolve(path).is_chosen
        for path in (
            "original_sequences/youtube/raw/videos/953.mp4",
            "original_sequences/youtube/c23/videos/953.mp4",
            "manipulated_sequences/FaceSwap/c0/videos/953_974.mp4",
            "manipulated_sequences/Deepfakes/c0/videos/953_974.mp4",
        )
    }
    assert list(chosen.values()) == [True, False, True, False]
    assert resolver.resolve("953_974.mp4").manipulation == "FaceSwap"
    assert Counter(item.manipulation for item in resolver.expected("test")) == {
        "real": 140,
        "FaceSwap": 140,
    }


def test_a_pair_that_is_not_official_is_in_no_split() -> None:
    facts = bound("face_forensics").resolve("000_001.mp4")
    assert facts.splits == ()
    assert facts.entry == -1
    assert facts.is_in("all")
    assert not facts.is_in("test")


def test_face_shifter_filtered_test() -> None:
    resolver = bound("faceshifter")
    counts = Counter(item.manipulation for item in resolver.expected("filtered_test"))
    assert counts == {"real": 137, "FaceShifter": 139}
    assert resolver.resolve("701_579.mp4").splits == ("test",)
    assert resolver.resolve("579_701.mp4").splits == ("test", "filtered_test")
    assert resolver.resolve("manipulated_sequences/Deepfakes/c23/videos/953_974.mp4") is None


# DeeperForensics --------------------------------------------------------------------------------


def test_deeper_forensics_paths() -> None:
    resolver = bound("deeperforensics")
    fake = resolver.resolve("manipulated_videos/end_to_end/953_W137.mp4")
    assert (fake.label, fake.manipulation, fake.source_id) == (1, "end_to_end", "953")
    assert fake.splits[0] == "test"
    other = resolver.resolve("manipulated_videos/reenact_postprocess/071_M004.mp4")
    assert (other.manipulation, other.splits) == ("reenact_postprocess", ("train",))
    flat = resolver.resolve("480_W133.mp4")
    assert (flat.label, flat.manipulation, flat.splits) == (
        1,
        "end_to_end",
        ("test", "filtered_test"),
    )
    real = resolver.resolve("original_sequences/youtube/c23/videos/953.mp4")
    assert (real.label, real.source_id, real.splits) == (0, "953", ("test", "filtered_test"))
    assert resolver.resolve("158.mp4").splits == ("test",)
    actor = resolver.resolve("source_videos/W136/light_up/surprise/camera_down/W136_x.mp4")
    assert (actor.label, actor.source_id, actor.splits) == (0, "W136", ())
    assert resolver.resolve("readme.mp4") is None


def test_deeper_forensics_lists() -> None:
    resolver = bound("deeper_forensics")
    counts = Counter(item.manipulation for item in resolver.expected("filtered_test"))
    assert counts == {"real": 137, "end_to_end": 139}
    assert len(resolver.expected("test")) == 140, "reals only: which fakes exist is on no list"
    assert not any(
        name.startswith("701") for name in packaged_names("deeper_forensics_filtered_test.txt")
    )


# Celeb-DF ---------------------------------------------------------------------------------------


def test_celeb_df_paths() -> None:
    resolver = bound("celeb")
    fake = resolver.resolve("Celeb-synthesis/id1_id0_0007.mp4")
    assert (fake.label, fake.manipulation, fake.source_id) == (1, "Celeb-synthesis", "id1")
    real = resolver.resolve("Celeb-real/id0_0000.mp4")
    assert (real.label, real.manipulation, real.source_id) == (0, "real", "id0")
    other = resolver.resolve("YouTube-real/00170.mp4")
    assert (other.label, other.source_id, other.splits) == (0, "youtube-00170", ("test",))
    assert resolver.resolve("YouTube-real/00001.mp4").splits == ("train",)
    assert resolver.resolve("flat/id1_id0_0007@part1.mp4").source_id == "id1"
    assert resolver.resolve("a.mp4") is None


def test_celeb_df_packaged_list() -> None:
    counts = Counter(item.manipulation for item in bound("celeb_df").expected("test"))
    assert counts == {"real": 178, "Celeb-synthesis": 340}


def test_celeb_df_own_list_wins() -> None:
    own = b"1 YouTube-real/00001.mp4\n0 Celeb-synthesis/id1_id0_0007.mp4\n"
    resolver = bound("celeb_df", {"List_of_testing_videos.txt": own})
    assert resolver.resolve("YouTube-real/00001.mp4").splits == ("test",)
    assert resolver.resolve("YouTube-real/00170.mp4").splits == ("train",)
    assert resolver.resolve("YouTube-real/00001.mp4").label == 0, "there 1 means real"
    with pytest.raises(ConfigError, match="line 1"):
        bound("celeb_df", {"List_of_testing_videos.txt": b"YouTube-real/00001.mp4\n"})


# DFDC -------------------------------------------------------------------------------------------


def test_dfdc_train_parts() -> None:
    part = {
        "aaaaaaaaaa.mp4": {"label": "FAKE", "split": "train", "original": "bbbbbbbbbb.mp4"},
        "bbbbbbbbbb.mp4": {"label": "REAL", "split": "train"},
    }
    sidecars = {"dfdc_train_part_0/metadata.json": json.dumps(part).encode()}
    resolver = bound("dfdc", sidecars)
    fake = resolver.resolve("dfdc_train_part_0/aaaaaaaaaa.mp4")
    assert (fake.label, fake.manipulation, fake.source_id, fake.splits) == (
        1,
        None,
        "bbbbbbbbbb",
        ("train",),
    )
    real = resolver.resolve("dfdc_train_part_0/bbbbbbbbbb.mp4")
    assert (real.label, real.source_id) == (0, "bbbbbbbbbb")
    unlisted = resolver.resolve("dfdc_train_part_0/cccccccccc.mp4")
    assert (unlisted.label, unlisted.splits) == (None, ("train",))
    other_part = resolver.resolve("dfdc_train_part_1/aaaaaaaaaa.mp4")
    assert other_part.label is None, "the record of another part says nothing about this one"
    assert len(resolver.expected("train")) == 2


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("labels.csv", b"filename,label\naalscayrfi.mp4,1\naaaaaaaaaa.mp4,0\n"),
        (
            "test/metadata.json",
            b'{"aalscayrfi.mp4": {"is_fake": 1}, "aaaaaaaaaa.mp4": {"is_fake": 0}}',
        ),
    ],
)
def test_dfdc_test_labels(path: str, content: bytes) -> None:
    resolver = bound("dfdc", {path: content})
    fake = resolver.resolve("test/aalscayrfi@part1.mp4")
    assert (fake.label, fake.source_id) == (1, "aalscayrfi")
    assert fake.splits == ("test", "filtered_test")
    real = resolver.resolve("test/aaaaaaaaaa.mp4")
    assert (real.label, real.splits) == (0, ("test",))
    assert len(resolver.expected("filtered_test")) == 3215
    assert len(resolver.expected("test")) >= 2


def test_dfdc_malformed_records() -> None:
    for path, content, message in (
        ("metadata.json", b"{", "not JSON"),
        ("metadata.json", b"[]", "wanted an object"),
        ("metadata.json", b'{"aaaaaaaaaa.mp4": {"label": "?"}}', "label '\\?'"),
        ("labels.csv", b"a,b\n", "filename,label"),
    ):
        with pytest.raises(ConfigError, match=message):
            bound("dfdc", {path: content})


# FakeAVCeleb ------------------------------------------------------------------------------------


def test_fakeavceleb() -> None:
    listed = (
        b"source,target1,target2,method,category,type,race,gender,path,\n"
        b"id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,"
        b"FakeAVCeleb/RealVideo-RealAudio/African/men/id00076\n"
        b"id00076,id00476,-,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10.mp4,"
        b"FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\n"
    )
    resolver = bound("fakeavceleb", {"meta_data.csv": listed})
    root = "FakeAVCeleb_v1.2"
    real = resolver.resolve(f"{root}/RealVideo-RealAudio/African/men/id00076/00109.mp4")
    assert (real.label, real.manipulation, real.source_id) == (0, "real", "id00076")
    fake = resolver.resolve("FakeVideo-FakeAudio/African/men/id00076/00109_10.mp4")
    assert (fake.label, fake.manipulation) == (1, "wav2lip")
    sound = resolver.resolve("RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4")
    assert (sound.label, sound.manipulation, sound.entry) == (1, "RealVideo-FakeAudio", -1)
    assert real.entry != fake.entry
    assert fake.is_in("any split")
    assert len(resolver.expected("any split")) == 2
    assert resolver.resolve("other/a.mp4") is None
    with pytest.raises(ConfigError, match="method, type and path"):
        bound("fakeavceleb", {"meta_data.csv": b"a,b\n"})
