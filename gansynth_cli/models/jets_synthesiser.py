"""The saved JETS: tokens to samples, with durations, pitch and energy that can be changed."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from .speech_synthesiser import MAX_FRAMES_A_TOKEN, Spoken, rounded
from .spoken_model import SpokenModel

_DB = np.log(10.0) / 20.0  # nats a decibel


@keras.saving.register_keras_serializable(package="gan_audio")
class JetsSynthesiser(SpokenModel):
    """Speaks tokens. Saved as `model/generator.keras`. `statistics` has "f0" and "energy" [speakers][2]: means and deviations, natural
    logarithms."""

    NETWORKS = ("encoder", "predictors", "decoder", "vocoder")
    gives_audio = True
    controls = frozenset({"pitch", "energy"})

    def synthesise(self, tokens, speaker, language, emotion, *, speed=1.0, semitones=0.0, energy_db=0.0) -> Spoken:
        """Speak one utterance; see `SpokenModel`."""
        number = lambda value: tf.constant([value], tf.int32)
        found = self._encode(tf.constant(np.asarray(tokens)[None], tf.int32), number(speaker), number(language), number(emotion))
        frames = np.expm1(np.clip(found["duration"].numpy()[0], 0.0, np.log(MAX_FRAMES_A_TOKEN)))
        durations = rounded(frames / speed)
        f0, energy = self.statistics["f0"][speaker], self.statistics["energy"][speaker]
        pitch = found["pitch"].numpy() + np.float32(semitones * np.log(2.0) / 12.0 / f0[1])
        loud = found["energy"].numpy() + np.float32(energy_db * _DB / energy[1])
        audio = self._speak(
            found["hidden"],
            found["there"],
            tf.constant(durations[None], tf.float32),
            tf.constant(pitch, tf.float32),
            tf.constant(loud, tf.float32),
            tf.ones([1, int(durations.sum()), 1]),
        )
        ln_f0 = (pitch[0] * f0[1] + f0[0]).astype(np.float32)[:, None]
        return Spoken(np.zeros((0, self.convention.bands), np.float32), durations, ln_f0, audio.numpy()[0, :, 0])

    @property
    def _encode(self):
        if not hasattr(self, "_encode_graph"):
            one = tf.TensorSpec([1], tf.int32)

            def encode(*inputs):
                encoded = self.encoder(list(inputs), training=False)
                return {**encoded, **self.predictors([encoded["hidden"], encoded["there"]], training=False)}

            specs = [tf.TensorSpec([1, None, 3], tf.int32), one, one, one]
            self._encode_graph = tf.function(encode, input_signature=specs, autograph=False)
        return self._encode_graph

    @property
    def _speak(self):
        if not hasattr(self, "_speak_graph"):
            channels, by_token = self.vocoder.inputs[0].shape[-1], tf.TensorSpec([1, None])
            speak = lambda *inputs: self.vocoder(self.decoder(list(inputs), training=False), training=False)
            specs = [
                tf.TensorSpec([1, None, channels]),
                tf.TensorSpec([1, None, 1]),
                by_token,
                by_token,
                by_token,
                tf.TensorSpec([1, None, 1]),
            ]
            self._speak_graph = tf.function(speak, input_signature=specs, autograph=False)
        return self._speak_graph
