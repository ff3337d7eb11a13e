"""The end of a source-filter vocoder: harmonics at a given F0 and white noise, each through a filter that changes from frame to frame.

Harmonic-plus-noise synthesis as in DDSP (Engel et al. 2020, sections 3.2 to 3.4) and in the "Ultra-lightweight neural differential DSP
vocoder" (Agrawal et al. 2024): the network gives filters, never samples or phases of harmonics, so a filter that is blurred still sounds
of clean harmonics and of real noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal.stft import istft, stft

LOWEST_HZ, HIGHEST_HZ = 40.0, 1000.0
MAX_LOG_MAGNITUDE = 5.0
FILTER_PARTS = 3  # log magnitude for the harmonics, added phase for the harmonics, log magnitude for the noise
EMPHASIS_RANGES = ((1.2e-4, 6e-4), (6e-4, 5e-3))  # of quefrencies, s: formants as a whole, and detail down to the harmonics of 200 Hz
_NOISE_SEED = (0x5EED, 0x0153)


def harmonics(ln_f0: tf.Tensor, hop: int, sample_rate: int) -> tf.Tensor:
    """Return all harmonics of a contour below half the sample rate, of equal amplitude and unit power in sum.

    The sum of K cosines is Dirichlet's kernel. The harmonic above the Kth fades in as F0 falls, so that none begins with a click.

    Args:
        ln_f0: float32 [batch, frames], natural logarithm of Hz at samples 0, hop, 2 hop, ...; between them it is linear.
        hop: Samples a frame.
        sample_rate: Hz.

    Returns:
        float32 [batch, frames * hop].
    """
    following = tf.concat([ln_f0[:, 1:], ln_f0[:, -1:]], axis=1)
    place = tf.range(hop, dtype=tf.float32) / hop
    ln_f0 = ln_f0[..., None] * (1.0 - place) + following[..., None] * place
    hz = tf.clip_by_value(tf.exp(ln_f0), LOWEST_HZ, HIGHEST_HZ)
    # By frames first: a sum over seconds of samples would lose the phase of the high harmonics in float32.
    turns = tf.cumsum(hz / sample_rate, axis=-1)
    before = tf.cumsum(turns[..., -1] % 1.0, axis=-1, exclusive=True) % 1.0
    phase = tf.reshape(2.0 * math.pi * ((turns + before[..., None]) % 1.0), [tf.shape(hz)[0], -1])
    count = tf.reshape(0.5 * sample_rate / hz, tf.shape(phase)) - 1.0
    whole = tf.floor(count)
    half = tf.sin(0.5 * phase)
    near = tf.abs(half) < 1e-4
    kernel = tf.where(near, whole, tf.sin((whole + 0.5) * phase) / tf.where(near, 1.0, 2.0 * half) - 0.5)
    total = kernel + (count - whole) * tf.cos((whole + 1.0) * phase)
    return tf.ensure_shape(total * tf.math.rsqrt(0.5 * tf.maximum(count, 1.0)), [ln_f0.shape[0], None])


def fixed_noise(samples: tf.Tensor | int) -> tf.Tensor:
    """Return the same white noise at every call, float32 [1, samples], N(0, 1)."""
    return tf.random.stateless_normal([1, samples], _NOISE_SEED)


@lru_cache(maxsize=8)
def minimum_phase(bins: int) -> np.ndarray:
    """Return the matrix that gives the phase of the minimum-phase filter of log magnitudes: float32 [bins, bins], for rows of them.

    The cepstrum of such a filter is causal (Oppenheim and Schafer, "Discrete-Time Signal Processing", section 13.5).
    """
    size = 2 * (bins - 1)
    log_magnitudes = np.concatenate([np.eye(bins), np.eye(bins)[:, -2:0:-1]], axis=1)
    cepstrum = np.fft.ifft(log_magnitudes, axis=1).real
    cepstrum[:, 1 : size // 2] *= 2.0
    cepstrum[:, size // 2 + 1 :] = 0.0
    return np.fft.fft(cepstrum, axis=1).imag[:, :bins].astype(np.float32)


@lru_cache(maxsize=8)
def emphasis_of(bins: int, sample_rate: int, gains: tuple[float, float]) -> np.ndarray:
    """Return the matrix that scales ranges of the cepstrum of log magnitudes, `EMPHASIS_RANGES`: float32 [bins, bins], for rows of them.

    Predicted spectra vary less than those of recordings, the more so the finer the detail. As the global variance of Toda and Tokuda
    (2007) and postfilters of speech codecs, this gives back what is lost.
    """
    size = 2 * (bins - 1)
    seconds = np.minimum(np.arange(size), size - np.arange(size)) / sample_rate
    scale = np.ones(size)
    for (low, high), gain in zip(EMPHASIS_RANGES, gains, strict=True):
        scale[(seconds >= low) & (seconds < high)] = gain
    log_magnitudes = np.concatenate([np.eye(bins), np.eye(bins)[:, -2:0:-1]], axis=1)
    return np.fft.fft(np.fft.ifft(log_magnitudes, axis=1) * scale, axis=1).real[:, :bins].astype(np.float32)


@keras.saving.register_keras_serializable(package="gan_audio")
class SourceFilter(keras.layers.Layer):
    """Filters harmonics and noise and adds them.

    The harmonics' filter is the minimum-phase one of its magnitudes, as a vocal tract's nearly is, turned by the phases given.

    Args:
        hop: Samples of a frame of F0.
        fft: Length of the filters' frames, samples.
        steps: Filters a frame; their hop is hop / steps, at most fft / 2.
        sample_rate: Hz.
        emphasis: See `emphasis_of`; the power of a frame stays. (1, 1), as in training, changes nothing.

    Call: filters float [batch, frames, steps * FILTER_PARTS * (fft / 2 + 1)], ln_f0 float32 [batch, frames], noise float32 [batch,
    frames * hop] -> float32 [batch, frames * hop, 1].
    """

    def __init__(self, hop: int, fft: int, steps: int, sample_rate: int, emphasis: Sequence[float] = (1.0, 1.0), **kwargs: Any):
        super().__init__(**kwargs)
        if hop % steps or 2 * hop // steps > fft:
            raise ValueError(f"hop {hop}, steps {steps}, fft {fft}: expected a multiple of steps, and hop / steps of at most fft / 2")
        self.hop, self.fft, self.steps, self.sample_rate = hop, fft, steps, sample_rate
        low, high = emphasis
        self.emphasis = float(low), float(high)

    def call(self, filters, ln_f0, noise):
        bins, step = self.fft // 2 + 1, self.hop // self.steps
        count = filters.shape[1] if filters.shape[1] is not None else tf.shape(filters)[1]
        filters = tf.reshape(tf.cast(filters, tf.float32), [-1, count * self.steps, FILTER_PARTS, bins])
        voiced, turned, breath = tf.unstack(filters, axis=2)
        voiced, breath = (self._emphasised(tf.minimum(part, MAX_LOG_MAGNITUDE)) for part in (voiced, breath))
        phase = turned + tf.linalg.matmul(voiced, minimum_phase(bins))
        of = lambda audio: stft(audio, self.fft, step, frames=count * self.steps, front=self.fft // 2)
        source = harmonics(ln_f0, self.hop, self.sample_rate)
        real = lambda x: tf.complex(x, tf.zeros_like(x))  # a cast would do, with a warning from its gradient
        voice = of(source) * tf.exp(tf.complex(voiced, phase))
        air = of(noise) * real(tf.exp(breath))
        return istft(voice + air, self.fft, step, samples=count * self.hop, front=self.fft // 2)[..., None]

    def _emphasised(self, log_magnitude):
        if self.emphasis == (1.0, 1.0):
            return log_magnitude
        level = lambda x: 0.5 * tf.reduce_logsumexp(2.0 * x, axis=-1, keepdims=True)
        changed = tf.linalg.matmul(log_magnitude, emphasis_of(self.fft // 2 + 1, self.sample_rate, self.emphasis))
        return changed - level(changed) + level(log_magnitude)

    def compute_output_shape(self, filters_shape, *_):
        frames = filters_shape[1]
        return (filters_shape[0], None if frames is None else frames * self.hop, 1)

    def get_config(self) -> dict[str, Any]:
        own = ("hop", "fft", "steps", "sample_rate", "emphasis")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
