"""HiFi-GAN: the sizes of the three published generators, and its fusion of branches."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.hifigan.family import HiFiGAN
from gansynth_cli.layers.weight_norm import fold_normalization
from gansynth_cli.recipe import load_recipe

from .vocoder_families import make_family

V2 = ["model.channels=128"]
V3 = [
    *("model.channels=256", "model.upsample=[8, 8, 4]", "model.upsample_kernels=[16, 16, 8]", "model.block=2"),
    *("model.kernels=[3, 5, 7]", "model.dilations=[[1, 2], [2, 6], [3, 12]]"),
]


@pytest.mark.parametrize(
    "changes, millions", [pytest.param([], 13.93, marks=pytest.mark.slow), pytest.param(V2, 0.926), pytest.param(V3, 1.462)]
)
def test_published_sizes(changes, millions):
    recipe = load_recipe("hifigan", ["model.discriminators=[]", *changes])
    family = HiFiGAN(recipe, DatasetInfo("x", 22050, 1, 8192, [], {}))
    assert fold_normalization(family.networks["generator"]).count_params() / 1e6 == pytest.approx(millions, rel=5e-4)


def test_kinds_of_block_and_the_mean_over_branches():
    def convolutions(*changes):
        family = make_family("hifigan", "model.discriminators=[]", *changes)
        kinds = [type(layer.layer).__name__ for layer in family.networks["generator"].layers if hasattr(layer, "layer")]
        return kinds.count("Convolution1D"), sum(isinstance(layer, layers.Average) for layer in family.networks["generator"].layers)

    two = ["model.kernels=[3, 5]", "model.dilations=[[1, 3], [1]]"]
    # First and last convolution; then for each of two upsamplings three dilations, of two convolutions each or of one.
    assert convolutions(*two) == (2 + 2 * 3 * 2, 2)
    assert convolutions(*two, "model.block=2") == (2 + 2 * 3, 2)
    assert convolutions("model.kernels=[3]", "model.dilations=[[1]]") == (2 + 2 * 2, 0)


def test_loss_and_input_mels_may_end_at_different_frequencies():
    family = make_family("hifigan", "model.mel.high_hz=3000", "losses.mel_high_hz=0")
    assert (family.convention.high_hz, family.loss_convention.high_hz) == (3000.0, 4000.0)
    assert np.isfinite(family.networks["generator"](np.zeros((1, 20, 20), np.float32))).all()
