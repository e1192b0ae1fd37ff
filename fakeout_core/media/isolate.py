"""Hostile input is handled in a child process that may die; its owner goes on.

A ``Child`` starts at its first call, stays warm between calls, is killed with its whole process
group on a time-out, and is replaced after it died or after a number of calls. It is a fresh
interpreter, not a fork: it inherits no lock, no open file and no environment but the few variables
that programs need to run. It has limits on memory, file size and core dumps, and dies with its
owner. Its answers are bounded and are data only (``wire``), since a decoder that was taken over
could send anything.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fakeout_core.errors import FakeoutError, MediaError, Reason
from fakeout_core.media.child import HEADER
from fakeout_core.media.wire import WireError, decode

_NEEDED_TO_RUN = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH")
_SET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # each arena reserves address space, which is what is limited
    "HOME": "/nonexistent",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_LAST_WORDS_BYTES = 16_384


@dataclass(frozen=True)
class ChildLimits:
    """What one call may cost.

    Attributes:
        wall_s: seconds before the child is killed with ``timeout``.
        memory_bytes: address space the child may add to what it has when it starts working.
        output_bytes: length of its answer.
        calls_before_recycle: calls before a fresh child takes over (decoders leak).
        start_s: seconds a new child has to come up.
    """

    wall_s: float = 600.0
    memory_bytes: int = 3_000_000_000
    output_bytes: int = 512 << 20
    calls_before_recycle: int = 100
    start_s: float = 120.0


class Child:
    """Runs one function in a process that may be killed. One call at a time.

    Args:
        target: ``package.module:function``. Its arguments must pickle; its result must be what
            ``wire.encode`` takes: plain values, arrays, dataclasses of the core.
        limits: of each call.
        pass_variables: further environment variables that the child may see, such as the address
            of an object store for a function that reads from it.
        with_network: leave the child on the network. Otherwise it is taken off where the kernel
            allows that without further rights.
    """

    def __init__(
        self,
        target: str,
        limits: ChildLimits | None = None,
        *,
        pass_variables: tuple[str, ...] = (),
        with_network: bool = False,
    ) -> None:
        self._target, self._limits = target, limits or ChildLimits()
        self._with_network = with_network
        self._variables = (*_NEEDED_TO_RUN, *pass_variables)
        self._process: subprocess.Popen[bytes] | None = None
        self._calls = 0
        self._words = b""
        self._one_at_a_time = threading.Lock()

    def call(self, *arguments: Any) -> Any:
        """Run the function on ``arguments``.

        Returns:
            Its result.

        Raises:
            MediaError: as raised in the child; or ``timeout``, ``crashed``, ``out_of_memory``,
                ``too_large`` (its answer), ``internal`` (any other exception, by name).
            FakeoutError: the target cannot be imported.
        """
        with self._one_at_a_time:
            if self._calls >= self._limits.calls_before_recycle:
                self.close()
            process = self._started()
            self._calls += 1
            return self._called(process, pickle.dumps(arguments))

    def close(self) -> None:
        """End the child; the next call starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child that is up now."""
        return self._process.pid if self._process is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _called(self, process: subprocess.Popen[bytes], arguments: bytes) -> Any:
        deadline = time.monotonic() + self._limits.wall_s
        try:
            self._send(process, arguments, deadline)
            kind, value = self._answer(process, deadline)
        except TimeoutError:
            self.close()
            raise MediaError(Reason.TIMEOUT, f"not done after {self._limits.wall_s:g} s") from None
        except (EOFError, BrokenPipeError, ConnectionError):
            raise self._death(process) from None
        except WireError as error:
            self.close()
            raise MediaError(Reason.CRASHED, f"the decoder answered nonsense: {error}") from None
        except BaseException:
            self.close()  # half an answer may be under way: never read it as the next one
            raise
        if kind == "ok":
            return value
        if kind == "media":
            return _raise_media(value)
        if kind == "memory":
            self.close()  # its heap is in pieces
            raise MediaError(
                Reason.OUT_OF_MEMORY, f"over {self._limits.memory_bytes >> 20} MB in the decoder"
            )
        raise MediaError(Reason.INTERNAL, str(value))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._process = process = _SPAWNER.run(self._spawn)
        self._calls, self._words = 0, b""
        try:
            kind, value = self._answer(process, time.monotonic() + self._limits.start_s)
        except TimeoutError:
            self.close()
            text = f"the decoder process was not up after {self._limits.start_s:g} s"
            raise MediaError(Reason.INTERNAL, text) from None
        except (EOFError, WireError):
            raise MediaError(
                Reason.INTERNAL, f"while coming up: {self._death(process).detail}"
            ) from None
        if kind != "ready":
            self.close()
            raise FakeoutError(f"cannot load {self._target!r} in the decoder process: {value}")
        return process

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in self._variables if name in os.environ}
        root = str(Path(__file__).resolve().parents[2])
        places = [root, *(place for place in sys.path if place)]
        environment = {
            **_SET,
            **environment,
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(places)),
        }
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fakeout_core.media.child"),
                *(self._target, str(self._limits.memory_bytes), str(int(self._with_network))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return process

    def _answer(self, process: subprocess.Popen[bytes], deadline: float) -> tuple[str, Any]:
        (size,) = HEADER.unpack(self._receive(process, HEADER.size, deadline))
        if size > self._limits.output_bytes:
            self.close()
            raise MediaError(
                Reason.TOO_LARGE, f"an answer of {size} bytes, limit {self._limits.output_bytes}"
            )
        answer = decode(self._receive(process, size, deadline))
        match answer:
            case (str(kind), value):
                return kind, value
            case _:
                raise WireError("no answer of ours")

    def _send(self, process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
        assert process.stdin is not None
        descriptor = process.stdin.fileno()
        rest = memoryview(HEADER.pack(len(data)) + data)
        while rest:
            self._wait(process, descriptor, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(descriptor, rest) :]

    def _receive(self, process: subprocess.Popen[bytes], size: int, deadline: float) -> bytearray:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        data = bytearray()
        while len(data) < size:
            self._wait(process, descriptor, select.POLLIN, deadline)
            with contextlib.suppress(BlockingIOError):
                part = os.read(descriptor, min(size - len(data), 1 << 20))
                if not part:
                    raise EOFError
                data += part
        return data

    def _wait(
        self, process: subprocess.Popen[bytes], descriptor: int, event: int, deadline: float
    ) -> None:
        """Wait for a pipe, emptying the error pipe meanwhile so that the child never blocks on it.

        ``poll``, because ``select`` fails on descriptors above 1,023.
        """
        assert process.stderr is not None
        errors = process.stderr.fileno()
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(errors, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            happened = dict(poll.poll(left * 1_000))
            if descriptor in happened:
                return
            if errors in happened:
                self._listen(process)
                if happened[errors] & (select.POLLHUP | select.POLLERR):
                    poll.unregister(errors)
        raise TimeoutError

    def _listen(self, process: subprocess.Popen[bytes]) -> str:
        """Take what lies in the error pipe; return the last of what the child has said."""
        assert process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            for _ in range(64):
                part = os.read(process.stderr.fileno(), 1 << 16)
                if not part:
                    break
                self._words = (self._words + part)[-_LAST_WORDS_BYTES:]
        return self._words.decode("utf-8", "replace")

    def _death(self, process: subprocess.Popen[bytes]) -> MediaError:
        """Say what the child died of."""
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0  # it closed its pipe and lives on
        words = self._listen(process)
        self.close()
        if code >= 0:
            return MediaError(Reason.CRASHED, f"the decoder left with code {code}")
        if code == -signal.SIGKILL:
            text = "killed, most likely by the kernel for lack of memory"
            return MediaError(Reason.OUT_OF_MEMORY, text)
        if re.search("bad_alloc|Cannot allocate memory|Insufficient memory", words):
            text = f"over {self._limits.memory_bytes >> 20} MB in the decoder"
            return MediaError(Reason.OUT_OF_MEMORY, text)
        place = re.search(r'File "[^"]*?([^"/]+)", line (\d+)', words)
        where = f" in {place.group(1)}:{place.group(2)}" if place else ""
        name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
        return MediaError(Reason.CRASHED, f"the decoder died of {name}{where}")


class _Spawner:
    """Starts children from one thread that lives as long as this process.

    The kernel ends a child when the *thread* that made it ends, not the process; engines call from
    threads that come and go.
    """

    def __init__(self) -> None:
        self._owner = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]]
        self._start = threading.Lock()

    def run(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._start:
            if self._owner != os.getpid():  # threads do not survive a fork
                self._owner = os.getpid()
                self._jobs = queue.SimpleQueue()
                threading.Thread(target=self._serve, name="child-spawner", daemon=True).start()
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._jobs.put((job, answer))
        made = answer.get()
        if isinstance(made, BaseException):
            raise made
        return made

    def _serve(self) -> None:
        jobs = self._jobs
        while True:
            job, answer = jobs.get()
            try:
                answer.put(job())
            except BaseException as error:  # handed to the caller, who raises it
                answer.put(error)


_SPAWNER = _Spawner()


def _raise_media(value: Any) -> Any:
    try:
        reason, detail = value
        error = MediaError(Reason(reason), str(detail)[:2_000])
    except (TypeError, ValueError):
        error = MediaError(Reason.CRASHED, "the decoder answered nonsense")
    raise error
