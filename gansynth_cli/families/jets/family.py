"""JETS (Lim, Jung and Kim 2022, "JETS: Jointly training FastSpeech2 and HiFi-GAN for end to end text to speech"): text to waveform, with an
aligner that is learnt beside it and discriminators of short segments of the waveform."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...layers.seeds import layer_seeds
from ...layers.speech import frame_inputs
from ...losses import spectral
from ...losses.alignment import beta_binomial_prior, forward_sum
from ...losses.weighted import WeightedTerms
from ...models.jets_synthesiser import JetsSynthesiser
from ...recipe_schema import Recipe
from ...signal.monotonic import monotonic_durations
from ..base import Batch, Draws, Phase
from ..speech import masked_mean, tokens_inside
from ..speech_waveform import Made, SpeechWaveformFamily
from .networks import build_aligner, build_critic, build_decoder, build_encoder, build_predictors, build_vocoder
from .schema import JetsLosses, JetsModel

_SEED_STREAM = 0x1E75
_GENERATOR = ("encoder", "predictors", "aligner", "decoder", "vocoder")
_ENERGY = 2  # its place in the prosody of a frame


def _token_error(name: str, target: str):
    return lambda made: masked_mean(tf.square(made[name] - made[target]), made["token_weight"])


TERMS: WeightedTerms[Made] = WeightedTerms(
    JetsLosses,
    {
        "mel": lambda made: spectral.l1(made["mel_made"], made["mel_real"]),
        "duration": _token_error("predicted_duration", "ln_duration"),
        "pitch": _token_error("predicted_pitch", "pitch"),
        "energy": _token_error("predicted_energy", "energy"),
        "forward_sum": lambda made: forward_sum(made["log_p"], made["frame_count"], made["token_count"]),
        "binarisation": lambda made: -masked_mean(tf.reduce_sum(made["log_p"] * made["path"], axis=-1), made["frame_inside"]),
    },
    elsewhere=("adversarial", "feature_matching"),
)


class Jets(SpeechWaveformFamily):
    """Networks: encoder, predictors, aligner, decoder, vocoder, and critic. Phases: generator, which updates all but critic, and critic.

    Args, raises: As for `SpeechWaveformFamily`.
    """

    averaged = _GENERATOR
    saved = JetsSynthesiser
    terms = TERMS
    model: JetsModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        super().__init__(recipe, info)
        assert isinstance(recipe.losses, JetsLosses)
        m = self.model
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        sizes = len(self.facts["phones"]), len(self.speakers), len(self.languages), len(self.emotions)
        self.networks: dict[str, keras.Model] = {
            "encoder": build_encoder(m, *sizes, seeds),
            "predictors": build_predictors(m, seeds),
            "aligner": build_aligner(m, seeds),
            "decoder": build_decoder(m, seeds),
            "vocoder": build_vocoder(m, self.convention.hop, seeds),
            "critic": build_critic(m, seeds),
        }

    def phases(self) -> tuple[Phase, ...]:
        """The generator first, as in ESPnet."""
        return (
            Phase("generator", _GENERATOR, self.generator_losses, "generator"),
            Phase("critic", ("critic",), self.critic_losses, "critic"),
        )

    def segments(self, batch: Batch, draws: Draws) -> Made:
        return self.generate(batch, draws)

    def generate(self, batch: Batch, draws: Draws) -> Made:
        """Return the batch with all that the losses compare: predictions by token, the alignment, and a segment of each waveform."""
        conditions = [batch["label"], batch["language"], batch["emotion"]]
        encoded = self.networks["encoder"]([tokens_inside(batch), *conditions], training=True)
        hidden, there = encoded["hidden"], encoded["there"]
        predicted = self.networks["predictors"]([hidden, there], training=True)
        aligned = self.align(batch, hidden, there)
        pitch, energy = self._by_token(batch, aligned)
        inside = batch["frame_inside"][..., None]
        frames = self.networks["decoder"]([hidden, there, aligned["durations"], pitch, energy, inside], training=True)
        segments = self.cut(batch, frames, draws)
        return {
            **batch,
            **aligned,
            **segments,
            **{f"predicted_{name}": value for name, value in predicted.items()},
            "pitch": pitch,
            "energy": energy,
            "ln_duration": tf.math.log1p(aligned["durations"]),
            "token_weight": there[..., 0],
            **self.spectra(segments),
        }

    def align(self, batch: Batch, hidden: tf.Tensor, there: tf.Tensor) -> Made:
        """Return "log_p" [batch, frames, tokens] with the prior, the best "path" through it as 0 and 1, and its "durations"."""
        target = (batch["mel"] - self.mel_mean) / self.mel_deviation
        log_p = self.networks["aligner"]([hidden, there, target], training=True)
        frame_count = tf.cast(tf.reduce_sum(batch["frame_inside"], axis=1), tf.int32)
        token_count = tf.cast(tf.reduce_sum(there[..., 0], axis=1), tf.int32)
        log_p += beta_binomial_prior(frame_count, token_count, log_p.shape[1], log_p.shape[2])
        log_p = tf.where(there[:, None, :, 0] > 0, log_p, -1e4)
        durations = tf.numpy_function(monotonic_durations, [tf.stop_gradient(log_p), frame_count, token_count], tf.int32)
        durations = tf.ensure_shape(durations, there.shape[:2])
        ends = tf.cumsum(durations, axis=1)
        places = tf.tile(tf.range(log_p.shape[1])[None], [tf.shape(ends)[0], 1])
        owner = tf.minimum(tf.searchsorted(ends, places, side="right"), log_p.shape[2] - 1)
        path = tf.one_hot(owner, log_p.shape[2]) * batch["frame_inside"][..., None]
        return {
            "log_p": log_p,
            "path": path,
            "durations": tf.cast(durations, tf.float32),
            "frame_count": frame_count,
            "token_count": token_count,
        }

    def _by_token(self, batch: Batch, aligned: Made) -> tuple[tf.Tensor, tf.Tensor]:
        """Means of ln F0 and energy over the frames that the aligner gives each token, [batch, tokens], in deviations of the speaker."""
        f0 = tf.gather(self.f0, batch["label"])
        pitch = (batch["f0"] - f0[:, None, 0]) / f0[:, None, 1]
        prosody = frame_inputs(self.standard_prosody(batch), batch["durations"], batch["frame_phone"], batch["frame_place"])[..., 2:]
        by_frame = tf.stack([pitch, prosody[..., _ENERGY]], axis=-1)
        sums = tf.matmul(aligned["path"], by_frame, transpose_a=True)
        means = sums / tf.maximum(aligned["durations"], 1.0)[..., None]
        return means[..., 0], means[..., 1]

    def statistics(self) -> dict[str, Any]:
        return {"f0": self.f0, "energy": np.asarray(self.energy)}


FAMILY = Jets
