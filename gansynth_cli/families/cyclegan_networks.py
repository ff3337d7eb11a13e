"""The networks of MaskCycleGAN-VC: spectra as pictures, [batch, bands, frames, channels]; between, one-dimensional residual blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from ..family_schemas.conversion import CycleGANModel
from ..layers.conversion import InstanceNorm
from ..layers.convolution import Convolution1D, make_initializer

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class PixelShuffle(keras.layers.Layer):
    """[batch, rows, columns, 4 c] -> [batch, 2 rows, 2 columns, c]."""

    def call(self, inputs):
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, inputs_shape):
        batch, rows, columns, channels = inputs_shape
        return (batch, rows and 2 * rows, columns and 2 * columns, channels // 4)


@_register
class ColumnsToSteps(keras.layers.Layer):
    """[batch, rows, columns, channels] -> [batch, columns, rows * channels]."""

    def call(self, inputs):
        _, rows, _, channels = inputs.shape
        moved = tf.transpose(inputs, [0, 2, 1, 3])
        return tf.reshape(moved, [tf.shape(inputs)[0], tf.shape(inputs)[2], rows * channels])

    def compute_output_shape(self, inputs_shape):
        batch, rows, columns, channels = inputs_shape
        return (batch, columns, rows * channels)


@_register
class StepsToColumns(keras.layers.Layer):
    """The inverse of `ColumnsToSteps`."""

    def __init__(self, rows: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = int(rows)

    def call(self, inputs):
        channels = inputs.shape[-1] // self.rows
        pictures = tf.reshape(inputs, [tf.shape(inputs)[0], tf.shape(inputs)[1], self.rows, channels])
        return tf.transpose(pictures, [0, 2, 1, 3])

    def compute_output_shape(self, inputs_shape):
        batch, steps, channels = inputs_shape
        return (batch, self.rows, steps, channels // self.rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


@_register
class TwoWays(keras.Model):
    """The two generators as one network of a `VoiceConverter` with two domains; a batch of one direction asks one of them alone.

    Args:
        to_first, to_second: {"mel": [batch, frames, bands], "mask": [batch, frames, 1]} -> [batch, frames, bands].
    """

    def __init__(self, to_first: keras.Model, to_second: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.to_first, self.to_second = to_first, to_second
        self.built = True

    def call(self, inputs, training=False):
        """A mix of both for a target between them; what is in its target's domain stays as it is."""
        mel, weight = inputs["mel"], inputs["target"][:, 1]
        given = {"mel": mel, "mask": inputs["mask"]}
        first = lambda: tf.cast(self.to_first(given, training=training), tf.float32)
        second = lambda: tf.cast(self.to_second(given, training=training), tf.float32)
        both = lambda: first() * (1.0 - weight)[:, None, None] + second() * weight[:, None, None]
        all_to = lambda value: tf.reduce_all(tf.equal(weight, value))
        made = tf.cond(all_to(1.0), second, lambda: tf.cond(all_to(0.0), first, both))
        stays = tf.reduce_all(tf.equal(inputs["source"], inputs["target"]), axis=1)
        return tf.where(stays[:, None, None], tf.cast(mel, tf.float32), made)

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("to_first", "to_second")}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("to_first", "to_second"):
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)


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
