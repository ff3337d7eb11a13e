"""What makes a step small: fused updates, kernels made once, a forward pass that two phases share. All equal what they replace."""

from __future__ import annotations

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.registry import family_class
from gansynth_cli.layers.convolution import Convolution1D
from gansynth_cli.layers.weight_norm import SpectralNormalization, WeightNormalization, kernels_made_once
from gansynth_cli.recipe_schema import Optimizer, Recipe
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.optimizers import make_optimizer
from gansynth_cli.training.strategy import Devices

from .helpers import noise
from .training_fakes import fake_recipe, make_learner, run_steps, weights
from .vocoder_families import make_recipe, steps


@pytest.mark.parametrize("decay", [None, 0.05])
def test_the_fused_adam_is_kerass_over_a_hundred_steps(decay):
    settings = Optimizer("adamw" if decay else "adam", 0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-8, weight_decay=decay or 0.0)
    ours = make_optimizer(settings, "ours")
    theirs = keras.optimizers.Adam(0.01, 0.8, 0.99, 1e-8, weight_decay=decay)
    start = [noise(3, 4), noise(5, seed=1)]
    variables = {optimizer: [keras.Variable(a) for a in start] for optimizer in (ours, theirs)}
    rng = np.random.default_rng(0)
    for optimizer, mine in variables.items():
        optimizer.build(mine)
    for _ in range(100):
        slopes = [tf.constant(rng.standard_normal(a.shape), tf.float32) for a in start]
        for optimizer, mine in variables.items():
            optimizer.apply(slopes, mine)
    for a, b, first in zip(variables[ours], variables[theirs], start, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)
        assert np.abs(a.numpy() - first).max() > 0.05
    # What a checkpoint holds: the same variables in the same order, so those of either are read by the other.
    assert [tuple(v.shape) for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_the_step_is_that_of_kerass_optimizer(monkeypatch):
    recipe = fake_recipe(training={"ema": 0.9})
    ours = make_learner(recipe)
    monkeypatch.setattr(
        "gansynth_cli.training.learner.make_optimizer",
        lambda s, name: keras.optimizers.Adam(s.learning_rate, s.beta_1, s.beta_2, s.epsilon, name=name),
    )
    theirs = make_learner(recipe)
    run_steps(ours, 4)
    run_steps(theirs, 4)
    for prefix in ("network/", "averaged/"):
        for name, value in weights(ours, prefix).items():
            np.testing.assert_allclose(value, weights(theirs, prefix)[name], atol=1e-5, err_msg=name)


def _learner(recipe: Recipe) -> Learner:
    keras.utils.clear_session()
    info = DatasetInfo("x", recipe.data.sample_rate, 1, recipe.data.clip_samples, [], {})
    return Learner(recipe, lambda: family_class(recipe.family)(recipe, info, seed=0), Devices(), 10)


@pytest.mark.slow
def test_phases_that_share_a_forward_pass_learn_what_they_learn_alone():
    recipe = make_recipe("hifigan", "adversarial.critic_start=0", "data.batch_size=2")
    shared, alone = _learner(recipe), _learner(recipe)
    alone._sharing = lambda active: [(phase,) for phase in active]  # type: ignore[method-assign]
    calls = {"shared": 0, "alone": 0}
    for name, learner in (("shared", shared), ("alone", alone)):
        made = learner.family.generate
        learner.family.generate = lambda *a, made=made, name=name: calls.__setitem__(name, calls[name] + 1) or made(*a)
    a, b = steps(shared, 3), steps(alone, 3)
    assert calls == {"shared": 1, "alone": 2}  # in the graph
    assert a[0].keys() == b[0].keys()
    for mine, theirs in zip(a, b, strict=True):
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    before, after = _learner(recipe), weights(alone)
    for name, value in weights(shared).items():
        np.testing.assert_allclose(value, after[name], atol=1e-5, err_msg=name)
    assert any(np.abs(after[name] - value).max() > 1e-4 for name, value in weights(before).items())


def test_a_weight_normalised_kernel_is_made_once_and_a_spectral_one_at_each_call():
    made = {"weight": 0, "spectral": 0}
    layers = {
        "weight": WeightNormalization(Convolution1D(4, 3, seed=1)),
        "spectral": SpectralNormalization(Convolution1D(4, 3, seed=1), seed=2),
    }
    x = tf.constant(noise(2, 8, 3))
    for name, layer in layers.items():
        layer(x)
        own = layer.effective_kernel
        layer.effective_kernel = lambda training, own=own, name=name: made.__setitem__(name, made[name] + 1) or own(training)

    def slopes(layer, once):
        @tf.function
        def run():
            with tf.GradientTape() as tape, kernels_made_once() if once else nullcontext():
                y = layer(x) + 2.0 * tf.map_fn(lambda row: layer(row[None])[0], x) + layer(3.0 * x)
                loss = tf.reduce_sum(tf.square(y))
            return y, tape.gradient(loss, [v.value for v in layer.trainable_variables])

        return run()

    for layer in layers.values():
        (a, da), (b, db) = slopes(layer, True), slopes(layer, False)
        np.testing.assert_allclose(a, b, rtol=1e-6)
        for one, other in zip(da, db, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert made["weight"] == 2 + 3  # once in the graph and once in the loop's body; then at every call
    assert made["spectral"] == 3 + 3
    layers["weight"].layer.kernel.assign(2.0 * layers["weight"].layer.kernel)
    with kernels_made_once():  # eagerly nothing is kept: a weight may change between two calls
        first = layers["weight"](x)
        layers["weight"].scale.assign(2.0 * layers["weight"].scale)
        assert not np.allclose(first, layers["weight"](x))


@pytest.mark.parametrize(("dilation", "steps_", "taps"), [(2, 20, 3), (3, 19, 5), (5, 16, 3)])
def test_a_dilated_convolution_is_tensorflows(dilation, steps_, taps):
    layer, x = Convolution1D(4, taps, dilation=dilation, use_bias=False, seed=1), tf.constant(noise(2, steps_, 3))
    layer(x)

    def both(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function()
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [x, layer.kernel.value])

    ours = both(lambda: layer(x))
    theirs = both(lambda: tf.nn.convolution(x, layer.kernel.value, padding="VALID", dilations=[dilation]))
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-5)
