"""The audio front end: sound into the log-mel windows the audio tower was trained on.

All windows of a video are made together, because the reference measures decibels from the loudest
mel cell of the *video*: the same window alone can differ by tens of decibels. There is no function
here that takes one window.

Source: FakeOut's input pipeline; behaviour checked against vectors of the TensorFlow original.
"""

from __future__ import annotations

import functools

import numpy as np

from fakeout_core.errors import MediaError, Reason
from fakeout_core.media.windows import window_offsets

SAMPLE_HZ = 44_100
WINDOW_SAMPLES = int(SAMPLE_HZ / 29 * 32)
"""48,662 samples: 32 frames at 29 fps."""

FFT_SAMPLES = 2_048
HOP_SAMPLES = 256
MEL_BANDS = 80
STEPS = (WINDOW_SAMPLES - FFT_SAMPLES) // HOP_SAMPLES + 1
"""183 spectra in a window; the end is not padded."""

TOP_DB = 80.0
POWER_FLOOR = 1e-16


def log_mel(samples: np.ndarray, n_windows: int) -> np.ndarray:
    """Log-mel windows of one video.

    Args:
        samples: float32 [n], one channel at 44,100 Hz; any scale, the result does not depend on it.
        n_windows: windows spread over the sound; a sound shorter than a window is looped.

    Returns:
        float32 [n_windows, 183, 80, 1] in decibels, from -80 to 0 (the loudest cell). Digital
        silence is 0 everywhere, which is also what the network gets where there is no sound.

    Raises:
        MediaError: ``too_short``, there is no sample.
    """
    if len(samples) == 0:
        raise MediaError(Reason.TOO_SHORT, "sound without a single sample")
    sound = np.asarray(samples, np.float32)
    offsets = window_offsets(len(sound), WINDOW_SAMPLES, n_windows)
    power = np.stack([_mel_power(sound, int(offset)) for offset in offsets])
    decibels = 10.0 * np.log10(np.maximum(power, POWER_FLOOR))
    decibels -= decibels.max()
    return np.maximum(decibels, -TOP_DB).astype(np.float32)[..., None]


def no_sound(n_windows: int) -> np.ndarray:
    """What the network gets for a video without sound: float32 zeros [n_windows, 183, 80, 1]."""
    return np.zeros((n_windows, STEPS, MEL_BANDS, 1), np.float32)


def _mel_power(sound: np.ndarray, offset: int) -> np.ndarray:
    """Mel power spectra [183, 80] of the window at ``offset``, the sound looped at its end."""
    window = np.take(sound, np.arange(offset, offset + WINDOW_SAMPLES), mode="wrap")
    frames = np.lib.stride_tricks.sliding_window_view(window, FFT_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * _hann(), axis=-1)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ _mel_matrix()


@functools.cache
def _hann() -> np.ndarray:
    """Periodic Hann window, float32 [2048]."""
    phase = 2 * np.pi * np.arange(FFT_SAMPLES) / FFT_SAMPLES
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


@functools.cache
def _mel_matrix() -> np.ndarray:
    """Triangles on the HTK mel scale from 0 to 22,050 Hz, float32 [1025, 80].

    They are straight in mel, not in hertz, and not normalised by area; the first and the last
    frequency bin have no weight.
    """

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    nyquist = SAMPLE_HZ / 2
    bins = mel(np.linspace(0.0, nyquist, FFT_SAMPLES // 2 + 1)[1:])[:, None]
    edges = np.linspace(mel(0.0), mel(nyquist), MEL_BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.pad(weights, [(1, 0), (0, 0)]).astype(np.float32)
