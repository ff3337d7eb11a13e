"""The networks of text-to-speech: an encoder of phones with its predictors, a decoder of frames, and discriminators of mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
from keras import layers

from ...data.speech_features import POINTS, PROSODY_SIZE
from ...data.text.phone_tokens import PLACES, STRESSES
from ...layers.source_filter import FILTER_PARTS
from ...layers.speech import ConditionedNorm, IsToken, PhoneEmbedding, SpreadPhones, StopGradient
from ..network_parts import conv_next_block
from .schema import TtsModel

FRAME_INPUTS = 2 + PROSODY_SIZE  # see `layers.speech.frame_inputs`
MEL_KINDS = ("jcu", "patch")  # of `model.discriminators`: those that see mel spectra
_SLOPE = 0.2


@dataclass(frozen=True)
class Tables:
    """Sizes of what is embedded."""

    phones: int
    speakers: int
    languages: int
    emotions: int


def build_encoder(m: TtsModel, tables: Tables, seeds: Iterator[int]) -> keras.Model:
    """Build {tokens int32 [batch, phones, 3], speaker, language, emotion int32 [batch]} -> {phones [batch, phones, channels], condition
    [batch, condition_dim], duration [batch, phones] (ln frames), prosody [batch, phones, POINTS, PROSODY_SIZE]}.

    The emotion `tables.emotions` is an unknown one. No gradient of the predictors reaches the encoder (FastSpeech 2's stop of gradients,
    as FastPitch 1.1 and JETS have it).
    """
    tokens = keras.Input((None, 3), dtype="int32", name="tokens")
    speaker, language, emotion = (keras.Input((), dtype="int32", name=name) for name in ("speaker", "language", "emotion"))
    there = IsToken(dtype="float32", name="there")(tokens)
    x = PhoneEmbedding(tables.phones, STRESSES, PLACES, tables.languages, m.channels, next(seeds), name="embedding")(tokens, language)
    for _ in range(m.encoder_blocks):
        x = layers.Multiply()([conv_next_block(x, None, m.hidden, m.kernel, m.dropout, seeds), there])
    voices = [
        layers.Embedding(tables.speakers, m.speaker_dim, _normal(seeds), name="speakers")(speaker),
        layers.Embedding(tables.emotions + 1, m.emotion_dim, _normal(seeds), name="emotions")(emotion),
    ]
    condition = layers.Dense(m.condition_dim, kernel_initializer=_glorot(seeds), name="condition")(layers.Concatenate()(voices))
    stopped = StopGradient()(x)
    duration = layers.Reshape((-1,))(_predictor(stopped, condition, there, 1, m, seeds, "duration"))
    prosody = _predictor(stopped, condition, there, POINTS * PROSODY_SIZE, m, seeds, "prosody")
    prosody = layers.Reshape((-1, POINTS, PROSODY_SIZE))(prosody)
    outputs = {"phones": x, "condition": condition, "duration": duration, "prosody": prosody}
    return keras.Model([tokens, speaker, language, emotion], outputs, name="encoder")


def build_decoder(m: TtsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [phones [batch, phones, channels], condition, frame_phone int32 [batch, frames], inputs [batch, frames, FRAME_INPUTS]] -> mel
    [batch, frames, bands], standardised; where the model makes sound itself, {"mel", "hidden" [batch, frames, channels]}."""
    phones, condition = keras.Input((None, m.channels), name="phones"), keras.Input((m.condition_dim,), name="condition")
    frame_phone = keras.Input((None,), dtype="int32", name="frame_phone")
    inputs = keras.Input((None, FRAME_INPUTS), name="inputs")
    x = layers.Add()(
        [
            SpreadPhones(name="spread")(phones, frame_phone),
            layers.Dense(m.channels, kernel_initializer=_glorot(seeds), name="frames")(inputs),
        ]
    )
    for _ in range(m.decoder_blocks):
        x = conv_next_block(x, condition, m.hidden, m.kernel, m.dropout, seeds)
    hidden = ConditionedNorm()(x, condition)
    mel = layers.Dense(m.mel.bands, kernel_initializer=_glorot(seeds), dtype="float32", name="mel")(hidden)
    outputs = mel if m.waveform == "none" else {"mel": mel, "hidden": hidden}
    return keras.Model([phones, condition, frame_phone, inputs], outputs, name="decoder")


