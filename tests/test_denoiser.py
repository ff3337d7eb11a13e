"""The denoisers: networks, their two executions, losses, phases, and the way from a recipe to a model file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.errors import RecipeError, RunError
from gansynth_cli.families.denoiser.family import Denoiser
from gansynth_cli.inference.enhance.numpy_network import FrameNetwork
from gansynth_cli.layers.recurrent import compiled_by_xla, cudnn_parameters, gru, gru_sequence
from gansynth_cli.losses import spectral
from gansynth_cli.losses.perceptual import bark_disturbance
from gansynth_cli.models.frame_denoiser import FrameDenoiser
from gansynth_cli.models.mask_networks import make_network
from gansynth_cli.models.model_file import find_model
from gansynth_cli.recipe import load_recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.advice import gain_over_parent
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices

from .conftest import write_wav

INFO = DatasetInfo("noisy", 8000, 1, 4096, [], {})
SMALL = {
    "gru": {"mel_bands": 8, "width": 8, "layers": 2, "mask": "complex", "max_gain": 2.0},
    "real": {"mel_bands": 8, "width": 8, "layers": 1, "mask": "real", "max_gain": 2.0},
    "bands": {"segments": [[8, 2], [24, 4]], "channels": 4, "blocks": 2, "shared_blocks": 1, "context": 6, "max_gain": 1.5},
    "grown": {
        "segments": [[8, 2], [24, 4]],
        "channels": 4,
        "blocks": 1,
        "shared_blocks": 1,
        "context": 6,
        "max_gain": 1.5,
        "added_blocks": 1,
        "past_frames": 3,
    },
    "no context": {"segments": [[16, 2], [16, 16]], "channels": 4, "blocks": 1, "shared_blocks": 1, "context": 0, "max_gain": 1.5},
}
KINDS = {"gru": "gru", "real": "gru", "bands": "bands", "grown": "bands", "no context": "bands"}


def denoiser(name: str, spread: float = 0.3) -> FrameDenoiser:
    """A small model with random weights everywhere, so that no part of it can be left out unseen."""
    model = FrameDenoiser(KINDS[name], 8000, 64, 32, SMALL[name])
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + spread * rng.standard_normal(variable.shape))
    return model


def spectra(rows: int, frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, frames, 33)) + 1j * rng.standard_normal((rows, frames, 33))).astype(np.complex64)


def family(*settings: str, network: str = "bands") -> Denoiser:
    return Denoiser(load_recipe("denoiser/tiny", [f"model.network={network}", *settings]), INFO)


def batch(clips: int = 4, samples: int = 2048, seed: int = 1) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    clean = 0.2 * np.sin(np.arange(samples) * rng.uniform(0.1, 0.6, (clips, 1)))[..., None]
    noisy = clean + 0.1 * rng.standard_normal(clean.shape)
    return {name: tf.constant(value, tf.float32) for name, value in (("clean", clean), ("noisy", noisy), ("audio", clean))}


# The recurrent unit.


def test_gru_is_keras_gru_with_its_gradients():
    """On a GPU this compares cuDNN's way, on a CPU the loop: run it with CUDA_VISIBLE_DEVICES=0 where there is a card."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((3, 7, 4)), tf.float32)
    layer = keras.layers.GRU(5, return_sequences=True, reset_after=True, bias_initializer="normal", use_cudnn=False)
    first = tf.constant(rng.standard_normal((3, 5)), tf.float32)
    layer(x, initial_state=first)
    kernel, recurrent, bias = (v.value for v in layer.weights)

    def slopes(function):
        with tf.GradientTape() as tape:
            tape.watch([x, first])
            y = function()
            loss = tf.reduce_sum(y * tf.sin(y))
        return y, tape.gradient(loss, [x, first, kernel, recurrent, bias])

    def ours(run):
        outside = bias[0] + tf.concat([bias[1, :10], tf.zeros(5)], 0)
        return tf.transpose(run(tf.transpose(x, [1, 0, 2]), kernel, outside, recurrent, bias[1, 10:], first), [1, 0, 2])

    wanted, reference = slopes(lambda: layer(x, initial_state=first))
    got, gradients = slopes(lambda: ours(gru))
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    for g, r in zip(gradients, reference, strict=True):
        np.testing.assert_allclose(g, r, atol=1e-5)
    with compiled_by_xla(True):  # the loop, wherever this runs
        np.testing.assert_allclose(ours(gru), wanted, atol=1e-6)


