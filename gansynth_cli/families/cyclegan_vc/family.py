"""MaskCycleGAN-VC (Kaneko et al. 2021): two domains, a generator each way, learnt from recordings that say different things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError, RecipeError
from ...layers.cyclegan import TwoWays
from ...layers.seeds import layer_seeds
from ...recipe_schema import Recipe
from ..base import Batch, Draws, Losses, Phase
from ..conversion import ConversionFamily
from . import networks
from .schema import CycleGANLosses, CycleGANModel

GENERATORS = ("to_first", "to_second")
CRITICS = ("critic_first", "critic_second", "critic_first_again", "critic_second_again")


class CycleGANVC(ConversionFamily):
    """Both directions at once.

    Networks:
        to_first, to_second: the generators; see `cyclegan_networks`.
        critic_first, critic_second: real spectra of a domain against conversions into it.
        critic_first_again, critic_second_again: against what has gone to the other domain and back (the second step of the two-step
            adversarial loss, CycleGAN-VC2, section 3.1).

    Phases: critic, generator ("generator_2" from `losses.identity_stop` on, without the identity loss).

    In a batch the labels take turns (`data.balance = "turns"`): clip 0, 2, ... are of the first domain.
    """

    averaged = GENERATORS
    model: CycleGANModel
    weights: CycleGANLosses

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, CycleGANModel)
        assert isinstance(recipe.losses, CycleGANLosses)
        super().__init__(recipe, info)
        if len(self.domains) != 2:
            raise DatasetError(
                f"The data set {info.name} has {len(self.domains)} labels ({', '.join(self.domains)}); cyclegan_vc converts between two.",
                hint="prepare two of them with --select, or train stargan_vc: it converts between any number",
            )
        if self.convention.bands % 4:
            raise RecipeError(f"model.mel.bands is {self.convention.bands}; expected a multiple of 4.", hint="--set model.mel.bands=80")
        if recipe.data.balance != "turns" or recipe.data.batch_size % 2:
            raise RecipeError(
                f"data.balance is {recipe.data.balance!r} and data.batch_size {recipe.data.batch_size}; cyclegan_vc takes clips of both "
                "domains in turn.",
                hint="--set data.balance=turns --set data.batch_size=2",
            )
        seeds = layer_seeds(recipe.seed if seed is None else seed)
        self.networks: dict[str, keras.Model] = {name: networks.generator(self.model, seeds, name) for name in GENERATORS}
        critics = CRITICS if self.weights.second_adversarial else CRITICS[:2]
        self.networks |= {name: networks.critic(self.model, seeds, name) for name in critics}

    def phases(self) -> tuple[Phase, ...]:
        stop = self.weights.identity_stop or None
        critics = tuple(name for name in CRITICS if name in self.networks)
        phases = [
            Phase("critic", critics, self.critic_losses, "critic", repeats=self.recipe.adversarial.critic_repeats),
            Phase("generator", GENERATORS, self.generator_losses, "generator", stop=stop),
        ]
        if stop:
            late = lambda batch, draws: self.generator_losses(batch, draws, late=True)
            phases.append(Phase("generator_2", GENERATORS, late, "generator", start=stop))
        return tuple(phases)

    def both(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Standardised spectra of the first and of the second domain, [batch / 2, frames, bands] each."""
        x, label = self.standardised(batch)
        turns = tf.range(tf.shape(label)[0]) % 2
        with tf.control_dependencies([tf.debugging.assert_equal(label, turns, "the domains do not take turns in this batch")]):
            return tf.identity(x[0::2]), tf.identity(x[1::2])

    def generate(self, name: str, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """What a generator makes of spectra, of which `mask` hides a part."""
        mask = tf.ones_like(x[..., :1]) if mask is None else mask
        return tf.cast(self.networks[name]({"mel": x * mask, "mask": mask}, training=True), tf.float32)

    def discriminate(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return self.networks[name](x, training=True)

    def masked(self, a: tf.Tensor, b: tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """Conversions of both, each with a span filled in: (of `a` into the second domain, of `b` into the first)."""
        second = self.generate("to_second", a, self.span_mask(draws, "mask_first", a))
        return second, self.generate("to_first", b, self.span_mask(draws, "mask_second", b))

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        a, b = self.both(batch)
        fake_b, fake_a = (tf.stop_gradient(x) for x in self.masked(a, b, draws))
        compare = lambda name, real, fake: 0.5 * self.loss.critic(self.discriminate(name, real), self.discriminate(name, fake))
        losses = {"adversarial": compare("critic_first", a, fake_a) + compare("critic_second", b, fake_b)}
        if self.weights.second_adversarial:
            again_a, again_b = (tf.stop_gradient(x) for x in (self.generate("to_first", fake_b), self.generate("to_second", fake_a)))
            losses["second"] = compare("critic_first_again", a, again_a) + compare("critic_second_again", b, again_b)
        return losses

    def generator_losses(self, batch: Batch, draws: Draws, late: bool = False) -> Losses:
        a, b = self.both(batch)
        w, identity = self.weights, self.identity_weight(late)
        fake_b, fake_a = self.masked(a, b, draws)
        score = lambda name, fake: self.loss.generator(self.discriminate(name, fake))
        distance = lambda x, y: tf.reduce_mean(tf.abs(x - y))
        losses = {"adversarial": w.adversarial * (score("critic_first", fake_a) + score("critic_second", fake_b))}
        again_a, again_b = self.generate("to_first", fake_b), self.generate("to_second", fake_a)
        losses["cycle"] = w.cycle * (distance(again_a, a) + distance(again_b, b))
        if w.second_adversarial:
            losses["second"] = w.second_adversarial * (score("critic_first_again", again_a) + score("critic_second_again", again_b))
        if identity:
            losses["identity"] = identity * (distance(self.generate("to_first", a), a) + distance(self.generate("to_second", b), b))
        return losses

    def conversion_network(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        return TwoWays(networks["to_first"], networks["to_second"], name="two_ways")

    def converter_options(self, networks: Mapping[str, keras.Model]) -> dict[str, Any]:
        return {"chunk_frames": self.model.chunk_frames, "stride_frames": 4}


FAMILY = CycleGANVC
