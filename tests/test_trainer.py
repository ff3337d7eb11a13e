"""The training step and the loop around it, on a family of a few weights."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.audio.audio_file import read_tag
from gansynth_cli.errors import GanAudioError, RecipeError, RunError, TrainingStopped
from gansynth_cli.families.base import Draws
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe_schema import Optimizer
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.beginning import budget_in_steps
from gansynth_cli.training.checkpoint import read_checkpoint
from gansynth_cli.training.learner import Learner, draw_seed
from gansynth_cli.training.optimizers import begin_anew, learning_rate, make_optimizer
from gansynth_cli.training.strategy import Devices
from gansynth_cli.training.summaries import PreviewMetrics, Summaries, collapse_reason, spectrogram_image

from .tiny_families import make_batch, make_family
from .training_fakes import FakeSource, fake_recipe, make_learner, make_trainer, run_steps, train_fake, weights

ROOT = Path(__file__).parent.parent


PLAIN = {key: {"name": "sgd", "beta_1": 0.0, "learning_rate": 0.5} for key in ("generator", "critic")}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray], network: str) -> bool:
    return any(not np.array_equal(v, after[n]) for n, v in before.items() if f"/{network}/" in n and "seed_generator" not in n)


# Phases.


def test_a_phase_moves_its_own_networks_only_and_only_from_its_start():
    learner = make_learner(fake_recipe(adversarial={"critic_start": 2}))
    seen = [weights(learner)]
    for step in range(4):
        run_steps(learner, 1, first=step)
        seen.append(weights(learner))
    moved = [changed(seen[i], seen[i + 1], "critic") for i in range(4)]
    assert moved == [False, False, True, True]
    assert all(changed(seen[i], seen[i + 1], "generator") for i in range(4))


def test_generator_stays_while_only_the_critic_learns():
    learner = make_learner(fake_recipe())
    critic = next(p for p in learner.phases if p.name == "critic")
    learner.phases = (critic,)
    before = weights(learner)
    run_steps(learner, 2)
    after = weights(learner)
    assert changed(before, after, "critic")
    assert not changed(before, after, "generator")


def test_repeats_and_every_are_honoured():
    learner = make_learner(fake_recipe(adversarial={"critic_repeats": 3, "r1": 0.1, "r1_every": 4}))
    values = run_steps(learner, 5)
    assert ["critic_r1/r1" in v for v in values] == [True, False, False, False, True]
    assert int(learner.optimizers["critic"].iterations.numpy()) == 5 * 3 + 2
    assert int(learner.optimizers["generator"].iterations.numpy()) == 5
    assert len(learner._steps) == 2  # one compiled function for each set of phases


def test_each_repeat_and_phase_draws_anew_and_the_same_again():
    seeds = {
        (phase, step, repeat): tuple(draw_seed(7, tf.constant(step, tf.int64), phase, tf.constant(repeat, tf.int64)).numpy())
        for phase in ("critic", "generator")
        for step in (0, 1)
        for repeat in (0, 1)
    }
    assert len(set(seeds.values())) == len(seeds)
    assert seeds["critic", 1, 0] == tuple(draw_seed(7, tf.constant(1, tf.int64), "critic", tf.constant(0, tf.int64)).numpy())


def test_batches_before_counts_what_the_steps_took():
    learner = make_learner(fake_recipe(adversarial={"critic_repeats": 5, "critic_start": 3, "r1": 0.1, "r1_every": 2}))
    for step in (0, 1, 3, 4, 17):
        assert learner.batches_before(step) == sum(learner.batches_of(s) for s in range(step))


def test_weight_clip_bounds_the_critic_after_every_update():
    learner = make_learner(fake_recipe(adversarial={"loss": "wgan", "weight_clip": 0.02}))
    run_steps(learner, 1)
    limits = {n: np.abs(v).max() for n, v in weights(learner).items() if "seed_generator" not in n}
    assert max(v for n, v in limits.items() if "/critic/" in n) <= np.float32(0.02)
    assert max(v for n, v in limits.items() if "/generator/" in n) > 0.02


def test_a_variable_without_gradient_is_named():
    def spoil(family, loss, batch):
        return tf.reduce_mean(tf.square(family.networks["generator"].layers[-1].kernel))

    with pytest.raises(GanAudioError, match=r"generator.*no loss depends on .*bias"):
        run_steps(make_learner(fake_recipe(), spoil=spoil), 1)


def test_phases_that_share_an_optimizer_must_share_their_networks(monkeypatch):
    from .training_fakes import FakeFamily

    original = FakeFamily.phases
    monkeypatch.setattr(FakeFamily, "phases", lambda self: tuple(dataclasses.replace(p, optimizer="critic") for p in original(self)))
    with pytest.raises(GanAudioError, match="share an optimizer"):
        make_learner(fake_recipe())


# Optimisers.


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_gradients_are_clipped_by_their_global_norm(clip_norm):
    # Plain gradient descent: the weights move by the clipped gradient times the rate, so its norm can be read off.
    optimizers = {key: {"name": "sgd", "beta_1": 0.0, "learning_rate": 1.0, "clip_norm": clip_norm} for key in ("generator", "critic")}
    learner = make_learner(fake_recipe(optimizers=optimizers, adversarial={"critic_repeats": 1}))
    before = weights(learner)
    values = run_steps(learner, 1)[0]
    after = weights(learner)
    for network in ("generator", "critic"):
        moves = [after[n] - before[n] for n in before if f"/{network}/" in n and "seed_generator" not in n]
        moved = math.sqrt(sum(float(np.square(m).sum()) for m in moves))
        norm = values[f"{network}/gradient_norm"]
        assert norm > 0.05
        assert moved == pytest.approx(clip_norm or norm, rel=1e-3)


def test_schedules_against_numpy():
    steps = np.arange(0, 41)
    base = Optimizer(learning_rate=0.5)
    rates = lambda **changes: np.array([learning_rate(dataclasses.replace(base, **changes), int(s), 40) for s in steps])
    assert np.all(rates() == 0.5)
    np.testing.assert_allclose(rates(schedule="linear"), 0.5 * (1 - steps / 40), atol=1e-12)
    np.testing.assert_allclose(
        rates(schedule="cosine", final_fraction=0.1), 0.5 * (0.1 + 0.9 * (1 + np.cos(np.pi * steps / 40)) / 2), atol=1e-12
    )
    np.testing.assert_allclose(rates(schedule="linear", decay_steps=10, final_fraction=0.2)[10:], 0.1, atol=1e-12)
    np.testing.assert_allclose(rates(schedule="exponential", decay_rate=0.5, decay_every=10), 0.5 * 0.5 ** (steps / 10), atol=1e-12)
    warm = rates(schedule="exponential", decay_rate=0.5, decay_every=10, warmup_steps=5)
    np.testing.assert_allclose(warm[:5], 0.5 * (np.arange(5) + 1) / 5)
    np.testing.assert_allclose(warm[5:], 0.5 * 0.5 ** ((steps[5:] - 5) / 10), atol=1e-12)
    with pytest.raises(RecipeError, match="linear"):
        learning_rate(dataclasses.replace(base, schedule="linear"), 3, None)


def test_the_schedule_counts_training_steps_and_reaches_the_optimizer():
    learner = make_learner(fake_recipe(optimizers={"critic": {"schedule": "linear"}, "generator": {}}, training={"steps": 10}))
    run_steps(learner, 3)
    assert float(learner.optimizers["critic"].learning_rate.numpy()) == pytest.approx(0.01 * (1 - 2 / 10))
    assert float(learner.optimizers["generator"].learning_rate.numpy()) == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_follows_its_definition(name):
    settings = Optimizer(name=name, learning_rate=0.1, beta_1=0.6, beta_2=0.7, epsilon=1e-6, weight_decay=0.03, rho=0.8)
    optimizer = make_optimizer(settings, name)
    variable, w = tf.Variable([1.0, -2.0]), np.array([1.0, -2.0])
    m, v = np.zeros(2), np.zeros(2)
    optimizer.build([variable])
    for t, g in enumerate(np.array([[0.5, -1.0], [0.25, 2.0], [-1.0, 0.5]]), start=1):
        optimizer.apply([tf.constant(g, tf.float32)], [variable])
        if name in ("adam", "adamw"):
            if name == "adamw":
                w = w - 0.1 * 0.03 * w
            m, v = 0.6 * m + 0.4 * g, 0.7 * v + 0.3 * g * g
            # Keras, as TensorFlow, adds epsilon to the root before the bias correction of v.
            w = w - 0.1 * np.sqrt(1 - 0.7**t) / (1 - 0.6**t) * m / (np.sqrt(v) + 1e-6)
        elif name == "rmsprop":
            v = 0.8 * v + 0.2 * g * g
            w = w - 0.1 * g / np.sqrt(v + 1e-6)
        else:
            m = 0.6 * m - 0.1 * g
            w = w + m
    np.testing.assert_allclose(variable.numpy(), w, rtol=1e-5)


def test_rmsprop_begins_as_tensorflow_1():
    """Against TensorFlow's own kernel, whose mean of squares starts at 1; Keras' start makes the first step independent of the gradient."""
    settings = Optimizer(name="rmsprop", learning_rate=0.1, rho=0.9, epsilon=1e-10, initial_square=1.0)
    optimizer, variable = make_optimizer(settings, "critic"), tf.Variable([1.0, -2.0])
    optimizer.build([variable])
    weight, square, momentum = tf.Variable([1.0, -2.0]), tf.Variable([1.0, 1.0]), tf.Variable([0.0, 0.0])
    for _ in range(2):
        for g in np.array([[0.5, -1e-3], [0.25, 2e-3], [-1.0, 0.5]], np.float32):
            optimizer.apply([tf.constant(g)], [variable])
            tf.raw_ops.ResourceApplyRMSProp(
                var=weight.handle, ms=square.handle, mom=momentum.handle, lr=0.1, rho=0.9, momentum=0.0, epsilon=1e-10, grad=g
            )
        np.testing.assert_allclose(variable.numpy(), weight.numpy(), rtol=1e-6)
        assert abs(float(variable[1]) + 2.0) > 1e-4
        begin_anew(optimizer)  # as at a stage of growth: once more the same
        assert int(optimizer.iterations.numpy()) == 0
        optimizer.learning_rate.assign(0.1)
        square.assign([1.0, 1.0])
        momentum.assign([0.0, 0.0])


# Averages and precision.


@pytest.mark.parametrize("warmup", [True, False])
def test_the_average_is_the_textbooks(warmup):
    learner = make_learner(fake_recipe(training={"ema": 0.8, "ema_warmup": warmup, "steps": 20}))
    expected = [v.numpy() for v in learner.family.networks["generator"].weights]
    for step in range(6):
        run_steps(learner, 1, first=step)
        decay = min(0.8, (1 + step) / (10 + step)) if warmup else 0.8
        now = [v.numpy() for v in learner.family.networks["generator"].weights]
        expected = [decay * e + (1 - decay) * n for e, n in zip(expected, now, strict=True)]
    for average, e in zip(learner.averaged["generator"].weights, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), e, atol=1e-6)
    assert learner.averaged["generator"] is not learner.family.networks["generator"]


@pytest.mark.slow
def test_statistics_of_batch_norm_are_copied_into_the_average():
    """They are moving averages already: averaged once more they would lag behind the weights that they belong to."""
    family = make_family("wavegan", batch_norm=True)
    recipe = dataclasses.replace(family.recipe, training=dataclasses.replace(family.recipe.training, ema=0.9, ema_warmup=False))
    learner = Learner(recipe, lambda: family_class("wavegan")(recipe, family.info), Devices(), 3)
    learner.step(0, [make_batch(family)] * learner.batches_of(0))
    trained, average = learner.family.networks["generator"], learner.averaged["generator"]
    learnt = {id(variable) for variable in trained.trainable_weights}
    pairs = list(zip(trained.weights, average.weights, strict=True))
    statistics = [(a.numpy(), b.numpy()) for a, b in pairs if "moving" in a.name]
    assert statistics
    assert all(np.array_equal(a, b) for a, b in statistics)
    assert any((a != 0).any() and (a != 1).any() for a, _ in statistics)  # the step has moved them
    assert all(not np.array_equal(a.numpy(), b.numpy()) for a, b in pairs if id(a) in learnt and np.ptp(a.numpy()) > 0)


def test_without_an_average_the_trained_network_is_shown():
    learner = make_learner(fake_recipe(training={"ema": 0.0}))
    assert learner.averaged["generator"] is learner.family.networks["generator"]


def test_mixed_float16_scales_the_loss_and_takes_overflow_back():
    overflow = tf.Variable(False)

    def spoil(family, loss, batch):
        return loss * tf.where(overflow, float("inf"), 1.0)

    learner = make_learner(fake_recipe(training={"precision": "mixed_float16"}), spoil=spoil)
    assert learner.family.networks["generator"].layers[0].compute_dtype == "float16"
    assert learner.averaged["generator"].layers[0].compute_dtype == "float32"
    run_steps(learner, 2)
    before, scale = weights(learner), float(learner.loss_scales["generator"].numpy())
    slots = weights(learner, "optimizer/generator")
    overflow.assign(True)
    run_steps(learner, 1, first=2)
    after = weights(learner)
    assert not changed(before, after, "generator")
    assert changed(before, after, "critic")
    assert all(np.array_equal(v, weights(learner, "optimizer/generator")[n]) for n, v in slots.items())
    assert float(learner.loss_scales["generator"].numpy()) == scale / 2
    overflow.assign(False)
    run_steps(learner, 1, first=3)
    assert changed(after, weights(learner), "generator")


def test_mixed_float16_learns_what_float32_learns():
    # Plain gradient descent: Adam would make a step of full size out of a rounded zero.
    plain, mixed = (
        make_learner(fake_recipe(optimizers=PLAIN, training={"precision": p}), dropout=0.0) for p in ("float32", "mixed_float16")
    )
    start = weights(plain)
    for learner in (plain, mixed):
        run_steps(learner, 2)
    a, b = weights(plain), weights(mixed)
    assert max(np.abs(a[n] - start[n]).max() for n in a) > 0.05
    assert max(np.abs(a[n] - b[n]).max() for n in a) < 0.005


@pytest.mark.slow
def test_jit_computes_the_same():
    # XLA draws other random numbers from the same seed, so only what depends on none can be compared: D(real) at first.
    first = [
        run_steps(make_learner(fake_recipe(adversarial={"critic_repeats": 1}, training={"jit": jit}), dropout=0.0), 2)
        for jit in (True, False)
    ]
    assert first[0][0]["critic/real"] == pytest.approx(first[1][0]["critic/real"], rel=1e-5)
    assert all(np.isfinite(list(values.values())).all() for values in first[0])


# Replicas.


def test_draws_of_replicas_are_parts_of_one_draw():
    seed = tf.constant([1, 2])
    whole = Draws(seed, tf.constant(0)).normal("x", (8, 3)).numpy()
    halves = [Draws(seed, tf.constant(r), 2).normal("x", (4, 3)).numpy() for r in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    # Two machines of two devices: machine w has the clips w, w + 2, ...; its devices take them one after the other.
    parts = [Draws(seed, tf.constant(r), 4, 2).normal("x", (2, 3)).numpy() for r in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts[:2]), whole[0::2])
    np.testing.assert_array_equal(np.concatenate(parts[2:]), whole[1::2])


REPLICAS = """
import sys
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training_fakes import fake_recipe, make_learner, run_steps, weights
from gansynth_cli.training.strategy import Devices, find_devices
from gansynth_cli.errors import RecipeError
two = find_devices()
assert two.replicas == 2, two.replicas
recipe = fake_recipe(
    optimizers={"generator": {"clip_norm": 0.1, "name": "adam"}, "critic": {"name": "sgd"}},
    adversarial={"loss": "wgan", "critic_repeats": 2, "weight_clip": 0.1, "r1": 0.1, "r1_every": 2},
)
learners = [make_learner(recipe, devices, dropout=0.0) for devices in (Devices(), two)]
values = [run_steps(learner, 4) for learner in learners]
a, b = (weights(learner, "") for learner in learners)
assert list(a) == list(b)
worst = max(float(np.abs(a[n] - b[n]).max()) for n in a)
assert worst < 1e-6, worst
for x, y in zip(*values):
    assert max(abs(x[n] - y[n]) for n in x) < 1e-5, (x, y)
