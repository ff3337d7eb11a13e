"""Networks for GANSynth's pictures at a tenth of the cost: SpecGAN's strided convolutions, told what is asked of a note."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import keras
from keras import layers

from ...layers import HarmonicMap, LabelEmbedding, LabelProjection, MinibatchStddev, Modulation
from ...layers.growth import widths_of
from .schema import GANSynthModel


def build_strided_generator(
    model: GANSynthModel, classes: Mapping[str, int], shape: tuple[int, int, int], harmonics: dict | None, seeds: Iterator[int]
) -> keras.Model:
    """{"latent", conditions} -> pictures float32 [batch, *shape], tanh.

    A dense layer, then `levels` - 1 transposed convolutions of stride 2. With `harmonics` (the arguments of `HarmonicMap`) two further
    convolutions at full size see where the harmonics of the pitch lie.
    """
    frames, bins, channels = shape
    glorot = lambda: keras.initializers.GlorotUniform(seed=next(seeds))
    inputs = {"latent": keras.Input((model.latent_dim,), name="latent"), **_condition_inputs(classes)}
    embedded = [
        LabelEmbedding(size, model.condition_dim, seed=next(seeds), name=f"{name}_embedding")(inputs[name])
        for name, size in classes.items()
    ]
    told = layers.Concatenate(name="condition")([inputs["latent"], *embedded]) if embedded else inputs["latent"]
    modulate = lambda x: x
    if model.modulation:
        style = layers.LeakyReLU(0.2, name="style_activation")(
            layers.Dense(model.modulation, kernel_initializer=glorot(), name="style")(told)
        )
        modulate = lambda x: Modulation(seed=next(seeds))(x, style)
    widths, halvings = widths_of(model.levels, model.dim, model.widest), model.levels - 1
    start = (frames >> halvings, bins >> halvings, widths[0])
    x = layers.Reshape(start, name="start")(layers.Dense(math.prod(start), kernel_initializer=glorot(), name="dense")(told))
    x = layers.ReLU()(modulate(x))
    upsample = lambda x, width: layers.Conv2DTranspose(width, model.kernel, 2, padding="same", kernel_initializer=glorot())(x)
    for width in widths[1:-1]:
        x = layers.ReLU()(modulate(upsample(x, width)))
    if harmonics is None:
        x = upsample(x, channels)
    else:
        x = layers.ReLU()(modulate(upsample(x, widths[-1])))
        known = HarmonicMap(frames=frames, bins=bins, **harmonics, name="harmonics")(inputs["pitch"])
        hidden = layers.Conv2D(widths[-1], 3, padding="same", kernel_initializer=glorot(), name="with_harmonics")
        x = layers.LeakyReLU(0.2)(modulate(hidden(layers.Concatenate()([x, known]))))
        x = layers.Conv2D(channels, 1, kernel_initializer=glorot(), name="picture")(layers.Concatenate()([x, known]))
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(inputs, x, name="generator")


def build_strided_critic(
    model: GANSynthModel, classes: Mapping[str, int], shape: tuple[int, int, int], harmonics: dict | None, seeds: Iterator[int]
) -> keras.Model:
    """{"example": pictures, conditions} -> {"logit": float32 [batch, 1]}, and with auxiliary conditioning a row of logits a condition.

    With projection the conditions are read; with auxiliary conditioning the pitch is, and only where there are `harmonics`.
    """
    frames, bins, _ = shape
    glorot = lambda: keras.initializers.GlorotUniform(seed=next(seeds))
    inputs = {"example": keras.Input(shape, name="example"), **_condition_inputs(classes)}
    x = inputs["example"]
    if harmonics is not None:
        x = layers.Concatenate()([x, HarmonicMap(frames=frames, bins=bins, **harmonics, name="harmonics")(inputs["pitch"])])
    for width in reversed(widths_of(model.levels, model.dim, model.widest)[1:]):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, model.kernel, 2, padding="same", kernel_initializer=glorot())(x))
    width = widths_of(model.levels, model.dim, model.widest)[0]
    x = layers.LeakyReLU(0.2)(layers.Conv2D(width, 3, padding="same", kernel_initializer=glorot())(x))
    features = layers.Flatten(name="features")(MinibatchStddev(name="minibatch_stddev")(x))
    logit = layers.Dense(1, kernel_initializer=glorot(), dtype="float32", name="own_logit")(features)
    answers = {}
    if model.conditioning == "projection":
        own = [LabelProjection(size, name=f"{name}_projection")(features, inputs[name]) for name, size in classes.items()]
        logit = layers.Add(dtype="float32", name="conditional_logit")([logit, *own]) if own else logit
    else:
        for name, size in classes.items():
            answers[name] = layers.Dense(size, kernel_initializer=glorot(), dtype="float32", name=f"{name}_logits")(features)
    return keras.Model(inputs, {"logit": logit, **answers}, name="critic")


def _condition_inputs(classes: Mapping[str, int]) -> dict[str, keras.KerasTensor]:
    return {name: keras.Input((), dtype="int32", name=name) for name in classes}
