"""StarGAN-VC: sizes, what each phase trains, losses by hand, norms and pieces, prosody, learning, the shipped model, resuming."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.conversion import ConversionFamily
from gansynth_cli.families.stargan_vc.family import StarGANVC
from gansynth_cli.families.stargan_vc.networks import receptive_frames
from gansynth_cli.layers.conversion import CodeProjection, InstanceNorm, windowed_mean
from gansynth_cli.models.voice_converter import VoiceConverter
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_filter import filtered
from gansynth_cli.signal.mel_frames import log_mel
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .conversion_families import RATE, make_batch, make_family, make_info, voice, write_voices
from .helpers import disturb
from .tiny_families import make_draws, phase_named

CWT = "model.prosody=cwt"


def contours(family: StarGANVC, seconds: float = 8.0):
    """A movement for each domain: slow, fast, both."""
    t = np.arange(int(seconds / 0.008)) * 0.008
    for number, name in enumerate(family.domains):
        yield (4.8 + 0.3 * number + 0.1 * np.sin(2 * np.pi * (1 + 2 * number) * t)).astype(np.float32), name


@pytest.fixture(scope="module")
def family() -> StarGANVC:
    """One for all tests that change nothing of it: to build the networks takes a second."""
    made = make_family("stargan_vc", CWT)
    disturb(*made.networks.values())
    made.set_contours(contours(made), 0.008)
    return made


# Sizes.


def test_the_published_body_has_the_published_size():
    recipe = load_recipe("stargan_vc/base")
    family = StarGANVC(recipe, make_info(recipe, 4))
    count = lambda name: sum(int(np.prod(w.shape)) for w in family.networks[name].trainable_weights)
    assert count("generator") == pytest.approx(0.57e6, rel=0.03)
    assert count("critic") < 0.1e6
    given = {"mel": np.zeros((2, 128, 80)), "mask": np.ones((2, 128, 1)), "source": np.eye(4)[:2], "target": np.eye(4)[1:3]}
    assert family.networks["generator"](given).shape == (2, 128, 80)
    assert family.networks["critic"]({name: given[name] for name in ("mel", "source", "target")}).shape == (2, 32, 1)


# What each phase trains.


@pytest.mark.parametrize("name", ["critic", "classifier", "source", "generator", "generator_3", "prosody_critic", "prosody"])
def test_a_phase_has_gradients_for_its_networks(family, name):
    phase = phase_named(family, name)
    with tf.GradientTape() as tape:
        losses = phase.losses(make_batch(family), make_draws())
        total = tf.add_n(list(losses.values()))
    assert all(np.isfinite(value) and value > 0 for value in losses.values())
    slopes = tape.gradient(total, {n: family.networks[n].trainable_variables for n in phase.networks})
    for values in slopes.values():
        assert all(g is not None and np.isfinite(g).all() and np.abs(g).max() > 0 for g in values)


def test_the_phases_follow_the_recipes_steps(family):  # source_start 2, identity_stop 3
    active = lambda step: [phase.name for phase in family.phases() if phase.active(step) and "prosody" not in phase.name]
    assert active(0) == ["critic", "classifier", "generator"]
    assert active(2) == ["critic", "classifier", "source", "generator_2"]
    assert active(3) == ["critic", "classifier", "source", "generator_3"]
    batch = make_batch(family)
    names = lambda step: {
        loss
        for phase in family.phases()
        if phase.active(step) and "generator" in phase.networks
        for loss in phase.losses(batch, make_draws())
    }
    assert names(0) == {"adversarial", "cycle", "identity", "classification"}
    assert names(2) == {"adversarial", "cycle", "identity", "classification", "source"}
    assert names(3) == {"adversarial", "cycle", "identity", "classification", "source"}  # identity_after
    late = family.generator_losses(batch, make_draws(), late=True)
    assert float(late["identity"]) == pytest.approx(0.25 * float(family.generator_losses(batch, make_draws())["identity"]), rel=1e-4)


def test_the_losses_of_a_generator_that_does_nothing(family, monkeypatch):
    """Identity and cycle are 0 without a mask, the critic's say is that of LSGAN."""
    batch = make_batch(family)
    monkeypatch.setattr(family, "span_mask", lambda draws, name, like: tf.ones_like(like[..., :1]))
    monkeypatch.setattr(family, "generate", lambda x, mask, source, target: x * mask)
    monkeypatch.setattr(family, "discriminate", lambda x, source, target: tf.fill([tf.shape(x)[0], 8, 1], 0.25))
    losses = family.generator_losses(batch, make_draws())
    assert float(losses["cycle"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["identity"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["adversarial"]) == pytest.approx(0.75**2)
    critic = family.critic_losses(batch, make_draws())
    assert float(critic["adversarial"]) == pytest.approx(0.5 * (0.75**2 + 0.25**2))


@pytest.mark.parametrize("log", ["ln", "log10"])
def test_what_is_below_the_floor_is_not_seen(log):
    made = make_family("stargan_vc", "losses.floor_db=[30, 30]", f"model.mel.log={log}")
    nepers = 1.0 if log == "ln" else np.log(10)
    decibel = np.log(10) / 20 / nepers / made.convention.exponent**-1
    spectrum = np.full((2, 8, made.convention.bands), -200 * decibel, np.float32)
    spectrum[:, 0, 0] = 0.0  # the loudest
    spectrum[:, 1, 0], spectrum[:, 2, 0] = -30 * decibel, -10 * decibel
    batch = {"spectrum": tf.constant(spectrum)}
    seen = made.above_floor(batch["spectrum"], batch, make_draws(), "floor").numpy() / decibel
    np.testing.assert_allclose(seen[0, :4, 0], [0.004, -26.99, -9.957, -30.0], atol=2e-3)
    # A conversion with a peak of its own does not raise the floor.
    louder = tf.constant(spectrum + np.float32(20 * decibel) * (spectrum == 0))
    assert made.above_floor(louder, batch, make_draws(), "floor").numpy()[0, 3, 0] / decibel == pytest.approx(-30.0, abs=2e-3)


def test_every_judge_hears_through_the_floor(monkeypatch):
    """Where the floor covers all, critic and classifiers know nothing of the spectra; cycle and identity still do."""
    made = make_family("stargan_vc", "losses.floor_db=[30, 30]", "losses.source_classifier=0.5", "losses.classification=0.5")
    disturb(*made.networks.values())
    for layer in (layer for network in made.networks.values() for layer in network.layers if isinstance(layer, keras.layers.Dropout)):
        layer.rate = 0.0
    monkeypatch.setattr(made, "above_floor", lambda spectrum, batch, draws, name: tf.zeros_like(spectrum))
    first, second = make_batch(made, seed=0), make_batch(made, seed=1)
    values = lambda phase, batch: {name: float(value) for name, value in phase.losses(batch, make_draws()).items()}
    for phase in made.phases():
        one, other = values(phase, first), values(phase, second)
        told = {name for name in one if one[name] != other[name]}
        assert told == ({"cycle", "identity"} & set(one))


def test_a_floor_that_is_none_is_refused():
    with pytest.raises(RecipeError, match="floor_db"):
        make_family("stargan_vc", "losses.floor_db=[70, 25]")


def test_conversions_go_to_every_other_domain_and_to_no_ones_own(family):
    label = tf.constant(np.arange(400) % 3, tf.int32)
    target = family.other_domain(make_draws(), "target", label).numpy()
    assert not (target == label.numpy()).any()
    assert np.bincount((target - label.numpy()) % 3, minlength=3)[1:].min() > 150


def test_an_empty_band_is_not_blown_up():
    recipe = load_recipe("stargan_vc/tiny")
    info = make_info(recipe, 2)
    spec = recipe.model.frame_features(RATE)  # type: ignore[attr-defined]
    for name in info.labels:
        info.statistics[spec.mel_statistics(name)]["deviation"][-1] = 0.0
    family = StarGANVC(recipe, info)
    assert family.deviation.min() == pytest.approx(0.05)


def test_masks_hide_one_span_of_up_to_half(family):
    mask = family.span_mask(make_draws(), "mask", tf.zeros([500, 32, 20])).numpy()[..., 0]
    assert set(np.unique(mask)) == {0.0, 1.0}
    hidden = 32 - mask.sum(axis=1)
    assert hidden.max() <= 16
    assert hidden.mean() == pytest.approx(7.75, abs=0.8)
    assert (np.abs(np.diff(np.pad(mask, [(0, 0), (1, 1)], constant_values=1), axis=1)).sum(axis=1) <= 2).all()
    assert (mask == 0).mean(axis=0).min() > 0.02  # anywhere


def test_spectra_are_standardised_with_their_own_domains_statistics(family):
    batch = make_batch(family, 6)
    x, label = family.standardised(batch)
    for number, one in enumerate(x.numpy()):
        domain = int(label[number])
        np.testing.assert_allclose(one * family.deviation[domain] + family.mean[domain], batch["spectrum"][number], atol=1e-5)
    assert np.abs(x.numpy().mean(axis=(0, 1))).max() < 0.4


# Layers.


def test_instance_norm_by_hand():
    x = np.random.default_rng(0).normal(2.0, 3.0, (2, 40, 5)).astype(np.float32)
    made = InstanceNorm()(x).numpy()
    np.testing.assert_allclose(made, (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5), atol=1e-4)
    layer = InstanceNorm(window=8)
    windowed = layer(x).numpy()
    for t in (0, 3, 20, 39):
        part = x[:, max(0, t - 4) : t + 5]
        expected = (x[:, t] - part.mean(axis=1)) / np.sqrt(part.var(axis=1) + 1e-5)
        np.testing.assert_allclose(windowed[:, t], expected, atol=1e-3)
    assert InstanceNorm(window=8)(x[:, :2]).shape == (2, 2, 5)  # shorter than half a window
    plain = InstanceNorm(statistics=False)
    np.testing.assert_allclose(plain(x), x)


def test_scale_and_shift_are_linear_in_the_code():
    x = np.random.default_rng(0).normal(size=(3, 30, 4)).astype(np.float32)
    layer = InstanceNorm(seed=1)
    codes = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]], np.float32)
    same = np.repeat(x[:1], 3, axis=0)
    first, second, between = layer(same, codes).numpy()
    assert not np.allclose(first, second, atol=1e-2)
    np.testing.assert_allclose(between, (first + second) / 2, atol=1e-5)
    projection = CodeProjection()
    projection(x, codes)
    projection.kernel.assign(np.ones((3, 4)))
    np.testing.assert_allclose(projection(x, codes)[..., 0], x.sum(axis=-1), atol=1e-5)


