"""The losses on four numbers worked out by hand, penalties on critics whose slope is known, and every loss in every family."""

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.base import Draws
from gansynth_cli.families.latent_gan import LatentGAN
from gansynth_cli.families.registry import family_class
from gansynth_cli.losses.adversarial import LOSSES, drift_penalty, gradient_penalty, r1_penalty
from gansynth_cli.recipe_schema import FAMILIES, Adversarial

from .helpers import disturb
from .tiny_families import LABELS, SMALL, gradients, make_batch, make_draws, make_family, phase_named

REAL, FAKE = tf.constant([2.0, 0.0]), tf.constant([-1.0, 0.5])
SP = lambda x: math.log(1 + math.exp(x))
CROSS_ENTROPY = 0.5 * ((SP(-2) + SP(0)) / 2 + (SP(-1) + SP(0.5)) / 2)
BY_HAND = {  # critic, generator
    "minimax": (CROSS_ENTROPY, -(SP(-1) + SP(0.5)) / 2),
    "nonsaturating": (CROSS_ENTROPY, (SP(1) + SP(-0.5)) / 2),
    "wgan": (-0.25 - 1.0, 0.25),
    "wgan-gp": (-0.25 - 1.0, 0.25),
    "lsgan": (0.5 * ((1 + 1) / 2 + (1 + 0.25) / 2), (4 + 0.25) / 2),
    "hinge": ((0 + 1) / 2 + (0 + 1.5) / 2, 0.25),
    "hinge-clamped": ((0 + 1) / 2 + (0 + 1.5) / 2, (2 + 0.5) / 2),
}


def test_the_recipe_names_exactly_the_losses_there_are():
    assert set(get_args(get_type_hints(Adversarial)["loss"])) == set(LOSSES) == set(BY_HAND)


