"""WaveGAN: raw waveforms from one-dimensional transposed convolutions (Donahue, McAuley and Puckette 2019, "Adversarial Audio
Synthesis", and the second version of the authors' code)."""

from __future__ import annotations

import keras
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...layers import WaveformToAudio
from ...recipe_schema import Recipe
from ..base import Draws
from ..latent_gan import LatentGAN
from ..sizes import strides_of
from .networks import build_critic, build_generator
from .schema import WaveGANModel

SHUFFLED_LAYERS = 4  # the paper's text shuffles every layer of the critic; the code's second version layers 0 to 3


class WaveGAN(LatentGAN):
    """WaveGAN of `clip_samples` samples and any number of channels; see `LatentGAN`."""

    model: WaveGANModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, WaveGANModel)
        self.model = recipe.model
        self.strides = strides_of(recipe.data.clip_samples, self.model.start_samples)
        self.shuffled = min(SHUFFLED_LAYERS, len(self.strides) - 1) if self.model.phase_shuffle else 0
        shortest = self.model.start_samples * self.strides[-1]  # of the feature maps that are shuffled, at most
        if self.shuffled and shortest <= self.model.phase_shuffle:
            raise RecipeError(
                f"model.phase_shuffle is {self.model.phase_shuffle}, but the critic's shortest shuffled layer has {shortest} steps; "
                "expected fewer.",
                hint="--set model.phase_shuffle=2",
            )
        super().__init__(recipe, info, seed)

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.strides, self.recipe.data.channels, len(self.labels), self.seeds)

    def build_critic(self) -> keras.Model:
        data = self.recipe.data
        return build_critic(self.model, self.strides, (data.clip_samples, data.channels), len(self.labels), self.shuffled, self.seeds)

    def critic_extras(self, draws: Draws, name: str) -> dict[str, tf.Tensor]:
        if not self.shuffled:
            return {}
        radius = self.model.phase_shuffle
        return {"shifts": draws.shared_integers(f"shifts/{name}", (self.shuffled,), -radius, radius + 1)}

    def to_audio(self) -> keras.layers.Layer:
        return WaveformToAudio(name="to_audio")


FAMILY = WaveGAN