def test_windowed_mean_keeps_its_precision_over_minutes():
    x = np.random.default_rng(0).normal(5.0, 0.1, (1, 20000, 2)).astype(np.float32)
    made = windowed_mean(tf.constant(x), 32).numpy()
    assert np.abs(made[0, 15000] - x[0, 14984:15017].astype(np.float64).mean(axis=0)).max() < 1e-4


# Pieces.


@pytest.mark.parametrize("change", [(), ("model.norm=none",), ("model.bottleneck=4", "model.blocks=2", "model.norm_frames=8")])
def test_pieces_with_context_are_as_the_whole(change):
    family = make_family("stargan_vc", *change)
    disturb(*family.networks.values())
    model = family.inference_model(family.networks)
    assert (model.chunk_frames, model.stride_frames) == (0, 4)
    context = model.receptive_frames
    assert context % 4 == 0
    frames = 4 * context + 40
    mel = np.random.default_rng(0).normal(-5, 1, (1, frames, 20)).astype(np.float32)
    whole = model.convert(mel, [0], [2]).numpy()
    start, end = 2 * context, 2 * context + 40
    piece = model.convert(mel[:, start - context : end + context], [0], [2]).numpy()
    np.testing.assert_allclose(piece[:, context:-context], whole[:, start:end], atol=2e-4)
    changed = mel.copy()
    changed[:, start - context - 1] += 5.0
    np.testing.assert_allclose(model.convert(changed, [0], [2]).numpy()[:, start:], whole[:, start:], atol=2e-4)
    assert receptive_frames(family.model) < 600


