"""The adversarial game that all families share: phases and penalties; and what waveform and spectrogram GANs share besides:
latents, labels, previews, the shipped model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..layers import LabelEmbedding, LabelProjection, MinibatchStddev, Modulation
from ..losses.adversarial import LOSSES, AdversarialLoss, drift_penalty, gradient_penalty, r1_penalty
from ..models.clip_generator import ClipGenerator
from ..recipe_schema import Adversarial, Recipe
from .base import Batch, Draws, Losses, Phase, provenance_of
from .specgan.schema import SpecGANModel
from .wavegan.schema import WaveGANModel

PREVIEW_BATCH = 16  # bounds the memory of a preview; examples do not depend on it


class AdversarialGame:
    """The two sides of `[adversarial]`, for any family with a network "generator" and one "critic".

    A subclass sets `settings` and `loss`, and says how examples are made (`generate`), what of the data they are like (`represent`) and
    how the critic scores them (`judge`); what a generator is to do besides goes into `reconstruction_losses`.
    """

    settings: Adversarial
    loss: AdversarialLoss

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """float32 [batch, samples, channels] -> what the critic looks at."""
        return audio

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        """One generated representation for each clip of the batch."""
        raise NotImplementedError

    def judge(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        """float32 [batch, ...]: the critic's logits, drawing what it needs under `name` ("real", "fake", "between")."""
        raise NotImplementedError

    def judge_both(self, real: tf.Tensor, fake: tf.Tensor, batch: Batch, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """The logits of both; to be overridden where one call is cheaper than two."""
        return self.judge(real, batch, draws, "real"), self.judge(fake, batch, draws, "fake")

    def reconstruction_losses(self, made: tf.Tensor, batch: Batch) -> Losses:
        """Weighted losses of the generator beside the adversarial one; `made` is what `generate` gave for the batch."""
        return {}

    reconstructs = False  # whether `reconstruction_losses` gives any: they train the generator before `critic_start` too

    def phases(self) -> tuple[Phase, ...]:
        """critic (n times), critic_r1 if `r1` is set (every r1_every-th step), generator. All wait for `critic_start`; before, a
        generator that reconstructs is trained on that alone (generator_alone)."""
        s = self.settings
        clip = s.weight_clip if self.loss.weight_clip else 0.0
        phases = []
        if s.critic_start and self.reconstructs:
            phases.append(Phase("generator_alone", ("generator",), self.reconstruct, "generator", stop=s.critic_start))
        phases.append(
            Phase("critic", ("critic",), self.critic_losses, "critic", repeats=s.critic_repeats, start=s.critic_start, weight_clip=clip)
        )
        if s.r1:
            phases.append(
                Phase("critic_r1", ("critic",), self.r1_losses, "critic", every=s.r1_every, start=s.critic_start, weight_clip=clip)
            )
        phases.append(Phase("generator", ("generator",), self.generator_losses, "generator", start=s.critic_start))
        return tuple(phases)

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """The critic's side on one batch. Generated examples take the labels of the batch: classes as frequent as in the data."""
        real = self.represent(batch["audio"])
        fake = tf.stop_gradient(self.generate(batch, draws))
        real_logits, fake_logits = self.judge_both(real, fake, batch, draws)
        losses = {"adversarial": self.loss.critic(real_logits, fake_logits)}
        if self.loss.gradient_penalty:
            alpha = draws.uniform("alpha", (batch_size(real),))
            slope = gradient_penalty(lambda x: self.judge(x, batch, draws, "between"), real, fake, alpha)
            losses["gradient_penalty"] = self.settings.gradient_penalty * slope
        if self.settings.drift:
            losses["drift"] = self.settings.drift * drift_penalty(real_logits)
        return losses

    def r1_losses(self, batch: Batch, draws: Draws) -> Losses:
        """gamma / 2 E[|grad D(real)|^2], times the number of steps it stands for (Karras et al. 2020, appendix B)."""
        real = self.represent(batch["audio"])
        weight = 0.5 * self.settings.r1 * self.settings.r1_every
        return {"r1": weight * r1_penalty(lambda x: self.judge(x, batch, draws, "real"), real)}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """The generator's side on fresh latents and the labels of the batch."""
        made = self.generate(batch, draws)
        adversarial = self.loss.generator(self.judge(made, batch, draws, "fake"))
        return {"adversarial": adversarial, **self.reconstruction_losses(made, batch)}

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        """The generator's losses without a critic."""
        return self.reconstruction_losses(self.generate(batch, draws), batch)


class AdversarialFamily(AdversarialGame):
    """A generator and a critic. A family of this kind says how both are built and what the critic looks at.

    Networks:
        generator: [latent [batch, latent_dim], label int32 [batch]] (or the latent alone) -> representation [batch, ...].
        critic: {"example": representation, "label": int32 [batch] if conditional, and what `critic_extras` gives} -> float32
            logits [batch, 1].

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set: label names, statistics.
        seed: Of the first weights; `recipe.seed` where it is None. The same seed gives the same weights.

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks the labels or the statistics that the recipe asks for.
    """

    averaged = ("generator",)
    model: WaveGANModel | SpecGANModel  # recipe.model, set by the subclass, which knows its type

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        self.recipe, self.info = recipe, info
        self.settings = recipe.adversarial
        self.loss = LOSSES[self.settings.loss]
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

    # What a family of this kind says of itself.

    def build_generator(self) -> keras.Model:
        raise NotImplementedError

    def build_critic(self) -> keras.Model:
        raise NotImplementedError

    def critic_extras(self, draws: Draws, name: str) -> dict[str, tf.Tensor]:
        """Further inputs of one call of the critic, drawn under `name` ("real", "fake", "between")."""
        return {}

    def to_audio(self) -> keras.layers.Layer:
        """A registered layer from the generator's output to float32 [batch, samples, channels] in [-1, 1]."""
        raise NotImplementedError

    # The game.

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        """One generated representation for each clip of the batch, with its label."""
        shape = (batch_size(batch["audio"]), self.model.latent_dim)
        uniform = self.model.latent == "uniform"
        latent = draws.uniform("latent", shape, -1.0, 1.0) if uniform else draws.normal("latent", shape)
        return self.networks["generator"]([latent, batch["label"]] if self.conditional else latent, training=True)

    def judge(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        """float32 [batch]: the critic's logits."""
        inputs = {"example": examples, **self.critic_extras(draws, name)}
        if self.conditional:
            inputs["label"] = batch["label"]
        return self.networks["critic"](inputs, training=True)[:, 0]

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, labels=self.conditional)

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """float32 [clips, samples, channels] from latents fixed by the recipe's seed; labels go round the classes in order."""
        model = self.inference_model(networks)
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        shape = (clips, self.model.latent_dim)
        latent = rng.uniform(-1.0, 1.0, shape) if self.model.latent == "uniform" else rng.standard_normal(shape)
        inputs = {"latent": latent.astype(np.float32)}
        if self.conditional:
            inputs["label"] = (np.arange(clips) % len(self.labels)).astype(np.int32)
        parts = [slice(start, start + PREVIEW_BATCH) for start in range(0, clips, PREVIEW_BATCH)]
        return np.concatenate([model({k: tf.constant(v[part]) for k, v in inputs.items()}, training=False).numpy() for part in parts])

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """The generator with all it needs to give audio; keyed `latent` and, if conditional, `label`."""
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

    # What the networks of these families have in common.

    def generator_inputs(self) -> tuple[list, keras.KerasTensor]:
        """The inputs [latent] or [latent, label], and what the first layer reads: the latent with the label's embedding beside it."""
        model = self.model
        latent = keras.Input((model.latent_dim,), name="latent")
        if not self.conditional:
            return [latent], latent
        label = keras.Input((), dtype="int32", name="label")
        embedding = LabelEmbedding(len(self.labels), model.label_dim, seed=next(self.seeds), name="label_embedding")(label)
        return [latent, label], layers.Concatenate(name="condition")([latent, embedding])

    def modulator(self, condition: keras.KerasTensor) -> Callable:
        """A function that modulates a hidden layer by latent and label, or does nothing: `model.modulation`."""
        width = self.model.modulation
        if not width:
            return lambda x: x
        style = layers.Dense(width, kernel_initializer=self.glorot(), name="style")(condition)
        style = layers.LeakyReLU(0.2, name="style_activation")(style)
        return lambda x: Modulation(seed=next(self.seeds))(x, style)

    def normalize(self, x):
        """Batch normalisation if the recipe has it; never in G's last layer nor in the first of the critic."""
        return layers.BatchNormalization()(x) if self.model.batch_norm else x

    def finish_critic(self, inputs: dict, x) -> keras.Model:
        """Flattens the last feature map into the logit, adds the label's projection, and calls the model "critic"."""
        if self.conditional:
            inputs["label"] = keras.Input((), dtype="int32", name="label")
        if self.model.minibatch_stddev:
            spread = MinibatchStddev(labels=len(self.labels), per_position=True, name="minibatch_stddev")
            x = spread(x, inputs["label"]) if self.conditional else spread(x)
        features = layers.Flatten(name="features")(x)
        logit = layers.Dense(1, kernel_initializer=self.glorot(), dtype="float32", name="logit")(features)
        if self.conditional:
            projection = LabelProjection(len(self.labels), name="projection")(features, inputs["label"])
            logit = layers.Add(dtype="float32", name="conditional_logit")([logit, projection])
        return keras.Model(inputs, logit, name="critic")

    def glorot(self) -> keras.initializers.Initializer:
        """Glorot-uniform with the next seed: TensorFlow 1's default, which the papers' code relied on."""
        return keras.initializers.GlorotUniform(seed=next(self.seeds))


def batch_size(examples: tf.Tensor) -> int | tf.Tensor:
    """Clips of a batch: a number where the graph knows it."""
    return examples.shape[0] if examples.shape[0] is not None else tf.shape(examples)[0]


def layer_seeds(seed: int) -> Iterator[int]:
    """Endless distinct seeds, one for each layer. Layers that share a seed would start with the same weights."""
    rng = np.random.default_rng([seed, 0x5EED])
    while True:
        yield int(rng.integers(2**31))
