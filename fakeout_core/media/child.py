"""The other side of ``isolate.Child``: reads calls from standard input, answers on standard output.

Run as ``python -m fakeout_core.media.child package.module:function MEMORY_BYTES WITH_NETWORK``.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("<Q")
"""Length of the message that follows, bytes."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MAX_FILE_BYTES = 1 << 30
_OUT_OF_MEMORY_WORDS = ("bad_alloc", "Insufficient memory", "Cannot allocate", "bad allocation")


def main() -> None:
    """Serve calls until standard input ends."""
    if sys.argv[3] != "1":
        _leave_network()
    _die_with_parent()
    faulthandler.enable()  # where a signal struck, for the owner's message
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
    while header := calls.read(HEADER.size):
        arguments = pickle.loads(calls.read(HEADER.unpack(header)[0]))  # from our owner
        _write(answers, _outcome(function, arguments))


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    from fakeout_core.errors import MediaError

    try:
        return "ok", function(*arguments)
    except MediaError as error:
        return "media", (error.reason.value, error.detail)
    except MemoryError:
        return "memory", None
    except Exception as error:
        text = str(error)
        # Native libraries report a failed allocation in their own words.
        if any(word in text for word in _OUT_OF_MEMORY_WORDS):
            return "memory", None
        return "failed", f"{type(error).__name__}: {text}"[:500]


def _target(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _limit(memory_bytes: int) -> None:
    """Bound what the work may add to the address space that imports have taken."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    statm = Path("/proc/self/statm")
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _leave_network() -> None:
    """Move to a network of our own without an interface, where the kernel lets us.

    A user other than root needs a user namespace for it; root would lose the right to read others'
    files in one, and keeps the network if it may not leave it otherwise.
    """
    if sys.platform != "linux":
        return
    kernel = ctypes.CDLL(None)
    if kernel.unshare(_CLONE_NEWNET) != 0 and os.getuid() != 0:
        kernel.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _die_with_parent() -> None:
    """Ask the kernel to end this process with its owner; the owner may be gone already."""
    parent = os.getppid()
    if sys.platform == "linux":
        kernel = ctypes.CDLL(None)
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _write(file: BinaryIO, value: tuple[str, Any]) -> None:
    from fakeout_core.media.wire import WireError, encode

    try:
        data = encode(value)
    except WireError as error:
        data = encode(("failed", f"the answer cannot be sent: {error}"))
    except MemoryError:
        data = encode(("memory", None))
    file.write(HEADER.pack(len(data)))
    file.write(data)
    file.flush()


if __name__ == "__main__":
    main()
