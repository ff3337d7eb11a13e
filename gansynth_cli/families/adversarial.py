"""The adversarial objective of families with one generator and one discriminator: phases, losses and penalties of `[adversarial]`.

The discriminator is the network and the phase "critic" in recipes, checkpoints and logs, after the Wasserstein critic that the first
families had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..losses.adversarial import AdversarialLoss, drift_penalty, gradient_penalty, r1_penalty
from ..recipe_schema import Adversarial
from .base import Batch, Draws, Losses, Phase

Answers = Mapping[str, tf.Tensor]  # "logits" float32 [batch, ...], and the class logits of an auxiliary classifier by condition


class AdversarialObjective:
    """Both sides of `[adversarial]`, for any family with a network "generator" and a network "critic".

    A subclass sets `settings` and `loss`, and says how examples are generated (`generate`), how clips are represented (`represent`) and
    how the discriminator scores them (`discriminate`). Terms of the generator beside the adversarial one go into `reconstruction_losses`.

    A family whose discriminator classifies too overrides `answers` and `classification_losses`; one that generates examples of other
    conditions than the batch has, `requested`; one that trains in stages builds an objective for each, with the `window` of its phases.
    """

    settings: Adversarial
    loss: AdversarialLoss
    reconstructs = False  # whether `reconstruction_losses` has terms: they train the generator before `critic_start` too
    slope_scale: float | np.ndarray = 1.0  # factor on examples for which the gradient penalty is taken, broadcast over their shape

    # Examples.

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """Return what the discriminator sees of float32 [batch, samples, channels]."""
        return audio

    def real_examples(self, batch: Batch, draws: Draws) -> tf.Tensor:
        """Return the representation of the batch's clips."""
        return self.represent(batch["audio"])

    def requested(self, batch: Batch, draws: Draws) -> Batch:
        """Return the batch with the conditions of generated examples; by default those of its clips, as frequent as in the data."""
        return batch

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        """Return one generated representation for each clip of the batch, with its conditions."""
        raise NotImplementedError

    # The discriminator.

    def discriminate(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        """Return float32 [batch, ...]: the discriminator's logits, drawing what it needs under `name` ("real", "fake", "between")."""
        raise NotImplementedError

    def answers(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> Answers:
        """Return all outputs of the discriminator; by default the logits of `discriminate` only."""
        return {"logits": self.discriminate(examples, batch, draws, name)}

    def answers_to_both(self, real: tf.Tensor, fake: tf.Tensor, batch: Batch, wanted: Batch, draws: Draws) -> tuple[Answers, Answers]:
        """Return the outputs for real and for generated examples; to be overridden where one call is cheaper than two."""
        return self.answers(real, batch, draws, "real"), self.answers(fake, wanted, draws, "fake")

    # Further terms.

    def classification_losses(self, answers: Answers, batch: Batch) -> Losses:
        """Return the weighted losses of an auxiliary classifier (Odena et al. 2017): the discriminator's on real examples, the generator's
        on its own."""
        return {}

    def reconstruction_losses(self, made: tf.Tensor, batch: Batch, draws: Draws) -> Losses:
        """Return weighted losses of the generator beside the adversarial one; `made` is the result of `generate` for the batch."""
        return {}

    # Phases.

    def window(self, network: str) -> dict[str, Any]:
        """Return fields of the `Phase`s that train a network: when they run, and which of its variables they update."""
        return {"start": self.settings.critic_start}

    def phases(self) -> tuple[Phase, ...]:
        """Return critic (n times), critic_r1 if `r1` is set (every r1_every-th step), generator. All wait for `critic_start`; before, a
        generator that reconstructs is trained on that only (generator_alone)."""
        s = self.settings
        clip = s.weight_clip if self.loss.weight_clip else 0.0
        critic, generator = self.window("critic"), self.window("generator")
        phases = []
        if s.critic_start and self.reconstructs:
            phases.append(Phase("generator_alone", ("generator",), self.reconstruct, "generator", stop=s.critic_start))
        phases.append(Phase("critic", ("critic",), self.critic_losses, "critic", repeats=s.critic_repeats, weight_clip=clip, **critic))
        if s.r1:
            phases.append(Phase("critic_r1", ("critic",), self.r1_losses, "critic", every=s.r1_every, weight_clip=clip, **critic))
        phases.append(Phase("generator", ("generator",), self.generator_losses, "generator", **generator))
        return tuple(phases)

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the discriminator's losses on one batch: adversarial, penalties, classification."""
        real, wanted = self.real_examples(batch, draws), self.requested(batch, draws)
        fake = tf.stop_gradient(self.generate(wanted, draws))
        real_answers, fake_answers = self.answers_to_both(real, fake, batch, wanted, draws)
        losses = {"adversarial": self.loss.critic(real_answers["logits"], fake_answers["logits"])}
        if self.loss.gradient_penalty:
            alpha, scale = draws.uniform("alpha", (batch_size(real),)), self.slope_scale
            scaled = lambda x: self.discriminate(x / scale, batch, draws, "between")
            losses["gradient_penalty"] = self.settings.gradient_penalty * gradient_penalty(scaled, real * scale, fake * scale, alpha)
        if self.settings.drift:
            losses["drift"] = self.settings.drift * drift_penalty(real_answers["logits"])
        return {**losses, **self.classification_losses(real_answers, batch)}

    def r1_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return gamma / 2 E[|grad D(real)|^2], times the number of steps it stands for (Karras et al. 2020, appendix B)."""
        real = self.real_examples(batch, draws)
        weight = 0.5 * self.settings.r1 * self.settings.r1_every
        return {"r1": weight * r1_penalty(lambda x: self.discriminate(x, batch, draws, "real"), real)}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the generator's losses on fresh latents: adversarial, classification, reconstruction."""
        wanted = self.requested(batch, draws)
        made = self.generate(wanted, draws)
        answers = self.answers(made, wanted, draws, "fake")
        adversarial = self.loss.generator(answers["logits"])
        return {
            "adversarial": adversarial,
            **self.classification_losses(answers, wanted),
            **self.reconstruction_losses(made, batch, draws),
        }

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        """Return the generator's losses without a discriminator."""
        return self.reconstruction_losses(self.generate(batch, draws), batch, draws)


def batch_size(examples: tf.Tensor) -> int | tf.Tensor:
    """Return the clips of a batch: a Python number where the graph knows it."""
    return examples.shape[0] if examples.shape[0] is not None else tf.shape(examples)[0]
