"""Small streaming denoisers: a causal network gives every bin of every spectrum frame a gain, optionally judged by a critic."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...losses.adversarial import LOSSES
from ...recipe_schema import Recipe
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..enhancement import EnhancementObjective
from .networks import build_critic, build_generator
from .schema import DenoiserLosses, DenoiserModel
from .terms import DISTURBANCES, TERMS, Pair

_QUIET = 1e-3  # -60 dBFS: clips below count as that loud when they are levelled for the losses
_MAX_LEVEL = 1.5  # 3.5 dB: what is turned down by more is not for a factor to mend


class Denoiser(EnhancementObjective):
    """A spectral mask network trained on mixtures.

    Networks:
        generator: `FrameDenoiser`, spectrum frames -> gains. Between them and audio stand the transforms of this file.
        critic: `layers.discriminators.multi_resolution`; there only where `losses.adversarial` or `losses.feature_matching` is set.

    Every loss is computed on clips scaled to the noisy clip's level, so that a quiet recording weighs as much as a loud one. The target of
    a clip of noise alone is silence: its ratio in dB is left out, the spectral terms remain.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Bands that do not add up to the spectrum, several channels, no loss.
    """

    averaged = ("generator",)
    model: DenoiserModel
    weights: DenoiserLosses

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, DenoiserModel)
        assert isinstance(recipe.losses, DenoiserLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        self._check()
        seed = recipe.seed if seed is None else seed
        self.networks: dict[str, keras.Model] = {"generator": build_generator(self.model, recipe.data.sample_rate, seed)}
        if self.adversarial:
            self.networks["critic"] = build_critic(self.model, seed)

    @property
    def critic_clips(self) -> int:
        return self.model.critic_clips

    def _check(self) -> None:
        m, data, w = self.model, self.recipe.data, self.weights
        if m.fft % 4:
            raise RecipeError(f"model.fft is {m.fft}; expected a multiple of 4.", hint="--set model.fft=512")
        if data.channels != 1:
            raise RecipeError(
                f"data.channels is {data.channels}; a denoiser learns from mono clips (a recording's channels are cleaned one by one).",
                hint="--set data.channels=1",
            )
        if data.clip_samples < 4 * m.fft:
            raise RecipeError(f"data.clip_samples is {data.clip_samples}; expected at least 4 times model.fft, {4 * m.fft}.")
        if m.network == "bands":
            if not (m.shared_blocks or m.context) or m.shared_blocks > m.blocks:
                raise RecipeError(
                    f"model.shared_blocks is {m.shared_blocks} with {m.blocks} blocks and model.context {m.context}; "
                    "expected 0 to model.blocks, and a recurrence of one kind at least.",
                    hint="--set model.shared_blocks=1",
                )
            if any(bins % width or width % 2 for bins, width in m.segments):
                raise RecipeError(
                    f"model.segments is {[list(s) for s in m.segments]}; expected [bins, bins a band] each, "
                    "an even width that divides the bins."
                )
            if sum(bins for bins, _ in m.segments) != m.fft // 2:
                raise RecipeError(
                    f"model.segments cover {sum(bins for bins, _ in m.segments)} bins; expected model.fft / 2 = {m.fft // 2}.",
                    hint="--set model.segments=[[32,2],[64,4],[160,16]] goes with model.fft=512",
                )
        comparing = TERMS.active(w)
        if not comparing:
            raise RecipeError("No term of [losses] that compares with the clean clip has a weight.", hint="--set losses.magnitude=1")
        if not self.adversarial and w.disturbance_start and set(comparing) <= set(DISTURBANCES):
            raise RecipeError(
                f"losses.disturbance_start is {w.disturbance_start}, but only {' and '.join(comparing)} has a weight: before that step "
                "there is nothing to learn.",
                hint="--set losses.disturbance_start=0, or --set losses.magnitude=1",
            )

    # From audio to audio.

    def enhance(self, noisy: tf.Tensor, training: bool = False, network: keras.Model | None = None) -> tf.Tensor:
        """Clean float32 [batch, samples] by `network`, else the trained one; the transform is that of inference, aligned to the sample."""
        fft, hop = self.model.fft, self.model.fft // 2
        samples = noisy.shape[1]
        window = tf.constant(np.sqrt(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(fft) / fft)), tf.float32)
        blocks = -(-samples // hop) + 1  # the last sample is whole once the frame after it has come
        padded = tf.pad(noisy, [[0, 0], [hop, blocks * hop - samples]])
        halves = tf.reshape(padded, [-1, blocks + 1, hop])
        frames = tf.signal.rfft(tf.concat([halves[:, :-1], halves[:, 1:]], axis=-1) * window)
        gain, _ = (network or self.networks["generator"])(frames, training=training)
        made = tf.signal.irfft(frames * gain, [fft]) * window
        audio = made[:, :-1, hop:] + made[:, 1:, :hop]
        return tf.reshape(audio, [-1, (blocks - 1) * hop])[:, :samples]

    def levelled(self, batch: Batch, clips: int | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """See `EnhancementObjective`: to a root mean square of 1 of the noisy clip."""
        noisy, clean = batch["noisy"][:clips, :, 0], batch["clean"][:clips, :, 0]
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(noisy), axis=1, keepdims=True) + _QUIET**2)
        return noisy, clean, scale

    # Losses.

    def reconstruct_first(self, batch: Batch, draws: Draws) -> Losses:
        """Return the losses before `losses.disturbance_start`."""
        noisy, clean, scale = self.levelled(batch)
        return self.reconstruction(self.enhance(noisy, training=True) * scale, clean * scale, without=DISTURBANCES)

    def reconstruction(self, estimate: tf.Tensor, clean: tf.Tensor, without: tuple[str, ...] = ()) -> Losses:
        """Return the weighted terms of `[losses]` beside the discriminator's, of levelled clips [batch, samples]."""
        return TERMS(self.weights, Pair(estimate, clean, self.model.fft, self.recipe.data.sample_rate, self.weights), without)

    def phases(self) -> tuple[Phase, ...]:
        """Return the generator's phase only where there is no discriminator (generator_first before `losses.disturbance_start`); else
        those of `AdversarialObjective`, the critic from `adversarial.critic_start` on."""
        if self.adversarial:
            return super().phases()
        w = self.weights
        later = w.disturbance_start if any(getattr(w, name) for name in DISTURBANCES) else 0
        first = (Phase("generator_first", ("generator",), self.reconstruct_first, "generator", stop=later),) if later else ()
        return (*first, Phase("generator", ("generator",), self.reconstruct, "generator", start=later))

    # Previews and the shipped model.

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        return self.enhance(tf.constant(noisy[..., 0]), network=networks["generator"]).numpy()[..., None]

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Clean the mixtures, and set the shown network's `level` before, so that clean speech comes out as loud as it went in."""
        network, clean = networks["generator"], self._examples["clean"][..., 0]
        clean = clean[np.sqrt(np.mean(np.square(clean), axis=1)) > _QUIET]
        if len(clean):
            network.level = 1.0
            made = self.enhance(tf.constant(clean), network=network).numpy()
            kept = np.sum(made * clean, axis=1) / np.sum(np.square(clean), axis=1)
            network.level = float(np.clip(1.0 / max(np.median(kept), 1e-3), 1.0, _MAX_LEVEL))
        return super().preview(networks, clips)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        model = networks["generator"]
        recipe = self.recipe
        model.provenance = provenance_of(recipe, self.info)
        return model


FAMILY = Denoiser
