"""Layers between a network's representation and audio. All are registered, so that a `.keras` file loads anywhere."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from ..signal.mel import mel_mean_bank
from ..signal.mel_convention import front_of
from ..signal.stft import griffin_lim, griffin_lim_plain, istft_parts, istft_plain, stft_parts

_register = keras.saving.register_keras_serializable(package="gan_audio")
GriffinLim = Literal["matched", "plain"]
Loud = Literal["turn_down", "clip"]


@_register
class PostProcessingFilter(keras.layers.Layer):
    """A learnt linear filter on each channel of the generated audio (Donahue et al. 2019, appendix B): 1 -> 1, no bias, SAME.

    It lets the generator remove the pitched noise of transposed convolutions. Its output may exceed 1.

    Args:
        length: Taps; the paper has 512.

    Call: float [batch, samples, channels] -> the same shape.
    """

    def __init__(self, length: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.length, self.seed = int(length), seed

    def build(self, inputs_shape) -> None:
        # One filter per channel; the Glorot limit is that of a 1 -> 1 convolution whatever the number of channels.
        limit = (6.0 / (2 * self.length)) ** 0.5
        initializer = keras.initializers.RandomUniform(-limit, limit, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(self.length, 1, inputs_shape[-1]), initializer=initializer)
        super().build(inputs_shape)

    def call(self, inputs):
        kernel = tf.cast(self.kernel, inputs.dtype)
        channels = [tf.nn.conv1d(inputs[..., c : c + 1], kernel[..., c : c + 1], stride=1, padding="SAME") for c in range(inputs.shape[-1])]
        return channels[0] if len(channels) == 1 else tf.concat(channels, axis=-1)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length, "seed": self.seed}


@_register
class WaveformToAudio(keras.layers.Layer):
    """The last step of a waveform generator: float32 in [-1, 1]. Clips the overshoot of a post-processing filter."""

    def call(self, inputs):
        return tf.clip_by_value(tf.cast(inputs, tf.float32), -1.0, 1.0)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape


class _LogSpectrogramScale(keras.layers.Layer):
    """The normalisation of the two layers below: (log(|X| + log_offset) - mean) / deviation / clip_deviations.

    Args:
        fft, hop: Samples.
        mean, deviation: Mean and standard deviation over the training data, fft / 2 + 1 values from DC to Nyquist, or one per mel band.
            Part of the config, so a saved model carries them to the last bit.
        log_offset: Added to the magnitude before the logarithm.
        clip_deviations: Number of standard deviations mapped to 1.
        mel_bands: Number of mel bands in place of linear bins (`signal.mel.mel_mean_bank`); 0: linear bins.
        sample_rate: Hz; needed for mel bands.
    """

    MINIMUM_DEVIATION = 1e-5  # keeps constant bins, as in silence, finite

    def __init__(
        self,
        fft: int,
        hop: int,
        mean,
        deviation,
        log_offset: float = 1e-6,
        clip_deviations: float = 3.0,
        mel_bands: int = 0,
        sample_rate: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.mel_bands, self.sample_rate = int(mel_bands), int(sample_rate)
        self.fft, self.hop = int(fft), int(hop)
        self.mean, self.deviation = [float(v) for v in mean], [float(v) for v in deviation]
        self.log_offset, self.clip_deviations = float(log_offset), float(clip_deviations)
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            wanted = self.mel_bands or self.fft // 2 + 1
            if len(values) != wanted:
                what = "mel band" if self.mel_bands else "bin from DC to Nyquist"
                raise ValueError(f"{name} has {len(values)} values; expected {wanted}, one per {what}")
        self._mean = np.asarray(self.mean, np.float32)
        self._scale = np.maximum(np.asarray(self.deviation, np.float32), self.MINIMUM_DEVIATION) * np.float32(self.clip_deviations)
        self._bank = mel_mean_bank(self.sample_rate, self.fft, self.mel_bands) if self.mel_bands else None
        self._front = front_of(self.fft, self.mel_bands)

    def get_config(self) -> dict[str, Any]:
        own = ("fft", "hop", "mean", "deviation", "log_offset", "clip_deviations")
        bands = ("mel_bands", "sample_rate") if self.mel_bands else ()  # absent: files are what they were without
        return {**super().get_config(), **{name: getattr(self, name) for name in own + bands}}


@_register
class NormalizedLogSpectrogram(_LogSpectrogramScale):
    """The input of a spectrogram discriminator: log magnitudes without the Nyquist bin, normalised per bin, clipped to [-1, 1].

    Args:
        frames: Number of frames. The other arguments are as for `SpectrogramToAudio`, its inverse.

    Call: float32 [batch, samples, channels] -> float32 [batch, frames, fft / 2, channels], or mel_bands in place of fft / 2. Framing:
    `signal.stft` with the front of `signal.mel_convention.front_of`.
    """

    def __init__(self, fft: int, hop: int, frames: int, mean, deviation, **kwargs: Any):
        super().__init__(fft, hop, mean, deviation, **kwargs)
        self.frames = int(frames)

    def call(self, audio):
        audio = tf.transpose(tf.cast(audio, tf.float32), [0, 2, 1])
        real, imaginary = stft_parts(audio, self.fft, self.hop, self.frames, self._front)
        if self._bank is None:
            real, imaginary = real[..., :-1], imaginary[..., :-1]
        # Not tf.abs: its gradient at zero is NaN on some devices, and silence is exactly zero.
        magnitude = tf.sqrt(tf.square(real) + tf.square(imaginary) + 1e-24)
        if self._bank is not None:
            magnitude = _product(magnitude, self._bank)
        bins = magnitude.shape[-1]
        normalized = (tf.math.log(magnitude + self.log_offset) - self._mean[:bins]) / self._scale[:bins]
        return tf.transpose(tf.clip_by_value(normalized, -1.0, 1.0), [0, 2, 3, 1])

    def compute_output_shape(self, audio_shape):
        return (audio_shape[0], self.frames, self.mel_bands or self.fft // 2, audio_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frames": self.frames}


def _product(values: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """Multiply the last axis by a matrix, as one product of two dimensions: a product of four broadcasts one matrix, for which
    TensorFlow 2.21 crashes on AVX-512 (32 x 1 x 128 x 1025 by 1025 x 128)."""
    return tf.tensordot(values, matrix.astype(np.float32), axes=1)


def from_bands(bands: tf.Tensor, bank: np.ndarray, iterations: int = 8) -> tf.Tensor:
    """Find magnitudes, at least 0, whose weighted means over mel bands are `bands`: Richardson (1972) and Lucy (1974).

    It begins with the interpolation between the bands' centres, so a band says nothing about the bins that it cannot tell apart.

    Args:
        bands: float32 [..., mel bands], at least 0.
        bank: float32 [bins, mel bands], columns of sum 1.

    Returns:
        float32 [..., bins].
    """
    share = bank / np.maximum(bank.sum(axis=1, keepdims=True), 1e-9)  # of each bin, in its bands; its rows sum to 1 or 0
    found = _product(bands, share.T)
    for _ in range(iterations):
        found *= _product(bands / tf.maximum(_product(found, bank), 1e-9), share.T)
    return found


@_register
class SpectrogramToAudio(_LogSpectrogramScale):
    """Invert `NormalizedLogSpectrogram`: magnitudes, the Nyquist bin at its mean, and Griffin-Lim from zero phase.

    Args:
        samples: Length of the audio.
        iterations: Number of Griffin-Lim iterations.
        momentum: As for `signal.stft.griffin_lim`; 0 with "plain".
        griffin_lim: "matched": `signal.stft.griffin_lim`, whose inverse divides by the summed windows. "plain": the authors' own,
            `griffin_lim_plain`, on magnitudes without subtracting `log_offset`.
        loud: Treatment of a clip whose peak exceeds 1: "turn_down" divides it by its peak, which changes the generated level; "clip"
            clips it, like the authors' conversion to 16 bits.

    Call: float32 [batch, frames, fft / 2 or mel_bands, channels] -> float32 [batch, samples, channels] in [-1, 1].

    The gradient is that of the magnitudes with the phases found by Griffin-Lim held fixed. The gradient through the iterations is useless:
    each of them turns phases, and gradient descent along it did not reduce the loss.
    """

    _GRADIENT_FLOOR = 0.1  # of the summed squared windows: the first samples, barely covered by windows, would dominate the gradient

    def __init__(
        self,
        fft: int,
        hop: int,
        samples: int,
        mean,
        deviation,
        iterations: int = 16,
        momentum: float = 0.0,
        griffin_lim: GriffinLim = "matched",
        loud: Loud = "turn_down",
        **kwargs: Any,
    ):
        super().__init__(fft, hop, mean, deviation, **kwargs)
        self.samples, self.iterations, self.momentum = int(samples), int(iterations), float(momentum)
        self.griffin_lim: GriffinLim = griffin_lim
        self.loud: Loud = loud
        if griffin_lim == "plain" and self.momentum:
            raise ValueError(f"momentum is {self.momentum}; the plain Griffin-Lim algorithm has none")

    def call(self, spectrogram):
        bins = self.mel_bands or self.fft // 2
        log_magnitude = tf.transpose(tf.cast(spectrogram, tf.float32), [0, 3, 1, 2]) * self._scale[:bins] + self._mean[:bins]
        if self._bank is None:
            nyquist = tf.fill(tf.concat([tf.shape(log_magnitude)[:-1], [1]], axis=0), self._mean[-1])
            log_magnitude = tf.concat([log_magnitude, nyquist], axis=-1)
        magnitude = tf.exp(log_magnitude)
        if self.griffin_lim != "plain":
            magnitude = tf.nn.relu(magnitude - self.log_offset)
        audio = self._invert(magnitude if self._bank is None else from_bands(magnitude, self._bank))
        if self.loud == "clip":
            audio = tf.clip_by_value(audio, -1.0, 1.0)
        else:
            audio /= tf.maximum(1.0, tf.reduce_max(tf.abs(audio), axis=[1, 2], keepdims=True))
        return tf.transpose(audio, [0, 2, 1])

    def _invert(self, magnitude):
        @tf.custom_gradient
        def invert(magnitude):
            audio = self._with_phases(magnitude)

            def gradient(upstream):
                real, imaginary = stft_parts(audio, self.fft, self.hop, magnitude.shape[-2] or tf.shape(magnitude)[-2], self._front)
                scale = tf.math.rsqrt(tf.square(real) + tf.square(imaginary) + 1e-20)
                with tf.GradientTape() as tape:
                    tape.watch(magnitude)
                    again = self._from_spectrum(magnitude * real * scale, magnitude * imaginary * scale)
                return tape.gradient(again, magnitude, upstream)

            return audio, gradient

        return invert(magnitude)

    def _with_phases(self, magnitude):
        """Find phases of float32 [batch, channels, frames, bins] and return the audio, [batch, channels, samples].

        Several channels share the phases of their mean magnitude: phases found for each by itself are unrelated, and a source that stands
        between left and right would lose its place.
        """
        common = magnitude if magnitude.shape[1] == 1 else tf.reduce_mean(magnitude, axis=1, keepdims=True)
        if self.griffin_lim == "plain":
            audio = griffin_lim_plain(common, self.fft, self.hop, self.samples, self.iterations)
        else:
            arguments = (self.fft, self.hop, self.samples, self._front)
            audio = griffin_lim(common, *arguments, iterations=self.iterations, momentum=self.momentum)
        if common is magnitude:
            return audio
        real, imaginary = stft_parts(audio, self.fft, self.hop, magnitude.shape[-2] or tf.shape(magnitude)[-2], self._front)
        phase = tf.math.atan2(imaginary, real)
        if self.griffin_lim == "plain":
            return self._from_spectrum(magnitude * tf.cos(phase), magnitude * tf.sin(phase))
        return griffin_lim(magnitude, self.fft, self.hop, self.samples, self._front, iterations=0, phase=phase)

    def _from_spectrum(self, real, imaginary):
        if self.griffin_lim == "plain":
            return istft_plain(real, imaginary, self.fft, self.hop, self.samples)
        return istft_parts(real, imaginary, self.fft, self.hop, self.samples, self._front, floor=self._GRADIENT_FLOOR)

    def compute_output_shape(self, spectrogram_shape):
        return (spectrogram_shape[0], self.samples, spectrogram_shape[-1])

    def get_config(self) -> dict[str, Any]:
        own = ("samples", "iterations", "momentum", "griffin_lim", "loud")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
