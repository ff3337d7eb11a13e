"""The networks of voice cloning: a decoder of frames, and a discriminator of mel spectrograms that knows the voice."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...layers.speech import ConditionedNorm
from ...models.speaker_encoder import VECTOR
from ...models.voice_cloner import PROSODY
from ..network_parts import conv_next_block, glorot, he
from .schema import CloneModel

_VECTOR_SCALE = 8.0  # a unit vector of 256 has entries of 0.06


def build_decoder(m: CloneModel, phones: int, seeds: Iterator[int]) -> keras.Model:
    """Build [posteriors [batch, frames, phones], prosody [batch, frames, PROSODY], vector [batch, 256]] -> mel [batch, frames, bands],
    standardised. The first layer without a bias is the sum of posterior x embedding of a phone."""
    posteriors, prosody = keras.Input((None, phones), name="posteriors"), keras.Input((None, PROSODY), name="prosody")
    vector = keras.Input((VECTOR,), name="vector")
    x = layers.Add()(
        [
            layers.Dense(m.channels, use_bias=False, kernel_initializer=glorot(seeds), name="phones")(posteriors),
            layers.Dense(m.channels, kernel_initializer=glorot(seeds), name="frames")(prosody),
        ]
    )
    condition = layers.Rescaling(_VECTOR_SCALE)(vector)
    for name, activation in (("voice", "gelu"), ("condition", None)):
        condition = layers.Dense(m.condition_dim, activation, kernel_initializer=glorot(seeds), name=name)(condition)
    for _ in range(m.blocks):
        x = conv_next_block(x, condition, m.hidden, m.kernel, m.dropout, seeds)
    mel = layers.Dense(m.mel.bands, kernel_initializer=glorot(seeds), dtype="float32", name="mel")(ConditionedNorm()(x, condition))
    return keras.Model([posteriors, prosody, vector], mel, name="decoder")


def build_critic(m: CloneModel, frames: int, seeds: Iterator[int]) -> keras.Model:
    """Build [mel [batch, frames, bands], vector [batch, 256]] -> (logits [batch, n], feature maps): patches of 29 frames by 29 bands, with
    the projection of the voice (Miyato and Koyama 2018)."""
    mel, vector = keras.Input((frames, m.mel.bands), name="mel"), keras.Input((VECTOR,), name="vector")
    x, maps = layers.Reshape((frames, m.mel.bands, 1))(mel), []
    for factor, stride in ((1, 1), (1, 2), (2, 2), (2, 1)):
        x = layers.Conv2D(m.critic_channels * factor, (3, 5) if stride == 1 else 4, stride, "same", kernel_initializer=he(seeds))(x)
        x = layers.LeakyReLU(0.2)(x)
        maps.append(x)
    logits = layers.Conv2D(1, 3, padding="same", kernel_initializer=glorot(seeds), dtype="float32")(x)
    pooled = layers.GlobalAveragePooling2D(dtype="float32")(x)
    voice = layers.Dense(2 * m.critic_channels, kernel_initializer=glorot(seeds), name="voice")(layers.Rescaling(_VECTOR_SCALE)(vector))
    told = layers.Dot(axes=1, dtype="float32")([pooled, voice])
    return keras.Model([mel, vector], [layers.Concatenate()([layers.Flatten()(logits), told]), *maps], name="critic")
