"""The networks of VITS."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...data.text.phone_tokens import PLACES, STRESSES
from ...layers import discriminators
from ...layers.flows import CouplingFlow, GatedConvolutions, SeparableConvolutions, SplineFlow
from ...layers.speech import IsToken, PhoneEmbedding
from ...layers.transformer import SelfAttention
from ..hifigan_networks import waveform_of
from .schema import VitsModel


def build_text(m: VitsModel, phones: int, speakers: int, languages: int, emotions: int, seeds: Iterator[int]) -> keras.Model:
    """Build [tokens int32 [batch, tokens, 3], speaker, language, emotion int32 [batch]] -> {"hidden", "mean", "log_deviation": [batch,
    tokens, channels], "there"}. The phone number `phones` is the blank. With several speakers or emotions their embeddings are added."""
    tokens = keras.Input((None, 3), dtype="int32", name="tokens")
    speaker, language, emotion = (keras.Input((), dtype="int32", name=name) for name in ("speaker", "language", "emotion"))
    there = IsToken(dtype="float32", name="there")(tokens)
    x = PhoneEmbedding(phones + 1, STRESSES, PLACES, languages, m.channels, next(seeds), name="embedding")(tokens, language)
    x = layers.Rescaling(m.channels**0.5)(x)
    for name, count, number in (("speakers", speakers, speaker), ("emotions", emotions, emotion)):
        if count > 1:
            table = layers.Embedding(count + (name == "emotions"), m.channels, _glorot(seeds), name=name)
            x = layers.Add()([x, layers.Reshape((1, m.channels))(table(number))])
    drop = lambda y: layers.Dropout(m.dropout, seed=next(seeds))(y)
    conv = lambda width, y, **more: layers.Conv1D(width, m.kernel, padding="same", kernel_initializer=_glorot(seeds), **more)(y)
    norm = lambda y: layers.LayerNormalization(epsilon=1e-5)(y)
    for _ in range(m.blocks):
        attended = SelfAttention(m.heads, m.window, m.dropout, next(seeds))(x, there)
        x = norm(layers.Add()([x, drop(attended)]))
        y = drop(conv(m.hidden, layers.Multiply()([x, there]), activation="relu"))
        y = conv(m.channels, layers.Multiply()([y, there]))
        x = norm(layers.Add()([x, drop(y)]))
    x = layers.Multiply()([x, there])
    outputs = {"hidden": x, "there": there} | _statistics(x, m.channels, there, seeds)
    return keras.Model([tokens, speaker, language, emotion], outputs, name="text")


def build_posterior(m: VitsModel, bins: int, seeds: Iterator[int]) -> keras.Model:
    """Build [spectrum [batch, frames, bins], inside [batch, frames, 1]] -> {"mean", "log_deviation": [batch, frames, channels]}."""
    spectrum, inside = keras.Input((None, bins), name="spectrum"), keras.Input((None, 1), name="inside")
    x = layers.Multiply()([layers.Dense(m.channels, kernel_initializer=_glorot(seeds))(spectrum), inside])
    x = GatedConvolutions(m.channels, 5, m.posterior_layers, seed=next(seeds))(x, inside)
    return keras.Model([spectrum, inside], _statistics(x, m.channels, inside, seeds), name="posterior")


def build_flow(m: VitsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [latent [batch, frames, channels], inside] -> the latent of the prior, the same shape; the layer "coupling" undoes it."""
    latent, inside = keras.Input((None, m.channels), name="latent"), keras.Input((None, 1), name="inside")
    made = CouplingFlow(m.channels, m.flows, 5, m.flow_layers, next(seeds), name="coupling")(latent, inside)
    return keras.Model([latent, inside], made, name="flow")


def build_duration_condition(m: VitsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [hidden [batch, tokens, channels], there] -> what the flows of durations are conditioned on, the same shape."""
    hidden, there = keras.Input((None, m.channels), name="hidden"), keras.Input((None, 1), name="there")
    return keras.Model([hidden, there], _condition(hidden, there, m, seeds), name="duration_condition")


def build_duration_flow(m: VitsModel, seeds: Iterator[int], name: str = "duration_flow") -> keras.Model:
    """Build [numbers [batch, tokens, 2], there, condition] -> [mapped numbers, log determinant [batch]]; the layer "spline" undoes it."""
    numbers, there = keras.Input((None, 2), name="numbers"), keras.Input((None, 1), name="there")
    condition = keras.Input((None, m.channels), name="condition")
    made = SplineFlow(m.channels, m.duration_flows, seed=next(seeds), name="spline")(numbers, there, condition)
    return keras.Model([numbers, there, condition], list(made), name=name)


def build_duration_posterior(m: VitsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [durations [batch, tokens, 1], there] -> what the posterior of the durations' noise is conditioned on beside the text."""
    durations, there = keras.Input((None, 1), name="durations"), keras.Input((None, 1), name="there")
    return keras.Model([durations, there], _condition(durations, there, m, seeds), name="duration_posterior")


def build_vocoder(m: VitsModel, hop: int, seeds: Iterator[int]) -> keras.Model:
    """Build [batch, frames, channels] -> audio [batch, frames * hop, 1]: HiFi-GAN's generator."""
    latent = keras.Input((None, m.channels), name="latent")
    return keras.Model(latent, waveform_of(latent, m.vocoder, "normal", hop, seeds), name="vocoder")


def build_critic(m: VitsModel, seeds: Iterator[int]) -> keras.Model:
    """Build audio [batch, samples, 1] -> {"mpd", "msd": (logits, feature maps)}."""
    s = m.msd
    scale = discriminators.multi_scale(s.style, s.scales, s.channels or None, s.most_channels, s.strides, "torch", next(seeds))
    return discriminators.join({"mpd": discriminators.multi_period(m.mpd.periods, m.mpd.channels, "torch", next(seeds)), "msd": scale})


def _statistics(x, channels: int, mask, seeds: Iterator[int]) -> dict:
    made = layers.Multiply()([layers.Dense(2 * channels, kernel_initializer=_glorot(seeds), dtype="float32")(x), mask])
    return {"mean": made[..., :channels], "log_deviation": made[..., channels:]}


def _condition(x, there, m: VitsModel, seeds: Iterator[int]):
    dense = lambda y: layers.Dense(m.channels, kernel_initializer=_glorot(seeds))(y)
    x = SeparableConvolutions(m.channels, 3, 3, m.duration_dropout, next(seeds))(dense(x), there)
    return layers.Multiply()([dense(x), there])


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))
