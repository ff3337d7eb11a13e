"""What the vocoders share: a mel spectrogram becomes a waveform, trained by spectral losses and, from a step on, against discriminators of
several kinds. A family of this kind builds the generator."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..layers.seeds import layer_seeds
from ..losses import spectral
from ..losses.adversarial import LOSSES
from ..models.vocoder import Vocoder
from ..recipe_schema import Recipe
from ..signal.mel_front_end import mel_spectrogram
from ..signal.pqmf import CUTOFF, Bank
from .base import Batch, Draws, Losses, Phase, provenance_of
from .vocoder_checks import check_losses, check_sizes
from .vocoder_networks import build_critic, weight_of
from .vocoder_schema import VocoderLosses, VocoderModel
from .vocoder_terms import TERMS, Comparison, SpectrumPair, of_sound

if TYPE_CHECKING:
    from ..data.source import Source

PREVIEW_CLIPS = 16
NORMALIZATION_CLIPS = 256  # whose mel spectrograms give mean and deviation
MIN_DEVIATION = 1e-3  # of a band that is always silent
_SEED_STREAM = 0x50C0
_PREVIEW_SECONDS = 4.0  # a preview is no longer, nor than the clips of the data set
Judgement = Mapping[str, tuple[list[tf.Tensor], list[list[tf.Tensor]]]]  # kind -> logits, feature maps of each sub-discriminator


@dataclass(frozen=True)
class BetweenPhase(Phase):
    """A phase that does not run at every `rest`-th step: the generator's while the discriminators rest."""

    rest: int = 1

    def active(self, step: int) -> bool:
        return super().active(step) and step % self.rest != 0


