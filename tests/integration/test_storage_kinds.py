"""The same behaviour on local files, a real GCS emulator and an S3 server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakeout_core.errors import ConfigError, MediaError, Reason, StorageError
from pipelines import storage

ODD = "a b/qu'ote\"/new\nline/😀 %41 =x&y+z#q?.mp4"


def test_names_survive_and_come_back_sorted(root: str) -> None:
    # moto's router has no answer for a key with a line end.
    odd = ODD.replace("\n", " ") if root.startswith("s3://") else ODD
    names = sorted(["plain.mp4", "d/x.mp4", "d.mp4", odd])
    for name in names:
        storage.write_bytes(storage.join(root, name), name.encode())
    listed = list(storage.list_objects(root))
    assert sorted(one.relative_path for one in listed) == names
    for one in listed:
        assert storage.read_bytes(one.uri) == one.relative_path.encode()
        assert storage.stat_object(one.uri).generation == one.generation
        assert one.size_bytes == len(one.relative_path.encode())


def test_an_object_lists_itself_and_a_folder_is_none(root: str) -> None:
    storage.write_bytes(storage.join(root, "d/x.mp4"), b"x")
    (one,) = storage.list_objects(storage.join(root, "d/x.mp4"))
    assert one.relative_path == "x.mp4"
    with pytest.raises(FileNotFoundError):
        storage.stat_object(storage.join(root, "d"))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "nothing"))


def test_pages(gcs_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: storage.write_bytes(f"{gcs_bucket}/p/{n:05d}", b""),
                range(1010),
            )
        )
    found = [one.relative_path for one in storage.list_objects(f"{gcs_bucket}/p")]
    assert found == [f"{n:05d}" for n in range(1010)]


def test_create_if_absent_has_one_winner(root: str) -> None:
    uri = storage.join(root, "_locks/one.json")
    start = threading.Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        return storage.create_if_absent(uri, f"{number}".encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert won.count(True) == 1
    assert storage.read_bytes(uri) == f"{won.index(True)}".encode()


def test_replace_if_refuses_a_stale_generation(root: str) -> None:
    uri = storage.join(root, "_locks/two.json")
    first = storage.create_versioned(uri, b"1")
    assert first is not None
    second = storage.replace_if(uri, b"2", first)
    assert second is not None
    assert storage.replace_if(uri, b"3", first) is None
    assert storage.read_versioned(uri).data == b"2"
    assert storage.read_versioned(uri).generation == second


def test_swap_has_one_winner(root: str) -> None:
    uri = storage.join(root, "_locks/three.json")
    generation = storage.create_versioned(uri, b"start")
    assert generation is not None
    with ThreadPoolExecutor(8) as pool:
        tries = pool.map(lambda n: storage.replace_if(uri, f"{n}".encode(), generation), range(8))
    assert sum(one is not None for one in tries) == 1


def test_move_replaces_and_consumes(root: str) -> None:
    source, target = storage.join(root, "_staging/a%20b"), storage.join(root, "t/k=a%20b/f")
    storage.write_bytes(target, b"old")
    storage.write_bytes(source, b"new")
    storage.move(source, target)
    assert storage.read_bytes(target) == b"new"
    assert not storage.exists(source)
    with pytest.raises(FileNotFoundError):
        storage.move(source, target)
    storage.delete(target)
    storage.delete(target)
    assert not storage.exists(target)


def test_fetch_names_the_version_it_read(root: str, tmp_path: Path) -> None:
    uri, copy = storage.join(root, "v.mp4"), str(tmp_path / "copy")
    storage.write_bytes(uri, b"a" * 100_000)
    first = storage.fetch(uri, copy)
    assert Path(copy).read_bytes() == b"a" * 100_000
    assert first.generation == storage.stat_object(uri).generation
    storage.write_bytes(uri, b"b" * 100_001)
    second = storage.fetch(uri, copy, max_bytes=100_001)
    assert Path(copy).read_bytes() == b"b" * 100_001
    assert second.generation != first.generation
    with pytest.raises(MediaError) as caught:
        storage.fetch(uri, copy, max_bytes=100_000)
    assert caught.value.reason == Reason.TOO_LARGE
    with pytest.raises(MediaError) as caught:
        storage.fetch(storage.join(root, "gone.mp4"), copy)
    assert caught.value.reason == Reason.NOT_FOUND
    assert not Path(copy).exists(), "no half copy is left"


def test_fetch_reads_again_when_the_object_changed_meanwhile(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, copy = storage.join(root, "v.mp4"), str(tmp_path / "copy")
    storage.write_bytes(uri, b"0" * 5000)
    plain = storage._copy
    changes = iter([b"1" * 5000, b"2" * 7000])

    def copy_while_it_changes(*arguments: object) -> None:
        plain(*arguments)  # type: ignore[arg-type]
        if (data := next(changes, None)) is not None:
            storage.write_bytes(uri, data)

    monkeypatch.setattr(storage, "_copy", copy_while_it_changes)
    info = storage.fetch(uri, copy)
    assert Path(copy).read_bytes() == b"2" * 7000
    assert info.generation == storage.stat_object(uri).generation

    monkeypatch.setattr(
        storage,
        "_copy",
        lambda *arguments: (plain(*arguments), storage.write_bytes(uri, bytes(arguments[3] + 1))),
    )
    with pytest.raises(MediaError) as caught:
        storage.fetch(uri, copy)
    assert caught.value.reason == Reason.CHANGED


def test_missing_bucket_is_a_configuration_error(gcs_emulator: str, s3_server: str) -> None:
    for uri in ("gs://no-such-bucket-here/x", "s3://no-such-bucket-here/x"):
        with pytest.raises(ConfigError, match="does not exist"):
            list(storage.list_objects(uri))


def test_writing_where_nothing_can_be_made_is_told(
    gcs_emulator: str, s3_server: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "deep")
    for place in (str(tmp_path / "link"), "gs://no-such-bucket-2", "s3://no-such-bucket-2"):
        for write in (storage.write_bytes, storage.create_if_absent):
            with pytest.raises(StorageError, match=f"write {place}/lake/x"):
                write(f"{place}/lake/x", b"data")


def test_an_empty_prefix_lists_nothing(gcs_bucket: str, s3_bucket: str) -> None:
    assert list(storage.list_objects(f"{gcs_bucket}/empty")) == []
    assert list(storage.list_objects(f"{s3_bucket}/empty")) == []
