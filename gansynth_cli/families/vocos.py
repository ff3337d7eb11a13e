"""Vocos (Siuzdak 2024, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders for high-quality audio synthesis"),
with FreeV's prior as an option (Lv et al. 2024, "FreeV: Free lunch for vocoders through pseudo inversed mel filter")."""

from __future__ import annotations

import keras
from keras import layers

from ..errors import RecipeError
from ..family_schemas.vocoders import VocosModel
from ..layers.convolution import Convolution1D, DepthwiseConvolution1D
from ..layers.vocoder import AddToMagnitude, LayerScale, MelToLogMagnitude, SpectrumToAudio
from .vocoder import VocoderFamily

_KERNEL = 7
_DEVIATION = 0.02  # of the first weights, a normal distribution cut at two of them


class Vocos(VocoderFamily):
    """Vocos's generator: ConvNeXt blocks at the frame rate, then log magnitudes and phases of a short-time Fourier transform.

    512 channels, 8 blocks, 100 bands: 13.53 M weights. Its cost is that of the frames, not of the samples: twenty times less than a
    HiFi-GAN V1. With `prior = "pseudo-inverse"` the network adds to the log magnitudes that the filters' pseudo-inverse gives.
    """

    model: VocosModel

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
        return (1 + self.model.blocks) * (_KERNEL // 2) + -(-c.fft // c.hop)

    def head(self) -> keras.layers.Layer:
        return SpectrumToAudio(self.convention, self.model.most_magnitude, dtype="float32", name="inverse_transform")


FAMILY = Vocos
