"""The networks of GANSynth: the paper's, which grow, and strided ones that cost a tenth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import layers

from ...layers import HarmonicMap, LabelProjection, MinibatchStddev
from ...layers.growth import GrowingCritic, GrowingGenerator, widths_of
from ..network_parts import condition_inputs, embedded, glorot, joined, modulator
from .schema import GANSynthModel


def build_growing(
    model: GANSynthModel, classes: Mapping[str, int], shape: tuple[int, int, int], batch: int, seeds: Iterator[int]
) -> dict[str, keras.Model]:
    """Build the paper's generator and discriminator; see `layers.growth`.

    Args:
        model: Sizes.
        classes: Condition -> number of its classes.
        shape: [frames, bins, channels] of a spectrogram at full resolution.
        batch: Examples over which the discriminator takes the standard deviation.
        seeds: Seeds of first weights.
    """
    halvings = model.levels - 1
    start, widths = (shape[0] >> halvings, shape[1] >> halvings), widths_of(model.levels, model.dim, model.widest)
    common: dict[str, Any] = {"seeds": seeds, "output_gain": model.output_gain}
    return {
        "generator": GrowingGenerator(model.latent_dim, classes, start, widths, name="generator", **common),
        "critic": GrowingCritic(classes, start, widths, batch, stddev_epsilon=model.stddev_epsilon, name="critic", **common),
    }


def build_strided_generator(
    model: GANSynthModel, classes: Mapping[str, int], shape: tuple[int, int, int], harmonics: dict | None, seeds: Iterator[int]
) -> keras.Model:
    """Build {"latent", conditions} -> spectrograms float32 [batch, *shape], tanh.

    A dense layer, then `levels` - 1 transposed convolutions of stride 2. With `harmonics` (the arguments of `HarmonicMap`) two further
    convolutions at full size see where the harmonics of the pitch lie.
    """
    frames, bins, channels = shape
    inputs = {"latent": keras.Input((model.latent_dim,), name="latent"), **condition_inputs(classes)}
    condition = joined(inputs["latent"], embedded(inputs, classes, model.condition_dim, seeds))
    modulate = modulator(condition, model.modulation, seeds)
    widths, halvings = widths_of(model.levels, model.dim, model.widest), model.levels - 1
    start = (frames >> halvings, bins >> halvings, widths[0])
    x = layers.Reshape(start, name="start")(layers.Dense(math.prod(start), kernel_initializer=glorot(seeds), name="dense")(condition))
    x = layers.ReLU()(modulate(x))
    upsample = lambda x, width: layers.Conv2DTranspose(width, model.kernel, 2, padding="same", kernel_initializer=glorot(seeds))(x)
    for width in widths[1:-1]:
        x = layers.ReLU()(modulate(upsample(x, width)))
    if harmonics is None:
        x = upsample(x, channels)
    else:
        x = layers.ReLU()(modulate(upsample(x, widths[-1])))
        known = HarmonicMap(frames=frames, bins=bins, **harmonics, name="harmonics")(inputs["pitch"])
        hidden = layers.Conv2D(widths[-1], 3, padding="same", kernel_initializer=glorot(seeds), name="with_harmonics")
        x = layers.LeakyReLU(0.2)(modulate(hidden(layers.Concatenate()([x, known]))))
        x = layers.Conv2D(channels, 1, kernel_initializer=glorot(seeds), name="picture")(layers.Concatenate()([x, known]))
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(inputs, x, name="generator")


def build_strided_critic(
    model: GANSynthModel, classes: Mapping[str, int], shape: tuple[int, int, int], harmonics: dict | None, seeds: Iterator[int]
) -> keras.Model:
    """Build {"example": spectrograms, conditions} -> {"logit": float32 [batch, 1]}, with auxiliary conditioning also a row of logits for
    each condition.

    With projection the conditions are read; with auxiliary conditioning the pitch is, and only where there are `harmonics`.
    """
    frames, bins, _ = shape
    inputs = {"example": keras.Input(shape, name="example"), **condition_inputs(classes)}
    x = inputs["example"]
    if harmonics is not None:
        x = layers.Concatenate()([x, HarmonicMap(frames=frames, bins=bins, **harmonics, name="harmonics")(inputs["pitch"])])
    first, *widths = widths_of(model.levels, model.dim, model.widest)
    for width in reversed(widths):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, model.kernel, 2, padding="same", kernel_initializer=glorot(seeds))(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(first, 3, padding="same", kernel_initializer=glorot(seeds))(x))
    features = layers.Flatten(name="features")(MinibatchStddev(name="minibatch_stddev")(x))
    logit = layers.Dense(1, kernel_initializer=glorot(seeds), dtype="float32", name="own_logit")(features)
    answers = {}
    if model.conditioning == "projection":
        own = [LabelProjection(size, name=f"{name}_projection")(features, inputs[name]) for name, size in classes.items()]
        logit = layers.Add(dtype="float32", name="conditional_logit")([logit, *own]) if own else logit
    else:
        for name, size in classes.items():
            answers[name] = layers.Dense(size, kernel_initializer=glorot(seeds), dtype="float32", name=f"{name}_logits")(features)
    return keras.Model(inputs, {"logit": logit, **answers}, name="critic")
