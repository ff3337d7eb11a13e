"""Virtual batch normalisation (Salimans et al. 2016, "Improved techniques for training GANs", section 3.4), as in SEGAN.

A fixed reference batch passes through the network in front of every batch: its statistics always belong to the current weights, and
gradients flow through them. The batch itself is therefore stored, as a weight that is not trained; it is in every checkpoint and
`.keras` file, so a resumed or reloaded network normalises identically.

The three layers belong together: `ReferenceBatch` prepends the reference rows, `VirtualBatchNormalization` distinguishes them from the
rest, `WithoutReference` removes them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


class _Rows(keras.layers.Layer):
    """A layer with the number of rows of its input that are the reference batch."""

    def __init__(self, rows: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = int(rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


@_register
class ReferenceBatch(_Rows):
    """Prepend the reference batch to a batch.

    Args:
        rows: Size of the reference batch.

    Call: float [batch, ...] -> float [rows + batch, ...].
    """

    def build(self, inputs_shape) -> None:
        # Noise, not zeros, so that a network without data still has a variance to normalise by.
        initializer = keras.initializers.RandomNormal(stddev=0.1, seed=0)
        self.reference = self.add_weight(
            name="reference_batch", shape=(self.rows, *inputs_shape[1:]), initializer=initializer, trainable=False, dtype="float32"
        )
        super().build(inputs_shape)

    def choose(self, reference: np.ndarray) -> None:
        """Set the reference batch, float32 [rows, ...]."""
        self.reference.assign(np.asarray(reference, np.float32))

    def call(self, inputs):
        return tf.concat([tf.cast(self.reference, inputs.dtype), inputs], axis=0)

    def compute_output_shape(self, inputs_shape):
        return (None, *inputs_shape[1:])


@_register
class WithoutReference(_Rows):
    """Remove the reference rows: float [rows + batch, ...] -> float [batch, ...]."""

    def call(self, inputs):
        return inputs[self.rows :]

    def compute_output_shape(self, inputs_shape):
        return (None, *inputs_shape[1:])


@_register
class VirtualBatchNormalization(_Rows):
    """Normalise each channel by the reference batch and the batch itself.

    With B reference rows the batch counts as one row more: mean = m_new / (B + 1) + m_ref B / (B + 1), and likewise the mean square; the
    variance is the mean square less the mean squared. m_new is over batch and time, as in SEGAN's code (Salimans et al. take the
    statistics of one example there); with a distribution strategy, over a replica's part. The reference rows are normalised by their own
    statistics alone. Scale and shift follow, initially N(1, 0.02) and 0.

    Args:
        rows: Size B of the reference batch.
        epsilon: Value added to the variance.

    Call:
        inputs: float [rows + batch, time, channels].
        groups: int32 scalar: number of equal, consecutive batches in the input, each normalised by itself (real and generated
            examples in one call).
    """

    def __init__(self, rows: int, epsilon: float = 1e-5, seed: int | None = None, **kwargs: Any):
        super().__init__(rows, **kwargs)
        self.epsilon, self.seed = float(epsilon), seed

    def build(self, inputs_shape, *_) -> None:
        channels = inputs_shape[-1]
        initializer = keras.initializers.RandomNormal(mean=1.0, stddev=0.02, seed=self.seed)
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer=initializer, dtype="float32")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros", dtype="float32")
        super().build(inputs_shape)

    def call(self, inputs, groups):
        values = tf.cast(inputs, tf.float32)
        steps, channels = values.shape[1], values.shape[2]
        reference, batch = values[: self.rows], values[self.rows :]
        mean_r, variance_r = tf.nn.moments(reference, axes=[0, 1])
        new = tf.reshape(batch, tf.stack([groups, -1, channels]))
        mean_n, variance_n = tf.nn.moments(new, axes=[1], keepdims=True)
        # E[x^2] - E[x]^2 of the mixture of both, without a difference of large numbers.
        weight = 1.0 / (self.rows + 1.0)
        mean = weight * mean_n + (1.0 - weight) * mean_r
        variance = weight * variance_n + (1.0 - weight) * variance_r + weight * (1.0 - weight) * tf.square(mean_n - mean_r)
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        scale_r = self.gamma * tf.math.rsqrt(variance_r + self.epsilon)
        normalized = tf.reshape(new * scale + (self.beta - mean * scale), tf.stack([-1, steps, channels]))
        normalized_r = reference * scale_r + (self.beta - mean_r * scale_r)
        return tf.cast(tf.concat([normalized_r, normalized], axis=0), inputs.dtype)

    def compute_output_shape(self, inputs_shape, *_):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "seed": self.seed}
