"""Invertible layers of VITS (Kim, Kong and Son 2021): couplings of a latent, and the splines of its durations. All run both ways."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")

_BINS = 10  # of a spline
_BOUND = 5.0  # outside of [-bound, bound] it is the identity
_MIN_SIZE = _MIN_DERIVATIVE = 1e-3


def _glorot(seeds: np.random.Generator) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31)))


@_register
class GatedConvolutions(keras.layers.Layer):
    """WaveNet's layers without causality: convolution, tanh x sigmoid, 1x1 convolution to residual and skip (Prenger et al. 2019).

    Args:
        channels: Of input and output.
        kernel_size: Taps, odd.
        count: Layers.
        dropout: In front of each gate.
        seed: Of the first weights.

    Call: float [batch, steps, channels], mask float [batch, steps, 1] -> the sum of the skips, the same shape.
    """

    def __init__(self, channels: int, kernel_size: int, count: int, dropout: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.kernel_size, self.count, self.rate, self.seed = channels, kernel_size, count, dropout, seed
        seeds = np.random.default_rng(seed)
        conv = lambda width, taps: keras.layers.Conv1D(width, taps, padding="same", kernel_initializer=_glorot(seeds))
        self.gates = [conv(2 * channels, kernel_size) for _ in range(count)]
        self.ends = [conv(2 * channels if i < count - 1 else channels, 1) for i in range(count)]
        self.dropout = keras.layers.Dropout(dropout, seed=seed)

    def build(self, inputs_shape, mask_shape=None) -> None:
        for gate, end in zip(self.gates, self.ends, strict=True):
            gate.build((*inputs_shape[:-1], self.channels))
            end.build((*inputs_shape[:-1], self.channels))
        super().build(inputs_shape)

    def call(self, inputs, mask, training: bool = False):
        x, total = inputs, 0.0
        for number, (gate, end) in enumerate(zip(self.gates, self.ends, strict=True)):
            filtered, opened = tf.split(self.dropout(gate(x), training=training), 2, axis=-1)
            made = end(tf.tanh(filtered) * tf.sigmoid(opened))
            if number < self.count - 1:
                residual, made = tf.split(made, 2, axis=-1)
                x = (x + residual) * mask
            total += made
        return total * mask

    def compute_output_shape(self, inputs_shape, mask_shape=None):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "kernel_size": self.kernel_size, "count": self.count, "dropout": self.rate, "seed": self.seed}
        return {**super().get_config(), **own}


@_register
class CouplingFlow(keras.layers.Layer):
    """Couplings that shift half of the channels by what the other half says (Dinh et al. 2017, without scales), which then change places.

    Args:
        channels: Even.
        flows: Number of couplings.
        kernel_size, count: Of the `GatedConvolutions` of each.
        seed: Of the first weights.

    Call: float [batch, steps, channels], mask [batch, steps, 1] -> the same shape; `reverse` undoes it. The determinant is 1.
    """

    def __init__(self, channels: int, flows: int = 4, kernel_size: int = 5, count: int = 4, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.flows, self.kernel_size, self.count, self.seed = channels, flows, kernel_size, count, seed
        seeds = np.random.default_rng(seed)
        dense = lambda width, **options: keras.layers.Dense(width, **options)
        self.begins = [dense(channels, kernel_initializer=_glorot(seeds)) for _ in range(flows)]
        self.middles = [GatedConvolutions(channels, kernel_size, count, seed=int(seeds.integers(2**31))) for _ in range(flows)]
        self.shifts = [dense(channels // 2, kernel_initializer="zeros") for _ in range(flows)]

    def build(self, inputs_shape, mask_shape=None) -> None:
        shape = (*inputs_shape[:-1], self.channels)
        for begin, middle, shift in zip(self.begins, self.middles, self.shifts, strict=True):
            begin.build((*inputs_shape[:-1], self.channels // 2))
            middle.build(shape)
            shift.build(shape)
        super().build(inputs_shape)

    def call(self, inputs, mask, reverse: bool = False):
        x = inputs
        for number in range(self.flows - 1, -1, -1) if reverse else range(self.flows):
            x = tf.reverse(x, [-1]) if reverse else x
            first, second = tf.split(x, 2, axis=-1)
            shift = self.shifts[number](self.middles[number](self.begins[number](first) * mask, mask)) * mask
            x = tf.concat([first, (second - shift if reverse else second + shift) * mask], axis=-1)
            x = x if reverse else tf.reverse(x, [-1])
        return x

    def compute_output_shape(self, inputs_shape, mask_shape=None):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "flows": self.flows, "kernel_size": self.kernel_size, "count": self.count, "seed": self.seed}
        return {**super().get_config(), **own}


@_register
class SeparableConvolutions(keras.layers.Layer):
    """Dilated depthwise and 1x1 convolutions, each with norm and GELU, added to their input; dilations grow by the kernel size.

    Call: float [batch, steps, channels], mask [batch, steps, 1] -> the same shape.
    """

    def __init__(self, channels: int, kernel_size: int = 3, count: int = 3, dropout: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.kernel_size, self.count, self.rate, self.seed = channels, kernel_size, count, dropout, seed
        seeds = np.random.default_rng(seed)
        self.points = [keras.layers.Dense(channels, kernel_initializer=_glorot(seeds)) for _ in range(count)]
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(2 * count)]
        self.dropout = keras.layers.Dropout(dropout, seed=seed)
        self._seeds = [int(seeds.integers(2**31)) for _ in range(count)]

    def build(self, inputs_shape, mask_shape=None) -> None:
        shape = (*inputs_shape[:-1], self.channels)
        draw = lambda seed: keras.initializers.RandomNormal(stddev=self.kernel_size**-0.5, seed=seed)
        size = (self.kernel_size, self.channels)
        self.kernels = [self.add_weight(name=f"kernel_{i}", shape=size, initializer=draw(seed)) for i, seed in enumerate(self._seeds)]
        self.biases = [self.add_weight(name=f"bias_{i}", shape=(self.channels,), initializer="zeros") for i in range(self.count)]
        for part in (*self.points, *self.norms):
            part.build(shape)
        super().build(inputs_shape)

    def call(self, inputs, mask, training: bool = False):
        x, gelu = inputs, keras.activations.gelu
        for number in range(self.count):
            step = self.kernel_size**number
            y = self._depthwise(x * mask, number, step)
            y = gelu(self.norms[2 * number](y), approximate=False)
            y = gelu(self.norms[2 * number + 1](self.points[number](y)), approximate=False)
            x = x + self.dropout(y, training=training)
        return x * mask

    def _depthwise(self, x: tf.Tensor, number: int, step: int) -> tf.Tensor:
        """Shifted products: texts are short, and TensorFlow's dilated depthwise convolution has no gradient on the CPU."""
        reach = self.kernel_size // 2 * step
        padded, steps = tf.pad(x, [[0, 0], [reach, reach], [0, 0]]), tf.shape(x)[1]
        taps = [padded[:, tap * step : tap * step + steps] * self.kernels[number][tap] for tap in range(self.kernel_size)]
        return tf.ensure_shape(tf.add_n(taps) + self.biases[number], x.shape)

    def compute_output_shape(self, inputs_shape, mask_shape=None):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "kernel_size": self.kernel_size, "count": self.count, "dropout": self.rate, "seed": self.seed}
        return {**super().get_config(), **own}


