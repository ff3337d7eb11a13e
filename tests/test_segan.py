"""SEGAN: sizes of the paper, virtual batch normalisation, losses that act, pre-emphasis, resuming, the shipped model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.segan.family import SEGAN
from gansynth_cli.layers import ReferenceBatch, VirtualBatchNormalization, WithoutReference
from gansynth_cli.losses import spectral
from gansynth_cli.models.window_enhancer import WindowEnhancer
from gansynth_cli.recipe import load_recipe, recipe_from_tree
from gansynth_cli.recipe_schema import Recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.signal.emphasis import deemphasize, emphasize, emphasize_clips
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices
from gansynth_cli.training.trainer import Trainer

from .tiny_families import make_draws, phase_named

WINDOW = 256
MODEL: dict[str, Any] = {"widths": [3, 4, 5], "kernel": 5, "stride": 2, "latent_dim": 2, "reference_clips": 3, "initial": "he"}
LOSSES = [f"waveform_{n}" for n in ("l1", "l2")] + [f"stft_{part}_{n}" for part in ("real", "imag", "magnitude") for n in ("l1", "l2")]


def make_recipe(**tables: Any) -> Recipe:
    tree: dict[str, Any] = {
        "family": "segan",
        "name": "segan/test",
        "seed": 3,
        "data": {"sample_rate": 8000, "clip_samples": WINDOW, "batch_size": 4},
        "model": MODEL,
        "losses": {"stft_fft": 32, "stft_hop": 8},
        "adversarial": {"loss": "lsgan", "critic_repeats": 1},
        "optimizers": {name: {"name": "rmsprop", "learning_rate": 1e-3} for name in ("generator", "critic")},
        "training": {"steps": 6, "log_every": 2, "preview_every": 3, "preview_clips": 2, "checkpoint_every": 3, "ema": 0.9},
    }
    return recipe_from_tree({**tree, **{name: {**tree[name], **table} for name, table in tables.items()}})


def make_family(seed: int | None = None, **tables: Any) -> SEGAN:
    recipe = make_recipe(**tables)
    return SEGAN(recipe, DatasetInfo("x", 8000, 1, recipe.data.clip_samples, [], {}), seed)


def make_pairs(clips: int = 4, seed: int = 0, samples: int = WINDOW) -> dict[str, tf.Tensor]:
    """Decaying tones, and the same under noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 8000
    pitch, phase = rng.uniform(200, 900, (clips, 1)), rng.uniform(0, 6, (clips, 1))
    clean = (0.4 * np.sin(2 * np.pi * pitch * t + phase))[..., None].astype(np.float32)
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
    return {"clean": tf.constant(clean), "noisy": tf.constant(noisy), "audio": tf.constant(clean)}


class PairSource:
    """Pairs that are pure functions of (seed, position)."""

    def __init__(self, clips: int = 24, pairs: bool = True, seed: int = 5):
        self.pairs = {name: value.numpy() for name, value in make_pairs(clips, seed).items() if pairs or name == "audio"}
        split = SplitInfo(clips, clips * WINDOW / 8000)
        self.info = DatasetInfo("pairs", 8000, 1, WINDOW, [], {"train": split, "validation": split}, fingerprint="f" * 64)
        self.splits = ("train", "validation")

    def clips_per_epoch(self, split: str) -> int:
        return self.info.splits[split].clips

    def check(self, features) -> None:
        assert features.pairs
        assert (features.sample_rate, features.channels, features.clip_samples) == (8000, 1, WINDOW)

    def clips(self, split: str, limit: int | None = None):
        yield from [(audio, "") for audio in self.pairs["audio"]][:limit]

    def batches(self, recipe, split="train", *, seed, first_clip=0, batch_size=None, shard_index=0, shard_count=1, repeat=True, **_):
        positions = tf.data.Dataset.range(first_clip + shard_index, 10**9 if repeat else self.clips_per_epoch(split), shard_count)
        values = {name: tf.constant(value) for name, value in self.pairs.items()}
        offset = 7 if split == "train" else 0
        take = lambda i: {name: value[(i + offset) % self.clips_per_epoch(split)] for name, value in values.items()}
        return positions.map(take).batch(batch_size or recipe.data.batch_size, drop_remainder=repeat)


def train(path: Path, recipe: Recipe, source: PairSource | None = None) -> Trainer:
    source = source or PairSource()
    run = RunFolder.open_for_training(path, recipe, source.info, command=["gan-audio", "train"])
    trainer = Trainer(recipe, source, run)
    try:
        trainer.train()
    finally:
        run.close()
    return trainer


