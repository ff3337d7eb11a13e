"""Parts that the generators and discriminators of several families are built from.

Every part draws the seeds of its weights from an iterator in the order of its layers, so equal recipes give equal first weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import keras
from keras import layers

from ..layers import LabelEmbedding, LabelProjection, MinibatchStddev, Modulation
from ..layers.convolution import DepthwiseConvolution1D
from ..layers.speech import ConditionedNorm


def glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    """Return Glorot-uniform with the next seed: TensorFlow 1's default, on which the papers' code relies."""
    return keras.initializers.GlorotUniform(seed=next(seeds))


def he(seeds: Iterator[int]) -> keras.initializers.Initializer:
    """Return He-normal with the next seed."""
    return keras.initializers.HeNormal(seed=next(seeds))


def condition_inputs(classes: Mapping[str, int]) -> dict[str, keras.KerasTensor]:
    """Return an input int32 [batch] for each condition."""
    return {name: keras.Input((), dtype="int32", name=name) for name in classes}


def embedded(
    inputs: Mapping[str, keras.KerasTensor], classes: Mapping[str, int], width: int, seeds: Iterator[int]
) -> list[keras.KerasTensor]:
    """Return an embedding float [batch, width] of each condition.

    Args:
        inputs: Name -> input.
        classes: Name of each condition -> number of its classes.
        width: Numbers of an embedding.
        seeds: Seeds of first weights.
    """
    return [LabelEmbedding(size, width, seed=next(seeds), name=f"{name}_embedding")(inputs[name]) for name, size in classes.items()]


def joined(latent: keras.KerasTensor, embeddings: list[keras.KerasTensor]) -> keras.KerasTensor:
    """Concatenate a latent with the embeddings of its conditions."""
    return layers.Concatenate(name="condition")([latent, *embeddings]) if embeddings else latent


def modulator(condition: keras.KerasTensor, width: int, seeds: Iterator[int]) -> Callable:
    """Return a function that scales and shifts a hidden layer by a style layer of `width` units over `condition`; 0: the identity."""
    if not width:
        return lambda x: x
    style = layers.Dense(width, kernel_initializer=glorot(seeds), name="style")(condition)
    style = layers.LeakyReLU(0.2, name="style_activation")(style)
    return lambda x: Modulation(seed=next(seeds))(x, style)


def normalizer(batch_norm: bool) -> Callable:
    """Return batch normalisation, a new layer at each call, or the identity."""
    return (lambda x: layers.BatchNormalization()(x)) if batch_norm else (lambda x: x)


def finish_critic(inputs: dict, x: keras.KerasTensor, labels: int, minibatch_stddev: bool, seeds: Iterator[int]) -> keras.Model:
    """Flatten the last feature map into the logit, add the projection of the label, and return the model "critic".

    Args:
        inputs: The inputs so far; "label" is added with `labels`.
        x: The last feature map.
        labels: Number of labels; 0: the critic is not conditioned on them.
        minibatch_stddev: Append the standard deviation over the batch, within each label.
        seeds: Seeds of first weights.
    """
    if labels:
        inputs["label"] = keras.Input((), dtype="int32", name="label")
    if minibatch_stddev:
        spread = MinibatchStddev(labels=labels, per_position=True, name="minibatch_stddev")
        x = spread(x, inputs["label"]) if labels else spread(x)
    features = layers.Flatten(name="features")(x)
    logit = layers.Dense(1, kernel_initializer=glorot(seeds), dtype="float32", name="logit")(features)
    if labels:
        projection = LabelProjection(labels, name="projection")(features, inputs["label"])
        logit = layers.Add(dtype="float32", name="conditional_logit")([logit, projection])
    return keras.Model(inputs, logit, name="critic")


def conv_next_block(x, condition, hidden: int, kernel: int, dropout: float, seeds: Iterator[int]):
    """Apply a ConvNeXt block (Liu et al. 2022): depthwise convolution over time, norm, two dense layers, added to the input.

    Args:
        x: float [batch, time, channels].
        condition: float [batch, size], which scales and shifts the norm; None: a plain norm.
        hidden: Width inside.
        kernel: Taps of the convolution.
        dropout: Share.
        seeds: Seeds of first weights.
    """
    inside = DepthwiseConvolution1D(kernel, kernel**-0.5, seed=next(seeds))(x)
    inside = layers.LayerNormalization(epsilon=1e-6)(inside) if condition is None else ConditionedNorm()(inside, condition)
    inside = layers.Dense(hidden, "gelu", kernel_initializer=glorot(seeds))(inside)
    inside = layers.Dropout(dropout, seed=next(seeds))(layers.Dense(x.shape[-1], kernel_initializer=glorot(seeds))(inside))
    return layers.Add()([x, inside])
