"""The networks of the VAE: strided convolutions over a spectrogram or a waveform, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import keras
from keras import layers

from ...layers.gaussian import BoundedLogVariance, LogDeviation
from ..network_parts import condition_inputs, embedded, glorot, he, joined, modulator
from .domains import Domain
from .schema import VAEModel


def build_encoder(model: VAEModel, domain: Domain, classes: Mapping[str, int], seeds: Iterator[int]) -> keras.Model:
    """Build {"example": [batch, *domain.shape], conditions} -> (mean, log variance), float32 [batch, latent_dim] each.

    Strided convolutions from `dim` channels up; conditions join at the end.
    """
    inputs = condition_inputs(classes)
    embeddings = embedded(inputs, classes, model.condition_dim, seeds)
    inputs["example"] = keras.Input(domain.shape, name="example")
    x = inputs["example"]
    for index, stride in enumerate(domain.strides):
        x = domain.convolution(_width(model, index), model.kernel, stride, padding="same", kernel_initializer=he(seeds))(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Concatenate(name="features")([layers.Flatten()(x), *embeddings])
    small = keras.initializers.VarianceScaling(0.1, "fan_in", seed=next(seeds))
    mean = layers.Dense(model.latent_dim, kernel_initializer=glorot(seeds), dtype="float32", name="mean")(x)
    spread = layers.Dense(model.latent_dim, kernel_initializer=small, dtype="float32", name="spread")(x)
    log_variance = BoundedLogVariance(dtype="float32", name="log_variance")(spread)
    return keras.Model(inputs, [mean, log_variance], name="encoder")


def build_decoder(model: VAEModel, domain: Domain, classes: Mapping[str, int], seeds: Iterator[int]) -> keras.Model:
    """Build {"latent": [batch, latent_dim], conditions} -> [batch, *domain.shape].

    The encoder mirrored, of transposed convolutions; the first layer reads latent and conditions, with `modulation` all do.
    """
    inputs = condition_inputs(classes)
    embeddings = embedded(inputs, classes, model.condition_dim, seeds)
    inputs["latent"] = keras.Input((model.latent_dim,), name="latent")
    condition = joined(inputs["latent"], embeddings)
    modulate = modulator(condition, model.modulation, seeds)
    count = len(domain.strides)
    start = (*domain.start, _width(model, count - 1))

    def upsample(x, channels: int, stride: int, initializer: keras.initializers.Initializer):
        return domain.transposed(channels, model.kernel, stride, padding="same", kernel_initializer=initializer)(x)

    x = layers.Dense(math.prod(start), kernel_initializer=he(seeds), name="dense")(condition)
    x = layers.LeakyReLU(0.2)(modulate(layers.Reshape(start, name="start")(x)))
    for index in reversed(range(1, count)):
        x = layers.LeakyReLU(0.2)(modulate(upsample(x, _width(model, index - 1), domain.strides[index], he(seeds))))
    x = upsample(x, domain.shape[-1], domain.strides[0], glorot(seeds))
    x = layers.Activation(domain.activation, dtype="float32", name="output")(x)
    return keras.Model(inputs, x, name="decoder")


def build_deviation(shape: tuple[int, ...]) -> keras.Model:
    """Build [batch, *shape] -> float32 [batch, 1]: the logarithm of the decoder's learnt standard deviation."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, LogDeviation(dtype="float32", name="log_deviation")(inputs), name="deviation")


def _width(model: VAEModel, layer: int) -> int:
    return min(model.dim * 2**layer, max(model.dim, model.widest))
