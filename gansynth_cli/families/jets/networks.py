"""The networks of JETS."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...data.text.phone_tokens import PLACES, STRESSES
from ...layers import discriminators
from ...layers.speech import IsToken, PhoneEmbedding, StopGradient
from ...layers.transformer import GaussianUpsampling, NegativeDistance, ScaledPositions, SelfAttention
from ..hifigan_networks import waveform_of
from .schema import JetsModel


def build_encoder(m: JetsModel, phones: int, speakers: int, languages: int, emotions: int, seeds: Iterator[int]) -> keras.Model:
    """Build [tokens int32 [batch, tokens, 3], speaker, language, emotion int32 [batch]] -> {"hidden": [batch, tokens, channels], "there":
    [batch, tokens, 1]}. With several speakers or emotions the embedding of each is added: the paper has one speaker."""
    tokens = keras.Input((None, 3), dtype="int32", name="tokens")
    speaker, language, emotion = (keras.Input((), dtype="int32", name=name) for name in ("speaker", "language", "emotion"))
    there = IsToken(dtype="float32", name="there")(tokens)
    x = PhoneEmbedding(phones, STRESSES, PLACES, languages, m.channels, next(seeds), name="embedding")(tokens, language)
    x = _blocks(x, there, m.encoder_blocks, m, seeds)
    for name, count, number in (("speakers", speakers, speaker), ("emotions", emotions, emotion)):
        if count > 1:
            table = layers.Embedding(count + (name == "emotions"), m.channels, _glorot(seeds), name=name)
            x = layers.Add()([x, layers.Reshape((1, m.channels))(table(number))])
    outputs = {"hidden": layers.Multiply()([x, there]), "there": there}
    return keras.Model([tokens, speaker, language, emotion], outputs, name="encoder")


def build_predictors(m: JetsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [hidden, there] -> {"duration" (ln(frames + 1)), "pitch", "energy"}, each [batch, tokens]. No gradient of the pitch reaches the
    encoder."""
    hidden, there = keras.Input((None, m.channels), name="hidden"), keras.Input((None, 1), name="there")
    plans = {
        "duration": (hidden, m.duration_layers, m.duration_kernel, m.duration_dropout),
        "pitch": (StopGradient()(hidden), m.pitch_layers, m.pitch_kernel, m.pitch_dropout),
        "energy": (hidden, m.energy_layers, m.energy_kernel, m.energy_dropout),
    }
    outputs = {}
    for name, (x, count, kernel, dropout) in plans.items():
        for _ in range(count):
            x = layers.Conv1D(m.predictor_channels, kernel, padding="same", activation="relu", kernel_initializer=_glorot(seeds))(x)
            x = layers.Dropout(dropout, seed=next(seeds))(layers.LayerNormalization(epsilon=1e-12)(x))
            x = layers.Multiply()([x, there])
        dense = layers.Dense(1, kernel_initializer=_glorot(seeds), dtype="float32", name=name)
        outputs[name] = layers.Reshape((-1,))(dense(x))
    return keras.Model([hidden, there], outputs, name="predictors")


def build_aligner(m: JetsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [hidden, there, mel] -> log probabilities float32 [batch, frames, tokens] of the token of each frame, without the prior."""
    hidden, there = keras.Input((None, m.channels), name="hidden"), keras.Input((None, 1), name="there")
    mel = keras.Input((None, m.mel.bands), name="mel")
    conv = lambda x, kernel, activation=None: layers.Conv1D(
        m.channels, kernel, padding="same", activation=activation, kernel_initializer=_glorot(seeds)
    )(x)
    text = conv(conv(hidden, 3, "relu"), 1)
    frames = conv(conv(conv(mel, 3, "relu"), 3, "relu"), 1)
    return keras.Model([hidden, there, mel], NegativeDistance(dtype="float32")(frames, text, there), name="aligner")


def build_decoder(m: JetsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [hidden, there, durations, pitch, energy (each [batch, tokens]), inside [batch, frames, 1]] -> [batch, frames, channels]."""
    hidden, there = keras.Input((None, m.channels), name="hidden"), keras.Input((None, 1), name="there")
    durations, pitch, energy = (keras.Input((None,), name=name) for name in ("durations", "pitch", "energy"))
    inside = keras.Input((None, 1), name="inside")
    embed = lambda x: layers.Dense(m.channels, kernel_initializer=_glorot(seeds))(layers.Reshape((-1, 1))(x))
    x = layers.Multiply()([layers.Add()([hidden, embed(pitch), embed(energy)]), there])
    x = GaussianUpsampling(name="upsampling")(x, durations, there, inside)
    x = layers.Multiply()([_blocks(x, inside, m.decoder_blocks, m, seeds), inside])
    return keras.Model([hidden, there, durations, pitch, energy, inside], x, name="decoder")


def build_vocoder(m: JetsModel, hop: int, seeds: Iterator[int]) -> keras.Model:
    """Build [batch, frames, channels] -> audio [batch, frames * hop, 1]: HiFi-GAN's generator."""
    frames = keras.Input((None, m.channels), name="frames")
    return keras.Model(frames, waveform_of(frames, m.vocoder, "normal", hop, seeds), name="vocoder")


def build_critic(m: JetsModel, seeds: Iterator[int]) -> keras.Model:
    """Build audio [batch, samples, 1] -> {"mpd", "msd": (logits, feature maps)}."""
    s = m.msd
    return discriminators.join(
        {
            "mpd": discriminators.multi_period(m.mpd.periods, m.mpd.channels, "torch", next(seeds)),
            "msd": discriminators.multi_scale(
                s.style, s.scales, s.channels or None, s.most_channels, s.strides, "torch", next(seeds), spectral=False
            ),
        }
    )


def _blocks(x, there, count: int, m: JetsModel, seeds: Iterator[int]):
    """Positions, then blocks of self-attention and two convolutions with the norm before each (Ren et al. 2019), then a norm."""
    x = layers.Dropout(m.dropout, seed=next(seeds))(ScaledPositions()(x))
    norm = lambda y: layers.LayerNormalization(epsilon=1e-12)(y)
    drop = lambda y: layers.Dropout(m.dropout, seed=next(seeds))(y)
    for _ in range(count):
        x = layers.Add()([x, drop(SelfAttention(m.heads, dropout=m.dropout, seed=next(seeds))(norm(x), there))])
        y = layers.Multiply()([norm(x), there])
        y = drop(layers.Conv1D(m.hidden, m.kernel, padding="same", activation="relu", kernel_initializer=_glorot(seeds))(y))
        x = layers.Add()([x, drop(layers.Conv1D(m.channels, m.kernel, padding="same", kernel_initializer=_glorot(seeds))(y))])
    return norm(x)


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))
