"""Vocos: the published size, its head against the transform it inverts, and the pseudo-inverse prior."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.vocoder_terms import TERMS, Comparison, of_sound
from gansynth_cli.families.vocos.family import Vocos
from gansynth_cli.inference.vocode.stream import NetworkVocoder, vocode_blocks
from gansynth_cli.layers.vocoder import GriffinLimStart, MelToLogMagnitude, SpectrumToAudio
from gansynth_cli.models.vocoder import Vocoder
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import bank_of, linear_mel, magnitude_spectrum, mel_spectrogram, mel_to_magnitude
from gansynth_cli.signal.stft import griffin_lim
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .helpers import disturb
from .vocoder_families import make_batch, make_family, make_recipe, speech_like, steps


def test_published_size():
    family = Vocos(load_recipe("vocos", ["model.discriminators=[]"]), DatasetInfo("x", 24000, 1, 16384, [], {}))
    assert family.networks["generator"].count_params() / 1e6 == pytest.approx(13.53, abs=0.005)


def test_the_authors_first_weights():
    """torch's trunc_normal_ cuts at +-2: deviation 0.02, where a cut at two deviations leaves 0.0176; the last layer is U(+-1/sqrt(n))."""
    sizes = ["model.channels=64", "model.hidden=256", "model.prior=none"]
    cut, authors = (make_family("vocos", *sizes, f"model.first_weights={kind}").networks["generator"] for kind in ("truncated", "authors"))
    wide = lambda network: next(layer for layer in network.layers if getattr(layer, "units", 0) == 256).kernel.numpy()
    assert wide(cut).std() == pytest.approx(0.0176, rel=0.03)
    assert wide(authors).std() == pytest.approx(0.02, rel=0.03)
    assert np.abs(wide(authors)).max() > 0.05 > 0.0401 > np.abs(wide(cut)).max()
    last, bias = (getattr(authors.get_layer("spectrum"), name).numpy() for name in ("kernel", "bias"))
    assert 0.12 < np.abs(last).max() <= 0.125
    assert last.std() == pytest.approx(0.125 / np.sqrt(3), rel=0.03)
    assert 0.1 < np.abs(bias).max() <= 0.125
    assert not cut.get_layer("spectrum").bias.numpy().any()


@pytest.mark.parametrize("padding", ["centre", "reflect"])
def test_the_head_inverts_the_transform_that_mel_spectrograms_are_made_of(padding):
    """So frame t of a mel spectrogram and frame t of the head lie on the same samples."""
    c = MelConvention(fft=256, hop=64, padding=padding).resolved(8000)
    audio = speech_like(4096)[:, 0]
    padded = np.pad(audio, c.reach, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::64]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    spectrum = np.fft.rfft(frames * window)
    values = np.concatenate([np.log(np.abs(spectrum) + 1e-9), np.angle(spectrum)], axis=1).astype(np.float32)
    made = SpectrumToAudio(c, 1e4)(values[None]).numpy()[0, :, 0]
    assert len(made) == c.frames(4096) * 64
    np.testing.assert_allclose(made[:4096], audio, atol=1e-4)


def test_magnitudes_are_clipped_and_their_gradient_stays_finite():
    c = MelConvention(fft=256, hop=64).resolved(8000)
    head, spectrum = SpectrumToAudio(c, 100.0), tf.Variable(np.full((1, 5, 258), 200.0, np.float32))
    with tf.GradientTape() as tape:
        audio = head(spectrum)
        loss = tf.reduce_sum(audio**2)
    assert np.isfinite(audio).all()
    assert np.isfinite(tape.gradient(loss, spectrum)).all()
    limit = tf.fill([1, 5, 129], np.float32(np.log(100.0)))
    expected = SpectrumToAudio(c, 1e9)(tf.concat([limit, spectrum[..., 129:]], axis=-1))
    np.testing.assert_allclose(audio, expected, rtol=1e-4, atol=1e-5)


