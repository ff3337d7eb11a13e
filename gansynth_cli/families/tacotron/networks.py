"""The networks of Tacotron 2."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...data.text.phone_tokens import PLACES, STRESSES
from ...layers.speech import IsToken, PhoneEmbedding
from ...layers.tacotron import AttentiveDecoder
from .schema import TacotronModel


def build_encoder(m: TacotronModel, phones: int, speakers: int, languages: int, emotions: int, seeds: Iterator[int]) -> keras.Model:
    """Build [tokens int32 [batch, tokens, 3], speaker, language, emotion int32 [batch]] -> {"memory": [batch, tokens, channels], "there":
    [batch, tokens, 1]}.

    With several speakers or emotions the embedding of each is added to the memory: the paper has one speaker.
    """
    tokens = keras.Input((None, 3), dtype="int32", name="tokens")
    speaker, language, emotion = (keras.Input((), dtype="int32", name=name) for name in ("speaker", "language", "emotion"))
    there = IsToken(dtype="float32", name="there")(tokens)
    x = PhoneEmbedding(phones, STRESSES, PLACES, languages, m.channels, next(seeds), name="embedding")(tokens, language)
    for _ in range(m.encoder_layers):
        x = layers.Multiply()([_convolution(x, m.channels, m.encoder_kernel, "relu", m.dropout, seeds), there])
    lstm = layers.LSTM(m.channels // 2, return_sequences=True, kernel_initializer=_glorot(seeds), recurrent_initializer=_glorot(seeds))
    x = layers.Bidirectional(lstm, name="recurrence")(x, mask=keras.ops.squeeze(there, -1) > 0)
    for name, count, number in (("speakers", speakers, speaker), ("emotions", emotions, emotion)):
        if count > 1:
            table = layers.Embedding(count + (name == "emotions"), m.channels, _glorot(seeds), name=name)
            x = layers.Add()([x, layers.Reshape((1, m.channels))(table(number))])
    memory = layers.Multiply()([x, there])
    return keras.Model([tokens, speaker, language, emotion], {"memory": memory, "there": there}, name="encoder")


def build_decoder(m: TacotronModel, seeds: Iterator[int]) -> keras.Model:
    """Build [memory, there, mel, seed] -> what `layers.tacotron.AttentiveDecoder` gives."""
    memory, there = keras.Input((None, m.channels), name="memory"), keras.Input((None, 1), name="there")
    mel, seed = keras.Input((None, m.mel.bands), name="mel"), keras.Input((2,), dtype="int32", name="seed")
    core = AttentiveDecoder(
        m.mel.bands,
        m.prenet,
        m.attention_units,
        m.decoder_units,
        m.attention,
        m.location_filters,
        m.location_kernel,
        m.recurrent_dropout,
        next(seeds),
        dtype="float32",
        name="attentive_decoder",
    )
    return keras.Model([memory, there, mel, seed], core(memory, there, mel, seed), name="decoder")


def build_postnet(m: TacotronModel, seeds: Iterator[int]) -> keras.Model:
    """Build mel [batch, frames, bands] -> what is added to it."""
    mel = x = keras.Input((None, m.mel.bands), name="mel")
    for number in range(m.postnet_layers):
        last = number == m.postnet_layers - 1
        width = m.mel.bands if last else m.postnet_channels
        x = _convolution(x, width, m.postnet_kernel, "linear" if last else "tanh", m.dropout, seeds)
    return keras.Model(mel, x, name="postnet")


def _convolution(x, width: int, kernel: int, activation: str, dropout: float, seeds: Iterator[int]):
    x = layers.Conv1D(width, kernel, padding="same", kernel_initializer=_glorot(seeds))(x)
    x = layers.Activation(activation)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    return layers.Dropout(dropout, seed=next(seeds))(x)


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))
