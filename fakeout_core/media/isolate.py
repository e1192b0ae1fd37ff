"""Hostile input is handled in a child process that may die; its owner goes on.

A ``Child`` starts lazily, stays warm between calls, is killed with its whole process group on a
time-out, and is replaced after it died or after a number of calls. It runs with limits on memory,
file size and core dumps, without the owner's environment, and dies with its owner. What it sends
back is bounded and unpickled through a list of allowed types, since a decoder that was taken over
could send anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeout_core.errors import MediaError, Reason

_HEADER = struct.Struct("<Q")
_ALLOWED = {
    ("fakeout_core.clip", "Clip"),
    ("fakeout_core.clip", "FaceTrack"),
    ("fakeout_core.clip", "AudioStatus"),
    ("fakeout_core.errors", "MediaError"),
    ("fakeout_core.errors", "Reason"),
    ("fakeout_core.media.probe", "VideoInfo"),
    ("fractions", "Fraction"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
_OWN_SIGNALS = {signal.SIGKILL, signal.SIGXCPU}


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
    """Runs one function in a process that may be killed.

    Args:
        target: ``package.module:function``; its arguments and result must pickle, the result
            within the allowed types.
        limits: of each call.
    """

    def __init__(self, target: str, limits: ChildLimits | None = None) -> None:
        self._target, self._limits = target, limits or ChildLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._calls = 0

    def call(self, *arguments: Any) -> Any:
        """Run the function on ``arguments``.

        Returns:
            Its result.

        Raises:
            MediaError: as raised in the child; or ``timeout``, ``crashed``, ``out_of_memory``,
                ``too_large`` (its answer), ``internal`` (any other exception, by name).
        """
        if self._calls >= self._limits.calls_before_recycle:
            self.close()
        process = self._started()
        self._calls += 1
        deadline = time.monotonic() + self._limits.wall_s
        try:
            _send(process, pickle.dumps(arguments), deadline)
            kind, value = self._answer(process, deadline)
        except TimeoutError:
            self._kill()
            raise MediaError(Reason.TIMEOUT, f"not done after {self._limits.wall_s:g} s") from None
        except (EOFError, BrokenPipeError, ConnectionError):
            raise self._death() from None
        except (pickle.UnpicklingError, AttributeError, ValueError, TypeError) as error:
            self._kill()
            raise MediaError(Reason.CRASHED, f"the decoder answered nonsense: {error}") from None
        if kind == "ok":
            return value
        if kind == "media":
            raise MediaError(Reason(value[0]), str(value[1]))
        if kind == "memory":
            self.close()  # its heap is in pieces
            raise MediaError(Reason.OUT_OF_MEMORY, f"over {self._limits.memory_bytes} bytes")
        raise MediaError(Reason.INTERNAL, str(value))

    def close(self) -> None:
        """End the child; the next call starts another."""
        self._kill()

    @property
    def pid(self) -> int | None:
        """Process id of the child that is up now."""
        return self._process.pid if self._process is not None else None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._kill()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": "/nonexistent"}
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(
            [root, *(part for part in sys.path if part), environment.get("PYTHONPATH", "")]
        )
        limits = f"{self._limits.memory_bytes}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fakeout_core.media.child", self._target, limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            close_fds=True,
        )
        self._calls = 0
        try:
            kind, value = self._answer(self._process, time.monotonic() + self._limits.start_s)
        except (TimeoutError, EOFError):
            self._kill()
            raise MediaError(Reason.INTERNAL, "the decoder process did not come up") from None
        if kind != "ready":
            self._kill()
            raise MediaError(Reason.INTERNAL, f"the decoder process did not come up: {value}")
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], deadline: float) -> tuple[str, Any]:
        (size,) = _HEADER.unpack(_receive(process, _HEADER.size, deadline))
        if size > self._limits.output_bytes:
            self._kill()
            raise MediaError(
                Reason.TOO_LARGE, f"an answer of {size} bytes, limit {self._limits.output_bytes}"
            )
        data = _receive(process, size, deadline)
        kind, value = _Unpickler(io.BytesIO(data)).load()
        return str(kind), value

    def _death(self) -> MediaError:
        process = self._process
        code = process.wait(timeout=10) if process is not None else 0
        self._kill()
        if code < 0:
            name = signal.Signals(-code).name
            if -code in _OWN_SIGNALS:
                return MediaError(
                    Reason.OUT_OF_MEMORY, f"killed by {name}, by the kernel or a limit"
                )
            return MediaError(Reason.CRASHED, f"the decoder died of {name}")
        return MediaError(Reason.CRASHED, f"the decoder left with code {code}")

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Unpickler(pickle.Unpickler):
    """Rebuilds plain values, numpy arrays and our own result types; nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not a result type")
        return super().find_class(module_name, global_name)


def _send(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    pipe = process.stdin
    assert pipe is not None
    descriptor = pipe.fileno()
    os.set_blocking(descriptor, False)
    rest = memoryview(_HEADER.pack(len(data)) + data)
    while rest:
        _, ready, _ = select.select([], [descriptor], [], _left(deadline))
        if ready:
            rest = rest[os.write(descriptor, rest[: 1 << 16]) :]


def _receive(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytearray:
    pipe = process.stdout
    assert pipe is not None
    descriptor = pipe.fileno()
    data = bytearray()
    while len(data) < size:
        ready, _, _ = select.select([descriptor], [], [], _left(deadline))
        if not ready:
            continue
        part = os.read(descriptor, min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
