"""WaveNet (van den Oord et al. 2016, "WaveNet: A generative model for raw audio"), as a vocoder of mel spectrograms (Shen et al. 2018;
r9y9's wavenet_vocoder) or as a generator of clips by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError, RecipeError
from ...feature_specs import BatchFeatures
from ...layers.audio import WaveformToAudio
from ...layers.seeds import layer_seeds
from ...models.clip_generator import ClipGenerator
from ...models.vocoder import Vocoder
from ...models.wavenet import SampledWaveNet
from ...recipe_schema import Recipe
from ...signal import pqmf
from ...signal.emphasis import emphasize_clips
from ...signal.mel_front_end import mel_spectrogram
from ...signal.mulaw import encode_mulaw
from ..base import Batch, Draws, Losses, Phase, provenance_of
from .networks import build_network
from .schema import WaveNetLosses, WaveNetModel

if TYPE_CHECKING:
    from ...data.source import Source

_SEED_STREAM = 0x3A7E
_PREVIEW_CLIPS = 8  # most clips of a preview: samples are drawn one by one
_PREVIEW_SECONDS = 1.0


class WaveNet:
    """One network, one phase: the cross-entropy of each sample's class, given the samples before it.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Sizes that do not fit together.
        DatasetError: Labels are needed and missing.
    """

    averaged = ("wavenet",)
    model: WaveNetModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, WaveNetModel)
        assert isinstance(recipe.losses, WaveNetLosses)
        self.recipe, self.info, self.model, self.losses = recipe, info, recipe.model, recipe.losses
        self.labels = tuple(info.labels) if self.model.condition == "label" else ()
        self.convention = self.model.mel.resolved(recipe.data.sample_rate)
        self._check()
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        self.networks: dict[str, keras.Model] = {"wavenet": build_network(self.model, len(self.labels), seeds)}
        self._recordings = np.zeros((0, 0, 1), np.float32)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("wavenet", ("wavenet",), self.sample_losses, "wavenet"),)

    def sample_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the cross-entropy in nats a sample, the mean over sub-bands and over the steps that have their whole past."""
        audio = batch["audio"]
        numbers = self.classes_of(audio)
        inputs: dict[str, tf.Tensor] = {"classes": numbers}
        if self.model.condition == "mel":
            frames = self.recipe.data.clip_samples // self.convention.hop
            inputs["mel"] = mel_spectrogram(audio, self.convention)[:, :frames]
        elif self.labels:
            inputs["label"] = batch["label"]
        logits = self.networks["wavenet"](inputs, training=True)[:, self.first_step :]
        error = tf.nn.sparse_softmax_cross_entropy_with_logits(numbers[:, self.first_step :], logits)
        return {"cross_entropy": tf.reduce_mean(error)}

    def classes_of(self, audio: tf.Tensor) -> tf.Tensor:
        """Return int32 [batch, steps, bands]: the classes of the samples of clips float32 [batch, samples, 1]."""
        signal = emphasize_clips(audio, self.model.pre_emphasis)
        return encode_mulaw(pqmf.analyse(signal) if self.model.bands > 1 else signal, self.model.classes)

    @property
    def steps(self) -> int:
        """Steps of a training clip."""
        return self.recipe.data.clip_samples // self.model.bands

    @property
    def first_step(self) -> int:
        """The first step of a clip that counts."""
        return int(self.losses.leave_out * (self.model.receptive_field - 1))

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples, labels=bool(self.labels))

    def begin(self, source: Source) -> None:
        """Take the first clips of the validation split (of the train split where there is none), at most a second of each."""
        if self.model.condition != "mel":
            return
        split = "validation" if "validation" in source.splits else "train"
        samples = min(int(_PREVIEW_SECONDS * self.recipe.data.sample_rate), self.recipe.data.clip_samples)
        samples -= samples % self.convention.hop
        clips = [np.asarray(clip, np.float32)[:samples, :1] for clip, _ in source.clips(split, _PREVIEW_CLIPS)]
        if not clips:
            raise DatasetError(f"The data set {source.info.name} has no clip to preview.", hint="gan-audio info DATA")
        self._recordings = np.stack([np.pad(clip, [(0, samples - len(clip)), (0, 0)]) for clip in clips])

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return float32 [n, samples, 1], n <= clips: the recordings of `begin` resynthesised, or clips of the labels in turn."""
        model = self.inference_model(networks)
        if self.model.condition == "mel":
            recordings = self._recordings[:clips]
            mel = mel_spectrogram(tf.constant(recordings), self.convention)[:, : recordings.shape[1] // self.convention.hop]
            return model(mel, training=False).numpy()[:, : recordings.shape[1]]
        clips = min(clips, _PREVIEW_CLIPS)
        rng = np.random.default_rng([self.recipe.seed, _SEED_STREAM])
        inputs = {"latent": rng.uniform(-1.0, 1.0, (clips, self.recipe.data.clip_samples)).astype(np.float32)}
        if self.labels:
            inputs["label"] = (np.arange(clips) % len(self.labels)).astype(np.int32)
        return model(inputs, training=False).numpy()

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """Return "recording": the originals of a vocoder's previews."""
        return {"recording": self._recordings[:clips]} if self.model.condition == "mel" else {}

    def inference_model(self, networks: Mapping[str, keras.Model]) -> Vocoder | ClipGenerator:
        """Build the vocoder, or the generator of clips, that draws samples."""
        recipe, m = self.recipe, self.model
        provenance = provenance_of(recipe, self.info)
        if m.condition == "mel":
            # A sample depends on all that was drawn before it; pieces are faded into each other, behind as many frames as one begins early.
            frames = m.context + len(m.upsample) + 4
            sampled = SampledWaveNet(networks["wavenet"], None, m.pre_emphasis, name="sampled")
            return Vocoder(sampled, None, self.convention, frames, provenance=provenance, name="vocoder")
        return ClipGenerator(
            SampledWaveNet(networks["wavenet"], self.steps, m.pre_emphasis, name="sampled"),
            WaveformToAudio(name="to_audio"),
            recipe.data.sample_rate,
            clip_samples=recipe.data.clip_samples,
            labels=self.labels,
            latent={"dim": recipe.data.clip_samples, "distribution": "uniform"},
            provenance=provenance,
            name="clip_generator",
        )

    def _check(self) -> None:
        data, m, c = self.recipe.data, self.model, self.convention
        if data.channels != 1:
            raise RecipeError(f"data.channels is {data.channels}; a WaveNet has 1.", hint="--set data.channels=1")
        if m.condition == "label" and not self.labels:
            raise DatasetError(
                f"The recipe is conditioned on labels, but the data set {self.info.name} has none.",
                hint="--set model.condition=none, or prepare the data set with --labels",
            )
        if data.clip_samples % m.bands:
            raise RecipeError(f"data.clip_samples is {data.clip_samples}; expected a multiple of model.bands = {m.bands}.")
        if self.first_step >= self.steps:
            raise RecipeError(
                f"data.clip_samples is {data.clip_samples}, {self.steps} steps; with a receptive field of {m.receptive_field} steps none "
                "of them counts.",
                hint=f"--set data.clip_samples={4 * m.receptive_field * m.bands // 256 * 256 + 256}, or --set losses.leave_out=0",
            )
        if m.condition != "mel":
            return
        if wrong := c.problems():
            raise RecipeError(f"[model.mel] is no mel spectrogram: {'; '.join(wrong)}.")
        if data.clip_samples % c.hop:
            near = max(1, round(data.clip_samples / c.hop)) * c.hop
            raise RecipeError(
                f"data.clip_samples is {data.clip_samples}, no multiple of the hop of {c.hop} samples (model.mel.hop).",
                hint=f"--set data.clip_samples={near}",
            )
        steps = int(np.prod(m.upsample))
        if steps * m.bands != c.hop:
            raise RecipeError(
                f"model.upsample is {list(m.upsample)}: {steps} steps a frame in {m.bands} bands; a frame has {c.hop} samples.",
                hint=f"factors whose product is {c.hop // m.bands}",
            )


FAMILY = WaveNet
