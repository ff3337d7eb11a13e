"""Layers at both ends of vocoders: audio to mel spectrograms, and spectra or sub-bands to audio. All are registered; only `LayerScale` and
`MelNormalization` have weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal import pqmf
from ..signal.mel_convention import MelConvention
from ..signal.mel_front_end import inverse_bank_of, linear_mel, magnitude_floor_of, mel_spectrogram, mel_to_magnitude, revised_for_mel
from ..signal.stft import griffin_lim, istft_parts

MOMENTUM = 0.99  # of fast Griffin-Lim
_MEL_ROUNDS = 2  # multiplicative updates in an iteration that keeps the mel spectrum

_register = keras.saving.register_keras_serializable(package="gan_audio")


class _OfConvention(keras.layers.Layer):
    """A layer with a resolved mel convention, stored as plain JSON in the config."""

    def __init__(self, convention: MelConvention | dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "convention": self.convention.to_dict()}


@_register
class MelSpectrogram(_OfConvention):
    """Mel spectrogram: float [batch, samples, 1] -> float32 [batch, frames, bands]; see `signal.mel_front_end.mel_spectrogram`.

    Args:
        convention: The resolved mel convention.
        soft: Use log(x + floor) instead of log(max(x, floor)).
    """

    def __init__(self, convention, soft: bool = False, **kwargs: Any):
        super().__init__(convention, **kwargs)
        self.soft = bool(soft)

    @property
    def bands(self) -> int:
        return self.convention.bands

    def call(self, audio):
        return mel_spectrogram(audio, self.convention, soft=self.soft)

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else self.convention.frames(shape[1]), self.bands)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "soft": self.soft}


@_register
class MelToLogMagnitude(_OfConvention):
    """Estimate the natural log magnitudes of a mel spectrogram by the pseudo-inverse of the filters (Lv et al. 2024, "FreeV", section
    3.1), at least `floor`.

    Call: float [batch, frames, bands] -> float32 [batch, frames, fft / 2 + 1].
    """

    def __init__(self, convention, floor: float = 1e-3, **kwargs: Any):
        super().__init__(convention, **kwargs)
        self.floor = float(floor)

    def call(self, mel):
        magnitude = tf.matmul(linear_mel(tf.cast(mel, tf.float32), self.convention), inverse_bank_of(self.convention))
        scale = 1.0 if self.convention.exponent == 1 else 0.5
        # Not clipped at the floor: between strong harmonics, where the magnitude is unknown, the pseudo-inverse is negative.
        return scale * tf.math.log(tf.abs(magnitude) + self.floor)

    def compute_output_shape(self, shape):
        return (*shape[:2], self.convention.fft // 2 + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor}


@_register
class GriffinLimStart(_OfConvention):
    """The starting point of Griffin-Lim: log magnitudes of the non-negative least-squares solution (`mel_to_magnitude`) and the phases of
    a pulse in the middle of each frame. These phases do not depend on the position of a frame in its recording, so a segment starts as
    in the whole; with true magnitudes they sound better than random phases from the first iteration on.

    Args:
        convention: The resolved mel convention.
        rounds: Number of multiplicative updates.

    Call: float [batch, frames, bands] -> float32 [batch, frames, fft + 2].
    """

    def __init__(self, convention, rounds: int = 10, **kwargs: Any):
        super().__init__(convention, **kwargs)
        self.rounds = int(rounds)

    def call(self, mel):
        magnitude = mel_to_magnitude(linear_mel(tf.cast(mel, tf.float32), self.convention), self.convention, self.rounds)
        floor = magnitude_floor_of(self.convention)
        pulse = np.pi * (np.arange(self.convention.fft // 2 + 1) % 2)
        return tf.concat([tf.math.log(tf.maximum(magnitude, floor)), tf.broadcast_to(pulse.astype(np.float32), tf.shape(magnitude))], -1)

    def compute_output_shape(self, shape):
        return (*shape[:2], self.convention.fft + 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rounds": self.rounds}


@_register
class AddToMagnitude(keras.layers.Layer):
    """Add [batch, frames, n] to the log magnitudes of [batch, frames, 2 n], log magnitudes beside phases."""

    def call(self, spectrum, log_magnitude):
        return spectrum + tf.concat([log_magnitude, tf.zeros_like(log_magnitude)], axis=-1)

    def compute_output_shape(self, spectrum_shape, log_magnitude_shape):
        return spectrum_shape


@_register
class SpectrumToAudio(_OfConvention):
    """Vocos's head (Siuzdak 2024, section 3.2): min(exp(m), most_magnitude) (cos p + j sin p), inverse short-time Fourier transform.

    Args:
        convention: Mel convention whose fft, hop and padding are those of the transform, so that its frames coincide with the mel frames.
        most_magnitude: Maximum magnitude of a bin.
        iterations: Number of fast Griffin-Lim iterations, from these phases to ones consistent with the magnitudes.
        mel_iterations: Number of further iterations that constrain only the mel spectrum, all that is known of the recording: estimated
            magnitudes that no signal has would keep the signal away from it. The input then has the mel spectrogram after the phases.

    Call: [batch, frames, fft + 2], log magnitudes beside phases in radians, -> float32 [batch, frames * hop, 1].
    """

    def __init__(self, convention, most_magnitude: float = 100.0, iterations: int = 0, mel_iterations: int = 0, **kwargs: Any):
        super().__init__(convention, **kwargs)
        self.most_magnitude, self.iterations, self.mel_iterations = float(most_magnitude), int(iterations), int(mel_iterations)

    def call(self, spectrum):
        c = self.convention
        bins = c.fft // 2 + 1
        log_magnitude, phase = tf.cast(spectrum[..., :bins], tf.float32), tf.cast(spectrum[..., bins : 2 * bins], tf.float32)
        # Clipped before exp: clipping after it would make the gradient infinity times 0.
        magnitude = tf.exp(tf.minimum(log_magnitude, np.float32(np.log(self.most_magnitude))))
        frames = spectrum.shape[1] if spectrum.shape[1] is not None else tf.shape(spectrum)[1]
        front = c.fft // 2 if c.padding == "centre" else (c.fft - c.hop) // 2
        if self.iterations:
            options: dict[str, Any] = {"momentum": MOMENTUM, "phase": phase, "floor": magnitude_floor_of(c) ** 2}
            if self.mel_iterations:
                mel = linear_mel(tf.cast(spectrum[..., 2 * bins :], tf.float32), c)
                options |= {"more": self.mel_iterations, "revise": lambda own: _with_mel(own, mel, c)}
            return griffin_lim(magnitude, c.fft, c.hop, frames * c.hop, front, self.iterations, **options)[:, :, None]
        return istft_parts(magnitude * tf.cos(phase), magnitude * tf.sin(phase), c.fft, c.hop, frames * c.hop, front)[:, :, None]

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] * self.convention.hop, 1)

    def get_config(self) -> dict[str, Any]:
        more = {"most_magnitude": self.most_magnitude, "iterations": self.iterations, "mel_iterations": self.mel_iterations}
        return {**super().get_config(), **more}


def _with_mel(magnitude: tf.Tensor, mel: tf.Tensor, c: MelConvention) -> tf.Tensor:
    """Return magnitudes near the given ones whose mel spectrum is near `mel`."""
    if c.exponent == 1:
        return revised_for_mel(magnitude, mel, c, _MEL_ROUNDS)
    return tf.sqrt(revised_for_mel(tf.square(magnitude), mel, c, _MEL_ROUNDS))


@_register
class SubBandsToAudio(keras.layers.Layer):
    """Synthesise float32 [batch, steps * 4, 1] from sub-bands [batch, steps, 4] with the `bank` and `cutoff` of `signal.pqmf`."""

    def __init__(self, bank: pqmf.Bank = "nguyen", cutoff: float = pqmf.CUTOFF, **kwargs: Any):
        super().__init__(**kwargs)
        self.bank, self.cutoff = bank, float(cutoff)

    def call(self, sub_bands):
        return pqmf.synthesise(sub_bands, self.bank, self.cutoff)

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] * pqmf.BANDS, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bank": self.bank, "cutoff": self.cutoff}


@_register
class MelNormalization(keras.layers.Layer):
    """Normalise each band, (mel - mean) / deviation, as ParallelWaveGAN's generators expect: float [batch, frames, bands] -> the same.

    Mean and standard deviation are weights that are not trained, initially 0 and 1: a run that starts from another's weights takes over
    its statistics. The layer precedes the first convolution, whose zero padding then means the average spectrum; statistics folded into
    that convolution's weights would give other values at the ends.
    """

    def build(self, shape) -> None:
        weight = lambda name, first: self.add_weight(name=name, shape=(shape[-1],), initializer=first, trainable=False)
        self.mean, self.deviation = weight("mean", "zeros"), weight("deviation", "ones")
        super().build(shape)

    def call(self, mel):
        return (mel - tf.cast(self.mean, mel.dtype)) / tf.cast(self.deviation, mel.dtype)

    def compute_output_shape(self, shape):
        return shape


@_register
class LayerScale(keras.layers.Layer):
    """Multiply each channel by a learnt gain (Touvron et al. 2021, eq. 4), initially `initial`."""

    def __init__(self, initial: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = float(initial)

    def build(self, shape) -> None:
        self.factor = self.add_weight(name="factor", shape=(shape[-1],), initializer=keras.initializers.Constant(self.initial))
        super().build(shape)

    def call(self, inputs):
        return inputs * tf.cast(self.factor, inputs.dtype)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial}
