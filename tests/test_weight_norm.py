"""Weight and spectral normalisation against their formulas, and folding, which changes nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gansynth_cli.layers.convolution import Convolution1D, TransposedConvolution1D
from gansynth_cli.layers.weight_norm import SpectralNormalization, WeightNormalization, fold_normalization

from .helpers import noise


@pytest.mark.parametrize(
    "inner, shape",
    [
        (lambda: Convolution1D(6, 3, groups=2, seed=1), (2, 20, 4)),
        (lambda: TransposedConvolution1D(6, 4, 2, padding=1, seed=1), (2, 20, 4)),
        (lambda: layers.Conv2D(6, (3, 2), kernel_initializer=keras.initializers.RandomNormal(seed=1)), (2, 9, 8, 4)),
        (lambda: layers.Dense(6, kernel_initializer=keras.initializers.RandomNormal(seed=1)), (2, 4)),
    ],
)
def test_wrapping_changes_nothing_and_the_scale_does_what_it_says(inner, shape):
    x = noise(*shape)
    bare, wrapped = inner(), WeightNormalization(inner())
    before, after = bare(x), wrapped(x)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    kernel = wrapped.layer.kernel.numpy()
    norms = np.sqrt((kernel.reshape(-1, kernel.shape[-1]) ** 2).sum(0))
    np.testing.assert_allclose(wrapped.scale.numpy(), norms, rtol=1e-5)
    wrapped.layer.kernel.assign(7.0 * kernel)  # the direction's length is not read
    np.testing.assert_allclose(wrapped(x), before, rtol=1e-4, atol=1e-6)
    factors = np.linspace(0.5, 2.0, kernel.shape[-1], dtype=np.float32)
    wrapped.scale.assign(wrapped.scale * factors)
    bare.kernel.assign(kernel * factors)
    np.testing.assert_allclose(wrapped(x), bare(x), rtol=1e-4, atol=1e-6)


def test_gradients_reach_direction_scale_and_bias_and_equal_the_formula():
    layer, x = WeightNormalization(Convolution1D(5, 3, seed=1)), tf.constant(noise(2, 12, 4))
    layer(x)
    layer.scale.assign(tf.range(1.0, 6.0))
    direction, scale = tf.Variable(layer.layer.kernel.numpy()), tf.Variable(layer.scale.numpy())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x)))
    found = tape.gradient(loss, [layer.layer.kernel.value, layer.scale.value, layer.layer.bias.value])
    with tf.GradientTape() as tape:
        kernel = scale * direction / tf.sqrt(tf.reduce_sum(direction**2, axis=[0, 1]))
        loss = tf.reduce_sum(tf.sin(tf.nn.conv1d(x, kernel, 1, "VALID")))
    expected = tape.gradient(loss, [direction, scale])
    for mine, theirs in zip(found, expected, strict=False):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    assert np.abs(found[2]).min() > 0
    orthogonal = (found[0].numpy() * direction.numpy()).sum((0, 1))  # a gradient along the direction would change nothing
    assert np.abs(orthogonal).max() < 1e-4


def test_spectral_norm_becomes_the_largest_singular_value_and_only_in_training():
    layer, x = SpectralNormalization(Convolution1D(6, 3, seed=1), seed=2), noise(2, 12, 4)
    layer(x)
    first = layer.vector.numpy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.vector.numpy(), first)
    for _ in range(60):
        layer(x, training=True)
    kernel = layer.layer.kernel.numpy().reshape(-1, 6)
    np.testing.assert_allclose(layer.effective_kernel(), layer.layer.kernel.numpy() / np.linalg.norm(kernel, 2), rtol=1e-3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    slope = tape.gradient(loss, layer.layer.kernel.value).numpy()
    # kernel / sigma does not depend on the kernel's length, so the gradient has no part along it.
    assert abs((slope * layer.layer.kernel.numpy()).sum()) < 1e-3 * np.linalg.norm(slope) * np.linalg.norm(kernel)


def make_model() -> keras.Model:
    mel = keras.Input((None, 4))
    x = WeightNormalization(Convolution1D(8, 3, padding=1, seed=1), name="first")(mel)
    shared = WeightNormalization(Convolution1D(8, 3, padding=1, dilation=1, seed=2))
    x = layers.Add()([shared(x), layers.LeakyReLU(0.1)(shared(layers.LeakyReLU(0.1)(x)))])
    x = SpectralNormalization(Convolution1D(4, 1, seed=3), seed=4)(x)
    return keras.Model(mel, WeightNormalization(TransposedConvolution1D(1, 4, 2, padding=1, seed=5))(x))


def disturb(model: keras.Model) -> None:
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.1 * noise(*variable.shape, seed=index))


def test_folding_changes_no_sample_and_leaves_no_wrapper(tmp_path):
    model, x = make_model(), noise(2, 15, 4)
    disturb(model)
    before = model(x, training=False).numpy()
    folded = fold_normalization(model)
    np.testing.assert_allclose(folded(x, training=False), before, rtol=1e-5, atol=1e-6)
    assert not any(isinstance(layer, (WeightNormalization, SpectralNormalization)) for layer in folded.layers)
    assert folded.count_params() == sum(int(np.prod(w.shape)) for w in model.weights if not w.path.endswith(("scale", "vector")))
    for variable in folded.weights:  # weights of its own
        variable.assign(tf.zeros_like(variable))
    np.testing.assert_array_equal(model(x, training=False), before)


def test_wrapped_models_survive_a_file(tmp_path):
    model, x = make_model(), noise(2, 15, 4)
    disturb(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    fold_normalization(model).save(tmp_path / "f.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "f.keras")(x), model(x), rtol=1e-5, atol=1e-6)


def test_a_layer_without_a_kernel_is_refused():
    with pytest.raises(ValueError, match="LayerNormalization has no kernel"):
        WeightNormalization(layers.LayerNormalization())(noise(2, 4))
