"""DeepFilterNet as a family: trained or fine-tuned on mixtures that are made anew in every epoch."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...layers import discriminators
from ...losses.adversarial import LOSSES
from ...models.deep_filter_denoiser import DeepFilterDenoiser
from ...models.deep_filter_settings import DeepFilterSettings
from ...recipe_schema import Recipe
from ..base import Batch, Losses, Phase, provenance_of
from ..enhancement import EnhancementObjective
from .networks import build_network
from .schema import DeepFilterNetLosses, DeepFilterNetModel
from .terms import LEVEL, TERMS, Pair

_QUIET = 1e-3  # -60 dBFS: quieter clips are scaled as if they were that loud
_MAX_QUIET_GAIN = 10.0  # a clip without speech is scaled by its noise, and by no more than this


class DeepFilterNet(EnhancementObjective):
    """A denoiser that masks ERB bands and filters the lowest bins along time, trained on pairs of noisy and clean clips.

    Networks:
        generator: `DeepFilterDenoiser`.
        critic: `layers.discriminators.multi_resolution`; there only where `losses.adversarial` or `losses.feature_matching` is set.

    The loss compares compressed spectra at several resolutions, of clips scaled to one level of speech. The published training (multi
    resolution spectra and a local SNR loss) is described in the paper without its weights' schedule; see recipes/deepfilternet/base.toml.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: A rate without whole frames, several channels, or no loss that compares with the clean clip.
    """

    averaged = ("generator",)
    model: DeepFilterNetModel
    weights: DeepFilterNetLosses

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, DeepFilterNetModel)
        assert isinstance(recipe.losses, DeepFilterNetLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        m, seed = recipe.model, recipe.seed if seed is None else seed
        sizes = DeepFilterSettings(
            channels=m.channels, hidden=m.hidden, band_layers=m.band_layers, filter_layers=m.filter_layers, snr_head=m.snr_head
        )
        self._check(sizes)
        self.networks: dict[str, keras.Model] = {"generator": build_network(sizes, seed, m.stored_as)}
        if self.adversarial:
            self.networks["critic"] = discriminators.multi_resolution(
                m.critic_resolutions, m.critic_channels, m.critic_band_edges, seed=seed
            )

    @property
    def critic_clips(self) -> int:
        return self.model.critic_clips

    def _check(self, sizes: DeepFilterSettings) -> None:
        data, w = self.recipe.data, self.weights
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; a denoiser learns from mono clips.", hint="--set data.channels=1")
        if sizes.layout(data.sample_rate) is None:
            raise RecipeError(
                f"data.sample_rate is {data.sample_rate}; expected a rate with whole frames of 20 ms up to {sizes.sample_rate} Hz.",
                hint="--set data.sample_rate=16000, or 48000 for full band",
            )
        if not TERMS.active(w):
            raise RecipeError("No term of [losses] that compares with the clean clip has a weight.", hint="--set losses.magnitude=0.7")

    # Losses.

    def levelled(self, batch: Batch, clips: int | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """See `EnhancementObjective`: to a root mean square of 0.1 of the clean clip, or of the noisy one where it holds no speech."""
        noisy, clean = batch["noisy"][:clips, :, 0], batch["clean"][:clips, :, 0]
        level = lambda x: tf.sqrt(tf.reduce_mean(tf.square(x), axis=1, keepdims=True))
        silent = level(clean) < _QUIET
        scale = LEVEL / tf.maximum(tf.where(silent, level(noisy), level(clean)), _QUIET)
        return noisy, clean, tf.where(silent, tf.minimum(scale, _MAX_QUIET_GAIN), scale)

    def enhance(self, noisy: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._generator.enhance(noisy, self.recipe.data.sample_rate, training=training)

    @property
    def _generator(self) -> DeepFilterDenoiser:
        return self.networks["generator"]

    def reconstruction(self, estimate: tf.Tensor, clean: tf.Tensor) -> Losses:
        rate = self.recipe.data.sample_rate
        skipped = self.weights.first_frames * rate // 100
        return TERMS(self.weights, Pair(estimate[:, skipped:], clean[:, skipped:], rate, self.weights))

    def phases(self) -> tuple[Phase, ...]:
        """Return the generator's phase only where there is no discriminator; else those of `AdversarialObjective`."""
        return super().phases() if self.adversarial else (Phase("generator", ("generator",), self.reconstruct, "generator"),)

    # Previews and the shipped model.

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        return networks["generator"].enhance(tf.constant(noisy[..., 0]), self.recipe.data.sample_rate).numpy()[..., None]

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        model = networks["generator"]
        model.provenance = provenance_of(self.recipe, self.info)
        return model


FAMILY = DeepFilterNet