def arrays_of(path: Path, step: int) -> dict[str, np.ndarray]:
    return read_checkpoint(Checkpoints(path / "checkpoints").path(step))[0]


# Sizes.


def counted(widths: list[int], kernel: int = 31, latent: int = 1024, steps: int = 8) -> tuple[int, int]:
    """Weights of generator and critic from the reference sheet, layer by layer."""
    generator, critic, before, before_critic = 0, 0, 1, 2
    for width in widths:
        generator += kernel * before * width + width + width  # convolution, bias, PReLU
        critic += kernel * before_critic * width + width + 2 * width  # convolution, bias, scale and shift
        before = before_critic = width
    width_in = before + latent
    for width in reversed([1, *widths[:-1]]):
        generator += kernel * width_in * width + width + (width if width > 1 else 0)
        width_in = 2 * width
    return generator, critic + (before + 1) + (steps + 1)


PAPER = [16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024]


def test_the_papers_parameter_counts():
    assert counted(PAPER) == (73_100_049, 24_373_082)
    assert list(load_recipe("segan/base").model.widths) == PAPER


def parameters(family: SEGAN) -> tuple[int, ...]:
    return tuple(sum(int(np.prod(v.shape)) for v in family.networks[name].trainable_weights) for name in ("generator", "critic"))