def test_cudnn_takes_the_weights_in_its_own_order():
    """By cuDNN's documentation (cudnnRNNMode_t, CUDNN_GRU): gates r, i, h, all input kernels, then the recurrent ones, then biases."""
    rng = np.random.default_rng(1)
    n, units, rows, steps = 3, 4, 2, 5
    x, state = rng.standard_normal((steps, rows, n)), rng.standard_normal((rows, units))
    weights = [rng.standard_normal(shape) for shape in ((n, 3 * units), (3 * units,), (units, 3 * units), (units,))]
    tensors = [tf.constant(w, tf.float32) for w in weights]
    vector = cudnn_parameters(*tensors).numpy()
    assert vector.shape == (3 * units * (n + units + 2),)
    ends = np.cumsum([units * n] * 3 + [units * units] * 3 + [units] * 6)
    parts = np.split(vector, ends[:-1])
    w = [part.reshape(units, n) for part in parts[:3]]
    r = [part.reshape(units, units) for part in parts[3:6]]
    b = parts[6:]
    sigmoid = lambda a: 1.0 / (1.0 + np.exp(-a))
    h, made = state, []
    for frame in x:
        reset = sigmoid(frame @ w[0].T + h @ r[0].T + b[0] + b[3])
        update = sigmoid(frame @ w[1].T + h @ r[1].T + b[1] + b[4])
        candidate = np.tanh(frame @ w[2].T + reset * (h @ r[2].T + b[5]) + b[2])
        h = (1.0 - update) * candidate + update * h
        made.append(h)
    np.testing.assert_allclose(gru(tf.constant(x, tf.float32), *tensors, tf.constant(state, tf.float32)), np.stack(made), atol=1e-5)


def test_gru_sequence_takes_lengths_that_are_known_only_when_running():
    rng = np.random.default_rng(0)
    kernel, bias = tf.constant(rng.standard_normal((2, 6)), tf.float32), tf.zeros(2)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 6]), tf.TensorSpec([None, 2])])
    def run(inputs, state):
        return gru_sequence(inputs, kernel, bias, state)

    x = tf.constant(rng.standard_normal((5, 3, 6)), tf.float32)
    np.testing.assert_allclose(run(x, tf.zeros([3, 2])), gru_sequence(x, kernel, bias, tf.zeros([3, 2])), atol=1e-6)


# The networks and their two executions.


