"""SpecGAN: log-magnitude spectrograms, made audible by Griffin-Lim (Donahue, McAuley and Puckette 2019, section 3.2)."""

from __future__ import annotations

from dataclasses import replace

import keras
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...feature_specs import BatchFeatures
from ...recipe_schema import Recipe
from ..latent_gan import LatentGAN
from ..spectrogram import Spectrogram
from .networks import build_critic, build_generator
from .schema import SpecGANModel


class SpecGAN(LatentGAN):
    """SpecGAN of spectrograms of `frames` x `fft / 2`, one a channel; see `LatentGAN`.

    The batch holds audio; its normalised log spectrogram is computed in graph, and all penalties are taken on it.
    """

    model: SpecGANModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, SpecGANModel)
        self.model = recipe.model
        self.spectrogram = Spectrogram(self.model, recipe, info)
        super().__init__(recipe, info, seed)

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.spectrogram.shape, self.spectrogram.stages, len(self.labels), self.seeds)

    def build_critic(self) -> keras.Model:
        return build_critic(self.model, self.spectrogram.shape, self.spectrogram.stages, len(self.labels), self.seeds)

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        return self.spectrogram.layer(audio)

    def to_audio(self) -> keras.layers.Layer:
        return self.spectrogram.to_audio(griffin_lim=self.model.griffin_lim, loud=self.model.loud)

    def batch_features(self) -> BatchFeatures:
        return replace(super().batch_features(), statistics=(self.spectrogram.statistics,))


FAMILY = SpecGAN
