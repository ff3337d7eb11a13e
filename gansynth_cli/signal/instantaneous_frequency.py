"""Notes as log magnitude and instantaneous frequency, and back (Engel et al. 2019, section 2.3). Pure tensor functions.

The phase of a steady partial advances by the same angle from frame to frame, so the instantaneous frequency of each bin is constant
where the phase is not: a network generates a flat line, and the pitch is exact.

Convention, as in the paper's code: zero padding before the audio only, so that the frames end with it; DC is dropped and Nyquist kept,
so there are fft / 2 bins; the instantaneous frequency is in units of pi radians per frame, in [-1, 1], and the first frame has its
phase instead. With 64000 samples: fft 2048, hop 512, 128 frames (3072 zeros before) and fft 1024, hop 256,
256 frames (2304).

Mel version: powers and unwrapped phases are summed by a bank of triangles and restored by the scaled transpose of the bank.

    audio -> magnitude + frequency -> audio, error against the signal (91 rendered notes of 13 instruments, first 32000 samples,
    without the last fft - hop samples, which fewer frames cover): linear -98 dB in the median, -66 at worst, above 40 Hz; a DC offset
    is lost. The mel version keeps the magnitudes to a few decibels and loses the phases where a triangle covers several bins: compare
    its spectrogram, not its waveform. docs/notes.md has the figures.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import tensorflow as tf

from .stft import hann, istft_parts, stft_parts

MelBank = Literal["even", "authors"]
LOG_OFFSET = 1e-6
_BREAK_HZ, _Q = 700.0, 1127.0  # HTK's mel scale: 1127 ln(1 + f / 700)


def front_padding(samples: int, fft: int, hop: int, frames: int) -> int:
    """Return the number of zeros before the audio that makes `frames` frames end with its last sample.

    Raises:
        ValueError: The frames do not cover the audio.
    """
    front = (frames - 1) * hop + fft - samples
    if front < 0:
        raise ValueError(f"{frames} frames of {fft} samples every {hop} end after {samples + front} samples, before the audio of {samples}")
    return front


# Phase and frequency.


def instantaneous_frequency(phase: tf.Tensor) -> tf.Tensor:
    """Return the change from frame to frame of phases float32 [..., frames, bins] in radians, wrapped or not, over pi, in [-1, 1]. The
    first frame is its phase over pi. The inverse of `phase_of` up to multiples of 2 pi."""
    change = phase[..., 1:, :] - phase[..., :-1, :]
    change -= 2.0 * math.pi * tf.round(change / (2.0 * math.pi))
    return tf.concat([phase[..., :1, :], change], axis=-2) / math.pi


def phase_of(frequency: tf.Tensor) -> tf.Tensor:
    """Return the unwrapped phase in radians of an instantaneous frequency, its sum over time."""
    return math.pi * tf.cumsum(frequency, axis=-2)


# Linear bins.


def audio_to_spectra(audio: tf.Tensor, fft: int, hop: int, frames: int, log_offset: float = LOG_OFFSET) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (log magnitude, instantaneous frequency), each float32 [..., frames, fft // 2].

    Args:
        audio: float32 [..., samples], of a statically known length.
        fft, hop, frames: As in the module's convention.
        log_offset: Added to the magnitude before the logarithm.

    Not differentiable: the angle of a silent bin has no gradient.
    """
    audio = tf.convert_to_tensor(audio, tf.float32)
    parts = stft_parts(audio, fft, hop, frames, front=front_padding(audio.shape[-1], fft, hop, frames))
    real, imaginary = (part[..., 1:] for part in parts)
    magnitude, phase = tf.sqrt(tf.square(real) + tf.square(imaginary)), tf.math.atan2(imaginary, real)
    return tf.math.log(magnitude + log_offset), instantaneous_frequency(phase)


def spectra_to_audio(
    log_magnitude: tf.Tensor, frequency: tf.Tensor, fft: int, hop: int, samples: int, log_offset: float = LOG_OFFSET
) -> tf.Tensor:
    """Invert `audio_to_spectra` with the matching window: float32 [..., samples].

    Samples near the end, which fewer frames cover, fade out, as in the paper's code: dividing by the foot of one window would turn
    errors of a network there into a click. Differentiable in both arguments.
    """
    frames = log_magnitude.shape[-2]
    front = front_padding(samples, fft, hop, frames)
    magnitude = tf.nn.relu(tf.exp(log_magnitude) - log_offset)
    phase = phase_of(frequency)
    no_dc = tf.zeros_like(magnitude[..., :1])
    real, imaginary = (tf.concat([no_dc, magnitude * part], axis=-1) for part in (tf.cos(phase), tf.sin(phase)))
    return istft_parts(real, imaginary, fft, hop, samples, front=front, floor=full_overlap(fft, hop))


def full_overlap(fft: int, hop: int) -> float:
    """Return the minimum sum of the squared Hann windows where all frames overlap: 1.5, everywhere, with hop = fft / 4."""
    squared = np.square(hann(fft).astype(np.float64))
    return float(np.pad(squared, (0, -fft % hop)).reshape(-1, hop).sum(axis=0).min())


