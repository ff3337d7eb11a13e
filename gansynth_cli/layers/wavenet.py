"""Layers of WaveNet (van den Oord et al. 2016): embedded classes of earlier samples, gated dilated convolutions, upsampled conditions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal.mulaw import silence_class

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class EarlierSamples(keras.layers.Layer):
    """The sum of the embeddings of the classes of the step before, one table for each sub-band: a 1x1 convolution of one-hot vectors.

    Args:
        classes: Classes of a sample.
        bands: Sub-bands.
        width: Numbers of an embedding.
        seed: Of the first weights.

    Call: int32 [batch, steps, bands] -> float32 [batch, steps, width]; before the first step there is silence.
    """

    def __init__(self, classes: int, bands: int, width: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes, self.bands, self.width, self.seed = classes, bands, width, seed
        # r9y9's deviation is that of a 1x1 convolution with as many inputs as there are classes, of which one is 1: an embedding of 1/16.
        initializer = keras.initializers.RandomNormal(stddev=classes**-0.5, seed=seed)
        self.kernel = self.add_weight(name="kernel", shape=(bands * classes, width), initializer=initializer)
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")

    def call(self, numbers):
        before = tf.pad(numbers[:, :-1], [[0, 0], [1, 0], [0, 0]], constant_values=silence_class(self.classes))
        rows = before + tf.constant(np.arange(self.bands) * self.classes, tf.int32)
        table = tf.convert_to_tensor(self.kernel)
        return tf.add_n([tf.gather(table, rows[..., band]) for band in range(self.bands)]) + tf.convert_to_tensor(self.bias)

    def compute_output_shape(self, shape):
        return (*shape[:2], self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "bands": self.bands, "width": self.width, "seed": self.seed}


@_register
class GatedResidual(keras.layers.Layer):
    """tanh x sigmoid of a causal dilated convolution, to which a condition is added inside the gate (van den Oord et al. 2016, eq. 2, 3);
    then 1x1 convolutions to the residual path, times sqrt(0.5) as in r9y9's code, and to the skip path.

    Args:
        gate: Channels before the gate, twice those behind it.
        skip: Channels of the skip path.
        kernel_size, dilation: Of the convolution.
        last: Whether nothing follows on the residual path, so that it has no weights.
        seed: Of the first weights.

    Call: float [batch, steps, channels], and the condition [batch, steps or 1, size] or None -> (residual, skip).
    """

    def __init__(self, gate: int, skip: int, kernel_size: int, dilation: int, last: bool = False, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.gate, self.skip, self.kernel_size, self.dilation = gate, skip, kernel_size, dilation
        self.last, self.seed = last, seed

    def build(self, inputs_shape, condition_shape=None) -> None:
        channels, half = inputs_shape[-1], self.gate // 2
        numbers = iter(range(4))

        def draw(fan_in: int) -> keras.initializers.Initializer:
            seed = None if self.seed is None else (self.seed + 7919 * next(numbers)) % 2**31
            return keras.initializers.RandomNormal(stddev=fan_in**-0.5, seed=seed)

        weight = lambda name, size, fan_in: self.add_weight(name=name, shape=size, initializer=draw(fan_in))
        self.kernel = weight("kernel", (self.kernel_size * channels, self.gate), self.kernel_size * channels)
        self.bias = self.add_weight(name="bias", shape=(self.gate,), initializer="zeros")
        size = condition_shape[-1] if condition_shape else 0
        self.condition_kernel = weight("condition_kernel", (size, self.gate), size) if size else None
        self.skip_kernel = weight("skip_kernel", (half, self.skip), half)
        self.skip_bias = self.add_weight(name="skip_bias", shape=(self.skip,), initializer="zeros")
        if not self.last:
            self.residual_kernel = weight("residual_kernel", (half, channels), half)
            self.residual_bias = self.add_weight(name="residual_bias", shape=(channels,), initializer="zeros")
        super().build(inputs_shape)

    def call(self, inputs, condition=None):
        cast = lambda value: tf.cast(value, inputs.dtype)
        steps = inputs.shape[1] if inputs.shape[1] is not None else tf.shape(inputs)[1]
        padded = tf.pad(inputs, [[0, 0], [(self.kernel_size - 1) * self.dilation, 0], [0, 0]])
        # Shifted copies beside each other and one product: TensorFlow's dilated convolution has no gradient on the CPU.
        taps = [padded[:, tap * self.dilation : tap * self.dilation + steps] for tap in range(self.kernel_size)]
        x = tf.matmul(tf.concat(taps, axis=-1), cast(self.kernel)) + cast(self.bias)
        if condition is not None:
            x += tf.matmul(cast(condition), cast(self.condition_kernel))
        filtered, gate = tf.split(x, 2, axis=-1)
        x = tf.tanh(filtered) * tf.sigmoid(gate)
        skip = tf.matmul(x, cast(self.skip_kernel)) + cast(self.skip_bias)
        if self.last:
            return inputs, skip
        return (inputs + tf.matmul(x, cast(self.residual_kernel)) + cast(self.residual_bias)) * 0.5**0.5, skip

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        return inputs_shape, (*inputs_shape[:2], self.skip)

    def get_config(self) -> dict[str, Any]:
        own = ("gate", "skip", "kernel_size", "dilation", "last", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@_register
class UpsampledFrames(keras.layers.Layer):
    """Frames to steps, as r9y9's ConvInUpsampleNetwork: a convolution over frames without a bias, then for each factor nearest-neighbour
    repetition and one filter of 2 factor + 1 taps that all channels share.

    Args:
        channels: Channels of the result.
        factors: Their product is the steps of a frame.
        reach: Frames on either side that the convolution reads.
        seed: Of the first weights.

    Call: float [batch, frames, bands] -> [batch, frames * prod(factors), channels].
    """

    def __init__(self, channels: int, factors, reach: int = 2, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.factors, self.reach, self.seed = channels, tuple(int(one) for one in factors), reach, seed

    def build(self, shape) -> None:
        taps = 2 * self.reach + 1
        initializer = keras.initializers.RandomNormal(stddev=(taps * shape[-1]) ** -0.5, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(taps, shape[-1], self.channels), initializer=initializer)
        self.filters = [
            self.add_weight(name=f"filter_{i}", shape=(2 * s + 1,), initializer=keras.initializers.Constant(1.0 / (2 * s + 1)))
            for i, s in enumerate(self.factors)
        ]
        super().build(shape)

    def call(self, frames):
        x = tf.nn.conv1d(frames, tf.cast(self.kernel, frames.dtype), 1, "SAME")
        for factor, taps in zip(self.factors, self.filters, strict=True):
            # A step sees the repetitions of its own frame and of both neighbours: one small product in place of `factor` times the work.
            weights = tf.reshape(tf.linalg.matvec(tf.constant(_taps_of_frames(factor), x.dtype), tf.cast(taps, x.dtype)), [factor, 3])
            padded = tf.pad(x, [[0, 0], [1, 1], [0, 0]])
            around = tf.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=2)
            x = tf.reshape(tf.matmul(weights, around), [tf.shape(x)[0], -1, self.channels])
        return x

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] * int(np.prod(self.factors)), self.channels)

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "factors": list(self.factors), "reach": self.reach, "seed": self.seed}
        return {**super().get_config(), **own}


def _taps_of_frames(factor: int) -> np.ndarray:
    """float32 [3 factor, 2 factor + 1]: 1 where a tap of the filter at step j of a frame reads the frame before, this one, or the next."""
    found = np.zeros((factor, 3, 2 * factor + 1), np.float32)
    for step in range(factor):
        for tap in range(2 * factor + 1):
            found[step, (step + tap - factor) // factor + 1, tap] = 1.0
    return found.reshape(3 * factor, -1)
