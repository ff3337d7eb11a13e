"""GANSynth: notes of a chosen pitch, generated as log magnitude and instantaneous frequency (Engel et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError
from ...feature_specs import BatchFeatures
from ...layers import AudioToNotePicture, NotePictureToAudio
from ...layers.growth import Stage, blend, halve, progress_at, stages_of_growth
from ...layers.seeds import layer_seeds
from ...losses.adversarial import LOSSES
from ...models.clip_generator import CONDITIONS, ClipGenerator
from ...recipe_schema import Recipe
from ..adversarial import AdversarialObjective, Answers, batch_size
from ..base import Batch, Draws, Losses, Phase, in_parts, provenance_of
from .checks import check_sizes
from .networks import build_growing, build_strided_critic, build_strided_generator
from .schema import GANSynthLosses, GANSynthModel


class GANSynth:
    """The family; see `GANSynthModel`. A picture is a spectrogram of two channels, log magnitude and instantaneous frequency.

    Networks:
        generator: {"latent": float32 [batch, latent_dim], conditions int32 [batch]} -> pictures float32 [batch, frames, bins, 2].
        critic: pictures (and the conditions, with projection) -> {"logit": float32 [batch, 1], and with auxiliary
            conditioning, condition: float32 [batch, classes]}.

    With `growth = "progressive"` both are trained one resolution after the other, in one run: the stage follows from the step.

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks a condition.
    """

    averaged = ("generator",)

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, GANSynthModel)
        assert isinstance(recipe.losses, GANSynthLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.classes: dict[str, list[str]] = {name: self._classes(name) for name in CONDITIONS if name in self.model.conditions}
        self.shares = {name: self._shares(name) for name in self.classes}
        check_sizes(self.model, recipe)
        self.picture = AudioToNotePicture(**self.scale, dtype="float32", name="picture")
        self.stages = self._stages()
        seeds = layer_seeds(recipe.seed if seed is None else seed)
        sizes = {name: len(classes) for name, classes in self.classes.items()}
        self.networks: dict[str, keras.Model]
        if self.grows:
            self.networks = build_growing(self.model, sizes, self.shape, recipe.data.batch_size, seeds)
            self.begin_step(0)
        else:
            arguments = (self.model, sizes, self.shape, self._harmonics(), seeds)
            self.networks = {"generator": build_strided_generator(*arguments), "critic": build_strided_critic(*arguments)}

    def _classes(self, name: str) -> list[str]:
        found = self.info.attributes.get(name, [])
        if not found:
            raise DatasetError(
                f"The recipe is conditioned on the {name} of a note (model.conditions), which the data set {self.info.name} does not know.",
                hint="gan-audio prepare NOTES -o DATA --layout nsynth, or leave it out of model.conditions",
            )
        return list(found)

    def _shares(self, name: str) -> np.ndarray:
        """float64 [classes]: how frequent each class is among the training clips; uniform where that is not known."""
        split = self.info.splits.get("train")
        counts = split.attribute_counts.get(name, {}) if split else {}
        numbers = np.array([counts.get(c, 0) for c in self.classes[name]], np.float64)
        return numbers / numbers.sum() if numbers.sum() else np.full(len(numbers), 1.0 / len(numbers))

    @property
    def grows(self) -> bool:
        """Whether the networks are those that can grow."""
        return self.model.network == "progressive"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, bins and channels of a picture."""
        m = self.model
        return (m.frames, m.mel_bands or m.fft // 2, 2)

    @property
    def scale(self) -> dict:
        """Arguments of both layers between audio and pictures."""
        m, data = self.model, self.recipe.data
        names: tuple[str, ...] = ("fft", "hop", "frames", "mel_bands", "mel_bank", "log_offset", "phase_floor")
        names += ("magnitude_scale", "magnitude_shift", "phase_scale")
        return {**{name: getattr(m, name) for name in names}, "samples": data.clip_samples, "sample_rate": data.sample_rate}

    def _harmonics(self) -> dict | None:
        """Arguments of `HarmonicMap`, where the recipe has it."""
        if not self.model.harmonic_map:
            return None
        m = self.model
        where = {name: getattr(m, name) for name in ("fft", "hop", "mel_bands", "mel_bank")}
        return {"pitches": [int(p) for p in self.classes["pitch"]], "sample_rate": self.recipe.data.sample_rate, **where}

    # Training.

    def _stages(self) -> tuple[Stage, ...]:
        m, batch = self.model, self.recipe.data.batch_size
        if m.growth == "none":
            return (Stage(0, m.levels - 1, False, 0, None),)
        return stages_of_growth(m.levels, math.ceil(m.stable_images / batch), math.ceil(m.fade_images / batch))

    def begin_step(self, step: int) -> None:
        """Set the resolution that the generator shows, which is all that growing changes in a saved model."""
        if self.grows:
            self.networks["generator"].progress.assign(progress_at(self.stages, step))

    def objectives(self) -> tuple[StageObjective, ...]:
        """Return the adversarial objective of each stage."""
        return tuple(StageObjective(self, stage) for stage in self.stages)

    def phases(self) -> tuple[Phase, ...]:
        """Return critic, critic_r1 if `r1` is set, generator; one of each for every stage, with fresh optimiser state."""
        return tuple(phase for objective in self.objectives() for phase in objective.phases())

    # Data, previews, the shipped model.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, attributes=tuple(self.classes))

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return float32 [clips, clip_samples, 1], at every stage of full length: fixed latents, pitches spread over the range, the other
        conditions going round."""
        model = self.inference_model(networks)
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        inputs: dict[str, np.ndarray] = {"latent": rng.standard_normal((clips, self.model.latent_dim)).astype(np.float32)}
        for name, classes in self.classes.items():
            spread = np.linspace(0, len(classes) - 1, clips).round() if name == "pitch" else np.arange(clips) % len(classes)
            inputs[name] = spread.astype(np.int32)
        return in_parts(lambda part: model(part, training=False), inputs)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """Build the generator with all it needs to give a note."""
        m, data = self.model, self.recipe.data
        return ClipGenerator(
            networks["generator"],
            NotePictureToAudio(**self.scale, griffin_lim_iterations=m.griffin_lim_iterations, dtype="float32", name="to_audio"),
            data.sample_rate,
            clip_samples=data.clip_samples,
            pitches=[int(p) for p in self.classes.get("pitch", [])],
            instruments=self.classes.get("instrument", []),
            velocities=[int(v) for v in self.classes.get("velocity", [])],
            latent={"dim": m.latent_dim, "distribution": "normal"},
            provenance=provenance_of(self.recipe, self.info),
            name="clip_generator",
        )


class StageObjective(AdversarialObjective):
    """The adversarial objective of one stage, whose pictures are generated and judged in the stage's own resolution.

    That is what the authors' code computes at full size. For the gradient penalty, which does see a difference, slopes are taken with
    respect to the full picture as there: one that repeats each pixel n x n times has n times smaller slopes, and scaled pictures have
    those too.

    With auxiliary conditioning generated notes have classes drawn in proportion to those of the data, each condition by itself; with
    projection those of the batch's clips, so that only combinations that exist are generated.
    """

    def __init__(self, family: GANSynth, stage: Stage):
        self.family, self.stage = family, stage
        self.settings, self.loss = family.recipe.adversarial, LOSSES[family.recipe.adversarial.loss]
        self.auxiliary = family.model.conditioning == "auxiliary"
        m = family.model
        halvings = m.levels - 1 - stage.level if family.grows else 0
        unnormalized = family.weights.penalty_space == "unnormalized"
        scales = [m.magnitude_scale, m.phase_scale] if unnormalized else [1.0, 1.0]  # the shift drops out
        self.slope_scale = np.array([2.0**halvings / x for x in scales], np.float32)  # one a channel

    def window(self, network: str) -> dict[str, Any]:
        stage, number = self.stage, None if self.family.model.growth == "none" else self.stage.index
        when = {"start": stage.start, "stop": stage.stop, "stage": number, "fresh": bool(number)}
        return {**when, "variables": lambda: self.variables(network)}

    def variables(self, name: str) -> list[keras.Variable]:
        """Return the variables of a network that the stage trains."""
        network = self.family.networks[name]
        if not self.family.grows:
            return network.trainable_variables
        return [v for part in network.parts_at(self.stage.level, self.stage.fading) for v in part.trainable_variables]

    def real_examples(self, batch: Batch, draws: Draws) -> tf.Tensor:
        """Return the pictures of a batch in the stage's resolution; while it fades in, mixed with the coarser one."""
        pictures = self.family.picture(batch["audio"])
        if not self.family.grows:
            return pictures
        return blend(halve(pictures, self.family.model.levels - 1 - self.stage.level), self.stage.alpha(draws.step))

    def requested(self, batch: Batch, draws: Draws) -> Batch:
        if not self.auxiliary:
            return batch
        size, drawn = batch_size(batch["audio"]), {}
        for name, shares in self.family.shares.items():
            bounds = tf.constant(np.cumsum(shares)[:-1], tf.float32)
            drawn[name] = tf.searchsorted(bounds, draws.uniform(f"class/{name}", (size,)), side="right")
        return {**batch, **drawn}

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        latent = draws.normal("latent", (batch_size(batch["audio"]), self.family.model.latent_dim))
        inputs = {"latent": latent, **self._conditions(batch)}
        generator = self.family.networks["generator"]
        if not self.family.grows:
            return generator(inputs, training=True)
        return generator.at(inputs, self.stage.level, self.stage.alpha(draws.step))

    def discriminate(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        return self.answers(examples, batch, draws, name)["logits"]

    def answers(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> Answers:
        critic = self.family.networks["critic"]
        if self.family.grows:
            found = critic.at(examples, self.stage.level, self.stage.alpha(draws.step))
        else:
            found = critic({"example": examples, **self._conditions(batch)}, training=True)
        return {"logits": found["logit"][:, 0], **{name: found[name] for name in self.family.classes if self.auxiliary}}

    def classification_losses(self, answers: Answers, batch: Batch) -> Losses:
        weight = self.family.weights.classification
        if not self.auxiliary or not weight:
            return {}
        cost = lambda name: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch[name], logits=answers[name])
        return {f"class_{name}": weight * tf.reduce_mean(cost(name)) for name in self.family.classes}

    def reconstruction_losses(self, made: tf.Tensor, batch: Batch, draws: Draws) -> Losses:
        weight = self.family.weights.reconstruction
        if not weight or self.auxiliary:  # only with projection are the classes those of the batch
            return {}
        return {"reconstruction": weight * tf.reduce_mean(tf.abs(made - self.real_examples(batch, draws)))}

    def _conditions(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {name: batch[name] for name in self.family.classes}


FAMILY = GANSynth