def build_filters(m: TtsModel, seeds: Iterator[int]) -> keras.Model:
    """Build [hidden [batch, frames, channels], condition] -> the filters of `layers.source_filter.SourceFilter`."""
    hidden, condition = keras.Input((None, m.channels), name="hidden"), keras.Input((m.condition_dim,), name="condition")
    x = hidden
    for _ in range(m.filter_blocks):
        x = conv_next_block(x, condition, m.hidden, m.kernel, m.dropout, seeds)
    # Magnitudes begin at -55 dB, below speech, and phases at a whole turn.
    size, initializer = m.filter_steps * FILTER_PARTS * (m.filter_fft // 2 + 1), keras.initializers.RandomNormal(0.0, 0.01, next(seeds))
    last = layers.Dense(size, kernel_initializer=initializer, bias_initializer=keras.initializers.Constant(-2.0 * math.pi), dtype="float32")
    return keras.Model([hidden, condition], last(ConditionedNorm()(x, condition)), name="filters")


def build_critic(m: TtsModel, frames: int, speakers: int, emotions: int, seeds: Iterator[int]) -> keras.Model:
    """Build [mel [batch, frames, bands], speaker, emotion] -> {kind: (logits, feature maps)}, of the kinds of `MEL_KINDS` in
    `model.discriminators`."""
    mel = keras.Input((frames, m.mel.bands), name="mel")
    speaker, emotion = keras.Input((), dtype="int32", name="speaker"), keras.Input((), dtype="int32", name="emotion")
    builders = {"jcu": _jcu, "patch": _patch}
    outputs = {kind: builders[kind](mel, speaker, emotion, m, speakers, emotions, seeds) for kind in m.discriminators if kind in MEL_KINDS}
    return keras.Model([mel, speaker, emotion], outputs, name="critic")


def _jcu(mel, speaker, emotion, m: TtsModel, speakers: int, emotions: int, seeds: Iterator[int]):
    """The joint conditional and unconditional discriminator (Yang et al. 2020, VocGAN; on mels in DiffGAN-TTS, Liu et al. 2022)."""
    width, x, maps = m.critic_channels, mel, []
    for factor, taps, stride in ((1, 3, 1), (2, 5, 2), (4, 5, 2)):
        x = _leaky(layers.Conv1D(width * factor, taps, stride, "same", kernel_initializer=_he(seeds))(x))
        maps.append(x)
    voice = layers.Concatenate()(
        [
            layers.Embedding(speakers, m.speaker_dim, _normal(seeds))(speaker),
            layers.Embedding(emotions + 1, m.emotion_dim, _normal(seeds))(emotion),
        ]
    )
    told = layers.Add()([x, layers.Reshape((1, 4 * width))(layers.Dense(4 * width, kernel_initializer=_glorot(seeds))(voice))])
    logits = []
    for features in (x, told):
        y = _leaky(layers.Conv1D(2 * width, 5, padding="same", kernel_initializer=_he(seeds))(features))
        maps.append(y)
        logits.append(layers.Conv1D(1, 3, padding="same", kernel_initializer=_glorot(seeds), dtype="float32")(y))
    return logits, maps


def _patch(mel, speaker, emotion, m: TtsModel, speakers: int, emotions: int, seeds: Iterator[int]):
    """A two-dimensional discriminator of patches of the spectrogram, 29 frames by 29 bands: it sees harmonics and formants side by side."""
    x, maps = layers.Reshape((-1, m.mel.bands, 1))(mel), []
    for factor, stride in ((1, 1), (1, 2), (2, 2), (2, 1)):
        channels = max(1, m.critic_channels * factor // 2)
        x = _leaky(layers.Conv2D(channels, (3, 5) if stride == 1 else 4, stride, "same", kernel_initializer=_he(seeds))(x))
        maps.append(x)
    return [layers.Conv2D(1, 3, padding="same", kernel_initializer=_glorot(seeds), dtype="float32")(x)], maps


def receptive_phones(m: TtsModel) -> int:
    """Return the phones on either side that the encoder and the predictors see."""
    return m.encoder_blocks * (m.kernel // 2) + 2


def _predictor(x, condition, there, outputs: int, m: TtsModel, seeds: Iterator[int], name: str):
    for _ in range(2):
        x = layers.Conv1D(m.predictor_channels, 3, padding="same", activation="relu", kernel_initializer=_glorot(seeds))(x)
        x = layers.Multiply()([layers.Dropout(m.predictor_dropout, seed=next(seeds))(ConditionedNorm()(x, condition)), there])
    return layers.Dense(outputs, kernel_initializer=_glorot(seeds), dtype="float32", name=name)(x)


def _leaky(x):
    return layers.LeakyReLU(_SLOPE)(x)


def _normal(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=1.0, seed=next(seeds))


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _he(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=next(seeds))


def logits_of(judged: dict[str, tuple[Sequence, Sequence]]) -> list:
    """Return the logits of all discriminators."""
    return [one for logits, _ in judged.values() for one in logits]
