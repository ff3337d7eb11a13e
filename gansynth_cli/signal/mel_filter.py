"""Filters that apply a change of a log-mel spectrum to the recording itself (differential conversion, Kobayashi et al. 2014)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft as scipy_fft

from .mel_convention import MelConvention
from .pitch import frame_times

MAX_NEPERS = 3.5  # 30 dB: a band of the recording that would need more held nothing but noise
_ENVELOPE_COEFFICIENTS = 20  # of a mel spectrum's cosine transform: the rest is harmonics


def filtered(audio: np.ndarray, convention: MelConvention, nepers: np.ndarray) -> np.ndarray:
    """Multiply the spectrum of a recording by gains; pitch and phases stay as they were.

    Gains have no phase, windows of 64 ms at 16 kHz (the convention's transform) overlap by three quarters: what the filter rings
    before a sound stays within the window.

    Args:
        audio: float [samples] at the convention's rate.
        convention: Of the frames of `nepers`, resolved.
        nepers: [frames, bands], natural logarithms of the gains of magnitudes.

    Returns:
        float32 [samples].
    """
    c = convention
    size = c.fft
    hop = size // 4
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))
    padded = np.pad(np.asarray(audio, np.float64), (size, size + hop))
    starts = np.arange(0, len(padded) - size + 1, hop)
    by_bin = np.clip(nepers, -MAX_NEPERS, MAX_NEPERS) @ bands_to_bins(c, size, c.sample_rate)
    times = (starts + size / 2 - size) / c.sample_rate
    gains = np.exp(between_frames(by_bin, frame_times(len(audio), c), times))
    out = np.zeros(len(padded))
    for start, gain in zip(starts, gains, strict=True):
        frame = scipy_fft.irfft(scipy_fft.rfft(padded[start : start + size] * window) * gain, size)
        out[start : start + size] += frame * window
    return (out[size : size + len(audio)] / 2.0).astype(np.float32)  # four windows' squares add up to 2


def nepers_between(before: np.ndarray, after: np.ndarray, convention: MelConvention, *, smooth: bool) -> np.ndarray:
    """Return the gains between two log-mel spectra as natural logarithms of magnitudes: [frames, bands].

    Args:
        before, after: [frames, bands] in the convention.
        convention: Resolved.
        smooth: Leave out what is finer than an envelope: for spectra of audio, whose harmonics move when a pitch is converted.
    """
    c = convention
    difference = (np.asarray(after, np.float64) - before) * (1.0 if c.log == "ln" else np.log(10.0)) / c.exponent
    if smooth:
        coefficients = scipy_fft.dct(difference, type=2, norm="ortho", axis=1)
        n = min(_ENVELOPE_COEFFICIENTS, c.bands)
        taper = np.cos(0.5 * np.pi * np.arange(n) / n) ** 2 if n > 1 else np.ones(1)
        coefficients[:, :n] *= np.sqrt(taper)
        coefficients[:, n:] = 0.0
        difference = scipy_fft.idct(coefficients, type=2, norm="ortho", axis=1)
    return difference


@lru_cache(maxsize=8)
def bands_to_bins(convention: MelConvention, size: int, rate: int) -> np.ndarray:
    """Return float64 [bands, size / 2 + 1]: linear interpolation between the centres of the mel bands, level beyond the first and the
    last, at the bins of a transform of `size` samples at `rate` Hz."""
    from .mel_front_end import bank_of  # loads TensorFlow

    bank = bank_of(convention).astype(np.float64)
    hz = np.arange(len(bank)) * convention.sample_rate / convention.fft
    weight = bank.sum(axis=0)
    centres = np.where(weight > 0, hz @ bank / np.maximum(weight, 1e-12), np.nan)
    known = np.flatnonzero(np.isfinite(centres))  # a band narrower than a bin may hold none
    order = known[np.argsort(centres[known], kind="stable")]
    at = np.arange(size // 2 + 1) * rate / size
    matrix = np.zeros((bank.shape[1], len(at)))
    matrix[order] = np.stack([np.interp(at, centres[order], row) for row in np.eye(len(order))])
    return matrix


def between_frames(values: np.ndarray, have: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate [frames, bins] at the times `have` linearly to the times `wanted`."""
    if len(have) == 1:
        return np.repeat(values, len(wanted), axis=0)
    place = np.clip((wanted - have[0]) / (have[1] - have[0]), 0, len(have) - 1)
    low = np.minimum(place.astype(int), len(have) - 2)
    part = (place - low)[:, None]
    return values[low] * (1 - part) + values[low + 1] * part
