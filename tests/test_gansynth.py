"""GANSynth: the paper's sizes, growing in one run, conditions, and the strided networks."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tomli_w

from gansynth_cli.cli.app import main
from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.base import Draws
from gansynth_cli.families.gansynth.family import GANSynth
from gansynth_cli.layers import EqualizedConv2D, EqualizedDense, EqualizedStart
from gansynth_cli.layers.growth import GrowingCritic, blend, double, halve, progress_at, stages_of_growth, widths_of
from gansynth_cli.recipe import diff_recipes, load_recipe, recipe_from_toml, recipe_to_tree
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .note_fixtures import prepare_notes

ROOT = Path(__file__).parent.parent
ATTRIBUTES = {"pitch": ["55", "58", "60", "64", "67"], "instrument": ["bell", "organ"], "velocity": ["50", "100"]}
STRIDED = ["model.network='strided'", "model.growth='none'", "adversarial.loss='nonsaturating'", "adversarial.drift=0.0"]
PROJECTED = [*STRIDED, "model.conditioning='projection'", "model.conditions=['pitch', 'instrument']", "model.condition_dim=4"]
SMALL = [*PROJECTED, "model.harmonic_map=true", "model.modulation=6", "adversarial.r1=0.5", "adversarial.r1_every=2"]


def facts(counts=None, pitches=None) -> DatasetInfo:
    attributes = {**ATTRIBUTES, "pitch": pitches or ATTRIBUTES["pitch"]}
    split = SplitInfo(10, 10.0, attribute_counts=counts or {})
    return DatasetInfo("tiny", 8000, 1, 2048, [], {"train": split}, attributes=attributes)


def make(overrides=(), **arguments) -> GANSynth:
    return GANSynth(load_recipe("gansynth/tiny", list(overrides)), facts(**arguments))


def make_batch(seed: int = 0, clips: int = 4) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    t = np.arange(2048) / 8000
    pitch = rng.integers(0, 5, clips)
    f0 = 440.0 * 2 ** ((np.array([int(p) for p in ATTRIBUTES["pitch"]])[pitch] - 69) / 12)
    audio = (0.3 * np.sin(2 * np.pi * f0[:, None] * t) * np.exp(-4 * t))[..., None].astype(np.float32)
    classes = {"pitch": pitch, "instrument": np.arange(clips) % 2, "velocity": np.arange(clips) // 2 % 2}
    return {"audio": tf.constant(audio), **{name: tf.constant(v, tf.int32) for name, v in classes.items()}}


def draws_at(step: int = 0) -> Draws:
    return Draws(tf.constant([step, 17]), tf.constant(0), 1, step=step)


def asked(family: GANSynth, clips: int = 2) -> dict[str, tf.Tensor]:
    latent = np.random.default_rng(3).standard_normal((clips, family.model.latent_dim)).astype(np.float32)
    return {"latent": tf.constant(latent), **{name: tf.constant(np.arange(clips) % 2, tf.int32) for name in family.classes}}


# The paper's sizes.


@pytest.mark.parametrize(
    ("low", "start"), [([], (2, 16)), ([f"model.{k}" for k in ("fft=1024", "hop=256", "frames=256", "mel_bands=512")], (4, 8))]
)
def test_the_papers_networks(low, start):
    """7.31 M and 6.83 M weights with 61 pitches, hand-counted; the low-resolution picture has a start of as many pixels."""
    family = GANSynth(load_recipe("gansynth/base", low), facts(pitches=[str(p) for p in range(24, 85)]))
    count = lambda network: sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    widths = widths_of(7, 32, 256)
    assert widths == [256, 256, 256, 256, 128, 64, 32]
    assert family.networks["generator"].start == start
    conv = lambda size, a, b: size * a * b + b
    generator = conv(32, 256 + 61, 256) + conv(9, 256, 256) + sum(conv(1, w, 2) for w in widths)
    generator += sum(conv(9, a, b) + conv(9, b, b) for a, b in itertools.pairwise(widths))
    critic = sum(conv(1, 2, w) for w in widths) + conv(9, 257, 256) + conv(32, 256, 256) + conv(1, 256, 1) + conv(1, 256, 61)
    critic += sum(conv(9, b, b) + conv(9, b, a) for a, b in itertools.pairwise(widths))
    assert count(family.networks["generator"]) == generator
    assert count(family.networks["critic"]) == critic
    assert (round(generator / 1e6, 2), round(critic / 1e6, 2)) == (7.31, 6.83)
    assert family.shape == ((256, 512, 2) if low else (128, 1024, 2))
    assert len(family.stages) == 13
    assert family.stages[1].start == 100_000
    assert family.stages[-1].start == 1_200_000


def test_equalized_layers_are_their_plain_ones_scaled():
    x = tf.constant(np.random.default_rng(0).standard_normal((2, 5, 6, 3)), tf.float32)
    layer = EqualizedConv2D(4, 3, seed=1)
    found = layer(x)
    expected = tf.nn.conv2d(x, layer.kernel * (2 / 27) ** 0.5, 1, "SAME")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 0.8 < np.std(layer.kernel) < 1.2
    dense = EqualizedDense(4, seed=1)
    np.testing.assert_allclose(dense(x[:, 0, 0]), tf.matmul(x[:, 0, 0], dense.kernel) * (2 / 3) ** 0.5, atol=1e-6)


def test_start_is_the_padded_valid_convolution():
    x = tf.constant(np.random.default_rng(0).standard_normal((3, 7)), tf.float32)
    layer = EqualizedStart(5, (2, 4), seed=1)
    found = layer(x)
    padded = tf.pad(x[:, None, None], [[0, 0], [1, 1], [3, 3], [0, 0]])
    turned = tf.reverse(tf.convert_to_tensor(layer.kernel), [0, 1]) * (2 / (2 * 4 * 7)) ** 0.5
    np.testing.assert_allclose(found, tf.nn.conv2d(padded, turned, 1, "VALID"), atol=1e-6)


# Growing.


def test_stages_and_progress():
    stages = stages_of_growth(3, 2, 4)
    assert [(s.level, s.fading, s.start, s.stop) for s in stages] == [
        (0, False, 0, 2),
        (1, True, 2, 6),
        (1, False, 6, 8),
        (2, True, 8, 12),
        (2, False, 12, None),
    ]
    assert [progress_at(stages, s) for s in (0, 1, 2, 3, 5, 6, 8, 10, 12, 99)] == [0, 0, 0, 0.25, 0.75, 1, 1, 1.5, 2, 2]
    assert stages[0].alpha(1) is None
    assert [float(stages[1].alpha(tf.constant(s, tf.int64))) for s in (2, 3, 5)] == [0, 0.25, 0.75]


@pytest.mark.parametrize("level", [1, 2])
def test_fades_are_continuous_at_both_ends(level):
    family = make()
    generator, critic = family.networks["generator"], family.networks["critic"]
    inputs = asked(family)
    same = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)
    coarse, fine = generator.at(inputs, level - 1, None), generator.at(inputs, level, None)
    assert np.abs(fine - double(coarse)).max() > 0.01
    same(generator.at(inputs, level, tf.constant(0.0)), double(coarse))
    same(generator.at(inputs, level, tf.constant(1.0)), fine)
    pictures = halve(family.picture(make_batch(clips=4)["audio"]), 2 - level)
    for name in ("logit", "pitch"):
        old, new = critic.at(halve(pictures), level - 1, None)[name], critic.at(pictures, level, None)[name]
        assert np.abs(old - new).max() > 1e-3
        same(critic.at(pictures, level, tf.constant(0.0))[name], old)
        same(critic.at(pictures, level, tf.constant(1.0))[name], new)
    same(blend(pictures, tf.constant(0.0)), double(halve(pictures)))
    same(blend(pictures, tf.constant(1.0)), pictures)


@pytest.mark.parametrize("step", [0, 4, 7, 9, 12])
def test_what_is_shown_is_what_is_trained_at_full_size(step):
    family = make()
    generator = family.networks["generator"]
    stage = next(s for s in family.stages if s.stop is None or step < s.stop)
    family.begin_step(step)
    trained = generator.at(asked(family), stage.level, stage.alpha(step))
    np.testing.assert_allclose(generator(asked(family)), double(trained, 2 - stage.level), atol=2e-6)
    assert family.preview(family.networks, 3).shape == (3, 2048, 1)


def test_a_step_reaches_the_parts_of_its_stage_and_no_others():
    family = make(["model.conditions=['pitch', 'instrument', 'velocity']"])
    networks = family.networks
    for stage in family.stages:
        step = stage.start + 1
        for phase in family.phases():
            if phase.stage != stage.index:
                continue
            network = networks[phase.networks[0]]
            with tf.GradientTape() as tape:
                losses = phase.losses(make_batch(), draws_at(step))
                total = tf.add_n(list(losses.values()))
            gradients = tape.gradient(total, network.trainable_variables)
            reached = {v.path for v, g in zip(network.trainable_variables, gradients, strict=True) if g is not None}
            assert reached == {v.path for v in phase.variables()}, (stage, phase.name)
            assert np.isfinite([float(tf.reduce_sum(tf.abs(g))) for g in gradients if g is not None]).all()
            if phase.name == "critic":
                classes = {f"class_{name}" for name in family.classes}
                assert set(losses) == {"adversarial", "gradient_penalty", "drift"} | classes


@pytest.mark.parametrize("space", ["normalized", "unnormalized"])
def test_slopes_are_those_of_the_full_picture(space):
    """The penalty at a coarse level equals that of a critic which is given the full picture, before normalisation as in the authors' code,
    and normalises and halves it itself."""
    from gansynth_cli.losses.adversarial import gradient_penalty

    family = make(["adversarial.gradient_penalty=1.0", f"losses.penalty_space={space}"])
    objective, batch, draws = family.objectives()[0], make_batch(), draws_at()
    losses = objective.critic_losses(batch, draws)
    real = objective.real_examples(batch, draws)
    fake = objective.generate(objective.requested(batch, draws), draws)
    m = family.model
    scale, shift = ([m.magnitude_scale, m.phase_scale], [m.magnitude_shift, 0.0]) if space == "unnormalized" else ([1.0], [0.0])
    judge = lambda x: family.networks["critic"].at(halve(x * scale + shift, 2), 0, None)["logit"][:, 0]
    before = lambda x: double((x - shift) / scale, 2)
    expected = gradient_penalty(judge, before(real), before(fake), draws.uniform("alpha", (4,)))
    np.testing.assert_allclose(losses["gradient_penalty"], expected, rtol=1e-4)


def test_the_authors_scale_of_the_last_layers():
    """Root of 1 / inputs in the layers that give spectrograms and logits, root of 2 / inputs in all others; files of before keep theirs."""
    for gain, expected in (("unit", 1.0), ("he", 2.0)):
        family = make([f"model.output_gain={gain}", "model.stddev_epsilon=1e-4"])
        generator, critic = family.networks["generator"], family.networks["critic"]
        assert [p.scale**2 * w for p, w in zip(generator.pictures, generator.widths, strict=True)] == pytest.approx([expected] * 3)
        assert critic.logit.scale**2 * 8 == pytest.approx(expected)
        assert critic.heads[0].scale ** 2 * 8 == pytest.approx(expected)
        assert critic.last_b.scale**2 * 8 * 8 * 16 == pytest.approx(2.0)
        for network in (generator, critic):
            config = network.get_config()
            assert type(network).from_config(config).output_gain == gain
            old = {k: v for k, v in config.items() if k not in ("output_gain", "stddev_epsilon")}
            assert type(network).from_config(old).output_gain == "he"
        assert critic.spread.epsilon == 1e-4
        assert GrowingCritic.from_config({k: v for k, v in critic.get_config().items() if k != "stddev_epsilon"}).spread.epsilon == 1e-8


def test_the_recipe_of_the_paper_has_the_authors_values():
    recipe = load_recipe("gansynth/base")
    model = recipe.model
    assert (model.mel_bank, model.output_gain, model.stddev_epsilon) == ("authors", "unit", 1e-6)
    assert recipe.losses.penalty_space == "unnormalized"


def test_an_older_run_is_resumed_as_it_began(tmp_path):
    """Keys that its recipe does not state keep the values of before, unless they are asked for."""
    before = recipe_to_tree(load_recipe("gansynth/tiny", ["training.ema=0.5"]))
    for name in ("mel_bank", "output_gain", "stddev_epsilon"):
        del before["model"][name]
    del before["losses"]["penalty_space"]
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(before))
    old = recipe_from_toml(file)
    assert (old.model.mel_bank, old.model.output_gain, old.model.stddev_epsilon) == ("even", "he", 1e-8)
    assert old.losses.penalty_space == "normalized"
    assert set(diff_recipes(old, load_recipe("gansynth/tiny", [], file))) == {"training.ema"}
    assert load_recipe("gansynth/tiny", ["model.mel_bank='authors'"], file).model.mel_bank == "authors"


def learner_of(overrides=()) -> Learner:
    recipe = load_recipe("gansynth/tiny", list(overrides))
    keras.utils.clear_session()
    return Learner(recipe, lambda: GANSynth(recipe, facts()), Devices(), recipe.training.steps)


@pytest.mark.slow
def test_optimisers_begin_anew_with_each_stage_and_averages_go_on():
    learner = learner_of(["model.levels=2", "adversarial.loss=hinge"])
    counts = []
    for step in range(7):
        learner.step(step, [make_batch(step)])
        counts.append(int(learner.optimizers["generator"].iterations.numpy()))
    assert counts == [1, 2, 1, 2, 3, 4, 1]  # stages begin at 0, 2 and 6
    first, average = (learner.family.networks["generator"], learner.averaged["generator"])
    assert float(first.progress.numpy()) == float(average.progress.numpy()) == 1.0
    difference = np.abs(first.first.kernel.numpy() - average.first.kernel.numpy()).max()
    assert 0 < difference < 0.1


def test_classes_of_generated_notes_are_as_frequent_as_in_the_data():
    counts = {"pitch": {"55": 6, "58": 0, "60": 3, "64": 1, "67": 0}}
    family = make(counts=counts)
    drawn = family.objectives()[0].requested({"audio": tf.zeros([4000, 1, 1])}, draws_at())["pitch"].numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 4000, [0.6, 0, 0.3, 0.1, 0], atol=0.03)
    np.testing.assert_allclose(make().shares["pitch"], np.full(5, 0.2))


# In one run.


@pytest.fixture(scope="module")
def note_data(tmp_path_factory) -> Path:
    return prepare_notes(tmp_path_factory.mktemp("gansynth"))


def train(data: Path, run: Path, *more: str) -> int:
    return main(["train", "--recipe", "gansynth/tiny", "--data", str(data), "--run", str(run), "--quiet", *more])


def arrays_of(run: Path, step: int) -> dict[str, np.ndarray]:
    return read_checkpoint(Checkpoints(run / "checkpoints").path(step))[0]


def assert_same(a, b) -> None:
    assert list(a) == list(b)
    assert not [name for name in a if not np.array_equal(a[name], b[name])]


@pytest.mark.slow
def test_one_run_grows_and_can_be_resumed_anywhere(tmp_path, note_data):
    """Stopped within a fade (step 4) and right at a stage's beginning (6): the weights are those of a run that was not."""
    # Two resolutions, three stages: from steps 0, 2 and 6. Without the gradient penalty, whose graphs take the longest to build.
    short = ["--set", "model.levels=2", "--set", "adversarial.loss=hinge"]
    assert train(note_data, tmp_path / "whole", "--steps", "8", "--set", "training.preview_every=3", *short) == 0
    for steps in (4, 6, 8):
        assert train(note_data, tmp_path / "parts", "--steps", str(steps), "--set", "training.preview_every=0", *short) == 0
    assert_same(arrays_of(tmp_path / "whole", 8), arrays_of(tmp_path / "parts", 8))
    for step in (3, 6):
        clips = sorted(RunFolder.load(tmp_path / "whole").samples_dir(step).glob("*.wav"))
        assert len(clips) == 3
        assert all(soundfile.info(clip).frames == 2048 for clip in clips)
    model = keras.saving.load_model(tmp_path / "whole" / "model" / "generator.keras", compile=False)
    assert model.pitches == (55, 58, 60, 64, 67)
    assert float(model.network.progress.numpy()) == 1.0
    note = model({"latent": tf.zeros([1, 8]), "pitch": tf.constant([2])})
    assert note.shape == (1, 2048, 1)


