"""One run at a time per dataset: a lock object with an expiry, renewed while the run lives.

The lock is one small object, ``_locks/<dataset>.json``. It is created if absent and from then on
only replaced under the condition that nobody replaced it meanwhile; released means marked free,
never deleted, because conditional deletes are not to be had everywhere. A lock that was not
renewed for its whole time to live may be taken over; one left by a dead process of this very
machine at once. The driver verifies the lock before each publishing step, so a run that was
stopped and taken over learns of it and publishes nothing more.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeout_core.errors import LockedError, StorageError
from pipelines import layout, storage
from pipelines.lake import Lake
from pipelines.retry import RetryPolicy

FOLDER = "_locks"
POLL_S = 2.0
_RETRY = RetryPolicy(attempts=4, first_wait_s=0.3, max_wait_s=3.0, deadline_s=20.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as its object says.

    Attributes:
        run_id: the run.
        token: unique to one taking of the lock; empty when it is free.
        expires_at: seconds since 1970.
        host: machine and process namespace, see ``this_process``.
        pid: process.
        started: the process's start time in clock ticks since boot.
        renewals: how often it was renewed; also makes each state's bytes unique.
    """

    run_id: str
    token: str
    expires_at: float
    host: str
    pid: int
    started: str
    renewals: int = 0

    def to_json(self) -> bytes:
        """The lock object's bytes."""
        return json.dumps(self.__dict__ | {"nonce": secrets.token_hex(4)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Holder:
        """Read a lock object."""
        record: dict[str, Any] = json.loads(data)
        record.pop("nonce", None)
        return cls(**record)

    def is_gone(self, now: float) -> bool:
        """Whether the lock may be taken: free, expired, or its process died on this machine."""
        if not self.token or self.expires_at <= now:
            return True
        host, _, _ = this_process()
        return self.host == host and _start_of(self.pid) != self.started


def this_process() -> tuple[str, int, str]:
    """Host, process id and its start; equal hosts mean that process ids can be compared."""
    boot = _text("/proc/sys/kernel/random/boot_id")
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}|{boot}|{namespace}", os.getpid(), _start_of(os.getpid())


def _start_of(pid: int) -> str:
    """Start time of a live process; empty if there is none, or it is a zombie."""
    status = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return status[19] if len(status) > 19 and status[0] not in "ZX" else ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


class DatasetLock:
    """The lock of one dataset of a lake, for one run.

    Args:
        lake: the lake; it asks this lock before it publishes.
        dataset: the dataset.
        run_id: the run.
        ttl_s: a lock not renewed for this long may be taken over. It must be well above the
            difference between the clocks of machines that run jobs.
    """

    def __init__(self, lake: Lake, dataset: str, run_id: str, ttl_s: float = 600.0) -> None:
        self._lake, self._dataset, self._run_id, self._ttl_s = lake, dataset, run_id, ttl_s
        self.uri = lake.place(FOLDER, f"{layout.encode_value(dataset)}.json")
        self._holder: Holder | None = None
        self._generation = ""
        self._renewed_at = 0.0
        self._lost = ""
        self._mutex = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """What proves that the lock is ours; empty while it is not."""
        return self._holder.token if self._holder is not None else ""

    @contextmanager
    def held(self, wait_s: float = 0.0) -> Iterator[DatasetLock]:
        """Hold the lock while the block runs.

        Args:
            wait_s: how long to wait for another run; 0 leaves at once.

        Raises:
            LockedError: another run holds it.
        """
        self.acquire(wait_s)
        try:
            yield self
        finally:
            self.release()

    def acquire(self, wait_s: float = 0.0) -> None:
        """Take the lock and keep renewing it in the background.

        Raises:
            LockedError: another run holds it, still after ``wait_s`` seconds.
        """
        deadline = time.monotonic() + wait_s
        while True:
            other = self._try()
            if other is None:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockedError(
                    f"dataset {self._dataset!r} is locked by run {other.run_id} (process "
                    f"{other.pid} on {other.host.partition('|')[0]}), for "
                    f"{max(0.0, other.expires_at - time.time()):.0f} s unless renewed. Wait for "
                    f"it, or delete {self.uri} if that run is dead."
                )
            time.sleep(min(POLL_S, left))
        self._lake.guard(self._dataset, self)
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name="fakeout-lock", daemon=True)
        self._thread.start()

    def _try(self) -> Holder | None:
        """One attempt: None when taken, else who has it."""
        host, pid, started = this_process()
        for _ in range(10):
            asked_at = time.monotonic()
            mine = Holder(
                self._run_id, secrets.token_hex(8), time.time() + self._ttl_s, host, pid, started
            )
            generation = storage.create_versioned(self.uri, mine.to_json(), _RETRY)
            if generation is None:
                try:
                    found = storage.read_versioned(self.uri, _RETRY)
                except FileNotFoundError:
                    continue
                other = Holder.from_json(found.data)
                if not other.is_gone(time.time()):
                    return other
                if other.token:
                    _log.warning("taking over the lock that run %s left", other.run_id)
                generation = storage.replace_if(self.uri, mine.to_json(), found.generation, _RETRY)
                if generation is None:
                    continue
            with self._mutex:
                self._holder, self._generation = mine, generation
                self._renewed_at, self._lost = asked_at, ""
            return None
        raise StorageError(f"{self.uri} changes faster than it can be read")

    def renew(self) -> None:
        """Prolong the lock, if a third of its time is gone.

        Raises:
            LockedError: it is no longer ours.
            StorageError: the store does not answer, and the lock's time has run out.
        """
        with self._mutex:
            age = time.monotonic() - self._renewed_at
            if self._lost or age > self._ttl_s / 3:
                self._renew_now()

    def _renew_now(self) -> None:
        with self._mutex:
            holder = self._holder
            if holder is None or self._lost:
                raise LockedError(self._lost or f"the lock {self.uri} is not held")
            asked_at = time.monotonic()
            mine = dataclasses.replace(
                holder, expires_at=time.time() + self._ttl_s, renewals=holder.renewals + 1
            )
            try:
                generation = storage.replace_if(self.uri, mine.to_json(), self._generation, _RETRY)
            except StorageError:
                if asked_at - self._renewed_at < self._ttl_s * 0.9:
                    return  # still ours for a while; the next call tries again
                raise
            if generation is None:
                self._lost = self._who_took_it()
                raise LockedError(self._lost)
            self._holder, self._generation, self._renewed_at = mine, generation, asked_at

    def _who_took_it(self) -> str:
        try:
            run_id = Holder.from_json(storage.read_bytes(self.uri, _RETRY)).run_id
        except (FileNotFoundError, StorageError):
            run_id = "unknown"
        return (
            f"the lock of dataset {self._dataset!r} was taken over by run {run_id}; this run "
            "stops, and the other one finishes its work"
        )

    def verify(self) -> None:
        """Prove that the lock is still ours; called before every publishing step.

        Raises:
            LockedError: it is not.
        """
        with self._mutex:
            self.renew()
            holder = self._holder
            if holder is None:
                raise LockedError(f"the lock {self.uri} is not held")
            try:
                current = Holder.from_json(storage.read_bytes(self.uri, _RETRY))
            except FileNotFoundError:
                self._lost = f"the lock {self.uri} was deleted; this run stops"
                raise LockedError(self._lost) from None
            if current.token != holder.token:
                self._lost = self._who_took_it()
                raise LockedError(self._lost)

    def release(self) -> None:
        """Mark the lock free, if it is still ours. Never raises for a lock that was lost."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None
        self._lake.guard(self._dataset, None)
        with self._mutex:
            holder, self._holder = self._holder, None
            if holder is None or self._lost:
                return
            free = dataclasses.replace(holder, token="", expires_at=0.0)
            try:
                storage.replace_if(self.uri, free.to_json(), self._generation, _RETRY)
            except StorageError as error:
                _log.warning("the lock %s was not released, it will expire: %s", self.uri, error)

    def _keep(self) -> None:
        while not self._stop.wait(max(0.05, self._ttl_s / 6)):
            try:
                self.renew()
            except LockedError:
                return  # verify() tells the driver
            except StorageError as error:
                _log.warning("cannot renew the lock %s: %s", self.uri, error)
