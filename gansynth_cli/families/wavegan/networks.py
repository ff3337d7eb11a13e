"""The networks of WaveGAN: one-dimensional convolutions over samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
from keras import layers

from ...layers import PhaseShuffle, PostProcessingFilter
from ..network_parts import condition_inputs, embedded, finish_critic, glorot, joined, modulator, normalizer
from .schema import WaveGANModel


def build_generator(model: WaveGANModel, strides: Sequence[int], channels: int, labels: int, seeds: Iterator[int]) -> keras.Model:
    """Build latent (and label, with `labels` classes) -> float32 [batch, clip_samples, channels], tanh (then the filter, if any).

    With n strides it starts from [start_samples, 2^(n-1) d] and halves the channels at each layer.
    """
    latent = keras.Input((model.latent_dim,), name="latent")
    classes = {"label": labels} if labels else {}
    told = condition_inputs(classes)
    condition = joined(latent, embedded(told, classes, model.label_dim, seeds))
    modulate, normalize = modulator(condition, model.modulation, seeds), normalizer(model.batch_norm)
    width = model.dim * 2 ** (len(strides) - 1)
    x = layers.Dense(model.start_samples * width, kernel_initializer=glorot(seeds), name="dense")(condition)
    x = layers.Reshape((model.start_samples, width), name="start")(x)
    x = layers.ReLU()(modulate(normalize(x)))
    for stride in strides[:-1]:
        width //= 2
        x = layers.ReLU()(modulate(normalize(_upsample(model, x, width, stride, seeds))))
    x = _upsample(model, x, channels, strides[-1], seeds)
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    if model.postprocess_filter:
        x = PostProcessingFilter(model.postprocess_filter, seed=next(seeds), dtype="float32", name="postprocess")(x)
    return keras.Model([latent, told["label"]] if labels else latent, x, name="generator")


def _upsample(model: WaveGANModel, x: keras.KerasTensor, channels: int, stride: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """Transposed convolution, or nearest-neighbour and convolution ("nn" in the paper, appendix A): three times as slow on a CPU."""
    if model.upsample == "transposed":
        return layers.Conv1DTranspose(channels, model.kernel, stride, padding="same", kernel_initializer=glorot(seeds))(x)
    x = layers.UpSampling1D(stride)(x)
    return layers.Conv1D(channels, model.kernel, padding="same", kernel_initializer=glorot(seeds))(x)


def build_critic(
    model: WaveGANModel, strides: Sequence[int], shape: tuple[int, int], labels: int, shuffled: int, seeds: Iterator[int]
) -> keras.Model:
    """Build {"example" [batch, *shape], "shifts" int32 [shuffled] if shuffled, "label" if conditional} -> logits [batch, 1].

    The generator mirrored; the first `shuffled` layers are followed by phase shuffle. With labels <embedding, features> is added to the
    logit.
    """
    inputs = {"example": keras.Input(shape, name="example")}
    if shuffled:
        inputs["shifts"] = keras.Input(batch_shape=(shuffled,), dtype="int32", name="shifts")
    x, normalize = inputs["example"], normalizer(model.batch_norm)
    for index, stride in enumerate(strides):
        x = layers.Conv1D(model.dim * 2**index, model.kernel, stride, padding="same", kernel_initializer=glorot(seeds))(x)
        x = layers.LeakyReLU(0.2)(normalize(x) if index else x)
        if index < shuffled:
            x = PhaseShuffle(model.phase_shuffle)(x, inputs["shifts"][index])
    return finish_critic(inputs, x, labels, model.minibatch_stddev, seeds)
