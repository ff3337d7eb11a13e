"""What families share that go from text to a waveform in one model (JETS, VITS): discriminators of short segments of each utterance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import RecipeError
from ..losses import spectral
from ..losses.weighted import WeightedTerms
from ..recipe_schema import Recipe
from ..signal.mel_front_end import mel_spectrogram
from .base import Batch, Draws, Losses
from .mel_checks import loss_without_penalties
from .speech import SpeechFamily
from .speech_schema import WaveformTable

Made = dict[str, Any]


class SpeechWaveformFamily(SpeechFamily):
    """A family with the networks "vocoder", frames to a waveform, and "critic", the waveform to (logits, maps) by kind.

    A subclass gives `terms`, `generate` and `segments`.

    Args: As for `SpeechFamily`.

    Raises:
        RecipeError: A loss with penalties, or segments longer than a clip.
        DatasetError: A data set without transcripts.
    """

    terms: WeightedTerms[Made]
    networks: dict[str, keras.Model]
    model: WaveformTable

    def __init__(self, recipe: Recipe, info: DatasetInfo):
        super().__init__(recipe, info)
        self.weights: Any = recipe.losses
        self.loss = loss_without_penalties(recipe.adversarial, f"the discriminators of {recipe.family}")
        self.size = self.model.segment_frames
        if self.size > self.frames:
            raise RecipeError(
                f"model.segment_frames is {self.size}; a clip has {self.frames} frames.", hint=f"--set model.segment_frames={self.frames}"
            )
        self.loss_convention = replace(self.convention, high_hz=recipe.data.sample_rate / 2)

    def generate(self, batch: Batch, draws: Draws) -> Made:
        """Return all that `terms` compare, with what `segments` and `spectra` give."""
        raise NotImplementedError

    def segments(self, batch: Batch, draws: Draws) -> Made:
        """Return what `cut` gives, and no more than that needs."""
        raise NotImplementedError

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the losses of all networks but the discriminators."""
        made = self.generate(batch, draws)
        losses = self.terms(self.weights, made)
        judged, target = (self.networks["critic"](made[name], training=True) for name in ("audio_made", "audio_real"))
        for kind, (logits, maps) in judged.items():
            losses[f"adversarial_{kind}"] = self.weights.adversarial * tf.add_n([self.loss.generator(one) for one in logits])
            if self.weights.feature_matching:
                matched = spectral.feature_matching([maps, logits], [target[kind][1], target[kind][0]])
                losses[f"feature_matching_{kind}"] = self.weights.feature_matching * matched
        return losses

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the discriminators' losses on segments of recordings and on generated ones."""
        made = self.segments(batch, draws)
        real = self.networks["critic"](made["audio_real"], training=True)
        fake = self.networks["critic"](tf.stop_gradient(made["audio_made"]), training=True)
        return {
            f"adversarial_{kind}": tf.add_n([self.loss.critic(a, b) for a, b in zip(real[kind][0], fake[kind][0], strict=True)])
            for kind in real
        }

    def cut(self, batch: Batch, frames: tf.Tensor, draws: Draws) -> Made:
        """Cut `segment_frames` out of each utterance at a random place; those that are shorter end in silence.

        Returns:
            "audio_made", by the vocoder of frames [batch, frames, channels], and "audio_real", float32 [batch, segment samples, 1].
        """
        hop = self.convention.hop
        rows = batch["audio"].shape[0] or tf.shape(batch["audio"])[0]
        spare = tf.maximum(tf.reduce_sum(batch["frame_inside"], axis=1) - self.size, 0.0)
        start = tf.cast(draws.uniform("segment", (rows,)) * (spare + 1.0), tf.int32)
        start = tf.minimum(start, tf.cast(spare, tf.int32))[:, None]
        part = lambda x, scale: tf.gather(x, start * scale + tf.range(self.size * scale), axis=1, batch_dims=1)
        return {
            "audio_made": tf.cast(self.networks["vocoder"](part(frames, 1), training=True), tf.float32),
            "audio_real": tf.ensure_shape(part(batch["audio"][..., None], hop), [None, self.size * hop, 1]),
        }

    def spectra(self, segments: Made) -> Made:
        """Return "mel_made" and "mel_real" of segments, up to half the sample rate."""
        return {f"mel_{one}": mel_spectrogram(segments[f"audio_{one}"], self.loss_convention) for one in ("made", "real")}
