"""Bandwidth extension as a family: trained on clips whose band is cut by filters that differ from clip to clip."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...data.mixing.mix import active_power
from ...errors import RecipeError
from ...feature_specs import BatchFeatures
from ...losses.adversarial import LOSSES
from ...losses.spectral import feature_matching
from ...models.bandwidth_extender import BandwidthExtender, cut_bin
from ...recipe_schema import Recipe
from ...signal import erb
from ...signal import erb_front_end as front_end
from ..adversarial import AdversarialObjective
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..enhancement import EnhancementPreviews, joined_logits
from .networks import build_critics, build_network
from .schema import BandwidthLosses, BandwidthModel
from .terms import LEVEL, TERMS, Pair

_QUIET = 1e-3  # -60 dBFS: quieter clips are scaled as if they were that loud
_BIN_HZ = 50.0
_HEARD_POWER, _HEARD_SHARE = 10 ** (-108 / 10) / 2, 2e-9
_FIRST_EDGE_BIN = 20
_PASSED = 0.5  # -6 dB
_EDGE_JITTER = 0.05
_LEVEL_JITTER_DB = 4.0


class BandwidthExtension(EnhancementPreviews, AdversarialObjective):
    """A generator of the band above an edge, trained on pairs of narrow ("noisy") and full-band ("clean") clips.

    Networks:
        generator: `BandwidthExtender`.
        critic: `layers.discriminators`; there only where `losses.adversarial` or `losses.feature_matching` is set.

    The edge of each pair is measured: where the transfer function from the full-band clip to the narrow one falls by 6 dB. Above the band
    that the full-band recording has itself, such as 8 kHz in a data set of 48 kHz, nothing is generated and nothing compared.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Sizes that do not fit together, several channels, or no loss that compares with the clean clip.
    """

    averaged = ("generator",)
    reconstructs = True
    model: BandwidthModel
    weights: BandwidthLosses

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, BandwidthModel)
        assert isinstance(recipe.losses, BandwidthLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        m, seed = recipe.model, recipe.seed if seed is None else seed
        self._check()
        try:
            self.networks: dict[str, keras.Model] = {"generator": build_network(m, recipe.data.sample_rate, seed)}
        except ValueError as error:
            raise RecipeError(f"[model] or data.sample_rate: {error}") from error
        if self.adversarial:
            self.networks["critic"] = build_critics(m, seed)

    @property
    def critic_clips(self) -> int:
        return self.model.critic_clips

    @property
    def _generator(self) -> BandwidthExtender:
        return self.networks["generator"]

    def _check(self) -> None:
        data = self.recipe.data
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; expected mono clips.", hint="--set data.channels=1")
        if not TERMS.active(self.weights):
            raise RecipeError("No term of [losses] that compares with the full-band clip has a weight.", hint="--set losses.levels=1")
        if self.model.network == "envelope" and any(name.startswith("ap_") for name in TERMS.active(self.weights)):
            raise RecipeError('Terms ap_* of [losses] compare what only model.network = "ap-bwe" predicts.', hint="--set losses.levels=1")

    # From audio to audio.

    def extend(self, batch: Batch, draws: Draws | None = None, network: BandwidthExtender | None = None, clips: int | None = None) -> Pair:
        """Extend the narrow clips of a batch; `draws` vary the edge and the level that the network is given."""
        narrow, target = batch["noisy"][:clips, :, 0], batch["clean"][:clips, :, 0]
        rate = self.recipe.data.sample_rate
        narrow_spectrum, target_spectrum = (_spectra(x, rate) for x in (narrow, target))
        target_power = tf.square(target_spectrum.real) + tf.square(target_spectrum.imaginary)
        edge, reach = passed_band(narrow_spectrum, target_spectrum, target_power), recorded_band(target_power)
        level = 10.0 * tf.math.log(active_power(narrow, rate) + 1e-12) / float(np.log(10.0))
        if draws is not None:
            clips_drawn = (narrow.shape[0] if narrow.shape[0] is not None else tf.shape(narrow)[0],)
            edge *= draws.uniform("edge", clips_drawn, 1.0 - _EDGE_JITTER, 1.0)
            level += draws.uniform("level", clips_drawn, -_LEVEL_JITTER_DB, _LEVEL_JITTER_DB)
        network = network or self._generator
        made = network.extend(narrow, edge, level, reach, rate)
        scale = LEVEL / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(target), axis=1, keepdims=True)), _QUIET)
        step = rate / network.settings.frame
        return Pair(made, target, target_power, scale, cut_bin(edge / step) * step, reach, network, self.weights, rate)

    # Losses.

    @property
    def adversarial(self) -> bool:
        """Whether there is a discriminator."""
        return self.weights.adversarial > 0 or self.weights.feature_matching > 0

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        return TERMS(self.weights, self.extend(batch, draws))

    def phases(self) -> tuple[Phase, ...]:
        """Return the generator's phase only where there is no discriminator; else those of `AdversarialObjective`."""
        return (
            AdversarialObjective.phases(self) if self.adversarial else (Phase("generator", ("generator",), self.reconstruct, "generator"),)
        )

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        pair = self.extend(batch, draws, clips=self.critic_clips)
        fake, real = (tf.stop_gradient(x * pair.scale)[..., None] for x in (pair.made.audio, pair.target))
        answers = [self.networks["critic"](audio, training=True) for audio in (real, fake)]
        losses = {}
        for name in answers[0]:
            real_logits, fake_logits = (joined_logits(answer[name][0]) for answer in answers)
            losses[f"adversarial_{name}"] = self._critic_weight(name) * self.loss.critic(real_logits, fake_logits)
        return losses

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        pair = self.extend(batch, draws)
        losses, seen = TERMS(self.weights, pair), self.critic_clips
        critic = lambda audio: self.networks["critic"]((audio * pair.scale)[:seen, :, None], training=True)
        made, wanted = critic(pair.made.audio), critic(pair.target) if self.weights.feature_matching else {}
        for name, (logits, features) in made.items():
            weight = self._critic_weight(name)
            if self.weights.adversarial:
                losses[f"adversarial_{name}"] = weight * self.weights.adversarial * self.loss.generator(joined_logits(logits))
            if self.weights.feature_matching:
                losses[f"feature_matching_{name}"] = weight * self.weights.feature_matching * feature_matching(features, wanted[name][1])
        return losses

    def _critic_weight(self, name: str) -> float:
        return self.weights.spectral_critic if name in ("amplitude", "phase") else 1.0

    # Previews and the shipped model.

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return the narrow clips, extended: float32 [n, samples, channels], n <= clips."""
        taken = {name: examples[:clips] for name, examples in self._examples.items()}
        parts = [{name: tf.constant(x[i : i + 4]) for name, x in taken.items()} for i in range(0, len(taken["noisy"]), 4)]
        return np.concatenate([self.extend(part, network=networks["generator"]).made.audio.numpy()[..., None] for part in parts])

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        model = networks["generator"]
        model.provenance = provenance_of(self.recipe, self.info)
        return model


def _spectra(audio: tf.Tensor, sample_rate: int) -> front_end.ComplexSpectrum:
    """Compute spectra of frames of 20 ms every 10 ms, bins of 50 Hz."""
    frame = 2 * (sample_rate // 100)
    return front_end.analyse(audio, erb.FrameLayout(sample_rate, frame, frame // 2, frame // 2 + 1, frame // 2 + 1))


def passed_band(narrow: front_end.ComplexSpectrum, target: front_end.ComplexSpectrum, target_power: tf.Tensor) -> tf.Tensor:
    """Measure where the filter between two clips ends: float32 [batch] in Hz; half the rate where it passes all.

    The transfer function is |sum_t N conj(T)| / sum_t |T|^2, which noise and artefacts in the narrow clip do not raise. Spectra have bins
    of 50 Hz.
    """
    real = tf.reduce_sum(narrow.real * target.real + narrow.imaginary * target.imaginary, axis=1)
    imaginary = tf.reduce_sum(narrow.imaginary * target.real - narrow.real * target.imaginary, axis=1)
    smooth = lambda x: tf.nn.avg_pool1d(x[..., None], 3, 1, "SAME")[..., 0]
    passed = smooth(tf.sqrt(tf.square(real) + tf.square(imaginary))) / (smooth(tf.reduce_sum(target_power, axis=1)) + 1e-16)
    bins = target_power.shape[-1]
    place = tf.range(bins, dtype=tf.float32)
    closed = (passed < _PASSED) & (place >= _FIRST_EDGE_BIN)
    return _BIN_HZ * tf.reduce_min(tf.where(closed, place, np.float32(bins - 1)), axis=1)


def recorded_band(power: tf.Tensor) -> tf.Tensor:
    """Measure where the band of full-band clips ends: float32 [batch] in Hz of spectra [batch, frames, bins] with bins of 50 Hz.

    A band of 500 Hz has to pass what quantisation to 16 bits leaves (-115 dBFS), and what a resampler leaves of the whole.
    """
    bins = power.shape[-1]
    power = power[:, 2:-2]  # a clip cut in a vowel reaches every band at its ends
    steps = tf.reduce_sum(tf.reshape(tf.pad(tf.reduce_mean(power, axis=1), [[0, 0], [0, -bins % 10]]), [-1, -(-bins // 10), 10]), axis=-1)
    heard = steps > tf.maximum(_HEARD_POWER, _HEARD_SHARE * tf.reduce_sum(steps, axis=1, keepdims=True))
    last = tf.reduce_max(tf.where(heard, tf.range(1.0, steps.shape[1] + 1.0), 0.0), axis=1)
    return tf.minimum(last * 10.0, bins - 1.0) * _BIN_HZ


FAMILY = BandwidthExtension
