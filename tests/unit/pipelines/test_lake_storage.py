"""Retries, URIs, names and local listing: what needs no server."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeout_core.errors import ConfigError
from fakeout_core.schemas import CLIPS, SCORES
from pipelines import layout, storage
from pipelines.lake import Lake
from pipelines.retry import RetryPolicy, ShortReadError, is_transient, retrying


class Answer(Exception):  # noqa: N818
    """An error of a cloud client: carries a status."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        *[(Answer(code), True) for code in (408, 429, 500, 502, 503, 504)],
        *[(Answer(code), False) for code in (400, 401, 403, 404, 409, 412)],
        (ConnectionResetError("x"), True),
        (TimeoutError("x"), True),
        (ShortReadError("short read of x"), True),
        (OSError("google::cloud::Status(UNAVAILABLE: try again)"), True),
        (OSError("When reading: AWS Error SLOW_DOWN during GetObject"), True),
        (OSError("AWS Error ACCESS_DENIED during GetObject"), False),
        (FileNotFoundError(2, "gone"), False),
        (PermissionError(13, "no"), False),
        (OSError(28, "No space left on device"), False),
        (ValueError("503"), False),
    ],
)
def test_which_errors_are_worth_a_retry(error: Exception, wanted: bool) -> None:
    assert is_transient(error) is wanted


def test_pauses_double_within_bounds_and_the_last_error_comes_out() -> None:
    pauses: list[float] = []
    policy = RetryPolicy(attempts=5, first_wait_s=1.0, max_wait_s=3.0)
    calls = iter(range(10))

    def fail() -> None:
        raise TimeoutError(f"call {next(calls)}")

    with pytest.raises(TimeoutError, match="call 4"):
        retrying(fail, "test", policy, sleep=pauses.append, jitter=lambda: 0.5)
    assert pauses == [0.75, 1.5, 2.25, 2.25]


def test_permanent_errors_are_not_repeated() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        retrying(fail, "test", sleep=lambda s: None)
    assert calls == [1]


@pytest.mark.parametrize("uri", ["http://x/y", "abfs://x/y", "gs://", "gs:///x", ""])
def test_other_schemes_are_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        storage.resolve(uri)


def test_local_uris(tmp_path: Path) -> None:
    file = tmp_path / "a b%41.mp4"
    file.write_bytes(b"x")
    assert storage.read_bytes(str(file)) == b"x"
    assert storage.read_bytes(f"file://{tmp_path}/a%20b%2541.mp4") == b"x"
    assert storage.local_path("gs://b/x") is None


def test_local_listing(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for path in (inside / "d/e", outside):
        path.mkdir(parents=True)
    names = ["a b'\"\n😀.mp4", "d/e/x.mp4", "d/y.mp4"]
    for name in names:
        (inside / name).write_bytes(b"1")
    (outside / "secret").write_bytes(b"2")
    (inside / "escape").symlink_to(outside)
    (inside / "file-escape").symlink_to(outside / "secret")
    (inside / "dangling").symlink_to(inside / "nothing")
    (inside / "alias.mp4").symlink_to(inside / "d/y.mp4")
    (inside / "d/loop").symlink_to(inside / "d")
    os.mkfifo(inside / "pipe")
    Path(os.fsdecode(bytes(inside) + b"/raw\xff.mp4")).write_bytes(b"3")
    listed = list(storage.list_objects(str(inside)))
    assert [one.relative_path for one in listed] == [
        names[0],
        "alias.mp4",
        "d/e/x.mp4",
        "d/y.mp4",
        "raw%FF.mp4",
    ]
    for one in listed:
        one.uri.encode()
        assert len(storage.read_bytes(one.uri)) == one.size_bytes == 1
    with pytest.raises(ConfigError, match="does not exist"):
        list(storage.list_objects(str(tmp_path / "missing")))
    link = tmp_path / "link-to-root"
    link.symlink_to(inside)
    assert len(list(storage.list_objects(str(link)))) == 5


def test_a_lake_pickles_without_its_lock(tmp_path: Path) -> None:
    lake = pickle.loads(pickle.dumps(Lake(str(tmp_path))))
    assert lake.uri == str(tmp_path)
    assert lake.files("clips") == []


@given(
    st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable()), st.text("ab=/%", min_size=1)
)
def test_partition_values_round_trip(dataset: str, split: str) -> None:
    path = layout.partition_path(SCORES, {"dataset": dataset, "split": split, "model": "m"})
    assert path.count("/") == 3
    assert layout.partition_of(f"{path}/x.parquet") == {
        "dataset": dataset,
        "split": split,
        "model": "m",
    }


def test_partition_paths_are_checked() -> None:
    assert layout.partition_path(CLIPS, {"dataset": "d"}) == "clips/dataset=d"
    assert layout.partition_path(CLIPS, {"split": "s"}) == "clips"
    with pytest.raises(ConfigError, match="no partition keys"):
        layout.partition_path(CLIPS, {"model": "m"})
    with pytest.raises(ConfigError, match="empty"):
        layout.partition_path(CLIPS, {"dataset": ""})
    with pytest.raises(ConfigError, match="no such table"):
        layout.spec_of("clip")
