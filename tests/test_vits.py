"""VITS: the published sizes, flows that are undone, splines by their derivative, durations that are a distribution."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.families.vits import networks as build
from gansynth_cli.families.vits.family import Vits, with_blanks
from gansynth_cli.families.vits.schema import VitsModel
from gansynth_cli.layers.flows import CouplingFlow, SplineFlow, rational_quadratic
from gansynth_cli.layers.seeds import layer_seeds
from gansynth_cli.layers.weight_norm import fold_normalization
from gansynth_cli.recipe import load_recipe

from .helpers import disturb, noise
from .speech_batches import speech_batch, speech_info
from .tiny_families import make_draws


@pytest.mark.slow
def test_the_published_sizes():
    m, seeds = VitsModel(), layer_seeds(0)
    text = build.build_text(m, 177, 1, 1, 1, seeds).count_params() - (3 + 5 + 1) * 192  # tables of stress, place and language
    vocoder = fold_normalization(build.build_vocoder(m, 256, seeds)).count_params()
    durations = build.build_duration_condition(m, seeds).count_params() + build.build_duration_flow(m, seeds).count_params()
    in_use = text + vocoder + durations + build.build_flow(m, seeds).count_params()
    beside = build.build_posterior(m, 513, seeds).count_params() + build.build_duration_flow(m, seeds).count_params()
    whole = in_use + beside + build.build_duration_posterior(m, seeds).count_params()
    assert whole / 1e6 == pytest.approx(36.3, abs=0.05)
    assert in_use / 1e6 == pytest.approx(28.4, abs=0.1)


def test_couplings_are_undone():
    layer, x = CouplingFlow(6, 3, 5, 2, seed=0), noise(2, 9, 6)
    mask = np.ones((2, 9, 1), np.float32)
    mask[1, 6:] = 0
    layer(x, mask)
    disturb(layer, deviation=0.3)
    made = layer(x * mask, mask)
    assert np.abs(made - x * mask).max() > 0.1
    np.testing.assert_allclose(layer(made, mask, reverse=True), x * mask, atol=1e-5)


def test_splines():
    x = tf.constant(np.linspace(-7, 7, 101, dtype=np.float32)[:, None])
    np.testing.assert_allclose(rational_quadratic(x, tf.zeros([101, 29]))[0], x, atol=1e-5)
    parameters = tf.constant(np.repeat(noise(1, 29, seed=2), 101, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        made, log_slope = rational_quadratic(x, parameters)
    assert (np.diff(made.numpy()[:, 0]) > 0).all()
    np.testing.assert_array_equal(made.numpy()[[0, -1]], x.numpy()[[0, -1]])
    np.testing.assert_allclose(np.exp(log_slope), tape.gradient(made, x), rtol=2e-3)
    back, log_back = rational_quadratic(made, parameters, reverse=True)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(log_back, -log_slope, atol=2e-3)


@pytest.mark.slow
def test_the_flow_of_durations_has_its_determinant():
    layer = SplineFlow(4, 2, seed=0)
    x, mask, condition = noise(1, 3, 2), np.ones((1, 3, 1), np.float32), noise(1, 3, 4, seed=1)
    mask[0, 2] = 0
    layer(x, mask, condition)
    disturb(layer, deviation=0.3)
    with tf.GradientTape() as tape:
        inputs = tf.constant((x * mask).reshape(1, 6))
        tape.watch(inputs)
        made, determinant = layer(tf.reshape(inputs, [1, 3, 2]), mask, condition)
        flat = tf.reshape(made, [1, 6])
    jacobian = tape.jacobian(flat, inputs).numpy()[0, :, 0][:4, :4]  # of the tokens that are there
    assert float(determinant[0]) == pytest.approx(np.log(abs(np.linalg.det(jacobian))), abs=1e-3)
    assert not made.numpy()[0, 2].any()


def test_blanks_are_between_tokens():
    tokens = tf.constant([[[4, 1, 2], [5, 0, 3], [-1, -1, -1]]])
    made = with_blanks(tokens, 9).numpy()[0]
    assert made.tolist() == [[9, 0, 4], [4, 1, 2], [9, 0, 4], [5, 0, 3], [9, 0, 4], [-1] * 3, [-1] * 3]


@pytest.mark.slow
def test_a_step_and_its_distributions():
    recipe = load_recipe("vits/tiny")
    family = Vits(recipe, speech_info(recipe))
    batch = speech_batch(recipe, frames=[128, 60], tokens=[12, 6])
    made = family.generate(batch, make_draws())
    durations = made["durations"].numpy()
    assert durations.sum(axis=1).tolist() == [128, 60]
    assert (durations > 0).sum(axis=1).tolist() == [25, 13]
    np.testing.assert_array_equal(made["path"].numpy().sum(axis=1), durations)
    # The path is the best: no frame at a boundary is likelier in the neighbour's token.
    assert np.isfinite(made["duration_nats"]).all()
    losses = family.generator_losses(batch, make_draws())
    assert {"mel", "divergence", "duration", "adversarial_mpd", "feature_matching_msd"} <= set(losses)
    model = family.inference_model(family.networks)
    tokens = np.array([[1, 0, 2], [2, 0, 2], [3, 0, 2]])
    speak = lambda **options: model.synthesise(tokens, 0, 0, 0, **options)
    one = speak(seed=4)
    assert len(one.audio) == one.durations.sum() * 256
    np.testing.assert_array_equal(speak(seed=4).audio, one.audio)
    other = speak(seed=5).audio
    assert len(other) != len(one.audio) or (other != one.audio).any()
    assert len(speak(speed=0.25).audio) > len(one.audio)
