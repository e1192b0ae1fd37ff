"""Custom corpora: folder names, label files, and which names can be videos."""

from __future__ import annotations

import pytest

from fakeout_core.datasets.custom import CustomLayout, from_folders
from fakeout_core.datasets.facts import Facts
from fakeout_core.datasets.labels_csv import normal_path, parse_labels
from fakeout_core.datasets.media_names import Likeness, likeness
from fakeout_core.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "label", "manipulation"),
    [
        ("real/a.mp4", 0, "real"),
        ("Originals/x/a.mp4", 0, "real"),
        ("fake/a.mp4", 1, None),
        ("corpus/FAKE/wav2lip/b/a.mp4", 1, "wav2lip"),
        ("fake/real/a.mp4", 0, "real"),
        ("real/fake/a.mp4", 1, None),
        ("real-estate/a.mp4", None, None),
        ("real.mp4", None, None),
        ("a.mp4", None, None),
    ],
)
def test_folders_label_a_path(path: str, label: int | None, manipulation: str | None) -> None:
    facts = from_folders(path)
    assert (facts.label, facts.manipulation) == (label, manipulation)
    assert facts.is_in("anything")


def test_label_file_with_every_column() -> None:
    text = (
        "\ufeffPath,Label,manipulation,source_id,split\r\n"
        "./real/a.mp4,REAL,,alice,test\r\n"
        '"odd, ""name"".mp4",1,wav2lip,bob,train\r\n'
        "gs://bucket/corpus/c.mp4,,,,\r\n"
        "real/a.mp4,1,,,test\r\n"
        "\r\n"
    )
    labels = parse_labels(text.encode(), "labels.csv", "gs://bucket/corpus")
    assert labels.has_splits
    assert labels.n_repeated == 1
    assert labels.facts == {
        "real/a.mp4": Facts(0, "real", "alice", ("test",), entry=0),
        'odd, "name".mp4': Facts(1, "wav2lip", "bob", ("train",), entry=1),
        "c.mp4": Facts(None, None, None, None, entry=2),
    }


def test_label_file_decides_over_folders() -> None:
    resolver = CustomLayout().bind({"labels.csv": b"path,label\nreal/a.mp4,fake\n"}, {})
    assert resolver.resolve("real/a.mp4").label == 1
    assert resolver.resolve("real/b.mp4").label is None, "a video the file leaves out is unlabelled"
    assert resolver.resolve("real/b.mp4").is_in("test")
    assert [item.name for item in resolver.expected("test")] == ["real/a.mp4"]


def test_splits_of_a_label_file() -> None:
    rows = b"path,label,split\na.mp4,0,train\nb.mp4,1,test\nc.mp4,1,\n"
    resolver = CustomLayout().bind({"labels.csv": rows}, {})
    inside = {path: resolver.resolve(path).is_in("test") for path in ("a.mp4", "b.mp4", "c.mp4")}
    assert inside == {"a.mp4": False, "b.mp4": True, "c.mp4": True}
    assert not resolver.resolve("unlisted.mp4").is_in("test")
    assert resolver.resolve("unlisted.mp4").is_in("all")
    assert [item.name for item in resolver.expected("test")] == ["b.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"a,b\n1,2\n", "found 'a', 'b'"),
        (b"path,label\na.mp4,maybe\n", "line 2: label 'maybe'"),
        (b"label,path\n0\n", "line 2: no path"),
        (b"path,label\n\xff\xfe,0\n", "not UTF-8"),
    ],
)
def test_bad_label_files_say_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=r"labels l\.csv") as caught:
        parse_labels(content, "l.csv")
    assert message in str(caught.value)


def test_paths_of_other_systems() -> None:
    assert normal_path("fake\\a.mp4") == "fake/a.mp4"
    assert normal_path("fake/a\\b.mp4") == "fake/a\\b.mp4", "a legal name where '/' separates"
    assert normal_path("/data/c/x.mp4", "/data/c/") == "x.mp4"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.MP4", Likeness.VIDEO),
        ("x.mkv", Likeness.VIDEO),
        ("noext", Likeness.UNKNOWN),
        ("clip.xyz", Likeness.UNKNOWN),
        ("notes.txt", Likeness.OTHER),
        ("a.m3u8", Likeness.OTHER),
        (".DS_Store", Likeness.HIDDEN),
        ("__MACOSX/a.mp4", Likeness.HIDDEN),
        (".cache/a.mp4", Likeness.HIDDEN),
        ("emoji 😀\n.mp4", Likeness.VIDEO),
    ],
)
def test_likeness(path: str, expected: Likeness) -> None:
    assert likeness(path) is expected
