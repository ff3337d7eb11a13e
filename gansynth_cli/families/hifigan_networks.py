"""The generator of HiFi-GAN, for its own family and for those that end with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import layers

from ..errors import RecipeError
from ..layers.convolution import Convolution1D, Initializer, TransposedConvolution1D
from ..layers.weight_norm import WeightNormalization
from .hifigan_schema import HiFiGANSizes
from .sizes import Upsampling, check_upsampling, receptive_frames_of

_DEVIATION = 0.01  # of the first weights


def waveform_of(x: keras.KerasTensor, sizes: HiFiGANSizes, initializer: Initializer, hop: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """Build [batch, frames, channels] -> audio [batch, frames * hop, 1].

    After each upsampling the mean of residual branches with different kernels (multi-receptive field fusion).

    Raises:
        RecipeError: Sizes that do not fit together.
    """
    _check(sizes, hop)
    m, build = sizes, _Layers(sizes, initializer, seeds)
    # The first convolution keeps the framework's initialiser in the authors' code, where the rest is N(0, 0.01^2).
    x, width = build.convolution(m.channels, 7, initializer="fan_in")(x), m.channels
    for factor, kernel in zip(m.upsample, m.upsample_kernels, strict=True):
        width //= 2
        x = build.upsampling(width, kernel, factor)(layers.LeakyReLU(0.1)(x))
        branches = [build.branch(x, width, taps, steps) for taps, steps in zip(m.kernels, m.dilations, strict=True)]
        x = layers.Average()(branches) if len(branches) > 1 else branches[0]
    x = build.convolution(1, 7)(layers.LeakyReLU(0.01)(x))  # the authors' code left this slope at PyTorch's default
    return layers.Activation("tanh", dtype="float32")(x)


def receptive_frames(model: HiFiGANSizes, hop: int) -> int:
    """Return the frames on either side that a sample depends on."""
    m = model
    stages: list[int | Upsampling] = [3]
    for factor, kernel in zip(m.upsample, m.upsample_kernels, strict=True):
        reaches = [
            sum(taps // 2 * (dilation + (m.block == 1)) for dilation in dilations)
            for taps, dilations in zip(m.kernels, m.dilations, strict=True)
        ]
        stages += [Upsampling(kernel, factor, _cut(kernel, factor)[0]), max(reaches)]
    return receptive_frames_of([*stages, 3], hop)


def _check(m: HiFiGANSizes, hop: int) -> None:
    check_upsampling(m.upsample, hop)
    for key, wanted in (("upsample_kernels", m.upsample), ("dilations", m.kernels)):
        if len(getattr(m, key)) != len(wanted):
            raise RecipeError(f"model.{key} has {len(getattr(m, key))} entries; expected {len(wanted)}, one for each of {list(wanted)}.")
    for kernel, factor in zip(m.upsample_kernels, m.upsample, strict=True):
        if kernel < factor:
            raise RecipeError(
                f"model.upsample_kernels has {kernel} for the factor {factor}; expected at least the factor.",
                hint="twice the factor, as in the paper",
            )
    if any(kernel % 2 == 0 for kernel in m.kernels):
        raise RecipeError(f"model.kernels is {list(m.kernels)}; expected odd numbers.")
    if m.channels % 2 ** len(m.upsample):
        raise RecipeError(f"model.channels is {m.channels}; expected a multiple of {2 ** len(m.upsample)}: each upsampling halves it.")


def _cut(kernel: int, factor: int) -> tuple[int, int]:
    """(padding, output padding) with which each step gives `factor` samples: of an odd surplus, one more goes at the front, as
    ParallelWaveGAN and others have it."""
    odd = (kernel - factor) % 2
    return (kernel - factor) // 2 + odd, odd


class _Layers:
    """Weight-normalised layers with seeds of their own."""

    def __init__(self, sizes: HiFiGANSizes, initializer: Initializer, seeds: Iterator[int]):
        self.sizes, self.initializer, self.seeds = sizes, initializer, seeds

    def branch(self, x, width: int, kernel: int, dilations: Sequence[int]):
        """Residual blocks of one kernel size."""
        for dilation in dilations:
            inside = self.convolution(width, kernel, dilation)(layers.LeakyReLU(0.1)(x))
            if self.sizes.block == 1:
                inside = self.convolution(width, kernel)(layers.LeakyReLU(0.1)(inside))
            x = layers.Add()([x, inside])
        return x

    def convolution(self, filters: int, kernel: int, dilation: int = 1, initializer=None) -> WeightNormalization:
        """Zeros at the ends."""
        settings = self._settings(initializer)
        return WeightNormalization(Convolution1D(filters, kernel, dilation=dilation, padding=dilation * (kernel // 2), **settings))

    def upsampling(self, filters: int, kernel: int, factor: int) -> WeightNormalization:
        return WeightNormalization(TransposedConvolution1D(filters, kernel, factor, *_cut(kernel, factor), **self._settings()))

    def _settings(self, initializer=None) -> dict[str, Any]:
        return {"initializer": initializer or self.initializer, "deviation": _DEVIATION, "seed": next(self.seeds)}
