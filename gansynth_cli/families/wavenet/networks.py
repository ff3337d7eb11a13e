"""The network of WaveNet."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...layers.wavenet import EarlierSamples, GatedResidual, UpsampledFrames
from .schema import WaveNetModel


def build_network(m: WaveNetModel, labels: int, seeds: Iterator[int]) -> keras.Model:
    """Build {classes int32 [batch, steps, bands], and mel float [batch, frames, bands] or label int32 [batch]} -> float32 logits [batch,
    steps, bands, classes] of each step, from the steps before it."""
    numbers = keras.Input((None, m.bands), dtype="int32", name="classes")
    inputs, condition = {"classes": numbers}, None
    if m.condition == "mel":
        inputs["mel"] = mel = keras.Input((None, m.mel.bands), name="mel")
        condition = UpsampledFrames(m.condition_channels, m.upsample, m.context, next(seeds), name="condition")(mel)
    elif m.condition == "label":
        inputs["label"] = label = keras.Input((), dtype="int32", name="label")
        table = layers.Embedding(labels, m.condition_channels, _normal(1.0, seeds), name="condition")(label)
        condition = layers.Reshape((1, -1), name="condition_step")(table)
    x = EarlierSamples(m.classes, m.bands, m.residual, next(seeds), name="earlier")(numbers)
    skips = []
    for number, dilation in enumerate(m.dilations):
        last = number == m.layers - 1
        block = GatedResidual(m.gate, m.skip, m.kernel, dilation, last, next(seeds), name=f"layer_{number}")
        x, skip = block(x) if condition is None else block(x, condition)
        skips.append(skip)
    x = layers.Rescaling(m.layers**-0.5, name="skips")(layers.Add()(skips) if len(skips) > 1 else skips[0])
    x = layers.Dense(m.skip, kernel_initializer=_normal(m.skip**-0.5, seeds), name="hidden")(layers.ReLU()(x))
    width = m.bands * m.classes
    x = layers.Dense(width, kernel_initializer=_normal(m.skip**-0.5, seeds), dtype="float32", name="output")(layers.ReLU()(x))
    return keras.Model(inputs, layers.Reshape((-1, m.bands, m.classes), name="logits")(x), name="wavenet")


def _normal(deviation: float, seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation, seed=next(seeds))
