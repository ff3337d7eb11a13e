"""The family clone: any voice from seconds of it. Content is the posteriors of a phone recogniser, which hardly know who speaks (Sun et
al. 2016), the voice a vector of the bundled speaker encoder, as in text-to-speech for speakers that were not seen (Jia et al. 2018).
Trained to restore recordings; then against a discriminator of mel spectrograms, with feature matching scaled to the reconstruction loss
(GANSpeech, Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import AudioFileError, DatasetError, RecipeError
from ...feature_specs import BatchFeatures, FrameFeatures
from ...layers.seeds import layer_seeds
from ...losses.spectral import feature_matching
from ...models.model_file import RECOGNISERS, find_model
from ...models.speaker_encoder import VECTOR, speaker_vector
from ...models.voice_cloner import VoiceCloner, energy_of, prosody_of
from ...recipe_schema import Recipe
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..mel_checks import check_mel_clips, loss_without_penalties
from ..mel_sound import MelSound, padded_together
from .networks import build_critic, build_decoder
from .schema import CloneLosses, CloneModel

if TYPE_CHECKING:
    from ...data.frame_features import FrameClip
    from ...data.source import Source

_SEED_STREAM = 0xC107E
_PREVIEW_CLIPS, _PREVIEW_SECONDS = 8, 6.0
_MIN_DEVIATION = 0.05
# Nats from the mean band of active frames to the energy of the loudest frame of some seconds: about right is enough.
_LOUDEST_ABOVE_ACTIVE = 2.5


class Clone:
    """Recordings to another voice.

    Networks:
        decoder, critic: See `networks`. The recogniser is read from `model.recogniser` and not trained.

    Phases: before `adversarial.critic_start` the decoder on the reconstruction; from there on critic and decoder.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set, with speakers as labels and frames.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: No recogniser, or one of another mel convention.
        DatasetError: A data set without frames of this convention.
    """

    averaged = ("decoder",)
    model: CloneModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, CloneModel)
        assert isinstance(recipe.losses, CloneLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.spec: FrameFeatures = self.model.frame_features(recipe.data.sample_rate)
        self.convention, self.speakers = self.spec.convention, info.labels
        check_mel_clips(recipe.data.clip_samples, self.convention)
        self.loss = loss_without_penalties(recipe.adversarial, "discriminators of spectra")
        recogniser = find_model(self.model.recogniser, RECOGNISERS, "recognise phones").load()
        if wrong := self.convention.differences(recogniser.convention):
            raise RecipeError(
                f"model.recogniser {self.model.recogniser} reads other mel spectrograms: {'; '.join(wrong)}.",
                hint="--set model.mel... as its recipe says",
            )
        self.phones, self.recogniser = recogniser.phones, recogniser.network
        self.mean, self.deviation = self._statistics()
        self._vectors = np.zeros((len(self.speakers), self.model.vectors, VECTOR), np.float32)
        self._sound = MelSound(self.convention)
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        self.networks: dict[str, keras.Model] = {"decoder": build_decoder(self.model, len(self.phones), seeds)}
        if self.model.critic_channels:
            self.networks["critic"] = build_critic(self.model, recipe.data.clip_samples // self.convention.hop, seeds)

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of every band over the train split, each speaker as often, relative to the level of loud frames."""
        found = [self.info.statistics.get(self.spec.mel_statistics(name)) for name in self.speakers]
        known = [facts for facts in found if facts is not None]
        if not known:
            raise DatasetError(
                f"The data set {self.info.name} has no frames of this mel convention.",
                hint="gan-audio prepare INPUT... -o DATA --layout speakers --recipe clone/small",
            )
        means = np.array([facts["mean"] for facts in known]) - np.array([[facts["active_level"]] for facts in known])
        deviations = np.array([facts["deviation"] for facts in known])
        mean = means.mean(axis=0)
        deviation = np.sqrt(np.maximum(np.square(deviations).mean(axis=0) + means.var(axis=0), _MIN_DEVIATION**2))
        return (mean - _LOUDEST_ABOVE_ACTIVE).astype(np.float32), deviation.astype(np.float32)

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        start = self.recipe.adversarial.critic_start
        if "critic" not in self.networks:
            return (Phase("reconstruction", ("decoder",), self.reconstruction_losses, "generator"),)
        alone = Phase("reconstruction", ("decoder",), self.reconstruction_losses, "generator", stop=start)
        return (
            *([alone] if start else []),
            Phase("critic", ("critic",), self.critic_losses, "critic", repeats=self.recipe.adversarial.critic_repeats, start=start),
            Phase("generator", ("decoder",), self.generator_losses, "adversarial", start=start, fresh=True),
        )

    def generate(self, batch: Batch, draws: Draws) -> dict[str, tf.Tensor]:
        """Return "made" and "target", standardised spectra [batch, frames, bands], and "vector", the voice in any piece of its speaker."""
        mel = batch["spectrum"]
        energy, level = energy_of(mel, self.convention)
        posteriors = tf.stop_gradient(tf.nn.softmax(self.recogniser(mel, training=False)))
        vectors = tf.constant(self._vectors)
        which = draws.integers("vector", (mel.shape[0] or tf.shape(mel)[0],), 0, self.model.vectors)
        vector = tf.gather_nd(vectors, tf.stack([batch["label"], which], axis=1))
        made = self.networks["decoder"]([posteriors, prosody_of(batch["ln_f0"], energy), vector], training=True)
        return {"made": tf.cast(made, tf.float32), "target": (mel - level - self.mean) / self.deviation, "vector": vector}

    def reconstruction_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the loss without a discriminator."""
        made = self.generate(batch, draws)
        return {"mel": self.weights.mel * _l1(made)}

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the discriminator's loss on real and restored spectra of one voice."""
        made = self.generate(batch, draws)
        real, fake = (self.judge(made[key], made)[0] for key in ("target", "made"))
        return {"adversarial": self.loss.critic(real, fake)}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the losses against the discriminator: feature matching weighs as much as the mel loss (GANSpeech, section 2.3)."""
        made = self.generate(batch, draws)
        logits, maps = self.judge(made["made"], made)
        losses = {"mel": self.weights.mel * _l1(made), "adversarial": self.weights.adversarial * self.loss.generator(logits)}
        if self.weights.feature_matching:
            matched = feature_matching([maps], [self.judge(made["target"], made)[1]])
            scale = tf.stop_gradient(_l1(made) / tf.maximum(matched, 1e-6))
            losses["feature_matching"] = self.weights.feature_matching * scale * matched
        return losses

    def judge(self, mel: tf.Tensor, made: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return (logits, feature maps) of the discriminator."""
        logits, *maps = self.networks["critic"]([mel, made["vector"]], training=True)
        return logits, maps

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, labels=True)

    def begin(self, source: Source) -> None:
        """Compute the speaker vectors of every speaker of the train split, and take clips for previews."""
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in self.speakers}
        waiting: dict[str, list[np.ndarray]] = {name: [] for name in self.speakers}
        needed = round(self.model.vector_seconds * self.convention.sample_rate)
        for clip in source.frame_clips("train"):
            if len(pieces[clip.label]) >= self.model.vectors:
                continue
            waiting[clip.label].append(clip.audio())
            if sum(map(len, waiting[clip.label])) >= needed:
                pieces[clip.label].append(np.concatenate(waiting[clip.label])[:needed])
                waiting[clip.label] = []
        for number, name in enumerate(self.speakers):
            found = self._vectors_of(pieces[name] or [np.concatenate(rest) for rest in [waiting[name]] if rest])
            if len(found):
                self._vectors[number] = found[np.arange(self.model.vectors) % len(found)]
        split = "validation" if "validation" in source.splits else "train"
        longest = _PREVIEW_SECONDS * self.convention.sample_rate
        self._clips: list[FrameClip] = []
        for clip in source.frame_clips(split):
            if len(clip.spectrum) * self.convention.hop <= longest and clip.label not in {one.label for one in self._clips}:
                self._clips.append(clip)
            if len(self._clips) >= _PREVIEW_CLIPS:
                break
        if not self._clips:
            raise DatasetError(f"The data set {self.info.name} has no recording below {_PREVIEW_SECONDS:g} s.", hint="gan-audio info DATA")

    def _vectors_of(self, pieces: list[np.ndarray]) -> np.ndarray:
        found = []
        for piece in pieces:
            try:
                found.append(speaker_vector(piece, self.convention.sample_rate))
            except AudioFileError:  # hardly any speech in it
                continue
        return np.array(found, np.float32)

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Restore the first clip in its own voice, convert every other one to the voice of the clip before it: float32 [n, samples, 1]."""
        model, made, self._errors = self.inference_model(networks), [], []
        for number, clip in enumerate(self._clips[:clips]):
            own = self._own_vector(number)
            self._errors.append(np.abs(model.clone(clip.spectrum, clip.ln_f0, own) - clip.spectrum).mean())
            other = self._clips[number - 1] if number else clip
            shift = _median(other.ln_f0) - _median(clip.ln_f0)
            contour = np.where(clip.ln_f0 > 0, clip.ln_f0 + shift, 0.0)
            made.append(self._sound(model.clone(clip.spectrum, contour, self._own_vector(max(number - 1, 0)))))
        return padded_together(made)

    def _own_vector(self, number: int) -> np.ndarray:
        found = self._vectors_of([self._clips[number].audio()])
        return found[0] if len(found) else self._vectors[0, 0]

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """Return `preview/mel_l1`: L1 of clips that are restored in their own voice, in the units of the spectrum."""
        return {"preview/mel_l1": float(np.mean(self._errors))}

    def inference_model(self, networks: Mapping[str, keras.Model]) -> VoiceCloner:
        """The model with all it needs."""
        return VoiceCloner(
            networks["decoder"],
            self.recogniser,
            self.convention,
            self.phones,
            self.mean.tolist(),
            self.deviation.tolist(),
            consent=self.info.consent,
            provenance=provenance_of(self.recipe, self.info),
            name="voice_cloner",
        )


def _l1(made: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(made["made"] - made["target"]))


def _median(ln_f0: np.ndarray) -> float:
    voiced = ln_f0[ln_f0 > 0]
    return float(np.median(voiced)) if len(voiced) else 0.0


FAMILY = Clone
