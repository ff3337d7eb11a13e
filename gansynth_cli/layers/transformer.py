"""Self-attention with and without relative positions, and scaled sinusoids."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")
_MASKED = -1e4


@_register
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product self-attention (Vaswani et al. 2017, section 3.2).

    Args:
        heads: They divide the channels.
        window: Steps on either side with learnt embeddings of the relative position, added to keys and values (Shaw et al. 2018), shared by
            the heads, as in VITS; 0: none.
        dropout: Of the weights.
        seed: Of the first weights and of the dropout.

    Call: float [batch, steps, channels], there float32 [batch, steps, 1] (0: is not attended to) -> the first one's shape.
    """

    def __init__(self, heads: int, window: int = 0, dropout: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads, self.window, self.rate, self.seed = heads, window, dropout, seed
        self.dropout = keras.layers.Dropout(dropout, seed=seed)

    def build(self, inputs_shape, there_shape=None) -> None:
        channels = inputs_shape[-1]
        if channels % self.heads:
            raise ValueError(f"{channels} channels are not a multiple of {self.heads} heads")
        seeds = np.random.default_rng(self.seed)
        draw = lambda kind, **options: kind(seed=int(seeds.integers(2**31)), **options)
        glorot, normal = keras.initializers.GlorotUniform, keras.initializers.RandomNormal
        self.kernels = [self.add_weight(name=f"{name}_kernel", shape=(channels, channels), initializer=draw(glorot)) for name in "qkvo"]
        self.biases = [self.add_weight(name=f"{name}_bias", shape=(channels,), initializer="zeros") for name in "qkvo"]
        size = channels // self.heads
        shape, relative = (2 * self.window + 1, size), {"stddev": size**-0.5}
        self.relative = [
            self.add_weight(name=f"relative_{name}", shape=shape, initializer=draw(normal, **relative)) for name in "kv" if self.window
        ]
        super().build(inputs_shape)

    def call(self, inputs, there, training: bool = False):
        batch, steps = tf.shape(inputs)[0], tf.shape(inputs)[1]
        channels, size = inputs.shape[-1], inputs.shape[-1] // self.heads
        project = lambda x, i: tf.matmul(x, tf.cast(self.kernels[i], x.dtype)) + tf.cast(self.biases[i], x.dtype)
        apart = lambda x: tf.transpose(tf.reshape(x, [batch, steps, self.heads, size]), [0, 2, 1, 3])
        query, key, value = (apart(project(inputs, i)) for i in range(3))
        query *= size**-0.5
        scores = tf.matmul(query, key, transpose_b=True)
        if self.window:
            near = self._near(steps, inputs.dtype)
            places = tf.matmul(query, tf.cast(self.relative[0], inputs.dtype), transpose_b=True)
            scores += tf.einsum("bhsp,stp->bhst", places, near)
        mask = tf.cast(there, scores.dtype)[:, None, None, :, 0]
        weights = self.dropout(tf.nn.softmax(scores + _MASKED * (1.0 - mask)), training=training)
        made = tf.matmul(weights, value)
        if self.window:
            made += tf.matmul(tf.einsum("bhst,stp->bhsp", weights, near), tf.cast(self.relative[1], inputs.dtype))
        return project(tf.reshape(tf.transpose(made, [0, 2, 1, 3]), [batch, steps, channels]), 3)

    def _near(self, steps: tf.Tensor, dtype: Any) -> tf.Tensor:
        """[steps, steps, 2 window + 1]: 1 where the second step lies so far from the first."""
        distance = tf.range(steps)[None] - tf.range(steps)[:, None]
        return tf.one_hot(tf.where(tf.abs(distance) <= self.window, distance + self.window, -1), 2 * self.window + 1, dtype=dtype)

    def compute_output_shape(self, inputs_shape, there_shape=None):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "window": self.window, "dropout": self.rate, "seed": self.seed}


@_register
class ScaledPositions(keras.layers.Layer):
    """Add sinusoids of the position, times a learnt factor (Li et al. 2019, "Neural speech synthesis with Transformer network"): float
    [batch, steps, channels] -> the same shape."""

    def build(self, inputs_shape) -> None:
        self.factor = self.add_weight(name="factor", shape=(), initializer="ones")
        super().build(inputs_shape)

    def call(self, inputs):
        channels = inputs.shape[-1]
        rates = tf.constant(np.exp(-np.log(1e4) * np.arange(0, channels, 2) / channels), tf.float32)
        angles = tf.cast(tf.range(tf.shape(inputs)[1]), tf.float32)[:, None] * rates
        table = tf.reshape(tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1), [-1, 2 * rates.shape[0]])[:, :channels]
        return inputs + tf.cast(self.factor, inputs.dtype) * tf.cast(table, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape


@_register
class GaussianUpsampling(keras.layers.Layer):
    """Frames as means of tokens, weighted by softmax(-0.1 (t - c)^2) of the distance from the middle c of each (Donahue et al. 2021, EATS).

    Call: hidden float [batch, tokens, channels], durations float32 [batch, tokens] (frames), there float32 [batch, tokens, 1], inside
    float32 [batch, frames, 1] -> [batch, frames, channels], 0 outside.
    """

    def call(self, hidden, durations, there, inside):
        middle = tf.cumsum(durations, axis=1) - durations / 2.0
        frames = tf.cast(tf.range(tf.shape(inside)[1]), tf.float32)
        score = -0.1 * tf.square(frames[None, :, None] - middle[:, None])
        mask = there[:, None, :, 0]
        weights = tf.nn.softmax(tf.maximum(score, _MASKED) * mask + 2.0 * _MASKED * (1.0 - mask))
        return tf.matmul(tf.cast(weights, hidden.dtype), hidden) * tf.cast(inside, hidden.dtype)

    def compute_output_shape(self, hidden_shape, durations_shape=None, there_shape=None, inside_shape=None):
        return (hidden_shape[0], inside_shape[1], hidden_shape[2])


@_register
class NegativeDistance(keras.layers.Layer):
    """Return the logarithm of softmax(-|f - t|) over the tokens: frames float [batch, frames, channels], tokens [batch, tokens, channels],
    there float32 [batch, tokens, 1] -> float32 [batch, frames, tokens]."""

    def call(self, frames, tokens, there):
        square = (
            tf.reduce_sum(tf.square(frames), -1)[..., None]
            + tf.reduce_sum(tf.square(tokens), -1)[:, None]
            - 2.0 * tf.matmul(frames, tokens, transpose_b=True)
        )
        score = -tf.sqrt(tf.maximum(square, 1e-6))  # the root's gradient at 0 is infinite
        return tf.nn.log_softmax(tf.where(there[:, None, :, 0] > 0, score, _MASKED))

    def compute_output_shape(self, frames_shape, tokens_shape=None, there_shape=None):
        return (frames_shape[0], frames_shape[1], tokens_shape[1])