@pytest.mark.parametrize("divisor", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_networks_have_the_parameters_of_the_sheet(divisor):
    widths = [max(1, w // divisor) for w in PAPER]
    overrides = [f"model.widths={widths}", f"model.latent_dim={1024 // divisor}", "model.reference_clips=1"]
    recipe = load_recipe("segan/base", overrides)
    family = SEGAN(recipe, DatasetInfo("x", 16000, 1, 16384, [], {}))
    assert parameters(family) == counted(widths, latent=1024 // divisor)
    assert family.latent_shape == (8, 1024 // divisor)


def test_the_layers_of_the_sheet():
    recipe = load_recipe("segan/base", ["model.widths=[2,4,4,8,8,8,8,8,8,8,8]", "model.latent_dim=3", "model.reference_clips=1"])
    family = SEGAN(recipe, DatasetInfo("x", 16000, 1, 16384, [], {}))
    generator, critic = family.networks["generator"], family.networks["critic"]
    lengths = [16384 // 2**i for i in range(1, 12)]
    assert [generator.get_layer(f"encode_{i}").output.shape[1] for i in range(11)] == lengths
    assert [generator.get_layer(f"decode_{i}").output.shape[1] for i in range(11)] == [*lengths[-2::-1], 16384]
    assert generator.get_layer("code").output.shape[1:] == (8, 3 + 8)
    for i in range(10):  # each skip carries the convolution's own output, before its PReLU
        skip = generator.get_layer(f"skip_{i}")
        assert skip.input[1].name == generator.get_layer(f"encode_{9 - i}").output.name
    assert not generator.get_layer("encode_0_prelu").get_weights()[0].any()
    assert [critic.get_layer(f"conv_{i}").output.shape[1] for i in range(11)] == lengths
    assert [float(x.negative_slope) for x in critic.layers if isinstance(x, keras.layers.LeakyReLU)] == pytest.approx([0.3] * 11)
    kernel = generator.get_layer("decode_0").get_weights()[0]
    assert 0.015 < kernel.std() < 0.021  # truncated at two deviations of .02
    assert np.abs(kernel).max() <= 0.0401
    gammas = np.concatenate([critic.get_layer(f"norm_{i}").gamma.numpy() for i in range(11)])
    assert abs(gammas.mean() - 1) < 0.02
    assert 0.01 < gammas.std() < 0.03


@pytest.mark.parametrize(
    "model", [{}, {"latent_dim": 0}, {"stride": 4}, {"skips": "scaled", "phase_shuffle": 2}, {"skips": "gated"}, {"critic_widths": [4, 2]}]
)
def test_runtime_shapes(model):
    family, batch = make_family(model={**MODEL, **model}), make_pairs()
    made = family.generate(batch, make_draws())
    assert made.shape == (4, WINDOW, 1)
    assert family.discriminate(made, batch, make_draws(), "fake").shape == (4,)
    both = family.answers_to_both(made, made, batch, batch, make_draws())
    assert [answers["logits"].shape for answers in both] == [(4,), (4,)]
    if family.shuffled:
        assert family.shuffled == 1


def test_a_residual_generator_adds_to_the_noisy_window():
    family = make_family(model={**MODEL, "residual": True, "latent_dim": 0})
    for variable in family.networks["generator"].get_layer("decode_2").variables:
        variable.assign(tf.zeros_like(variable))
    noisy = make_pairs()["noisy"]
    np.testing.assert_array_equal(family.networks["generator"](noisy), noisy)


def test_skips_are_scaled_or_gated():
    batch, draws = make_pairs(), make_draws()
    plain = make_family().generate(batch, draws)
    scaled = make_family(model={**MODEL, "skips": "scaled"})
    np.testing.assert_allclose(scaled.generate(batch, draws), plain, atol=1e-6)  # the factors begin as 1
    scaled.networks["generator"].get_layer("skip_1_scale").scale.assign([0.0] * 3)
    gated = make_family(model={**MODEL, "skips": "gated"})
    for weights in gated.networks["generator"].get_layer("skip_1_gate").weights:
        weights.assign(tf.fill(weights.shape, -1e4 if "bias" in weights.path else 0.0))  # shut
    cut = [family.generate(batch, draws) for family in (scaled, gated)]
    assert np.abs(cut[0] - plain).max() > 1e-4
    network = gated.networks["generator"]
    shut = keras.Model(network.input, network.get_layer("skip_1_gated").output)([batch["noisy"], tf.zeros([4, *gated.latent_shape])])
    assert not np.any(shut)


def test_he_initialisation_keeps_the_size_of_a_signal():
    model = {**MODEL, "widths": [32, 64, 64], "kernel": 31, "latent_dim": 0, "stride": 4}
    family = make_family(model=model, data={"clip_samples": 4096})
    noise = tf.random.stateless_normal([4, 4096, 1], [1, 2], stddev=0.01)
    outputs = keras.Model(
        family.networks["generator"].input, [family.networks["generator"].get_layer(f"decode_{i}").output for i in range(2)]
    )
    for values in outputs(noise):
        assert 0.004 < float(tf.math.reduce_std(values)) < 0.03


@pytest.mark.parametrize(
    "tables, text",
    [
        ({"data": {"channels": 2}}, "one channel"),
        ({"data": {"clip_samples": 100}}, r"clip_samples is 100; 3 layers \(model.widths\) of stride 2 need a multiple of 8"),
        ({"model": {"critic_widths": [2] * 9}}, "critic_widths"),
        ({"losses": {"stft_fft": 16, "stft_hop": 12}}, "at most half"),
    ],
)
def test_sizes_that_do_not_fit(tables, text):
    with pytest.raises(RecipeError, match=text) as failure:
        make_family(**tables)
    assert "--set" in failure.value.hint


# Virtual batch normalisation.


def reference_norm(x: np.ndarray, rows: int, gamma: np.ndarray, beta: np.ndarray, groups: int) -> np.ndarray:
    """SEGAN's formula as it is written: means and mean squares of the reference and of the batch, B to 1."""
    x = x.astype(np.float64)
    reference, parts = x[:rows], np.split(x[rows:], groups)
    m_ref, s_ref = reference.mean((0, 1)), np.square(reference).mean((0, 1))
    normalized = [(reference - m_ref) / np.sqrt(s_ref - m_ref**2 + 1e-5)]
    for part in parts:
        mean = part.mean((0, 1)) / (rows + 1) + m_ref * rows / (rows + 1)
        square = np.square(part).mean((0, 1)) / (rows + 1) + s_ref * rows / (rows + 1)
        normalized.append((part - mean) / np.sqrt(square - mean**2 + 1e-5))
    return np.concatenate(normalized) * gamma + beta


@pytest.mark.parametrize(("rows", "batch", "groups"), [(3, 4, 1), (3, 4, 2), (1, 1, 1), (5, 6, 3)])
def test_virtual_batch_normalisation_is_the_formula(rows, batch, groups):
    rng = np.random.default_rng(2)
    x = rng.normal(2.0, 1.5, (rows + batch, 7, 4)).astype(np.float32)
    x[rows:] *= np.linspace(0.2, 3, batch)[:, None, None]
    layer = VirtualBatchNormalization(rows, seed=1)
    out = layer(tf.constant(x), tf.constant(groups)).numpy()
    layer.beta.assign([0.1, -0.2, 0.3, 0.0])
    out = layer(tf.constant(x), tf.constant(groups)).numpy()
    np.testing.assert_allclose(out, reference_norm(x, rows, layer.gamma.numpy(), layer.beta.numpy(), groups), atol=2e-5)


def test_virtual_batch_normalisation_survives_a_constant_input():
    x = tf.fill([4, 5, 2], 1000.0)
    layer = VirtualBatchNormalization(2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = layer(x, tf.constant(1))
        total = tf.reduce_sum(out * out)
    np.testing.assert_allclose(out, 0.0, atol=1e-2)
    assert np.isfinite(tape.gradient(total, x)).all()


def test_gradients_flow_through_the_reference_statistics():
    x = tf.random.stateless_normal([5, 6, 2], [1, 2])
    layer = VirtualBatchNormalization(3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x, tf.constant(1))[3:] ** 3)
    assert np.abs(tape.gradient(total, x)[:3]).min() > 0


def test_the_reference_rows_stand_in_front_and_go_again():
    layer = ReferenceBatch(2)
    x = tf.random.stateless_normal([3, 4, 2], [1, 2])
    reference = np.arange(16, dtype=np.float32).reshape(2, 4, 2)
    assert layer(x).shape == (5, 4, 2)
    layer.choose(reference)
    np.testing.assert_array_equal(layer(x), np.concatenate([reference, x]))
    np.testing.assert_array_equal(WithoutReference(2)(layer(x)), x)
    assert not layer.trainable_weights


def test_real_and_generated_clips_do_not_share_statistics():
    family, batch, draws = make_family(), make_pairs(), make_draws()
    real, fake = batch["clean"], 5.0 * batch["noisy"][::-1]
    together = [answers["logits"] for answers in family.answers_to_both(real, fake, batch, batch, draws)]
    apart = family.discriminate(real, batch, draws, "real"), family.discriminate(fake, batch, draws, "fake")
    np.testing.assert_allclose(together, apart, atol=1e-5)
    shared = family._discriminate(
        tf.concat([real, fake], 0), tf.tile(family.represent(batch["noisy"]), [2, 1, 1]), draws, "both", 1
    )  # what it must not be
    assert np.abs(shared - tf.concat(apart, 0)).max() > 1e-3


def test_the_critic_judges_by_the_reference_batch_and_keeps_it_in_a_file(tmp_path):
    family, batch, draws = make_family(), make_pairs(), make_draws()
    before = family.discriminate(batch["clean"], batch, draws, "real").numpy()
    family.begin(PairSource())
    chosen = family.networks["critic"].get_layer("reference").reference.numpy()
    source = PairSource()
    first = [family.represent(tf.constant(source.pairs[name][7:10])) for name in ("clean", "noisy")]  # its train split begins there
    np.testing.assert_allclose(chosen, tf.concat(first, -1), atol=1e-7)
    after = family.discriminate(batch["clean"], batch, draws, "real").numpy()
    assert np.abs(after - before).max() > 1e-4
    family.networks["critic"].save(tmp_path / "critic.keras")
    loaded = keras.models.load_model(tmp_path / "critic.keras")
    inputs = {"example": batch["clean"], "noisy": batch["noisy"], "groups": tf.constant(1)}
    np.testing.assert_array_equal(loaded(inputs), family.networks["critic"](inputs))
    np.testing.assert_array_equal(loaded.get_layer("reference").reference, chosen)


# The game and the losses.


@pytest.mark.parametrize("name, network", [("critic", "critic"), ("generator", "generator"), ("generator_alone", "generator")])
def test_each_phase_sends_gradients_to_exactly_its_network(name, network):
    family = make_family(adversarial={"critic_start": 2}, losses=dict.fromkeys(LOSSES, 1.0))
    rng = np.random.default_rng(3)
    for net in family.networks.values():
        for variable in net.trainable_variables:
            variable.assign_add(rng.normal(0.0, 0.05, variable.shape).astype(np.float32))
    phase = phase_named(family, name)
    assert phase.networks == (network,)
    with tf.GradientTape() as tape:
        losses = phase.losses(make_pairs(), make_draws())
        total = tf.add_n(list(losses.values()))
    slopes = tape.gradient(total, {name: net.trainable_variables for name, net in family.networks.items()})
    assert all(np.isfinite(v) for v in losses.values())
    biases = [v.path for v in family.networks["critic"].trainable_variables if "conv_" in v.path and "bias" in v.path]
    for variable, slope in zip(family.networks[network].trainable_variables, slopes[network], strict=True):
        assert slope is not None, variable.path
        if variable.path not in biases:  # the normalisation takes those out again
            assert np.abs(slope).max() > 0, variable.path
    if name == "critic":
        assert all(slope is None for slope in slopes["generator"])


def test_the_critic_joins_late_while_the_generator_learns_from_the_first_step():
    family = make_family(adversarial={"critic_start": 2})
    active = [[phase.name for phase in family.phases() if phase.active(step)] for step in range(4)]
    assert active == [["generator_alone"]] * 2 + [["critic", "generator"]] * 2
    learner = Learner(make_recipe(adversarial={"critic_start": 2}), lambda: make_family(adversarial={"critic_start": 2}), Devices())
    assert [learner.batches_before(n) for n in range(5)] == [0, 1, 2, 3, 4]
    assert [phase.name for phase in make_family().phases()] == ["critic", "generator"]
    nothing = make_family(adversarial={"critic_start": 2}, losses={"waveform_l1": 0.0})
    assert [phase.name for phase in nothing.phases()] == ["critic", "generator"]


def test_the_losses_are_the_papers():
    family, batch, draws = make_family(), make_pairs(), make_draws()
    made, clean = family.generate(batch, draws), family.represent(batch["clean"])
    real, fake = family.discriminate(clean, batch, draws, "real"), family.discriminate(made, batch, draws, "fake")
    losses = family.critic_losses(batch, draws)
    assert list(losses) == ["adversarial"]
    assert float(losses["adversarial"]) == pytest.approx(0.5 * float(np.mean((real - 1) ** 2) + np.mean(np.square(fake))), rel=1e-4)
    losses = family.generator_losses(batch, draws)
    assert list(losses) == ["adversarial", "waveform_l1"]
    assert float(losses["adversarial"]) == pytest.approx(float(np.mean((fake - 1) ** 2)), rel=1e-4)
    assert float(losses["waveform_l1"]) == pytest.approx(100 * float(np.mean(np.abs(made - clean))), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_each_weight_acts_alone(name):
    family = make_family(losses={"waveform_l1": 0.0, name: 3.0})
    batch, draws = make_pairs(), make_draws()
    kind, _, distance = name.rpartition("_")
    made, clean = family.generate(batch, draws), family.represent(batch["clean"])
    if kind == "waveform":
        expected = getattr(spectral, distance)(made, clean)
    else:
        pair = [spectral.spectrum(x, 32, 8, normalized=True) for x in (made, clean)]
        expected = getattr(spectral, f"spectrum_{distance}")(*pair, kind.removeprefix("stft_"))
    with tf.GradientTape() as tape:
        losses = family.reconstruct(batch, draws)
    assert list(losses) == [name]
    assert float(losses[name]) == pytest.approx(3.0 * float(expected), rel=1e-5)
    slopes = tape.gradient(losses[name], family.networks["generator"].trainable_variables)
    assert all(np.abs(slope).max() > 0 for slope in slopes if slope is not None and len(slope.shape) == 3)


@pytest.mark.parametrize("adversarial", [{"loss": "wgan-gp"}, {"loss": "hinge", "r1": 0.1, "r1_every": 1}, {"loss": "wgan", "drift": 0.01}])
def test_every_option_of_the_game_is_played(adversarial):
    family = make_family(adversarial=adversarial)
    for phase in family.phases():
        with tf.GradientTape() as tape:
            losses = phase.losses(make_pairs(), make_draws())
            total = tf.add_n(list(losses.values()))
        slopes = tape.gradient(total, family.networks[phase.networks[0]].trainable_variables)
        assert all(np.isfinite(slope).all() for slope in slopes if slope is not None)
        assert any(np.abs(slope).max() > 0 for slope in slopes if slope is not None)


# Pre-emphasis.


def test_pre_emphasis_and_its_inverse_by_blocks_and_whole():
    x = np.random.default_rng(0).normal(0, 0.3, (2, 5000)).astype(np.float32)
    y, _ = emphasize(x, 0.95)
    np.testing.assert_allclose(y[:, 1:], x[:, 1:] - 0.95 * x[:, :-1], atol=1e-6)
    np.testing.assert_allclose(y[:, 0], x[:, 0], atol=1e-7)
    np.testing.assert_allclose(deemphasize(y, 0.95)[0], x, atol=1e-5)
    for function in (emphasize, deemphasize):
        state, parts = None, []
        for part in np.split(x, [1, 1, 700, 701, 4096], axis=1):
            out, state = function(part, 0.95, state)
            parts.append(out)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), function(x, 0.95)[0], atol=1e-6)


def test_clips_are_emphasised_as_cut_from_a_stream():
    x = np.random.default_rng(0).normal(0, 0.3, (2, 50, 1)).astype(np.float32)
    y = emphasize_clips(tf.constant(x), 0.95).numpy()
    np.testing.assert_allclose(y[:, 1:], x[:, 1:] - 0.95 * x[:, :-1], atol=1e-6)
    np.testing.assert_allclose(y[:, 0], 0.05 * x[:, 0], atol=1e-6)
    np.testing.assert_array_equal(emphasize_clips(tf.constant(x), 0.0), x)


def test_the_networks_see_pre_emphasised_audio_alone():
    family, batch = make_family(), make_pairs()
    flat = make_family(model={**MODEL, "preemphasis": 0.0})
    emphasized = {name: emphasize_clips(value, 0.95) for name, value in batch.items()}
    for name in ("critic_losses", "generator_losses"):
        ours, theirs = getattr(family, name)(batch, make_draws()), getattr(flat, name)(emphasized, make_draws())
        assert {k: float(v) for k, v in ours.items()} == pytest.approx({k: float(v) for k, v in theirs.items()}, rel=1e-5)


# The shipped model.


def test_the_enhancer_comes_back_from_a_file_as_it_was(tmp_path):
    family = make_family()
    model = family.inference_model(family.networks)
    windows = make_pairs()["noisy"]
    expected = model(windows).numpy()
    assert expected.shape == (4, WINDOW, 1)
    assert expected.dtype == np.float32
    model.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    np.testing.assert_array_equal(loaded(windows), expected)
    assert (loaded.sample_rate, loaded.window, loaded.hop, loaded.preemphasis) == (8000, WINDOW, WINDOW // 2, 0.95)
    assert loaded.latent_shape == (32, 2)
    assert loaded.provenance["family"] == "segan"
    np.testing.assert_allclose(model(windows[1:2]), expected[1:2], atol=1e-6)  # the latent does not depend on the place in a batch
    other = make_family(seed=9).inference_model(make_family(seed=9).networks)
    assert np.abs(other(windows) - expected).max() > 1e-4


def test_windows_join_to_the_recording_they_were_cut_from():
    """The procedure that `WindowEnhancer` documents, with a network that changes nothing: first and last samples included."""
    audio = keras.Input((64, 1))
    model = WindowEnhancer(keras.Model(audio, keras.layers.Activation("linear")(audio)), 8000, 64, preemphasis=0.95)
    x = np.random.default_rng(1).normal(0, 0.3, 1001).astype(np.float32)
    emphasized, _ = emphasize(x, model.preemphasis)
    padded = np.concatenate([np.zeros(model.hop), emphasized, np.zeros(2 * model.window)]).astype(np.float32)
    starts = range(0, model.hop + len(x), model.hop)
    cleaned = model(tf.constant(np.stack([padded[i : i + model.window] for i in starts])[..., None])).numpy()[..., 0]
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(model.window) / model.window)
    joined = np.zeros_like(padded)
    for start, window in zip(starts, cleaned, strict=True):
        joined[start : start + model.window] += fade * window
    np.testing.assert_allclose(deemphasize(joined[model.hop :][: len(x)], model.preemphasis)[0], x, atol=1e-5)


# Training.


@pytest.mark.slow
def test_resumed_training_equals_one_run_with_its_reference_batch(tmp_path):
    small = {**MODEL, "widths": [2, 3], "skips": "scaled", "phase_shuffle": 1, "critic_widths": [2, 3, 3]}
    tables = {"losses": {"stft_magnitude_l1": 5.0}, "model": small}
    recipe = lambda steps: make_recipe(**tables, training={"preview_every": 0, "steps": steps, "checkpoint_every": 9})
    train(tmp_path / "whole", recipe(4))
    train(tmp_path / "parts", recipe(3))
    trainer = train(tmp_path / "parts", recipe(4))
    whole, parts = arrays_of(tmp_path / "whole", 4), arrays_of(tmp_path / "parts", 4)
    assert list(whole) == list(parts)
    assert not [name for name in whole if not np.array_equal(whole[name], parts[name])]
    name = next(name for name in whole if "reference_batch" in name)
    assert whole[name].shape == (3, WINDOW, 2)
    # Resumed on other data it stays the first one: what `begin` sets gives way to the checkpoint.
    trainer.source = PairSource(seed=8)
    trainer.train()
    np.testing.assert_array_equal(trainer.learner.state()[name].numpy(), whole[name])
    trainer.learner.family.begin(trainer.source)
    assert not np.array_equal(trainer.learner.state()[name].numpy(), whole[name])


def test_training_shows_noisy_clean_and_enhanced(tmp_path):
    trainer = train(tmp_path / "run", make_recipe())
    folder = tmp_path / "run" / "samples"
    (step,) = [p for p in folder.iterdir() if int(p.name) == 6]
    assert sorted(p.name for p in step.iterdir() if p.suffix == ".wav") == sorted(
        f"{i:02d}{kind}.wav" for i in range(2) for kind in ("", "-noisy", "-clean")
    )
    source = PairSource()
    for kind in ("noisy", "clean"):
        written, _ = soundfile.read(step / f"01-{kind}.wav")
        np.testing.assert_allclose(written, source.pairs[kind][1, :, 0], atol=1e-4)
    for file in ("01.wav", "01-noisy.wav"):
        with soundfile.SoundFile(step / file) as sound:
            assert ("synthetic" in sound.comment) == (file == "01.wav")
    family = trainer.learner.family
    clips = family.preview(trainer._shown_networks(), 2)
    clean, noisy = source.pairs["clean"][:24], source.pairs["noisy"][:24]
    everything = family.preview(trainer._shown_networks(), 99)
    assert everything.shape == clean.shape
    np.testing.assert_allclose(everything[:2], clips, atol=1e-6)

    def si_sdr(e: np.ndarray, t: np.ndarray) -> float:
        projected = t * (e @ t) / (t @ t)
        return 10 * np.log10((projected @ projected) / ((e - projected) @ (e - projected)))

    expected = np.median([si_sdr(e, t) for e, t in zip(everything[:16, :, 0], clean[:16, :, 0], strict=True)])
    gains = [si_sdr(e, t) - si_sdr(n, t) for e, t, n in zip(*(x[..., 0] for x in (everything, clean, noisy)), strict=True)]
    assert np.isfinite(expected)
    assert trainer.metrics["preview/si_sdr_gain"] == pytest.approx(np.median(gains), abs=0.02)
    assert trainer.learner.parameter_counts()["critic"] == parameters(family)[1]


@pytest.mark.parametrize("precision", ["mixed_bfloat16"])
def test_mixed_precision_steps(precision):
    recipe = make_recipe(training={"precision": precision})
    learner = Learner(recipe, lambda: SEGAN(recipe, DatasetInfo("x", 8000, 1, WINDOW, [], {})), Devices())
    learner.family.begin(PairSource())
    assert np.isfinite(learner.step(0, [make_pairs()]).values).all()
    assert {v.dtype for v in learner.averaged["generator"].weights} == {"float32"}


def test_data_without_pairs_is_refused(tmp_path):
    family = make_family()
    with pytest.raises(DatasetError, match="no pairs") as failure:
        family.begin(PairSource(pairs=False))
    assert "--noise" in failure.value.hint


@pytest.mark.slow
def test_it_learns_to_clean_a_few_clips():
    recipe = make_recipe(
        model={**MODEL, "widths": [16, 32, 32], "kernel": 15, "latent_dim": 2},
        losses={"stft_magnitude_l1": 30.0, "stft_real_l2": 30.0},
        optimizers={
            name: {"name": "adam", "learning_rate": 2e-3, "beta_1": 0.5, "schedule": "cosine", "decay_steps": 600}
            for name in ("generator", "critic")
        },
    )
    info = DatasetInfo("x", 8000, 1, WINDOW, [], {})
    learner = Learner(recipe, lambda: SEGAN(recipe, info), Devices())
    learner.family.begin(PairSource())
    batch = make_pairs(4, seed=7)
    for step in range(600):
        result = learner.step(step, [batch])
    assert np.isfinite(result.values).all()
    cleaned = learner.family.enhance_clips(learner.family.networks, batch["noisy"].numpy())
    error = lambda x: float(np.mean(np.square(x - batch["clean"])))
    assert error(cleaned) < 0.25 * error(batch["noisy"].numpy())
