"""What the families that convert voices share: statistics of the domains, filling in frames, previews, and the model that is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError, RecipeError
from ..feature_specs import BatchFeatures
from ..losses.adversarial import LOSSES
from ..models.voice_converter import VoiceConverter
from ..recipe_schema import Recipe
from ..signal.mel_filter import filtered, nepers_between
from .adversarial import batch_size
from .base import Draws, provenance_of
from .conversion_schema import ConversionLosses, ConversionModel
from .mel_checks import check_mel_clips, loss_without_penalties

if TYPE_CHECKING:
    from ..data.frame_features import FrameClip
    from ..data.source import Source

PREVIEW_CLIPS = 18
_PREVIEW_SECONDS = 4.0
_LEAST_DEVIATION = 0.05  # a band that is empty (a recording from a lower rate) would be blown up to noise of rounding


class ConversionFamily:
    """Statistics, previews and the shipped model of a family that converts spectra between the labels of its data set.

    A subclass builds `networks` and says what of them converts (`conversion_network`); batches hold "spectrum" and "label".

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set: labels, and the statistics that `data.frame_features` gives.

    Raises:
        RecipeError: Settings that do not fit together.
        DatasetError: Fewer than two labels, or one without recordings to learn from.
    """

    averaged: tuple[str, ...] = ("generator",)
    networks: dict[str, keras.Model]
    _clips: list[FrameClip]  # what previews are made of, once `begin` has seen the data

    def __init__(self, recipe: Recipe, info: DatasetInfo):
        assert isinstance(recipe.model, ConversionModel)
        assert isinstance(recipe.losses, ConversionLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.loss = LOSSES[recipe.adversarial.loss]
        self.spec = self.model.frame_features(recipe.data.sample_rate)
        self.convention = self.spec.convention
        self.domains = tuple(info.labels)
        self._check()
        mel = [info.statistics.get(self.spec.mel_statistics(name)) for name in self.domains]
        f0 = [info.statistics.get(self.spec.f0_statistics(name)) for name in self.domains]
        missing = [name for name, facts in zip(self.domains, mel, strict=True) if facts is None]
        if missing:
            raise DatasetError(
                f"The data set {info.name} has no statistics of {', '.join(missing)}: no clip of its train split has that label.",
                hint=f"gan-audio prepare INPUT... -o DATA --recipe {recipe.name or recipe.family}, with more recordings of it",
            )
        self.mel = [facts for facts in mel if facts is not None]
        self.f0 = [facts or {"mean": 0.0, "deviation": 0.0, "median": 0.0, "seconds": 0.0} for facts in f0]
        self.mean = np.array([facts["mean"] for facts in self.mel], np.float32)
        self.deviation = np.maximum(np.array([facts["deviation"] for facts in self.mel], np.float32), _LEAST_DEVIATION)

    # What a family of this kind says of itself.

    def conversion_network(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        """The network of a `VoiceConverter`."""
        raise NotImplementedError

    def converter_options(self, networks: Mapping[str, keras.Model]) -> dict[str, Any]:
        """Further arguments of the `VoiceConverter`: how it is fed in pieces, a classifier, a prosody network."""
        raise NotImplementedError

    # Batches.

    def standardised(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """(float32 [batch, frames, bands] with the statistics of its own domain taken off, int32 [batch])."""
        label = batch["label"]
        mean, deviation = tf.gather(self.mean, label), tf.gather(self.deviation, label)
        return (batch["spectrum"] - mean[:, None]) / deviation[:, None], label

    def code(self, label: tf.Tensor) -> tf.Tensor:
        """float32 [batch, domains]."""
        return tf.one_hot(label, len(self.domains))

    def span_mask(self, draws: Draws, name: str, like: tf.Tensor) -> tf.Tensor:
        """float32 [batch, frames, 1]: 0 over one span of U(0, `most_masked`) of the frames, else 1 (MaskCycleGAN-VC, section 3)."""
        clips, frames = batch_size(like), like.shape[1]
        uniform = draws.uniform(name, (clips, 2))
        length = tf.floor(uniform[:, 0] * self.weights.most_masked * frames)
        start = tf.floor(uniform[:, 1] * (frames - length + 1.0))
        place = tf.range(frames, dtype=tf.float32)[None]
        hidden = (place >= start[:, None]) & (place < (start + length)[:, None])
        return 1.0 - tf.cast(hidden, tf.float32)[..., None]

    def identity_weight(self, late: bool) -> float:
        """The weight of the identity loss before and from `identity_stop` on; 0: it is not computed."""
        return self.weights.identity_after if late else self.weights.identity

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, labels=True)

    def begin(self, source: Source) -> None:
        """Takes clips of the validation split (of the train split where there is none), as many of each domain."""
        split = "validation" if "validation" in source.splits else "train"
        each = max(1, -(-PREVIEW_CLIPS // len(self.domains)))
        taken: dict[str, list[FrameClip]] = {name: [] for name in self.domains}
        for clip in source.frame_clips(split):
            if len(taken[clip.label]) < each:
                taken[clip.label].append(clip)
            elif all(len(clips) >= each for clips in taken.values()):
                break
        longest = max(map(len, taken.values()))
        self._clips = [clips[i] for i in range(longest) for clips in taken.values() if i < len(clips)][:PREVIEW_CLIPS]

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Validation clips, each converted to the domain after its own: float32 [n, samples, 1], n <= clips.

        The change of the spectrum is laid over the recording as a filter: no vocoder is needed, and the pitch stays (`convert` changes it).
        """
        model = self.inference_model(networks)
        used = self._clips[:clips]
        samples = self._preview_samples()
        self._converted, made = [], []
        for number, clip in enumerate(used):
            source = self.domains.index(clip.label)
            target = (source + 1 + number // len(self.domains) % (len(self.domains) - 1)) % len(self.domains)
            mel = model.convert(clip.spectrum[None], [source], [target]).numpy()[0]
            self._converted.append((mel, source, target))
            nepers = nepers_between(clip.spectrum, mel, self.convention, smooth=self.model.features == "mel")
            audio = filtered(clip.audio(), self.convention, nepers)[:samples]
            made.append(np.pad(audio, (0, samples - len(audio))))
        return np.stack(made)[..., None].astype(np.float32)

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """ "recording": what the previews were made of."""
        samples = self._preview_samples()
        cut = [clip.audio()[:samples] for clip in self._clips[:clips]]
        return {"recording": np.stack([np.pad(audio, (0, samples - len(audio))) for audio in cut])[..., None]}

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """`preview/statistics`: how far the mean of a domain's conversions is from the domain's own, in its deviations; 0 is equal.
        `preview/change`: how much the network changes beyond the exchange of statistics, in deviations."""
        sums: dict[int, list[np.ndarray]] = {}
        changes = []
        for clip, (mel, source, target) in zip(self._clips, self._converted, strict=False):
            sums.setdefault(target, []).append(mel)
            before = (clip.spectrum - self.mean[source]) / self.deviation[source]
            changes.append(np.abs((mel - self.mean[target]) / self.deviation[target] - before).mean())
        far = [np.abs((np.concatenate(mels).mean(axis=0) - self.mean[t]) / self.deviation[t]).mean() for t, mels in sums.items()]
        return {"preview/statistics": float(np.mean(far)), "preview/change": float(np.mean(changes))}

    def inference_model(self, networks: Mapping[str, keras.Model]) -> VoiceConverter:
        """The converter with all it needs."""
        return VoiceConverter(
            self.conversion_network(networks),
            self.convention,
            self.domains,
            self.mean,
            self.deviation,
            f0_mean=[facts["mean"] for facts in self.f0],
            f0_deviation=[facts["deviation"] for facts in self.f0],
            f0_median=[facts["median"] for facts in self.f0],
            f0_seconds=[facts["seconds"] for facts in self.f0],
            active_level=[facts["active_level"] for facts in self.mel],
            features=self.model.features,
            vocoder=self.model.vocoder,
            emphasis=self.model.emphasis,
            consent=self.info.consent,
            provenance=provenance_of(self.recipe, self.info),
            name="voice_converter",
            **self.converter_options(networks),
        )

    def _preview_samples(self) -> int:
        longest = max(clip.spectrum.shape[0] for clip in self._clips) * self.convention.hop
        return max(self.recipe.data.clip_samples, min(longest, int(_PREVIEW_SECONDS * self.recipe.data.sample_rate)))

    # Checks.

    def _check(self) -> None:
        data, c, m = self.recipe.data, self.convention, self.model
        if len(self.domains) < 2:
            raise DatasetError(
                f"The data set {self.info.name} has the label{'s' * (not self.domains)} {', '.join(self.domains) or '(none)'}; "
                "conversion is between two at least.",
                hint="gan-audio prepare INPUT... -o DATA --layout speakers: a folder a speaker",
            )
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; voices are converted in mono.", hint="--set data.channels=1")
        if c.sample_rate != data.sample_rate:
            raise RecipeError(
                f"model.mel.sample_rate is {c.sample_rate}, but data.sample_rate {data.sample_rate}.", hint="--set model.mel.sample_rate=0"
            )
        check_mel_clips(data.clip_samples, c)
        loss_without_penalties(self.recipe.adversarial, "the critics of conversion")
        if m.features == "world" and m.vocoder == "mel":
            raise RecipeError(
                'model.features is "world": envelopes without harmonics, from which a mel vocoder makes no voice.',
                hint="--set model.vocoder=world, or --set model.features=mel",
            )
