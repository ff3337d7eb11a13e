"""What the families that clean recordings share: their previews, and the objective of those that clean frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import keras
import numpy as np
import tensorflow as tf

from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..losses.spectral import feature_matching
from ..recipe_schema import Recipe
from .adversarial import AdversarialObjective
from .base import Batch, Draws, Losses, Phase

if TYPE_CHECKING:
    from ..data.source import Source

PREVIEW_MIXTURES = 32  # noisy clips that are cleaned at every preview
_BATCH = 16


class EnhancementPreviews:
    """Previews of a family whose batches are pairs: fixed mixtures of the validation split, cleaned, beside noisy and clean.

    A subclass cleans clips (`enhance_clips`). `begin` is called by the trainer; see `base.BeginsWithData`.
    """

    recipe: Recipe
    _examples: dict[str, np.ndarray]

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        """Clean float32 [n, clip_samples, channels] as the shipped model does; the same shape."""
        raise NotImplementedError

    def begin(self, source: Source) -> None:
        """Take the first mixtures of the validation split (of the train split where there is none)."""
        split = "validation" if "validation" in source.splits else "train"
        batches = source.batches(self.recipe, split, seed=self.recipe.seed, batch_size=_BATCH, repeat=False, augment=False)
        taken = list(batches.take(-(-PREVIEW_MIXTURES // _BATCH)).as_numpy_iterator())
        if not taken or not {"clean", "noisy"} <= set(taken[0]):
            raise DatasetError(
                f"The data set {source.info.name} gives no pairs of clean and noisy clips, which {self.recipe.family} learns from.",
                hint="gan-audio prepare SPEECH... --noise NOISE... -o DATA and data.mixing.enabled = true, or prepare --layout pairs",
            )
        self._examples = {name: np.concatenate([batch[name] for batch in taken])[:PREVIEW_MIXTURES] for name in ("noisy", "clean")}

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return the mixtures, cleaned: float32 [n, samples, channels], n <= clips."""
        noisy = self._examples["noisy"][:clips]
        return np.concatenate([self.enhance_clips(networks, noisy[i : i + _BATCH]) for i in range(0, len(noisy), _BATCH)])

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """Return "noisy" and "clean" of the same clips."""
        return {name: examples[:clips] for name, examples in self._examples.items()}


class EnhancementWeights(Protocol):
    """The keys of `[losses]` that such an objective reads."""

    @property
    def adversarial(self) -> float: ...
    @property
    def feature_matching(self) -> float: ...


class EnhancementObjective(EnhancementPreviews, AdversarialObjective):
    """The objective of a network that cleans frame by frame: terms that compare with the clean clip, and, where `losses.adversarial` or
    `losses.feature_matching` is set, a discriminator of waveforms (`layers.discriminators`) of the first `critic_clips` clips.

    A subclass enhances (`enhance`), brings clips to one level (`levelled`) and compares (`reconstruction`).
    """

    reconstructs = True
    weights: EnhancementWeights
    networks: dict[str, keras.Model]

    @property
    def critic_clips(self) -> int:
        """Clips of a batch that the discriminator sees: it costs several times as much as the generator."""
        raise NotImplementedError

    def enhance(self, noisy: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Clean float32 [batch, samples]; the same shape."""
        raise NotImplementedError

    def levelled(self, batch: Batch, clips: int | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (noisy, clean, scale): the first `clips` clips, float32 [n, samples], and the factor float32 [n, 1] that brings them to
        one level."""
        raise NotImplementedError

    def reconstruction(self, estimate: tf.Tensor, clean: tf.Tensor) -> Losses:
        """Return the weighted terms of `[losses]` beside the discriminator's, of levelled clips [batch, samples]."""
        raise NotImplementedError

    @property
    def adversarial(self) -> bool:
        """Whether there is a discriminator."""
        return self.weights.adversarial > 0 or self.weights.feature_matching > 0

    def reconstruct(self, batch: Batch, draws: Draws) -> Losses:
        noisy, clean, scale = self.levelled(batch)
        return self.reconstruction(self.enhance(noisy, training=True) * scale, clean * scale)

    def phases(self) -> tuple[Phase, ...]:
        return tuple(replace(p, forward=self.forward) if p.name in ("critic", "generator") else p for p in super().phases())

    def forward(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Return the enhanced clips of a batch, not levelled."""
        return {"enhanced": self.enhance(self.levelled(batch)[0], training=True)}

    def critic_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        noisy, clean, scale = self.levelled(batch, self.critic_clips)
        enhanced = forward["enhanced"][: self.critic_clips] if forward else self.enhance(noisy, training=True)
        fake = tf.stop_gradient(enhanced * scale)
        real_logits, _ = self.networks["critic"]((clean * scale)[..., None], training=True)
        fake_logits, _ = self.networks["critic"](fake[..., None], training=True)
        return {"adversarial": self.loss.critic(joined_logits(real_logits), joined_logits(fake_logits))}

    def generator_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        _, clean, scale = self.levelled(batch)
        estimate, clean = (forward or self.forward(batch))["enhanced"] * scale, clean * scale
        losses = self.reconstruction(estimate, clean)
        seen = self.critic_clips
        logits, features = self.networks["critic"](estimate[:seen, :, None], training=True)
        if self.weights.adversarial:
            losses["adversarial"] = self.weights.adversarial * self.loss.generator(joined_logits(logits))
        if self.weights.feature_matching:
            _, wanted = self.networks["critic"](clean[:seen, :, None], training=True)
            losses["feature_matching"] = self.weights.feature_matching * feature_matching(features, wanted)
        return losses

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)


def joined_logits(logits: list[tf.Tensor]) -> tf.Tensor:
    """Join the logits of sub-discriminators: float32 [any number]."""
    return tf.concat([tf.reshape(part, [-1]) for part in logits], axis=0)
