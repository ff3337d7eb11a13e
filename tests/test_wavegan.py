"""WaveGAN: sizes and parameter counts of the paper, lengths, phase shuffle, filter, stereo."""

import math

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.sizes import strides_of
from gansynth_cli.families.wavegan.family import WaveGAN
from gansynth_cli.recipe import load_recipe

from .tiny_families import gradients, make_batch, make_draws, make_family, phase_named


def counted(clip_samples: int, d: int, channels: int = 1) -> tuple[int, int]:
    """Weights of generator and critic from the reference sheet's table, layer by layer."""
    k = 25
    widths = {16384: [16, 8, 4, 2, 1], 32768: [32, 16, 8, 4, 2, 1], 65536: [32, 16, 8, 4, 2, 1]}[clip_samples]
    first = 16 * widths[0] * d
    generator = 100 * first + first
    critic = 0
    for wide, narrow in zip(widths, [*widths[1:], 0], strict=True):
        out = narrow * d or channels
        generator += k * wide * d * out + out
        critic += k * out * wide * d + wide * d
    return generator, critic + first + 1


@pytest.mark.parametrize(
    "clip_samples, d",
    [(16384, 64), (16384, 32), (16384, 16), (32768, 8), (65536, 8), *(pytest.param(n, 64, marks=pytest.mark.slow) for n in (32768, 65536))],
)
def test_networks_have_the_parameters_of_the_papers_tables(clip_samples, d):
    recipe = load_recipe("wavegan/base", [f"data.clip_samples={clip_samples}", f"model.dim={d}"])
    family = WaveGAN(recipe, DatasetInfo("x", 16000, 1, clip_samples, [], {}))
    assert tuple(family.networks[name].count_params() for name in ("generator", "critic")) == counted(clip_samples, d)


@pytest.mark.parametrize(
    "clip_samples, d, millions",
    [
        (16384, 64, (19.07, 17.43)),
        (16384, 32, (5.18, 4.36)),
        (16384, 16, (1.50, 1.09)),
        (32768, 64, (73.15, 69.88)),
        (65536, 64, (73.15, 69.88)),
    ],
)
def test_parameter_counts_are_the_published_ones(clip_samples, d, millions):
    assert tuple(round(n / 1e6, 2) for n in counted(clip_samples, d)) == millions


def test_the_exact_counts():
    assert counted(16384, 64) == (19_065_345, 17_427_969)
    assert counted(65536, 64) == (73_149_953, 69_875_201)


