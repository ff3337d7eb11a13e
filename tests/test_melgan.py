"""MelGAN and Multi-band MelGAN: the published sizes, sub-bands, judgement in both domains."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.melgan.family import MelGAN
from gansynth_cli.layers.weight_norm import fold_normalization
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal import pqmf
from gansynth_cli.signal.mel_front_end import mel_spectrogram

from .tiny_families import make_draws
from .vocoder_families import make_batch, make_family

BANDS = ["model.bands=4", "model.upsample=[4, 2]", "losses.sub_band_convergence=0.5", "losses.sub_band_magnitude=0.5"]
BANDS += ["losses.sub_band_resolutions=[[64, 16, 64]]"]
MULTI_BAND = ["model.channels=384", "model.upsample=[8, 4, 2]", "model.dilations=[1, 3, 9, 27]", "model.bands=4"]


@pytest.mark.parametrize("changes, millions", [([], 4.26), (MULTI_BAND, 2.53)])
def test_published_sizes(changes, millions):
    recipe = load_recipe("melgan", ["model.discriminators=[]", "losses.mel_l1=1.0", *changes])
    family = MelGAN(recipe, DatasetInfo("x", 22050, 1, 8192, [], {}))
    assert fold_normalization(family.networks["generator"]).count_params() / 1e6 == pytest.approx(millions, abs=0.006)


def test_output_stays_within_full_scale():
    family = make_family("melgan", "model.discriminators=[]")
    for variable in family.networks["generator"].trainable_variables:
        variable.assign(8.0 * variable)  # the scales of the kernels: loud
    audio = family.inference_model(family.networks)(np.full((1, 30, 20), -9.0, np.float32)).numpy()
    assert 0.99 < np.abs(audio).max() <= 1.0


def test_bands_are_joined_by_the_filter_bank_and_compared_apart():
    family = make_family("melgan", *BANDS, "model.discriminators=[]")
    batch = make_batch(family)
    mel = mel_spectrogram(batch["audio"], family.convention)
    made, fake = family.generate(batch["audio"])
    assert made.shape[1:] == (mel.shape[1] * family.convention.hop // 4, 4)
    np.testing.assert_allclose(fake, pqmf.synthesise(made)[:, :2048], atol=1e-6)
    np.testing.assert_allclose(family.inference_model(family.networks)(mel)[:, :2048], fake, atol=1e-5)
    losses = family.reconstruction_losses(batch, make_draws())
    assert {"sub_band_convergence", "sub_band_magnitude"} <= set(losses)
    assert float(losses["sub_band_convergence"]) > 0
    same = family.distances(batch["audio"], pqmf.analyse(batch["audio"]), batch["audio"])
    assert max(float(v) for v in same.values()) < 1e-3
    assert "sub_band_convergence" not in make_family("melgan", "model.discriminators=[]").reconstruction_losses(batch, make_draws())


def test_the_mel_critic_judges_the_mel_spectrogram_alone():
    """Two signals that differ in what a mel spectrogram does not hold, their sign, are one to it, and two to the waveform's critic."""
    family = make_family("melgan")
    audio = make_batch(family, 1)["audio"]
    critic = family.networks["critic"]
    assert list(critic(audio)) == ["msd", "mel"]
    one, other = critic(audio), critic(-audio)
    np.testing.assert_allclose(one["mel"][0][0], other["mel"][0][0], atol=1e-5)
    assert np.abs(one["msd"][0][0] - other["msd"][0][0]).max() > 1e-4
    with tf.GradientTape() as tape:
        tape.watch(audio)
        score = tf.reduce_sum(critic(audio)["mel"][0][0])
    assert np.abs(tape.gradient(score, audio)).max() > 0
