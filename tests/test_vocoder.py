"""What holds for every vocoder: the game and when it begins, its losses by hand, pieces that fit together, files, resuming."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.base import BeginsWithData, ComparedPreviews, MeasuredPreviews
from gansynth_cli.layers.weight_norm import is_normalized
from gansynth_cli.losses import spectral
from gansynth_cli.models.vocoder import Vocoder
from gansynth_cli.signal.mel_front_end import mel_spectrogram
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .conftest import write_wav
from .helpers import disturb
from .tiny_families import make_draws, phase_named
from .vocoder_families import FAMILIES, make_batch, make_family, make_recipe, speech_like, steps

ALONE = ("model.discriminators=[]",)


def noise_mel(family, frames: int = 60, seed: int = 1) -> np.ndarray:
    c = family.convention
    return np.random.default_rng(seed).uniform(c.lowest, 0.0, (1, frames, c.bands)).astype(np.float32)


# The generator.


@pytest.mark.parametrize("name", FAMILIES)
def test_one_hop_of_audio_a_frame(name):
    family = make_family(name, *ALONE)
    model = family.inference_model(family.networks)
    for frames in (40, 41):
        audio = model(noise_mel(family, frames)).numpy()
        assert audio.shape == (1, frames * family.convention.hop, 1)
        assert audio.dtype == np.float32
        assert np.isfinite(audio).all()


ODD = ["model.upsample=[5, 3]", "model.upsample_kernels=[10, 6]", "model.mel.hop=15", "data.clip_samples=2040"]


@pytest.mark.parametrize("name, changes", [*((name, []) for name in FAMILIES), ("hifigan", ODD)])
def test_a_piece_comes_out_as_in_the_whole_and_no_frame_reaches_further(name, changes):
    family = make_family(name, *ALONE, *changes)
    disturb(family.networks["generator"])
    model, hop, reach = family.inference_model(family.networks), family.convention.hop, family.receptive_frames()
    frames = 2 * reach + 30
    mel = noise_mel(family, frames)
    whole = model(mel).numpy()[0, :, 0]
    start, end = 7, reach + 19
    piece = model(mel[:, start : end + reach]).numpy()[0, :, 0]
    kept = slice((reach) * hop, (end - start) * hop)  # the piece's own frames reach .. end
    np.testing.assert_allclose(piece[kept], whole[(start + reach) * hop : end * hop], atol=1e-5)
    assert np.abs(whole).max() > 1e-3
    changed = mel.copy()
    changed[:, -1] = 0.0  # heard at most `reach` frames earlier
    after = model(changed).numpy()[0, :, 0]
    untouched = (frames - 1 - reach) * hop
    np.testing.assert_allclose(after[:untouched], whole[:untouched], atol=1e-5)
    assert np.abs(after[untouched:] - whole[untouched:]).max() > 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_the_saved_model_is_folded_and_makes_the_same_sound(name, tmp_path):
    family = make_family(name, *ALONE)
    disturb(family.networks["generator"])
    model = family.inference_model(family.networks)
    model.provenance = {**model.provenance, "step": 7}
    mel = noise_mel(family)
    before = model(mel).numpy()
    model.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    assert isinstance(loaded, Vocoder)
    assert not is_normalized(loaded.network)
    np.testing.assert_allclose(loaded(mel), before, atol=2e-5)
    assert loaded.convention == family.convention
    assert (loaded.sample_rate, loaded.hop) == (8000, family.convention.hop)
    assert loaded.receptive_frames == family.receptive_frames()
    assert (loaded.provenance["step"], loaded.provenance["family"]) == (7, name)
    disturb(family.networks["generator"], seed=9)  # the model follows the trained weights, so each file holds the weights of its moment
    model.save(tmp_path / "later.keras")
    assert np.abs(keras.models.load_model(tmp_path / "later.keras")(mel) - before).max() > 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_networks(name):
    one, other, third = make_family(name, seed=5), make_family(name, seed=5), make_family(name, seed=6)
    for network in ("generator", "critic"):
        pairs = zip(one.networks[network].weights, other.networks[network].weights, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
        pairs = zip(one.networks[network].weights, third.networks[network].weights, strict=True)
        assert not all(np.array_equal(a, b) for a, b in pairs)


# The game.


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_the_phase_s_network(name):
    family = make_family(name)
    for network in family.networks.values():
        disturb(network)
    batch = make_batch(family)
    for phase_name, moved in (("reconstruction", "generator"), ("critic", "critic"), ("generator", "generator")):
        phase = phase_named(family, phase_name)
        assert phase.networks == (moved,)
        with tf.GradientTape() as tape:
            total = tf.add_n(list(phase.losses(batch, make_draws()).values()))
        slopes = tape.gradient(total, [v.value for v in family.networks[moved].trainable_variables])
        # A critic's last bias adds 1 to both sides of the hinge: its gradient is there, and cancels.
        pairs = list(zip(family.networks[moved].trainable_variables, slopes, strict=True))
        missing = [v.path for v, s in pairs if s is None or not (np.any(s) or v.path.endswith("bias"))]
        assert not missing
        assert all(np.isfinite(s).all() for s in slopes)
        if phase_name == "critic":  # generated clips are constant in it
            with tf.GradientTape() as tape:
                total = tf.add_n(list(phase.losses(batch, make_draws()).values()))
            assert all(s is None for s in tape.gradient(total, [v.value for v in family.networks["generator"].trainable_variables]))


def test_when_each_phase_runs():
    family = make_family("vocos", "adversarial.critic_start=4", "losses.adversarial_every=3")
    active = [[phase.name for phase in family.phases() if phase.active(step)] for step in range(9)]
    game, alone = ["critic", "generator"], ["reconstruction"]
    assert active == [alone, alone, alone, alone, ["between"], ["between"], game, ["between"], ["between"]]
    assert [p.name for p in make_family("vocos", *ALONE).phases()] == ["reconstruction"]
    assert [p.name for p in make_family("vocos", "adversarial.critic_start=0").phases()] == ["critic", "generator"]
    every_other = make_family("vocos", "adversarial.critic_start=0", "losses.adversarial_every=2")
    assert [[p.name for p in every_other.phases() if p.active(step)] for step in range(3)] == [game, ["between"], game]


def late_start(name: str, *changes: str) -> None:
    changes = ("adversarial.critic_start=3", "training.ema=0.0", *changes)
    recipe, family = make_recipe(name, *changes), make_family(name, *changes)
    learner = Learner(recipe, lambda: family, Devices(), 6)
    critic, generator = family.networks["critic"].trainable_variables, family.networks["generator"].trainable_variables
    first = [v.numpy() for v in critic]
    for step in range(5):
        before_critic, before_generator = [v.numpy() for v in critic], [v.numpy() for v in generator]
        values = steps(learner, 1, step)[0]
        moved = any(not np.array_equal(a, v.numpy()) for a, v in zip(before_critic, critic, strict=True))
        assert moved == (step >= 3), step
        assert any(not np.array_equal(a, v.numpy()) for a, v in zip(before_generator, generator, strict=True))
        assert any(key.startswith("critic/") for key in values) == (step >= 3)
        assert any("generator/adversarial" in key for key in values) == (step >= 3)
        if step == 2:
            assert all(np.array_equal(a, v.numpy()) for a, v in zip(first, critic, strict=True))
    kernels = [(a, v) for a, v in zip(first, critic, strict=True) if not v.path.endswith("bias")]  # the hinge moves no last bias at first
    assert all(not np.array_equal(a, v.numpy()) for a, v in kernels)


def test_critics_stand_still_until_their_step_and_move_from_then_on():
    late_start("vocos", 'model.discriminators=["mpd"]', "losses.stft_convergence=0", "losses.stft_magnitude=0")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["melgan", "hifigan"])
def test_critics_of_the_others_begin_late_too(name):
    late_start(name)


def test_losses_are_the_weighted_terms_of_the_published_formulas():
    changes = [
        "losses.critic_clips=0",
        "losses.critic_samples=0",
        "losses.average=false",
        "losses.feature_matching=3.0",
        "losses.feature_matching_first=false",
        "losses.feature_matching_logits=true",
        "losses.adversarial=2.0",
        "model.mrd.weight=0.25",
        "losses.mel_l1=0.5",
        "losses.mel_l2=0.7",
        "losses.waveform_l1=0.9",
        "losses.stft_convergence=0.3",
        "losses.stft_magnitude=0.0",
    ]
    family = make_family("vocos", *changes)
    batch = make_batch(family)
    real = batch["audio"]
    fake = family.inference_model(family.networks)(mel_spectrogram(real, family.convention))[:, : real.shape[1]]
    judged, target = (family.networks["critic"](x, training=True) for x in (fake, real))
    losses = {k: float(v) for k, v in family.generator_losses(batch, make_draws()).items()}
    assert set(losses) == {
        *("adversarial_mpd", "adversarial_mrd", "feature_matching_mpd", "feature_matching_mrd"),
        *("mel_l1", "mel_l2", "waveform_l1", "stft_convergence"),
    }
    for kind, weight in (("mpd", 1.0), ("mrd", 0.25)):
        scores = [float(tf.reduce_mean(one)) for one in judged[kind][0]]
        assert losses[f"adversarial_{kind}"] == pytest.approx(-2.0 * weight * sum(scores), rel=1e-3, abs=1e-6)  # hinge
        maps = (
            [[*features[1:], logits] for logits, features in zip(*judged[kind], strict=True)],
            [[*features[1:], logits] for logits, features in zip(*target[kind], strict=True)],
        )
        expected = sum(
            np.abs(a.numpy() - b.numpy()).mean() for mine, theirs in zip(*maps, strict=True) for a, b in zip(mine, theirs, strict=True)
        )
        assert losses[f"feature_matching_{kind}"] == pytest.approx(3.0 * weight * expected, rel=1e-3)
    mels = [mel_spectrogram(x, family.convention, soft=True).numpy() for x in (fake, real)]
    assert losses["mel_l1"] == pytest.approx(0.5 * np.abs(mels[0] - mels[1]).mean(), rel=1e-3)
    assert losses["mel_l2"] == pytest.approx(0.7 * ((mels[0] - mels[1]) ** 2).mean(), rel=1e-3)
    assert losses["waveform_l1"] == pytest.approx(0.9 * np.abs(fake.numpy() - real.numpy()).mean(), rel=1e-3)
    convergence, _ = spectral.multi_resolution_stft(fake, real, family.weights.stft_resolutions)
    assert losses["stft_convergence"] == pytest.approx(0.3 * float(convergence), rel=1e-3)
    critic = {k: float(v) for k, v in family.critic_losses(batch, make_draws()).items()}
    for kind, weight in (("mpd", 1.0), ("mrd", 0.25)):
        hinge = [
            float(tf.reduce_mean(tf.nn.relu(1 - a)) + tf.reduce_mean(tf.nn.relu(1 + b)))
            for a, b in zip(target[kind][0], judged[kind][0], strict=True)
        ]
        assert critic[f"adversarial_{kind}"] == pytest.approx(weight * sum(hinge), rel=1e-3)


def test_averaging_divides_by_the_sub_discriminators():
    family = make_family("melgan", "losses.average=true")
    assert float(family.gather([tf.constant(1.0), tf.constant(5.0)])) == 3.0
    assert float(make_family("melgan", "losses.average=false").gather([tf.constant(1.0), tf.constant(5.0)])) == 6.0


def test_critics_see_the_same_part_of_both_signals():
    family = make_family("vocos", "losses.critic_clips=3", "losses.critic_samples=512")
    ramp = tf.reshape(tf.range(4 * 2048, dtype=tf.float32), [4, 2048, 1])
    starts = set()
    for step in range(6):
        real, fake = family.shown(ramp, -ramp, make_draws(step))
        assert real.shape == fake.shape == (3, 512, 1)
        np.testing.assert_array_equal(real, -fake)
        np.testing.assert_array_equal(real[0, :, 0] - real[0, 0, 0], np.arange(512))
        starts.add(float(real[0, 0, 0]))
    assert len(starts) > 3


# The trainer and the data.


def test_previews_are_the_recordings_said_again(tmp_path):
    class Source:
        splits = ("train", "validation")

        def clips(self, split, limit=None):
            assert split == "validation"
            for seed, samples in enumerate((5000, 4100, 5000)):
                yield speech_like(samples, seed=seed), "x"

    family = make_family("vocos", *ALONE)
    assert isinstance(family, BeginsWithData)
    assert isinstance(family, ComparedPreviews)
    assert isinstance(family, MeasuredPreviews)
    family.begin(Source())
    clips = family.preview(family.networks, 2)
    assert clips.shape == (2, 4100, 1)
    beside = family.preview_companions(2)["recording"]
    np.testing.assert_array_equal(beside[1], speech_like(4100, seed=1))
    assert set(family.preview_figures(clips)) == {"preview/mel_l1", "preview/stft_convergence", "preview/stft_magnitude"}
    assert family.preview_figures(beside)["preview/mel_l1"] == pytest.approx(0.0, abs=1e-5)
    assert family.preview_figures(clips)["preview/mel_l1"] > 0.1


def test_a_normalised_input_begins_with_the_statistics_of_the_training_clips(tmp_path):
    class Source:
        splits = ("train",)

        def clips(self, split, limit=None):
            yield from ((speech_like(4100, seed=seed), "x") for seed in range(3))

    family = make_family("melgan", *ALONE, "model.mel_normalization=true")
    family.begin(Source())
    mels = np.concatenate([np.asarray(mel_spectrogram(speech_like(4100, seed=s)[None], family.convention))[0] for s in range(3)])
    generator = family.networks["generator"]
    layer = generator.get_layer("mel_normalization")
    np.testing.assert_allclose(layer.mean, mels.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(layer.deviation, mels.std(axis=0), rtol=1e-3)
    assert not any(variable is layer.mean for variable in generator.trainable_variables)
    normalised = (noise_mel(family, 20) - layer.mean.numpy()) / layer.deviation.numpy()
    plain = make_family("melgan", *ALONE).networks["generator"]
    for mine, its in zip(plain.trainable_variables, generator.trainable_variables, strict=True):
        mine.assign(its)
    np.testing.assert_allclose(generator(noise_mel(family, 20)), plain(normalised), atol=1e-5)
    family.inference_model(family.networks).save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(back(noise_mel(family, 20)), family.inference_model(family.networks)(noise_mel(family, 20)), atol=1e-5)


def prepare(tmp_path, takes: int = 12) -> str:
    for take in range(takes):
        write_wav(tmp_path / "recordings" / f"{take:02d}.wav", speech_like(4000, seed=take)[:, 0])
    arguments = ["--sample-rate", "8000", "--clip-samples", "2048", "--validation", "0.3", "--test", "0", "-q"]
    assert main(["prepare", str(tmp_path / "recordings"), "-o", str(tmp_path / "data"), *arguments]) == 0
    return str(tmp_path / "data")


THROUGH_GRIFFIN_LIM = ['model.prior="griffin-lim"', "model.iterations=2", "model.mel_iterations=2", "losses.spectrum_magnitude=1"]
THROUGH_GRIFFIN_LIM += ["losses.disturbance=1", "losses.sound_start=1"]


@pytest.mark.slow
@pytest.mark.parametrize("name, changes", [*((name, []) for name in FAMILIES), ("vocos", THROUGH_GRIFFIN_LIM)])
def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(name, changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = prepare(tmp_path)
    common = ["train", "--recipe", f"{name}/tiny", "--data", data, "--set", "training.preview_every=0", "-q"]
    common += [part for change in changes for part in ("--set", change)]
    assert main([*common, "--run", "whole", "--steps", "4"]) == 0
    assert main([*common, "--run", "parts", "--steps", "2"]) == 0
    assert main([*common, "--run", "parts", "--steps", "4"]) == 0
    whole, parts = (read_checkpoint(Checkpoints(tmp_path / run / "checkpoints").path(4))[0] for run in ("whole", "parts"))
    assert set(whole) == set(parts)
    for key, value in whole.items():
        np.testing.assert_array_equal(value, parts[key], err_msg=key)


SIZES = {
    "melgan": ["model.channels=64", "model.dilations=[1, 3, 9]"],
    "hifigan": ["model.channels=64"],
    "vocos": ["model.channels=64", "model.hidden=128", "model.blocks=3"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name, rate, count", [("melgan", 1e-3, 800), ("hifigan", 3e-3, 800), ("vocos", 5e-3, 300)])
def test_one_second_is_learnt_by_heart(name, rate, count):
    changes = [*ALONE, *SIZES[name], "data.batch_size=1", "data.clip_samples=8192", "training.ema=0.0"]
    changes += [f"optimizers.generator.{key}" for key in (f"learning_rate={rate}", "beta_1=0.8", "beta_2=0.99")]
    recipe, family = make_recipe(name, *changes), make_family(name, *changes)
    values = [v["reconstruction/mel_l1"] for v in steps(Learner(recipe, lambda: family, Devices(), count), count)]
    # Against the first steps' mean, not the first step: weights that happen to begin near silence would make it easy.
    assert np.mean(values[-10:]) < np.mean(values[:3]) / 5


# What is refused.


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("vocos", ["data.clip_samples=2050"], "no multiple of the hop of 64"),
        ("vocos", ["data.channels=2"], "a vocoder has 1"),
        ("vocos", ["model.mel.sample_rate=16000"], "model.mel.sample_rate is 16000"),
        ("vocos", ["model.mel.hop=200"], "more than half a window"),
        ("vocos", ["model.mel.high_hz=5000"], "not within 0 to 4000 Hz"),
        ("vocos", ["model.mel.window=200"], "wants them equal"),
        ("vocos", ["adversarial.loss=wgan-gp"], "a loss without penalties"),
        ("vocos", ["adversarial.r1=1.0"], "a loss without penalties"),
        ("vocos", ['model.discriminators=["mpd", "mpd"]'], "each kind once"),
        ("vocos", ["losses.mel_l1=0", "losses.stft_convergence=0", "losses.stft_magnitude=0"], "nothing to learn"),
        ("vocos", ["losses.critic_samples=64"], "needs more"),
        ("melgan", ["model.upsample=[8, 2]"], "multiplies to 16 samples a frame"),
        ("melgan", ["model.bands=4"], "multiplies to 128"),
        ("melgan", ["losses.sub_band_magnitude=1"], "gives no sub-bands"),
        ("melgan", ["model.channels=6"], "a multiple of 4"),
        ("hifigan", ["model.upsample_kernels=[16]"], "has 1 entries; expected 2"),
        ("hifigan", ["model.upsample_kernels=[16, 3]"], "at least the factor"),
        ("hifigan", ["model.kernels=[3, 4]"], "expected odd numbers"),
    ],
)
def test_recipes_that_cannot_work(name, changes, message):
    with pytest.raises(RecipeError, match=message) as caught:
        make_family(name, *changes)
    assert caught.value.exit_code == 2
