"""Mu-law companding (ITU-T G.711's curve without its segments): samples to a few classes whose steps grow with the amplitude, and back."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def silence_class(classes: int) -> int:
    """Return the class of a sample that is 0: 128 of 256."""
    return classes // 2


def encode_mulaw(audio: tf.Tensor, classes: int = 256) -> tf.Tensor:
    """Quantise samples: int32 of the input's shape, in [0, classes).

    Args:
        audio: float32, any shape; what exceeds [-1, 1] is clipped.
        classes: Number of classes, mu + 1 (WaveNet, van den Oord et al. 2016, section 2.2: 256).
    """
    mu = float(classes - 1)
    x = tf.clip_by_value(tf.cast(audio, tf.float32), -1.0, 1.0)
    companded = tf.sign(x) * tf.math.log1p(mu * tf.abs(x)) / np.float32(np.log1p(mu))
    return tf.cast((companded + 1.0) / 2.0 * mu + 0.5, tf.int32)


def decode_mulaw(numbers: tf.Tensor, classes: int = 256) -> tf.Tensor:
    """Return the samples of classes, float32 in [-1, 1]: the inverse of `encode_mulaw` up to half a step."""
    mu = float(classes - 1)
    companded = 2.0 * tf.cast(numbers, tf.float32) / mu - 1.0
    return tf.sign(companded) * tf.math.expm1(tf.abs(companded) * np.float32(np.log1p(mu))) / mu
