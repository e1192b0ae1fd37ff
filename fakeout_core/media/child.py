"""The other side of ``isolate.Child``: reads calls from standard input, answers on standard output.

Run as ``python -m fakeout_core.media.child package.module:function MEMORY_BYTES``.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from fakeout_core.errors import MediaError

_HEADER = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1
_MAX_FILE_BYTES = 1 << 30


def main() -> None:
    """Serve calls until standard input ends."""
    _die_with_parent()
    # Libraries print to descriptor 1; the answers go through a copy that only we know.
    answers = os.fdopen(os.dup(1), "wb")
    calls = os.fdopen(os.dup(0), "rb")
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    try:
        function = _target(sys.argv[1])
    except Exception as error:  # told to the owner, who raises it
        _write(answers, ("failed", f"{type(error).__name__}: {error}"))
        return
    _limit(int(sys.argv[2]))
    _write(answers, ("ready", os.getpid()))
    while header := calls.read(_HEADER.size):
        arguments = pickle.loads(calls.read(_HEADER.unpack(header)[0]))  # from our owner
        _write(answers, _outcome(function, arguments))


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "ok", function(*arguments)
    except MediaError as error:
        return "media", (error.reason.value, error.detail)
    except MemoryError:
        return "memory", None
    except Exception as error:
        text = str(error)
        # Native libraries report a failed allocation in their own words.
        if "bad_alloc" in text or "Insufficient memory" in text or "Cannot allocate" in text:
            return "memory", None
        return "failed", f"{type(error).__name__}: {text}"[:500]


def _target(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _limit(memory_bytes: int) -> None:
    """Bound what the work may add to the address space that imports have taken."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))


def _die_with_parent() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os._exit(1)


def _write(file: BinaryIO, value: tuple[str, Any]) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(_HEADER.pack(len(data)))
    file.write(data)
    file.flush()


if __name__ == "__main__":
    main()