def test_the_prior_gives_back_the_mel_spectrum_and_the_network_only_adds_to_it():
    family = make_family("vocos", "model.discriminators=[]")
    c, audio = family.convention, make_batch(family)["audio"]
    mel = mel_spectrogram(audio, c)
    prior = MelToLogMagnitude(c)(mel)
    again = np.log(np.maximum(np.exp(prior.numpy()) @ bank_of(c), c.floor))
    loud = mel.numpy() > np.log(1e-2)
    assert np.abs(again - mel.numpy())[loud].mean() < 0.3  # nearer than 3 dB, where it is not the floor that speaks
    head = family.networks["generator"].get_layer("spectrum")
    for variable in head.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    made = family.networks["generator"](mel)
    np.testing.assert_allclose(made[..., : c.fft // 2 + 1], prior, atol=1e-4)
    np.testing.assert_array_equal(made[..., c.fft // 2 + 1 :], tf.zeros_like(prior))
    bare = make_family("vocos", "model.discriminators=[]", "model.prior=none")
    assert bare.networks["generator"].count_params() == family.networks["generator"].count_params()


# Griffin-Lim as the prior.

PRIOR = ('model.prior="griffin-lim"', "model.iterations=3", "model.mel_iterations=3", "model.discriminators=[]")
SPECTRUM = ("losses.spectrum_magnitude=1", "losses.spectrum_convergence=1", "losses.spectrum_mel=1", "losses.spectrum_disturbance=1")


def test_untrained_it_is_griffin_lim():
    family = make_family("vocos", *PRIOR, "model.mel_iterations=0")
    c = family.convention
    mel = mel_spectrogram(make_batch(family, 2)["audio"], c)
    made = family.inference_model(family.networks)(mel).numpy()[..., 0]
    magnitude = mel_to_magnitude(linear_mel(mel, c), c, 10)
    pulse = tf.constant(np.pi * (np.arange(129) % 2), tf.float32)
    audio = griffin_lim(magnitude, c.fft, c.hop, made.shape[1], front=128, iterations=3, momentum=0.99, phase=pulse)
    # The generator's magnitudes and phases have floors, which are silence beside this.
    assert np.abs(made - audio).max() < 0.01 * np.abs(audio).max()


def test_its_first_frames_are_pulses_in_their_middle():
    """So a frame does not need to know its place."""
    c = MelConvention(fft=256, hop=64, bands=20).resolved(8000)
    start = GriffinLimStart(c)(np.full((1, 3, 20), -3.0, np.float32)).numpy()
    spectrum = np.exp(start[0, :, :129] + 1j * start[0, :, 129:])
    assert (np.abs(np.fft.irfft(spectrum)).argmax(axis=1) == 128).all()
    np.testing.assert_allclose(start[:, 0], start[:, 2], atol=1e-5)


def test_iterations_with_the_mel_spectrum_alone_come_nearer_to_it():
    distances = {}
    for plain, more in ((6, 0), (3, 3)):
        family = make_family("vocos", *PRIOR, f"model.iterations={plain}", f"model.mel_iterations={more}")
        c, audio = family.convention, make_batch(family)["audio"]
        made = family.inference_model(family.networks)(mel_spectrogram(audio, c))[:, : audio.shape[1]]
        distances[more] = float(tf.reduce_mean(tf.abs(mel_spectrogram(made, c) - mel_spectrogram(audio, c))))
    assert distances[3] < 0.9 * distances[0]


def test_pieces_equal_the_whole_and_the_last_frame_reaches_no_further():
    family = make_family("vocos", *PRIOR)
    disturb(family.networks["generator"], deviation=0.02)
    vocoder = NetworkVocoder(family.inference_model(family.networks), Path("x"), "0")
    c, reach = family.convention, family.receptive_frames()
    assert reach == 2 * 3 + 6 * 3 + 4
    mel = mel_spectrogram(speech_like(14000, seed=5)[None], c).numpy()[0]
    whole = vocoder(mel)
    joined = np.concatenate(list(vocode_blocks(np.array_split(mel, 7), vocoder, chunk_frames=33)))
    np.testing.assert_allclose(joined, whole, atol=1e-4)
    changed = mel.copy()
    changed[-1] = 0.0
    untouched = (len(mel) - 1 - reach) * c.hop
    after = vocoder(changed)
    np.testing.assert_allclose(after[:untouched], whole[:untouched], atol=1e-4)
    assert np.abs(after[untouched:] - whole[untouched:]).max() > 1e-3


@pytest.mark.parametrize("stored_as, size, apart", [("float32", 1.0, 1e-6), ("float16", 0.75, 0.05)])
def test_the_file_holds_all_of_it(stored_as, size, apart, tmp_path):
    family = make_family("vocos", *PRIOR, "model.channels=64", "model.hidden=128")
    disturb(family.networks["generator"], deviation=0.02)
    model = family.inference_model(family.networks)
    model.save(tmp_path / "whole.keras")
    model.save(tmp_path / "v.keras", stored_as=stored_as)
    loaded = keras.models.load_model(tmp_path / "v.keras", compile=False)
    assert isinstance(loaded, Vocoder)
    assert all(v.dtype == "float32" for v in loaded.weights)
    assert (tmp_path / "v.keras").stat().st_size <= size * (tmp_path / "whole.keras").stat().st_size
    for a, b in zip(loaded.network.weights, model.network.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0 if stored_as == "float32" else 1e-3, atol=1e-7)
    mel = mel_spectrogram(make_batch(family, 1)["audio"], family.convention)
    whole = model(mel).numpy()
    assert np.abs(loaded(mel) - whole).max() <= apart * np.abs(whole).max()


def test_spectrum_terms_are_zero_at_the_truth_and_as_large_as_the_mistake():
    family = make_family("vocos", *PRIOR, *SPECTRUM)
    c, real = family.convention, make_batch(family)["audio"]
    true = tf.math.log(magnitude_spectrum(real, c) + 1e-12)
    made = lambda log_magnitude: tf.concat([log_magnitude, tf.zeros_like(log_magnitude)], axis=-1)
    pair = lambda made: Comparison(family.weights, family.loss_convention, real, own=family.own_spectrum(made, real))
    distances = lambda made: TERMS(family.weights, pair(made), without=of_sound(family.weights))
    exact = distances(made(true))
    assert set(exact) == {"spectrum_magnitude", "spectrum_convergence", "spectrum_mel", "spectrum_disturbance"}
    assert all(float(value) < 1e-2 for value in exact.values())
    twice = distances(made(true + np.float32(np.log(2.0))))
    assert float(twice["spectrum_convergence"]) == pytest.approx(1.0, abs=1e-3)
    assert float(twice["spectrum_magnitude"]) == pytest.approx(np.log(2.0), abs=0.05)
    assert float(twice["spectrum_mel"]) == pytest.approx(np.log(2.0), abs=0.05)
    assert float(twice["spectrum_disturbance"]) > 0.1


@pytest.mark.slow
def test_first_the_spectrum_then_the_sound_then_the_critics():
    changes = ("losses.sound_start=2", "adversarial.critic_start=4", "losses.disturbance=1", "training.ema=0.0", *SPECTRUM)
    changes = (*PRIOR[:3], 'model.discriminators=["mpd"]', *changes)
    family, recipe = make_family("vocos", *changes), make_recipe("vocos", *changes)
    learner = Learner(recipe, lambda: family, Devices(), 6)
    layer = family.networks["generator"].get_layer("spectrum")
    seen, phase_bias = [], []
    for step in range(5):
        values = steps(learner, 1, step)[0]
        assert all(np.isfinite(value) for value in values.values()), values
        seen.append({name.split("/")[0] for name in values})
        phase_bias.append(float(np.abs(layer.bias.numpy()[129:]).max()))
    assert seen == [{"spectrum"}, {"spectrum"}, {"reconstruction"}, {"reconstruction"}, {"critic", "generator"}]
    assert phase_bias[1] == 0.0 < phase_bias[2]  # phases are heard, not seen


def test_the_sound_s_gradient_is_finite_in_silence():
    family = make_family("vocos", *PRIOR)
    network, silence = family.networks["generator"], tf.zeros([1, 2048, 1])
    disturb(network, deviation=0.02)
    with tf.GradientTape() as tape:
        losses = family.distances(silence, *family.generate(silence))
        total = tf.add_n(list(losses.values()))
    assert all(np.isfinite(g.numpy()).all() for g in tape.gradient(total, [v.value for v in network.trainable_variables]))


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("vocos", ["losses.sound_start=2"], "before that step there is nothing to learn"),
        ("vocos", ["losses.sound_start=5", "losses.spectrum_mel=1"], "discriminators need waveforms"),
        ("melgan", ["losses.spectrum_magnitude=1"], "family 'melgan' gives waveforms"),
        ("melgan", ["losses.sound_start=2"], "family 'melgan' gives waveforms"),
    ],
)
def test_orders_of_losses_that_cannot_work(name, changes, message):
    with pytest.raises(RecipeError, match=message):
        make_family(name, *changes)
