"""The network of the phone recogniser."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...layers.speech import LocalMeanRemoval
from ..network_parts import conv_next_block, glorot
from .schema import PhonesModel

_SCALE = 0.5  # of ln magnitudes: their deviation is about 2


def build_recogniser(m: PhonesModel, phones: int, seeds: Iterator[int]) -> keras.Model:
    """Build mel [batch, frames, bands], natural or common logarithms -> logits float32 [batch, frames, phones]."""
    mel = keras.Input((None, m.mel.bands), name="mel")
    x = LocalMeanRemoval(m.norm_frames, _SCALE, dtype="float32", name="centred")(mel)
    x = layers.Conv1D(m.channels, 3, padding="same", kernel_initializer=glorot(seeds), name="frames")(x)
    for _ in range(m.blocks):
        x = conv_next_block(x, None, m.hidden, m.kernel, m.dropout, seeds)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    logits = layers.Dense(phones, kernel_initializer=glorot(seeds), dtype="float32", name="logits")(x)
    return keras.Model(mel, logits, name="recogniser")
