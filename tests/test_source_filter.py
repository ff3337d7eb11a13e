"""Harmonics, minimum phase and the filters of a source-filter vocoder, against scipy and direct sums."""

from __future__ import annotations

import numpy as np
import scipy.signal
import tensorflow as tf

from gansynth_cli.layers.source_filter import SourceFilter, emphasis_of, fixed_noise, harmonics, minimum_phase

RATE, HOP = 16000, 256


def test_harmonics_are_a_sum_of_cosines_below_half_the_rate() -> None:
    ln_f0 = np.log(np.linspace(150, 300, 60, dtype=np.float32))
    made = harmonics(tf.constant(ln_f0[None]), HOP, RATE).numpy()[0]
    between = np.interp(np.arange(60 * HOP) / HOP, np.arange(61), [*ln_f0, ln_f0[-1]])
    phase = 2 * np.pi * np.cumsum(np.exp(between) / RATE)
    count = RATE / 2 / np.exp(between) - 1
    weights = [np.clip(count - k + 1, 0, 1) for k in range(1, 55)]  # the uppermost fades in
    direct = sum(w * np.cos(k * phase) for k, w in enumerate(weights, 1)) / np.sqrt(count / 2)
    np.testing.assert_allclose(made, direct, atol=0.02)
    assert abs(np.mean(made**2) - 1) < 0.02
    silent = harmonics(tf.zeros([1, 4]), HOP, RATE).numpy()  # no F0 is 1 Hz, held to the lowest one
    assert np.isfinite(silent).all()


def test_phases_are_those_of_the_minimum_phase_filter() -> None:
    _, response = scipy.signal.freqz([1, -0.5, 0.2], worN=np.linspace(0, np.pi, 257))
    np.testing.assert_allclose(np.log(np.abs(response)) @ minimum_phase(257), np.angle(response), atol=1e-5)


def test_filters_of_harmonics_and_of_noise() -> None:
    taps = [1, -0.5, 0.2]
    _, response = scipy.signal.freqz(taps, worN=np.linspace(0, np.pi, 257))
    log_magnitude, nothing, closed = np.log(np.abs(response)), np.zeros(257), np.full(257, -30.0)
    ln_f0, noise = np.full((1, 20), np.log(200.0), np.float32), fixed_noise(20 * HOP).numpy()
    layer = SourceFilter(HOP, 512, 2, RATE)
    of = lambda *parts: layer(tf.constant(np.tile(np.concatenate(parts), (1, 20, 2)), tf.float32), ln_f0, noise).numpy()[0, :, 0]
    voice, air = of(log_magnitude, nothing, closed), of(closed, nothing, log_magnitude)
    expected = scipy.signal.lfilter(taps, [1], harmonics(ln_f0, HOP, RATE).numpy()[0])
    np.testing.assert_allclose(voice[600:-600], expected[600:-600], atol=1e-3)
    assert abs(np.std(air) / np.std(scipy.signal.lfilter(taps, [1], noise[0])) - 1) < 0.02
    np.testing.assert_array_equal(noise, fixed_noise(20 * HOP).numpy())
    assert SourceFilter.from_config(layer.get_config()).get_config() == layer.get_config()


def test_emphasis_scales_detail_and_keeps_the_power() -> None:
    bins = np.arange(257)
    formants, detail = (0.5 * np.cos(2 * np.pi * bins * quefrency / 512) for quefrency in (4, 30))
    matrix = emphasis_of(257, RATE, (1.2, 1.5))
    np.testing.assert_allclose((formants + detail - 1) @ matrix, 1.2 * formants + 1.5 * detail - 1, atol=1e-5)
    filters = tf.constant(np.tile(np.concatenate([np.full(257, -30.0), np.zeros(257), formants]), (1, 20, 2)), tf.float32)
    ln_f0, noise = np.full((1, 20), np.log(200.0), np.float32), fixed_noise(20 * HOP)
    plain, sharp = (SourceFilter(HOP, 512, 2, RATE, gains)(filters, ln_f0, noise).numpy() for gains in ((1, 1), (1.2, 1.5)))
    assert abs(np.std(sharp) / np.std(plain) - 1) < 0.02
    assert np.abs(sharp - plain).max() > 0.1
