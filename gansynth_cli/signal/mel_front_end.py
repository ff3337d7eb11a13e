"""Log-mel spectrograms as recipes name them: tensor functions, differentiable, equal to librosa's."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import tensorflow as tf

from ..errors import AudioFileError
from .mel import mel_filter_bank
from .mel_convention import MelConvention
from .stft import stft

_TINY_POWER = 1e-20  # keeps the root's derivative finite at silence; its root is far below every floor in use


def mel_spectrogram(audio: tf.Tensor, convention: MelConvention, *, padded: bool = False, soft: bool = False) -> tf.Tensor:
    """The log-mel spectrogram of signals.

    Args:
        audio: float32 [batch, samples] or [batch, samples, 1]; longer than `convention.reach`, since its ends are mirrored.
        convention: A resolved convention.
        padded: The signal comes with `convention.reach` samples at either end already: of a piece from the middle of a recording.
        soft: log(x + floor) in place of log(max(x, floor)), for losses: behind a clamp silence has no gradient, and a generator that
            begins there stays there.

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
    """float32 [batch, frames, fft // 2 + 1]: the magnitudes behind `mel_spectrogram`, frame by frame."""
    return tf.sqrt(_power(audio, convention) + _TINY_POWER)


def _power(audio: tf.Tensor, c: MelConvention, padded: bool = False) -> tf.Tensor:
    audio = tf.cast(audio, tf.float32)
    audio = audio[:, :, 0] if len(audio.shape) == 3 else audio
    if not padded:
        audio = tf.pad(audio, [[0, 0], [c.reach, c.reach]], "REFLECT")
    samples = audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1]
    spectrum = stft(audio, c.fft, c.hop, frames=(samples - c.window) // c.hop + 1, window=c.window)
    return tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))


def linear_mel(mel: tf.Tensor, convention: MelConvention) -> tf.Tensor:
    """The mel spectrum without its logarithm."""
    return tf.exp(mel * np.float32(1.0 if convention.log == "ln" else math.log(10.0)))


@lru_cache(maxsize=16)
def bank_of(convention: MelConvention) -> np.ndarray:
    """float32 [fft // 2 + 1, bands]: the filters of a resolved convention."""
    c = convention
    return mel_filter_bank(c.sample_rate, c.fft, c.bands, c.low_hz, c.high_hz, c.scale, c.norm)


@lru_cache(maxsize=16)
def inverse_bank_of(convention: MelConvention) -> np.ndarray:
    """float32 [bands, fft // 2 + 1]: the pseudo-inverse of `bank_of`. What it gives may be negative."""
    return np.linalg.pinv(bank_of(convention).astype(np.float64)).astype(np.float32)


def mel_to_magnitude(mel: tf.Tensor, convention: MelConvention, rounds: int = 50) -> tf.Tensor:
    """[..., bands] without logarithm -> [..., fft / 2 + 1], at least 0: x that brings `x @ bank` near `mel` (Lee and Seung 2001)."""
    x = tf.maximum(tf.matmul(mel, inverse_bank_of(convention)), 1e-6)
    x = revised_for_mel(x, mel, convention, rounds)
    return x if convention.exponent == 1 else tf.sqrt(x)


def revised_for_mel(values: tf.Tensor, mel: tf.Tensor, convention: MelConvention, rounds: int) -> tf.Tensor:
    """`values` [..., fft / 2 + 1], at least 0, after `rounds` multiplicative updates that bring `values @ bank` nearer to `mel` (Lee and
    Seung 2001, "Algorithms for non-negative matrix factorization", eq. 4). What is 0 stays 0."""
    bank = tf.constant(bank_of(convention))
    wanted = tf.matmul(mel, bank, transpose_b=True)
    for _ in range(rounds):  # two narrow products: a third of the cost of one with the square of the bank
        values *= wanted / (tf.matmul(tf.matmul(values, bank), bank, transpose_b=True) + 1e-12)
    return values


def magnitude_floor_of(convention: MelConvention) -> float:
    """The magnitude of a bin in a spectrum that is level and whose mel values lie at the convention's floor."""
    level = convention.floor / float(bank_of(convention).sum(axis=0).mean())
    return level if convention.exponent == 1 else math.sqrt(level)


@lru_cache(maxsize=16)
def highest_of(convention: MelConvention) -> float:
    """No signal within [-1, 1] gives a larger value: a bin's magnitude is at most the sum of the window, window / 2."""
    top = (convention.window / 2) ** convention.exponent * float(bank_of(convention).sum(axis=0).max())
    return math.log(max(top, convention.floor)) / (1.0 if convention.log == "ln" else math.log(10.0))


def check_mel(mel: np.ndarray, convention: MelConvention, given: MelConvention | None = None, name: object = "the mel spectrogram") -> None:
    """Whether numbers can be of a convention, and are said to be.

    Args:
        mel: [..., frames, bands].
        convention: What is needed, resolved.
        given: What the numbers came with, where they came with anything.
        name: The file, for messages.

    Raises:
        AudioFileError: Another convention is given; another number of bands; values below the floor's logarithm, or above what any
            signal in [-1, 1] has; values that are no numbers; no frame.
    """
    hint = f"the model wants {convention.describe()}"
    if given is not None and (wrong := convention.differences(given)):
        raise AudioFileError(name, f"is a mel spectrogram of another convention: {'; '.join(wrong)}", hint=hint)
    if mel.ndim < 2 or mel.shape[-1] != convention.bands:
        raise AudioFileError(name, f"has the shape {list(mel.shape)}, expected [frames, {convention.bands}]", hint=hint)
    if not mel.shape[-2]:
        raise AudioFileError(name, "has no frame")
    low, high = float(mel.min()), float(mel.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioFileError(name, "holds values that are not numbers")
    unit = "natural" if convention.log == "ln" else "decimal"
    if low < convention.lowest - 0.01:
        reason = f"holds {low:.3g}, below {convention.lowest:.3g}, the {unit} logarithm of the floor {convention.floor:g}"
        raise AudioFileError(name, f"{reason}: it has another logarithm or another floor", hint=hint)
    if high > highest_of(convention) + 1.0:
        reason = f"holds {high:.3g}, above {highest_of(convention):.3g}, the {unit} logarithm of the largest value that audio can have"
        raise AudioFileError(name, f"{reason}: it has another logarithm, another norm, or none", hint=hint)
