"""Inputs and files of the golden tests; the vectors come from the authors' code."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

RATE = 44_100
WINDOW = 48_662


@pytest.fixture(scope="session")
def golden(data: Path) -> Path:
    return data / "golden"


@pytest.fixture(scope="session")
def forward(golden: Path):
    """Load one network's vectors, with the inputs they were made from."""

    def load(name: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        with np.load(golden / f"golden_forward_{name}.npz") as file:
            vectors = {key: file[key] for key in file.files}
        video = np.stack([scene(int(item)) for item in vectors["items"]])
        checks = [zlib.crc32(one.tobytes()) for one in video]
        assert checks == vectors["video_u8_crc32"].tolist(), "the generated video differs"
        return vectors, video, vectors.get("audio_spectrogram")

    return load


def scene(item: int) -> np.ndarray:
    """The input video: stripes, a moving disc and noise, in integers; [32, 224, 224, 3]."""
    kind = item % 4
    t, y, x, c = np.ogrid[:32, :224, :224, :3]
    phase = (x * (2 + 3 * kind) + y * (5 - kind) + t * (9 + 16 * kind) + 64 * c) % 256
    stripes = np.minimum(2 * phase, 511 - 2 * phase)
    background = 10 + 45 * kind + stripes * (2 + kind) // 8 + t * (13 + 8 * kind) % (24 + 24 * kind)
    from_centre = (x - 4 * t - 48) ** 2 + (y - 90 - 20 * kind) ** 2
    picture = np.where(from_centre < (25 + 15 * kind) ** 2, 230 - 90 * c, background)
    noise = np.random.default_rng(1000 + item).integers(0, 32, picture.shape) - 16
    return (picture + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def sound():
    """Build the vectors' waveforms by name; float32 [n], the channel that is used."""
    return waveform


def waveform(name: str) -> np.ndarray:
    def seconds(count: float) -> np.ndarray:
        return np.arange(int(count * RATE)) / RATE

    def pcm(values: np.ndarray) -> np.ndarray:
        return np.rint(values).clip(-32768, 32767).astype(np.float32)

    def sweep(t: np.ndarray) -> np.ndarray:
        cycles = 50.0 * t + 17950.0 * t * t / (2 * (len(t) / RATE))
        return pcm(12000.0 * np.sin(2 * np.pi * cycles))

    def noise(count: int, seed: int, size: int = 8000) -> np.ndarray:
        draws = np.random.default_rng(seed).integers(-size, size + 1, size=count)
        return draws.astype(np.float32)

    def tones(count: int) -> np.ndarray:
        t = np.arange(count) / RATE
        chord = ((6000.0, 220.0), (3000.0, 1000.0), (2000.0, 7000.0))
        return pcm(sum(size * np.sin(2 * np.pi * hertz * t) for size, hertz in chord))

    def speech(count: int, seed: int) -> np.ndarray:
        t = np.arange(count) / RATE
        loudness = 0.5 - 0.5 * np.cos(2 * np.pi * 3.1 * t)
        voice = sum(np.sin(2 * np.pi * 130.0 * k * t + k) / k for k in range(1, 25))
        return pcm(5000.0 * loudness * voice + noise(count, seed, 300))

    def fade_in(count: int) -> np.ndarray:
        return pcm(noise(count, 13, 20000).astype(np.float64) * (np.arange(count) / count) ** 4)

    makers = {
        "sweep_3s": lambda: sweep(seconds(3)),
        "noise_2p5s": lambda: noise(110_250, 7),
        "tones_exact_window": lambda: tones(WINDOW),
        "tones_window_plus_one": lambda: tones(WINDOW + 1),
        "very_short_1000": lambda: noise(1000, 11),
        "short_0p5s": lambda: speech(22_050, 5),
        "short_window_minus_one": lambda: speech(WINDOW - 1, 6),
        "silence_2s": lambda: np.zeros(2 * RATE, np.float32),
        "quiet_then_loud_6s": lambda: fade_in(6 * RATE),
        "speech_like_10s": lambda: speech(10 * RATE, 17),
        "half_silent_4s": lambda: np.append(np.zeros(2 * RATE, np.float32), sweep(seconds(2))),
        "one_lsb_noise_2s": lambda: noise(2 * RATE, 19, 1),
        "dc_only_2s": lambda: np.full(2 * RATE, 1000.0, np.float32),
        "stereo_4s": lambda: sweep(seconds(4)),
    }
    return makers[name]()
