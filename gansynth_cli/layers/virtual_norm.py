"""Virtual batch normalisation (Salimans et al. 2016, "Improved techniques for training GANs", section 3.4), in the form that SEGAN uses.

A reference batch, chosen once and fixed, goes through the network in front of every batch: its statistics are always those under the
present weights, and gradients flow through them. So what is kept is the batch itself, as a weight that is not learnt; it is in every
checkpoint and `.keras` file, and a resumed or reloaded network normalises exactly as the first did.

The three layers belong together: `ReferenceBatch` puts the reference rows in front, `VirtualBatchNormalization` tells them apart from
the rest, `WithoutReference` takes them away.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


class _Rows(keras.layers.Layer):
    """A layer that has to know how many rows of its input are the reference batch."""

    def __init__(self, rows: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = int(rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


@_register
class ReferenceBatch(_Rows):
    """Puts the reference batch in front of a batch.

    Args:
        rows: Size of the reference batch.

    Call: float [batch, ...] -> float [rows + batch, ...].
    """

    def build(self, inputs_shape) -> None:
        # Noise, not zeros: a network that has seen no data yet still normalises by something.
        initializer = keras.initializers.RandomNormal(stddev=0.1, seed=0)
        self.reference = self.add_weight(
            name="reference_batch", shape=(self.rows, *inputs_shape[1:]), initializer=initializer, trainable=False, dtype="float32"
        )
        super().build(inputs_shape)

    def choose(self, reference: np.ndarray) -> None:
        """Fixes the reference batch, float32 [rows, ...]."""
        self.reference.assign(np.asarray(reference, np.float32))

    def call(self, inputs):
        return tf.concat([tf.cast(self.reference, inputs.dtype), inputs], axis=0)

    def compute_output_shape(self, inputs_shape):
        return (None, *inputs_shape[1:])


@_register
class WithoutReference(_Rows):
    """Takes the reference rows away: float [rows + batch, ...] -> float [batch, ...]."""

    def call(self, inputs):
        return inputs[self.rows :]

    def compute_output_shape(self, inputs_shape):
        return (None, *inputs_shape[1:])


@_register
class VirtualBatchNormalization(_Rows):
    """Normalises each channel by the reference batch and the batch itself.

    With B reference rows the batch counts as one row more: mean = m_new / (B + 1) + m_ref B / (B + 1), and likewise the mean square; the
    variance is the mean square less the mean squared. m_new is over batch and time, as in SEGAN's code (the paper of Salimans et al.
    has an example's own statistics there); under a distribution strategy over a replica's part. The reference rows are normalised by
    their own statistics alone. Then scale and shift, which start as N(1, .02) and 0.

    Args:
        rows: B.
        epsilon: Added to the variance.

    Call:
        inputs: float [rows + batch, time, channels].
        groups: int32 scalar: the batch is so many batches of equal size, one after the other, each normalised by itself (real and
            generated examples judged in one call).
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
        # E[x^2] - E[x]^2 of the mixture of both, written so that no difference of large numbers is taken.
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