@_register
class SplineFlow(keras.layers.Layer):
    """A flow of two numbers a step: a factor and a shift of both, then couplings in which a rational quadratic spline (Durkan et al. 2019),
    chosen by the first number and a condition, maps the second one; after each the numbers change places.

    Call: float [batch, steps, 2], mask [batch, steps, 1], condition [batch, steps, channels] -> (the same shape, the logarithm of the
    determinant [batch]). `reverse` undoes it and returns the numbers alone; then the first coupling is left out, as VITS leaves it out.
    """

    def __init__(self, channels: int, flows: int = 4, kernel_size: int = 3, count: int = 3, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.flows, self.kernel_size, self.count, self.seed = channels, flows, kernel_size, count, seed
        seeds = np.random.default_rng(seed)
        number = lambda: int(seeds.integers(2**31))
        self.begins = [keras.layers.Dense(channels, kernel_initializer=_glorot(seeds)) for _ in range(flows)]
        self.middles = [SeparableConvolutions(channels, kernel_size, count, seed=number()) for _ in range(flows)]
        self.splines = [keras.layers.Dense(3 * _BINS - 1, kernel_initializer="zeros") for _ in range(flows)]

    def build(self, inputs_shape, mask_shape=None, condition_shape=None) -> None:
        self.log_scale = self.add_weight(name="log_scale", shape=(2,), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(2,), initializer="zeros")
        shape = (*inputs_shape[:-1], self.channels)
        for begin, middle, spline in zip(self.begins, self.middles, self.splines, strict=True):
            begin.build((*inputs_shape[:-1], 1))
            middle.build(shape)
            spline.build(shape)
        super().build(inputs_shape)

    def call(self, inputs, mask, condition, reverse: bool = False):
        if reverse:
            return self._undone(inputs, mask, condition)
        x = (inputs * tf.exp(self.log_scale) + self.shift) * mask
        determinant = tf.reduce_sum(self.log_scale * mask, axis=[1, 2])
        for number in range(self.flows):
            first, second = tf.split(x, 2, axis=-1)
            second, slope = rational_quadratic(second, self._parameters(number, first, mask, condition))
            determinant += tf.reduce_sum(slope * mask, axis=[1, 2])
            x = tf.concat([second, first], axis=-1) * mask
        return x, determinant

    def _undone(self, x: tf.Tensor, mask: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        for number in range(self.flows - 1, 0, -1):
            second, first = tf.split(x, 2, axis=-1)
            second, _ = rational_quadratic(second, self._parameters(number, first, mask, condition), reverse=True)
            x = tf.concat([first, second], axis=-1) * mask
        x = tf.reverse(x, [-1])
        return (x - self.shift) * tf.exp(-self.log_scale) * mask

    def _parameters(self, number: int, first: tf.Tensor, mask: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        return self.splines[number](self.middles[number](self.begins[number](first) + condition, mask)) * mask

    def compute_output_shape(self, inputs_shape, mask_shape=None, condition_shape=None):
        return inputs_shape, (inputs_shape[0],)

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "flows": self.flows, "kernel_size": self.kernel_size, "count": self.count, "seed": self.seed}
        return {**super().get_config(), **own}


def rational_quadratic(x: tf.Tensor, parameters: tf.Tensor, reverse: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Map numbers by monotonic rational quadratic splines of ten bins on [-5, 5], the identity outside (Durkan et al. 2019, section 3.1).

    Args:
        x: float32 [..., 1].
        parameters: float32 [..., 29]: widths and heights of the bins before softmax, slopes between bins before softplus. All zero: the
            identity.
        reverse: Map the other way.

    Returns:
        The mapped numbers [..., 1], and the logarithms of the slopes of this direction [..., 1].
    """
    inside = tf.abs(x) <= _BOUND
    x_in = tf.clip_by_value(x, -_BOUND, _BOUND)
    width, height, slope = tf.split(parameters, [_BINS, _BINS, _BINS - 1], axis=-1)
    edges_x, edges_y = _edges(width), _edges(height)
    one = np.float32(np.log(np.expm1(1.0 - _MIN_DERIVATIVE)))  # slope 1 at both ends
    slopes = _MIN_DERIVATIVE + tf.nn.softplus(tf.pad(slope + one, [[0, 0]] * (len(x.shape) - 1) + [[1, 1]], constant_values=one))
    edges = edges_y if reverse else edges_x
    place = tf.clip_by_value(tf.reduce_sum(tf.cast(x_in >= edges[..., 1:-1], tf.int32), axis=-1, keepdims=True), 0, _BINS - 1)
    at = lambda table, offset=0: tf.gather(table, place + offset, batch_dims=len(x.shape) - 1, axis=-1)
    x0, w = at(edges_x), at(edges_x, 1) - at(edges_x)
    y0, h = at(edges_y), at(edges_y, 1) - at(edges_y)
    d0, d1, s = at(slopes), at(slopes, 1), h / w
    if reverse:
        y = x_in - y0
        a = y * (d0 + d1 - 2.0 * s) + h * (s - d0)
        b = h * d0 - y * (d0 + d1 - 2.0 * s)
        c = -s * y
        theta = 2.0 * c / (-b - tf.sqrt(tf.maximum(tf.square(b) - 4.0 * a * c, 0.0)))
        made = theta * w + x0
    else:
        theta = (x_in - x0) / w
        made = y0 + h * (s * tf.square(theta) + d0 * theta * (1.0 - theta)) / (s + (d0 + d1 - 2.0 * s) * theta * (1.0 - theta))
    below = s + (d0 + d1 - 2.0 * s) * theta * (1.0 - theta)
    top = tf.square(s) * (d1 * tf.square(theta) + 2.0 * s * theta * (1.0 - theta) + d0 * tf.square(1.0 - theta))
    log_slope = tf.math.log(top) - 2.0 * tf.math.log(below)
    log_slope = -log_slope if reverse else log_slope
    return tf.where(inside, made, x), tf.where(inside, log_slope, 0.0)


def _edges(sizes: tf.Tensor) -> tf.Tensor:
    """The edges of bins on [-bound, bound], float32 [..., bins + 1]."""
    sizes = _MIN_SIZE + (1.0 - _MIN_SIZE * _BINS) * tf.nn.softmax(sizes)
    inner = tf.cumsum(sizes, axis=-1)[..., :-1] * (2.0 * _BOUND) - _BOUND
    paddings = [[0, 0]] * (len(sizes.shape) - 1)
    return tf.pad(tf.pad(inner, [*paddings, [1, 0]], constant_values=-_BOUND), [*paddings, [0, 1]], constant_values=_BOUND)