class VocoderFamily:
    """A generator of waveforms and its discriminators.

    Networks:
        generator: mel float [batch, frames, bands] -> audio [batch, frames * hop, 1], or the input of `head`.
        critic: audio [batch, samples, 1] -> {kind: (logits, features)}; see `layers.discriminators`. There is none without
            `model.discriminators`.

    Phases: before `adversarial.critic_start` the generator by itself, on its reconstruction losses ("reconstruction"); from there on
    critic and generator, or where `losses.adversarial_every` is n at every n-th step, the generator by itself ("between") at the others.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Sizes that do not fit together, discriminators or losses that cannot work on such clips.
    """

    averaged = ("generator",)
    gives_spectrum = False  # whether `own_spectrum` is there
    model: VocoderModel
    _recordings: np.ndarray  # [clips, samples, 1]: what previews are made of, once `begin` has seen the data
    _given: Sequence[np.ndarray] = ()  # their mel spectrograms, where those are given

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, VocoderModel)
        assert isinstance(recipe.losses, VocoderLosses)
        self.recipe, self.info, self.model = recipe, info, recipe.model
        self.weights, self.loss = recipe.losses, LOSSES[recipe.adversarial.loss]
        self.convention = self.model.mel.resolved(recipe.data.sample_rate)
        self.loss_convention = replace(self.convention, high_hz=self.weights.mel_high_hz or recipe.data.sample_rate / 2)
        check_sizes(recipe, self.model, self.weights, (self.convention, self.loss_convention))
        gives = {"gives_spectrum": self.gives_spectrum, "gives_sub_bands": self.gives_sub_bands}
        check_losses(recipe, self.model, self.weights, **gives)
        self.seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        self.networks: dict[str, keras.Model] = {"generator": self.build_generator()}
        if self.model.discriminators:
            self.networks["critic"] = build_critic(self.model, self.loss_convention, self.seeds)

    # Given by a subclass.

    def build_generator(self) -> keras.Model:
        """Build mel [batch, frames, bands] -> audio, or the input of `head`."""
        raise NotImplementedError

    def receptive_frames(self) -> int:
        """See `Vocoder`."""
        raise NotImplementedError

    def head(self) -> keras.layers.Layer | None:
        """Build a registered layer without weights, from the generator's output to audio; None: it is audio."""
        return None

    @property
    def gives_sub_bands(self) -> bool:
        """Whether the generator's output is [batch, steps, bands]."""
        return False

    @property
    def filter_bank(self) -> tuple[Bank, float]:
        """The bank of those sub-bands, and its cut-off; see `signal.pqmf`."""
        return "nguyen", CUTOFF

    def own_spectrum(self, made: tf.Tensor, real: tf.Tensor) -> SpectrumPair | None:
        """Return the spectrum in the generator's output beside that of the recordings; None where it has none."""
        return None

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        start, every, sound = self.recipe.adversarial.critic_start, self.weights.adversarial_every, self.weights.sound_start
        alone = lambda name, kind=Phase, **when: kind(name, ("generator",), self.reconstruction_losses, "generator", **when)
        silent = (Phase("spectrum", ("generator",), self.spectrum_losses, "generator", stop=sound),) if sound else ()
        if "critic" not in self.networks:
            return (*silent, alone("reconstruction", start=sound))
        repeats = self.recipe.adversarial.critic_repeats
        share: dict[str, Any] = {"forward": self.forward}  # as the authors of HiFi-GAN, MelGAN and Vocos have it
        phases = [
            Phase("critic", ("critic",), self.critic_losses, "critic", every=every, repeats=repeats, start=start, **share),
            Phase("generator", ("generator",), self.generator_losses, "generator", every=every, start=start, **share),
        ]
        if start > sound:
            phases.append(alone("reconstruction", start=sound, stop=start))
        if every > 1:
            phases.append(alone("between", BetweenPhase, start=start, rest=every))
        return (*silent, *phases)

    def spectrum_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the generator's losses on the spectrum that its network gives, without computing a waveform."""
        real = batch["audio"]
        made = self.networks["generator"](self.mel_of(real, batch.get("mel")), training=True)
        pair = Comparison(self.weights, self.loss_convention, real, own=self.own_spectrum(made, real))
        return TERMS(self.weights, pair, without=of_sound(self.weights))

    def reconstruction_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the generator's losses without its discriminators."""
        real = batch["audio"]
        made, fake = self.generate(real, batch.get("mel"))
        return self.distances(real, made, fake)

    def forward(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Return what `generate` gives for a batch, by name."""
        made, fake = self.generate(batch["audio"], batch.get("mel"))
        return {"made": made, "fake": fake}

    def critic_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        """Return the discriminators' losses on real and generated clips, computed in one call."""
        clips = self.weights.critic_clips or None
        real, given = batch["audio"][:clips], batch.get("mel")
        fake = forward["fake"] if forward else self.generate(real, None if given is None else given[:clips])[1]
        real, fake = self.shown(real, fake, draws)
        clips = tf.shape(real)[0]
        judged = self.networks["critic"](tf.concat([real, tf.stop_gradient(fake)], axis=0), training=True)
        losses = {}
        for kind, (logits, _) in judged.items():
            terms = [self.loss.critic(one[:clips], one[clips:]) for one in logits]
            losses[f"adversarial_{kind}"] = weight_of(self.model, kind) * self.gather(terms)
        return losses

    def generator_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        """Return the generator's losses: adversarial, matched feature maps, and the distances."""
        real, w = batch["audio"], self.weights
        forward = forward or self.forward(batch)
        made, fake = forward["made"], forward["fake"]
        shown_real, shown_fake = self.shown(real, fake, draws)
        judged: Judgement = self.networks["critic"](shown_fake, training=True)
        losses = {}
        for kind, (logits, _) in judged.items():
            terms = [self.loss.generator(one) for one in logits]
            losses[f"adversarial_{kind}"] = (w.adversarial * weight_of(self.model, kind)) * self.gather(terms)
        if w.feature_matching:
            target: Judgement = self.networks["critic"](shown_real, training=True)
            for kind in judged:
                pairs = zip(self.matched(judged[kind], kind), self.matched(target[kind], kind), strict=True)
                terms = [spectral.feature_matching(mine, theirs) for mine, theirs in pairs]
                losses[f"feature_matching_{kind}"] = (w.feature_matching * weight_of(self.model, kind)) * self.gather(terms)
        return {**losses, **self.distances(real, made, fake)}

    def mel_of(self, real: tf.Tensor, given: tf.Tensor | None) -> tf.Tensor:
        """Return the generator's input for recordings: the mel spectrograms that are given with them, else their own."""
        return mel_spectrogram(real, self.convention) if given is None else given

    def generate(self, real: tf.Tensor, given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (the generator's output, audio [batch, clip_samples, 1]) for the mel spectrogram of clips; see `mel_of`."""
        made = self.networks["generator"](self.mel_of(real, given), training=True)
        fake = tf.cast(made if self._head is None else self._head(made), tf.float32)
        return made, fake[:, : self.recipe.data.clip_samples]

    def shown(self, real: tf.Tensor, fake: tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the part of a batch that the discriminators see: `losses.critic_clips` and `critic_samples`."""
        w, samples = self.weights, self.recipe.data.clip_samples
        clips = w.critic_clips or None
        real, fake = real[:clips], fake[:clips]
        if 0 < w.critic_samples < samples:
            start = draws.shared_integers("critic_start", (), 0, samples - w.critic_samples + 1)
            real, fake = (tf.ensure_shape(x[:, start : start + w.critic_samples], [None, w.critic_samples, 1]) for x in (real, fake))
        return real, fake

    def distances(self, real: tf.Tensor, made: tf.Tensor, fake: tf.Tensor) -> Losses:
        """Return the reconstruction losses that have a weight, weighted, by name."""
        bands = made if self.gives_sub_bands else None
        own = self.own_spectrum(made, real)
        return TERMS(self.weights, Comparison(self.weights, self.loss_convention, real, fake, bands, own, self.filter_bank))

    def matched(self, judgement: tuple[Sequence, Sequence], kind: str) -> list[list[tf.Tensor]]:
        """Return the feature maps that are compared, for each sub-discriminator of a kind."""
        logits, features = judgement
        w = self.weights
        if not w.feature_matching_first:
            stacks = len(self.model.mrd.band_edges) - 1 if kind == "mrd" and w.feature_matching_by_band else 1
            features = [_without_first(maps, stacks) for maps in features]
        return [[*maps, *([one] if w.feature_matching_logits else [])] for one, maps in zip(logits, features, strict=True)]

    def gather(self, terms: list[tf.Tensor]) -> tf.Tensor:
        """Return the sum or the mean over sub-discriminators."""
        return tf.add_n(terms) / (len(terms) if self.weights.average else 1)

    # Data, previews, the shipped model.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples)

    def begin(self, source: Source) -> None:
        """Take the first clips of the validation split (of the train split where there is none), as long as they are up to 4 s."""
        split = "validation" if "validation" in source.splits else "train"
        most = int(_PREVIEW_SECONDS * self.recipe.data.sample_rate)
        clips = [np.asarray(clip, np.float32)[:most, :1] for clip, _ in source.clips(split, PREVIEW_CLIPS)]
        if self.model.given_mels:
            frames = most // self.convention.hop
            pairs = list(itertools.islice(source.clips_with_mels(split), PREVIEW_CLIPS))
            clips = [audio[: frames * self.convention.hop, None] for audio, _ in pairs]
            self._given = [mel[:frames] for _, mel in pairs]
        if not clips:
            raise DatasetError(f"The data set {source.info.name} has no clip to preview.", hint="gan-audio info DATA")
        self._begin_normalization(source)
        samples = max(min(len(clip) for clip in clips), self.recipe.data.clip_samples)
        self._recordings = np.stack([np.pad(clip[:samples], [(0, samples - min(len(clip), samples)), (0, 0)]) for clip in clips])

    def _begin_normalization(self, source: Source) -> None:
        """Set the statistics of the mel spectrograms, where the generator has them, to those of some training clips."""
        if not self.model.mel_normalization:
            return
        clips = (clip[None, :, :1] for clip, _ in source.clips("train", NORMALIZATION_CLIPS))
        frames = np.concatenate([np.asarray(mel_spectrogram(clip, self.convention), np.float64)[0] for clip in clips])
        layer = self.networks["generator"].get_layer("mel_normalization")
        layer.mean.assign(frames.mean(axis=0))
        layer.deviation.assign(np.maximum(frames.std(axis=0), MIN_DEVIATION))

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Resynthesise the recordings of `begin`: float32 [n, samples, 1], n <= clips."""
        model, made = self.inference_model(networks), []
        for index, clip in enumerate(self._recordings[:clips]):  # one by one: seconds of V1's widest layers take a gigabyte
            mel = self._given[index][None] if self._given else mel_spectrogram(clip[None], self.convention)
            made.append(model(mel, training=False).numpy()[0, : len(clip)])
        return np.stack([np.pad(one, [(0, self._recordings.shape[1] - len(one)), (0, 0)]) for one in made])

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """Return "recording": the originals of the previews."""
        return {"recording": self._recordings[:clips]}

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """Return how far the previews are from their recordings: `preview/mel_l1` (natural-log units, range of the losses) and
        `preview/stft_convergence`, `preview/stft_magnitude` over three resolutions."""
        real = self._recordings[: len(clips)]
        front_end = lambda audio: mel_spectrogram(audio, replace(self.loss_convention, log="ln"))
        convergence, magnitude = spectral.multi_resolution_stft(tf.constant(clips), tf.constant(real))
        return {
            "preview/mel_l1": float(spectral.l1(front_end(clips), front_end(real))),
            "preview/stft_convergence": float(convergence),
            "preview/stft_magnitude": float(magnitude),
        }

    def inference_model(self, networks: Mapping[str, keras.Model]) -> Vocoder:
        """Build the generator with all it needs to give audio of a mel spectrogram."""
        recipe = self.recipe
        return Vocoder(
            networks["generator"],
            self.head(),
            self.convention,
            self.receptive_frames(),
            provenance=provenance_of(recipe, self.info),
            name="vocoder",
        )

    @cached_property
    def _head(self) -> keras.layers.Layer | None:
        return self.head()


def _without_first(maps: Sequence[tf.Tensor], stacks: int) -> list[tf.Tensor]:
    """Leave out the first map of each of so many equal stacks of layers."""
    size = len(maps) // stacks
    return [one for place, one in enumerate(maps) if place % size]
