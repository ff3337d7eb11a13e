"""Layers of Gaussian models. All are registered, so that a `.keras` file loads anywhere."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class BoundedLogVariance(keras.layers.Layer):
    """bound tanh(x / bound): the logarithm of a variance that stays within exp(+-bound), with a non-zero gradient everywhere."""

    def __init__(self, bound: float = 8.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.bound = float(bound)

    def call(self, inputs):
        return self.bound * tf.tanh(inputs / self.bound)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bound": self.bound}


@_register
class LogDeviation(keras.layers.Layer):
    """The logarithm of one learnt standard deviation for all values of all examples (Rybkin et al. 2021, "sigma-VAE").

    Args:
        start: Initial standard deviation.
        floor: Value added to it, without which a decoder that has memorised a few examples would reach zero.

    Call: float [batch, ...] -> float32 [batch, 1]. The values of the input do not matter.
    """

    def __init__(self, start: float = 0.5, floor: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.floor = float(start), float(floor)

    def build(self, inputs_shape) -> None:
        self.value = self.add_weight(name="value", shape=(), initializer=keras.initializers.Constant(math.log(self.start)))
        super().build(inputs_shape)

    def call(self, inputs):
        value = tf.math.log(tf.exp(tf.cast(self.value, tf.float32)) + self.floor)
        return tf.fill([tf.shape(inputs)[0], 1], value)

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start, "floor": self.floor}