@pytest.mark.parametrize(
    "clip_samples, strides",
    [
        (65536, (4,) * 6),
        (32768, (4,) * 5 + (2,)),
        (16384, (4,) * 5),
        (8192, (4,) * 4 + (2,)),
        (4096, (4,) * 4),
        (2048, (4, 4, 4, 2)),
    ],
)
def test_lengths_and_runtime_shapes(clip_samples, strides):
    assert strides_of(clip_samples) == strides
    family = make_family("wavegan", data={"clip_samples": clip_samples}, dim=2, start_samples=16)
    batch, draws = make_batch(family, clips=2), make_draws()
    made = family.generate(batch, draws)
    assert made.shape == (2, clip_samples, 1)
    assert np.abs(made).max() <= 1
    assert family.discriminate(made, batch, draws, "fake").shape == (2,)
    lengths = [tuple(layer.output.shape[1:]) for layer in family.networks["critic"].layers if type(layer).__name__ == "Conv1D"]
    assert lengths == [(clip_samples // math.prod(strides[: n + 1]), 2 ** (n + 1)) for n in range(len(strides))]
    assert lengths[-1][0] == 16


def test_eight_start_samples_reach_8192_with_strides_of_four():
    assert strides_of(8192, 8) == (4,) * 5


@pytest.mark.parametrize("clip_samples, start", [(10000, 16), (16, 16), (16385, 16), (24576, 16)])
def test_lengths_that_it_cannot_have_name_those_it_can(clip_samples, start):
    with pytest.raises(RecipeError, match=f"{clip_samples}; from {start}") as failure:
        strides_of(clip_samples, start)
    assert "--set data.clip_samples=" in failure.value.hint
    assert strides_of(int(failure.value.hint.split("=")[1].split(",")[0]), start)


@pytest.mark.parametrize(
    "start_samples, clip_samples, shuffled", [(16, 16384, 4), (16, 65536, 4), (16, 4096, 3), (8, 8192, 4), (8, 512, 2)]
)
def test_phase_shuffle_is_in_layers_0_to_3_and_never_in_the_last(start_samples, clip_samples, shuffled):
    family = make_family("wavegan", data={"clip_samples": clip_samples}, dim=1, start_samples=start_samples)
    kinds = [type(layer).__name__ for layer in family.networks["critic"].layers]
    assert kinds.count("PhaseShuffle") == family.shuffled == shuffled
    assert "PhaseShuffle" not in kinds[max(i for i, kind in enumerate(kinds) if kind == "Conv1D") :]
    assert all(kinds[i - 1] == "LeakyReLU" or kinds[i - 2] == "LeakyReLU" for i, kind in enumerate(kinds) if kind == "PhaseShuffle")


def test_each_call_of_the_critic_draws_its_own_shifts_one_a_layer():
    family = make_family("wavegan", data={"clip_samples": 8192}, start_samples=8)
    seen = {
        name: np.stack([family.critic_extras(make_draws(step), name)["shifts"] for step in range(60)])
        for name in ("real", "fake", "between")
    }
    for shifts in seen.values():
        assert set(shifts.ravel()) == {-2, -1, 0, 1, 2}
        assert np.abs(np.corrcoef(shifts.T) - np.eye(4)).max() < 0.6  # layers do not share theirs
    assert not np.array_equal(seen["real"], seen["fake"])
    assert not np.array_equal(seen["fake"], seen["between"])


def test_shifts_reach_every_judgement():
    """With shuffling the critic's answers to real, fake, between and the generator's loss all change from draw to draw."""
    family = make_family("wavegan", adversarial={"loss": "wgan-gp", "drift": 1.0}, phase_shuffle=2)
    batch, draws = make_batch(family), make_draws()
    for name in ("real", "fake", "between"):
        answers = {family.discriminate(batch["audio"], batch, make_draws(step), name).numpy().tobytes() for step in range(6)}
        assert len(answers) > 1
    calm = make_family("wavegan", phase_shuffle=0)
    assert calm.critic_extras(draws, "real") == {}
    assert len({calm.discriminate(batch["audio"], batch, make_draws(step), "real").numpy().tobytes() for step in range(3)}) == 1


def test_the_penalty_has_its_gradient_under_xla_too():
    """The weights' gradient of WGAN-GP through phase shuffle: compiled by XLA equals the plain graph's."""
    family = make_family("wavegan", data={"clip_samples": 128})
    batch, draws = make_batch(family, clips=2), make_draws()
    fixed = make_draws()
    shifts = {name: family.critic_extras(fixed, name)["shifts"].numpy() for name in ("real", "fake", "between")}
    family.critic_extras = lambda draws, name: {"shifts": tf.constant(shifts[name])}  # XLA draws other numbers from a seed
    weights = family.networks["critic"].trainable_variables
    fake, alpha = family.generate(batch, draws), tf.constant([0.3, 0.8])

    def slopes():
        from gansynth_cli.losses.adversarial import gradient_penalty

        with tf.GradientTape() as tape:
            penalty = gradient_penalty(lambda x: family.discriminate(x, batch, draws, "between"), batch["audio"], fake, alpha)
        return tape.gradient(penalty, weights[:1])

    plain, compiled = (tf.function(slopes, jit_compile=jit)()[0].numpy() for jit in (False, True))
    assert np.any(plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-5)


def test_too_wide_a_shuffle():
    with pytest.raises(RecipeError, match="phase_shuffle is 40"):
        make_family("wavegan", phase_shuffle=40)


@pytest.mark.parametrize("channels", [1, 2])
def test_post_processing_filter_is_trained_with_the_generator(channels):
    family = make_family("wavegan", data={"channels": channels}, postprocess_filter=512)
    generator = family.networks["generator"]
    kernel = generator.get_layer("postprocess").kernel
    assert kernel.shape == (512, 1, channels)
    _, slopes = gradients(family, phase_named(family, "generator"))
    index = [v.path for v in generator.trainable_variables].index(kernel.path)
    assert np.any(slopes["generator"][index])
    kernel.assign(tf.one_hot([255], 512, axis=0)[:, :, None] * 3.0 * tf.ones([1, 1, channels]))  # times three, no delay
    audio = family.preview(family.networks, 2)
    assert audio.shape == (2, 512, channels)
    assert np.abs(audio).max() <= 1


def test_stereo_channels_differ():
    family = make_family("wavegan", data={"channels": 2})
    audio = family.preview(family.networks, 2)
    assert np.abs(audio[..., 0] - audio[..., 1]).max() > 1e-3


def test_nearest_neighbour_has_the_same_weights_and_another_result():
    transposed, nearest = (make_family("wavegan", upsample=kind) for kind in ("transposed", "nearest"))
    assert transposed.networks["generator"].count_params() == nearest.networks["generator"].count_params()
    assert [type(layer).__name__ for layer in nearest.networks["generator"].layers].count("UpSampling1D") == len(nearest.strides)
    assert nearest.preview(nearest.networks, 2).shape == (2, 512, 1)


@pytest.mark.parametrize("size", ["base", "small", "tiny"])
def test_recipes_build(size):
    recipe = load_recipe(f"wavegan/{size}", ["model.dim=2"])
    labels = ["a", "b"] if recipe.model.conditioning != "none" else []
    family = WaveGAN(recipe, DatasetInfo("x", recipe.data.sample_rate, 1, recipe.data.clip_samples, labels, {}))
    assert family.preview(family.networks, 1).shape == (1, recipe.data.clip_samples, 1)


def test_base_is_the_paper():
    recipe = load_recipe("wavegan")
    assert (recipe.data.clip_samples, recipe.data.batch_size, recipe.training.steps) == (16384, 64, 200_000)
    assert (recipe.adversarial.loss, recipe.adversarial.critic_repeats, recipe.adversarial.gradient_penalty) == ("wgan-gp", 5, 10.0)
    for optimizer in recipe.optimizers.values():
        assert (optimizer.name, optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (
            "adam",
            1e-4,
            0.5,
            0.9,
            1e-8,
        )
