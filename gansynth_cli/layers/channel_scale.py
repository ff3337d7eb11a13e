"""A learnt gain per channel."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="gan_audio")
class ChannelScale(keras.layers.Layer):
    """Multiply each channel by a learnt gain, initially 1 (the skip connections of SEGAN+, Pascual et al. 2019)."""

    def build(self, inputs_shape) -> None:
        self.scale = self.add_weight(name="scale", shape=(inputs_shape[-1],), initializer="ones")
        super().build(inputs_shape)

    def call(self, inputs):
        return inputs * tf.cast(self.scale, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape
