"""SEGAN: a generator that maps a noisy window of samples to a clean one, and a critic that sees the noisy window beside either.

Pascual, Bonafonte and Serra 2017, "SEGAN: Speech enhancement generative adversarial network", and the authors' code; the options of
SEGAN+ (Pascual, Serra and Bonafonte 2019, "Time-domain speech enhancement using generative adversarial networks")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...feature_specs import BatchFeatures
from ...layers.seeds import layer_seeds
from ...losses.adversarial import LOSSES
from ...models.window_enhancer import WindowEnhancer
from ...recipe_schema import Recipe
from ...signal.emphasis import deemphasize, emphasize, emphasize_clips
from ..adversarial import AdversarialObjective, Answers, batch_size
from ..base import Batch, Draws, Losses, provenance_of
from ..enhancement import EnhancementPreviews
from .networks import build_critic, build_generator
from .schema import SEGANLosses, SEGANModel
from .terms import TERMS, Pair

if TYPE_CHECKING:
    from ...data.source import Source


class SEGAN(EnhancementPreviews, AdversarialObjective):
    """SEGAN on windows of `data.clip_samples` samples.

    Networks:
        generator: [noisy float32 [batch, window, 1], latent float32 [batch, steps, latent_dim]] (or noisy alone) -> [batch, window, 1].
        critic: {"example": [batch, window, 1], "noisy": the same, "groups": int32 (), "shifts": int32 [n] if shuffled} -> [batch, 1].

    Both see and make pre-emphasised audio; so do the losses.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: A window that the strides do not divide, or more than one channel.
    """

    averaged = ("generator",)

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, SEGANModel)
        assert isinstance(recipe.losses, SEGANLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        self.critic_widths = self.model.critic_widths or self.model.widths
        self._check_sizes()
        self.reconstructs = bool(TERMS.active(self.weights))
        self.shuffled = max(0, len(self.critic_widths) - 2) if self.model.phase_shuffle else 0
        self.seeds = layer_seeds(recipe.seed if seed is None else seed)
        self.networks: dict[str, keras.Model] = {"generator": self.build_generator(), "critic": self.build_critic()}

    def _check_sizes(self) -> None:
        data, m = self.recipe.data, self.model
        if data.channels != 1:
            raise RecipeError(
                f"data.channels is {data.channels}; SEGAN has one channel, and cleans those of a recording one by one.",
                hint="--set data.channels=1",
            )
        for name, widths in (("widths", m.widths), ("critic_widths", self.critic_widths)):
            factor = m.stride ** len(widths)
            if data.clip_samples % factor:
                nearest = max(1, round(data.clip_samples / factor)) * factor
                raise RecipeError(
                    f"data.clip_samples is {data.clip_samples}; {len(widths)} layers (model.{name}) of stride {m.stride} need a multiple "
                    f"of {factor}.",
                    hint=f"--set data.clip_samples={nearest}, or fewer layers",
                )
        if 2 * self.weights.stft_hop > self.weights.stft_fft:
            raise RecipeError(
                f"losses.stft_hop is {self.weights.stft_hop}; expected at most half of losses.stft_fft, which is {self.weights.stft_fft}.",
                hint=f"--set losses.stft_hop={self.weights.stft_fft // 4}",
            )

    # The networks.

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """[steps, channels] of the noise beside the code; () without it."""
        m = self.model
        return (self.recipe.data.clip_samples // m.stride ** len(m.widths), m.latent_dim) if m.latent_dim else ()

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.recipe.data.clip_samples, self.latent_shape, self.seeds)

    def build_critic(self) -> keras.Model:
        return build_critic(self.model, self.critic_widths, self.recipe.data.clip_samples, self.shuffled, self.seeds)

    # The objective; see `AdversarialObjective`.

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """Pre-emphasised clips."""
        return emphasize_clips(audio, self.model.preemphasis)

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        noisy = self.represent(batch["noisy"])
        if not self.model.latent_dim:
            return self.networks["generator"](noisy, training=True)
        latent = draws.normal("latent", (batch_size(noisy), *self.latent_shape))
        return self.networks["generator"]([noisy, latent], training=True)

    def discriminate(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        return self._discriminate(examples, self.represent(batch["noisy"]), draws, name, 1)

    def answers_to_both(self, real: tf.Tensor, fake: tf.Tensor, batch: Batch, wanted: Batch, draws: Draws) -> tuple[Answers, Answers]:
        """In one call, so that the reference batch goes through the discriminator once."""
        noisy = self.represent(batch["noisy"])
        logits = self._discriminate(tf.concat([real, fake], axis=0), tf.concat([noisy, noisy], axis=0), draws, "both", 2)
        return {"logits": logits[: batch_size(real)]}, {"logits": logits[batch_size(real) :]}

    def _discriminate(self, examples: tf.Tensor, noisy: tf.Tensor, draws: Draws, name: str, groups: int) -> tf.Tensor:
        inputs = {"example": examples, "noisy": noisy, "groups": tf.constant(groups, tf.int32)}
        if self.shuffled:
            radius = self.model.phase_shuffle
            inputs["shifts"] = draws.shared_integers(f"shifts/{name}", (self.shuffled,), -radius, radius + 1)
        return self.networks["critic"](inputs, training=True)[:, 0]

    def reconstruction_losses(self, made: tf.Tensor, batch: Batch, draws: Draws) -> Losses:
        """Return the terms of `[losses]` whose weight is not 0."""
        return TERMS(self.weights, Pair(made, self.represent(batch["clean"]), self.weights.stft_fft, self.weights.stft_hop))

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)

    def begin(self, source: Source) -> None:
        """Chooses the reference batch, the first training mixtures, clean beside noisy; and the mixtures of the previews."""
        super().begin(source)
        if self.model.critic_norm != "virtual":
            return
        rows, clean, noisy = self.model.reference_clips, [], []
        for batch in source.batches(self.recipe, "train", seed=self.recipe.seed, batch_size=1):
            clean.append(self.represent(batch["clean"]).numpy())
            noisy.append(self.represent(batch["noisy"]).numpy())
            if len(clean) == rows:
                break
        self.networks["critic"].get_layer("reference").choose(np.concatenate([np.concatenate(clean), np.concatenate(noisy)], axis=-1))

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        """Clips of one window, each as a recording of its own."""
        emphasized, _ = emphasize(noisy[..., 0], self.model.preemphasis)
        cleaned = self.inference_model(networks)(tf.constant(emphasized[..., None]), training=False).numpy()
        return deemphasize(cleaned[..., 0], self.model.preemphasis)[0][..., None]

    def inference_model(self, networks: Mapping[str, keras.Model]) -> WindowEnhancer:
        """The generator with all it needs to clean windows of a recording."""
        recipe = self.recipe
        return WindowEnhancer(
            networks["generator"],
            recipe.data.sample_rate,
            recipe.data.clip_samples,
            preemphasis=self.model.preemphasis,
            latent_shape=self.latent_shape,
            latent_seed=recipe.seed,
            provenance=provenance_of(recipe, self.info),
            name="window_enhancer",
        )


FAMILY = SEGAN
