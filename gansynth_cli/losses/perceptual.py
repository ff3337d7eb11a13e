"""Perceptual loss: the disturbances of PESQ."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import tensorflow as tf

from .spectral import Spectrum, spectrum

POINTS, ADDED_POINTS = 0.1, 0.0309  # of PESQ's raw score per unit of either disturbance (ITU-T P.862, section 10.2.14)
_BANDS_A_BARK = 2
_LEVEL = 13_270.0  # power of a bin at the listening level of 79 dB SPL; units in which the hearing threshold is 10^(dB / 10)
_EXPONENT = 0.23  # of Zwicker's loudness
_LOUDNESS = 0.1866  # sone per unit
_DEAD_ZONE = 0.25  # masked difference, as a fraction of the smaller loudness
_SPLIT_SECOND = 20  # frames, 0.32 s
_RATE = 16000  # Hz: wide-band PESQ has no higher one
_WINDOW_SECONDS = 0.032  # with a hop of half a window
_QUIET_TARGET = 1e-3  # mean power below which a target counts as silent


def bark_disturbance(estimate: Spectrum, target: Spectrum, sample_rate: int, worst: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the (symmetric, asymmetric) disturbance of PESQ (ITU-T P.862, sections 10.2.6 to 10.2.9; as a loss: Martin-Donas et al. 2018,
    "A deep learning loss function based on the perceptual evaluation of the speech quality"). 0.1 times the first plus 0.0309 times the
    second are the points by which PESQ's raw score falls short of 4.5.

    Loudness is compared in half-Bark bands above the hearing threshold, the target at 79 dB SPL, and differences count beyond the masked
    range. The asymmetric part counts only added components, up to 12 times.

    Differences from PESQ: bands and threshold by formula (Traunmueller 1990; Terhardt 1979); no alignment in time, level or long-term
    spectrum; unless `worst`, the root mean square over frames instead of the sixth power; no gradient through the asymmetry factor.
    A silent target counts 0.

    Args:
        estimate, target: Spectra of signals [batch, samples] of about unit power, not normalised (`spectrum(audio, fft, hop)`).
        sample_rate: Hz.
        worst: Average over frames as PESQ: sixth powers within groups of 20 frames, every 10, then the mean square over groups. Fewer
            than 20 frames are one group; up to 9 at the end are ignored.
    """
    bins = int(target.real.shape[-1])
    matrix, widths, threshold = _bark(sample_rate, bins)
    power = lambda s: (tf.square(s.real) + tf.square(s.imaginary)) / s.gain
    level = tf.reduce_mean(power(target), axis=[1, 2], keepdims=True)
    scale = _LEVEL / tf.maximum(level, _QUIET_TARGET)
    heard = tf.cast(level[:, 0, 0] > _QUIET_TARGET, tf.float32)
    e, t = (tf.tensordot(power(s) * scale, matrix, 1) for s in (estimate, target))

    def loudness(p):
        return _LOUDNESS * (threshold / 0.5) ** _EXPONENT * tf.nn.relu(tf.pow(0.5 + 0.5 * p / threshold, _EXPONENT) - 1.0)

    loud_e, loud_t = loudness(e), loudness(t)
    difference = loud_e - loud_t
    masked = _DEAD_ZONE * tf.minimum(loud_e, loud_t)
    disturbance = tf.nn.relu(tf.abs(difference) - masked)
    factor = tf.pow((e + 50.0) / (t + 50.0), 1.2)
    factor = tf.stop_gradient(tf.where((factor > 3.0) & (difference > 0), tf.minimum(factor, 12.0), tf.zeros_like(factor)))
    symmetric = tf.reduce_sum(widths * tf.square(disturbance), axis=-1) * float(widths.sum())  # squared
    asymmetric = tf.square(tf.reduce_sum(widths * factor * disturbance, axis=-1))
    over = _over_split_seconds if worst else lambda squares: tf.reduce_mean(squares, axis=1)
    symmetric, asymmetric = (tf.sqrt(over(squares) + 1e-6) for squares in (symmetric, asymmetric))
    return tf.reduce_mean(heard * symmetric), tf.reduce_mean(heard * asymmetric)


def clip_disturbance(estimate: tf.Tensor, target: tf.Tensor, sample_rate: int, worst: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `bark_disturbance` of clips at any rate, of what lies below 8 kHz.

    Args:
        estimate, target: float32 [batch, samples]; the targets have a root mean square of 1.
        sample_rate: Hz.
        worst: As for `bark_disturbance`.
    """
    rate = min(sample_rate, _RATE)
    fft = 2 * round(sample_rate * _WINDOW_SECONDS / 2)
    bins = 1 + fft * rate // (2 * sample_rate)

    def heard(audio: tf.Tensor) -> Spectrum:
        whole = spectrum(audio, fft, fft // 2)
        return Spectrum(whole.real[..., :bins], whole.imaginary[..., :bins], whole.gain)

    return bark_disturbance(heard(estimate), heard(target), rate, worst)


def _over_split_seconds(squares: tf.Tensor) -> tf.Tensor:
    """Average squares [batch, frames] to [batch]: the mean over split seconds of the third root of their mean third power."""
    frames = min(_SPLIT_SECOND, squares.shape[1])
    cut = tf.signal.frame(squares, frames, max(1, frames // 2), axis=1)
    most = tf.stop_gradient(tf.reduce_max(cut, axis=2, keepdims=True)) + 1e-9  # keeps third powers in range
    return tf.reduce_mean(most[..., 0] * tf.pow(tf.reduce_mean(tf.pow(cut / most, 3.0), axis=2) + 1e-9, 1.0 / 3.0), axis=1)


def pesq_points(estimate: Spectrum, target: Spectrum, sample_rate: int) -> tf.Tensor:
    """Return the points by which both disturbances lower PESQ's raw score. Arguments as for `bark_disturbance`."""
    symmetric, asymmetric = bark_disturbance(estimate, target, sample_rate)
    return POINTS * symmetric + ADDED_POINTS * asymmetric


@lru_cache
def _bark(sample_rate: int, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrix [bins, bands] that sums the power of each band, widths in Bark [bands] and hearing thresholds [bands]."""
    hz = np.arange(bins) * sample_rate / (2.0 * (bins - 1))
    bark = 26.81 * hz / (1960.0 + hz) - 0.53  # Traunmueller 1990
    index = np.floor((bark - bark[1]) * _BANDS_A_BARK).astype(int)  # without DC
    used, index = np.unique(index[1:], return_inverse=True)
    matrix = np.zeros((bins, len(used)))
    matrix[np.arange(1, bins), index] = 1.0
    khz = matrix.T @ hz / matrix.sum(0) / 1000.0
    decibels = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4  # Terhardt 1979
    edges = np.array([*(bark[1:][index == band].min() for band in range(len(used))), bark[-1]])
    return matrix.astype(np.float32), np.diff(edges).astype(np.float32), (10.0 ** (decibels / 10.0)).astype(np.float32)
