"""Layers of MaskCycleGAN-VC."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")


@_register
class PixelShuffle(keras.layers.Layer):
    """Rearrange [batch, rows, columns, 4 c] to [batch, 2 rows, 2 columns, c]."""

    def call(self, inputs):
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, inputs_shape):
        batch, rows, columns, channels = inputs_shape
        return (batch, rows and 2 * rows, columns and 2 * columns, channels // 4)


@_register
class ColumnsToSteps(keras.layers.Layer):
    """Rearrange [batch, rows, columns, channels] to [batch, columns, rows * channels]."""

    def call(self, inputs):
        _, rows, _, channels = inputs.shape
        moved = tf.transpose(inputs, [0, 2, 1, 3])
        return tf.reshape(moved, [tf.shape(inputs)[0], tf.shape(inputs)[2], rows * channels])

    def compute_output_shape(self, inputs_shape):
        batch, rows, columns, channels = inputs_shape
        return (batch, columns, rows * channels)


@_register
class StepsToColumns(keras.layers.Layer):
    """The inverse of `ColumnsToSteps`."""

    def __init__(self, rows: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = int(rows)

    def call(self, inputs):
        channels = inputs.shape[-1] // self.rows
        pictures = tf.reshape(inputs, [tf.shape(inputs)[0], tf.shape(inputs)[1], self.rows, channels])
        return tf.transpose(pictures, [0, 2, 1, 3])

    def compute_output_shape(self, inputs_shape):
        batch, steps, channels = inputs_shape
        return (batch, self.rows, steps, channels // self.rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


@_register
class TwoWays(keras.Model):
    """The two generators as one network of a `VoiceConverter` with two domains; a batch in one direction evaluates only one of them.

    Args:
        to_first, to_second: {"mel": [batch, frames, bands], "mask": [batch, frames, 1]} -> [batch, frames, bands].
    """

    def __init__(self, to_first: keras.Model, to_second: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.to_first, self.to_second = to_first, to_second
        self.built = True

    def call(self, inputs, training=False):
        """Mix both for a target between them; input that is in its target's domain passes unchanged."""
        mel, weight = inputs["mel"], inputs["target"][:, 1]
        given = {"mel": mel, "mask": inputs["mask"]}
        first = lambda: tf.cast(self.to_first(given, training=training), tf.float32)
        second = lambda: tf.cast(self.to_second(given, training=training), tf.float32)
        both = lambda: first() * (1.0 - weight)[:, None, None] + second() * weight[:, None, None]
        all_to = lambda value: tf.reduce_all(tf.equal(weight, value))
        made = tf.cond(all_to(1.0), second, lambda: tf.cond(all_to(0.0), first, both))
        stays = tf.reduce_all(tf.equal(inputs["source"], inputs["target"]), axis=1)
        return tf.where(stays[:, None, None], tf.cast(mel, tf.float32), made)

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("to_first", "to_second")}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("to_first", "to_second"):
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