@pytest.mark.slow
def test_killed_within_a_fade_and_resumed_equals_uninterrupted(tmp_path, note_data):
    settings = ["--steps", "60", "--set", "model.fade_images=96", "--set", "training.preview_every=0"]
    assert train(note_data, tmp_path / "whole", *settings) == 0
    code = "import sys; from gansynth_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    command = ["train", "--recipe", "gansynth/tiny", "--data", str(note_data), "--run", str(tmp_path / "killed"), "--quiet", *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, *command], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while process.poll() is None and time.monotonic() < deadline:
        if (Checkpoints(tmp_path / "killed" / "checkpoints").steps() or [0])[-1] >= 6:
            time.sleep(random.random() * 0.3)
            break
        time.sleep(0.002)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 < Checkpoints(tmp_path / "killed" / "checkpoints").steps()[-1] < 60
    assert train(note_data, tmp_path / "killed", *settings) == 0
    assert_same(arrays_of(tmp_path / "whole", 60), arrays_of(tmp_path / "killed", 60))


# The strided networks.


@pytest.mark.parametrize("overrides", [SMALL, [*SMALL, "losses.reconstruction=2.0"], STRIDED, PROJECTED])
def test_strided_phases_reach_every_weight(overrides):
    family = make(overrides)
    reached: dict[str, set] = {"generator": set(), "critic": set()}
    for phase in family.phases():
        network = family.networks[phase.networks[0]]
        with tf.GradientTape() as tape:
            losses = phase.losses(make_batch(), draws_at())
            total = tf.add_n(list(losses.values()))
        gradients = tape.gradient(total, network.trainable_variables)
        reached[phase.networks[0]] |= {v.path for v, g in zip(network.trainable_variables, gradients, strict=True) if g is not None}
        assert phase.stage is None
        if phase.name == "generator":
            assert ("reconstruction" in losses) == (overrides[-1] == "losses.reconstruction=2.0")
            assert ("class_pitch" in losses) == (overrides is STRIDED)
    for name, network in family.networks.items():
        assert reached[name] == {v.path for v in network.trainable_variables}
    assert family.preview(family.networks, 3).shape == (3, 2048, 1)


