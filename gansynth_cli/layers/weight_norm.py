"""Reparametrised kernels: weight and spectral normalisation as wrappers of any layer that has a `kernel`.

Both are for training. `fold_normalization` computes the kernels once and returns the same network without wrappers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")

_made: ContextVar[dict[tuple[int, int], tf.Tensor] | None] = ContextVar("made", default=None)  # (layer, graph) -> its kernel


@contextmanager
def kernels_made_once() -> Iterator[None]:
    """Compute each weight-normalised kernel once within this context, however often its layer is called.

    For code in which no weight changes: the losses of one phase, which call a discriminator on recordings and on generated clips. A
    normalisation with its gradient is about forty operations. Spectral normalisation is left out: each of its calls in training is one
    more step of the power method.
    """
    before = _made.set({})
    try:
        yield
    finally:
        _made.reset(before)


class _ReparametrizedKernel(keras.layers.Wrapper):
    """Call the wrapped layer with `effective_kernel` instead of its kernel."""

    def build(self, inputs_shape) -> None:
        if not self.layer.built:
            self.layer.build(inputs_shape)
        if getattr(self.layer, "kernel", None) is None:
            raise ValueError(f"{type(self.layer).__name__} has no kernel to normalise")
        super().build(inputs_shape)

    def effective_kernel(self, training: bool = False) -> tf.Tensor:
        raise NotImplementedError

    def call(self, inputs, training: bool = False):
        kernel = self._kernel_of_call(training)
        # Keras's way to substitute the values of a layer's variables; the gradient flows through `kernel`.
        with keras.StatelessScope(state_mapping=[(self.layer.kernel, kernel)]):
            return self.layer.call(inputs)

    def _kernel_of_call(self, training: bool) -> tf.Tensor:
        return self.effective_kernel(training)

    def compute_output_shape(self, inputs_shape):
        return self.layer.compute_output_shape(inputs_shape)


@_register
class WeightNormalization(_ReparametrizedKernel):
    """kernel = scale * direction / |direction|, one scale for each slice along the last axis (Salimans and Kingma 2016, eq. 2).

    The last axis has the filters of a convolution or dense layer, and the input channels of a transposed convolution: the axis of
    PyTorch's `weight_norm` in both cases. The wrapped layer's kernel holds the direction; the scale starts at its norm, so wrapping
    changes nothing.

    Args:
        layer: The layer to wrap.
    """

    def build(self, inputs_shape) -> None:
        super().build(inputs_shape)
        if hasattr(self, "scale"):
            return
        kernel = self.layer.kernel
        start = lambda shape, dtype=None: tf.cast(tf.sqrt(_energy(tf.convert_to_tensor(kernel))), dtype or "float32")
        self.scale = self.add_weight(name="scale", shape=(kernel.shape[-1],), initializer=start)

    def effective_kernel(self, training: bool = False) -> tf.Tensor:
        direction = tf.cast(self.layer.kernel, tf.float32)
        return direction * (tf.cast(self.scale, tf.float32) * tf.math.rsqrt(_energy(direction) + 1e-24))

    def _kernel_of_call(self, training: bool) -> tf.Tensor:
        made = _made.get()
        if made is None or tf.executing_eagerly():
            return self.effective_kernel(training)
        key = (id(self), id(tf.compat.v1.get_default_graph()))  # a tensor of a loop's body cannot be read outside of it
        if key not in made:
            made[key] = self.effective_kernel(training)
        return made[key]


@_register
class SpectralNormalization(_ReparametrizedKernel):
    """kernel / sigma, its largest singular value as a matrix of [everything else, filters] (Miyato et al. 2018, eq. 8).

    One step of the power method per training call, as in PyTorch's `spectral_norm`; unlike in `keras.layers.SpectralNormalization`, the
    gradient flows through sigma.

    Args:
        layer: The layer to wrap.
        seed: Seed of the initial singular vector.
    """

    def __init__(self, layer: keras.layers.Layer, seed: int | None = None, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.seed = seed

    def build(self, inputs_shape) -> None:
        super().build(inputs_shape)
        if hasattr(self, "vector"):
            return
        # The value depends only on the weights, so all replicas compute the same.
        self.vector = self.add_weight(
            name="vector",
            shape=(self.layer.kernel.shape[-1],),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            aggregation="only_first_replica",
        )

    def effective_kernel(self, training: bool = False) -> tf.Tensor:
        kernel = tf.cast(self.layer.kernel, tf.float32)
        matrix = tf.reshape(kernel, [-1, kernel.shape[-1]])
        fixed, right = tf.stop_gradient(matrix), tf.convert_to_tensor(self.vector)
        left = _unit(tf.linalg.matvec(fixed, right))
        if training:
            right = _unit(tf.linalg.matvec(fixed, left, transpose_a=True))
            self.vector.assign(right)
        else:
            right = _unit(right)
        return kernel / (tf.tensordot(left, tf.linalg.matvec(matrix, right), 1) + 1e-12)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def fold_normalization(model: keras.Model) -> keras.Model:
    """Return a functional model with the same results and without normalised layers.

    Args:
        model: A built functional model. Wrappers inside custom layers are not found.

    Returns:
        A new model with weights of its own; `model` stays unchanged.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = layer.layer if isinstance(layer, _ReparametrizedKernel) else layer
        config = inner.get_config()
        return type(inner).from_config({**config, "name": layer.name})

    folded = keras.models.clone_model(model, clone_function=clone)
    for source, target in zip(model.layers, folded.layers, strict=True):
        if isinstance(source, _ReparametrizedKernel):
            kernel, effective = source.layer.kernel, source.effective_kernel()
            target.set_weights([effective if weight is kernel else weight for weight in source.layer.weights])
        else:
            target.set_weights(source.get_weights())
    return folded


def is_normalized(model: keras.Model) -> bool:
    """Return whether a functional model has a layer that `fold_normalization` would replace."""
    return any(isinstance(layer, _ReparametrizedKernel) for layer in model.layers)


def _energy(kernel: tf.Tensor) -> tf.Tensor:
    """Return the squared norm of each slice, [last axis]."""
    return tf.reduce_sum(tf.square(kernel), axis=list(range(len(kernel.shape) - 1)))


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return vector * tf.math.rsqrt(tf.reduce_sum(tf.square(vector)) + 1e-12)
