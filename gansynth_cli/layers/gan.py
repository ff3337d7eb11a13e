"""Layers shared by several adversarial families. All are registered, so that a `.keras` file loads anywhere."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class PhaseShuffle(keras.layers.Layer):
    """Shift a feature map along time by a few steps, mirrored at the edge (Donahue et al. 2019, section 3.3).

    The shift is an input rather than drawn inside: a resumed run draws the same, and a gather with computed indices has the
    second-order gradient that WGAN-GP needs with XLA, which a slice with a random start lacks. Its output equals reflect padding plus
    a slice bit for bit.

    Args:
        radius: Maximum shift in steps; the feature map must be longer.

    Call:
        inputs: float [batch, time, channels].
        shift: int32 scalar in [-radius, radius]: 1 moves the sound one step later. One for the whole batch.
    """

    def __init__(self, radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = int(radius)

    def build(self, inputs_shape, *_) -> None:
        if inputs_shape[1] is not None and inputs_shape[1] <= self.radius:
            raise ValueError(f"phase shuffle of radius {self.radius} needs more than {inputs_shape[1]} steps")
        super().build(inputs_shape)

    def call(self, inputs, shift):
        last = (inputs.shape[1] or tf.shape(inputs)[1]) - 1
        index = tf.abs(tf.range(last + 1) - tf.cast(shift, tf.int32))
        index = last - tf.abs(last - index)
        return tf.gather(inputs, index, axis=1)

    def compute_output_shape(self, inputs_shape, *_):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "radius": self.radius}


@_register
class LabelProjection(keras.layers.Layer):
    """The conditional part of a discriminator's logit: <embedding(label), features> (Miyato and Koyama 2018).

    Args:
        labels: Number of classes.

    Call:
        features: float [batch, n]; label: int [batch]. Returns float32 [batch, 1], to be added to the unconditional logit.

    The embedding starts at zero: the discriminator starts unconditional and learns the classes where they help. With a random start
    the term would be noise of the size of the logit.
    """

    def __init__(self, labels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.labels = int(labels)

    def build(self, features_shape, *_) -> None:
        self.embedding = self.add_weight(name="embedding", shape=(self.labels, features_shape[-1]), initializer="zeros")
        super().build(features_shape)

    def call(self, features, label):
        # A product with a one-hot matrix, not a gather: the sparse gradient of a gather would be made dense by global-norm clipping
        # and gradient sums over replicas anyway.
        rows = tf.matmul(tf.one_hot(label, self.labels, dtype=features.dtype), tf.cast(self.embedding, features.dtype))
        return tf.reduce_sum(tf.cast(features * rows, tf.float32), axis=-1, keepdims=True)

    def compute_output_shape(self, features_shape, *_):
        return (features_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "labels": self.labels}


@_register
class LabelEmbedding(keras.layers.Layer):
    """Embed label int [batch] as float [batch, width], initially N(0, 1): of the size of the latent vector beside it."""

    def __init__(self, labels: int, width: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.labels, self.width, self.seed = int(labels), int(width), seed

    def build(self, label_shape) -> None:
        initializer = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.embedding = self.add_weight(name="embedding", shape=(self.labels, self.width), initializer=initializer)
        super().build(label_shape)

    def call(self, label):
        return tf.matmul(tf.one_hot(label, self.labels, dtype=self.compute_dtype), tf.cast(self.embedding, self.compute_dtype))

    def compute_output_shape(self, label_shape):
        return (*label_shape, self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "labels": self.labels, "width": self.width, "seed": self.seed}


@_register
class Modulation(keras.layers.Layer):
    """x (1 + scale(c)) + shift(c), one scale and shift per channel (FiLM; Perez et al. 2018), without batch statistics.

    Call:
        inputs: float [batch, ..., channels]; condition: float [batch, n], from latent and label.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, inputs_shape, condition_shape) -> None:
        # Not zero: with an exact identity the condition would initially reach the output only through the first layer.
        initializer = keras.initializers.RandomNormal(stddev=0.05, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(condition_shape[-1], 2 * inputs_shape[-1]), initializer=initializer)
        self.bias = self.add_weight(name="bias", shape=(2 * inputs_shape[-1],), initializer="zeros")
        super().build(inputs_shape)

    def call(self, inputs, condition):
        both = tf.matmul(condition, tf.cast(self.kernel, condition.dtype)) + tf.cast(self.bias, condition.dtype)
        both = tf.reshape(both, [-1] + [1] * (len(inputs.shape) - 2) + [2 * inputs.shape[-1]])
        scale, shift = tf.split(both, 2, axis=-1)
        return inputs * (1.0 + scale) + shift

    def compute_output_shape(self, inputs_shape, *_):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@_register