def test_norms_over_all_time_are_said_to_need_pieces_of_one_length():
    family = make_family("stargan_vc", "model.norm_frames=0")
    assert family.inference_model(family.networks).chunk_frames == 64  # twice a crop


# Prosody.


def test_contours_are_standardised_by_domain_and_drawn_from_theirs(family):
    batch, label = family.contour_batch(64, make_draws())
    assert batch.shape == (64, 32, 4)
    flat = family._contours.numpy()
    assert flat.mean() == pytest.approx(0.0, abs=1e-3)
    assert flat.std() == pytest.approx(1.0, abs=0.02)
    windows = np.lib.stride_tricks.sliding_window_view(flat[:1000], 32, axis=0).transpose(0, 2, 1)
    first = batch.numpy()[label.numpy() == 0][0]
    assert np.abs(windows - first).max(axis=(1, 2)).min() < 1e-6
    with pytest.raises(DatasetError, match="less than a second of voiced speech"):  # and what was there stays
        family.set_contours(iter([(np.zeros(500, np.float32), "d0")]), 0.008)


def test_a_prosody_network_takes_part_in_converting_f0():
    family = make_family("stargan_vc", CWT)
    family.set_contours(contours(family), 0.008)
    model = family.inference_model(family.networks)
    given = next(iter(contours(family)))[0]
    given[300:350] = 0.0
    made = model.convert_f0(given, 0, 2)
    assert not made[300:350].any()
    voiced = given > 0
    assert made[voiced].mean() == pytest.approx(4.8 + 0.6, abs=0.1)
    for variable in family.networks["prosody"].trainable_variables:
        variable.assign(tf.zeros_like(variable))
    kept = model.convert_f0(given, 0, 2)  # a network that hands its input on gives the statistics of each scale alone
    assert not np.allclose(kept[voiced], made[voiced], atol=1e-4)


