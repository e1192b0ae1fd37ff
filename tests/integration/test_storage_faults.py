"""Object stores that throttle, fail, reset, dribble and lose answers; and disks that are full."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakeout_core.errors import MediaError, Reason, StorageError
from pipelines import storage
from pipelines.compact import compact
from pipelines.lake import Lake
from pipelines.lock import DatasetLock
from pipelines.retry import RetryPolicy

from . import fault_proxy
from .conftest import free_port, stop, wait_until_answers
from .fault_proxy import FAULTS, Remote
from .lake_rows import DATASET, catalog, clips, failures

QUICK = RetryPolicy(attempts=6, first_wait_s=0.002, max_wait_s=0.01)


@pytest.fixture(scope="module", params=["gs", "s3"])
def proxy(request: pytest.FixtureRequest) -> Iterator[tuple[str, Remote]]:
    """A proxy process before each emulator, and the hold on its plan."""
    kind = request.param
    server = str(request.getfixturevalue("gcs_emulator" if kind == "gs" else "s3_server"))
    port, plan = free_port(), Remote()
    plan.url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, str(fault_proxy.__file__), server, str(port)])
    try:
        wait_until_answers(plan.url + fault_proxy.CONTROL, process)
        yield kind, plan
    finally:
        stop(process)


@pytest.fixture
def plan(proxy: tuple[str, Remote]) -> Remote:
    return proxy[1]


@pytest.fixture
def shaky(
    request: pytest.FixtureRequest, proxy: tuple[str, Remote], monkeypatch: pytest.MonkeyPatch
) -> str:
    """A bucket behind the proxy, whose faults the test plans."""
    kind, plan = proxy
    plan.clear()
    bucket = str(request.getfixturevalue("gcs_bucket" if kind == "gs" else "s3_bucket"))
    name = "STORAGE_EMULATOR_HOST" if kind == "gs" else "AWS_ENDPOINT_URL"
    monkeypatch.setenv(name, plan.url)
    return bucket


@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_survives_two_faults(
    shaky: str, plan: Remote, tmp_path: Path, fault: str
) -> None:
    uri, data = f"{shaky}/d/video.mp4", bytes(range(256)) * 400
    copy = tmp_path / "copy"

    def after_faults(call: object, *arguments: object) -> object:
        plan.first(2, fault)
        result = call(*arguments, policy=QUICK)  # type: ignore[operator]
        assert plan.done, f"{call} met no fault"
        plan.clear()
        return result

    after_faults(storage.write_bytes, uri, data)
    assert after_faults(storage.stat_object, uri).size_bytes == len(data)  # type: ignore[attr-defined]
    assert after_faults(storage.read_bytes, uri) == data
    assert [one.relative_path for one in after_faults(_listed, shaky)] == ["d/video.mp4"]  # type: ignore[attr-defined]
    plan.first(2, fault)
    storage.fetch(uri, str(copy), policy=QUICK)
    plan.clear()
    assert copy.read_bytes() == data
    lock = f"{shaky}/_locks/x.json"
    first = after_faults(storage.create_versioned, lock, b"mine-1")
    assert first, "an answer that got lost must not make the winner a loser"
    assert storage.create_if_absent(lock, b"other") is False
    second = after_faults(storage.replace_if, lock, b"mine-2", first)
    assert second
    assert storage.replace_if(lock, b"other", str(first)) is None
    after_faults(storage.move, uri, f"{shaky}/moved.mp4")
    assert storage.read_bytes(f"{shaky}/moved.mp4") == data
    assert not storage.exists(uri)
    after_faults(storage.delete, lock)
    assert not storage.exists(lock)


def _listed(uri: str, policy: RetryPolicy) -> list[storage.ObjectInfo]:
    return list(storage.list_objects(uri, policy))


def test_what_a_retry_cannot_cure_is_told_at_once(
    shaky: str, plan: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    for fault, wanted in (("404", FileNotFoundError), ("403", StorageError)):
        plan.first(99, fault)
        with pytest.raises(wanted):
            storage.stat_object(f"{shaky}/x", policy=QUICK)
        asked = [one for one in plan.seen if "/x" in one]
        # A kept connection that the proxy closed meanwhile is repeated, and rightly so.
        closed = [one for one in caplog.messages if "ConnectionClosed" in one]
        assert 1 <= len(asked) <= 1 + len(closed), f"{fault} must not be repeated"
        caplog.clear()


def test_a_store_that_never_answers_becomes_a_row(shaky: str, plan: Remote, tmp_path: Path) -> None:
    plan.first(999, "503")
    with pytest.raises(StorageError, match="gave up after retries"):
        storage.read_bytes(f"{shaky}/x", policy=QUICK)
    asked = [one for one in plan.seen if "/x" in one]  # Google's client also asks for the bucket
    assert len(asked) == QUICK.attempts
    with pytest.raises(MediaError) as caught:
        storage.fetch(f"{shaky}/x", str(tmp_path / "x"), policy=QUICK)
    assert caught.value.reason == Reason.STORAGE
    assert caught.value.is_transient


def test_the_whole_protocol_on_a_bad_day(shaky: str, plan: Remote) -> None:
    plan.some(0.08, seed=7)
    lake = Lake(shaky, QUICK)
    with DatasetLock(lake, DATASET, "r1", 600).held():
        lake.replace("catalog", [], [catalog("abcdef")])
        for name in "ab":
            lake.publish(lake.stage(DATASET, "r1", {"clips": clips(name)}))
        lake.stage(DATASET, "r1", {"clips": clips("c")})
    lake = Lake(shaky, QUICK)
    with DatasetLock(lake, DATASET, "r2", 600).held():
        assert lake.recover(DATASET, "r2") == 1
        bad = {"clips": clips("d", reason="timeout"), "quarantine": failures("d")}
        lake.publish(lake.stage(DATASET, "r2", bad))
        compact(lake)
        assert len(plan.done) > 5, "the day was not bad enough"
        plan.clear()
    assert lake.read("clips", ["video_id"])["video_id"].to_pylist() == list("abcd")
    assert lake.read("quarantine", ["video_id"])["video_id"].to_pylist() == ["d"]
    assert lake.read("catalog").num_rows == 6
    assert len(lake.files("clips")) == 1


def _with_little_room(source: str, folder: str, answers: object) -> None:
    """In a child: files may not grow beyond 64 KB, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
    found = []
    try:
        storage.fetch(source, f"{folder}/copy")
    except MediaError as error:
        found.append(error.reason.value)
    try:
        Lake(f"{folder}/lake").replace(
            "catalog", [], [catalog(os.urandom(16).hex() for _ in range(9_000))]
        )
    except StorageError as error:
        found.append(str(error))
    answers.put(found)  # type: ignore[attr-defined]


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: mounting a small one needs privileges."""
    source = tmp_path / "video.mp4"
    source.write_bytes(bytes(200_000))
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=_with_little_room, args=(str(source), str(tmp_path), answers))
    child.start()
    fetched, replaced = answers.get(timeout=60)
    child.join()
    assert fetched == Reason.DISK_FULL
    assert "not worth a retry" in replaced
    assert not (tmp_path / "copy").exists()
    assert Lake(str(tmp_path / "lake")).files("catalog") == []
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
