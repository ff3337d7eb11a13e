"""Log-mel spectrograms of recipe conventions: differentiable tensor functions, equal to librosa's."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import tensorflow as tf

from ..errors import AudioFileError
from .mel import mel_filter_bank
from .mel_convention import MelConvention
from .stft import stft_parts

_TINY_POWER = 1e-20  # keeps the derivative of the root finite at silence; its root is far below every floor in use


def mel_spectrogram(audio: tf.Tensor, convention: MelConvention, *, padded: bool = False, soft: bool = False) -> tf.Tensor:
    """Compute the log-mel spectrogram of signals.

    Args:
        audio: float32 [batch, samples] or [batch, samples, 1]; longer than `convention.reach`, since its ends are mirrored.
        convention: A resolved convention.
        padded: Whether the signal already includes `convention.reach` more samples at each end, like a segment of a recording.
        soft: Use log(x + floor) instead of log(max(x, floor)), for losses: behind a clamp silence has no gradient, and a generator that
            starts there stays there.

    Returns:
        float32 [batch, frames, bands], `convention.frames(samples)` frames.

    Example:
        >>> mel_spectrogram(tf.zeros([2, 16384]), MelConvention().resolved(16000)).shape
        TensorShape([2, 65, 80])
    """
    c = convention
    power = _power(audio, c, padded)
    values = power if c.exponent == 2 else tf.sqrt(power + max(c.power_floor, _TINY_POWER))
    mel = tf.matmul(values, bank_of(c))
    mel = mel + c.floor if soft else tf.maximum(mel, c.floor)
    return tf.math.log(mel) * np.float32(1.0 if c.log == "ln" else 1.0 / math.log(10.0))


def magnitude_spectrum(audio: tf.Tensor, convention: MelConvention) -> tf.Tensor:
    """Return the magnitudes of the frames of `mel_spectrogram`: float32 [batch, frames, fft // 2 + 1]."""
    return tf.sqrt(_power(audio, convention) + _TINY_POWER)


def _power(audio: tf.Tensor, c: MelConvention, padded: bool = False) -> tf.Tensor:
    audio = tf.cast(audio, tf.float32)
    audio = audio[:, :, 0] if len(audio.shape) == 3 else audio
    if not padded:
        audio = tf.pad(audio, [[0, 0], [c.reach, c.reach]], "REFLECT")
    samples = audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1]
    real, imaginary = stft_parts(audio, c.fft, c.hop, frames=(samples - c.window) // c.hop + 1, window=c.window)
    return tf.square(real) + tf.square(imaginary)


def linear_mel(mel: tf.Tensor, convention: MelConvention) -> tf.Tensor:
    """Return the mel spectrum without the logarithm."""
    return tf.exp(mel * np.float32(1.0 if convention.log == "ln" else math.log(10.0)))


@lru_cache(maxsize=16)
def bank_of(convention: MelConvention) -> np.ndarray:
    """Return the filters of a resolved convention, float32 [fft // 2 + 1, bands]."""
    c = convention
    return mel_filter_bank(c.sample_rate, c.fft, c.bands, c.low_hz, c.high_hz, c.scale, c.norm)


@lru_cache(maxsize=16)
def inverse_bank_of(convention: MelConvention) -> np.ndarray:
    """Return the pseudo-inverse of `bank_of`, float32 [bands, fft // 2 + 1]. Its results may be negative."""
    return np.linalg.pinv(bank_of(convention).astype(np.float64)).astype(np.float32)


def mel_to_magnitude(mel: tf.Tensor, convention: MelConvention, rounds: int = 50) -> tf.Tensor:
    """Estimate x [..., fft / 2 + 1] >= 0 with `x @ bank` near `mel` [..., bands], without logarithm (Lee and Seung 2001)."""
    x = tf.maximum(tf.matmul(mel, inverse_bank_of(convention)), 1e-6)
    x = revised_for_mel(x, mel, convention, rounds)
    return x if convention.exponent == 1 else tf.sqrt(x)


def revised_for_mel(values: tf.Tensor, mel: tf.Tensor, convention: MelConvention, rounds: int) -> tf.Tensor:
    """Apply `rounds` multiplicative updates to `values` [..., fft / 2 + 1] >= 0 that bring `values @ bank` nearer to `mel` (Lee and Seung
    2001, "Algorithms for non-negative matrix factorization", eq. 4). Zeros stay zero."""
    bank = tf.constant(bank_of(convention))
    wanted = tf.matmul(mel, bank, transpose_b=True)
    for _ in range(rounds):  # two narrow products, a third of the cost of one with the square of the bank
        values *= wanted / (tf.matmul(tf.matmul(values, bank), bank, transpose_b=True) + 1e-12)
    return values


def magnitude_floor_of(convention: MelConvention) -> float:
    """Return the magnitude of the bins of a flat spectrum whose mel values equal the convention's floor."""
    level = convention.floor / float(bank_of(convention).sum(axis=0).mean())
    return level if convention.exponent == 1 else math.sqrt(level)


@lru_cache(maxsize=16)
def highest_of(convention: MelConvention) -> float:
    """Return the upper limit for signals in [-1, 1]: a bin's magnitude is at most the sum of the window, window / 2."""
    top = (convention.window / 2) ** convention.exponent * float(bank_of(convention).sum(axis=0).max())
    return math.log(max(top, convention.floor)) / (1.0 if convention.log == "ln" else math.log(10.0))


def check_mel(mel: np.ndarray, convention: MelConvention, given: MelConvention | None = None, name: object = "the mel spectrogram") -> None:
    """Check that a mel spectrogram can have, and declares, a convention.

    Args:
        mel: [..., frames, bands].
        convention: The required convention, resolved.
        given: The declared convention, if any.
        name: The file, for messages.

    Raises:
        AudioFileError: The declared convention or the number of bands differs, there are no frames, or values are not finite, below
            the floor's logarithm or above the limit for signals in [-1, 1].
    """
    hint = f"the model expects {convention.describe()}"
    if given is not None and (wrong := convention.differences(given)):
        raise AudioFileError(name, f"is a mel spectrogram in another convention: {'; '.join(wrong)}", hint=hint)
    if mel.ndim < 2 or mel.shape[-1] != convention.bands:
        raise AudioFileError(name, f"has the shape {list(mel.shape)}, expected [frames, {convention.bands}]", hint=hint)
    if not mel.shape[-2]:
        raise AudioFileError(name, "has no frames")
    low, high = float(mel.min()), float(mel.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioFileError(name, "has values that are not finite numbers")
    unit = "natural" if convention.log == "ln" else "decimal"
    if low < convention.lowest - 0.01:
        reason = f"has {low:.3g}, below {convention.lowest:.3g}, the {unit} logarithm of the floor {convention.floor:g}"
        raise AudioFileError(name, f"{reason}: another logarithm or another floor", hint=hint)
    if high > highest_of(convention) + 1.0:
        reason = f"has {high:.3g}, above {highest_of(convention):.3g}, the {unit} logarithm of the maximum for audio"
        raise AudioFileError(name, f"{reason}: another logarithm or norm, or none", hint=hint)
