"""Files that pass for videos, and a crop that reads them and cuts nothing.

It stands in where a test is about the engine, storage or faults, and says so; what it gives is a
pure function of the file's bytes, so that tables can be compared row for row. Nothing heavy is
imported: every decoder child of a test pays for it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
import zlib
from pathlib import Path

import cv2
import numpy as np

from fakeout_core.clip import AudioStatus, Clip, FaceTrack
from fakeout_core.config import CropConfig
from fakeout_core.errors import MediaError, Reason


def crop_bytes(path: str, config: CropConfig) -> Clip:
    """A clip of noise seeded by the file's bytes; a few words in the file act up instead."""
    data = Path(path).read_bytes()
    word = data.split(b"\n", 1)[0]
    if word == b"segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == b"hang":
        time.sleep(3600)
    if word == b"killowner":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)
    if word == b"noface":
        raise MediaError(Reason.NO_FACE, "nobody there")
    if word.startswith(b"slow"):
        time.sleep(float(word[4:]))
    rng = np.random.default_rng(zlib.crc32(data))
    images = rng.integers(0, 255, (2, 7, 7, 3), dtype=np.uint8)
    large = [cv2.resize(image, (224, 224), interpolation=cv2.INTER_NEAREST) for image in images]
    frames = [cv2.imencode(".jpg", image)[1].tobytes() for image in large]
    n = config.n_windows
    track = FaceTrack(
        frames=frames,
        frame_index=np.arange(2, dtype=np.int32),
        windows=np.arange(n, dtype=np.int32),
        window_frames=np.tile(np.arange(2, dtype=np.int32), (n, 16)),
        absent_share=np.zeros(n, np.float32),
        face_px=100.0,
        n_frames_seen=2,
        box=(0.0, 0.0, 100.0, 100.0),
    )
    starts = np.arange(n, dtype=np.float64)
    mel = np.zeros((0, 183, 80, 1), np.float32)
    return Clip(
        [track], mel, AudioStatus.ABSENT, starts, starts + 2, 3.0, 29.0, 100, 100, 87, 87, "fake"
    )


def write_corpus(folder: Path, n: int, words: dict[int, bytes] | None = None) -> list[Path]:
    """Write ``n`` small files that pass for videos; ``words`` puts a first line into some."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(n):
        path = folder / f"video_{index:03d}.mp4"
        word = (words or {}).get(index, b"plain")
        path.write_bytes(word + b"\n" + hashlib.sha256(str(index).encode()).digest())
        paths.append(path)
    return paths
