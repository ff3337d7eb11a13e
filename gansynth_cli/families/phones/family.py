"""The family phones: frame-wise cross-entropy against aligned phones, with voices, rooms and noise varied, so that what is left in the
posteriors is what is said (phonetic posteriorgrams, Hazen et al. 2009; for conversion Sun et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...data.text.edit_distance import edit_distance
from ...data.text.phone_tokens import SILENCE
from ...data.text.tokens import MARKS
from ...errors import DatasetError
from ...feature_specs import BatchFeatures
from ...layers.seeds import layer_seeds
from ...losses.weighted import WeightedTerms
from ...models.phone_recogniser import PhoneRecogniser, smoothed_path
from ...recipe_schema import Recipe
from ...signal.mel import hz_to_mel, mel_edges_hz
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..mel_checks import check_mel_clips
from ..mel_sound import MelSound, padded_together
from .networks import build_recogniser
from .schema import PhonesLosses, PhonesModel

if TYPE_CHECKING:
    from ...data.source import Source

_SEED_STREAM = 0x9403
_MEASURED = 96  # recordings of a preview's figures
_PREVIEW_SECONDS = 8.0
_DB = np.log(10.0) / 20.0


def _cross_entropy(made: Mapping[str, tf.Tensor]) -> tf.Tensor:
    logits, weight, smoothing = made["logits"], made["frame_weight"], made["smoothing"]
    logs = tf.nn.log_softmax(logits)
    right = tf.gather(logs, made["phone"], axis=2, batch_dims=2)
    loss = -((1 - smoothing) * right + smoothing * tf.reduce_mean(logs, axis=-1))
    return tf.reduce_sum(loss * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)


TERMS: WeightedTerms[Mapping[str, tf.Tensor]] = WeightedTerms(PhonesLosses, {"phones": _cross_entropy})


class Phones:
    """Mel spectrograms to phones.

    Networks:
        recogniser: See `networks`.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set, with speech features.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        DatasetError: A data set without transcripts.
    """

    averaged = ("recogniser",)
    model: PhonesModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, PhonesModel)
        assert isinstance(recipe.losses, PhonesLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.spec = self.model.speech_features(recipe.data.sample_rate)
        self.convention = self.spec.convention
        check_mel_clips(recipe.data.clip_samples, self.convention)
        if self.spec.key not in info.frame_features:
            raise DatasetError(
                f"The data set {info.name} has no phones of this mel convention.",
                hint="gan-audio prepare INPUT... -o DATA --layout text (or ljspeech, asterisk, vctk) --recipe phones/small",
            )
        self.facts = info.frame_features[self.spec.key]
        self.phones: list[str] = self.facts["phones"]
        silence = self.phones.index(SILENCE)
        # Pauses sound alike, whatever their mark.
        self.merged = np.array([silence if symbol in MARKS else number for number, symbol in enumerate(self.phones)], np.int32)
        self._sound = MelSound(self.convention)
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        self.networks: dict[str, keras.Model] = {"recogniser": build_recogniser(self.model, len(self.phones), seeds)}

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("recogniser", ("recogniser",), self.losses, "generator"),)

    def losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the cross-entropy of the frames of a batch, of varied spectra."""
        phone = tf.gather(self.merged, tf.maximum(tf.gather(batch["tokens"][..., 0], batch["frame_phone"], axis=1, batch_dims=1), 0))
        logits = self.networks["recogniser"](self.varied(batch["mel"], draws), training=True)
        made = {"logits": tf.cast(logits, tf.float32), "phone": phone, "frame_weight": batch["frame_weight"]}
        return TERMS(self.weights, made | {"smoothing": tf.constant(self.model.smoothing)})

    def varied(self, mel: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Return mel spectra [batch, frames, bands] of other voices, microphones and rooms: bands stretched along frequency (pitch and
        formants together), a random slope, in half of the clips steady noise."""
        m, c = self.model, self.convention
        clips, nats = mel.shape[0] or tf.shape(mel)[0], _DB * c.exponent / (1.0 if c.log == "ln" else np.log(10.0))
        uniform = draws.uniform("vary", (clips, 4))
        factor = tf.exp((2 * uniform[:, :1] - 1) * np.log1p(m.warp))
        place = self._bands_at(factor)
        low = tf.minimum(tf.cast(place, tf.int32), c.bands - 2)
        part = (place - tf.cast(low, tf.float32))[:, None]
        by_band = tf.transpose(mel, [0, 2, 1])
        first, second = (tf.transpose(tf.gather(by_band, index, axis=1, batch_dims=1), [0, 2, 1]) for index in (low, low + 1))
        mel = first + (second - first) * part
        slope = tf.linspace(-0.5, 0.5, c.bands)[None, None]
        mel += (2 * uniform[:, 1:2, None] - 1) * m.tilt_db * nats * tf.cast(slope, tf.float32)
        quiet, loud = m.noise_db[1], m.noise_db[0]
        level = tf.reduce_max(mel, axis=[1, 2], keepdims=True) - (loud + (quiet - loud) * uniform[:, 2:3, None]) * nats
        level += draws.normal("noise", (clips, mel.shape[1], c.bands)) * 0.3
        noisy = uniform[:, 3:4, None] < 0.5
        return tf.where(noisy, tf.maximum(mel, level), mel)  # the louder one masks: within 3 dB of the sum

    def _bands_at(self, factor: tf.Tensor) -> tf.Tensor:
        """Return float32 [batch, bands], the fractional band whose centre is `factor` [batch, 1] times that of each band."""
        c = self.convention
        edges = mel_edges_hz(c.bands, c.low_hz, c.high_hz, c.scale)
        low, high = hz_to_mel(np.array([c.low_hz, c.high_hz]), c.scale)
        positions = np.linspace(float(low), float(high), 4096)
        grid = np.linspace(0, c.sample_rate / 2, 4096)  # Hz -> band, tabulated: the scale has two formulas
        table = np.interp(hz_to_mel(grid, c.scale), positions, np.linspace(-1, c.bands, 4096)).astype(np.float32)
        wanted = tf.constant(edges[1:-1], tf.float32)[None] * factor * (4095 / (c.sample_rate / 2))
        return tf.clip_by_value(tf.gather(table, tf.cast(tf.clip_by_value(wanted, 0.0, 4095.0), tf.int32)), 0.0, c.bands - 1.0)

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples)

    def begin(self, source: Source) -> None:
        """Take recordings of the validation split (of the train split where there is none) for figures and previews."""
        split = "validation" if "validation" in source.splits else "train"
        self._clips: list[tuple[np.ndarray, np.ndarray]] = []
        for _, values in source.speech_clips(split):
            phone = self.merged[values["tokens"][:, 0]]
            if len(values["mel"]) * self.convention.hop <= _PREVIEW_SECONDS * self.convention.sample_rate:
                self._clips.append((values["mel"], np.repeat(phone, values["durations"])))
            if len(self._clips) >= _MEASURED:
                break
        if not self._clips:
            raise DatasetError(
                f"The data set {self.info.name} has no recording with a transcript below {_PREVIEW_SECONDS:g} s.",
                hint="gan-audio info DATA",
            )
        labels, mels = (np.concatenate([clip[part] for clip in self._clips]) for part in (1, 0))
        self._spectra = np.stack(
            [mels[labels == n].mean(axis=0) if (labels == n).any() else mels.min(axis=0) for n in range(len(self.phones))]
        )

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Say what is recognised, each phone with its mean spectrum: float32 [n, samples, 1], n <= clips."""
        model, made, right, total, errors, phones = self.inference_model(networks), [], 0, 0, 0, 0
        for number, (mel, wanted) in enumerate(self._clips):
            posteriors = model.posteriors(mel)
            right, total = right + int((posteriors.argmax(axis=1) == wanted).sum()), total + len(wanted)
            spoken = _collapsed(wanted, self.merged[0])
            errors, phones = errors + edit_distance(spoken, _collapsed(smoothed_path(posteriors), self.merged[0])), phones + len(spoken)
            if number < clips:
                made.append(self._sound((posteriors @ self._spectra).astype(np.float32)))
        self._figures = {"preview/frame_accuracy": right / max(total, 1), "preview/phone_error": errors / max(phones, 1)}
        return padded_together(made)

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """Return `preview/frame_accuracy`, share of frames (silence included), and `preview/phone_error`, substitutions, deletions and
        insertions of phones over their number, both against the aligner's phones of up to 96 recordings."""
        return self._figures

    def inference_model(self, networks: Mapping[str, keras.Model]) -> PhoneRecogniser:
        """The model with all it needs."""
        facts: dict[str, Any] = {"phonemiser": self.facts["phonemiser"], "consent": self.info.consent}
        provenance = provenance_of(self.recipe, self.info)
        return PhoneRecogniser(
            networks["recogniser"], self.convention, self.phones, **facts, provenance=provenance, name="phone_recogniser"
        )


def _collapsed(path: np.ndarray, silence: int) -> list[int]:
    """Return the phones of a path in order, without silence."""
    changes = np.flatnonzero(np.diff(path)) + 1
    return [int(phone) for phone in path[[0, *changes]] if phone != silence] if len(path) else []


FAMILY = Phones
