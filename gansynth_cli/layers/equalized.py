"""Layers with an equalised learning rate: weights start as N(0, 1) and are scaled at run time (Karras et al. 2018, section 4.1).

An optimizer that normalises its steps, such as Adam, then changes all layers equally fast, whatever their fan-in."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


class _Equalized(keras.layers.Layer):
    """Args: filters: outputs. seed: seed of the weights. fan_in: the number in the scale sqrt(2 / fan_in); 0: the kernel's own."""

    def __init__(self, filters: int, seed: int | None = None, fan_in: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.seed, self.fan_in = int(filters), seed, int(fan_in)

    def _add(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed))
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.scale = math.sqrt(2.0 / (self.fan_in or math.prod(shape[:-1])))

    def _weights(self):
        return tf.cast(self.kernel, self.compute_dtype) * tf.cast(self.scale, self.compute_dtype), tf.cast(self.bias, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "seed": self.seed, "fan_in": self.fan_in}


@_register
class EqualizedConv2D(_Equalized):
    """Convolution of stride 1: float [batch, height, width, channels] -> [batch, height, width, filters] with padding "same"."""

    def __init__(self, filters: int, kernel_size: tuple[int, int] | int, padding: Literal["same", "valid"] = "same", **kwargs: Any):
        super().__init__(filters, **kwargs)
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.padding = padding

    def build(self, inputs_shape) -> None:
        self._add((*self.kernel_size, inputs_shape[-1], self.filters))
        super().build(inputs_shape)

    def call(self, inputs):
        kernel, bias = self._weights()
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, self.padding.upper()), bias)

    def compute_output_shape(self, inputs_shape):
        height, width = inputs_shape[1:3]
        if self.padding == "valid":
            height, width = height - self.kernel_size[0] + 1, width - self.kernel_size[1] + 1
        return (inputs_shape[0], height, width, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": list(self.kernel_size), "padding": self.padding}


@_register
class EqualizedDense(_Equalized):
    """Dense layer: float [batch, n] -> [batch, filters]."""

    def build(self, inputs_shape) -> None:
        self._add((inputs_shape[-1], self.filters))
        super().build(inputs_shape)

    def call(self, inputs):
        kernel, bias = self._weights()
        return tf.matmul(inputs, kernel) + bias

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], self.filters)


@_register
class EqualizedStart(_Equalized):
    """The first layer of a progressive generator: float [batch, n] -> [batch, height, width, filters].

    Karras et al. pad the vector, an image of one pixel, with zeros and convolve it with a kernel of height x width, VALID. Each output
    then depends on that pixel through one tap, and each tap is used once: this layer is that product without the zeros. A tap is stored
    at its output (the paper's kernel, flipped).
    """

    def __init__(self, filters: int, size: tuple[int, int], **kwargs: Any):
        super().__init__(filters, **kwargs)
        self.size = tuple(size)

    def build(self, inputs_shape) -> None:
        self._add((*self.size, inputs_shape[-1], self.filters))
        super().build(inputs_shape)

    def call(self, inputs):
        kernel, bias = self._weights()
        return tf.einsum("bn,hwnf->bhwf", inputs, kernel) + bias

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], *self.size, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size)}
