"""What families of text-to-speech share that read whole utterances: the facts of their data, previews, the saved model's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..family_schema import ModelTable
from ..feature_specs import BatchFeatures, SpeechFeatures
from ..models.spoken_model import SpokenModel
from ..recipe_schema import Recipe
from .base import provenance_of
from .mel_checks import check_mel_clips
from .mel_sound import MelSound, padded_together

if TYPE_CHECKING:
    from ..data.source import Source

_PREVIEW_CLIPS = 8
_USUAL_SECONDS = 0.08  # of a token, until the data has been seen


class SpeechFamily:
    """A family of text-to-speech. It is trained on the beginnings of utterances, whole where they are short enough, or on windows of them.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set, with speech features.

    Raises:
        RecipeError: Clips that are no whole number of frames.
        DatasetError: A data set without transcripts.
    """

    saved: type[SpokenModel]  # the class of the saved model
    model: ModelTable

    def __init__(self, recipe: Recipe, info: DatasetInfo):
        self.recipe, self.info, self.model = recipe, info, recipe.model
        spec = recipe.model.speech_features(recipe.data.sample_rate)
        assert spec is not None
        self.spec: SpeechFeatures = spec
        self.convention = spec.convention
        check_mel_clips(recipe.data.clip_samples, self.convention)
        if spec.key not in info.frame_features:
            raise DatasetError(
                f"The data set {info.name} has no phones of this mel convention.",
                hint=f"gan-audio prepare INPUT... -o DATA --layout ljspeech (or text, asterisk, vctk) --recipe {recipe.family}/small",
            )
        self.facts: dict[str, Any] = info.frame_features[spec.key]
        self.speakers, self.languages = info.labels, info.attributes["language"]
        self.emotions = info.attributes["emotion"]
        self.frames = recipe.data.clip_samples // self.convention.hop
        by_speaker = [self.facts["speakers"][name] for name in self.speakers]
        self.f0 = np.array([[one["f0_mean"], one["f0_deviation"]] for one in by_speaker], np.float32)
        self.energy = np.array([[one["energy_mean"], one["energy_deviation"]] for one in by_speaker], np.float32)
        self.mel_mean, self.mel_deviation = (np.array(self.facts[name], np.float32) for name in ("mel_mean", "mel_deviation"))
        self.frames_a_token = _USUAL_SECONDS * self.convention.sample_rate / self.convention.hop
        self._sound = MelSound(self.convention)
        self._clips: list[tuple[Any, dict[str, Any]]] = []

    @property
    def preview_frames(self) -> int:
        """The longest recording whose text is spoken in previews."""
        return self.frames

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, labels=True, attributes=("language", "emotion"))

    def begin(self, source: Source) -> None:
        """Take some clips of the validation split (of the train split where there is none), of all speakers in turn."""
        split = "validation" if "validation" in source.splits else "train"
        taken: Counter[int] = Counter()
        frames = tokens = 0
        for clip, values in source.speech_clips(split):
            frames, tokens = frames + len(values["mel"]), tokens + len(values["tokens"])
            if len(values["mel"]) <= self.preview_frames and taken[clip.label] < -(-_PREVIEW_CLIPS // len(self.speakers)):
                taken[clip.label] += 1
                self._clips.append((clip, values))
            if len(self._clips) >= _PREVIEW_CLIPS:
                break
        if not self._clips:
            raise DatasetError(
                f"The data set {self.info.name} has no recording with a transcript of {self.preview_frames} frames or fewer.",
                hint="gan-audio info DATA; or longer clips: --set data.clip_samples=N",
            )
        self.frames_a_token = frames / tokens

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Speak the texts of the clips of `begin`: float32 [n, samples, 1], n <= clips."""
        model, made = self.inference_model(networks), []
        for clip, values in self._clips[:clips]:
            spoken = model.synthesise(values["tokens"], clip.label, clip.attributes["language"], clip.attributes["emotion"])
            made.append(self._sound(spoken.mel) if spoken.audio is None else spoken.audio)
        return padded_together(made)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> Any:
        """Build the model with all that it needs."""
        return self.saved(
            **{name: networks[name] for name in self.saved.NETWORKS},
            convention=self.convention,
            phones=self.facts["phones"],
            speakers=self.speakers,
            languages=self.languages,
            emotions=self.emotions,
            speaker_languages=self.speaker_languages(),
            statistics=self.statistics(),
            phonemiser=self.facts["phonemiser"],
            consent=self.info.consent,
            provenance=provenance_of(self.recipe, self.info),
            name="speech_synthesiser",
        )

    def speaker_languages(self) -> list[str]:
        """Return the language of each speaker."""
        return [self.facts["speakers"][name].get("language") or self.languages[0] for name in self.speakers]

    def statistics(self) -> dict[str, Any]:
        """Return the numbers that the saved model needs of the data."""
        values = {"mel_mean": self.mel_mean, "mel_deviation": self.mel_deviation, "f0": self.f0, "energy": self.energy}
        return {**values, "frames_a_token": [self.frames_a_token]}

    def standard_prosody(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the batch's prosody with ln F0 and energy in deviations of the speaker."""
        f0, energy = (tf.gather(one, batch["label"])[:, None, None] for one in (self.f0, self.energy))
        raw = batch["prosody"]
        return tf.stack([(raw[..., 0] - f0[..., 0]) / f0[..., 1], raw[..., 1], (raw[..., 2] - energy[..., 0]) / energy[..., 1]], axis=-1)


def tokens_inside(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the batch's tokens without those after the end of the window: int32 [batch, tokens, 3], -1 where there is none."""
    return tf.where(batch["phone_weight"][..., None] > 0, batch["tokens"], -1)


def masked_mean(error: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Return the mean of errors [batch, steps, ...] over the steps that count, weights [batch, steps]."""
    weight = tf.reshape(weight, [*weight.shape[:2], *[1] * (len(error.shape) - 2)]) * tf.ones_like(error)
    return tf.reduce_sum(error * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)