@pytest.mark.parametrize("name", SMALL)
def test_numpy_runs_what_tensorflow_trains(name, tmp_path):
    model, x = denoiser(name), spectra(3, 70)
    x[1] *= 1e-3  # one row is so quiet that it is lifted
    model.provenance, model.level = {"recipe": "a/b"}, 1.25
    model.save(tmp_path / "model.keras")
    network = FrameNetwork.load(find_model(tmp_path / "model.keras"))
    wanted, states = model(tf.constant(x))
    gain, state = network.run(x, network.initial_state(3))
    assert gain.shape == x.shape
    assert gain.dtype == (np.float32 if name == "real" else np.complex64)
    np.testing.assert_allclose(gain, wanted, atol=1e-5)
    for ours, theirs in zip(state, states, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (network.sample_rate, network.fft, network.hop, network.bins) == (8000, 64, 32, 33)
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(reloaded(tf.constant(x))[0], wanted)


@pytest.mark.parametrize("name", SMALL)
def test_cuts_do_not_matter_and_rows_are_independent(name, tmp_path):
    denoiser(name).save(tmp_path / "model.keras")
    network, x = FrameNetwork.load(find_model(tmp_path / "model.keras")), spectra(2, 150)
    before = network.initial_state(2)
    whole, _ = network.run(x, before)
    assert all(not part.any() for part in before)
    state, parts = before, []
    for part in np.split(x, [0, 1, 2, 40, 129, 150], axis=1):
        gain, state = network.run(part, state)
        parts.append(gain)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    alone, _ = network.run(x[1:], network.initial_state(1))
    np.testing.assert_allclose(alone, whole[1:], atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-2


@pytest.mark.parametrize("name", SMALL)
def test_no_frame_sees_a_later_one(name):
    model, x = denoiser(name), spectra(1, 12)
    changed = x.copy()
    changed[:, 7:] *= 3.0
    before, after = model(tf.constant(x))[0].numpy(), model(tf.constant(changed))[0].numpy()
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert np.abs(before[:, 7:] - after[:, 7:]).max() > 1e-3


@pytest.mark.parametrize("name", ["gru", "bands"])
def test_gains_are_bounded(name):
    gain = np.abs(denoiser(name, spread=20.0)(tf.constant(spectra(1, 20)))[0].numpy())
    assert 0.9 * SMALL[name]["max_gain"] < gain.max() < SMALL[name]["max_gain"] + 1e-4


def test_every_weight_matters():
    """A weight that no output depends on would be stored and trained for nothing."""
    for name in SMALL:
        model = denoiser(name)
        with tf.GradientTape() as tape:
            gain, _ = model(tf.constant(spectra(1, 8)))
            loss = tf.reduce_sum(tf.square(tf.math.real(gain)) + tf.math.imag(gain))
        for variable, g in zip(model.trainable_variables, tape.gradient(loss, [v.value for v in model.trainable_variables]), strict=True):
            assert np.abs(g).max() > 0, (name, variable.path)


def test_the_bands_cover_the_spectrum_in_order():
    network = make_network({"network": "bands", "sample_rate": 8000, "fft": 64, "hop": 32, "options": SMALL["bands"]})
    assert network.bands == 4 + 6
    model = denoiser("bands")
    for variable_name, variable in model.table.items():
        if variable_name.startswith(("block", "decoder", "mask")):
            variable.assign(np.zeros(variable.shape))
    for index, value in enumerate((1.0, -1.0)):  # each segment says its own gain
        model.table[f"mask{index}/bias"].assign(np.tile([value, 0.0], SMALL["bands"]["segments"][index][1]))
    gain = model(tf.constant(spectra(1, 2)))[0].numpy()[0, 0]
    assert (gain[:8].real > 1.2).all()
    np.testing.assert_allclose(gain[8:], 0.0, atol=1e-6)


def test_weights_stored_in_half_the_bytes(tmp_path):
    model, x = denoiser("bands"), spectra(1, 60)
    model.stored_as = "float16"
    model.save(tmp_path / "model.keras")
    network = FrameNetwork.load(find_model(tmp_path / "model.keras"))
    gain, _ = network.run(x, network.initial_state(1))
    np.testing.assert_allclose(gain, model(tf.constant(x))[0], atol=1e-2)
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(gain, reloaded(tf.constant(x))[0], atol=1e-5)


@pytest.mark.parametrize("name", ["gru", "bands"])
def test_quiet_recordings_are_heard_as_loud_ones(name, tmp_path):
    """25 dB below the quietest speech of training: lifted within three seconds; loud ones are heard as they are."""
    model, frames = denoiser(name), 1100  # of 4 ms
    model.save(tmp_path / "model.keras")
    network = FrameNetwork.load(find_model(tmp_path / "model.keras"))
    steady = np.repeat(spectra(1, 1), frames, axis=1)
    reference = np.sqrt(10**-3.6 * 33 * 32 / np.sum(np.abs(steady[0, 0]) ** 2)) * steady
    gains = lambda x: network.run(x.astype(np.complex64), network.initial_state(1))[0][0]
    at_reference, quiet = gains(reference), gains(10**-1.25 * reference)
    np.testing.assert_allclose(quiet[-1], at_reference[-1], atol=1e-3)
    assert np.abs(quiet[20] - at_reference[20]).max() > 1e-2
    loud = (3 * reference[:, :40]).astype(np.complex64)
    np.testing.assert_allclose(gains(loud), model(tf.constant(loud), training=True)[0][0], atol=1e-5)
    assert np.abs(gains(10**-2.5 * reference)[-1] - at_reference[-1]).max() > 1e-2  # 50 dB below is silence, and stays it


def test_a_filter_over_past_frames_takes_out_what_one_frame_cannot():
    """The present frame's gain is 1; minus the frame before, turned as a tone turns in a hop, and the tone is gone."""
    options = {**SMALL["grown"], "past_frames": 1, "max_gain": 50.0}  # so wide a bound bends nothing
    model = FrameDenoiser("bands", 8000, 64, 32, options)
    turn = np.exp(-0.7j)  # from a frame to the one after
    tone = np.repeat(spectra(1, 1), 12, axis=1) * turn ** np.arange(12)[None, :, None]
    for index, (_, width) in enumerate(SMALL["grown"]["segments"]):
        model.table[f"mask{index}/kernel"].assign(tf.zeros_like(model.table[f"mask{index}/kernel"]))
        model.table[f"filter{index}/bias"].assign(np.tile([-turn.real, -turn.imag], width))
    gain = model(tf.constant(tone.astype(np.complex64)), training=True)[0].numpy()[0]
    np.testing.assert_allclose(gain[0], 1.0, atol=1e-3)  # there was no frame before
    assert np.abs(gain[1:]).max() < 0.03  # ALIKE keeps a hundredth


@pytest.mark.parametrize("added", [{"added_blocks": 2}, {"past_frames": 2}, {"added_blocks": 1, "past_frames": 3}])
def test_what_is_added_to_a_network_begins_as_nothing_and_learns(added):
    small, x = denoiser("bands"), tf.constant(spectra(2, 20))
    grown = FrameDenoiser("bands", 8000, 64, 32, {**SMALL["bands"], **added})
    assert list(grown.table)[: len(small.table)] == list(small.table)  # so --init-from, which goes by place, takes them
    for name, variable in small.table.items():
        grown.table[name].assign(variable)
    np.testing.assert_allclose(grown(x)[0], small(x)[0], atol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.abs(grown(x, training=True)[0])))
    new = [name for name in grown.table if name not in small.table]
    gradients = tape.gradient(loss, [grown.table[name].value for name in new])
    moved = {name.split("/")[0][:-1] for name, g in zip(new, gradients, strict=True) if np.abs(g).max() > 0}
    assert moved == {name.split("/")[0][:-1] for name in new}


def test_the_runtime_does_not_load_tensorflow():
    code = "import sys, gansynth_cli.inference.enhance.numpy_network; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_lacks_a_weight_is_refused(tmp_path):
    model = denoiser("gru")
    del model.table["out/bias"]
    model.save(tmp_path / "part.keras")
    with pytest.raises(RunError, match=r"damaged.*out/bias"):
        FrameNetwork.load(find_model(tmp_path / "part.keras"))


# The family.


@pytest.mark.parametrize("samples", [2048, 2047, 100])
def test_a_gain_of_one_gives_the_recording_back(samples):
    """The transform is exact to the last sample, and aligned."""
    made = family()
    for name, variable in made.networks["generator"].table.items():
        if name.startswith("mask"):
            variable.assign(np.zeros(variable.shape))
    audio = batch(samples=samples)["noisy"][..., 0]
    np.testing.assert_allclose(made.enhance(audio), audio, atol=1e-5)


def test_the_family_hears_what_the_runtime_makes(tmp_path):
    """Training and use agree on the transform: frame t covers the samples [t hop - (fft - hop), t hop + hop)."""
    made = family("model.stored_as=float32")
    rng = np.random.default_rng(4)
    for variable in made.networks["generator"].trainable_variables:
        variable.assign(np.asarray(variable) + 0.2 * rng.standard_normal(variable.shape))
    made.inference_model(made.networks).save(tmp_path / "model.keras")
    network = FrameNetwork.load(find_model(tmp_path / "model.keras"))
    audio = batch(clips=1)["noisy"].numpy()[:, :, 0]
    fft, hop = network.fft, network.hop
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft))
    padded = np.pad(audio, [(0, 0), (fft - hop, fft)])
    frames = [np.fft.rfft(padded[:, t * hop : t * hop + fft] * window) for t in range(audio.shape[1] // hop + 1)]
    gain, _ = network.run(np.stack(frames, axis=1).astype(np.complex64), network.initial_state(1))
    made_here = np.zeros_like(padded)
    for t, frame in enumerate(frames):
        made_here[:, t * hop : t * hop + fft] += np.fft.irfft(frame * gain[:, t]) * window
    np.testing.assert_allclose(made.enhance(tf.constant(audio)), made_here[:, fft - hop :][:, : audio.shape[1]], atol=1e-5)


@pytest.mark.parametrize("network", ["gru", "bands"])
def test_noise_alone_and_silence_give_finite_gradients(network):
    made = family("losses.waveform_l1=1.0", "losses.stft=0.1", "losses.disturbance=0.1", network=network)
    mixtures = batch()
    noise_only = {**mixtures, "clean": tf.zeros_like(mixtures["clean"])}
    silence = {name: tf.zeros_like(value) for name, value in mixtures.items()}
    variables = [v.value for v in made.networks["generator"].trainable_variables]
    for given in (noise_only, silence):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            losses = made.generator_losses(given, None)
            total = tf.add_n(list(losses.values()))
        assert losses["si_snr"] == 0
        assert np.isfinite(total)
        gradients = tape.gradient(total, variables)
        assert all(np.isfinite(g).all() for g in gradients)
    # What noise alone teaches: less of it is better.
    loss = lambda factor: made.reconstruction(factor * mixtures["noisy"][..., 0], noise_only["clean"][..., 0])["magnitude"]
    assert loss(0.1) < 0.5 * loss(1.0)


def test_levels_do_not_matter_to_the_losses():
    made, mixtures = family(), batch()
    clean, noisy = mixtures["clean"], mixtures["noisy"]
    _, levelled, scale = made.levelled({"clean": clean, "noisy": noisy})
    _, quiet, quiet_scale = made.levelled({"clean": 0.1 * clean, "noisy": 0.1 * noisy})
    np.testing.assert_allclose(quiet * quiet_scale, levelled * scale, rtol=1e-2)


def test_every_term_is_its_loss_times_its_weight():
    """Each figure computed apart from the family, on clips whose level is 1."""
    names = ("disturbance", "added_disturbance", "complex", "magnitude", "over_suppression", "si_snr", "waveform_l1", "stft")
    made = family(*(f"losses.{name}={0.5 + index}" for index, name in enumerate(names)), "losses.si_snr_ceiling_db=20.0")
    mixtures = batch()
    noisy, clean, scale = made.levelled(mixtures)
    e, t = noisy * scale, clean * scale
    a, b = spectral.spectrum(e, 64, 32), spectral.spectrum(t, 64, 32)
    alone = dict(zip(names, (*bark_disturbance(a, b, 8000), *spectral.compressed_spectrum(a, b)), strict=False))
    alone["disturbance"] *= 0.1  # points of PESQ (ITU-T P.862, section 10.2.14)
    alone["added_disturbance"] *= 0.0309
    alone |= {"over_suppression": spectral.over_suppression(a, b), "si_snr": spectral.si_snr_loss(e, t, 20.0)}
    alone |= {"waveform_l1": spectral.l1(e, t)}
    alone["stft"] = sum(spectral.multi_resolution_stft(e, t, ((1024, 256, 1024), (256, 64, 256))))
    losses = made.reconstruction(e, t)
    assert list(losses) == list(names)
    for index, name in enumerate(names):
        assert float(losses[name]) == pytest.approx((0.5 + index) * float(alone[name]), rel=1e-5), name


@pytest.mark.parametrize("name", ["disturbance", "added_disturbance", "over_suppression", "si_snr", "waveform_l1", "stft"])
def test_one_term_is_enough(name):
    """The check and the losses read one table, so a recipe with any one of them is accepted and trained on it."""
    zero = [f"losses.{other}=0.0" for other in ("complex", "magnitude", "over_suppression", "si_snr", "adversarial", "feature_matching")]
    made = family(*zero, f"losses.{name}=1.0")
    assert set(made.phases()[0].losses(batch(), None)) == {name}


def test_previews_set_the_level_of_clean_speech():
    made = family()
    network = made.networks["generator"]
    for name, variable in network.table.items():  # every gain is .8
        if name.startswith("mask"):
            variable.assign(np.zeros(variable.shape))
    made._examples = {name: batch()[name].numpy() for name in ("noisy", "clean")}
    made.preview(made.networks, 2)
    assert network.level == pytest.approx(1.0, abs=1e-4)
    network.mask._bounded = lambda ops, real, imaginary: (real * 0.0 + 0.8, imaginary * 0.0)
    shown = made.preview(made.networks, 2)
    assert network.level == pytest.approx(1.25, abs=1e-4)
    np.testing.assert_allclose(shown, made._examples["noisy"][:2], atol=1e-4)
    audio = batch()["noisy"][..., 0]
    np.testing.assert_allclose(made.enhance(audio, training=True), 0.8 * audio, atol=1e-4)  # losses see what the network says


def test_the_critic_starts_late_and_each_phase_moves_its_own_network():
    recipe = load_recipe("denoiser/tiny", ["adversarial.critic_start=2"])
    learner = Learner(recipe, lambda: Denoiser(recipe, INFO), Devices(), total_steps=4)
    assert [phase.name for phase in learner.active_phases(1)] == ["generator_alone"]
    assert [phase.name for phase in learner.active_phases(2)] == ["critic", "generator"]
    copy = lambda: {name: [np.asarray(w) for w in net.trainable_weights] for name, net in learner.family.networks.items()}
    before = copy()
    result = learner.step(0, [batch()])
    after = copy()
    assert all((a == b).all() for a, b in zip(before["critic"], after["critic"], strict=True))
    assert all((a != b).any() for a, b in zip(before["generator"], after["generator"], strict=True))
    assert not any("adversarial" in name for name in result.names)
    result = learner.step(2, [batch()])
    assert {"critic/adversarial", "generator/adversarial", "generator/feature_matching", "generator/complex"} <= set(result.names)
    assert np.isfinite(result.values).all()
    assert any((a != b).any() for a, b in zip(after["critic"], copy()["critic"], strict=True))


def test_the_disturbance_joins_late():
    none = ["losses.adversarial=0.0", "losses.feature_matching=0.0"]
    recipe = load_recipe("denoiser/tiny", [*none, "losses.disturbance=0.1", "losses.added_disturbance=0.1", "losses.disturbance_start=2"])
    learner = Learner(recipe, lambda: Denoiser(recipe, INFO), Devices(), total_steps=4)
    assert [phase.name for phase in learner.active_phases(1)] == ["generator_first"]
    assert [phase.name for phase in learner.active_phases(2)] == ["generator"]
    assert learner.batches_before(4) == 4
    result = learner.step(2, [batch()])
    named = dict(zip(result.names, result.values.numpy(), strict=True))
    assert named["generator/disturbance"] > 0
    assert named["generator/added_disturbance"] > 0


def test_without_an_adversarial_weight_there_is_no_critic():
    made = family("losses.adversarial=0.0", "losses.feature_matching=0.0")
    assert set(made.networks) == {"generator"}
    assert [phase.name for phase in made.phases()] == ["generator"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.fft=66", "multiple of 4"),
        ("model.segments=[[8,2],[20,4]]", "cover 28 bins; expected model.fft / 2 = 32"),
        ("model.segments=[[8,3],[24,4]]", "even width"),
        ("model.shared_blocks=2", "0 to model.blocks"),
        ("data.channels=2", "mono"),
        ("data.clip_samples=128", "at least 4 times"),
    ],
)
def test_impossible_sizes(setting, message):
    with pytest.raises(RecipeError, match=message):
        family(setting)


def test_a_recipe_without_a_comparison():
    zero = [f"losses.{name}=0.0" for name in ("complex", "magnitude", "over_suppression", "si_snr", "waveform_l1", "stft")]
    with pytest.raises(RecipeError, match="compares with the clean clip"):
        family(*zero)
    alone = [*zero, "losses.adversarial=0.0", "losses.feature_matching=0.0", "losses.disturbance=1.0"]
    with pytest.raises(RecipeError, match="before that step there is nothing to learn"):
        family(*alone, "losses.disturbance_start=5")


@pytest.fixture(scope="module")
def noisy_dataset(tmp_path_factory) -> Path:
    from gansynth_cli.cli.app import main

    root, rng = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    for index in range(10):
        voiced = np.sin(np.arange(6000) * rng.uniform(0.1, 0.4)) * (np.sin(np.arange(6000) / 500) > 0)
        write_wav(root / "speech" / f"s{index}.wav", 0.3 * voiced)
        write_wav(root / "noise" / f"n{index}.wav", 0.1 * rng.standard_normal(6000))
    command = ["prepare", str(root / "speech"), "--noise", str(root / "noise"), "-o", str(root / "data")]
    assert main([*command, "--sample-rate", "8000", "--clip-samples", "4096", "--validation", "0.2"]) == 0
    return root / "data"


@pytest.mark.slow
def test_a_trained_network_grows(noisy_dataset, tmp_path, capsys):
    """--init-from with more blocks and past frames: at first it is the smaller network, and it trains on."""
    from gansynth_cli.cli.app import main
    from gansynth_cli.training.initialize import initialize_from

    small, plain = tmp_path / "small", ["losses.adversarial=0", "losses.feature_matching=0", "training.steps=2", "training.preview_every=2"]
    trained = lambda folder, settings, *more: main(
        ["train", "--recipe", "denoiser/tiny", "--data", str(noisy_dataset), "--run", str(folder), *more]
        + [part for one in [*plain, *settings] for part in ("--set", one)]
    )
    assert trained(small, []) == 0
    settings = ["model.added_blocks=1", "model.past_frames=2", "losses.disturbance=1.0", "losses.disturbance_worst=true"]
    made, told = [], []
    for chosen in ([], settings):
        recipe = load_recipe("denoiser/tiny", [*plain, *chosen])
        learner = Learner(recipe, lambda recipe=recipe: Denoiser(recipe, INFO), Devices(), total_steps=4)
        initialize_from(learner, small, told.append)
        made.append(learner.family.networks["generator"](tf.constant(spectra(1, 30)))[0])
    np.testing.assert_allclose(made[0], made[1], atol=1e-6)
    assert len(told) == 1  # what the smaller one has not
    x = spectra(1, 30)
    again = tmp_path / "grown"
    assert trained(again, settings, "--init-from", str(small)) == 0
    assert "gain in SI-SDR on held-out mixtures" in capsys.readouterr().err
    measured = [line["step"] for line in RunFolder.load(again).read_metrics() if "preview/si_sdr_gain" in line]
    assert (measured[0], measured[-1]) == (0, 2)
    assert not [line for line in RunFolder.load(small).read_metrics() if "preview/si_sdr_gain" in line and not line["step"]]
    after = FrameNetwork.load(find_model(again))
    gain, _ = after.run(x, after.initial_state(1))
    assert gain.shape == x.shape
    assert {"added0/spread/kernel", "filter0/kernel", "motion0/kernel"} <= set(after.network.weights)


@pytest.mark.parametrize("after, kind", [(5.0, "note"), (4.99, "warning")])
def test_a_run_says_whether_it_is_better_than_the_weights_it_began_with(after, kind):
    line = lambda step, gain: {"step": step, "preview/si_sdr_gain": gain}
    event = gain_over_parent([{"step": 0, "seconds": 1.0}, line(0, 5.0), line(100, 3.0), line(200, after), {"step": 200, "loss": 1.0}])
    assert (event.kind, event.step) == (kind, 200)
    assert f"5.00 dB before, {after:.2f} dB after 200 steps" in event.text
    assert ("worse" in event.text) == (kind == "warning")
    assert gain_over_parent([line(100, 3.0), line(200, after)]) is None
    assert gain_over_parent([line(0, 5.0)]) is None


@pytest.mark.slow
@pytest.mark.parametrize("network", ["gru", "bands"])
def test_one_batch_can_be_learnt(network):
    settings = ["losses.adversarial=0.0", "losses.feature_matching=0.0", f"model.network={network}", "model.width=32"]
    recipe = load_recipe("denoiser/tiny", [*settings, "optimizers.generator.learning_rate=0.005", "training.ema=0.0"])
    learner = Learner(recipe, lambda: Denoiser(recipe, INFO), Devices(), total_steps=300)
    mixtures = batch()
    for step in range(300):
        learner.step(step, [mixtures])
    clean, noisy = mixtures["clean"][..., 0], mixtures["noisy"][..., 0]
    before = -spectral.si_snr_loss(noisy, clean, 60.0)
    after = -spectral.si_snr_loss(learner.family.enhance(noisy), clean, 60.0)
    assert after > before + 8.0, (float(before), float(after))
