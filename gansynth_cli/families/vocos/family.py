"""Vocos (Siuzdak 2024, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders for high-quality audio synthesis"),
with FreeV's prior as an option (Lv et al. 2024, "FreeV: Free lunch for vocoders through pseudo inversed mel filter")."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ...layers.vocoder import SpectrumToAudio
from ..vocoder import VocoderFamily
from ..vocoder_terms import SpectrumPair
from .networks import build_generator, iterations_of, receptive_frames
from .schema import VocosModel


class Vocos(VocoderFamily):
    """Vocos's generator, whose network gives log magnitudes and phases of a short-time Fourier transform.

    512 channels, 8 blocks, 100 bands: 13.53 M weights. Its cost is that of the frames, not of the samples: twenty times less than a
    HiFi-GAN V1.
    """

    model: VocosModel
    gives_spectrum = True

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.convention, self.seeds)

    def receptive_frames(self) -> int:
        return receptive_frames(self.model, self.convention)

    def head(self) -> keras.layers.Layer:
        iterations = iterations_of(self.model)
        return SpectrumToAudio(self.convention, self.model.most_magnitude, *iterations, dtype="float32", name="inverse_transform")

    def own_spectrum(self, made: tf.Tensor, real: tf.Tensor) -> SpectrumPair:
        log_magnitude = tf.cast(made[..., : self.convention.fft // 2 + 1], tf.float32)
        magnitude = tf.exp(tf.minimum(log_magnitude, np.float32(np.log(self.model.most_magnitude))))
        return SpectrumPair(magnitude, real, self.convention)


FAMILY = Vocos
