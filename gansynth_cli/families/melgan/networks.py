"""The generator of MelGAN and Multi-band MelGAN."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...errors import RecipeError
from ...layers.convolution import Convolution1D, TransposedConvolution1D
from ...layers.weight_norm import WeightNormalization
from ...signal import pqmf
from ..sizes import Upsampling, check_upsampling, receptive_frames_of
from ..vocoder_networks import mel_input
from .schema import MelGANModel


def build_generator(model: MelGANModel, mel_bands: int, hop: int, seeds: Iterator[int]) -> keras.Model:
    """Build mel [batch, frames, mel_bands] -> [batch, frames * hop / bands, bands].

    Transposed convolutions of kernel 2r and stride r, residual blocks of growing dilation after each.

    Raises:
        RecipeError: Sizes that do not fit together.
    """
    m, build = model, _Layers(model, seeds)
    check_upsampling([*m.upsample, *([m.bands] if m.bands > 1 else [])], hop, "model.upsample (and model.bands)")
    if m.channels % 2 ** len(m.upsample):
        raise RecipeError(f"model.channels is {m.channels}; expected a multiple of {2 ** len(m.upsample)}: each upsampling halves it.")
    mel, x = mel_input(m, mel_bands)
    x, width = build.convolution(m.channels, 7, padding=3)(x), m.channels
    for factor in m.upsample:
        width //= 2
        x = build.upsampling(width, factor)(layers.LeakyReLU(0.2)(x))
        for dilation in m.dilations:
            x = build.residual(x, width, dilation)
    x = build.convolution(m.bands, 7, padding=3)(layers.LeakyReLU(0.2)(x))
    return keras.Model(mel, layers.Activation("tanh", dtype="float32")(x), name="generator")


def receptive_frames(model: MelGANModel, hop: int) -> int:
    """Return the frames on either side that a sample depends on."""
    m = model
    stages: list[int | Upsampling] = [3]
    for factor in m.upsample:
        stages += [Upsampling(2 * factor, factor, factor // 2 + factor % 2), *m.dilations]
    stages.append(3)
    if m.bands > 1:
        reach = -(-pqmf.REACH // m.bands)
        stages += [reach, Upsampling(m.bands, m.bands, 0)]
    return receptive_frames_of(stages, hop)


class _Layers:
    """Weight-normalised layers with seeds of their own."""

    def __init__(self, model: MelGANModel, seeds: Iterator[int]):
        self.initializer, self.seeds = model.initializer, seeds

    def residual(self, x, width: int, dilation: int):
        """LeakyReLU, dilated convolution, LeakyReLU, 1x1, beside a 1x1 convolution of the input."""
        inside = self.convolution(width, 3, dilation=dilation, padding=dilation)(layers.LeakyReLU(0.2)(x))
        inside = self.convolution(width, 1)(layers.LeakyReLU(0.2)(inside))
        return layers.Add()([self.convolution(width, 1)(x), inside])

    def convolution(self, filters: int, kernel: int, **more) -> WeightNormalization:
        """Mirrored at the ends."""
        more = {"padding_mode": "reflect", "initializer": self.initializer, "seed": next(self.seeds), **more}
        return WeightNormalization(Convolution1D(filters, kernel, **more))

    def upsampling(self, filters: int, factor: int) -> WeightNormalization:
        cut = {"padding": factor // 2 + factor % 2, "output_padding": factor % 2}
        inner = TransposedConvolution1D(filters, 2 * factor, factor, **cut, initializer=self.initializer, seed=next(self.seeds))
        return WeightNormalization(inner)