# Learning.


@pytest.mark.slow
def test_it_learns_what_makes_a_domain():
    """Two domains of one mean and deviation that differ in how bands move together: statistics cannot convert them.

    Without `model.residual`: half the bands are to be turned over, which a network that adds to its input reaches only through a silence
    of theirs, where the cycle loss is at its highest: at the recipe's weights it needs 600 steps to get half-way. Voices differ by less.
    """
    overrides = ["data.batch_size=8", "losses.identity_stop=0", "losses.source_classifier=0", "training.ema=0", "losses.most_masked=0.25"]
    overrides += ["model.residual=false", "model.channels=16", "model.critic_channels=16"]
    overrides += [f"optimizers.{name}.{rate}" for name in ("generator", "critic") for rate in ("learning_rate=2e-3", "schedule=constant")]
    recipe = load_recipe("stargan_vc/tiny", overrides)
    info = make_info(recipe, 2)
    spec = recipe.model.frame_features(RATE)  # type: ignore[attr-defined]
    for name in info.labels:
        info.statistics[spec.mel_statistics(name)] |= {"mean": [-5.0] * 20, "deviation": [1.0] * 20}
    learner = Learner(recipe, lambda: StarGANVC(recipe, info, seed=0), Devices(), 80)
    pattern = np.where(np.arange(20) < 10, 1.0, -1.0)  # one domain moves its halves together, the other against each other

    def batch(step: int) -> dict[str, tf.Tensor]:
        rng = np.random.default_rng(step)
        label = np.arange(8) % 2
        slow = rng.normal(size=(8, 8, 1)).repeat(4, axis=1)
        spectrum = -5.0 + np.where(label[:, None, None] == 0, slow, slow * pattern) + 0.1 * rng.normal(size=(8, 32, 20))
        return {"spectrum": tf.constant(spectrum, tf.float32), "label": tf.constant(label, tf.int32)}

    def likeness(model: VoiceConverter) -> float:
        """1 where conversions move as the target does, -1 where they still move as the source."""
        held = batch(99_999)
        made = model.convert(held["spectrum"], held["label"], 1 - held["label"]).numpy() + 5.0
        together = np.array([np.corrcoef(one[:, :10].mean(axis=1), one[:, 10:].mean(axis=1))[0, 1] for one in made])
        return float(np.mean(np.where(held["label"].numpy() == 0, -together, together)))

    family = learner.family
    before = likeness(family.inference_model(family.networks))
    for step in range(80):
        learner.step(step, [batch(step)])
    assert before < 0.0
    assert likeness(family.inference_model(family.networks)) > 0.7
    detected = family.inference_model(family.networks).detect(batch(7)["spectrum"]).numpy().argmax(axis=1)
    np.testing.assert_array_equal(detected, np.arange(8) % 2)


# Previews and the shipped model.


def test_a_filter_changes_the_spectrum_as_it_is_told():
    convention = MelConvention(fft=512, hop=128, bands=24).resolved(RATE)
    sound = voice(1.0, 140.0, (600.0, 1500.0))
    np.testing.assert_allclose(filtered(sound, convention, np.zeros((63, 24))), sound, atol=1e-4)
    change = np.linspace(-1.0, 1.0, 24)[None].repeat(63, axis=0)
    made = log_mel(filtered(sound, convention, change), convention) - log_mel(sound, convention)
    inside = slice(5, -5)
    assert np.abs(made[inside, 4:-4].mean(axis=0) - change[0, 4:-4]).max() < 0.35
    later = np.zeros((63, 24))
    later[40:] = -3.0
    quiet = filtered(sound, convention, later)
    np.testing.assert_allclose(quiet[: 36 * 128], sound[: 36 * 128], atol=2e-3)
    assert np.abs(quiet[45 * 128 :]).max() < 0.15 * np.abs(sound[45 * 128 :]).max() + 1e-3


