"""The model that conversion ships: spectra, codes and mixes, pieces, pitch with its guards, detection, saving."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.models.voice_converter import VoiceConverter

from .converter_fixtures import CONVENTION, random_converter

HOP_SECONDS = CONVENTION.hop / CONVENTION.sample_rate


def mels(batch: int = 2, frames: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-5, 1.5, (batch, frames, CONVENTION.bands)).astype(np.float32)


def contour(seconds: float = 20.0, hz: float = 120.0, movement: float = 0.2) -> np.ndarray:
    """ln F0 with pauses."""
    t = np.arange(int(seconds / HOP_SECONDS)) * HOP_SECONDS
    values = np.log(hz) + movement * np.sin(2 * np.pi * 0.7 * t)
    return np.where(np.sin(2 * np.pi * 0.31 * t) > -0.8, values, 0.0).astype(np.float32)


def test_conversion_is_a_pure_function_of_each_example_alone():
    model = random_converter()
    mel = mels(3)
    source, target = np.array([0, 1, 2], np.int32), np.array([1, 2, 0], np.int32)
    together = model.convert(mel, source, target).numpy()
    assert together.shape == mel.shape
    assert together.dtype == np.float32
    alone = np.concatenate([model.convert(mel[i : i + 1], source[i : i + 1], target[i : i + 1]).numpy() for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    called = model({"mel": mel, "source": source, "target": target}).numpy()
    np.testing.assert_allclose(called, together, atol=1e-5)
    assert not np.allclose(together[0], model.convert(mel[:1], [0], [2]).numpy()[0], atol=1e-2)


def test_the_result_has_the_targets_statistics_where_the_network_hands_its_input_on():
    model = random_converter()
    inputs = {k: keras.Input(v.shape[1:], name=k) for k, v in model.network.input.items()}
    model = random_converter(network=keras.Model(inputs, keras.layers.Identity()(inputs["mel"])))
    mel = model.mel_mean[0] + model.mel_deviation[0] * np.random.default_rng(0).normal(size=(1, 5, CONVENTION.bands))
    made = model.convert(mel.astype(np.float32), [0], [2]).numpy()
    expected = (mel - model.mel_mean[0]) / model.mel_deviation[0] * model.mel_deviation[2] + model.mel_mean[2]
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_strength_goes_from_the_input_to_the_conversion():
    model, mel = random_converter(), mels()
    source, target = np.zeros(2, np.int32), np.ones(2, np.int32)
    whole = model.convert(mel, source, target).numpy()
    np.testing.assert_array_equal(model.convert(mel, source, target, strength=0.0).numpy(), mel)
    np.testing.assert_allclose(model.convert(mel, source, target, strength=0.25).numpy(), 0.75 * mel + 0.25 * whole, atol=1e-5)


def test_emphasis_is_what_strength_1_means_and_is_saved(tmp_path):
    plain, beyond, mel = random_converter(), random_converter(emphasis=1.2), mels()
    source, target = np.zeros(2, np.int32), np.ones(2, np.int32)
    beyond.network.set_weights(plain.network.get_weights())
    made = beyond.convert(mel, source, target).numpy()
    np.testing.assert_allclose(made, plain.convert(mel, source, target, strength=1.2), atol=1e-4)
    np.testing.assert_allclose(beyond.convert(mel, source, target, strength=1 / 1.2), plain.convert(mel, source, target), atol=1e-4)
    beyond.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras").convert(mel, source, target), made, atol=1e-5)


def test_a_mix_of_domains_lies_between_them():
    model, mel = random_converter(), mels(1)
    number = model.convert(mel, [0], [1]).numpy()
    code = model.convert(mel, [0], np.array([[0.0, 1.0, 0.0]], np.float32)).numpy()
    np.testing.assert_allclose(number, code, atol=1e-6)
    half = model.convert(mel, [0], np.array([[0.0, 0.5, 0.5]], np.float32)).numpy()
    other = model.convert(mel, [0], [2]).numpy()
    assert np.abs(half - number).mean() < np.abs(other - number).mean()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 17])
def test_any_number_of_frames(frames: int):
    model = random_converter(stride_frames=4)
    mel = mels(1, frames)
    made = model.convert(mel, [0], [1]).numpy()
    assert made.shape == mel.shape
    assert np.isfinite(made).all()


def test_pieces_with_context_are_as_the_whole():
    model = random_converter()
    mel, context = mels(1, 60), model.receptive_frames
    whole = model.convert(mel, [0], [1]).numpy()
    piece = model.convert(mel[:, 20 - context : 40 + context], [0], [1]).numpy()
    np.testing.assert_allclose(piece[:, context : context + 20], whole[:, 20:40], atol=1e-5)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model, mel = random_converter(f0_seconds=[60.0, 3.0, 0.0]), mels()
    model.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    assert isinstance(loaded, VoiceConverter)
    for name in ("domains", "labels", "consent", "provenance", "convention", "features", "vocoder", "receptive_frames", "chunk_frames"):
        assert getattr(loaded, name) == getattr(model, name)
    source, target = np.array([0, 1], np.int32), np.array([2, 0], np.int32)
    np.testing.assert_allclose(loaded.convert(mel, source, target), model.convert(mel, source, target), atol=1e-5)
    np.testing.assert_array_equal(loaded.convert_f0(contour(), 0, 1), model.convert_f0(contour(), 0, 1))
    random_converter().save(tmp_path / "unknown.keras")


def test_pitch_takes_the_targets_mean_and_deviation():
    model = random_converter()
    given = contour(hz=np.exp(model.f0_mean[0]))
    made = model.convert_f0(given, 0, 1)
    voiced = given > 0
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[~voiced], 0.0)
    expected = (given[voiced] - model.f0_mean[0]) * 2.0 + model.f0_mean[1]  # deviations .1 and .2
    np.testing.assert_allclose(made[voiced], expected, atol=1e-5)


def test_the_ratio_of_deviations_is_held():
    model = random_converter(f0_deviation=[0.01, 0.5, 0.2])
    given = contour(hz=np.exp(model.f0_mean[0]), movement=0.05)
    voiced = given > 0
    assert model.convert_f0(given, 0, 1)[voiced].std() == pytest.approx(2.0 * given[voiced].std(), rel=1e-3)
    assert model.convert_f0(given, 1, 0)[voiced].std() == pytest.approx(0.5 * given[voiced].std(), rel=1e-3)


def test_little_speech_shifts_the_median_alone():
    model = random_converter(f0_seconds=[60.0, 9.9, 0.0], f0_median=np.log([110.0, 200.0, 300.0]))
    given = contour(hz=110.0)
    voiced = given > 0
    np.testing.assert_allclose(model.convert_f0(given, 0, 1)[voiced] - given[voiced], np.log(200 / 110), atol=1e-5)
    np.testing.assert_array_equal(model.convert_f0(given, 0, 2), given)  # nothing is known of the target's pitch


def test_semitones_keep_and_limits():
    model, given = random_converter(), contour()
    voiced = given > 0
    np.testing.assert_array_equal(model.convert_f0(given, 0, 1, keep=True), given)
    np.testing.assert_allclose(model.convert_f0(given, 0, 1, semitones=12.0)[voiced] - given[voiced], np.log(2.0), atol=1e-5)
    assert np.exp(model.convert_f0(given, 0, 1, semitones=60.0)).max() == pytest.approx(1100.0, rel=1e-4)
    silent = np.zeros(50, np.float32)
    np.testing.assert_array_equal(model.convert_f0(silent, 0, 1), silent)
    assert model.convert_f0(np.zeros(0, np.float32), 0, 1).shape == (0,)


def test_a_speaker_of_no_domain_brings_its_own_statistics():
    model = random_converter()
    given = contour(hz=180.0)
    voiced = given > 0
    made = model.convert_f0(given, 0, 1, own_statistics=True)
    assert made[voiced].mean() == pytest.approx(model.f0_mean[1], abs=1e-3)
    short = contour(seconds=3.0, hz=180.0)
    shifted = model.convert_f0(short, 0, 1, own_statistics=True)
    assert np.median(shifted[short > 0]) == pytest.approx(model.f0_median[1], abs=1e-3)


def test_detection_without_a_classifier_finds_the_nearest_statistics():
    model = random_converter()
    rng = np.random.default_rng(3)
    mel = model.mel_mean[:, None] + model.mel_deviation[:, None] * rng.normal(size=(3, 50, CONVENTION.bands))
    found = model.detect(mel.astype(np.float32)).numpy()
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), [0, 1, 2])


def test_detection_weighs_bands_by_their_deviation():
    """Gaussian log-likelihoods of the average spectrum in numpy, averaged over bands, times 4."""
    model = random_converter()
    mel = mels(2, 30)
    distance = np.square((mel.mean(axis=1)[:, None] - model.mel_mean) / model.mel_deviation) / 2 + np.log(model.mel_deviation)
    scores = -4.0 * distance.mean(axis=-1)
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.detect(mel), expected, atol=1e-4)


def test_detection_with_a_classifier():
    given = keras.Input((None, CONVENTION.bands))
    pooled = keras.layers.GlobalAveragePooling1D()(given)
    classifier = keras.Model(given, keras.layers.Dense(3)(pooled))
    model = random_converter(classifier=classifier, stride_frames=4)
    mel = mels(2, 7)
    standardised = (mel - model.mel_mean.mean(axis=0)) / model.mel_deviation.mean(axis=0)
    standardised = np.concatenate([standardised, standardised[:, -1:]], axis=1)  # a multiple of the stride
    kernel, bias = classifier.get_weights()
    logits = standardised.mean(axis=1) @ kernel + bias
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.detect(mel), expected, atol=1e-4)


def test_statistics_of_another_size_are_refused():
    with pytest.raises(ValueError, match="expected"):
        random_converter(mel_mean=np.zeros((3, 5)))


def test_it_runs_inside_of_a_graph():
    model = random_converter(stride_frames=4)
    graph = tf.function(
        model.convert, input_signature=[tf.TensorSpec([None, None, CONVENTION.bands]), *[tf.TensorSpec([None], tf.int32)] * 2]
    )
    mel = mels(1, 9)
    np.testing.assert_allclose(graph(mel, [0], [1]), model.convert(mel, [0], [1]), atol=1e-5)
