"""The disturbance losses: what they count, and that they rank distortions as PESQ does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.losses.perceptual import _bark, _over_split_seconds, bark_disturbance, pesq_points
from gansynth_cli.losses.spectral import spectrum

RATE = 16000


def speech_like(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding pitch under a syllable's envelope, about unit power."""
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.5 * t)) / RATE
    voice = sum(np.cos(2 * np.pi * k * pitch + k) / k for k in range(1, 30)) * np.maximum(0, np.sin(2 * np.pi * 4 * t))
    return voice / np.sqrt(np.mean(voice**2))


def points(estimate: np.ndarray, target: np.ndarray, worst: bool = False) -> tuple[float, float]:
    make = lambda x: spectrum(tf.constant(x[None], tf.float32), 512, 256)
    symmetric, asymmetric = bark_disturbance(make(estimate), make(target), RATE, worst=worst)
    return float(symmetric), float(asymmetric)


def test_bands_hold_every_bin_but_dc_once():
    matrix, widths, threshold = _bark(RATE, 257)
    np.testing.assert_array_equal(matrix.sum(axis=1), [0] + 256 * [1])
    assert 40 <= len(widths) <= 50
    assert widths.sum() == pytest.approx(21.1, abs=0.2)  # Bark from 31 Hz to 8 kHz
    centre = matrix.T @ (np.arange(257) * 31.25) / matrix.sum(axis=0)
    assert 2500 < centre[threshold.argmin()] < 4500  # where the ear is best
    assert (widths > 0).all()


def test_what_is_counted():
    clean = speech_like()
    hiss = 0.1 * np.random.default_rng(0).standard_normal(len(clean))
    assert points(clean, clean) == pytest.approx((0.0, 0.0), abs=2e-3)
    added, louder = points(clean + hiss, clean), points(clean + 3 * hiss, clean)
    assert 0.1 < added[0] < louder[0]
    assert 0.1 < added[1] < louder[1]
    missing = points(0.25 * clean, clean)
    assert missing[0] > 0.5
    assert missing[1] == pytest.approx(0.0, abs=2e-3)  # nothing was added
    assert points(0.97 * clean, clean)[0] < 0.05  # masked


