"""Vocos: the published size, its head against the transform it inverts, and the pseudo-inverse prior."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.vocos import Vocos
from gansynth_cli.layers.vocoder import MelToLogMagnitude, SpectrumToAudio
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import bank_of, mel_spectrogram

from .vocoder_families import make_batch, make_family, speech_like


def test_published_size():
    family = Vocos(load_recipe("vocos", ["model.discriminators=[]"]), DatasetInfo("x", 24000, 1, 16384, [], {}))
    assert family.networks["generator"].count_params() / 1e6 == pytest.approx(13.53, abs=0.005)


@pytest.mark.parametrize("padding", ["centre", "reflect"])
def test_the_head_inverts_the_transform_that_mel_spectrograms_are_made_of(padding):
    """So frame t of a mel spectrogram and frame t of the head lie on the same samples."""
    c = MelConvention(fft=256, hop=64, padding=padding).resolved(8000)
    audio = speech_like(4096)[:, 0]
    padded = np.pad(audio, c.reach, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::64]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    spectrum = np.fft.rfft(frames * window)
    values = np.concatenate([np.log(np.abs(spectrum) + 1e-9), np.angle(spectrum)], axis=1).astype(np.float32)
    made = SpectrumToAudio(c, 1e4)(values[None]).numpy()[0, :, 0]
    assert len(made) == c.frames(4096) * 64
    np.testing.assert_allclose(made[:4096], audio, atol=1e-4)


def test_magnitudes_are_clipped_and_their_gradient_stays_finite():
    c = MelConvention(fft=256, hop=64).resolved(8000)
    head, spectrum = SpectrumToAudio(c, 100.0), tf.Variable(np.full((1, 5, 258), 200.0, np.float32))
    with tf.GradientTape() as tape:
        audio = head(spectrum)
        loss = tf.reduce_sum(audio**2)
    assert np.isfinite(audio).all()
    assert np.isfinite(tape.gradient(loss, spectrum)).all()
    limit = tf.fill([1, 5, 129], np.float32(np.log(100.0)))
    expected = SpectrumToAudio(c, 1e9)(tf.concat([limit, spectrum[..., 129:]], axis=-1))
    np.testing.assert_allclose(audio, expected, rtol=1e-4, atol=1e-5)


def test_the_prior_gives_back_the_mel_spectrum_and_the_network_only_adds_to_it():
    family = make_family("vocos", "model.discriminators=[]")
    c, audio = family.convention, make_batch(family)["audio"]
    mel = mel_spectrogram(audio, c)
    prior = MelToLogMagnitude(c)(mel)
    again = np.log(np.maximum(np.exp(prior.numpy()) @ bank_of(c), c.floor))
    loud = mel.numpy() > np.log(1e-2)
    assert np.abs(again - mel.numpy())[loud].mean() < 0.3  # nearer than 3 dB, where it is not the floor that speaks
    head = family.networks["generator"].get_layer("spectrum")
    for variable in head.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    made = family.networks["generator"](mel)
    np.testing.assert_allclose(made[..., : c.fft // 2 + 1], prior, atol=1e-4)
    np.testing.assert_array_equal(made[..., c.fft // 2 + 1 :], tf.zeros_like(prior))
    bare = make_family("vocos", "model.discriminators=[]", "model.prior=none")
    assert bare.networks["generator"].count_params() == family.networks["generator"].count_params()
