"""The phone recogniser: its loss by hand, varied spectra, paths, and that it learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.data.text.edit_distance import edit_distance
from gansynth_cli.families.base import Draws
from gansynth_cli.families.phones.family import TERMS, Phones, _collapsed
from gansynth_cli.layers.speech import LocalMeanRemoval
from gansynth_cli.models.phone_recogniser import smoothed_path
from gansynth_cli.recipe import load_recipe

from .helpers import noise

PHONES = ["_", ",", ".", "a", "k"]


@pytest.fixture(scope="module")
def family() -> Phones:
    recipe = load_recipe("phones/tiny")
    key = recipe.model.speech_features(16000).key
    info = DatasetInfo("spoken", 16000, 1, 0, ["ann"], {}, frame_features={key: {"phones": PHONES, "phonemiser": "espeak-ng 1.51"}})
    return Phones(recipe, info)


def draws(seed: int = 1) -> Draws:
    return Draws(tf.constant([seed, 2]), tf.constant(0))


def test_the_loss_by_hand(family: Phones):
    logits = tf.constant([[[2.0, 0.0], [0.0, 0.0]]])
    made = {"logits": logits, "phone": tf.constant([[0, 1]]), "frame_weight": tf.constant([[1.0, 0.0]]), "smoothing": tf.constant(0.1)}
    logs = np.array([2.0, 0.0]) - np.log(np.exp(2.0) + 1)
    assert float(TERMS(family.weights, made)["phones"]) == pytest.approx(-(0.9 * logs[0] + 0.1 * logs.mean()), abs=1e-6)


def test_pause_marks_are_one_class(family: Phones):
    assert family.merged.tolist() == [0, 0, 0, 3, 4]


def test_variation_of_nothing_is_the_input_and_a_stretch_moves_bands(family: Phones):
    where = np.asarray(family._bands_at(tf.constant([[1.0], [1.18]])))
    np.testing.assert_allclose(where[0], np.arange(80), atol=0.1)
    assert (where[1][:70] > where[0][:70]).all()
    low, high = 10, 60  # linear below 1 kHz, logarithmic above
    assert where[1][low] - low == pytest.approx(0.18 * (low + 1), abs=0.15)
    mel = tf.constant(noise(4, 32, 80)) - 4.0
    varied = np.asarray(family.varied(mel, draws()))
    assert varied.shape == (4, 32, 80)
    assert np.isfinite(varied).all()
    assert (np.abs(varied - mel).mean(axis=(1, 2)) > 0.01).all()
    np.testing.assert_array_equal(varied, np.asarray(family.varied(mel, draws())))
    assert where[1][high] > high


def test_local_means_are_removed_as_by_a_loop():
    x = noise(2, 9, 3)
    made = np.asarray(LocalMeanRemoval(4, 2.0)(x))
    for t in range(9):
        around = x[:, max(t - 2, 0) : t + 2]
        np.testing.assert_allclose(made[:, t], 2 * (x[:, t] - around.mean(axis=1)), atol=1e-5)
    np.testing.assert_allclose(np.asarray(LocalMeanRemoval(4)(x + 7.0)), made / 2, atol=1e-5)


def test_paths_do_not_flicker():
    likely = np.full((9, 3), 0.1)
    likely[:4, 0] = likely[4:, 1] = 0.8
    likely[2] = [0.3, 0.1, 0.6]  # one frame of another phone
    assert likely.argmax(axis=1).tolist() == [0, 0, 2, 0, 1, 1, 1, 1, 1]
    assert smoothed_path(likely).tolist() == [0] * 4 + [1] * 5
    assert smoothed_path(likely, 0.0).tolist() == likely.argmax(axis=1).tolist()
    assert smoothed_path(likely[:0]).tolist() == []
    assert _collapsed(np.array([0, 0, 3, 3, 0, 4, 3]), 0) == [3, 4, 3]
    assert edit_distance([3, 4, 3], [3, 3, 3, 1]) == 2


def test_it_learns_two_phones(family: Phones):
    """Phones that differ in their spectra are told apart after some steps, level and slope varied."""
    rng = np.random.default_rng(0)
    shapes = np.stack([np.zeros(80), np.zeros(80), np.zeros(80), 3 * np.cos(np.arange(80) / 8), -3 * np.cos(np.arange(80) / 8)])
    owner = np.tile([0] * 4 + [1] * 4, 4)
    tokens = np.array([[[3, 1, 0], [4, 1, 0]]] * 4, np.int32)
    mel = shapes[tokens[0, owner, 0]][None] + rng.normal(0, 0.5, (4, 32, 80)) + rng.normal(0, 2, (4, 1, 1))
    batch = {
        "tokens": tf.constant(tokens),
        "frame_phone": tf.constant(np.tile(owner, (4, 1)), tf.int32),
        "frame_weight": tf.ones([4, 32]),
        "mel": tf.constant(mel, tf.float32),
    }
    network, optimizer = family.networks["recogniser"], keras.optimizers.Adam(0.02)

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(family.losses(batch, Draws(tf.stack([number, 2]), tf.constant(0))).values()))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    losses = [float(step(tf.constant(number))) for number in range(40)]
    assert losses[-1] < 0.6 < losses[0]
    posteriors = family.inference_model(family.networks).posteriors(mel[0].astype(np.float32))
    assert (posteriors.argmax(axis=1) == tokens[0, owner, 0]).mean() > 0.9
