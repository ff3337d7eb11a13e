"""What the GANs from a latent share: latents, labels, previews, the shipped model."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..layers.seeds import layer_seeds
from ..losses.adversarial import LOSSES
from ..models.clip_generator import ClipGenerator
from ..recipe_schema import Recipe
from .adversarial import AdversarialObjective, batch_size
from .base import Batch, Draws, in_parts, provenance_of
from .latent_gan_schema import LatentGANModel


class LatentGAN(AdversarialObjective):
    """A generator from latents and a discriminator. A subclass builds both and says what the discriminator sees.

    Networks:
        generator: [latent [batch, latent_dim], label int32 [batch]] (or the latent only) -> representation [batch, ...].
        critic: {"example": representation, "label": int32 [batch] if conditional, and the result of `critic_extras`} -> float32
            logits [batch, 1].

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set: label names, statistics.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks the labels or the statistics that the recipe needs.
    """

    averaged = ("generator",)
    model: LatentGANModel  # recipe.model, set by the subclass, which knows its type

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        self.recipe, self.info = recipe, info
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        self.conditional = self.model.conditioning != "none"
        if self.conditional and not info.labels:
            raise DatasetError(
                f"The recipe is conditioned on labels (model.conditioning = {self.model.conditioning!r}), "
                f"but the data set {info.name} has none.",
                hint="--set model.conditioning=none, or prepare the data set with --labels",
            )
        self.labels = tuple(info.labels) if self.conditional else ()
        self.seeds = layer_seeds(recipe.seed if seed is None else seed)
        self.networks: dict[str, keras.Model] = {"generator": self.build_generator(), "critic": self.build_critic()}

    # Given by a subclass.

    def build_generator(self) -> keras.Model:
        raise NotImplementedError

    def build_critic(self) -> keras.Model:
        raise NotImplementedError

    def critic_extras(self, draws: Draws, name: str) -> dict[str, tf.Tensor]:
        """Return further inputs of one call of the discriminator, drawn under `name` ("real", "fake", "between")."""
        return {}

    def to_audio(self) -> keras.layers.Layer:
        """Build a registered layer from the generator's output to float32 [batch, samples, channels] in [-1, 1]."""
        raise NotImplementedError

    # The objective.

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        shape = (batch_size(batch["audio"]), self.model.latent_dim)
        uniform = self.model.latent == "uniform"
        latent = draws.uniform("latent", shape, -1.0, 1.0) if uniform else draws.normal("latent", shape)
        return self.networks["generator"]([latent, batch["label"]] if self.conditional else latent, training=True)

    def discriminate(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        inputs = {"example": examples, **self.critic_extras(draws, name)}
        if self.conditional:
            inputs["label"] = batch["label"]
        return self.networks["critic"](inputs, training=True)[:, 0]

    # Data, previews, the shipped model.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, labels=self.conditional)

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return float32 [clips, samples, channels] from latents fixed by the recipe's seed; labels go round the classes in order."""
        model = self.inference_model(networks)
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        shape = (clips, self.model.latent_dim)
        latent = rng.uniform(-1.0, 1.0, shape) if self.model.latent == "uniform" else rng.standard_normal(shape)
        inputs = {"latent": latent.astype(np.float32)}
        if self.conditional:
            inputs["label"] = (np.arange(clips) % len(self.labels)).astype(np.int32)
        return in_parts(lambda part: model(part, training=False), inputs)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """Build the generator with all it needs to give audio; its inputs are `latent` and, if conditional, `label`."""
        recipe, model = self.recipe, self.model
        return ClipGenerator(
            networks["generator"],
            self.to_audio(),
            recipe.data.sample_rate,
            clip_samples=recipe.data.clip_samples,
            labels=self.labels,
            latent={"dim": model.latent_dim, "distribution": model.latent},
            positional=True,
            provenance=provenance_of(recipe, self.info),
            name="clip_generator",
        )
