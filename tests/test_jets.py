"""JETS: the published sizes, its aligner's objective by enumeration, and the best path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import betabinom

from gansynth_cli.families.hifigan_schema import HiFiGANSizes
from gansynth_cli.families.jets.family import Jets
from gansynth_cli.families.jets.networks import build_aligner, build_decoder, build_encoder, build_predictors, build_vocoder
from gansynth_cli.families.jets.schema import JetsModel
from gansynth_cli.layers.seeds import layer_seeds
from gansynth_cli.layers.transformer import GaussianUpsampling, SelfAttention
from gansynth_cli.layers.weight_norm import fold_normalization
from gansynth_cli.losses.alignment import beta_binomial_prior, forward_sum
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.monotonic import monotonic_durations

from .helpers import noise
from .speech_batches import speech_batch, speech_info
from .tiny_families import make_draws


@pytest.mark.slow
def test_the_published_sizes():
    m, seeds = JetsModel(), layer_seeds(0)
    parts = build_encoder(m, 78, 1, 1, 1, seeds), build_predictors(m, seeds), build_aligner(m, seeds), build_decoder(m, seeds)
    text_to_frames = sum(part.count_params() for part in parts) - (3 + 5 + 1) * 256  # tables of stress, place and language
    vocoder = fold_normalization(build_vocoder(m, 256, seeds)).count_params()
    # 8 blocks, 2 norms behind them, symbols and 2 factors of positions, predictors, their embeddings, the aligner.
    block = 4 * (256**2 + 256) + 2 * (3 * 256 * 1024) + 1024 + 256 + 4 * 256
    predictor = lambda layers, kernel: layers * (kernel * 256**2 + 3 * 256) + 257
    aligner = 2 * (3 * 256**2 + 256) + 2 * (256**2 + 256) + 3 * 80 * 256 + 256
    expected = 8 * block + 4 * 256 + 78 * 256 + 2 + 2 * predictor(2, 3) + predictor(5, 5) + 4 * 256 + aligner
    assert text_to_frames == expected == 17_748_229
    assert (text_to_frames + vocoder) / 1e6 == pytest.approx(32.3, abs=0.05)
    assert m.vocoder == HiFiGANSizes()


def test_the_prior():
    prior = beta_binomial_prior(tf.constant([7, 4]), tf.constant([3, 2]), 7, 3).numpy()
    for row, (frames, tokens) in enumerate(((7, 3), (4, 2))):
        t = np.arange(1, frames + 1)[:, None]
        expected = betabinom.logpmf(np.arange(tokens)[None], tokens, t, frames - t + 1)
        np.testing.assert_allclose(prior[row, :frames, :tokens], expected, atol=2e-5)


def _paths(frames: int, tokens: int):
    """All ways to emit the tokens in order with blanks (-1) between: CTC's, where a token may last."""
    for labels in itertools.product(range(-1, tokens), repeat=frames):
        merged = [label for label, _ in itertools.groupby(labels) if label >= 0]
        if merged == list(range(tokens)):
            yield labels


def test_the_forward_sum_is_the_sum_over_all_paths():
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (2, 5)) * 0.7).astype(np.float32)
    frames, tokens = np.array([5, 4]), np.array([3, 2])
    found = float(forward_sum(tf.constant(log_p), tf.constant(frames, tf.int32), tf.constant(tokens, tf.int32)))
    expected = []
    for row in range(2):
        score = lambda path, row=row: sum(-1.0 if label < 0 else log_p[row, t, label] for t, label in enumerate(path))
        total = np.logaddexp.reduce([score(path) for path in _paths(frames[row], tokens[row])])
        expected.append(-total / tokens[row])
    assert found == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_best_path_is_found():
    rng = np.random.default_rng(1)
    scores, frames, tokens = rng.normal(size=(3, 7, 4)), np.array([7, 5, 4]), np.array([4, 2, 4])
    found = monotonic_durations(scores, frames, tokens)
    for row in range(3):
        best = max(
            (cuts for cuts in itertools.product(range(1, 8), repeat=tokens[row]) if sum(cuts) == frames[row]),
            key=lambda cuts, row=row: scores[row][np.arange(frames[row]), np.repeat(np.arange(len(cuts)), cuts)].sum(),
        )
        assert found[row].tolist() == [*best, *[0] * (4 - len(best))]


def test_gaussian_upsampling_by_hand():
    hidden, durations = np.array([[[1.0], [3.0], [9.0]]], np.float32), np.array([[2.0, 2.0, 0.0]], np.float32)
    there, inside = np.array([[[1.0], [1], [0]]], np.float32), np.ones((1, 4, 1), np.float32)
    inside[0, 3] = 0
    made = GaussianUpsampling()(hidden, durations, there, inside).numpy()[0, :, 0]
    weight = lambda t: np.exp(-0.1 * (t - np.array([1.0, 3.0])) ** 2)
    expected = [(weight(t) @ [1.0, 3.0]) / weight(t).sum() for t in range(3)]
    np.testing.assert_allclose(made, [*expected, 0.0], atol=1e-5)


def test_attention_with_relative_positions():
    layer = SelfAttention(2, window=1, seed=0)
    x, there = noise(1, 4, 6), np.array([[[1.0], [1], [1], [0]]], np.float32)
    layer(x, there)
    made = layer(x, there).numpy()[0]
    q, k, v, o = (kernel.numpy() for kernel in layer.kernels)
    rk, rv = (one.numpy() for one in layer.relative)
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        query, key, value = (x[0] @ kernel[:, head] for kernel in (q, k, v))
        rows = []
        for i in range(4):
            at = lambda table, j, i=i: table[j - i + 1] if abs(j - i) <= 1 else 0.0
            scores = np.array([query[i] @ (key[j] + at(rk, j)) / 3**0.5 for j in range(3)])
            weights = np.exp(scores) / np.exp(scores).sum()
            rows.append(sum(w * (value[j] + at(rv, j)) for j, w in enumerate(weights)))
        heads.append(rows)
    np.testing.assert_allclose(made, np.concatenate(heads, axis=1) @ o, atol=1e-5)


@pytest.mark.slow
def test_a_step_aligns_and_cuts_segments_of_both_waveforms():
    recipe = load_recipe("jets/tiny")
    family = Jets(recipe, speech_info(recipe))
    batch = speech_batch(recipe, frames=[128, 60], tokens=[12, 6])
    made = family.generate(batch, make_draws())
    assert made["durations"].numpy().sum(axis=1).tolist() == [128, 60]
    assert (made["durations"].numpy() > 0).sum(axis=1).tolist() == [12, 6]
    path = made["path"].numpy()
    np.testing.assert_array_equal(path.sum(axis=1), made["durations"])
    # The mean of the true pitch over the frames of each found token.
    standard = (batch["prosody"].numpy()[..., 0, 0] - 5.0) / 0.2
    by_frame = np.take_along_axis(standard, batch["frame_phone"].numpy(), axis=1)
    expected = (path * by_frame[..., None]).sum(1) / np.maximum(made["durations"].numpy(), 1)
    np.testing.assert_allclose(made["pitch"], expected, atol=1e-4)
    audio = batch["audio"].numpy()[0]
    segment = made["audio_real"].numpy()[0, :, 0]
    starts = [
        start for start in range(0, len(audio) - len(segment) + 1, 256) if np.array_equal(audio[start : start + len(segment)], segment)
    ]
    assert starts
    assert made["audio_made"].shape == made["audio_real"].shape == (2, 4 * 256, 1)
    assert set(family.phases()[0].losses(batch, make_draws())) >= {"forward_sum", "binarisation", "mel", "duration", "pitch", "energy"}
