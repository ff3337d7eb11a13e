"""The saved VITS: tokens to samples, through a drawn latent."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ..data.text.phone_tokens import OUTSIDE
from .speech_synthesiser import MAX_FRAMES_A_TOKEN, Spoken
from .spoken_model import SpokenModel

NOISE, DURATION_NOISE = 0.667, 0.8  # deviations of the prior's draws in the authors' examples


@keras.saving.register_keras_serializable(package="gan_audio")
class VitsSynthesiser(SpokenModel):
    """Speaks tokens. Saved as `model/generator.keras`. Its draws follow from the seed and the number of tokens alone."""

    NETWORKS = ("text", "duration_condition", "duration_flow", "flow", "vocoder")
    gives_audio = True
    has_noise = True

    def synthesise(
        self,
        tokens,
        speaker,
        language,
        emotion,
        *,
        speed=1.0,
        semitones=0.0,
        energy_db=0.0,
        noise=None,
        duration_noise=None,
        seed=0,
    ) -> Spoken:
        """Speak one utterance; see `SpokenModel`. `noise` and `duration_noise` are deviations, None: `NOISE` and `DURATION_NOISE`."""
        tokens = np.asarray(tokens)
        rng = np.random.default_rng([seed, len(tokens)])
        spread = np.full((2 * len(tokens) + 1, 3), [len(self.phones), 0, OUTSIDE], np.int32)
        spread[1::2] = tokens
        number = lambda value: tf.constant([value], tf.int32)
        scale = DURATION_NOISE if duration_noise is None else duration_noise
        drawn = tf.constant(scale * rng.standard_normal((1, len(spread), 2)), tf.float32)
        found = self._encode(tf.constant(spread[None]), number(speaker), number(language), number(emotion), drawn)
        frames = np.exp(np.minimum(found["ln_frames"].numpy()[0], np.log(MAX_FRAMES_A_TOKEN)))
        durations = np.maximum(np.ceil(frames / speed), 1).astype(int)
        mean, deviation = (np.repeat(found[name].numpy()[0], durations, axis=0) for name in ("mean", "log_deviation"))
        scale = NOISE if noise is None else noise
        latent = mean + scale * rng.standard_normal(mean.shape) * np.exp(deviation)
        audio = self._speak(tf.constant(latent[None], tf.float32)).numpy()[0, :, 0]
        together = durations[0:-1:2] + durations[1::2]
        together[-1] += durations[-1]
        return Spoken(np.zeros((0, self.convention.bands), np.float32), together, np.zeros((len(tokens), 1), np.float32), audio)

    @property
    def _encode(self):
        if not hasattr(self, "_encode_graph"):
            spline, one = self.duration_flow.get_layer("spline"), tf.TensorSpec([1], tf.int32)

            def encode(tokens, speaker, language, emotion, drawn):
                text = self.text([tokens, speaker, language, emotion], training=False)
                there = text["there"]
                condition = self.duration_condition([text["hidden"], there], training=False)
                return {**text, "ln_frames": spline(drawn * there, there, condition, reverse=True)[..., 0]}

            specs = [tf.TensorSpec([1, None, 3], tf.int32), one, one, one, tf.TensorSpec([1, None, 2])]
            self._encode_graph = tf.function(encode, input_signature=specs, autograph=False)
        return self._encode_graph

    @property
    def _speak(self):
        if not hasattr(self, "_speak_graph"):
            coupling, channels = self.flow.get_layer("coupling"), self.vocoder.inputs[0].shape[-1]

            def speak(latent):
                return self.vocoder(coupling(latent, tf.ones_like(latent[..., :1]), reverse=True), training=False)

            self._speak_graph = tf.function(speak, input_signature=[tf.TensorSpec([1, None, channels])], autograph=False)
        return self._speak_graph
