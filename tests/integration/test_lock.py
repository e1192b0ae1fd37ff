"""One run at a time: races, expiry, takeover, fencing, a killed holder."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakeout_core.errors import LockedError
from pipelines import lock as lock_module
from pipelines import storage
from pipelines.lake import Lake
from pipelines.lock import DatasetLock, Holder

from .conftest import REPOSITORY


def lock(root: str, run_id: str, ttl_s: float = 60.0) -> DatasetLock:
    return DatasetLock(Lake(root), "d", run_id, ttl_s)


def test_of_many_exactly_one_gets_it(root: str) -> None:
    start = threading.Barrier(8)

    def attempt(number: int) -> DatasetLock | None:
        mine = lock(root, f"r{number}")
        start.wait()
        try:
            mine.acquire()
        except LockedError:
            return None
        return mine

    for _ in range(2):  # the second round starts from a lock that was released
        with ThreadPoolExecutor(8) as pool:
            winners = [one for one in pool.map(attempt, range(8)) if one is not None]
        assert len(winners) == 1
        winners[0].verify()
        winners[0].release()


def test_the_loser_is_told_who_has_it(tmp_path: Path) -> None:
    with (
        lock(str(tmp_path), "tonight").held(),
        pytest.raises(LockedError, match=r"locked by run tonight .* delete .*_locks/d\.json"),
    ):
        lock(str(tmp_path), "other").acquire()


def test_waiting_gets_it_when_the_other_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "POLL_S", 0.02)
    first, second = lock(str(tmp_path), "r1"), lock(str(tmp_path), "r2")
    first.acquire()
    timer = threading.Timer(0.1, first.release)
    timer.start()
    with second.held(wait_s=30):
        second.verify()
    timer.join()


def forget_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every look at this process seem from another machine, where no life can be checked."""
    hosts = itertools.count()
    monkeypatch.setattr(lock_module, "this_process", lambda: (f"host{next(hosts)}", 1, "1"))


def test_an_expired_lock_is_taken_over_and_its_holder_is_fenced(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_process(monkeypatch)
    old = lock(root, "old")
    old.acquire()
    old._stop.set()  # its machine is stopped: nothing renews
    holder = Holder.from_json(storage.read_bytes(old.uri))
    with pytest.raises(LockedError):
        lock(root, "new").acquire()
    late = Holder(**holder.__dict__ | {"expires_at": 1.0})
    storage.write_bytes(old.uri, late.to_json())
    new = lock(root, "new")
    new.acquire()
    new.verify()
    with pytest.raises(LockedError, match="taken over by run new"):
        old.verify()
    with pytest.raises(LockedError, match="taken over by run new"):
        old.renew()
    old.release()
    new.verify()
    new.release()


def test_it_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_process(monkeypatch)
    mine = lock(str(tmp_path), "r1", ttl_s=3.0)
    renewed = threading.Event()
    plain = DatasetLock._renew_now

    def note(self: DatasetLock) -> None:
        plain(self)
        if Holder.from_json(storage.read_bytes(self.uri)).renewals >= 3:
            renewed.set()

    monkeypatch.setattr(DatasetLock, "_renew_now", note)
    with mine.held():
        assert renewed.wait(30), "three renewals, well beyond the time to live"
        mine.verify()
        with pytest.raises(LockedError):
            lock(str(tmp_path), "r2").acquire()


def test_a_deleted_lock_stops_the_run(tmp_path: Path) -> None:
    mine = lock(str(tmp_path), "r1")
    with mine.held():
        storage.delete(mine.uri)
        with pytest.raises(LockedError, match="deleted"):
            mine.verify()


def test_a_holder_killed_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pipelines.lake import Lake\n"
        "from pipelines.lock import DatasetLock\n"
        "DatasetLock(Lake(sys.argv[1]), 'd', 'victim', 3600).acquire()\n"
        "print('held', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="victim"):
            lock(str(tmp_path), "next").acquire()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with lock(str(tmp_path), "next").held() as mine:
        mine.verify()
