"""Log-mel spectra in numpy, equal to `mel_front_end`'s, for processes that prepare data without TensorFlow."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .mel import mel_filter_bank
from .mel_convention import MelConvention

_ACTIVE_DB = 35.0


def log_mel(audio: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Compute the log-mel spectrum of a signal in a resolved convention.

    Args:
        audio: float [samples], in [-1, 1]. If too short to be mirrored at its ends, it is zero-padded.

    Returns:
        float32 [frames, bands], `convention.frames(samples)` frames.
    """
    c = convention
    frames = c.frames(len(audio))
    audio = np.asarray(audio, np.float64)
    if len(audio) <= c.reach:
        audio = np.pad(audio, (0, c.reach + 1 - len(audio)))
    audio = np.pad(audio, c.reach, "reflect")
    needed = (frames - 1) * c.hop + c.window
    audio = np.pad(audio, (0, max(0, needed - len(audio))))
    pieces = np.lib.stride_tricks.sliding_window_view(audio, c.window)[:: c.hop][:frames]
    made = np.empty((frames, c.bands), np.float32)
    block = 4096  # frames at once, so that memory does not grow with the length
    for start in range(0, frames, block):
        spectrum = np.fft.rfft(pieces[start : start + block] * window_of(c), c.fft)  # the position of the window changes only phases
        made[start : start + block] = logarithm_of(np.square(spectrum.real) + np.square(spectrum.imag), c)
    return made


def logarithm_of(power: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Return the log-mel spectrum float32 [frames, bands] of power spectra [frames, fft // 2 + 1]."""
    c = convention
    mel = np.maximum((power if c.exponent == 2 else np.sqrt(power + c.power_floor)) @ _bank(c), c.floor)
    return (np.log(mel) / (1.0 if c.log == "ln" else np.log(10.0))).astype(np.float32)


def active_frames(mel: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Return bool [frames] of log-mel spectra [frames, bands]: frames whose mean over bands is within 35 dB of the loudest frame's."""
    nats = _ACTIVE_DB / 20.0 * np.log(10.0) * convention.exponent
    levels = mel.mean(axis=1)
    return levels >= levels.max(initial=-np.inf) - nats / (1.0 if convention.log == "ln" else np.log(10.0))


def window_of(convention: MelConvention) -> np.ndarray:
    """Return the periodic Hann window, float64 [window]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(convention.window) / convention.window)


@lru_cache(maxsize=16)
def _bank(convention: MelConvention) -> np.ndarray:
    c = convention
    return mel_filter_bank(c.sample_rate, c.fft, c.bands, c.low_hz, c.high_hz, c.scale, c.norm).astype(np.float64)
