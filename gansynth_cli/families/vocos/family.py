"""Vocos (Siuzdak 2024, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders for high-quality audio synthesis"),
with FreeV's prior as an option (Lv et al. 2024, "FreeV: Free lunch for vocoders through pseudo inversed mel filter")."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ...errors import RecipeError
from ...layers.convolution import Convolution1D, DepthwiseConvolution1D
from ...layers.vocoder import AddToMagnitude, GriffinLimStart, LayerScale, MelToLogMagnitude, SpectrumToAudio
from ...losses import spectral
from ...signal.mel_front_end import bank_of, magnitude_floor_of, magnitude_spectrum
from ...signal.stft import hann
from ..base import Losses
from ..vocoder import VocoderFamily, pesq_points
from .schema import VocosModel

_KERNEL = 7
_DEVIATION = 0.02  # of the first weights, a normal distribution cut at two of them


class Vocos(VocoderFamily):
    """Vocos's generator: ConvNeXt blocks at the frame rate, then log magnitudes and phases of a short-time Fourier transform.

    512 channels, 8 blocks, 100 bands: 13.53 M weights. Its cost is that of the frames, not of the samples: twenty times less than a
    HiFi-GAN V1. With `prior = "pseudo-inverse"` the network adds to the log magnitudes that the filters' pseudo-inverse gives; with
    "griffin-lim" to those of non-negative least squares, and Griffin-Lim finds the phases (`SpectrumToAudio`): before it has learnt
    anything it is Griffin-Lim.
    """

    model: VocosModel
    gives_spectrum = True

    def build_generator(self) -> keras.Model:
        m, c = self.model, self.convention
        if c.window != c.fft:
            raise RecipeError(f"model.mel.window is {c.window} and model.mel.fft {c.fft}; Vocos's inverse transform wants them equal.")
        mel = keras.Input((None, c.bands), name="mel")
        # The paper's code cuts a normal distribution off here too; fan-in scaling would differ by a factor of 1.5 at 100 bands.
        x = Convolution1D(m.channels, _KERNEL, padding=_KERNEL // 2, initializer="normal", deviation=_DEVIATION, seed=next(self.seeds))(mel)
        x = self.norm()(x)
        for _ in range(m.blocks):
            inside = self.norm()(DepthwiseConvolution1D(_KERNEL, _DEVIATION, seed=next(self.seeds))(x))
            inside = self.dense(m.hidden or 3 * m.channels, "gelu")(inside)
            inside = LayerScale(1.0 / m.blocks)(self.dense(m.channels)(inside))
            x = layers.Add()([x, inside])
        if m.prior == "griffin-lim":
            # At zero: the first step's sound is Griffin-Lim's.
            x = layers.Dense(c.fft + 2, kernel_initializer="zeros", dtype="float32", name="spectrum")(self.norm()(x))
            x = layers.Add(dtype="float32")([x, GriffinLimStart(c, dtype="float32", name="prior")(mel)])
            if m.mel_iterations:  # `head` needs it
                x = layers.Concatenate(dtype="float32")([x, mel])
            return keras.Model(mel, x, name="generator")
        x = self.dense(c.fft + 2, dtype="float32", name="spectrum")(self.norm()(x))
        if m.prior == "pseudo-inverse":
            x = AddToMagnitude(dtype="float32")(x, MelToLogMagnitude(c, dtype="float32", name="prior")(mel))
        return keras.Model(mel, x, name="generator")

    def dense(self, units: int, activation: str | None = None, **more) -> keras.layers.Layer:
        initializer = keras.initializers.TruncatedNormal(stddev=_DEVIATION, seed=next(self.seeds))
        return layers.Dense(units, activation, kernel_initializer=initializer, **more)

    def norm(self) -> keras.layers.Layer:
        return layers.LayerNormalization(epsilon=1e-6)

    def receptive_frames(self) -> int:
        c = self.convention
        across = -(-c.fft // c.hop)  # frames that see a sample
        return (1 + self.model.blocks) * (_KERNEL // 2) + sum(self._iterations) * (across - 1) + across

    def head(self) -> keras.layers.Layer:
        return SpectrumToAudio(self.convention, self.model.most_magnitude, *self._iterations, dtype="float32", name="inverse_transform")

    @property
    def _iterations(self) -> tuple[int, int]:
        return (self.model.iterations, self.model.mel_iterations) if self.model.prior == "griffin-lim" else (0, 0)

    def spectrum_distances(self, made: tf.Tensor, real: tf.Tensor) -> Losses:
        """Of the magnitudes that the network gives, with those of the recording in the same frames."""
        w, c = self.weights, self.convention
        floor, gain = magnitude_floor_of(c), float(np.square(hann(c.fft).astype(np.float64)).sum())
        target = magnitude_spectrum(real, c)
        log_magnitude = tf.cast(made[..., : c.fft // 2 + 1], tf.float32)
        magnitude = tf.exp(tf.minimum(log_magnitude, np.float32(np.log(self.model.most_magnitude))))
        mine, theirs = (spectral.Spectrum(x, tf.zeros_like(x), gain) for x in (magnitude, target))
        losses = {}
        if w.spectrum_magnitude:
            losses["spectrum_magnitude"] = w.spectrum_magnitude * tf.reduce_mean(
                tf.abs(tf.math.log(magnitude + floor) - tf.math.log(target + floor))
            )
        if w.spectrum_convergence:
            losses["spectrum_convergence"] = w.spectrum_convergence * spectral.spectral_convergence(mine, theirs)
        if w.spectrum_mel:
            mel = lambda x: tf.math.log(tf.matmul(x if c.exponent == 1 else tf.square(x), bank_of(c)) + c.floor)
            losses["spectrum_mel"] = w.spectrum_mel * tf.reduce_mean(tf.abs(mel(magnitude) - mel(target)))
        if w.spectrum_disturbance:
            losses["spectrum_disturbance"] = w.spectrum_disturbance * pesq_points(mine, theirs, c.sample_rate)
        return losses


FAMILY = Vocos
