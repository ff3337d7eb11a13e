"""Bandwidth extension: the networks' sizes, filters and losses by hand, training's transforms against the lean runtime, the verb."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from scipy import signal

from gansynth_cli.cli.app import main
from gansynth_cli.data.mixing.narrowing import low_pass_gain, narrowed
from gansynth_cli.families.bwe.family import BandwidthExtension, passed_band, recorded_band
from gansynth_cli.families.bwe.terms import Pair
from gansynth_cli.inference.enhance.bandwidth import BandwidthExtensionModel, BandwidthSurvey
from gansynth_cli.layers.spectral_discriminators import spectral
from gansynth_cli.models import bandwidth_networks as networks
from gansynth_cli.models.bandwidth_extender import BandwidthExtender, Extension, ap_audio, ap_spectrum
from gansynth_cli.models.bandwidth_settings import BandwidthSettings
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal import erb
from gansynth_cli.signal import erb_front_end as front_end
from gansynth_cli.signal.band_edge import LongTermSpectrum, find_edge

from .helpers import noise

ENVELOPE = BandwidthSettings(channels=8, hidden=12, blocks=2, input_bands=16)
AP = BandwidthSettings("ap-bwe", 16000, channels=6, hidden=8, blocks=2, fft=256, window=80, hop=20)


def extender(settings: BandwidthSettings) -> BandwidthExtender:
    model = BandwidthExtender(settings, seed=1)
    if settings.network == "envelope":
        model.table["levels/kernel"].assign(0.1 * noise(*model.table["levels/kernel"].shape))
    return model


def runtime(model: BandwidthExtender) -> BandwidthExtensionModel:
    return BandwidthExtensionModel(model.settings, {name: np.asarray(weight) for name, weight in model.table.items()})


def speech_like(rate: int, seconds: float = 2.0) -> np.ndarray:
    """Noise that falls by 12 dB an octave above 500 Hz, in syllables."""
    samples = round(seconds * rate)
    spectrum = np.fft.rfft(noise(samples))
    hz = np.fft.rfftfreq(samples, 1 / rate)
    audio = np.fft.irfft(spectrum / (1 + (hz / 500) ** 2), samples) * (1 + np.sin(2 * np.pi * 4 * np.arange(samples) / rate))
    return 0.3 * audio / np.abs(audio).max()


def low_passed(audio: np.ndarray, rate: int, edge: float) -> np.ndarray:
    spectrum = np.fft.rfft(audio)
    return np.fft.irfft(np.where(np.fft.rfftfreq(len(audio), 1 / rate) < edge, spectrum, 0), len(audio))


# The networks.


def test_ap_bwe_has_the_published_size():
    recipe = load_recipe("bwe/base")
    settings = BandwidthSettings("ap-bwe", 16000, recipe.model.channels, recipe.model.hidden, recipe.model.blocks)
    assert networks.count(settings) == 29_760_515  # 29.76 M in the paper's table
    assert networks.operations_per_second(settings) == pytest.approx(5.94e9, rel=1e-3)


def test_the_bundled_recipe_is_small():
    m = load_recipe("bwe/small").model
    settings = BandwidthSettings(channels=m.channels, hidden=m.hidden, blocks=m.blocks, input_bands=m.input_bands)
    assert networks.count(settings) < 500_000
    assert networks.operations_per_second(settings) < 45e6


def test_generated_bands_cover_all_bins():
    starts = ENVELOPE.output_starts
    assert starts[0] == 30
    assert starts[-1] == 481
    np.testing.assert_allclose(ENVELOPE.spread.sum(axis=0)[30:], 1.0, rtol=1e-6)
    assert not ENVELOPE.spread[:, :30].any()


@pytest.mark.parametrize(("settings", "rate"), [(ENVELOPE, 48000), (ENVELOPE, 16000), (AP, 16000)])
def test_training_the_runtime_and_blocks_agree(settings, rate):
    model, audio = extender(settings), speech_like(rate, 0.31)[:-7].astype(np.float32)
    trained = model.extend(tf.constant(audio[None]), tf.constant([4000.0]), tf.constant([-20.0]), sample_rate=rate).audio.numpy()[0]
    whole = runtime(model).stream(1, rate, 4000.0, -20.0)
    once = np.concatenate([whole.process(audio[None]), whole.finish()], axis=1)[0]
    stream, pieces = runtime(model).stream(1, rate, 4000.0, -20.0), np.split(audio, [1, 700, 701, 2500])
    blocks = np.concatenate([*(stream.process(piece[None]) for piece in pieces), stream.finish()], axis=1)[0]
    assert len(once) == len(blocks) == len(audio)
    np.testing.assert_allclose(blocks, once, atol=1e-6)
    np.testing.assert_allclose(once, trained, atol=1e-3 if settings is AP else 2e-5)  # phases of silent bins turn with rounding
    assert np.abs(once - audio).max() > 1e-3


def test_the_low_band_stays_and_channels_are_apart():
    audio = low_passed(speech_like(16000), 16000, 4000)
    stream = runtime(extender(ENVELOPE)).stream(2, 16000, 4000.0, -20.0)
    both = np.stack([audio, 0 * audio])
    made = np.concatenate([stream.process(both), stream.finish()], axis=1)
    assert not made[1].any()
    added = np.square(np.abs(np.fft.rfft(made[0] - audio)))
    hz = np.fft.rfftfreq(len(audio), 1 / 16000)
    kept = np.square(np.abs(np.fft.rfft(audio)))[hz < 3600].sum() / added[hz < 3600].sum()
    assert 10 * np.log10(kept) > 60
    assert added[hz > 4200].sum() > 1e3 * added[hz < 3600].sum()


@pytest.mark.parametrize("rate", [44100, 22050, 96000])
def test_other_rates_keep_their_length(rate):
    audio = low_passed(speech_like(rate, 0.5), rate, 5000)
    stream = runtime(extender(ENVELOPE)).stream(1, rate, 5000.0, -20.0)
    made = np.concatenate([stream.process(audio[None]), stream.finish()], axis=1)[0]
    assert made.shape == audio.shape
    above = np.square(np.abs(np.fft.rfft(made)))[np.fft.rfftfreq(len(made), 1 / rate) > 6000].sum()
    assert above > 1e-3


def test_ap_transforms_invert_each_other():
    audio = tf.constant(noise(2, 1003))
    np.testing.assert_allclose(ap_audio(ap_spectrum(audio, AP), AP, 1003), audio, atol=1e-5)
    frame = np.pad(np.asarray(audio)[0, 400:480] * np.hanning(81)[:-1], [(88, 88)])  # 3 frames of 20 before sample 460
    np.testing.assert_allclose(ap_spectrum(audio, AP)[0, 23], np.fft.rfft(frame), atol=1e-4)


# The edge.


@pytest.mark.parametrize(("rate", "edge"), [(16000, 4000), (16000, 2500), (48000, 8000), (44100, 11000)])
def test_edges_are_found(rate, edge):
    survey = BandwidthSurvey(1, rate, 48000)
    survey.add(low_passed(speech_like(rate), rate, edge)[None])
    finding = survey.finish()
    assert finding.edge_hz == pytest.approx(edge, rel=0.06)
    assert finding.to_json()["found"]
    assert "extended to" in finding.summary()


def test_full_bands_silence_and_slopes_have_no_edge():
    for audio in (speech_like(16000), noise(32000), 1e-3 * noise(32000)):
        survey = BandwidthSurvey(1, 16000, 48000)
        survey.add(audio[None])
        assert not survey.finish()
        assert "left as it is" in survey.finish().summary()
    assert find_edge(np.linspace(-20, -90, 161)) is None
    silent = LongTermSpectrum(2, 8000)
    silent.add(np.zeros((2, 4000)))
    assert silent.loud() is None


def test_blocks_do_not_change_the_long_term_spectrum():
    audio = noise(2, 5000)
    one, many = LongTermSpectrum(2, 16000), LongTermSpectrum(2, 16000)
    one.add(audio)
    for piece in np.split(audio, [3, 900, 901], axis=1):
        many.add(piece)
    np.testing.assert_allclose(one.loud()[0], many.loud()[0])
    assert one.loud()[1] == pytest.approx(10 * np.log10(np.square(audio).mean(axis=1).sum()), abs=0.3)


# Training.


@pytest.mark.parametrize(
    ("draws", "design"),
    [
        ((0.5, 0.0, 0.0, 1.0), lambda: signal.butter(6, 3000, fs=16000, analog=False, output="sos")),
        ((0.9, 0.25, 0.5, 1.0), lambda: signal.cheby1(6, 10 * np.log10(1 + 0.525**2), 3000, fs=16000, output="sos")),
    ],
)
def test_filters_have_their_textbook_response(draws, design):
    hz = np.linspace(0, 3300, 50).astype(np.float32)
    found = low_pass_gain(hz, tf.constant(3000.0), tf.constant(draws)).numpy()
    analogue = np.abs(signal.sosfreqz(design(), np.arctan(hz / 3000 * np.tan(np.pi * 3000 / 16000)) / np.pi * 16000, fs=16000)[1])
    np.testing.assert_allclose(found, analogue, atol=2e-3)


def test_images_lie_mirrored_below_the_edge():
    tone = np.cos(2 * np.pi * 5000 * np.arange(8000) / 16000).astype(np.float32)
    made = narrowed(tf.constant(tone), tf.constant(4000.0), tf.constant([0.1, 0.0, 0.0, 0.149]), 16000).numpy()
    spectrum = np.abs(np.fft.rfft(made * np.hanning(8000)))
    assert np.argmax(spectrum) == 1500  # 3000 Hz
    assert spectrum[2500] < 1e-2 * spectrum[1500]


def test_the_passed_and_the_recorded_band_are_measured():
    full = speech_like(16000, 1.0)
    layout = erb.frame_layout(16000)
    target = front_end.analyse(tf.constant(np.stack([full, low_passed(full, 16000, 6100), full]), tf.float32), layout)
    narrow = front_end.analyse(
        tf.constant(np.stack([low_passed(full, 16000, 3000), low_passed(full, 16000, 3000), full]), tf.float32), layout
    )
    power = tf.square(target.real) + tf.square(target.imaginary)
    np.testing.assert_allclose(passed_band(narrow, target, power), [3000, 3000, 8000], atol=100)
    np.testing.assert_allclose(recorded_band(power), [8000, 6500, 8000], atol=1)


def test_level_and_phase_losses_by_hand():
    model, target = extender(ENVELOPE), tf.constant(0.1 * noise(1, 4800))
    layout = ENVELOPE.layout(16000)
    spectrum = front_end.analyse(target, layout)
    power = tf.square(spectrum.real) + tf.square(spectrum.imaginary)
    starts = ENVELOPE.output_starts
    inside = starts[1:] <= layout.bins
    means = [np.asarray(power)[0, :, low:high].mean(axis=1) for low, high in itertools.pairwise(starts) if high <= layout.bins]
    true = np.zeros((1, power.shape[1], len(inside)), np.float32)
    true[0, :, : len(means)] = 0.5 * np.log(np.stack(means, axis=1))
    weights = load_recipe("bwe/small").losses
    pair_of = lambda levels: Pair(
        Extension(target, tf.constant(levels)),
        target,
        power,
        tf.ones([1, 1]),
        tf.constant([2000.0]),
        tf.constant([8000.0]),
        model,
        weights,
        16000,
    )
    loss = lambda levels: pair_of(levels).levels()
    assert float(loss(true)) < 1e-3
    quiet = pair_of(true - np.float32(50)).loudness()  # nothing but the floor
    band = np.asarray(pair_of(true).bands[1])[0, :, np.asarray(pair_of(true).bands[2])[0, 0] > 0]
    assert float(quiet) == pytest.approx(np.mean((band / 1e-6) ** 0.23 - 0.1**0.23), rel=1e-3)
    # 10 dB more, half of it again for too much; the floor of -70 dB takes a little.
    assert float(loss(true + np.float32(np.log(10) / 2))) == pytest.approx(2.0, abs=0.05)
    assert float(loss(true - np.float32(np.log(10) / 2))) == pytest.approx(1.0, abs=0.05)

    s = AP
    phase = tf.math.angle(ap_spectrum(target, s))
    pair = lambda shift: Pair(
        Extension(target, None, tf.zeros_like(phase), phase + shift),
        target,
        power,
        tf.ones([1, 1]),
        tf.constant([2000.0]),
        tf.constant([8000.0]),
        extender(s),
        weights,
        16000,
    )
    assert float(pair(2 * np.pi).ap_phase()) == pytest.approx(0.0, abs=1e-5)
    assert float(pair(0.5).ap_phase()) == pytest.approx(0.5, abs=1e-5)  # a constant has no steps


def test_spectral_discriminators_have_the_published_layers():
    critic = spectral("phase", ((64, 16),), channels=4, seed=1)
    logits, features = critic(tf.constant(noise(2, 400, 1)))
    assert [tuple(part.shape[1:3]) for part in features[0]] == [(13, 17), (13, 9), (7, 5), (7, 3), (4, 2)]  # (frames, bins)
    assert logits[0].shape == (2, 8)


@pytest.mark.slow
def test_a_network_learns_one_clip():
    class Facts:
        fingerprint, consent = "test", ""

    recipe = load_recipe("bwe/tiny", ["losses.adversarial=0.0", "losses.feature_matching=0.0", "losses.levels=1.0"])
    family = BandwidthExtension(recipe, Facts())
    clean = speech_like(16000, 0.4)[:3200]
    batch = {"clean": tf.constant(clean[None, :, None], tf.float32)}
    batch["noisy"] = tf.constant(low_passed(clean, 16000, 3000)[None, :, None], tf.float32)
    optimizer, weights = tf.keras.optimizers.Adam(0.02), family.networks["generator"].trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = family.extend(batch).levels()
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        return loss

    losses = [float(step()) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]


# The verb.


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("model") / "bandwidth.keras"
    extender(ENVELOPE).save(file)
    return file


def test_the_verb_extends_narrow_recordings_only(tmp_path, model_file, capsys):
    narrow, full = low_passed(speech_like(16000), 16000, 4000), speech_like(16000)
    soundfile.write(tmp_path / "narrow.wav", narrow, 16000)
    soundfile.write(tmp_path / "full.wav", full, 16000)
    options = ["--do", "bandwidth", "--bandwidth-model", str(model_file), "-j", "1"]
    report = tmp_path / "report.json"
    assert main(["enhance", str(tmp_path), "-o", str(tmp_path / "out"), *options, "--report", str(report)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "full band up to 8 kHz" in told
    found = {entry["name"]: entry["found"]["bandwidth"] for entry in json.loads(report.read_text())["files"]}
    assert found["narrow.wav"]["edge_hz"] == pytest.approx(4000, rel=0.06)
    assert not found["full.wav"]["found"]
    read = lambda path: soundfile.read(path, dtype="int16")[0]
    np.testing.assert_array_equal(read(tmp_path / "out" / "full.wav"), read(tmp_path / "full.wav"))
    assert (read(tmp_path / "out" / "narrow.wav") != read(tmp_path / "narrow.wav")).any()


def test_the_output_may_have_a_higher_rate(tmp_path, model_file, capsys):
    soundfile.write(tmp_path / "a.wav", np.stack([speech_like(8000)] * 2, axis=1), 8000)
    options = ["--do", "bandwidth", "--bandwidth-model", str(model_file), "--output-rate", "16000", "--keep-removed", "-j", "1"]
    assert main(["enhance", str(tmp_path / "a.wav"), "-o", str(tmp_path / "b.wav"), *options]) == 0
    made, rate = soundfile.read(tmp_path / "b.wav")
    assert rate == 16000
    assert made.shape == (32000, 2)
    assert soundfile.info(tmp_path / "b.removed.wav").frames == 32000
    assert "band ends at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--output-rate", "16000"], ["--bandwidth-model", "x.keras"], ["--do", "bandwidth", "--bandwidth-model", "denoiser"]]
)
def test_wrong_options_are_refused(options, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", speech_like(8000, 0.2), 8000)
    assert main(["enhance", str(tmp_path / "a.wav"), "-o", str(tmp_path / "b.wav"), *options]) in (1, 2)
    assert "bandwidth" in capsys.readouterr().err
    assert not (tmp_path / "b.wav").exists()