def test_the_shipped_model_holds_all_it_needs(tmp_path, family, monkeypatch):
    monkeypatch.setattr(family, "info", make_info(family.recipe, consent="agreed"))
    model = family.inference_model(family.networks)
    model.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    assert isinstance(loaded, VoiceConverter)
    mel = make_batch(family)["spectrum"]
    np.testing.assert_allclose(loaded.convert(mel, [0, 1, 2, 0], [1, 2, 0, 2]), model.convert(mel, [0, 1, 2, 0], [1, 2, 0, 2]), atol=1e-4)
    np.testing.assert_allclose(loaded.detect(mel), model.detect(mel), atol=1e-5)
    given = next(iter(contours(family)))[0]
    np.testing.assert_allclose(loaded.convert_f0(given, 0, 1), model.convert_f0(given, 0, 1), atol=1e-5)
    assert loaded.consent == loaded.provenance["consent"] == "agreed"
    assert loaded.domains == ["d0", "d1", "d2"]
    assert (loaded.features, loaded.vocoder) == ("mel", "world")


def test_previews_go_to_other_domains(family):
    clips = []
    for number in range(6):
        sound = voice(0.5 + 0.1 * number, 150.0, (600.0, 1500.0), number)
        spectrum = log_mel(sound, family.convention)
        clips.append(SimpleNamespace(spectrum=spectrum, label=f"d{number % 3}", ln_f0=None, audio=lambda sound=sound: sound))
    ConversionFamily.begin(family, SimpleNamespace(splits=("train",), frame_clips=lambda split: iter(clips)))
    made = family.preview(family.networks, 6)
    beside = family.preview_companions(6)["recording"]
    assert made.shape == beside.shape
    assert made.shape[0] == 6
    assert np.isfinite(made).all()
    figures = family.preview_figures(made)
    assert set(figures) == {"preview/statistics", "preview/change"}
    assert {target for _, _, target in family._converted} == {0, 1, 2}
    assert all(source != target for _, source, target in family._converted)


# Refusals.


@pytest.mark.parametrize(
    "override, message",
    [
        ("data.clip_samples=2000", "no multiple of four hops"),
        ("adversarial.loss=wgan-gp", "without penalties"),
        ("data.channels=2", "converted in mono"),
        ("model.norm_frames=6", "multiple of 4"),
        ("model.mel.sample_rate=16000", "but data.sample_rate 8000"),
    ],
)
def test_recipes_that_cannot_work_are_refused(override, message):
    with pytest.raises(RecipeError, match=message):
        make_family("stargan_vc", override)


def test_envelopes_and_a_mel_vocoder_exclude_each_other():
    with pytest.raises(RecipeError, match="envelopes without harmonics"):
        make_family("stargan_vc", "model.features=world", "model.vocoder=mel")


def test_data_sets_that_cannot_work_are_refused():
    recipe = load_recipe("stargan_vc/tiny")
    with pytest.raises(DatasetError, match="conversion is between two at least"):
        StarGANVC(recipe, make_info(recipe, 1))
    with pytest.raises(DatasetError, match="no statistics of d0, d1, d2"):
        StarGANVC(recipe, make_info(recipe, statistics={}))


# The whole way.


def train(folder: Path, data: Path, steps: int, *more: str) -> int:
    return main(["train", "--recipe", "stargan_vc/tiny", "--data", str(data), "--run", str(folder), "--steps", str(steps), "-q", *more])


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    pytest.importorskip("swift_f0")
    write_voices(tmp_path / "in")
    prepare = ["prepare", str(tmp_path / "in"), "-o", str(tmp_path / "d"), "--recipe", "stargan_vc/tiny", "--layout", "speakers"]
    assert main([*prepare, "-q"]) == 0
    # Rates that fall linearly fall to the end of the budget: with two steps the second is not what it is with four.
    constant = ("optimizers.generator.schedule=constant", "optimizers.critic.schedule=constant")
    # What takes longest is to trace the networks, anew wherever a phase begins.
    whole_game = ("losses.source_start=0", "losses.identity_stop=0", "training.preview_every=0")
    settings = ("model.prosody=cwt", "model.critic_dropout=0.2", *whole_game, *constant)
    more = [word for one in settings for word in ("--set", one)]
    assert train(tmp_path / "whole", tmp_path / "d", 2, *more) == 0
    assert train(tmp_path / "parts", tmp_path / "d", 1, *more) == 0
    assert train(tmp_path / "parts", tmp_path / "d", 2, *more) == 0
    whole, parts = (read_checkpoint(Checkpoints(tmp_path / name / "checkpoints").path(2))[0] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name], err_msg=name)
