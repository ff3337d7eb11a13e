"""Small streaming denoisers: a causal network gives every bin of every spectrum frame a gain, optionally judged by a critic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...feature_specs import BatchFeatures
from ...layers import discriminators
from ...losses.adversarial import LOSSES
from ...losses.perceptual import bark_disturbance
from ...losses.spectral import compressed_spectrum, feature_matching, multi_resolution_stft, over_suppression, spectrum, waveform_l1
from ...models.frame_denoiser import FrameDenoiser
from ...recipe_schema import Recipe
from ..adversarial import AdversarialGame
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..enhancement import EnhancementPreviews
from .schema import DenoiserLosses, DenoiserModel

_QUIET = 1e-3  # -60 dBFS: clips below count as that loud when they are levelled for the losses
_MOST_LEVEL = 1.5  # 3.5 dB: what is turned down by more is not for a factor to mend
_POINTS, _ADDED_POINTS = 0.1, 0.0309  # PESQ's raw score a unit of disturbance
_SILENT = 1e-3  # a target whose energy is below this part of the noisy clip's (-30 dB) has no signal-to-noise ratio to improve


class Denoiser(EnhancementPreviews, AdversarialGame):
    """A spectral mask network trained on mixtures.

    Networks:
        generator: `FrameDenoiser`, spectrum frames -> gains. Between them and audio stand the transforms of this file.
        critic: `layers.discriminators.multi_resolution`; there only where `losses.adversarial` or `losses.feature_matching` is set.

    Every loss is computed on clips scaled to the noisy clip's level, so that a quiet recording weighs as much as a loud one. The target of
    a clip of noise alone is silence: its ratio in dB is left out, the spectral terms remain.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Bands that do not add up to the spectrum, several channels, no loss.
    """

    averaged = ("generator",)
    reconstructs = True

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, DenoiserModel)
        assert isinstance(recipe.losses, DenoiserLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        self._check()
        seed = recipe.seed if seed is None else seed
        m = self.model
        options: dict[str, Any]
        if m.network == "gru":
            options = {"mel_bands": m.mel_bands, "width": m.width, "layers": m.layers, "mask": m.mask, "max_gain": m.max_gain}
        else:
            options = {
                "segments": [list(segment) for segment in m.segments],
                "channels": m.channels,
                "blocks": m.blocks,
                "shared_blocks": m.shared_blocks,
                "context": m.context,
                "max_gain": m.max_gain,
            }
            # Left out where they are not used: files of before they existed and after are the same.
            options |= {name: value for name in ("added_blocks", "past_frames") if (value := getattr(m, name))}
        generator = FrameDenoiser(
            m.network, recipe.data.sample_rate, m.fft, m.fft // 2, options, stored_as=m.stored_as, seed=seed, name="frame_denoiser"
        )
        self.networks: dict[str, keras.Model] = {"generator": generator}
        if self.adversarial:
            self.networks["critic"] = discriminators.multi_resolution(
                m.critic_resolutions, m.critic_channels, m.critic_band_edges, seed=seed
            )

    @property
    def adversarial(self) -> bool:
        return self.weights.adversarial > 0 or self.weights.feature_matching > 0

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
        if not (w.complex or w.magnitude or w.si_snr or w.waveform_l1 or w.stft):
            raise RecipeError("All weights in [losses] are 0 but the critic's; expected one that compares with the clean clip.")

    # From audio to audio.

    def enhance(self, noisy: tf.Tensor, network: keras.Model | None = None, training: bool = False) -> tf.Tensor:
        """float32 [batch, samples] -> [batch, samples], cleaned; the same transform as at inference, aligned to the sample."""
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
        """(noisy, clean, scale): the first `clips` clips, float32 [n, samples], and float32 [n, 1] that brings the noisy one to
        a root mean square of 1."""
        noisy, clean = batch["noisy"][:clips, :, 0], batch["clean"][:clips, :, 0]
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(noisy), axis=1, keepdims=True) + _QUIET**2)
        return noisy, clean, scale

    # Losses.

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        noisy, clean, scale = self.levelled(batch)
        return self.reconstruction(self.enhance(noisy, training=True) * scale, clean * scale)

    def reconstruct_first(self, batch: Batch, draws: Draws) -> Losses:
        """Before `losses.disturbance_start`."""
        noisy, clean, scale = self.levelled(batch)
        return self.reconstruction(self.enhance(noisy, training=True) * scale, clean * scale, disturbance=False)

    def reconstruction(self, estimate: tf.Tensor, clean: tf.Tensor, disturbance: bool = True) -> Losses:
        """The weighted terms of `[losses]` beside the critic's, of levelled clips [batch, samples]."""
        w, fft = self.weights, self.model.fft
        losses: Losses = {}
        e, t = spectrum(estimate, fft, fft // 2), spectrum(clean, fft, fft // 2)
        if disturbance and (w.disturbance or w.added_disturbance):
            all_of_it, added = bark_disturbance(e, t, self.recipe.data.sample_rate, worst=w.disturbance_worst)
            losses |= {"disturbance": w.disturbance * _POINTS * all_of_it, "added_disturbance": w.added_disturbance * _ADDED_POINTS * added}
        if w.complex or w.magnitude or w.over_suppression:
            complex_mse, magnitude_mse = compressed_spectrum(e, t, power=w.power)
            losses |= {"complex": w.complex * complex_mse, "magnitude": w.magnitude * magnitude_mse}
            if w.over_suppression:
                losses["over_suppression"] = w.over_suppression * over_suppression(e, t, w.power)
        if w.si_snr:
            losses["si_snr"] = w.si_snr * limited_si_snr_loss(estimate, clean, w.si_snr_ceiling_db)
        if w.waveform_l1:
            losses["waveform_l1"] = w.waveform_l1 * waveform_l1(estimate, clean)
        if w.stft:
            convergence, log_magnitude = multi_resolution_stft(estimate, clean, ((1024, 256, 1024), (256, 64, 256)))
            losses["stft"] = w.stft * (convergence + log_magnitude)
        return losses

    def phases(self) -> tuple[Phase, ...]:
        """generator alone where no critic judges it (generator_first before `losses.disturbance_start`); else as `AdversarialGame`, the
        critic from `adversarial.critic_start` on."""
        if self.adversarial:
            return super().phases()
        w = self.weights
        later = w.disturbance_start if w.disturbance or w.added_disturbance else 0
        first = (Phase("generator_first", ("generator",), self.reconstruct_first, "generator", stop=later),) if later else ()
        return (*first, Phase("generator", ("generator",), self.reconstruct, "generator", start=later))

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        noisy, clean, scale = self.levelled(batch, self.model.critic_clips)
        fake = tf.stop_gradient(self.enhance(noisy, training=True) * scale)
        real_logits, _ = self.networks["critic"]((clean * scale)[..., None], training=True)
        fake_logits, _ = self.networks["critic"](fake[..., None], training=True)
        return {"adversarial": self.loss.critic(_joined(real_logits), _joined(fake_logits))}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """All terms. The critic judges `critic_clips` of the clips: it costs several times what the generator does."""
        noisy, clean, scale = self.levelled(batch)
        estimate, clean = self.enhance(noisy, training=True) * scale, clean * scale
        losses = self.reconstruction(estimate, clean)
        judged = self.model.critic_clips
        logits, features = self.networks["critic"](estimate[:judged, :, None], training=True)
        if self.weights.adversarial:
            losses["adversarial"] = self.weights.adversarial * self.loss.generator(_joined(logits))
        if self.weights.feature_matching:
            _, wanted = self.networks["critic"](clean[:judged, :, None], training=True)
            losses["feature_matching"] = self.weights.feature_matching * feature_matching(features, wanted)
        return losses

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        return self.enhance(tf.constant(noisy[..., 0]), networks["generator"]).numpy()[..., None]

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """The mixtures, cleaned. Sets the shown network's `level` before, so that clean speech comes out as loud as it went in."""
        network, clean = networks["generator"], self._examples["clean"][..., 0]
        clean = clean[np.sqrt(np.mean(np.square(clean), axis=1)) > _QUIET]
        if len(clean):
            network.level = 1.0
            made = self.enhance(tf.constant(clean), network).numpy()
            kept = np.sum(made * clean, axis=1) / np.sum(np.square(clean), axis=1)
            network.level = float(np.clip(1.0 / max(np.median(kept), 1e-3), 1.0, _MOST_LEVEL))
        return super().preview(networks, clips)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        model = networks["generator"]
        recipe = self.recipe
        model.provenance = provenance_of(recipe, self.info)
        return model


def limited_si_snr_loss(estimate: tf.Tensor, target: tf.Tensor, ceiling_db: float) -> tf.Tensor:
    """Minus the scale-invariant signal-to-noise ratio in dB, which approaches `ceiling_db` and does not pass it.

    Without the ceiling, clips that are nearly clean would rule the gradient: one dB more of 40 would count as much as one more of 5.
    Clips [batch, samples]. A silent target, or one 30 dB under the estimate's scale of 1, counts 0 and sends no gradient.
    """
    energy = tf.reduce_mean(tf.square(target), axis=1)
    heard = energy > _SILENT
    factor = tf.reduce_mean(estimate * target, axis=1) / tf.maximum(energy, _SILENT)
    signal = tf.square(factor) * energy + 1e-6
    noise = tf.reduce_mean(tf.square(estimate - factor[:, None] * target), axis=1) + 10.0 ** (-ceiling_db / 10.0) * signal
    decibels = (10.0 / math.log(10.0)) * (tf.math.log(noise) - tf.math.log(signal))
    return tf.reduce_mean(tf.where(heard, decibels, tf.zeros_like(decibels)))


def _joined(logits: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(part, [-1]) for part in logits], axis=0)


FAMILY = Denoiser
