"""Layers of spectrum conversion networks: instance norm conditioned on a code, code projection, gated linear units."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ..signal.portable import is_portable

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class InstanceNorm(keras.layers.Layer):
    """Normalise each channel of each example over time (and all axes between batch and channels), then scale and shift.

    Args:
        window: Number of time steps, centred on each step, for the statistics; 0: all. The window is truncated at the ends, so that a
            segment with `window // 2` steps of context has the statistics of the whole.
        statistics: False omits the normalisation: scale and shift only.
        seed: Seed of the initial weights.

    Call:
        inputs: float [batch, time, ..., channels]; with a window [batch, time, channels].
        code: float [batch, n], optional: scale and shift are linear in it (StarGAN-VC2, Kaneko et al. 2019, section 3.2). Without it they
            are weights.
    """

    def __init__(self, window: int = 0, statistics: bool = True, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.window, self.statistics, self.seed = int(window), bool(statistics), seed

    def build(self, inputs_shape, code_shape=None) -> None:
        channels = inputs_shape[-1]
        self.scale = self.add_weight(name="scale", shape=(channels,), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(channels,), initializer="zeros")
        self.kernel = None
        if code_shape is not None:
            # Not zero, so that the domains differ from the first step.
            initializer = keras.initializers.RandomNormal(stddev=0.05, seed=self.seed)
            self.kernel = self.add_weight(name="kernel", shape=(code_shape[-1], 2 * channels), initializer=initializer)
        super().build(inputs_shape)

    def call(self, inputs, code=None):
        values = tf.cast(inputs, tf.float32)
        if self.statistics:
            if self.window:
                mean, square = windowed_mean(values, self.window), windowed_mean(tf.square(values), self.window)
                variance = tf.maximum(square - tf.square(mean), 0.0)
            else:
                mean, variance = tf.nn.moments(values, list(range(1, len(inputs.shape) - 1)), keepdims=True)
            values = (values - mean) * tf.math.rsqrt(variance + 1e-5)
        scale, shift = tf.cast(self.scale, tf.float32), tf.cast(self.shift, tf.float32)
        if self.kernel is not None:
            both = tf.matmul(tf.cast(code, tf.float32), tf.cast(self.kernel, tf.float32))
            both = tf.reshape(both, [-1] + [1] * (len(inputs.shape) - 2) + [2 * inputs.shape[-1]])
            more_scale, more_shift = tf.split(both, 2, axis=-1)
            scale, shift = scale + more_scale, shift + more_shift
        return tf.cast(values * scale + shift, inputs.dtype)

    def compute_output_shape(self, inputs_shape, code_shape=None):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window, "statistics": self.statistics, "seed": self.seed}


@_register
class OverTime(keras.layers.Layer):
    """Concatenate a code [batch, n] to every step of [batch, time, channels]: float [batch, time, channels + n]."""

    def call(self, inputs, code):
        repeated = tf.repeat(tf.cast(code, inputs.dtype)[:, None], tf.shape(inputs)[1], axis=1)
        return tf.ensure_shape(tf.concat([inputs, repeated], axis=-1), self.compute_output_shape(inputs.shape, code.shape))

    def compute_output_shape(self, inputs_shape, code_shape):
        return (*inputs_shape[:-1], inputs_shape[-1] + code_shape[-1])


@_register
class CodeProjection(keras.layers.Layer):
    """Inner products of features [batch, ..., channels] with a vector that is linear in the code: float32 [batch, ..., 1] (Miyato and
    Koyama 2018; for source and target in StarGAN-VC2). It starts at zero: the discriminator starts unconditional."""

    def build(self, features_shape, code_shape) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(code_shape[-1], features_shape[-1]), initializer="zeros")
        super().build(features_shape)

    def call(self, features, code):
        vector = tf.matmul(tf.cast(code, features.dtype), tf.cast(self.kernel, features.dtype))
        vector = tf.reshape(vector, [-1] + [1] * (len(features.shape) - 2) + [features.shape[-1]])
        return tf.reduce_sum(tf.cast(features * vector, tf.float32), axis=-1, keepdims=True)

    def compute_output_shape(self, features_shape, code_shape):
        return (*features_shape[:-1], 1)


@_register
class GatedLinearUnit(keras.layers.Layer):
    """The first half of the channels times the sigmoid of the second (Dauphin et al. 2017)."""

    def call(self, inputs):
        values, gates = tf.split(inputs, 2, axis=-1)
        return values * tf.sigmoid(gates)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], inputs_shape[-1] // 2)


def windowed_mean(values: tf.Tensor, window: int) -> tf.Tensor:
    """Return the mean over the existing steps t - window // 2 ... t + window // 2: float32 [batch, time, channels]."""
    half = window // 2
    time = values.shape[1] if values.shape[1] is not None else tf.shape(values)[1]
    # Without the mean, the running sum stays small, and so does its rounding error.
    centre = tf.reduce_mean(values, axis=1, keepdims=True)
    sums = tf.pad(tf.cumsum(values - centre, axis=1), [[0, 0], [1, 0], [0, 0]])
    place = tf.range(time)
    first, last = tf.maximum(place - half, 0), tf.minimum(place + half + 1, time)
    if is_portable():  # shorter, but its gradient is slow on a CPU
        upper, lower = (tf.gather(sums, at, axis=1) for at in (last, first))
        return (upper - lower) / tf.cast(last - first, tf.float32)[:, None] + centre
    upper = tf.concat([sums, tf.repeat(sums[:, -1:], half, axis=1)], axis=1)[:, half + 1 : half + 1 + time]
    upper = tf.concat([upper, tf.repeat(sums[:, -1:], tf.maximum(time - tf.shape(upper)[1], 0), axis=1)], axis=1)
    lower = tf.pad(sums, [[0, 0], [half, 0], [0, 0]])[:, :time]
    return tf.ensure_shape((upper - lower) / tf.cast(last - first, tf.float32)[:, None] + centre, values.shape)
