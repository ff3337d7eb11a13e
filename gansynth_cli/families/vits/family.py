"""VITS (Kim, Kong and Son 2021, "Conditional variational autoencoder with adversarial learning for end-to-end text-to-speech"): a latent
between spectrum and waveform, whose prior is the text's, aligned by search, behind a flow; durations by a flow of their own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...data.text.phone_tokens import OUTSIDE
from ...errors import RecipeError
from ...layers.seeds import layer_seeds
from ...losses import spectral
from ...losses.weighted import WeightedTerms
from ...models.vits_synthesiser import VitsSynthesiser
from ...recipe_schema import Recipe
from ...signal.mel_front_end import magnitude_spectrum
from ...signal.monotonic import monotonic_durations
from ..base import Batch, Draws, Phase
from ..speech import tokens_inside
from ..speech_waveform import Made, SpeechWaveformFamily
from . import networks as build
from .schema import VitsLosses, VitsModel

_SEED_STREAM = 0x7175
_GENERATOR = ("text", "posterior", "flow", "duration_condition", "duration_flow", "duration_posterior", "posterior_flow", "vocoder")
_LN_2PI = float(np.log(2.0 * np.pi))


def _divergence(made: Made) -> tf.Tensor:
    """Of the posterior from the prior, in nats a frame, estimated at one draw."""
    prior, posterior = made["prior_log_deviation"], made["posterior_log_deviation"]
    scaled = tf.square(made["latent_prior"] - made["prior_mean"]) * tf.exp(-2.0 * prior)
    inside = made["inside"]
    return tf.reduce_sum((prior - posterior - 0.5 + 0.5 * scaled) * inside) / tf.reduce_sum(inside)


TERMS: WeightedTerms[Made] = WeightedTerms(
    VitsLosses,
    {
        "mel": lambda made: spectral.l1(made["mel_made"], made["mel_real"]),
        "divergence": _divergence,
        "duration": lambda made: tf.reduce_sum(made["duration_nats"]) / tf.reduce_sum(made["there"]),
    },
    elsewhere=("adversarial", "feature_matching"),
)


class Vits(SpeechWaveformFamily):
    """Networks: see `networks`; the critic and all others, which the phase "generator" updates.

    Args, raises: As for `SpeechWaveformFamily`.
    """

    averaged = VitsSynthesiser.NETWORKS
    saved = VitsSynthesiser
    terms = TERMS
    model: VitsModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        super().__init__(recipe, info)
        assert isinstance(recipe.losses, VitsLosses)
        m = self.model
        if m.channels % 2:
            raise RecipeError(f"model.channels is {m.channels}; couplings halve them.", hint=f"--set model.channels={m.channels + 1}")
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        sizes = len(self.facts["phones"]), len(self.speakers), len(self.languages), len(self.emotions)
        self.networks: dict[str, keras.Model] = {
            "text": build.build_text(m, *sizes, seeds),
            "posterior": build.build_posterior(m, self.convention.fft // 2 + 1, seeds),
            "flow": build.build_flow(m, seeds),
            "duration_condition": build.build_duration_condition(m, seeds),
            "duration_flow": build.build_duration_flow(m, seeds),
            "duration_posterior": build.build_duration_posterior(m, seeds),
            "posterior_flow": build.build_duration_flow(m, seeds, "posterior_flow"),
            "vocoder": build.build_vocoder(m, self.convention.hop, seeds),
            "critic": build.build_critic(m, seeds),
        }

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", ("critic",), self.critic_losses, "critic"),
            Phase("generator", _GENERATOR, self.generator_losses, "generator"),
        )

    def segments(self, batch: Batch, draws: Draws) -> Made:
        return self.cut(batch, self.posterior_of(batch, draws)["latent"], draws)

    def posterior_of(self, batch: Batch, draws: Draws) -> Made:
        """Return the "latent" of recordings, drawn, the "posterior_log_deviation" and the frames that are "inside"."""
        inside = batch["frame_inside"][..., None]
        spectrum = magnitude_spectrum(batch["audio"][..., None], self.convention)[:, : self.frames]
        found = self.networks["posterior"]([spectrum, inside], training=True)
        rows = batch["audio"].shape[0] or tf.shape(batch["audio"])[0]
        noise = draws.normal("posterior", (rows, self.frames, self.model.channels))
        latent = (found["mean"] + noise * tf.exp(found["log_deviation"])) * inside
        return {"latent": latent, "posterior_log_deviation": found["log_deviation"], "inside": inside}

    def generate(self, batch: Batch, draws: Draws) -> Made:
        """Return all that the losses compare: both distributions of the latent, the durations' likelihood, a segment of each waveform."""
        tokens = with_blanks(tokens_inside(batch), len(self.facts["phones"]))
        text = self.networks["text"]([tokens, batch["label"], batch["language"], batch["emotion"]], training=True)
        there = text["there"]
        posterior = self.posterior_of(batch, draws)
        inside = posterior["inside"]
        prior = self.networks["flow"]([posterior["latent"], inside], training=True)
        path, durations = self.align(prior, text, inside)
        segments = self.cut(batch, posterior["latent"], draws)
        return {
            **posterior,
            **segments,
            "there": there,
            "latent_prior": prior,
            "prior_mean": tf.matmul(path, text["mean"]),
            "prior_log_deviation": tf.matmul(path, text["log_deviation"]),
            "path": path,
            "durations": durations,
            "duration_nats": self.duration_nats(tf.stop_gradient(text["hidden"]), there, durations, draws),
            **self.spectra(segments),
        }

    def align(self, latent: tf.Tensor, text: Made, inside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the path of the largest likelihood of the latent under the text's prior, [batch, frames, tokens] of 0 and 1, and the
        durations float32 [batch, tokens]."""
        mean, log_deviation = (tf.stop_gradient(text[name]) for name in ("mean", "log_deviation"))
        latent, precision = tf.stop_gradient(latent), tf.exp(-2.0 * log_deviation)
        by_token = tf.reduce_sum(-0.5 * _LN_2PI - log_deviation - 0.5 * tf.square(mean) * precision, axis=-1)
        scores = by_token[:, None] - 0.5 * tf.matmul(tf.square(latent), precision, transpose_b=True)
        scores += tf.matmul(latent, mean * precision, transpose_b=True)
        counts = [tf.cast(tf.reduce_sum(mask[..., 0], axis=1), tf.int32) for mask in (inside, text["there"])]
        durations = tf.ensure_shape(tf.numpy_function(monotonic_durations, [scores, *counts], tf.int32), mean.shape[:2])
        places = tf.tile(tf.range(scores.shape[1])[None], [tf.shape(scores)[0], 1])
        owner = tf.searchsorted(tf.cumsum(durations, axis=1), places, side="right")
        return tf.one_hot(owner, scores.shape[2]) * inside, tf.cast(durations, tf.float32)

    def duration_nats(self, hidden: tf.Tensor, there: tf.Tensor, durations: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Return the variational bound of minus the log likelihood of the durations of each utterance, [batch] (section 2.2.2): whole
        frames minus a number in [0, 1) that a posterior draws, beside a second number, through a flow."""
        condition = self.networks["duration_condition"]([hidden, there], training=True)
        frames = durations[..., None] * there
        beside = self.networks["duration_posterior"]([frames, there], training=True)
        rows = hidden.shape[0] or tf.shape(hidden)[0]
        noise = draws.normal("durations", (rows, hidden.shape[1], 2)) * there
        drawn, determinant = self.networks["posterior_flow"]([noise, there, condition + beside], training=True)
        first, second = tf.split(drawn, 2, axis=-1)
        total = lambda x: tf.reduce_sum(x * there, axis=[1, 2])
        determinant += total(tf.math.log_sigmoid(first) + tf.math.log_sigmoid(-first))
        log_q = total(-0.5 * (_LN_2PI + tf.square(noise))) - determinant
        ln_frames = tf.math.log(tf.maximum(frames - tf.sigmoid(first) * there, 1e-5)) * there
        mapped, determinant = self.networks["duration_flow"]([tf.concat([ln_frames, second], -1), there, condition], training=True)
        determinant -= total(ln_frames)
        return total(0.5 * (_LN_2PI + tf.square(mapped))) - determinant + log_q

    def statistics(self) -> dict[str, Any]:
        return {}


def with_blanks(tokens: tf.Tensor, blank: int) -> tf.Tensor:
    """Put the blank before, between and behind tokens: int32 [batch, tokens, 3] -> [batch, 2 tokens + 1, 3], -1 behind the end."""
    there = tokens[..., :1] >= 0
    row = tf.constant([blank, 0, OUTSIDE], tf.int32)
    blanks = tf.where(there, row, -1)
    pairs = tf.stack([tokens, blanks], axis=2)
    pairs = tf.reshape(pairs, [-1, 2 * tokens.shape[1], 3])
    return tf.concat([tf.broadcast_to(row, tf.shape(pairs[:, :1])), pairs], axis=1)


FAMILY = Vits
