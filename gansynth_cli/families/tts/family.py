"""The family tts: a non-autoregressive acoustic model with explicit durations (FastSpeech 2, Ren et al. 2021; FastPitch, Łańcucki 2021), of
ConvNeXt blocks in place of Transformers, and GANSpeech's second part (Yang et al. 2021): once the reconstruction has converged, a
discriminator of mel spectrograms with feature matching scaled to the reconstruction loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...layers.seeds import layer_seeds
from ...layers.speech import frame_inputs
from ...losses.spectral import feature_matching
from ...losses.weighted import WeightedTerms
from ...models.speech_synthesiser import SpeechSynthesiser
from ...recipe_schema import Recipe
from ...schema_types import term_names
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..mel_checks import loss_without_penalties
from ..mel_sound import padded_together
from ..speech import SpeechFamily, masked_mean
from .networks import MEL_KINDS, Tables, build_critic, build_decoder, build_encoder, logits_of
from .schema import TtsLosses, TtsModel
from .waveform import Waveform, clip_seeds

_PREVIEW_SECONDS = 8.0
_SEED_STREAM = 0x5A1
_GENERATOR = ("encoder", "decoder")
Made = dict[str, tf.Tensor]


def _pitch(batch: Made) -> tf.Tensor:
    voiced = batch["prosody"][..., 1]
    error = tf.abs(batch["predicted"][..., 0] - batch["prosody"][..., 0]) * voiced
    weight = voiced * batch["phone_weight"][..., None]
    return tf.reduce_sum(error * batch["phone_weight"][..., None]) / tf.maximum(tf.reduce_sum(weight), 1.0)


SOUND_TERMS = tuple(name for name in term_names(TtsLosses) if name.startswith("sound_"))
TERMS: WeightedTerms[Made] = WeightedTerms(
    TtsLosses,
    {
        "mel": lambda made: masked_mean(tf.abs(made["made"] - made["target"]), made["frame_weight"]),
        "duration": lambda made: masked_mean(
            tf.abs(made["duration"] - tf.math.log(tf.maximum(made["durations"], 1.0))), made["phone_weight"]
        ),
        "pitch": _pitch,
        "voicing": lambda made: masked_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(made["prosody"][..., 1], made["predicted"][..., 1]), made["phone_weight"]
        ),
        "energy": lambda made: masked_mean(tf.abs(made["predicted"][..., 2] - made["prosody"][..., 2]), made["phone_weight"]),
    },
    elsewhere=("adversarial", "feature_matching", *SOUND_TERMS),  # see `Waveform`
)


class Tts(SpeechFamily):
    """Phones to mel spectrograms, and with `model.waveform` to sound.

    Networks:
        encoder, decoder, critic: See `networks`.
        filters, listener: `Waveform.network` and `Waveform.critic`.

    Phases: before `adversarial.critic_start` encoder, decoder and filters on the reconstruction ("reconstruction"); from there on critics
    and generator.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set, with speech features.
        seed: Seed of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: Settings that do not fit together.
        DatasetError: A data set without transcripts.
    """

    model: TtsModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, TtsModel)
        assert isinstance(recipe.losses, TtsLosses)
        super().__init__(recipe, info)
        self.weights, self.loss = recipe.losses, loss_without_penalties(recipe.adversarial, "the discriminators of tts")
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        tables = Tables(len(self.facts["phones"]), len(self.speakers), len(self.languages), len(self.emotions))
        self.networks: dict[str, keras.Model] = {
            "encoder": build_encoder(self.model, tables, seeds),
            "decoder": build_decoder(self.model, seeds),
        }
        if set(self.model.discriminators) & set(MEL_KINDS):
            self.networks["critic"] = build_critic(self.model, self.frames, tables.speakers, tables.emotions, seeds)
        self.averaged: tuple[str, ...] = _GENERATOR
        self.waveform: Waveform | None = None
        if self.model.waveform != "none":
            self.averaged = (*_GENERATOR, "filters")
            self.waveform = Waveform(self.model, self.convention, self.frames, seeds)
            self.networks["filters"] = self.waveform.network
            if self.waveform.critic is not None:
                self.networks["listener"] = self.waveform.critic

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        start, trained = self.recipe.adversarial.critic_start, self.averaged
        critics = tuple(name for name in ("critic", "listener") if name in self.networks)
        if not critics:
            return (Phase("reconstruction", trained, self.reconstruction_losses, "generator"),)
        alone = Phase("reconstruction", trained, self.reconstruction_losses, "generator", stop=start)
        repeats, forward = self.recipe.adversarial.critic_repeats, self.forward
        return (
            *([alone] if start else []),
            Phase("critic", critics, self.critic_losses, "critic", repeats=repeats, start=start, forward=forward),
            Phase("generator", trained, self.generator_losses, "adversarial", start=start, fresh=True, forward=forward),
        )

    def forward(self, batch: Batch) -> Made:
        """Return what the networks make of a batch, true durations and prosody in, as in FastSpeech 2: "made" standardised spectra,
        "duration" ln frames, "predicted" standardised prosody, and of a model that makes sound, `Waveform.segments`."""
        given = self._given(batch)
        encoded = self.networks["encoder"]([batch["tokens"], batch["label"], batch["language"], given["emotion"]], training=True)
        inputs = frame_inputs(given["prosody"], batch["durations"], batch["frame_phone"], batch["frame_place"])
        made = self.networks["decoder"]([encoded["phones"], encoded["condition"], batch["frame_phone"], inputs], training=True)
        mel = made if self.waveform is None else made["mel"]
        sound = {} if self.waveform is None else self.waveform.segments(batch, made["hidden"], encoded["condition"])
        return {"made": tf.cast(mel, tf.float32), "duration": encoded["duration"], "predicted": encoded["prosody"], **sound}

    def generate(self, batch: Batch, forward: Mapping[str, tf.Tensor] | None = None) -> Made:
        """Return the batch with its standardised "prosody" and "target" spectra, its "emotion", part of them hidden, and `forward`."""
        return {**batch, **self._given(batch), **(forward or self.forward(batch))}

    def reconstruction_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the losses without a discriminator."""
        return self._distances(self.generate(batch))

    def critic_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        """Return the discriminators' losses on real and generated spectra, and on sound."""
        made, losses = self.generate(batch, forward), Losses()
        if "critic" in self.networks:
            real, fake = logits_of(self.judge(made["target"], made)), logits_of(self.judge(tf.stop_gradient(made["made"]), made))
            losses["adversarial"] = tf.add_n([self.loss.critic(a, b) for a, b in zip(real, fake, strict=True)]) / len(real)
        if self.waveform is not None and self.waveform.critic is not None:
            losses |= self.waveform.critic_losses(made, self.loss)
        return losses

    def generator_losses(self, batch: Batch, draws: Draws, forward: Mapping[str, tf.Tensor] | None = None) -> Losses:
        """Return the losses against the discriminators: feature matching of spectra weighs as much as the mel loss (GANSpeech, section
        2.3), that of sound as its weight says."""
        made = self.generate(batch, forward)
        losses = self._distances(made)
        if "critic" in self.networks:
            fake = self.judge(made["made"], made)
            logits = logits_of(fake)
            losses["adversarial"] = self.weights.adversarial * tf.add_n([self.loss.generator(one) for one in logits]) / len(logits)
            if self.weights.feature_matching:
                real = self.judge(made["target"], made)
                matched = tf.add_n([feature_matching([maps], [real[kind][1]]) for kind, (_, maps) in fake.items()])
                mel = masked_mean(tf.abs(made["made"] - made["target"]), made["frame_weight"])
                scale = tf.stop_gradient(mel / tf.maximum(matched, 1e-6))
                losses["feature_matching"] = self.weights.feature_matching * scale * matched
        if self.waveform is not None and self.waveform.critic is not None:
            losses |= self.waveform.generator_losses(made, self.loss, self.weights)
        return losses

    def judge(self, mel: tf.Tensor, made: Made) -> dict[str, Any]:
        """Return what the discriminators say of standardised spectra; what lies after the end of a recording is hidden from them."""
        return self.networks["critic"]([mel * made["frame_weight"][..., None], made["label"], made["emotion"]], training=True)

    def _distances(self, made: Made) -> Losses:
        return TERMS(self.weights, made) | ({} if self.waveform is None else self.waveform.distances(made, self.weights))

    def _given(self, batch: Batch) -> Made:
        target = (batch["mel"] - self.mel_mean) / self.mel_deviation
        return {"prosody": self.standard_prosody(batch), "target": target, "emotion": self._emotion(batch)}

    def _emotion(self, batch: Batch) -> tf.Tensor:
        emotion = batch["emotion"]
        if len(self.emotions) < 2 or not self.model.emotion_dropout:
            return emotion
        chance = tf.map_fn(lambda seed: tf.random.stateless_uniform([], seed), clip_seeds(batch["mel"]), fn_output_signature=tf.float32)
        return tf.where(chance < self.model.emotion_dropout, len(self.emotions), emotion)

    # What the trainer and the verbs ask.

    @property
    def preview_frames(self) -> int:
        return int(_PREVIEW_SECONDS * self.convention.sample_rate / self.convention.hop)

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Speak the texts of the clips of `begin`, durations and prosody predicted: float32 [n, samples, 1], n <= clips."""
        model, made = self.inference_model(networks), []
        self._errors = []
        for clip, values in self._clips[:clips]:
            numbers = clip.label, clip.attributes["language"], clip.attributes["emotion"]
            spoken = model.synthesise(values["tokens"], *numbers)
            prosody = self._standard(values, clip.label)
            true = model.synthesise(values["tokens"], *numbers, durations=values["durations"], prosody=prosody).mel
            error, late = np.abs(true - values["mel"]).mean(), np.abs(spoken.durations - values["durations"]).mean()
            self._errors.append((error, late, _texture(true) / _texture(values["mel"])))
            made.append(self._sound(spoken.mel) if spoken.audio is None else spoken.audio)
        return padded_together(made)

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """Return `preview/mel_l1` (natural-log units, true durations and prosody), `preview/duration` (frames a token) and
        `preview/texture` (second difference over bands against the recordings', 1 is as rough as they are)."""
        mel, duration, texture = np.mean(self._errors, axis=0)
        return {"preview/mel_l1": float(mel), "preview/duration": float(duration), "preview/texture": float(texture)}

    def inference_model(self, networks: Mapping[str, keras.Model]) -> SpeechSynthesiser:
        """The model with all it needs."""
        return SpeechSynthesiser(
            networks["encoder"],
            networks["decoder"],
            self.convention,
            self.facts["phones"],
            self.speakers,
            self.languages,
            self.emotions,
            self.speaker_languages(),
            self.mel_mean.tolist(),
            self.mel_deviation.tolist(),
            self.f0.tolist(),
            self.energy.tolist(),
            networks.get("filters"),
            None if self.waveform is None else self.waveform.build_head(self.model.filter_emphasis),
            phonemiser=self.facts["phonemiser"],
            consent=self.info.consent,
            provenance=provenance_of(self.recipe, self.info),
            name="speech_synthesiser",
        )

    def _standard(self, values: Mapping[str, np.ndarray], speaker: int) -> np.ndarray:
        prosody = np.array(values["prosody"])
        prosody[..., 0] = (prosody[..., 0] - self.f0[speaker, 0]) / self.f0[speaker, 1]
        prosody[..., 2] = (prosody[..., 2] - self.energy[speaker, 0]) / self.energy[speaker, 1]
        return prosody


def _texture(mel: np.ndarray) -> float:
    """Return the mean second difference over bands of a log-mel spectrum: what over-smoothing takes away."""
    return float(np.abs(np.diff(mel, 2, axis=1)).mean())


FAMILY = Tts
