"""Tacotron 2: the published size, one step as the whole, attention that fails, and a diagonal that is learnt."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.families.base import Draws
from gansynth_cli.families.tacotron.family import TERMS, Tacotron
from gansynth_cli.families.tacotron.networks import build_decoder, build_encoder, build_postnet
from gansynth_cli.families.tacotron.schema import TacotronModel
from gansynth_cli.layers.seeds import layer_seeds
from gansynth_cli.layers.tacotron import AttentiveDecoder
from gansynth_cli.models.tacotron_synthesiser import path_of, problems_of
from gansynth_cli.recipe import load_recipe

from .helpers import disturb, noise
from .speech_batches import speech_batch, speech_info
from .tiny_families import make_draws


@pytest.mark.slow
def test_the_published_size():
    """NVIDIA's 28,193,153 weights, with 148 symbols and a second bias in each LSTM, which adds to the first."""
    m, seeds = TacotronModel(), layer_seeds(0)
    networks = build_encoder(m, 148, 1, 1, 1, seeds), build_decoder(m, seeds), build_postnet(m, seeds)
    learnt = sum(int(np.prod(v.shape)) for network in networks for v in network.trainable_variables)
    more_tables = (3 + 5 + 1) * 512  # stress, place, language
    assert learnt - more_tables + 2 * 4 * 256 + 2 * 4 * 1024 == 28_193_153


def test_frames_one_by_one_equal_teacher_forcing():
    layer = AttentiveDecoder(5, 4, 6, 7, 3, 2, 5, dropout=0.0, seed=1)
    memory, there = noise(1, 6, 8), np.array([[[1.0], [1], [1], [1], [0], [0]]], np.float32)
    layer(memory, there, noise(1, 4, 5), np.zeros((1, 2), np.int32))
    disturb(layer, deviation=0.3)
    layer.stop_bias.assign([-50.0])
    seed = np.array([3, 9], np.int32)
    mel, alignment, stopped = layer.generate(memory, there, seed, tf.constant(12))
    assert (mel.shape, bool(stopped)) == ((1, 12, 5), False)
    forced = layer(memory, there, mel, seed[None])
    np.testing.assert_allclose(forced["mel"], mel, atol=1e-5)
    np.testing.assert_allclose(forced["alignment"], alignment, atol=1e-5)
    np.testing.assert_allclose(alignment.numpy().sum(-1), 1, atol=1e-5)
    assert not alignment.numpy()[..., 4:].any()
    # The pre-net's dropout is on in use.
    assert np.abs(layer.generate(memory, there, seed + 1, tf.constant(12))[0] - mel).max() > 1e-3
    layer.stop_bias.assign([50.0])
    assert layer.generate(memory, there, seed, tf.constant(12))[0].shape[1] == 1


def test_attention_that_fails_is_found():
    diagonal = np.repeat(np.eye(10, dtype=np.float32), 5, axis=0)
    assert problems_of(diagonal, True, 50) == []
    assert "no end within 50" in problems_of(diagonal, False, 50)[0]
    assert "about 200 were expected" in problems_of(diagonal, True, 200)[0]
    skipped = np.concatenate([diagonal[:20], diagonal[35:]])
    assert "3 of 10 phones were skipped" in problems_of(skipped, True, 50)[0]
    repeated = np.concatenate([diagonal[:40], diagonal[10:]])
    assert "fell back 1 times" in problems_of(repeated, True, 60)[0]
    assert (np.diff(path_of(repeated)) >= 0).all()


@pytest.mark.slow
def test_the_stop_token_is_at_the_end_of_an_utterance():
    recipe = load_recipe("tacotron/tiny")
    family = Tacotron(recipe, speech_info(recipe))
    batch = speech_batch(recipe, frames=[128, 60, 128, 90], tokens=[12, 6, 12, 9])
    losses = family.losses(batch, make_draws())
    assert set(losses) == {"mel", "stop", "guided"}
    made = family.generate(batch, make_draws())
    # A logit that is right everywhere has no loss; one that stops a frame early does.
    inside = batch["frame_inside"].numpy()
    right = np.where(np.pad(inside[:, 1:], [(0, 0), (0, 1)], constant_values=1) * inside > 0, -30.0, 30.0)
    assert right[1, 58] < 0 < right[1, 59]
    assert (right[0] < 0).all()  # it goes on behind the window
    stop = lambda logits: float(TERMS(family.weights, {**made, "stop": tf.constant(logits, tf.float32)})["stop"])
    assert stop(right) < 1e-6
    assert stop(np.roll(right, -1, axis=1)) > 0.1


@pytest.mark.slow
def test_a_diagonal_is_learnt():
    """Six utterances whose frames are a symbol's own noise, with the guidance of the recipe."""
    changes = ["model.channels=32", "model.attention_units=48", "model.decoder_units=48", "model.attention=24"]
    recipe = load_recipe("tacotron/tiny", [*changes, "data.clip_samples=12288", "model.prenet=32", "model.recurrent_dropout=0"])
    family = Tacotron(recipe, speech_info(recipe))
    batch = speech_batch(recipe, frames=[44, 40, 36, 42, 38, 40], tokens=[8, 8, 7, 8, 7, 8])
    variables = [v for network in family.networks.values() for v in network.trainable_variables]
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(number):
        draws = Draws(tf.stack([number, 17]), tf.constant(0), 1)
        with tf.GradientTape() as tape:
            made = family.generate(batch, draws)
            loss = tf.add_n(list(family.losses(batch, draws).values()))
        gradients = tape.gradient(loss, variables)
        gradients, _ = tf.clip_by_global_norm(
            [tf.zeros_like(v) if g is None else tf.convert_to_tensor(g) for v, g in zip(variables, gradients, strict=True)], 1.0
        )
        optimizer.apply(gradients, variables)
        return made["alignment"]

    for number in range(120):
        alignment = step(tf.constant(number))
    inside = batch["frame_inside"].numpy() > 0
    near = np.abs(alignment.numpy().argmax(-1) - batch["frame_phone"].numpy()) <= 1
    assert near[inside].mean() > 0.8