if sys.argv[1:]:  # dropout, loss scaling and XLA run on two replicas as well
    mixed = make_learner(fake_recipe(training={"precision": "mixed_float16", "jit": True}), two)
    assert all(np.isfinite(list(v.values())).all() for v in run_steps(mixed, 2))
try:
    two.per_replica(7)
except RecipeError as error:
    assert "batch_size" in error.message
else:
    raise AssertionError("seven clips were shared by two devices")
"""


@pytest.mark.parametrize("more", [(), pytest.param(("more",), marks=pytest.mark.slow)])
def test_one_replica_equals_two(more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    found = subprocess.run([sys.executable, "-c", REPLICAS, *more], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert found.returncode == 0, found.stderr[-3000:]


# The loop.


def test_a_run_leaves_what_it_promises(tmp_path):
    events: list = []
    recipe = fake_recipe(training={"best_metric": "preview/frechet_logmel", "keep_checkpoints": 1})
    report, _ = train_fake(tmp_path / "run", recipe, events=events)
    run = RunFolder.load(tmp_path / "run")
    assert (report.step, report.ended_by, report.interrupted) == (6, "steps", False)
    assert run.recipe == recipe
    assert sorted(p.name for p in run.checkpoints_dir.iterdir()) == ["best.npz", "step-00000006.npz"]
    assert {p.name for p in run.model_dir.iterdir()} == {"generator.keras", "generator-best.keras"}
    wavs = sorted(run.samples_dir(3).iterdir())
    assert len(wavs) == 4
    mark = read_tag(wavs[1])
    assert mark["synthetic"] is True
    assert (mark["step"], mark["preview"], mark["recipe"]) == (3, 1, "fake/tiny")
    assert list(run.events_dir.iterdir())
    lines = run.read_metrics()
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 6]
    assert {"critic/real", "generator/adversarial", "critic/gradient_norm", "learning_rate/critic"} <= set(lines[0])
    assert {"steps_per_second", "input_wait"} <= set(lines[2])
    assert 0 <= lines[2]["input_wait"] <= 1
    manifest = run.manifest
    assert (manifest["state"], manifest["step"], manifest["seed"]) == ("finished", 6, 3)
    assert manifest["parameters"]["critic"] > 0
    assert manifest["data"]["fingerprint"] == "f" * 64
    assert str(Path.home()) not in run.manifest_file.read_text()
    assert "gan-audio generate run" in run.card_file.read_text()
    kinds = [event.kind for event in events]
    assert kinds[0] == "start"
    assert {"progress", "preview", "checkpoint"} <= set(kinds)
    assert report.best is not None
    assert read_checkpoint(run.checkpoints_dir / "best.npz")[1]["step"] == report.best[0]


def test_the_shipped_model_holds_the_averaged_weights(tmp_path):
    import keras

    _, trainer = train_fake(tmp_path / "run", fake_recipe())
    model = keras.saving.load_model(trainer.run.model_file("generator"), compile=False)
    shipped = [w.numpy() for w in model.network.weights]
    averaged = [w.numpy() for w in trainer.learner.averaged["generator"].weights]
    trained = [w.numpy() for w in trainer.learner.family.networks["generator"].weights]
    assert all(np.array_equal(a, b) for a, b in zip(shipped, averaged, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(shipped, trained, strict=True))
    assert model.provenance["step"] == 6


def test_budgets_the_first_reached_ends(tmp_path):
    learner = make_learner(fake_recipe())
    # 40 clips an epoch, 8 a batch, 2 critic repeats a step: 2.5 steps read the data once.
    assert budget_in_steps(fake_recipe(training={"steps": 0, "epochs": 1.0}), learner, 40) == 3
    assert budget_in_steps(fake_recipe(training={"steps": 0, "epochs": 0.2}), learner, 40) == 1
    assert budget_in_steps(fake_recipe(training={"steps": 100, "epochs": 10.0}), learner, 40) == 25
    assert budget_in_steps(fake_recipe(training={"steps": 10, "epochs": 10.0}), learner, 40) == 10
    assert budget_in_steps(fake_recipe(training={"steps": 0}), learner, 40) is None
    report, _ = train_fake(tmp_path / "epochs", fake_recipe(training={"steps": 0, "epochs": 1.0, "preview_every": 0}))
    assert (report.step, report.ended_by) == (3, "epochs")


def test_minutes_count_over_resumes(tmp_path):
    recipe = fake_recipe(training={"steps": 0, "minutes": 0.05, "preview_every": 0, "log_every": 1000, "checkpoint_every": 100_000})
    report, _ = train_fake(tmp_path / "run", recipe)
    assert report.ended_by == "minutes"
    assert report.seconds >= 3
    again, _ = train_fake(tmp_path / "run", recipe)
    assert (again.step, again.ended_by) == (report.step, "minutes")
    assert again.seconds >= 3


def test_nan_stops_training_and_is_never_saved(tmp_path):
    calls = tf.Variable(0)

    def spoil(family, loss, batch):
        return tf.where(calls.assign_add(1) >= 6, float("nan"), 1.0) * loss

    recipe = fake_recipe(training={"steps": 20, "log_every": 50, "checkpoint_every": 2, "preview_every": 0})
    with pytest.raises(TrainingStopped, match=r"adversarial of phase generator is nan at step 5\. .*step 4") as stopped:
        train_fake(tmp_path / "run", recipe, spoil=spoil)
    assert "learning rate" in stopped.value.hint
    run = RunFolder.load(tmp_path / "run")
    assert run.manifest["state"] == "stopped"
    assert sorted(p.name for p in run.checkpoints_dir.iterdir()) == ["step-00000002.npz", "step-00000004.npz"]
    arrays, _ = read_checkpoint(run.checkpoints_dir / "step-00000004.npz")
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_infinite_weights_are_never_saved(tmp_path):
    trainer = make_trainer(tmp_path / "run", fake_recipe(training={"preview_every": 0}))
    trainer.learner.family.networks["generator"].weights[0].assign(np.full((6, 8), np.inf))
    with pytest.raises(TrainingStopped, match=r"generator/.*not finite"):
        trainer._save()
    assert not trainer.checkpoints.steps()
    trainer.run.close()


def test_a_collapsed_generator_stops_training(tmp_path):
    events: list = []
    recipe = fake_recipe(training={"steps": 50, "preview_every": 1, "stop_on_collapse": 2})
    with pytest.raises(TrainingStopped, match="nearly silent"):
        train_fake(tmp_path / "a", recipe, events=events, silent=True)
    assert sum(event.kind == "preview" for event in events) == 2
    report, _ = train_fake(tmp_path / "b", fake_recipe(training={"steps": 3, "preview_every": 1, "stop_on_collapse": 0}), silent=True)
    assert report.step == 3


def test_what_counts_as_collapse():
    recipe, source = fake_recipe(), FakeSource()
    real = [audio for audio, _ in source.clips("validation")]
    metrics = PreviewMetrics(recipe, real)
    assert metrics.clips == len(real)
    good = np.stack(real[:16])
    assert collapse_reason(metrics.measure(good)) is None
    assert "silent" in collapse_reason(metrics.measure(good * 1e-4))
    one = np.repeat(good[:1], 16, axis=0)
    assert "alike" in collapse_reason(metrics.measure(one + np.random.default_rng(0).normal(0, 1e-5, one.shape).astype(np.float32)))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, good.shape).astype(np.float32)
    assert metrics.measure(noise)["preview/frechet_logmel"] > 10 * metrics.measure(np.stack(real))["preview/frechet_logmel"]


def test_the_difference_is_the_root_mean_square_over_pairs():
    metrics = PreviewMetrics(fake_recipe())
    clips = np.random.default_rng(1).uniform(-1, 1, (5, 256, 1)).astype(np.float32)
    s = metrics.log_mel.compute(clips[:, :, 0]).astype(np.float64)
    pairs = [np.mean((s[i] - s[j]) ** 2) for i in range(5) for j in range(5) if i != j]
    assert metrics.measure(clips)["preview/difference"] == pytest.approx(math.sqrt(np.mean(pairs)), rel=1e-4)


def test_spectrogram_image_shows_pitch_from_the_bottom():
    t = np.arange(4096) / 8000
    low, high = 0.5 * np.sin(2 * np.pi * 300 * t), 0.5 * np.sin(2 * np.pi * 3000 * t)
    picture = spectrogram_image(np.stack([low, high])[:, :, None].astype(np.float32), 8000, columns=2)[:, :, 0]
    half = picture.shape[1] // 2
    brightest = lambda tile: int(tile[:-2, :-2].mean(axis=1).argmax())
    assert picture.dtype == np.uint8
    assert brightest(picture[:, :half]) > 0.6 * picture.shape[0]
    assert brightest(picture[:, half:]) < 0.3 * picture.shape[0]


def test_a_finished_run_is_left_as_it_is(tmp_path):
    _, trainer = train_fake(tmp_path / "run", fake_recipe(training={"steps": 2}))
    metrics = trainer.run.metrics_file.read_text()
    model = trainer.run.model_file("generator").read_bytes()
    report, _ = train_fake(tmp_path / "run", fake_recipe(training={"steps": 2}))
    assert (report.step, report.ended_by) == (2, "steps")
    assert trainer.run.metrics_file.read_text() == metrics
    assert trainer.run.model_file("generator").read_bytes() == model


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), r"out of memory at step 0"),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), r"cannot be written: no space left"),
        (tf.errors.DataLossError(None, None, "torn"), "the shard is torn"),
    ],
)
def test_failures_of_the_device_the_disk_and_the_data_are_explained(tmp_path, error, said):
    source = FakeSource()
    source.diagnose = lambda e: GanAudioError("the shard is torn") if isinstance(e, tf.errors.DataLossError) else None
    trainer = make_trainer(tmp_path / "run", fake_recipe(), source=source)

    def fail(*_):
        raise error

    trainer.learner.step = fail
    with pytest.raises(GanAudioError, match=said):
        trainer.train()
    assert trainer.run.manifest["state"] == "stopped"
    trainer.run.close()


def test_an_unknown_best_metric_is_named(tmp_path):
    with pytest.raises(RunError, match=r"best_metric is 'preview/nothing'.*preview/frechet_logmel"):
        train_fake(tmp_path / "run", fake_recipe(training={"best_metric": "preview/nothing"}))


def test_without_the_module_resource_the_memory_is_not_known():
    """As on Windows."""
    code = "import sys; sys.modules['resource'] = None; from gansynth_cli.training.strategy import Devices; print(Devices().peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize("name", ["create_file_writer", "close"])
def test_a_full_disk_is_named_when_the_events_begin_and_end(tmp_path, monkeypatch, name):
    full = tf.errors.ResourceExhaustedError(None, None, "events.out.v2; No space left on device")

    def fail(*_):
        raise full

    monkeypatch.setattr(*((tf.summary, name) if name == "create_file_writer" else (Summaries, name)), fail)
    with pytest.raises(RunError, match=r"run cannot be written: no space left on the disk"):
        train_fake(tmp_path / "run", fake_recipe(training={"steps": 1}))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])])
def test_a_signal_ends_training_after_the_step_and_saves(tmp_path, number):
    recipe = fake_recipe(training={"steps": 100_000, "checkpoint_every": 100_000, "preview_every": 100_000})
    trainer = make_trainer(tmp_path / "run", recipe)
    step = trainer.learner.step

    def interrupting(number_of_step, batches):
        if number_of_step == 4:
            os.kill(os.getpid(), number)
        return step(number_of_step, batches)

    trainer.learner.step = interrupting
    before = signal.getsignal(number)
    report = trainer.train()
    trainer.run.close()
    assert report.interrupted
    assert report.step == 5
    assert trainer.checkpoints.steps() == [5]
    assert not list(trainer.run.path.glob("samples/*")), "a preview would delay the end"
    assert RunFolder.load(tmp_path / "run").manifest["state"] == "interrupted"
    assert signal.getsignal(number) is before


def test_metrics_hold_no_nan_and_events_stay_readable(tmp_path):
    _, trainer = train_fake(tmp_path / "run", fake_recipe())
    for line in trainer.run.metrics_file.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trainer.run.events_dir), size_guidance={"tensors": 0})
    events.Reload()
    assert {"critic/real", "preview/frechet_logmel", "preview", "preview/spectrograms"} <= set(events.Tags()["tensors"])