@pytest.mark.slow
def test_strided_learns_four_notes():
    """A tiny overfit: with the harmonics shown, and a pull to the notes, the pictures come near within a few steps."""
    settings = [*SMALL, "losses.reconstruction=10.0", "training.ema=0.0", "optimizers.generator.learning_rate=5e-3", "model.mel_bands=0"]
    settings += ["model.phase_floor=0.1", "model.log_offset=1e-2"]
    learner = learner_of(settings)
    batch, values = make_batch(), []
    for step in range(40):
        result = learner.step(step, [batch])
        values.append(dict(zip(result.names, result.values.numpy(), strict=True))["generator/reconstruction"])
    assert values[-1] < 0.4 * values[0]


# What does not fit.


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["data.clip_samples=1000"], "32 frames"),
        (["data.clip_samples=4000"], "32 frames"),
        (["model.mel_bands=63"], "cannot be halved"),
        (["data.channels=2"], "one channel"),
        (["model.hop=200"], "at most half"),
        (["model.network='strided'"], "growth"),
        (["model.conditioning='projection'"], "projection"),
        (["model.harmonic_map=true"], "harmonic_map"),
        (["model.phase_floor=0.1"], "phase_floor"),
        (["model.conditions=['pitch', 'pitch']"], "each name once"),
    ],
)
def test_sizes_that_do_not_fit(overrides, text):
    with pytest.raises(RecipeError, match=text):
        make(overrides)


def test_r1_while_growing():
    with pytest.raises(RecipeError, match="r1 is set"):
        make(["adversarial.r1=1.0"]).phases()


def test_a_data_set_without_pitches():
    with pytest.raises(DatasetError, match="pitch of a note"):
        GANSynth(load_recipe("gansynth/tiny"), DatasetInfo("x", 8000, 1, 2048, [], {}))


@pytest.mark.parametrize("size", ["small", "tiny"])
def test_recipes_build(size):
    recipe = load_recipe(f"gansynth/{size}", ["model.dim=2"])
    family = GANSynth(recipe, facts())
    assert family.preview(family.networks, 1).shape == (1, recipe.data.clip_samples, 1)
