"""GANSynth: notes of a chosen pitch, drawn as log magnitude and instantaneous frequency (Engel et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError, RecipeError
from ...feature_specs import BatchFeatures
from ...layers import AudioToNotePicture, NotePictureToAudio
from ...layers.growth import GrowingCritic, GrowingGenerator, Stage, blend, halve, progress_at, stages_of_growth, widths_of
from ...losses.adversarial import LOSSES, drift_penalty, gradient_penalty, r1_penalty
from ...models.clip_generator import CONDITIONS, ClipGenerator
from ...recipe_schema import Recipe
from ..adversarial import PREVIEW_BATCH, batch_size, layer_seeds
from ..base import Batch, Draws, Losses, Phase, provenance_of
from .networks import build_strided_critic, build_strided_generator
from .schema import GANSynthLosses, GANSynthModel


class GANSynth:
    """The family; see `GANSynthModel`.

    Networks:
        generator: {"latent": float32 [batch, latent_dim], conditions int32 [batch]} -> pictures float32 [batch, frames, bins, 2].
        critic: pictures (and the conditions, with projection) -> {"logit": float32 [batch, 1], and with auxiliary
            conditioning, condition: float32 [batch, classes]}.

    With `growth = "progressive"` both are trained a resolution after the other, in one run: the stage follows from the step. Pictures are
    then made and judged in the stage's own resolution, which is what the authors' code computes at full size; for the gradient penalty,
    which does see a difference, slopes are taken with regard to the full picture as there.

    With auxiliary conditioning generated notes have classes drawn in proportion to those of the data, each condition by itself; with
    projection those of the batch's clips, so that only combinations that there are get asked for.

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks a condition.
    """

    averaged = ("generator",)

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, GANSynthModel)
        assert isinstance(recipe.losses, GANSynthLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings = recipe.adversarial
        self.loss = LOSSES[self.settings.loss]
        self.classes: dict[str, list[str]] = {name: self._classes(name) for name in CONDITIONS if name in self.model.conditions}
        self.shares = {name: self._shares(name) for name in self.classes}
        self.auxiliary = self.model.conditioning == "auxiliary"
        self._check()
        self.picture = AudioToNotePicture(**self.scale, dtype="float32", name="picture")
        self.stages = self._stages()
        seeds = layer_seeds(recipe.seed if seed is None else seed)
        sizes = {name: len(classes) for name, classes in self.classes.items()}
        m = self.model
        if m.network == "progressive":
            start, widths = self._start(m.levels - 1), widths_of(m.levels, m.dim, m.widest)
            self.networks: dict[str, keras.Model] = {
                "generator": GrowingGenerator(m.latent_dim, sizes, start, widths, seeds=seeds, output_gain=m.output_gain, name="generator"),
                "critic": GrowingCritic(
                    sizes,
                    start,
                    widths,
                    recipe.data.batch_size,
                    seeds=seeds,
                    output_gain=m.output_gain,
                    stddev_epsilon=m.stddev_epsilon,
                    name="critic",
                ),
            }
            self.begin_step(0)
        else:
            arguments = (m, sizes, self.shape, self._harmonics(), seeds)
            self.networks = {"generator": build_strided_generator(*arguments), "critic": build_strided_critic(*arguments)}

    # What the data set and the recipe must agree on.

    def _classes(self, name: str) -> list[str]:
        found = self.info.attributes.get(name, [])
        if not found:
            raise DatasetError(
                f"The recipe is conditioned on the {name} of a note (model.conditions), which the data set {self.info.name} does not know.",
                hint="gan-audio prepare NOTES -o DATA --layout nsynth, or leave it out of model.conditions",
            )
        return list(found)

    def _shares(self, name: str) -> np.ndarray:
        """float64 [classes]: how frequent each class is among the clips that are trained on; even where that is not known."""
        split = self.info.splits.get("train")
        counts = split.attribute_counts.get(name, {}) if split else {}
        numbers = np.array([counts.get(c, 0) for c in self.classes[name]], np.float64)
        return numbers / numbers.sum() if numbers.sum() else np.full(len(numbers), 1.0 / len(numbers))

    def _check(self) -> None:
        m, data = self.model, self.recipe.data
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; GANSynth draws notes of one channel.", hint="--set data.channels=1")
        if m.fft % 2 or 2 * m.hop > m.fft:
            raise RecipeError(f"model.fft is {m.fft} and model.hop {m.hop}; expected an even fft and a hop of at most half of it.")
        most = (m.frames - 1) * m.hop + m.fft
        if not most // 2 < data.clip_samples <= most:
            raise RecipeError(
                f"{m.frames} frames (model.frames) of {m.fft} samples every {m.hop} hold up to {most} samples, and are too many for "
                f"{most // 2}; data.clip_samples is {data.clip_samples}.",
                hint=f"--set data.clip_samples={(m.frames - 1) * m.hop}, or --set model.frames={-(-data.clip_samples // m.hop) + 1}",
            )
        parts, what = 2 ** (m.levels - 1), f"model.levels = {m.levels}"
        frames, bins, _ = self.shape
        if frames % parts or bins % parts:
            raise RecipeError(
                f"A picture of {frames} frames x {bins} bins cannot be halved {m.levels - 1} times ({what}); "
                f"expected multiples of {parts}.",
                hint="choose model.frames and model.fft / 2 (or model.mel_bands) as powers of two, or fewer model.levels",
            )
        if m.network == "strided" and m.levels < 2:
            raise RecipeError("model.levels is 1; a strided network needs at least 2.", hint="--set model.levels=5")
        if self.settings.critic_start:
            raise RecipeError("adversarial.critic_start is set; GANSynth's critic begins at once.", hint="--set adversarial.critic_start=0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, bins and channels of a picture."""
        m = self.model
        return (m.frames, m.mel_bands or m.fft // 2, 2)

    @property
    def scale(self) -> dict:
        """What both directions between audio and pictures need."""
        m, data = self.model, self.recipe.data
        names: tuple[str, ...] = ("fft", "hop", "frames", "mel_bands", "mel_bank", "log_offset", "phase_floor")
        names += ("magnitude_scale", "magnitude_shift", "phase_scale")
        return {**{name: getattr(m, name) for name in names}, "samples": data.clip_samples, "sample_rate": data.sample_rate}

    def _start(self, halvings: int) -> tuple[int, int]:
        return self.shape[0] >> halvings, self.shape[1] >> halvings

    def _harmonics(self) -> dict | None:
        """The arguments of `HarmonicMap`, where the recipe has it."""
        if not self.model.harmonic_map:
            return None
        m = self.model
        where = {name: getattr(m, name) for name in ("fft", "hop", "mel_bands", "mel_bank")}
        return {"pitches": [int(p) for p in self.classes["pitch"]], "sample_rate": self.recipe.data.sample_rate, **where}

    # Growing.

    def _stages(self) -> tuple[Stage, ...]:
        m, batch = self.model, self.recipe.data.batch_size
        if m.growth == "none":
            return (Stage(0, m.levels - 1, False, 0, None),)
        return stages_of_growth(m.levels, math.ceil(m.stable_images / batch), math.ceil(m.fade_images / batch))

    def begin_step(self, step: int) -> None:
        """Tells the generator the resolution that it shows, which is all that growing changes in a saved model."""
        if self.model.network == "progressive":
            self.networks["generator"].progress.assign(progress_at(self.stages, step))

    def phases(self) -> tuple[Phase, ...]:
        """critic, critic_r1 if `r1` is set, generator; one of each for every stage, whose optimisers begin anew."""
        s = self.settings
        if self.model.growth == "none":
            (stage,) = self.stages
            return self._phases_of(stage, number=None)
        if s.r1:
            raise RecipeError("adversarial.r1 is set, which growth = 'progressive' does not have.", hint="--set adversarial.r1=0")
        return tuple(phase for stage in self.stages for phase in self._phases_of(stage, stage.index))

    def _phases_of(self, stage: Stage, number: int | None) -> tuple[Phase, ...]:
        s = self.settings
        clip = s.weight_clip if self.loss.weight_clip else 0.0
        common: dict = {"start": stage.start, "stop": stage.stop, "stage": number, "fresh": bool(number)}

        def of(name: str, losses: Callable) -> dict:
            staged = lambda batch, draws: losses(batch, draws, stage)
            return {"losses": staged, "networks": (name,), "optimizer": name, "variables": lambda: self._variables(name, stage)}

        critic = Phase("critic", **of("critic", self.critic_losses), repeats=s.critic_repeats, weight_clip=clip, **common)
        generator = Phase("generator", **of("generator", self.generator_losses), **common)
        if not s.r1:
            return critic, generator
        lazy = Phase("critic_r1", **of("critic", self.r1_losses), every=s.r1_every, weight_clip=clip, **common)
        return critic, lazy, generator

    def _variables(self, name: str, stage: Stage) -> list[keras.Variable]:
        network = self.networks[name]
        if self.model.network == "strided":
            return network.trainable_variables
        return [v for part in network.parts_at(stage.level, stage.fading) for v in part.trainable_variables]

    # The game.

    def critic_losses(self, batch: Batch, draws: Draws, stage: Stage) -> Losses:
        """The critic's side: tell real from generated, and (auxiliary) name the classes of real notes."""
        real, told = self.represent(batch, draws, stage), self._classes_of(batch)
        asked = self._asked(batch, draws)
        fake = tf.stop_gradient(self.generate(asked, batch, draws, stage))
        answers = self.judge(real, told, draws, stage)
        judged = self.judge(fake, asked, draws, stage)["logit"][:, 0]
        losses = {"adversarial": self.loss.critic(answers["logit"][:, 0], judged)}
        if self.loss.gradient_penalty:
            # A full-size picture that repeats each pixel n x n times has n times smaller slopes; scaled pictures have those too.
            size = self._slope_scale(stage)
            alpha = draws.uniform("alpha", (batch_size(real),))
            slope = gradient_penalty(lambda x: self.judge(x / size, told, draws, stage)["logit"][:, 0], real * size, fake * size, alpha)
            losses["gradient_penalty"] = self.settings.gradient_penalty * slope
        if self.settings.drift:
            losses["drift"] = self.settings.drift * drift_penalty(answers["logit"][:, 0])
        return {**losses, **self._classification(answers, told)}

    def _slope_scale(self, stage: Stage) -> np.ndarray:
        """The factor on spectrograms for which the gradient penalty is taken: float32 [2], one a channel."""
        m = self.model
        halvings = m.levels - 1 - stage.level if m.network == "progressive" else 0
        unnormalized = self.weights.penalty_space == "unnormalized"
        scale = [m.magnitude_scale, m.phase_scale] if unnormalized else [1.0, 1.0]  # the shift drops out
        return np.array([2.0**halvings / x for x in scale], np.float32)

    def r1_losses(self, batch: Batch, draws: Draws, stage: Stage) -> Losses:
        """gamma / 2 E[|grad D(real)|^2], times the number of steps it stands for."""
        real, told = self.represent(batch, draws, stage), self._classes_of(batch)
        weight = 0.5 * self.settings.r1 * self.settings.r1_every
        return {"r1": weight * r1_penalty(lambda x: self.judge(x, told, draws, stage)["logit"][:, 0], real)}

    def generator_losses(self, batch: Batch, draws: Draws, stage: Stage) -> Losses:
        """The generator's side on fresh latents."""
        asked = self._asked(batch, draws)
        made = self.generate(asked, batch, draws, stage)
        answers = self.judge(made, asked, draws, stage)
        losses = {"adversarial": self.loss.generator(answers["logit"][:, 0]), **self._classification(answers, asked)}
        if self.weights.reconstruction and not self.auxiliary:  # the classes asked for are those of the batch
            distance = tf.reduce_mean(tf.abs(made - self.represent(batch, draws, stage)))
            losses["reconstruction"] = self.weights.reconstruction * distance
        return losses

    def represent(self, batch: Batch, draws: Draws, stage: Stage) -> tf.Tensor:
        """The pictures of a batch in a stage's resolution; while it fades in, mixed with the coarser one."""
        pictures = self.picture(batch["audio"])
        if self.model.network == "strided":
            return pictures
        return blend(halve(pictures, self.model.levels - 1 - stage.level), stage.alpha(draws.step))

    def generate(self, asked: Mapping[str, tf.Tensor], batch: Batch, draws: Draws, stage: Stage) -> tf.Tensor:
        """Generated pictures of the classes `asked`, as many as the batch has clips."""
        latent = draws.normal("latent", (batch_size(batch["audio"]), self.model.latent_dim))
        inputs = {"latent": latent, **asked}
        if self.model.network == "strided":
            return self.networks["generator"](inputs, training=True)
        return self.networks["generator"].at(inputs, stage.level, stage.alpha(draws.step))

    def judge(self, pictures: tf.Tensor, told: Mapping[str, tf.Tensor], draws: Draws, stage: Stage) -> dict[str, tf.Tensor]:
        """The critic's answers; `told` is read with projection alone, but for the harmonics of the pitch."""
        if self.model.network == "strided":
            return self.networks["critic"]({"example": pictures, **told}, training=True)
        return self.networks["critic"].at(pictures, stage.level, stage.alpha(draws.step))

    def _classes_of(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {name: batch[name] for name in self.classes}

    def _asked(self, batch: Batch, draws: Draws) -> dict[str, tf.Tensor]:
        if not self.auxiliary:
            return self._classes_of(batch)
        size = batch_size(batch["audio"])
        asked: dict[str, tf.Tensor] = {}
        for name, shares in self.shares.items():
            bounds = tf.constant(np.cumsum(shares)[:-1], tf.float32)
            asked[name] = tf.searchsorted(bounds, draws.uniform(f"class/{name}", (size,)), side="right")
        return asked

    def _classification(self, answers: Mapping[str, tf.Tensor], right: Mapping[str, tf.Tensor]) -> Losses:
        if not self.auxiliary or not self.weights.classification:
            return {}
        cost = lambda name: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=right[name], logits=answers[name])
        return {f"class_{name}": self.weights.classification * tf.reduce_mean(cost(name)) for name in right}

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, attributes=tuple(self.classes))

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """float32 [clips, clip_samples, 1], at every stage of full length: fixed latents, pitches spread over the range, the other
        conditions going round."""
        model = self.inference_model(networks)
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        inputs: dict[str, np.ndarray] = {"latent": rng.standard_normal((clips, self.model.latent_dim)).astype(np.float32)}
        for name, classes in self.classes.items():
            spread = np.linspace(0, len(classes) - 1, clips).round() if name == "pitch" else np.arange(clips) % len(classes)
            inputs[name] = spread.astype(np.int32)
        parts = [slice(start, start + PREVIEW_BATCH) for start in range(0, clips, PREVIEW_BATCH)]
        return np.concatenate([model({k: tf.constant(v[part]) for k, v in inputs.items()}, training=False).numpy() for part in parts])

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """The generator with all it needs to give a note."""
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


FAMILY = GANSynth
