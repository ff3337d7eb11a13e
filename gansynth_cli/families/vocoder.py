"""What the vocoders share: a mel spectrogram becomes a waveform, judged by spectral losses and, from a step on, by critics of several
kinds at once. A family of this kind says what its generator looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..layers import discriminators
from ..layers.vocoder import MelSpectrogram
from ..losses import spectral
from ..losses.adversarial import LOSSES
from ..losses.perceptual import bark_disturbance
from ..models.vocoder import Vocoder
from ..recipe_schema import Recipe
from ..signal import pqmf
from ..signal.mel_front_end import mel_spectrogram
from .base import Batch, Draws, Losses, Phase, provenance_of
from .vocoder_checks import check_vocoder
from .vocoder_schema import VocoderLosses, VocoderModel

if TYPE_CHECKING:
    from ..data.pipeline import Source

PREVIEW_CLIPS = 16
_PESQ_FFT = 512  # PESQ's own frames at 16 kHz
_PREVIEW_SECONDS = 4.0  # a preview is no longer, nor than the clips of the data set
Judgement = Mapping[str, tuple[list[tf.Tensor], list[list[tf.Tensor]]]]  # kind -> logits, feature maps of each sub-discriminator


@dataclass(frozen=True)
class BetweenPhase(Phase):
    """A phase that does not run at every `rest`-th step: what the generator does while the game pauses."""

    rest: int = 1

    def active(self, step: int) -> bool:
        return super().active(step) and step % self.rest != 0


class VocoderFamily:
    """A generator of waveforms and its critics.

    Networks:
        generator: mel float [batch, frames, bands] -> audio [batch, frames * hop, 1], or what `head` makes audio of.
        critic: audio [batch, samples, 1] -> {kind: (logits, features)}; see `layers.discriminators`. There is none without
            `model.discriminators`.

    Phases: before `adversarial.critic_start` the generator alone, on its reconstruction losses ("reconstruction"); from there on critic
    and generator, or where `losses.adversarial_every` is n at every n-th step, the generator alone ("between") at the others.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Sizes that do not fit together, critics or losses that cannot work on such clips.
    """

    averaged = ("generator",)
    gives_spectrum = False  # whether `spectrum_distances` has terms
    model: VocoderModel
    _recordings: np.ndarray  # [clips, samples, 1]: what previews are made of, once `begin` has seen the data

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, VocoderModel)
        assert isinstance(recipe.losses, VocoderLosses)
        self.recipe, self.info, self.model = recipe, info, recipe.model
        self.weights, self.game = recipe.losses, LOSSES[recipe.adversarial.loss]
        self.convention = self.model.mel.resolved(recipe.data.sample_rate)
        self.loss_convention = replace(self.convention, high_hz=self.weights.mel_high_hz or recipe.data.sample_rate / 2)
        check_vocoder(self)
        self.seeds = _seeds(recipe.seed if seed is None else seed)
        self.networks: dict[str, keras.Model] = {"generator": self.build_generator()}
        if self.model.discriminators:
            self.networks["critic"] = self.build_critic()

    # What a family of this kind says of itself.

    def build_generator(self) -> keras.Model:
        """mel [batch, frames, bands] -> audio, or what `head` takes."""
        raise NotImplementedError

    def receptive_frames(self) -> int:
        """See `Vocoder`."""
        raise NotImplementedError

    def head(self) -> keras.layers.Layer | None:
        """A registered layer without weights, from the generator's output to audio; None: it is audio."""
        return None

    def sub_bands(self, made: tf.Tensor) -> tf.Tensor | None:
        """The sub-bands in the generator's output [batch, steps, bands]; None where it has none."""
        return None

    def spectrum_distances(self, made: tf.Tensor, real: tf.Tensor) -> Losses:
        """The terms `losses.spectrum_*` of the generator's output; none where it is no spectrum."""
        return {}

    # The game.

    def phases(self) -> tuple[Phase, ...]:
        start, every, sound = self.recipe.adversarial.critic_start, self.weights.adversarial_every, self.weights.sound_start
        alone = lambda name, kind=Phase, **when: kind(name, ("generator",), self.reconstruction_losses, "generator", **when)
        silent = (Phase("spectrum", ("generator",), self.spectrum_losses, "generator", stop=sound),) if sound else ()
        if "critic" not in self.networks:
            return (*silent, alone("reconstruction", start=sound))
        repeats = self.recipe.adversarial.critic_repeats
        phases = [
            Phase("critic", ("critic",), self.critic_losses, "critic", every=every, repeats=repeats, start=start),
            Phase("generator", ("generator",), self.generator_losses, "generator", every=every, start=start),
        ]
        if start > sound:
            phases.append(alone("reconstruction", start=sound, stop=start))
        if every > 1:
            phases.append(alone("between", BetweenPhase, start=start, rest=every))
        return (*silent, *phases)

    def spectrum_losses(self, batch: Batch, draws: Draws) -> Losses:
        """The generator by what its network gives, without making sound of it."""
        real = batch["audio"]
        return self.spectrum_distances(self.networks["generator"](mel_spectrogram(real, self.convention), training=True), real)

    def reconstruction_losses(self, batch: Batch, draws: Draws) -> Losses:
        """The generator without its critics."""
        real = batch["audio"]
        made, fake = self.generate(real)
        return self.distances(real, made, fake)

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Real against generated clips, one call of the critics for both."""
        clips = self.weights.critic_clips or None
        real = batch["audio"][:clips]
        _, fake = self.generate(real)
        real, fake = self.shown(real, fake, draws)
        clips = tf.shape(real)[0]
        judged = self.networks["critic"](tf.concat([real, tf.stop_gradient(fake)], axis=0), training=True)
        losses = {}
        for kind, (logits, _) in judged.items():
            terms = [self.game.critic(one[:clips], one[clips:]) for one in logits]
            losses[f"adversarial_{kind}"] = self.weight_of(kind) * self.gather(terms)
        return losses

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        """What the critics say of generated clips, their feature maps beside those of the recordings, and the distances."""
        real, w = batch["audio"], self.weights
        made, fake = self.generate(real)
        shown_real, shown_fake = self.shown(real, fake, draws)
        judged: Judgement = self.networks["critic"](shown_fake, training=True)
        losses = {}
        for kind, (logits, _) in judged.items():
            terms = [self.game.generator(one) for one in logits]
            losses[f"adversarial_{kind}"] = (w.adversarial * self.weight_of(kind)) * self.gather(terms)
        if w.feature_matching:
            target: Judgement = self.networks["critic"](shown_real, training=True)
            for kind in judged:
                pairs = zip(self.matched(judged[kind]), self.matched(target[kind]), strict=True)
                terms = [spectral.feature_matching(mine, theirs) for mine, theirs in pairs]
                losses[f"feature_matching_{kind}"] = (w.feature_matching * self.weight_of(kind)) * self.gather(terms)
        return {**losses, **self.distances(real, made, fake)}

    def generate(self, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(the generator's output, audio [batch, clip_samples, 1]) from the mel spectrogram of clips."""
        made = self.networks["generator"](mel_spectrogram(real, self.convention), training=True)
        head = self._head_layer()
        fake = tf.cast(made if head is None else head(made), tf.float32)
        return made, fake[:, : self.recipe.data.clip_samples]

    def shown(self, real: tf.Tensor, fake: tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """What the critics see of a batch: `losses.critic_clips` and `critic_samples`."""
        w, samples = self.weights, self.recipe.data.clip_samples
        clips = w.critic_clips or None
        real, fake = real[:clips], fake[:clips]
        if 0 < w.critic_samples < samples:
            start = draws.shared_integers("critic_start", (), 0, samples - w.critic_samples + 1)
            real, fake = (tf.ensure_shape(x[:, start : start + w.critic_samples], [None, w.critic_samples, 1]) for x in (real, fake))
        return real, fake

    def distances(self, real: tf.Tensor, made: tf.Tensor, fake: tf.Tensor) -> Losses:
        """The reconstruction losses that have a weight, weighted, by name."""
        w, losses = self.weights, {}
        if w.mel_l1 or w.mel_l2:
            front_end = lambda audio: mel_spectrogram(audio, self.loss_convention, soft=not w.mel_clamp)
            mels = front_end(fake), front_end(real)
            same = lambda mel: mel
            if w.mel_l1:
                losses["mel_l1"] = w.mel_l1 * spectral.mel_l1(*mels, same)
            if w.mel_l2:
                losses["mel_l2"] = w.mel_l2 * spectral.mel_l2(*mels, same)
        if w.stft_convergence or w.stft_magnitude:
            convergence, magnitude = spectral.multi_resolution_stft(fake, real, w.stft_resolutions)
            losses["stft_convergence"], losses["stft_magnitude"] = w.stft_convergence * convergence, w.stft_magnitude * magnitude
        bands = self.sub_bands(made)
        if bands is not None and (w.sub_band_convergence or w.sub_band_magnitude):
            target = pqmf.analyse(real)
            convergence, magnitude = spectral.sub_band_stft(bands[:, : target.shape[1]], target, resolutions=w.sub_band_resolutions)
            losses["sub_band_convergence"] = w.sub_band_convergence * convergence
            losses["sub_band_magnitude"] = w.sub_band_magnitude * magnitude
        if w.waveform_l1:
            losses["waveform_l1"] = w.waveform_l1 * spectral.waveform_l1(fake, real)
        if w.disturbance:
            mine, theirs = (spectral.spectrum(x, _PESQ_FFT, _PESQ_FFT // 2) for x in (fake, real))
            losses["disturbance"] = w.disturbance * pesq_points(mine, theirs, self.recipe.data.sample_rate)
        return {**losses, **self.spectrum_distances(made, real)}

    def matched(self, judgement: tuple[Sequence, Sequence]) -> list[list[tf.Tensor]]:
        """The feature maps that are compared, for each sub-discriminator."""
        logits, features = judgement
        first = 0 if self.weights.feature_matching_first else 1
        return [maps[first:] + ([one] if self.weights.feature_matching_logits else []) for one, maps in zip(logits, features, strict=True)]

    def gather(self, terms: list[tf.Tensor]) -> tf.Tensor:
        """Sum or mean over sub-discriminators."""
        return tf.add_n(terms) / (len(terms) if self.weights.average else 1)

    def weight_of(self, kind: str) -> float:
        """`model.<kind>.weight`."""
        return getattr(self.model, "mel_critic" if kind == "mel" else kind).weight

    def build_critic(self) -> keras.Model:
        """One network of all critics; see `layers.discriminators.join`."""
        m = self.model
        kinds: dict[str, keras.Model] = {}
        common: Callable[[], dict[str, Any]] = lambda: {"initializer": m.initializer, "seed": next(self.seeds)}
        for kind in m.discriminators:
            if kind == "msd":
                s = m.msd
                kinds[kind] = discriminators.multi_scale(s.style, s.scales, s.channels or None, s.most_channels, s.strides, **common())
            elif kind == "mpd":
                kinds[kind] = discriminators.multi_period(m.mpd.periods, m.mpd.channels, **common())
            elif kind == "mrd":
                kinds[kind] = discriminators.multi_resolution(m.mrd.resolutions, m.mrd.channels, m.mrd.band_edges, **common())
            else:
                front_end = MelSpectrogram(self.loss_convention, soft=True, dtype="float32", name="mel_spectrogram")
                kinds[kind] = discriminators.mel_domain(front_end, m.mel_critic.channels, **common())
        return discriminators.join(kinds)

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, 1, data.clip_samples)

    def begin(self, source: Source) -> None:
        """Takes the first clips of the validation split (of the train split where there is none), as long as they are up to 4 s."""
        split = "validation" if "validation" in source.splits else "train"
        most = int(_PREVIEW_SECONDS * self.recipe.data.sample_rate)
        clips = [np.asarray(clip, np.float32)[:most, :1] for clip, _ in source.clips(split, PREVIEW_CLIPS)]
        if not clips:
            raise DatasetError(f"The data set {source.info.name} has no clip to preview.", hint="gan-audio info DATA")
        samples = max(min(len(clip) for clip in clips), self.recipe.data.clip_samples)
        self._recordings = np.stack([np.pad(clip[:samples], [(0, samples - min(len(clip), samples)), (0, 0)]) for clip in clips])

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """The recordings of `begin` through mel spectrogram and generator: float32 [n, samples, 1], n <= clips."""
        model, made = self.inference_model(networks), []
        for clip in self._recordings[:clips]:  # one by one: seconds of V1's widest layers take a gigabyte
            mel = mel_spectrogram(clip[None], self.convention)
            made.append(model(mel, training=False).numpy()[0, : len(clip)])
        return np.stack([np.pad(one, [(0, self._recordings.shape[1] - len(one)), (0, 0)]) for one in made])

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """ "recording": what the previews were made of."""
        return {"recording": self._recordings[:clips]}

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """How far the previews are from their recordings: `preview/mel_l1` (natural-log units, range of the losses) and
        `preview/stft_convergence`, `preview/stft_magnitude` over three resolutions."""
        real = self._recordings[: len(clips)]
        front_end = lambda audio: mel_spectrogram(audio, replace(self.loss_convention, log="ln"))
        convergence, magnitude = spectral.multi_resolution_stft(tf.constant(clips), tf.constant(real))
        return {
            "preview/mel_l1": float(spectral.mel_l1(clips, real, front_end)),
            "preview/stft_convergence": float(convergence),
            "preview/stft_magnitude": float(magnitude),
        }

    def inference_model(self, networks: Mapping[str, keras.Model]) -> Vocoder:
        """The generator with all it needs to give audio of a mel spectrogram."""
        recipe = self.recipe
        return Vocoder(
            networks["generator"],
            self.head(),
            self.convention,
            self.receptive_frames(),
            provenance=provenance_of(recipe, self.info),
            name="vocoder",
        )

    def _head_layer(self) -> keras.layers.Layer | None:
        if not hasattr(self, "_made_head"):
            self._made_head = self.head()
        return self._made_head


def pesq_points(estimate: spectral.Spectrum, target: spectral.Spectrum, sample_rate: int) -> tf.Tensor:
    """The points by which the disturbances lower PESQ's raw score (ITU-T P.862, section 10.2.14)."""
    symmetric, asymmetric = bark_disturbance(estimate, target, sample_rate)
    return 0.1 * symmetric + 0.0309 * asymmetric


def _seeds(seed: int) -> Iterator[int]:
    """Endless distinct seeds, one for each layer."""
    rng = np.random.default_rng([seed, 0x50C0])
    while True:
        yield int(rng.integers(2**31))
