"""A model of notes that is exact and quick: what the tests of `generate` play, vary and search."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gansynth_cli.models.clip_generator import ClipGenerator

RATE, SAMPLES, DIM = 8000, 2048, 4
PITCHES = (48, 52, 55, 60, 61)
INSTRUMENTS = ("flute", "steel guitar")


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class Partials(keras.layers.Layer):
    """A note of four partials, whose levels are the latent, and a wave form by instrument: no weights, all differentiable."""

    def call(self, inputs):
        pitches = tf.constant(PITCHES, tf.float32)
        hz = 440.0 * 2.0 ** ((tf.gather(pitches, inputs["pitch"]) - 69.0) / 12.0)
        time = tf.range(SAMPLES, dtype=tf.float32) / RATE
        order = tf.range(1, DIM + 1, dtype=tf.float32)
        order = tf.where(inputs["instrument"][:, None] == 1, 2.0 * order - 1.0, order)  # the guitar has odd partials alone
        waves = tf.sin(2.0 * np.pi * hz[:, None, None] * order[:, :, None] * time)
        levels = 0.2 * tf.sigmoid(2.0 * inputs["latent"])
        return tf.reduce_sum(levels[:, :, None] * waves, axis=1)[..., None] * tf.exp(-4.0 * time)[:, None]

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape["latent"][0], SAMPLES, 1)


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class ReadPartials(keras.layers.Layer):
    """The way back: levels by least squares on the waves that pitch and instrument say."""

    def call(self, inputs):
        ones = tf.eye(DIM)
        audio = inputs["audio"][..., 0]
        count = tf.shape(audio)[0]
        waves = []
        for partial in range(DIM):
            only = tf.tile(40.0 * (2.0 * ones[partial] - 1.0)[None], [count, 1])  # sigmoid: one at full level, the others at none
            waves.append(Partials()({"latent": only, "pitch": inputs["pitch"], "instrument": inputs["instrument"]})[..., 0])
        basis = tf.stack(waves, axis=-1)  # [batch, samples, partials]
        share = tf.linalg.lstsq(basis, audio[..., None], fast=True, l2_regularizer=1e-4)[..., 0]
        share = tf.clip_by_value(share, 0.02, 0.98)
        mean = 0.5 * tf.math.log(share / (1.0 - share))
        return mean, tf.zeros_like(mean) - 4.0

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape["audio"][0], DIM), (inputs_shape["audio"][0], DIM)


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class AsItIs(keras.layers.Layer):
    def call(self, inputs):
        return inputs

    def compute_output_shape(self, inputs_shape):
        return inputs_shape


def make_model(encoder: bool = True) -> ClipGenerator:
    told = lambda: {name: keras.Input((), dtype="int32", name=name) for name in ("pitch", "instrument")}
    inputs = {"latent": keras.Input((DIM,), name="latent"), **told()}
    network = keras.Model(inputs, Partials()(inputs))
    heard = {"audio": keras.Input((SAMPLES, 1), name="audio"), **told()}
    return ClipGenerator(
        network,
        AsItIs(),
        RATE,
        clip_samples=SAMPLES,
        pitches=PITCHES,
        instruments=INSTRUMENTS,
        latent={"dim": DIM, "distribution": "normal"},
        provenance={"recipe": "test/notes", "family": "vae"},
        encoder=keras.Model(heard, list(ReadPartials()(heard))) if encoder else None,
    )


def save_model(file: Path, encoder: bool = True) -> Path:
    make_model(encoder).save(file)
    return file