def end_fade(samples: int, fft: int, hop: int, frames: int) -> np.ndarray:
    """Return float32 [samples]: 1 where all frames cover a sample; towards the end the fraction of the squared windows that do."""
    summed = np.zeros((frames - 1) * hop + fft)
    for frame in range(frames):
        summed[frame * hop : frame * hop + fft] += np.square(hann(fft).astype(np.float64))
    front = front_padding(samples, fft, hop, frames)
    return np.minimum(1.0, summed[front : front + samples] / full_overlap(fft, hop)).astype(np.float32)


# Mel bins.


def hz_to_mel(hz):
    """Convert Hz to HTK's mel (numpy)."""
    return _Q * np.log1p(np.asarray(hz, np.float64) / _BREAK_HZ)


def mel_to_hz(mel):
    """Convert HTK's mel to Hz (numpy)."""
    return _BREAK_HZ * np.expm1(np.asarray(mel, np.float64) / _Q)


def mel_matrix(bands: int, bins: int, sample_rate: float, bank: MelBank = "even") -> np.ndarray:
    """Build the mel bank: triangles of height 1, straight in Hz, none narrower than 1.5 bins; none covers the first bin.

    Bin k of the paper's fft / 2 bins is at k / (bins - 1) of half the sample rate. A narrow triangle is widened around its centre,
    in mel by asinh(half the width / (700 + centre)).

    Args:
        bands: Number of triangles, whose edges are evenly spaced in HTK mel from 0 to half the sample rate before any is widened.
        bins: Number of linear bins, fft / 2.
        sample_rate: Hz.
        bank: "even": each triangle is widened independently, so that centres keep their place on the mel scale. "authors": as in the
            paper's code, where neighbours share their edges in one array and each is widened from the edges that its predecessor left.
            At 16 kHz, 1024 bands of 1024 bins are then spaced by 0.75 bin (5.9 Hz) up to 5.0 kHz (band 853), and mel bands as wide as
            the "even" ones from there to 8 kHz. Published checkpoints need it: encoded with one bank and decoded with the other, 587 Hz
            becomes 456 Hz.

    Returns:
        float64 [bins, bands].
    """
    edges = np.linspace(0.0, hz_to_mel(sample_rate / 2.0), bands + 2)
    least = 1.5 * sample_rate / 2.0 / bins
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]  # views of one array
    if bank == "authors":
        for band in range(bands):
            if mel_to_hz(high[band]) - mel_to_hz(low[band]) < least:
                half = _half_width(centre[band], least)
                low[band], high[band] = centre[band] - half, centre[band] + half
    else:
        narrow, half = mel_to_hz(high) - mel_to_hz(low) < least, _half_width(centre, least)
        low, high = np.where(narrow, centre - half, low), np.where(narrow, centre + half, high)
    low, centre, high = (mel_to_hz(x)[None] for x in (low, centre, high))
    hz = np.linspace(0.0, sample_rate / 2.0, bins)[:, None]
    weights = np.maximum(0.0, np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)))
    weights[0] = 0.0
    return weights


def _half_width(centre, least: float):
    """Return half of `least` Hz in mel, around a centre in mel."""
    return _Q * np.arcsinh(0.5 * least / (mel_to_hz(centre) + _BREAK_HZ))


def mel_inverse(matrix: np.ndarray) -> np.ndarray:
    """Return float64 [bands, bins]: M^T diag(1 / the column sums of M M^T), which maps mel powers and phases back to bins."""
    sums = (matrix @ matrix.T).sum(axis=0)
    return matrix.T * np.where(np.abs(sums) > 1e-8, 1.0 / np.where(sums == 0, 1.0, sums), sums)[None]


def linear_to_mel(
    log_magnitude: tf.Tensor, frequency: tf.Tensor, matrix: np.ndarray, log_offset: float = LOG_OFFSET
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (log of power plus offset, instantaneous frequency) float32 [..., frames, bands] of log magnitudes and instantaneous
    frequencies [..., frames, bins], with a `matrix` of `mel_matrix`."""
    bank = tf.constant(matrix, tf.float32)
    power = tf.tensordot(tf.exp(2.0 * log_magnitude), bank, 1)
    return tf.math.log(power + log_offset), instantaneous_frequency(tf.tensordot(phase_of(frequency), bank, 1))


def mel_to_linear(
    log_power: tf.Tensor, frequency: tf.Tensor, matrix: np.ndarray, log_offset: float = LOG_OFFSET
) -> tuple[tf.Tensor, tf.Tensor]:
    """Invert `linear_to_mel`: (log magnitude, instantaneous frequency) float32 [..., frames, bins]. Differentiable in both arguments."""
    inverse = tf.constant(mel_inverse(matrix), tf.float32)
    power = tf.tensordot(tf.exp(log_power), inverse, 1)
    return 0.5 * tf.math.log(power + log_offset), instantaneous_frequency(tf.tensordot(phase_of(frequency), inverse, 1))
