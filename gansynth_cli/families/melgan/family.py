"""MelGAN (Kumar et al. 2019, "MelGAN: Generative adversarial networks for conditional waveform synthesis") and Multi-band MelGAN (Yang
et al. 2021)."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

from ...errors import RecipeError
from ...layers.convolution import Convolution1D, TransposedConvolution1D
from ...layers.vocoder import SubBandsToAudio
from ...layers.weight_norm import WeightNormalization
from ...signal import pqmf
from ..receptive_field import Upsampling, receptive_frames_of
from ..vocoder import VocoderFamily
from ..vocoder_checks import check_upsampling
from .schema import MelGANModel


class MelGAN(VocoderFamily):
    """MelGAN's generator: transposed convolutions of kernel 2r and stride r, residual blocks of growing dilation after each.

    512 channels, 8 x 8 x 2 x 2: 4.26 M weights. 384 channels, 8 x 4 x 2, four blocks and four bands: 2.53 M (Multi-band MelGAN).
    """

    model: MelGANModel

    def build_generator(self) -> keras.Model:
        m = self.model
        check_upsampling([*m.upsample, *([m.bands] if m.bands > 1 else [])], self.convention.hop, "model.upsample (and model.bands)")
        if m.channels % 2 ** len(m.upsample):
            raise RecipeError(f"model.channels is {m.channels}; expected a multiple of {2 ** len(m.upsample)}: each upsampling halves it.")
        mel = keras.Input((None, self.convention.bands), name="mel")
        x, width = self.convolution(m.channels, 7, padding=3)(mel), m.channels
        for factor in m.upsample:
            width //= 2
            x = self.upsampling(width, factor)(layers.LeakyReLU(0.2)(x))
            for dilation in m.dilations:
                x = self.residual(x, width, dilation)
        x = self.convolution(m.bands, 7, padding=3)(layers.LeakyReLU(0.2)(x))
        return keras.Model(mel, layers.Activation("tanh", dtype="float32")(x), name="generator")

    def residual(self, x, width: int, dilation: int):
        """LeakyReLU, dilated convolution, LeakyReLU, 1x1, beside a 1x1 convolution of the input."""
        inside = self.convolution(width, 3, dilation=dilation, padding=dilation)(layers.LeakyReLU(0.2)(x))
        inside = self.convolution(width, 1)(layers.LeakyReLU(0.2)(inside))
        return layers.Add()([self.convolution(width, 1)(x), inside])

    def convolution(self, filters: int, kernel: int, **more) -> WeightNormalization:
        """Mirrored at the ends, weight-normalised."""
        more = {"padding_mode": "reflect", "initializer": self.model.initializer, "seed": next(self.seeds), **more}
        return WeightNormalization(Convolution1D(filters, kernel, **more))

    def upsampling(self, filters: int, factor: int) -> WeightNormalization:
        """Transposed convolution, weight-normalised."""
        cut = {"padding": factor // 2 + factor % 2, "output_padding": factor % 2}
        inner = TransposedConvolution1D(filters, 2 * factor, factor, **cut, initializer=self.model.initializer, seed=next(self.seeds))
        return WeightNormalization(inner)

    def receptive_frames(self) -> int:
        m = self.model
        stages: list[int | Upsampling] = [3]
        for factor in m.upsample:
            stages += [Upsampling(2 * factor, factor, factor // 2 + factor % 2), *m.dilations]
        stages.append(3)
        if m.bands > 1:
            reach = -(-pqmf.REACH // m.bands)
            stages += [reach, Upsampling(m.bands, m.bands, 0)]
        return receptive_frames_of(stages, self.convention.hop)

    def head(self) -> keras.layers.Layer | None:
        return SubBandsToAudio(dtype="float32", name="filter_bank") if self.model.bands > 1 else None

    def sub_bands(self, made: tf.Tensor) -> tf.Tensor | None:
        return made if self.model.bands > 1 else None


FAMILY = MelGAN
