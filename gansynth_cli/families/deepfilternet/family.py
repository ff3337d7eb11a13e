"""DeepFilterNet as a family: trained or fine-tuned on mixtures that are made anew in every epoch."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...feature_specs import BatchFeatures
from ...layers import discriminators
from ...losses.adversarial import LOSSES
from ...losses.spectral import compressed_spectrum, feature_matching, over_suppression, spectrum
from ...models.deep_filter_denoiser import DeepFilterDenoiser
from ...models.deep_filter_settings import DeepFilterSettings
from ...recipe_schema import Recipe
from ..adversarial import AdversarialGame
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..denoiser.family import limited_si_snr_loss
from ..enhancement import EnhancementPreviews
from .networks import build_network
from .schema import DeepFilterNetLosses, DeepFilterNetModel

_LEVEL = 0.1  # root mean square to which clean clips are scaled for the losses
_QUIET = 1e-3  # -60 dBFS: quieter clips are scaled as if they were that loud
_MAX_QUIET_GAIN = 10.0  # a clip without speech is scaled by its noise, and by no more than this


class DeepFilterNet(EnhancementPreviews, AdversarialGame):
    """A denoiser that masks ERB bands and filters the lowest bins along time, trained on pairs of noisy and clean clips.

    Networks:
        generator: `DeepFilterDenoiser`.
        critic: `layers.discriminators.multi_resolution`; there only where `losses.adversarial` or `losses.feature_matching` is set.

    The loss compares compressed spectra at several resolutions, of clips scaled to one level of speech. The published training (multi
    resolution spectra and a local SNR loss) is described in the paper without its weights' schedule; see recipes/deepfilternet/base.toml.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: A rate without whole frames, several channels, or no loss that compares with the clean clip.
    """

    averaged = ("generator",)
    reconstructs = True

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
    def adversarial(self) -> bool:
        """Whether there is a discriminator."""
        return self.weights.adversarial > 0 or self.weights.feature_matching > 0

    def _check(self, sizes: DeepFilterSettings) -> None:
        data, w = self.recipe.data, self.weights
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; a denoiser learns from mono clips.", hint="--set data.channels=1")
        if sizes.layout(data.sample_rate) is None:
            raise RecipeError(
                f"data.sample_rate is {data.sample_rate}; expected a rate with whole frames of 20 ms up to {sizes.sample_rate} Hz.",
                hint="--set data.sample_rate=16000, or 48000 for full band",
            )
        if not (w.complex or w.magnitude or w.si_snr):
            raise RecipeError(
                "losses.complex, losses.magnitude and losses.si_snr are all 0; expected one that compares with the clean clip."
            )

    # Losses.

    def levelled(self, batch: Batch, clips: int | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(noisy, clean, scale): the first `clips` clips, float32 [n, samples], and float32 [n, 1] that brings the clean one to a
        root mean square of 0.1, or the noisy one where it holds no speech."""
        noisy, clean = batch["noisy"][:clips, :, 0], batch["clean"][:clips, :, 0]
        level = lambda x: tf.sqrt(tf.reduce_mean(tf.square(x), axis=1, keepdims=True))
        silent = level(clean) < _QUIET
        scale = _LEVEL / tf.maximum(tf.where(silent, level(noisy), level(clean)), _QUIET)
        return noisy, clean, tf.where(silent, tf.minimum(scale, _MAX_QUIET_GAIN), scale)

    def enhance(self, noisy: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [batch, samples] -> the same shape, cleaned."""
        return self._generator.enhance(noisy, self.recipe.data.sample_rate, training=training)

    @property
    def _generator(self) -> DeepFilterDenoiser:
        return self.networks["generator"]

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        noisy, clean, scale = self.levelled(batch)
        return self.reconstruction(self.enhance(noisy, training=True) * scale, clean * scale)

    def reconstruction(self, estimate: tf.Tensor, clean: tf.Tensor) -> Losses:
        """The weighted terms of `[losses]` but the discriminator's, of levelled clips [batch, samples]."""
        w, rate = self.weights, self.recipe.data.sample_rate
        skipped = w.first_frames * rate // 100
        estimate, clean = estimate[:, skipped:], clean[:, skipped:]
        terms: dict[str, list[tf.Tensor]] = {"complex": [], "magnitude": [], "over_suppression": []}
        for milliseconds in w.windows_ms:
            fft = rate * milliseconds // 1000
            e, t = spectrum(estimate, fft, fft // 4), spectrum(clean, fft, fft // 4)
            complex_mse, magnitude_mse = compressed_spectrum(e, t, power=w.power)
            terms["complex"].append(w.complex * complex_mse)
            terms["magnitude"].append(w.magnitude * magnitude_mse)
            if w.over_suppression:
                terms["over_suppression"].append(w.over_suppression * over_suppression(e, t, w.power))
        losses = {name: tf.add_n(parts) / len(parts) for name, parts in terms.items() if parts and getattr(w, name)}
        if w.si_snr:
            loudness = 1.0 / _LEVEL
            losses["si_snr"] = w.si_snr * limited_si_snr_loss(estimate * loudness, clean * loudness, w.si_snr_ceiling_db)
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """The generator by itself where there is no discriminator; else as `AdversarialGame`."""
        return super().phases() if self.adversarial else (Phase("generator", ("generator",), self.reconstruct, "generator"),)

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        noisy, clean, scale = self.levelled(batch, self.model.critic_clips)
        fake = tf.stop_gradient(self.enhance(noisy, training=True) * scale)
        real_logits, _ = self.networks["critic"]((clean * scale)[..., None], training=True)
        fake_logits, _ = self.networks["critic"](fake[..., None], training=True)
        return {"adversarial": self.loss.critic(_joined(real_logits), _joined(fake_logits))}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """All terms; the discriminator scores `critic_clips` of the clips."""
        noisy, clean, scale = self.levelled(batch)
        estimate, clean = self.enhance(noisy, training=True) * scale, clean * scale
        losses = self.reconstruction(estimate, clean)
        scored = self.model.critic_clips
        logits, features = self.networks["critic"](estimate[:scored, :, None], training=True)
        if self.weights.adversarial:
            losses["adversarial"] = self.weights.adversarial * self.loss.generator(_joined(logits))
        if self.weights.feature_matching:
            _, wanted = self.networks["critic"](clean[:scored, :, None], training=True)
            losses["feature_matching"] = self.weights.feature_matching * feature_matching(features, wanted)
        return losses

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        return networks["generator"].enhance(tf.constant(noisy[..., 0]), self.recipe.data.sample_rate).numpy()[..., None]

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        model = networks["generator"]
        model.provenance = provenance_of(self.recipe, self.info)
        return model


def _joined(logits: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(part, [-1]) for part in logits], axis=0)


FAMILY = DeepFilterNet
