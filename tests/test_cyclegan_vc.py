"""MaskCycleGAN-VC: the published size, what each phase trains, losses by hand, both ways in one model, refusals."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.cyclegan_vc import networks as cyclegan_networks
from gansynth_cli.families.cyclegan_vc.family import CRITICS, GENERATORS
from gansynth_cli.models.voice_converter import VoiceConverter
from gansynth_cli.recipe import load_recipe
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .conversion_families import make_batch, make_family, write_voices
from .helpers import disturb
from .tiny_families import make_draws, phase_named


@pytest.fixture(scope="module")
def family():
    """One for all tests that change nothing of it: to build the networks takes a second."""
    made = make_family("cyclegan_vc", domains=2)
    disturb(*made.networks.values())
    return made


def count(network: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def published_generator(bands: int = 80, c: int = 128, blocks: int = 6, d: int = 256) -> int:
    """From the reference sheet, layer by layer; a norm has a scale and a shift."""
    rows = bands // 4
    first = 2 * (5 * 15 * 2 * c + c)
    down = 2 * (25 * c * 2 * c + 2 * c + 4 * c) + 2 * (25 * 4 * c * c + 2 * c + 4 * c)
    into = rows * 2 * c * d + d + 2 * d
    block = 2 * (3 * d * 2 * d + 2 * d + 4 * d) + 3 * 2 * d * d + d + 2 * d
    out_of = d * 2 * c * rows + 2 * c * rows + 4 * c * rows
    up = (25 * 2 * c * 8 * c + 8 * c + 4 * c) + (25 * 2 * c * 4 * c + 4 * c + 2 * c)
    return first + down + into + blocks * block + out_of + up + 5 * 15 * c + 1


def test_the_published_sizes():
    model = load_recipe("cyclegan_vc/base").model
    seeds = iter(range(10**6))
    generator = cyclegan_networks.generator(model, seeds, "g")
    assert count(generator) == published_generator()
    assert count(generator) == pytest.approx(24.5e6, rel=0.005)
    critic = cyclegan_networks.critic(model, seeds, "d")
    c = 128
    by_hand = 9 * c + c
    for before, after in ((c, 2 * c), (2 * c, 4 * c), (4 * c, 8 * c)):
        by_hand += 9 * before * after + after + 2 * after
    assert count(critic) == by_hand + 3 * 8 * c + 1


def test_shapes(family):
    generator = family.networks["to_first"]
    for frames in (4, 16, 20):
        assert generator({"mel": np.zeros((3, frames, 20)), "mask": np.ones((3, frames, 1))}).shape == (3, frames, 20)
    assert family.networks["critic_first"](np.zeros((3, 16, 20))).shape == (3, 3, 2, 1)


def test_a_picture_comes_back_as_it_was():
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    steps = cyclegan_networks.ColumnsToSteps()(x)
    assert steps.shape == (2, 6, 15)
    np.testing.assert_array_equal(steps[1, 4], x[1, :, 4].ravel())
    np.testing.assert_array_equal(cyclegan_networks.StepsToColumns(5)(steps), x)


@pytest.mark.parametrize("name", ["critic", "generator", "generator_2"])
def test_a_phase_has_gradients_for_its_networks(family, name):
    phase = phase_named(family, name)
    assert phase.networks == (CRITICS if name == "critic" else GENERATORS)
    with tf.GradientTape() as tape:
        losses = phase.losses(make_batch(family), make_draws())
        total = tf.add_n(list(losses.values()))
    assert (
        set(losses)
        == {
            "critic": {"adversarial", "second"},
            "generator": {"adversarial", "second", "cycle", "identity"},
            "generator_2": {"adversarial", "second", "cycle"},
        }[name]
    )
    for values in tape.gradient(total, {n: family.networks[n].trainable_variables for n in phase.networks}).values():
        assert all(g is not None and np.isfinite(g).all() for g in values)
        # A bias before a norm over all time has no effect: its gradient is zero, or what rounding leaves.
        assert np.mean([np.abs(g).max() > 1e-7 for g in values]) > 0.5


def test_the_losses_of_generators_that_do_nothing(family, monkeypatch):
    batch = make_batch(family)
    monkeypatch.setattr(family, "generate", lambda name, x, mask=None: x)
    monkeypatch.setattr(family, "discriminate", lambda name, x: tf.fill([tf.shape(x)[0], 3, 2, 1], 0.25))
    losses = family.generator_losses(batch, make_draws())
    assert float(losses["cycle"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["identity"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["adversarial"]) == float(losses["second"]) == pytest.approx(2 * 0.75**2)
    critic = family.critic_losses(batch, make_draws())
    assert float(critic["adversarial"]) == float(critic["second"]) == pytest.approx(0.5 * (0.75**2 + 0.25**2))


def test_second_critics_see_what_went_there_and_back(family, monkeypatch):
    batch = make_batch(family)
    factor = {"to_first": 2.0, "to_second": 3.0}
    monkeypatch.setattr(family, "generate", lambda name, x, mask=None: factor[name] * x)
    seen: dict[str, list[np.ndarray]] = {}
    monkeypatch.setattr(family, "discriminate", lambda name, x: (seen.setdefault(name, []).append(x.numpy()), x[..., :1])[1])
    family.generator_losses(batch, make_draws())
    a, b = (x.numpy() for x in family.both(batch))
    np.testing.assert_allclose(seen["critic_first"][0], 2 * b, rtol=1e-5)
    np.testing.assert_allclose(seen["critic_second"][0], 3 * a, rtol=1e-5)
    np.testing.assert_allclose(seen["critic_first_again"][0], 6 * a, rtol=1e-5)
    np.testing.assert_allclose(seen["critic_second_again"][0], 6 * b, rtol=1e-5)


def test_both_ways_in_one_model(tmp_path, family):
    model = family.inference_model(family.networks)
    assert (model.chunk_frames, model.stride_frames) == (64, 4)
    mel = make_batch(family)["spectrum"][:2, :15]  # no multiple of 4
    there, back = model.convert(mel, [0, 0], [1, 1]).numpy(), model.convert(mel, [1, 1], [0, 0]).numpy()
    mixed = model.convert(mel, [0, 1], [1, 0]).numpy()
    np.testing.assert_allclose(mixed[0], there[0], atol=1e-4)
    np.testing.assert_allclose(mixed[1], back[1], atol=1e-4)
    np.testing.assert_allclose(model.convert(mel, [0, 0], [0, 0]), mel, atol=1e-5)
    x = (mel - family.mean[0]) / family.deviation[0]
    x = tf.concat([x, x[:, -1:]], axis=1)
    by_hand = family.networks["to_second"]({"mel": x, "mask": tf.ones_like(x[..., :1])}) * family.deviation[1] + family.mean[1]
    np.testing.assert_allclose(there, by_hand[:, :15], atol=1e-4)
    model.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    assert isinstance(loaded, VoiceConverter)
    np.testing.assert_allclose(loaded.convert(mel, [0, 1], [1, 0]), mixed, atol=1e-4)
    assert loaded.detect(mel).shape == (2, 2)


def test_refusals(family):
    with pytest.raises(DatasetError, match="has 3 labels"):
        make_family("cyclegan_vc", domains=3)
    for override in ("data.balance=class", "data.batch_size=3"):
        with pytest.raises(RecipeError, match="clips of both domains in turn"):
            make_family("cyclegan_vc", override, domains=2)
    with pytest.raises(RecipeError, match="multiple of 4"):
        make_family("cyclegan_vc", "model.mel.bands=18", domains=2)
    batch = make_batch(family)
    with pytest.raises(tf.errors.InvalidArgumentError, match="take turns"):
        family.both({**batch, "label": tf.constant([0, 0, 1, 1])})


@pytest.mark.slow
def test_it_learns_to_bring_a_batch_back():
    overrides = ("data.batch_size=4", "losses.identity_stop=0", "training.ema=0", "optimizers.generator.learning_rate=2e-3")
    recipe = load_recipe("cyclegan_vc/tiny", overrides)
    family_of = lambda: make_family("cyclegan_vc", *overrides, domains=2)
    learner = Learner(recipe, family_of, Devices(), 60)
    batch = make_batch(learner.family)
    cycle = []
    for step in range(60):
        result = learner.step(step, [batch])
        cycle.append(float(result.values[result.names.index("generator/cycle")]))
    assert np.mean(cycle[-5:]) < 0.6 * np.mean(cycle[:5])


@pytest.mark.slow
def test_prepare_train_and_resume(tmp_path):
    pytest.importorskip("swift_f0")
    write_voices(tmp_path / "in")
    prepare = ["prepare", str(tmp_path / "in"), "-o", str(tmp_path / "d"), "--recipe", "cyclegan_vc/tiny", "--layout", "speakers"]
    assert main([*prepare, "-q"]) == 0
    # Rates that fall linearly fall to the end of the budget: with two steps the second is not what it is with four.
    less = ["--set", "optimizers.generator.schedule=constant", "--set", "optimizers.critic.schedule=constant"]
    # And what takes longest is to trace the networks, six of them in a whole game.
    less += ["--set", "training.preview_every=0", "--set", "losses.second_adversarial=0", "--set", "losses.identity=0"]
    common = ["train", "--recipe", "cyclegan_vc/tiny", "--data", str(tmp_path / "d"), "-q", *less]
    train = lambda run, steps: main([*common, "--run", str(tmp_path / run), "--steps", str(steps)])
    assert [train("whole", 2), train("parts", 1), train("parts", 2)] == [0, 0, 0]
    whole, parts = (read_checkpoint(Checkpoints(tmp_path / name / "checkpoints").path(2))[0] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name], err_msg=name)
    assert keras.saving.load_model(tmp_path / "whole" / "model" / "generator.keras").domains == ["anna", "bruno"]
