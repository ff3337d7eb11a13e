"""Layers of models of text-to-speech: embeddings of phones, norms that a voice scales and shifts, the spreading of phones over frames."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class PhoneEmbedding(keras.layers.Layer):
    """The sum of the embeddings of a phone, its stress, its place in the word and its language.

    Args:
        phones, stresses, places, languages: Sizes of the tables.
        width: Numbers of an embedding.
        seed: Of the first weights.

    Call: tokens int32 [batch, phones, 3] (-1: none), language int32 [batch] -> float32 [batch, phones, width], 0 where there is no token.
    """

    def __init__(self, phones: int, stresses: int, places: int, languages: int, width: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes, self.width, self.seed = (phones, stresses, places, languages), width, seed
        names = ("phone", "stress", "place", "language")
        initializer = keras.initializers.RandomNormal(stddev=width**-0.5, seed=seed)
        self.tables = [
            self.add_weight(name=name, shape=(size, width), initializer=initializer.clone())
            for name, size in zip(names, self.sizes, strict=True)
        ]

    def call(self, tokens, language):
        there = tf.cast(tokens[..., :1] >= 0, tf.float32)
        ids = tf.maximum(tokens, 0)
        found = [tf.gather(tf.convert_to_tensor(table), ids[..., i]) for i, table in enumerate(self.tables[:3])]
        return (tf.add_n(found) + tf.gather(tf.convert_to_tensor(self.tables[3]), language)[:, None]) * there

    def compute_output_shape(self, tokens_shape, language_shape=None):
        return (*tokens_shape[:2], self.width)

    def get_config(self) -> dict[str, Any]:
        phones, stresses, places, languages = self.sizes
        sizes = {"phones": phones, "stresses": stresses, "places": places, "languages": languages}
        return {**super().get_config(), **sizes, "width": self.width, "seed": self.seed}


@_register
class IsToken(keras.layers.Layer):
    """tokens int32 [batch, phones, 3] -> float32 [batch, phones, 1]: 1 where there is one."""

    def call(self, tokens):
        return tf.cast(tokens[..., :1] >= 0, tf.float32)

    def compute_output_shape(self, shape):
        return (*shape[:2], 1)


@_register
class ConditionedNorm(keras.layers.Layer):
    """A layer normalisation whose scale and shift a vector adds to: as an ordinary one before training.

    Call: float [batch, time, channels], condition float [batch, size] -> the first one's shape.
    """

    def build(self, inputs_shape, condition_shape) -> None:
        channels = inputs_shape[-1]
        self.scale = self.add_weight(name="scale", shape=(channels,), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(channels,), initializer="zeros")
        self.kernel = self.add_weight(name="kernel", shape=(condition_shape[-1], 2 * channels), initializer="zeros")
        super().build(inputs_shape)

    def call(self, inputs, condition):
        x = tf.cast(inputs, tf.float32)
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
        x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + 1e-6)
        change = tf.matmul(tf.cast(condition, tf.float32), tf.cast(self.kernel, tf.float32))[:, None]
        scale, shift = tf.split(change, 2, axis=-1)
        return tf.cast(x * (tf.cast(self.scale, tf.float32) + scale) + tf.cast(self.shift, tf.float32) + shift, inputs.dtype)

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        return inputs_shape


@_register
class LocalMeanRemoval(keras.layers.Layer):
    """The input without each channel's mean over the frames around, times a factor: takes a microphone and a room's colour away.

    Args:
        frames: Frames of the mean, centred; fewer at the ends.
        scale: Factor on what is left.

    Call: float [batch, time, channels] -> the same shape.
    """

    def __init__(self, frames: int, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.frames, self.scale = frames, scale

    def call(self, inputs):
        time = tf.shape(inputs)[1]
        sums = tf.pad(tf.cumsum(inputs, axis=1), [[0, 0], [1, 0], [0, 0]])
        place = tf.range(time)
        low, high = tf.maximum(place - self.frames // 2, 0), tf.minimum(place + (self.frames + 1) // 2, time)
        count = tf.cast(high - low, inputs.dtype)[None, :, None]
        return (inputs - (tf.gather(sums, high, axis=1) - tf.gather(sums, low, axis=1)) / count) * self.scale

    def compute_output_shape(self, shape):
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frames": self.frames, "scale": self.scale}


@_register
class StopGradient(keras.layers.Layer):
    """The input; no gradient passes."""

    def call(self, inputs):
        return tf.stop_gradient(inputs)

    def compute_output_shape(self, shape):
        return shape


@_register
class SpreadPhones(keras.layers.Layer):
    """phones float [batch, phones, channels], frame_phone int32 [batch, frames] -> float [batch, frames, channels]: each its phone's."""

    def call(self, phones, frame_phone):
        return tf.gather(phones, frame_phone, axis=1, batch_dims=1)

    def compute_output_shape(self, phones_shape, frame_phone_shape):
        return (phones_shape[0], frame_phone_shape[1], phones_shape[-1])


def frame_inputs(prosody: tf.Tensor, durations: tf.Tensor, frame_phone: tf.Tensor, frame_place: tf.Tensor) -> tf.Tensor:
    """Return float32 [batch, frames, 2 + prosody size]: for each frame its place in the phone, the phone's ln duration, and the prosody of
    the part of the phone that it lies in.

    Args:
        prosody: float32 [batch, phones, points, size].
        durations: float32 [batch, phones], frames.
        frame_phone: int32 [batch, frames].
        frame_place: float32 [batch, frames] in [0, 1).
    """
    points = prosody.shape[2]
    point = tf.minimum(tf.cast(frame_place * points, tf.int32), points - 1)
    parts = tf.reshape(prosody, [tf.shape(prosody)[0], -1, prosody.shape[3]])
    there = tf.gather(parts, frame_phone * points + point, axis=1, batch_dims=1)
    length = tf.gather(tf.math.log(tf.maximum(durations, 1.0)), frame_phone, axis=1, batch_dims=1)
    return tf.concat([frame_place[..., None], length[..., None], there], axis=-1)
