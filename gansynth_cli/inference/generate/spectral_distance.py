"""Distance of clips from a target: short-time spectra at several resolutions, one number per clip, differentiable."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from ...losses.spectral import Spectrum, spectrum

_SECONDS = (0.128, 0.032, 0.008)  # windows: the longest resolves a semitone at 130 Hz, the shortest an attack
_LEVEL = 0.1  # root mean square that both are scaled to: level does not count
_OFFSET = 1e-3  # added to magnitudes before the logarithm: 40 dB below those of white noise of that level


def target_spectra(audio: np.ndarray, sample_rate: int) -> list[Spectrum]:
    """Return the spectra of the target, float32 [samples, channels]."""
    clip = tf.constant(np.asarray(audio, np.float32).mean(axis=-1, keepdims=True)[None])
    return [spectrum(_levelled(clip), size, size // 4, normalized=True) for size in _sizes(sample_rate)]


def spectral_distance(clips: tf.Tensor, target: list[Spectrum], sample_rate: int) -> tf.Tensor:
    """Return the distance of each clip [samples, channels] from the target, float32 [n].

    It is the mean over the resolutions of spectral convergence plus the mean difference of log magnitudes (Yamamoto, Song and Kim
    2020, equations 4 and 5), all at one level. 0 is equal; notes that share neither instrument nor pitch are 1.6 to 2.8 apart (5th to
    95th percentile).
    """
    mono = _levelled(tf.reduce_mean(tf.cast(clips, tf.float32), axis=-1, keepdims=True))
    total = tf.zeros([tf.shape(mono)[0]])
    for size, wanted in zip(_sizes(sample_rate), target, strict=True):
        magnitude, other = spectrum(mono, size, size // 4, normalized=True).magnitude, wanted.magnitude
        convergence = tf.sqrt(tf.reduce_sum(tf.square(magnitude - other), axis=[1, 2]) / tf.reduce_sum(tf.square(other)) + 1e-12)
        logarithmic = tf.reduce_mean(tf.abs(tf.math.log(magnitude + _OFFSET) - tf.math.log(other + _OFFSET)), axis=[1, 2])
        total += convergence + logarithmic
    return total / len(target)


def distances(clips: np.ndarray, target: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return `spectral_distance` of arrays: float32 [n] of clips [n, samples, channels] from a target [samples, channels]."""
    return spectral_distance(tf.constant(clips), target_spectra(target, sample_rate), sample_rate).numpy()


def _sizes(sample_rate: int) -> list[int]:
    return [max(16, 2 ** round(math.log2(seconds * sample_rate))) for seconds in _SECONDS]


def _levelled(clips: tf.Tensor) -> tf.Tensor:
    power = tf.reduce_mean(tf.square(clips), axis=[1, 2], keepdims=True)
    return clips * (_LEVEL * tf.math.rsqrt(power + 1e-8))