class MinibatchStddev(keras.layers.Layer):
    """Append one channel: the standard deviation within a part of the batch (Karras et al. 2018, section 3).

    It lets a discriminator detect that generated examples are all alike. The parts are groups of `group` examples or, with labels, the
    examples of one class: a conditional generator that makes one clip per class has much variety in a batch but none within a class. The
    comparison is fair because generated batches have the labels of real ones; a class that occurs once gives 0 for both.

    Args:
        group: Number of examples in a group without labels; if the batch is not a multiple, the largest smaller divisor of the batch.
        labels: Number of classes; 0 groups by position in the batch.
        per_position: Keep a map over positions, averaged over channels only. The paper's is one number, averaged over both.
        epsilon: Value added to the variance before the root. Karras et al.: 1e-8, GANSynth's code: 1e-6.

    Call:
        inputs: float [batch, ..., channels]; label: int [batch] if `labels`. Returns float [batch, ..., channels + 1].

    With a distribution strategy the parts are within a replica.
    """

    def __init__(self, group: int = 4, labels: int = 0, per_position: bool = False, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(**kwargs)
        self.group, self.labels, self.per_position, self.epsilon = int(group), int(labels), bool(per_position), float(epsilon)

    def call(self, inputs, label=None):
        values = tf.cast(inputs, tf.float32)
        rank = len(inputs.shape)
        deviation = self._by_label(values, label) if self.labels else self._by_group(values)
        if not self.per_position:
            deviation = tf.reduce_mean(deviation, axis=list(range(1, rank)), keepdims=True)
        return tf.concat([inputs, tf.ones_like(inputs[..., :1]) * tf.cast(deviation, inputs.dtype)], axis=-1)

    def _by_group(self, values):
        """Return the mean over channels of the standard deviation in the example's group: [batch, ..., 1]."""
        shape = tf.shape(values)
        if values.shape[0] is not None:  # XLA needs the shape of a reshape at compile time
            group = max(size for size in range(1, self.group + 1) if values.shape[0] % size == 0)
        else:
            sizes = tf.range(1, self.group + 1)
            group = tf.reduce_max(tf.where(shape[0] % sizes == 0, sizes, 1))
        grouped = tf.reshape(values, tf.concat([[group, -1], shape[1:]], axis=0))
        variance = tf.reduce_mean(tf.square(grouped - tf.reduce_mean(grouped, axis=0, keepdims=True)), axis=0)
        deviation = tf.reduce_mean(tf.sqrt(variance + self.epsilon), axis=-1, keepdims=True)
        return tf.tile(deviation, tf.concat([[group], tf.ones_like(shape[1:])], axis=0))

    def _by_label(self, values, label):
        member = tf.one_hot(label, self.labels, dtype=tf.float32)
        counts = tf.maximum(tf.reduce_sum(member, axis=0), 1.0)[:, None]
        shape = tf.shape(values)
        flat = tf.reshape(values, [shape[0], -1])
        centred = flat - tf.matmul(member, tf.matmul(member, flat, transpose_a=True) / counts)
        variance = tf.matmul(member, tf.square(centred), transpose_a=True) / counts
        deviation = tf.reshape(tf.sqrt(variance + self.epsilon), tf.concat([[self.labels], shape[1:]], axis=0))
        deviation = tf.reduce_mean(deviation, axis=-1, keepdims=True)
        own = tf.matmul(member, tf.reshape(deviation, [self.labels, -1]))
        return tf.reshape(own, tf.concat([shape[:-1], [1]], axis=0))

    def compute_output_shape(self, inputs_shape, *_):
        return (*inputs_shape[:-1], inputs_shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        names = ("group", "labels", "per_position", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@_register
class PixelNorm(keras.layers.Layer):
    """x / sqrt(mean(x^2) + 1e-8) over the channels of each position (Karras et al. 2018, section 4.2)."""

    def call(self, inputs):
        values = tf.cast(inputs, tf.float32)
        return tf.cast(values * tf.math.rsqrt(tf.reduce_mean(tf.square(values), axis=-1, keepdims=True) + 1e-8), inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape
