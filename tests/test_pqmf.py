"""The filter bank of Multi-band MelGAN: near-perfect reconstruction, one band for each range of frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.signal import pqmf


def test_reconstruction_is_near_perfect():
    """4 bands, 62 taps, Kaiser beta 9, cut-off .142: 60 dB away from the ends."""
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 4000, 1)).astype(np.float32)
    bands = pqmf.analyse(audio)
    assert bands.shape == (2, 1000, 4)
    again = pqmf.synthesise(bands).numpy()
    assert again.shape == audio.shape
    inner = slice(2 * pqmf.REACH, -2 * pqmf.REACH)
    error = again[:, inner] - audio[:, inner]
    assert 10 * np.log10((audio[:, inner] ** 2).mean() / (error**2).mean()) > 60


def test_the_bank_of_parallel_wavegan_correlates_with_the_same_filters():
    """Two banks: each reconstructs by itself (60 dB), neither what the other has taken apart."""
    audio = np.random.default_rng(0).uniform(-1, 1, (1, 800, 1)).astype(np.float32)
    analysis, synthesis = pqmf.filters(cutoff=0.15)
    padded = np.pad(audio[0, :, 0], pqmf.REACH)
    correlated = np.stack([np.correlate(padded, analysis[:, band], "valid")[::4] for band in range(4)], axis=-1)
    bands = pqmf.analyse(audio, "parallel-wavegan", 0.15).numpy()[0]
    np.testing.assert_allclose(bands, correlated, atol=1e-6)
    spread = np.zeros((800, 4), np.float32)
    spread[::4] = 4 * bands
    joined = sum(np.correlate(np.pad(spread[:, band], pqmf.REACH), synthesis[:, band], "valid") for band in range(4))
    again = pqmf.synthesise(bands[None], "parallel-wavegan", 0.15).numpy()[0, :, 0]
    np.testing.assert_allclose(again, joined, atol=1e-5)
    bands = pqmf.analyse(audio, "parallel-wavegan")
    inner, error = slice(2 * pqmf.REACH, -2 * pqmf.REACH), {}
    for bank in ("parallel-wavegan", "nguyen"):
        difference = (pqmf.synthesise(bands, bank).numpy() - audio)[:, inner]
        error[bank] = 10 * np.log10((audio[:, inner] ** 2).mean() / (difference**2).mean())
    assert error["parallel-wavegan"] > 60
    assert error["nguyen"] < 5


@pytest.mark.parametrize("band", range(4))
def test_a_tone_is_found_in_its_band_alone(band):
    frequency = (band + 0.5) / 8  # of the sample rate: the middle of the band
    audio = np.sin(2 * np.pi * frequency * np.arange(2000)).astype(np.float32)[None, :, None]
    energy = (pqmf.analyse(audio).numpy()[0, 20:-20] ** 2).mean(0)
    assert np.argmax(energy) == band
    assert np.delete(energy, band).max() < 1e-6 * energy[band]
    assert energy[band] == pytest.approx(0.5, rel=0.01)  # bands keep the level


def test_no_delay_and_no_sample_reaches_beyond_the_filters():
    audio = np.zeros((1, 800, 1), np.float32)
    audio[0, 400] = 1.0
    again = pqmf.synthesise(pqmf.analyse(audio)).numpy()[0, :, 0]
    assert np.argmax(np.abs(again)) == 400
    bands = np.abs(pqmf.analyse(audio).numpy()[0]).max(1)
    touched = np.flatnonzero(bands > 0)
    assert touched.min() >= (400 - pqmf.REACH) / 4 - 1
    assert touched.max() <= (400 + pqmf.REACH) / 4 + 1


def test_gradients_flow_through_both():
    audio = tf.constant(np.random.default_rng(0).uniform(-1, 1, (1, 160, 1)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = tf.reduce_sum(pqmf.synthesise(pqmf.analyse(audio)) ** 2)
    np.testing.assert_allclose(tape.gradient(loss, audio)[0, 64:96, 0], 2 * audio[0, 64:96, 0], atol=0.05)


def test_an_odd_number_of_taps_is_refused():
    with pytest.raises(ValueError, match="63 taps"):
        pqmf.filters(taps=63)
