"""The networks of MaskCycleGAN-VC: spectra as pictures, [batch, bands, frames, channels]; between, one-dimensional residual blocks."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...layers.conversion import InstanceNorm
from ...layers.convolution import Convolution1D, make_initializer
from ...layers.cyclegan import ColumnsToSteps, PixelShuffle, StepsToColumns
from .schema import CycleGANModel


class _Builder:
    def __init__(self, seeds: Iterator[int]):
        self.seeds = seeds

    def conv(self, x, filters: int, kernel: tuple[int, int], stride: int = 1):
        """As many zeros on each side as PyTorch's code has: Keras's "same" pads a strided convolution on one side."""
        x = layers.ZeroPadding2D((kernel[0] // 2, kernel[1] // 2))(x)
        return layers.Conv2D(filters, kernel, stride, kernel_initializer=make_initializer("fan_in", 0.0, next(self.seeds)))(x)

    def conv1(self, x, filters: int, kernel: int):
        return Convolution1D(filters, kernel, padding=kernel // 2, seed=next(self.seeds))(x)

    def norm(self, x):
        return InstanceNorm(seed=next(self.seeds))(x)


def generator(model: CycleGANModel, seeds: Iterator[int], name: str) -> keras.Model:
    """{"mel": [batch, frames, bands], "mask": [batch, frames, 1]} -> [batch, frames, bands]; frames and bands are multiples of 4.

    Kaneko et al. 2021 with the sizes of the open implementation: every gate is a convolution of its own.
    """
    m, b = model, _Builder(seeds)
    c, rows = m.channels, m.mel.bands // 4
    mel, mask = keras.Input((None, m.mel.bands), name="mel"), keras.Input((None, 1), name="mask")
    over_bands = layers.Concatenate()([mask] * m.mel.bands)
    stack = layers.Concatenate()([StepsToColumns(m.mel.bands)(mel), StepsToColumns(m.mel.bands)(over_bands)])
    x = layers.Multiply()([b.conv(stack, c, (5, 15)), layers.Activation("sigmoid")(b.conv(stack, c, (5, 15)))])
    for _ in range(2):
        values, gates = b.norm(b.conv(x, 2 * c, (5, 5), 2)), b.norm(b.conv(x, 2 * c, (5, 5), 2))
        x = layers.Multiply()([values, layers.Activation("sigmoid")(gates)])
    x = b.norm(b.conv1(ColumnsToSteps()(x), m.block_channels, 1))
    for _ in range(m.blocks):
        values, gates = b.norm(b.conv1(x, 2 * m.block_channels, 3)), b.norm(b.conv1(x, 2 * m.block_channels, 3))
        y = layers.Multiply()([values, layers.Activation("sigmoid")(gates)])
        x = layers.Add()([x, b.norm(b.conv1(y, m.block_channels, 3))])
    x = StepsToColumns(rows)(b.norm(b.conv1(x, 2 * c * rows, 1)))
    for filters in (8 * c, 4 * c):
        x = layers.Activation("silu")(b.norm(PixelShuffle()(b.conv(x, filters, (5, 5)))))
    made = ColumnsToSteps()(b.conv(x, 1, (5, 15)))
    return keras.Model({"mel": mel, "mask": mask}, layers.Activation("linear", dtype="float32")(made), name=name)


def critic(model: CycleGANModel, seeds: Iterator[int], name: str) -> keras.Model:
    """[batch, frames, bands] -> float32 logits of patches [batch, rows, columns, 1]. No sigmoid: it would flatten LSGAN's slopes."""
    m, b = model, _Builder(seeds)
    c = m.critic_channels
    mel = keras.Input((None, m.mel.bands), name="mel")
    x = layers.Activation("silu")(b.conv(StepsToColumns(m.mel.bands)(mel), c, (3, 3)))
    for filters in (2 * c, 4 * c, 8 * c):
        x = layers.Activation("silu")(b.norm(b.conv(x, filters, (3, 3), 2)))
    return keras.Model(mel, layers.Activation("linear", dtype="float32")(b.conv(x, 1, (1, 3))), name=name)
