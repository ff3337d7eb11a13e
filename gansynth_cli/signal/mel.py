"""Mel scales, mel filter banks and log-mel spectrograms: pure numpy functions.

Two scales are in use and differ audibly: HTK (O'Shaughnessy's formula; TensorFlow's matrix, GANSynth) and Slaney's Auditory Toolbox
(librosa's default: linear to 1 kHz, logarithmic above). Filters are triangles either of height 1 ("none") or of equal area ("area",
Slaney's normalisation; librosa's default). Callers name both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

MelScale = Literal["htk", "slaney"]
MelNorm = Literal["none", "area"]

_SLANEY_BREAK_HZ = 1000.0
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27.0  # 27 steps from 1 kHz to 6.4 kHz


def hz_to_mel(frequency_hz: np.ndarray | float, scale: MelScale = "htk") -> np.ndarray:
    """Convert Hz to mel: HTK 2595 log10(1 + f / 700); Slaney f / 66.7 up to 1 kHz, then 27 steps to 6.4 kHz."""
    hz = np.asarray(frequency_hz, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _SLANEY_BREAK_MEL + np.log(np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_BREAK_HZ, hz / _SLANEY_HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray | float, scale: MelScale = "htk") -> np.ndarray:
    """Invert `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, _SLANEY_BREAK_MEL) - _SLANEY_BREAK_MEL))
    return np.where(mel < _SLANEY_BREAK_MEL, mel * _SLANEY_HZ_PER_MEL, above)


def mel_edges_hz(bands: int, low_hz: float, high_hz: float, scale: MelScale = "htk") -> np.ndarray:
    """Return [bands + 2] edges in Hz, evenly spaced in mel: band b rises from edge b to b + 1 and falls to b + 2."""
    low, high = hz_to_mel(np.array([low_hz, high_hz]), scale)
    return mel_to_hz(np.linspace(low, high, bands + 2), scale)


def mel_filter_bank(
    sample_rate: int,
    fft: int,
    bands: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: MelScale = "htk",
    norm: MelNorm = "none",
) -> np.ndarray:
    """Build triangular filters, linear in Hz, for spectra of `fft // 2 + 1` bins.

    Args:
        sample_rate: Hz.
        fft: FFT size in samples.
        bands: Number of mel bands.
        low_hz, high_hz: Edges of the lowest and highest filter; `high_hz` None is half the sample rate.
        scale: "htk" or "slaney".
        norm: "none": triangles of height 1. "area": height 2 / width in Hz, so that white noise gives equal bands.

    Returns:
        float32 [fft // 2 + 1, bands]; `spectrum @ bank` maps [..., bins] to [..., bands]. Equal to the transpose of
        `librosa.filters.mel(..., htk=scale == "htk", norm=None or "slaney")`. A filter narrower than the bins can be all
        zero: use a longer FFT or fewer bands.

    Raises:
        ValueError: The frequency range is empty or exceeds half the sample rate, or scale or norm is unknown.
    """
    high_hz = sample_rate / 2 if high_hz is None else high_hz
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise ValueError(f"The mel range {low_hz} to {high_hz} Hz is not within 0 to {sample_rate / 2} Hz.")
    if scale not in ("htk", "slaney") or norm not in ("none", "area"):
        raise ValueError(f"Mel scale {scale!r} with norm {norm!r}; expected 'htk' or 'slaney' with 'none' or 'area'.")
    edges = mel_edges_hz(bands, low_hz, high_hz, scale)
    bins_hz = np.arange(fft // 2 + 1)[:, None] * (sample_rate / fft)
    rising = (bins_hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins_hz) / (edges[2:] - edges[1:-1])
    bank = np.maximum(np.minimum(rising, falling), 0.0)
    if norm == "area":
        bank *= 2.0 / (edges[2:] - edges[:-2])
    return bank.astype(np.float32)


def mel_mean_bank(sample_rate: int, fft: int, bands: int) -> np.ndarray:
    """Build HTK filters whose band is the weighted mean of the magnitudes under its triangle; from DC to Nyquist.

    Returns:
        float32 [fft // 2 + 1, bands], whose columns sum to 1.

    Raises:
        ValueError: A band is narrower than the bins and holds none.
    """
    bank = mel_filter_bank(sample_rate, fft, bands)
    total = bank.sum(axis=0)
    if not total.all():
        raise ValueError(f"{bands} mel bands of {fft // 2 + 1} bins at {sample_rate} Hz: {int((total == 0).sum())} hold no bin")
    return bank / total


@dataclass(frozen=True)
class LogMel:
    """The log-mel spectrogram of the metrics.

    Frame t covers samples t * hop to t * hop + window, zeros after the end; periodic Hann window; magnitudes scaled so that a
    full-scale sine gives 1; `log(mel + offset)`.

    Attributes:
        sample_rate: Hz.
        window, hop, fft: Samples; fft is at least window.
        frames: Number of frames per clip.
        bands: HTK mel bands from low_hz to half the sample rate, triangles of height 1.
        low_hz: Lower edge of the lowest band.
        offset: Added before the logarithm; 1e-4 is 80 dB below a full-scale sine.
    """

    sample_rate: int
    window: int
    hop: int
    fft: int
    frames: int
    bands: int
    low_hz: float = 40.0
    offset: float = 1e-4

    @classmethod
    def for_clips(cls, sample_rate: int, clip_samples: int, bands: int = 128, frames: int = 128, window_seconds: float = 0.064) -> LogMel:
        """Return the settings for clips of a rate and length: about `frames` frames per clip, hops of 4 ms to half a window."""
        window = max(16, 2 ** round(np.log2(window_seconds * sample_rate)))
        hop = int(np.clip(-(-clip_samples // frames), max(1, round(0.004 * sample_rate)), window // 2))
        fft = 2 * window  # the lowest bands are narrower than the bins of an fft of the window
        low_hz = min(40.0, sample_rate / 16)
        return cls(sample_rate, window, hop, fft, max(1, -(-clip_samples // hop)), bands, low_hz)

    @cached_property
    def matrix(self) -> np.ndarray:
        """The filter bank times the scale of the window, float32 [fft // 2 + 1, bands]."""
        bank = mel_filter_bank(self.sample_rate, self.fft, self.bands, self.low_hz)
        return bank * np.float32(2.0 / self.hann.sum())

    @cached_property
    def hann(self) -> np.ndarray:
        """The periodic Hann window, float32 [window]."""
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(np.float32)

    @property
    def padded_samples(self) -> int:
        """Number of samples that the frames span, zeros after the clip included."""
        return (self.frames - 1) * self.hop + self.window

    def compute(self, clips: np.ndarray) -> np.ndarray:
        """Compute float32 [..., frames, bands] of clips [..., samples], cut or zero-padded to `padded_samples`."""
        clips = np.asarray(clips, np.float32)[..., : self.padded_samples]
        missing = self.padded_samples - clips.shape[-1]
        clips = np.pad(clips, [(0, 0)] * (clips.ndim - 1) + [(0, missing)])
        framed = np.lib.stride_tricks.sliding_window_view(clips, self.window, axis=-1)[..., :: self.hop, :]
        from scipy import fft as scipy_fft  # late: the import takes a quarter of a second, which `enhance` avoids

        spectrum = np.abs(scipy_fft.rfft(framed * self.hann, self.fft, axis=-1))
        return np.log(spectrum @ self.matrix + np.float32(self.offset)).astype(np.float32)
