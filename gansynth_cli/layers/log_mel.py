"""The log-mel spectrogram as a layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import keras
import tensorflow as tf

from ..signal.mel import LogMel

Level = Literal["peak", "rms"]


@keras.saving.register_keras_serializable(package="gan_audio")
class LogMelSpectrogram(keras.layers.Layer):
    """`LogMel.compute` as a layer: audio [batch, samples] -> [batch, frames, bands, 1], each clip first normalised in level.

    Args:
        spec: A `LogMel`, or its fields as a dict.
        mean, deviation: Mean and standard deviation of the training data's log-mel values, which standardise the output.
        level: "peak": to a peak of 1. "rms": to a root mean square 20 dB below that, independent of the crest factor.
    """

    def __init__(self, spec: LogMel | dict[str, Any], mean: float = 0.0, deviation: float = 1.0, level: Level = "peak", **kwargs):
        super().__init__(**kwargs)
        self.level = level
        self.spec = spec if isinstance(spec, LogMel) else LogMel(**spec)
        self.mean, self.deviation = float(mean), float(deviation)

    def call(self, audio):
        spec = self.spec
        if self.level == "rms":
            audio = 0.1 * audio / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(audio), axis=1, keepdims=True)), 1e-6)
        else:
            audio = audio / tf.maximum(tf.reduce_max(tf.abs(audio), axis=1, keepdims=True), 1e-6)
        audio = audio[:, : spec.padded_samples]
        audio = tf.pad(audio, [[0, 0], [0, spec.padded_samples - tf.shape(audio)[1]]])
        frames = tf.signal.frame(audio, spec.window, spec.hop)
        spectrum = tf.abs(tf.signal.rfft(frames * spec.hann, [spec.fft]))
        log_mel = tf.math.log(tf.tensordot(spectrum, tf.constant(spec.matrix), 1) + spec.offset)
        return ((log_mel - self.mean) / self.deviation)[..., None]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.spec.frames, self.spec.bands, 1)

    def get_config(self):
        return {**super().get_config(), "spec": asdict(self.spec), "mean": self.mean, "deviation": self.deviation, "level": self.level}
