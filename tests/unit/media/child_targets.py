"""Functions that children run in tests: each misbehaves in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.errors import MediaError, Reason


def do(what: str, value: Any = None) -> Any:
    """Misbehave as told."""
    return globals()[f"_{what}"](value)


def _echo(value: Any) -> Any:
    return value


def _pid(_: Any) -> int:
    return os.getpid()


def _environment(_: Any) -> dict[str, str]:
    return dict(os.environ)


def _open_files(_: Any) -> list[str]:
    links = []
    for place in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(place.readlink()))
        except OSError:  # the listing's own descriptor
            continue
    return links


def _call_port(port: int) -> tuple[str, bool]:
    network = str(Path("/proc/self/ns/net").readlink())
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return network, False
    return network, True


def _clip(_: Any) -> Clip:
    track = FaceTrack(
        frames=[b"one", b""],
        frame_index=np.array([0, 2], np.int32),
        windows=np.array([0], np.int32),
        window_frames=np.zeros((1, 32), np.int32),
        absent_share=np.array([0.5], np.float32),
        face_px=float(np.float32(31.5)),
        n_frames_seen=2,
        box=(0.0, 1.5, 2.0, 3.0),
        fixes=("reseeded",),
        sprite=b"\xff\x00",
    )
    times = np.array([0.25])
    return Clip(
        [track],
        np.ones((1, 183, 80, 1), np.float32),
        AudioStatus.USED,
        times,
        times + 2,
        3.5,
        29.97,
        320,
        240,
        105,
        104,
        "decord",
    )


def _media_error(_: Any) -> None:
    raise MediaError(Reason.NO_FACE, "nobody there")


def _bug(_: Any) -> None:
    raise KeyError("a bug")


def _segfault(_: Any) -> None:
    ctypes.string_at(0)


def _abort(_: Any) -> None:
    os.abort()


def _leave(code: int) -> None:
    os._exit(code)


def _kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _spin(_: Any) -> None:
    while True:
        pass


def _deaf(_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(600)


def _with_grandchild(path: str) -> None:
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    with open(path, "w") as file:
        file.write("ready")
    time.sleep(600)


def _hoard(megabytes: int) -> int:
    return len(bytearray(megabytes << 20))


def _hoard_natively(megabytes: int) -> int:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    if not libc.malloc(ctypes.c_size_t(megabytes << 20)):
        sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
        sys.stderr.flush()
        os.abort()
    return megabytes


def _shout(megabytes: int) -> int:
    for _ in range(megabytes):
        sys.stderr.write("x" * (1 << 20))
        os.write(1, b"y" * (1 << 20))
    return megabytes


def _unsendable(_: Any) -> Any:
    return object()


def _nonsense(data: bytes) -> None:
    """Speak past the protocol, as a decoder that was taken over could."""
    for place in Path("/proc/self/fd").iterdir():
        try:
            if int(place.name) > 2 and str(place.readlink()).startswith("pipe:"):
                os.write(int(place.name), data)
        except OSError:
            continue
    time.sleep(600)