def test_every_family_that_generates_from_latents_is_tried():
    assert set(SMALL) == {name for name in FAMILIES if issubclass(family_class(name), LatentGAN)}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_by_hand(name):
    critic, generator = BY_HAND[name]
    assert float(LOSSES[name].critic(REAL, FAKE)) == pytest.approx(critic, rel=1e-6)
    assert float(LOSSES[name].generator(FAKE)) == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_the_players_pull_in_opposite_directions(name):
    """The critic lowers its loss by scoring real up and fakes down; the generator by scoring its examples up."""
    real, fake = tf.constant([0.1, -0.3]), tf.constant([0.2, -0.2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        critic, generator = LOSSES[name].critic(real, fake), LOSSES[name].generator(fake)
    assert np.all(tape.gradient(critic, real) < 0)
    if name != "lsgan":  # its critic pulls generated examples to 0, from both sides
        assert np.all(tape.gradient(critic, fake) > 0)
    assert np.all(tape.gradient(generator, fake) < 0)


@pytest.mark.parametrize("name", ["minimax", "nonsaturating"])
def test_logits_of_any_size_stay_finite(name):
    huge = tf.constant([1e4, -1e4])
    assert math.isfinite(LOSSES[name].critic(huge, huge))
    assert math.isfinite(LOSSES[name].generator(huge))


def test_gradient_penalty_of_a_linear_critic():
    """Slope w everywhere, so the penalty is (|w| - 1)^2 and its gradient 2 (|w| - 1) w / |w|, wherever it is taken."""
    weight = tf.Variable([[3.0], [0.0], [4.0]])
    examples = tf.random.stateless_normal([5, 3], [1, 2]), tf.random.stateless_normal([5, 3], [3, 4])
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(lambda x: x @ weight, *examples, alpha=tf.linspace(0.0, 1.0, 5))
    assert float(penalty) == pytest.approx(16.0, rel=1e-6)
    np.testing.assert_allclose(tape.gradient(penalty, weight)[:, 0], [4.8, 0.0, 6.4], rtol=1e-5)


def test_gradient_penalty_is_two_sided_per_example_and_on_the_line():
    """D(x) = x^2 / 2 has slope x: the penalty tells where it was taken."""
    real, fake = tf.constant([[1.0], [0.0]]), tf.constant([[3.0], [0.5]])
    penalty = gradient_penalty(lambda x: tf.square(x) / 2, real, fake, tf.constant([0.25, 1.0]))
    assert float(penalty) == pytest.approx(((1.5 - 1) ** 2 + (0.5 - 1) ** 2) / 2)


def test_gradient_penalty_of_a_flat_critic_is_one_with_a_finite_gradient():
    weight = tf.Variable(tf.zeros([3, 1]))
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(lambda x: x @ weight, tf.ones([2, 3]), tf.zeros([2, 3]), tf.constant([0.5, 0.5]))
    assert float(penalty) == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(tape.gradient(penalty, weight)).all()


def test_r1_by_hand():
    """D(x) = sum(w x^2) on images [2, 2, 1]: |grad|^2 = 4 sum(w^2 x^2), the mean over examples."""
    weight = tf.Variable(2.0)
    examples = tf.reshape(tf.range(8.0), [2, 2, 2, 1])
    with tf.GradientTape() as tape:
        penalty = r1_penalty(lambda x: tf.reduce_sum(weight * tf.square(x), axis=[1, 2, 3]), examples)
    expected = 4 * 4 * np.square(np.arange(8)).sum() / 2
    assert float(penalty) == pytest.approx(expected)
    assert float(tape.gradient(penalty, weight)) == pytest.approx(expected, rel=1e-6)  # 2 w / w^2 = 1 at w = 2


def test_drift():
    assert float(drift_penalty(tf.constant([1.0, -3.0]))) == 5.0


@pytest.mark.parametrize("family_name", SMALL)
@pytest.mark.parametrize("loss", LOSSES)
def test_each_phase_of_each_loss_in_each_family_moves_its_own_network(loss, family_name):
    """Finite gradients, none of them zero as a whole, and nothing else's gradient is used."""
    family = make_family(family_name, adversarial={"loss": loss, "drift": 0.1, "r1": 0.5}, conditioning="projection")
    disturb(*family.networks.values())
    expected = {"critic": {"adversarial", "drift"}, "critic_r1": {"r1"}, "generator": {"adversarial"}}
    if loss == "wgan-gp":
        expected["critic"].add("gradient_penalty")
    assert {phase.name for phase in family.phases()} == set(expected)
    for phase in family.phases():
        losses, slopes = gradients(family, phase)
        assert set(losses) == expected[phase.name]
        assert all(math.isfinite(value) for value in losses.values())
        (network,) = phase.networks
        for variable, slope in zip(family.networks[network].trainable_variables, slopes[network], strict=True):
            if slope is None:  # a penalty on the slope alone does not see the last bias
                assert phase.name == "critic_r1"
                assert variable.path.endswith("logit/bias")
                continue
            assert np.isfinite(slope).all(), variable.path
            # A bias acts on R1 only through which units are on, and on a difference of scores not at all in the last layer.
            if phase.name != "critic_r1" and not variable.path.endswith("logit/bias"):
                assert np.any(slope), variable.path
        if network == "critic":
            assert all(slope is None for slope in slopes["generator"])
        assert phase.weight_clip == (0.01 if loss == "wgan" and network == "critic" else 0.0)


def test_weights_of_the_penalties():
    """Each named loss is its penalty times the recipe's weight; R1 stands for all the steps it is left out of."""
    settings = {"loss": "wgan-gp", "gradient_penalty": 7.0, "drift": 0.3, "r1": 0.4, "r1_every": 5}
    family = make_family("wavegan", adversarial=settings, phase_shuffle=0)
    batch, draws = make_batch(family), make_draws()
    losses = family.critic_losses(batch, draws)
    critic = lambda x: family.networks["critic"]({"example": x})[:, 0]
    real, fake = batch["audio"], family.generate(batch, draws)
    slope = gradient_penalty(critic, real, fake, draws.uniform("alpha", (4,)))
    np.testing.assert_allclose(losses["gradient_penalty"], 7.0 * slope, rtol=1e-5)
    np.testing.assert_allclose(losses["drift"], 0.3 * drift_penalty(critic(real)), rtol=1e-5)
    np.testing.assert_allclose(family.r1_losses(batch, draws)["r1"], 0.5 * 0.4 * 5 * r1_penalty(critic, real), rtol=1e-5)


def test_the_game_as_the_recipe_sets_it():
    family = make_family("specgan", adversarial={"loss": "hinge", "critic_repeats": 3, "r1": 1.0, "r1_every": 7, "critic_start": 20})
    critic, r1, generator = family.phases()
    assert (critic.repeats, critic.every, r1.every, generator.every) == (3, 1, 7, 1)
    assert (critic.optimizer, r1.optimizer, generator.optimizer) == ("critic", "critic", "generator")
    assert [phase.active(19) for phase in family.phases()] == [False] * 3
    assert [phase.active(20) for phase in family.phases()] == [True, False, True]
    assert [phase.active(21) for phase in family.phases()] == [True, True, True]
    assert [phase.name for phase in make_family("specgan").phases()] == ["critic", "generator"]


@pytest.mark.parametrize("name", SMALL)
def test_tiny_overfit(name):
    """Twenty critic steps against a frozen generator: it learns to tell the four clips from the generated ones."""
    import keras

    family = make_family(name, adversarial={"loss": "nonsaturating"}, conditioning="projection", minibatch_stddev=True)
    batch, phase = make_batch(family), phase_named(family, "critic")
    weights = family.networks["critic"].trainable_variables
    optimizer = keras.optimizers.Adam(3e-3, 0.0, 0.99)

    @tf.function
    def step(seed):
        with tf.GradientTape() as tape:
            loss = phase.losses(batch, Draws(seed, tf.constant(0), 1))["adversarial"]
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    before = [w.numpy() for w in family.networks["generator"].weights]
    optimizer.build(weights)
    found = [float(step(tf.constant([n, 17]))) for n in range(20)]
    assert found[0] == pytest.approx(math.log(2), abs=0.2)
    assert found[-1] < 0.5 * found[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, family.networks["generator"].weights, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_without_labels(name):
    family = make_family(name, labels=[])
    assert not family.batch_features().labels
    audio = {"audio": make_batch(family)["audio"]}
    for phase in family.phases():
        assert all(math.isfinite(v) for v in phase.losses(audio, make_draws()).values())
    with pytest.raises(DatasetError, match="has none"):
        make_family(name, labels=[], conditioning="projection")


@pytest.mark.parametrize("name", SMALL)
def test_labels_change_what_is_made_and_how_it_is_judged(name):
    family = make_family(name, conditioning="projection")
    disturb(*family.networks.values())
    assert family.batch_features().labels
    batch, draws = make_batch(family), make_draws()
    other = {**batch, "label": (batch["label"] + 1) % len(LABELS)}
    made = family.generate(batch, draws)
    assert np.abs(made - family.generate(other, draws)).max() > 1e-3
    assert np.abs(family.discriminate(made, batch, draws, "fake") - family.discriminate(made, other, draws, "fake")).min() > 1e-5


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "options",
    [
        {"batch_norm": True},
        {"upsample": "nearest"},
        {"latent": "normal"},
        {"minibatch_stddev": True},
        {"conditioning": "projection", "modulation": 5, "minibatch_stddev": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_options(name, options):
    """Each option trains: gradients of the paper's game reach every weight of both networks."""
    family = make_family(name, **options)
    disturb(*family.networks.values())
    for phase in family.phases():
        _, slopes = gradients(family, phase)
        (network,) = phase.networks
        for variable, slope in zip(family.networks[network].trainable_variables, slopes[network], strict=True):
            assert slope is not None, variable.path
            assert np.isfinite(slope).all(), variable.path


def test_batch_norm_is_everywhere_but_in_the_last_layer_of_g_and_the_first_of_d():
    for name in SMALL:
        family = make_family(name, batch_norm=True)
        convolutions = len(family.strides) if name == "wavegan" else family.spectrogram.stages
        for network, expected in (("generator", convolutions), ("critic", convolutions - 1)):  # G: the dense layer and all but the last
            found = [layer for layer in family.networks[network].layers if type(layer).__name__ == "BatchNormalization"]
            assert len(found) == expected


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_decides_the_weights_and_layers_differ(name):
    one, same, other = (make_family(name, seed=seed).networks["critic"].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])
    family = make_family(name, conditioning="projection")
    biases = [v for v in family.networks["generator"].trainable_variables if v.path.endswith("bias")]
    assert biases
    assert not any(np.any(v) for v in biases)
    first, second = [v.numpy().ravel()[:8] for v in family.networks["critic"].trainable_variables if v.path.endswith("kernel")][:2]
    assert not np.allclose(first / np.abs(first).max(), second / np.abs(second).max())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 2])
def test_preview_and_the_saved_model(name, channels, tmp_path):
    import keras

    family = make_family(name, data={"channels": channels}, conditioning="projection")
    disturb(*family.networks.values())
    preview = family.preview(family.networks, 5)
    assert preview.shape == (5, 512, channels)
    assert preview.dtype == np.float32
    assert np.abs(preview).max() <= 1
    assert np.array_equal(preview, family.preview(family.networks, 5))
    np.testing.assert_allclose(preview[:2], family.preview(family.networks, 20)[:2], atol=1e-5)
    model = family.inference_model(family.networks)
    inputs = {"latent": np.random.default_rng(0).uniform(-1, 1, (3, 6)).astype(np.float32), "label": np.array([0, 2, 1], np.int32)}
    expected = model(inputs)
    assert expected.shape == (3, 512, channels)
    model.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    assert np.array_equal(loaded(inputs), expected)
    assert loaded.labels == tuple(LABELS)
    assert loaded.sample_rate == 8000
    assert loaded.latent == {"dim": 6, "distribution": "uniform"}
    assert loaded.provenance["family"] == name


def test_unknown_family():
    with pytest.raises(RecipeError, match="wavegan"):
        family_class("wavegun")