def disturbances_by_the_standard(estimate: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return both disturbances computed frame by frame in numpy, with the constants as ITU-T P.862 prints them."""
    matrix, widths, threshold = (x.astype(float) for x in _bark(RATE, 257))
    spectra = [spectrum(tf.constant(x[None], tf.float32), 512, 256) for x in (estimate, target)]
    powers = [(s.real.numpy()[0].astype(float) ** 2 + s.imaginary.numpy()[0].astype(float) ** 2) / s.gain for s in spectra]
    scale = 13_270.0 / powers[1].mean()
    symmetric, asymmetric = [], []
    for e, t in zip(*(p * scale @ matrix for p in powers), strict=True):
        sone = lambda p: 0.1866 * (threshold / 0.5) ** 0.23 * np.maximum((0.5 + 0.5 * p / threshold) ** 0.23 - 1, 0)
        difference, dead = sone(e) - sone(t), 0.25 * np.minimum(sone(e), sone(t))
        beyond = np.sign(difference) * np.maximum(np.abs(difference) - dead, 0)
        factor = ((e + 50) / (t + 50)) ** 1.2
        factor = np.where(factor > 12, 12, np.where(factor < 3, 0, factor)) * (beyond > 0)
        symmetric.append(widths.sum() * np.sum(widths * beyond**2))
        asymmetric.append(np.sum(widths * factor * np.abs(beyond)) ** 2)
    return float(np.sqrt(np.mean(symmetric))), float(np.sqrt(np.mean(asymmetric)))


@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_disturbances_are_those_of_the_standard(level):
    target = speech_like(seed=1)
    estimate = 0.8 * target + level * np.random.default_rng(0).standard_normal(len(target))
    assert points(estimate, target) == pytest.approx(disturbances_by_the_standard(estimate, target), rel=2e-3, abs=2e-3)


def test_points_are_those_of_the_standard():
    """ITU-T P.862, section 10.2.14: 4.5 - 0.1 d - 0.0309 a."""
    target = speech_like(seed=1)
    estimate = target + 0.1 * np.random.default_rng(0).standard_normal(len(target))
    symmetric, asymmetric = points(estimate, target)
    assert symmetric > 2 * asymmetric or asymmetric > 2 * symmetric  # so that the two factors cannot stand for each other
    spectra = [spectrum(tf.constant(x[None], tf.float32), 512, 256) for x in (estimate, target)]
    assert float(pesq_points(*spectra, RATE)) == pytest.approx(0.1 * symmetric + 0.0309 * asymmetric, rel=1e-5)


def test_split_seconds_are_ruled_by_their_worst_frames():
    squares = np.random.default_rng(0).uniform(0, 9, (2, 70)).astype(np.float32)
    wanted = [[np.mean(row[k : k + 20] ** 3) ** (1 / 3) for k in range(0, 51, 10)] for row in squares]
    np.testing.assert_allclose(_over_split_seconds(tf.constant(squares)), np.mean(wanted, axis=1), rtol=1e-4)
    short = squares[:, :7]
    np.testing.assert_allclose(_over_split_seconds(tf.constant(short)), np.mean(short**3, axis=1) ** (1 / 3), rtol=1e-4)


def test_one_burst_counts_more_than_the_same_power_all_along():
    clean, noise = speech_like(2.0), np.random.default_rng(0).standard_normal(2 * RATE)
    burst = clean + 0.4 * noise * (np.abs(np.arange(2 * RATE) - RATE) < RATE / 40)
    steady = clean + 0.03 * noise
    ratio = lambda worst: points(burst, clean, worst)[0] / points(steady, clean, worst)[0]
    assert ratio(True) > 1.3 * ratio(False)


def test_levels_are_those_of_the_target():
    """Both played louder by the same amount: the same to the listener, who turns the target to 79 dB."""
    clean = speech_like()
    noisy = clean + 0.2 * np.random.default_rng(0).standard_normal(len(clean))
    np.testing.assert_allclose(points(3 * noisy, 3 * clean), points(noisy, clean), rtol=1e-3)


def test_a_silent_target_counts_nothing_and_gradients_are_finite():
    noise = tf.constant(np.random.default_rng(0).standard_normal((2, 4000)), tf.float32)
    target = tf.stack([tf.zeros(4000), tf.constant(speech_like(0.25), tf.float32)])
    for estimate, worst in itertools.product((noise, tf.zeros_like(noise), target), (False, True)):
        with tf.GradientTape() as tape:
            tape.watch(estimate)
            losses = bark_disturbance(spectrum(estimate, 512, 256), spectrum(target, 512, 256), RATE, worst=worst)
            total = losses[0] + losses[1]
        gradient = tape.gradient(total, estimate).numpy()
        assert np.isfinite(gradient).all()
        assert not gradient[0].any()


def test_it_ranks_as_pesq_does():
    """White, low and high noise at several levels: the raw score 4.5 - .1 D - .0309 A orders them nearly as PESQ does."""
    pesq = pytest.importorskip("pesq").pesq
    clean, rng, ours, theirs = speech_like(3.0), np.random.default_rng(0), [], []
    for level in (0.01, 0.03, 0.1, 0.3, 1.0):
        white = rng.standard_normal(len(clean))
        for noise in (white, np.cumsum(white - white.mean()) / 30, np.diff(white, prepend=0.0)):
            symmetric, asymmetric = points(clean + level * noise, clean)
            ours.append(4.5 - 0.1 * symmetric - 0.0309 * asymmetric)
            theirs.append(pesq(RATE, clean / 20, (clean + level * noise) / 20, "wb"))
    rank = lambda values: np.argsort(np.argsort(values))
    assert np.corrcoef(rank(ours), rank(theirs))[0, 1] > 0.85
