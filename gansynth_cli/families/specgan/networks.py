"""The networks of SpecGAN: two-dimensional convolutions over a spectrogram."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras
from keras import layers

from ..network_parts import condition_inputs, embedded, finish_critic, glorot, joined, modulator, normalizer
from .schema import SpecGANModel


def build_generator(model: SpecGANModel, shape: tuple[int, int, int], stages: int, labels: int, seeds: Iterator[int]) -> keras.Model:
    """Build latent (and label, with `labels` classes) -> float32 [batch, *shape], tanh; `shape` is [frames, bins, channels].

    With n stages it starts from [frames / 2^n, bins / 2^n, 2^(n-1) d].
    """
    frames, bins, channels = shape
    latent = keras.Input((model.latent_dim,), name="latent")
    classes = {"label": labels} if labels else {}
    told = condition_inputs(classes)
    condition = joined(latent, embedded(told, classes, model.label_dim, seeds))
    modulate, normalize = modulator(condition, model.modulation, seeds), normalizer(model.batch_norm)
    width = model.dim * 2 ** (stages - 1)
    start = (frames >> stages, bins >> stages, width)
    x = layers.Dense(math.prod(start), kernel_initializer=glorot(seeds), name="dense")(condition)
    x = layers.Reshape(start, name="start")(x)
    x = layers.ReLU()(modulate(normalize(x)))
    for _ in range(stages - 1):
        width //= 2
        x = layers.ReLU()(modulate(normalize(_upsample(model, x, width, seeds))))
    x = _upsample(model, x, channels, seeds)
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model([latent, told["label"]] if labels else latent, x, name="generator")


def _upsample(model: SpecGANModel, x: keras.KerasTensor, channels: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """Transposed convolution, or nearest-neighbour and convolution."""
    if model.upsample == "transposed":
        return layers.Conv2DTranspose(channels, model.kernel, 2, padding="same", kernel_initializer=glorot(seeds))(x)
    x = layers.UpSampling2D(2)(x)
    return layers.Conv2D(channels, model.kernel, padding="same", kernel_initializer=glorot(seeds))(x)


def build_critic(model: SpecGANModel, shape: tuple[int, int, int], stages: int, labels: int, seeds: Iterator[int]) -> keras.Model:
    """Build {"example" float32 [batch, *shape], "label" if conditional} -> logits [batch, 1]: the generator mirrored."""
    inputs = {"example": keras.Input(shape, name="example")}
    x, normalize = inputs["example"], normalizer(model.batch_norm)
    for index in range(stages):
        x = layers.Conv2D(model.dim * 2**index, model.kernel, 2, padding="same", kernel_initializer=glorot(seeds))(x)
        x = layers.LeakyReLU(0.2)(normalize(x) if index else x)
    return finish_critic(inputs, x, labels, model.minibatch_stddev, seeds)
