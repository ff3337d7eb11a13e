"""HiFi-GAN (Kong, Kim and Bae 2020, "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech synthesis")."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ...errors import RecipeError
from ...layers.convolution import Convolution1D, TransposedConvolution1D
from ...layers.weight_norm import WeightNormalization
from ..receptive_field import Upsampling, receptive_frames_of
from ..vocoder import VocoderFamily
from ..vocoder_checks import check_upsampling
from .schema import HiFiGANModel


class HiFiGAN(VocoderFamily):
    """HiFi-GAN's generator: after each upsampling the mean of residual branches with different kernels (multi-receptive field fusion).

    V1 has 13.93 M weights, V2 .926 M, V3 1.462 M.
    """

    model: HiFiGANModel

    def build_generator(self) -> keras.Model:
        m = self.model
        check_upsampling(m.upsample, self.convention.hop)
        for key, wanted in (("upsample_kernels", m.upsample), ("dilations", m.kernels)):
            if len(getattr(m, key)) != len(wanted):
                raise RecipeError(
                    f"model.{key} has {len(getattr(m, key))} entries; expected {len(wanted)}, one for each of {list(wanted)}."
                )
        for kernel, factor in zip(m.upsample_kernels, m.upsample, strict=True):
            if kernel < factor or (kernel - factor) % 2:
                raise RecipeError(
                    f"model.upsample_kernels has {kernel} for the factor {factor}; expected the factor plus an even number.",
                    hint="twice the factor, as in the paper, where the factor is even",
                )
        if any(kernel % 2 == 0 for kernel in m.kernels):
            raise RecipeError(f"model.kernels is {list(m.kernels)}; expected odd numbers.")
        if m.channels % 2 ** len(m.upsample):
            raise RecipeError(f"model.channels is {m.channels}; expected a multiple of {2 ** len(m.upsample)}: each upsampling halves it.")
        mel = keras.Input((None, self.convention.bands), name="mel")
        # The first convolution keeps the framework's initialiser in the authors' code, where the rest is N(0, .01^2).
        x, width = self.convolution(m.channels, 7, initializer="fan_in")(mel), m.channels
        for factor, kernel in zip(m.upsample, m.upsample_kernels, strict=True):
            width //= 2
            x = self.upsampling(width, kernel, factor)(layers.LeakyReLU(0.1)(x))
            branches = [self.branch(x, width, taps, steps) for taps, steps in zip(m.kernels, m.dilations, strict=True)]
            x = layers.Average()(branches) if len(branches) > 1 else branches[0]
        x = self.convolution(1, 7)(layers.LeakyReLU(0.01)(x))  # the authors' code left this slope at PyTorch's default
        return keras.Model(mel, layers.Activation("tanh", dtype="float32")(x), name="generator")

    def branch(self, x, width: int, kernel: int, dilations):
        """Residual blocks of one kernel size."""
        for dilation in dilations:
            inside = self.convolution(width, kernel, dilation)(layers.LeakyReLU(0.1)(x))
            if self.model.block == 1:
                inside = self.convolution(width, kernel)(layers.LeakyReLU(0.1)(inside))
            x = layers.Add()([x, inside])
        return x

    def convolution(self, filters: int, kernel: int, dilation: int = 1, initializer=None) -> WeightNormalization:
        """Zeros at the ends, weight-normalised."""
        settings: dict[str, Any] = {"initializer": initializer or self.model.initializer, "deviation": 0.01, "seed": next(self.seeds)}
        return WeightNormalization(Convolution1D(filters, kernel, dilation=dilation, padding=dilation * (kernel // 2), **settings))

    def upsampling(self, filters: int, kernel: int, factor: int) -> WeightNormalization:
        """Transposed convolution, weight-normalised."""
        settings: dict[str, Any] = {"initializer": self.model.initializer, "deviation": 0.01, "seed": next(self.seeds)}
        return WeightNormalization(TransposedConvolution1D(filters, kernel, factor, padding=(kernel - factor) // 2, **settings))

    def receptive_frames(self) -> int:
        m = self.model
        stages: list[int | Upsampling] = [3]
        for factor, kernel in zip(m.upsample, m.upsample_kernels, strict=True):
            reaches = [
                sum(taps // 2 * (dilation + (m.block == 1)) for dilation in dilations)
                for taps, dilations in zip(m.kernels, m.dilations, strict=True)
            ]
            stages += [Upsampling(kernel, factor, (kernel - factor) // 2), max(reaches)]
        return receptive_frames_of([*stages, 3], self.convention.hop)


FAMILY = HiFiGAN
