"""The classifier of clips: its spectrogram, its augmentation, and that it learns and is cached."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.errors import DatasetError
from gansynth_cli.layers.log_mel import LogMelSpectrogram
from gansynth_cli.metrics.clips import classifier
from gansynth_cli.signal.mel import LogMel

from .conftest import tone

SAMPLES = 2048
KINDS = ("high", "low", "noise")


def tones(takes: range) -> classifier.LabelledClips:
    audio = [classifier.as_full_scale_int16(np.pad(tone(kind, take), (0, SAMPLES))[:SAMPLES]) for kind in KINDS for take in takes]
    return classifier.LabelledClips(np.stack(audio), np.repeat(np.arange(3, dtype=np.int32), len(takes)))


@pytest.fixture(scope="module")
def trained() -> classifier.Classifier:
    seen = []
    found = classifier.train_classifier(tones(range(12)), tones(range(20, 24)), KINDS, 8000, on_step=lambda *step: seen.append(step))
    assert [step for step, _, _ in seen] == sorted({step for step, _, _ in seen})
    assert seen[-1][0] == found.facts["steps"] < seen[-1][1]  # it stopped early: three tones are soon learned
    return found


@pytest.mark.slow
def test_it_learns_three_tones_that_it_never_heard(trained):
    unheard = tones(range(30, 50))
    assert trained.accuracy(unheard) > 0.95
    features, posteriors = trained.classify(unheard.audio)
    assert features.shape == (60, 128)
    assert posteriors.shape == (60, 3)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    assert trained.facts["validation_accuracy"] == 1.0


def test_judging_does_not_depend_on_block_nor_level(trained):
    clips = classifier.as_float(tones(range(40, 70)).audio)
    together = trained.classify(clips)
    alone = trained.classify(clips[71:72])
    np.testing.assert_allclose(together[0][71:72], alone[0], atol=1e-4)
    np.testing.assert_allclose(trained.classify(clips * 0.01)[0], together[0], atol=1e-3)
    nothing = trained.classify(np.zeros((0, SAMPLES), np.float32))
    assert nothing[0].shape == (0, 128)
    assert nothing[1].shape == (0, 3)
    assert np.isfinite(trained.classify(np.zeros((1, SAMPLES), np.float32))[0]).all()  # silence


def test_it_is_kept_and_found_again(trained, tmp_path):
    key = classifier.cache_key("abc", KINDS, SAMPLES, 0, 0.17)
    assert classifier.load_cached([tmp_path], key) is None
    assert classifier.store(trained, [tmp_path / "not" / "there"], key) == tmp_path / "not" / "there"
    again = classifier.load_cached([tmp_path, tmp_path / "not" / "there"], key)
    assert again is not None
    assert again.facts == trained.facts
    clips = tones(range(2)).audio
    np.testing.assert_array_equal(again.classify(clips)[0], trained.classify(clips)[0])
    assert not [file for file in (tmp_path / "not" / "there").iterdir() if file.name.startswith(".")]


def test_a_damaged_or_exchanged_cache_is_not_used(trained, tmp_path):
    classifier.store(trained, [tmp_path], "k")
    facts = tmp_path / "classifier-k.json"
    good = facts.read_text()
    facts.write_text(good.replace(trained.facts["hash"], "0" * 64))
    assert classifier.load_cached([tmp_path], "k") is None
    facts.write_text(good[: len(good) // 2])
    assert classifier.load_cached([tmp_path], "k") is None
    facts.write_text(good)
    (tmp_path / "classifier-k.keras").write_bytes(b"not a model")
    assert classifier.load_cached([tmp_path], "k") is None


def test_a_folder_that_cannot_be_written_is_passed_over(trained, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    assert classifier.store(trained, [blocked / "cache"], "k") is None
    assert classifier.store(trained, [blocked / "cache", tmp_path / "second"], "k") == tmp_path / "second"


def test_the_key_tells_data_classes_lengths_and_seeds_apart():
    keys = {
        classifier.cache_key(*arguments)
        for arguments in [
            ("a", KINDS, 10, 0, 0.1),
            ("b", KINDS, 10, 0, 0.1),
            ("a", KINDS[:2], 10, 0, 0.1),
            ("a", KINDS, 11, 0, 0.1),
            ("a", KINDS, 10, 1, 0.1),
            ("a", KINDS, 10, 0, 0.0),
        ]
    }
    assert len(keys) == 6


def test_the_layer_equals_the_numpy_spectrogram():
    spec = LogMel.for_clips(8000, 3000, bands=20, frames=30)
    audio = np.random.default_rng(0).standard_normal((3, 3000)).astype(np.float32) * [[0.1], [1], [3]]
    layer = LogMelSpectrogram(spec, mean=-4.0, deviation=2.0)
    found = layer(tf.constant(audio, tf.float32)).numpy()
    expected = (spec.compute(audio / np.abs(audio).max(axis=1, keepdims=True)) + 4) / 2
    assert found.shape == layer.compute_output_shape((3, 3000)) == (3, spec.frames, 20, 1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.spec == spec
    np.testing.assert_array_equal(again(tf.constant(audio, tf.float32)).numpy(), found)


def test_at_one_loudness_a_peak_changes_nothing_else():
    """With "rms" a click of a sample's length leaves the rest of the picture where it was; with "peak" all of it sinks."""
    spec = LogMel.for_clips(8000, 3000, bands=20, frames=30)
    audio = (0.1 * np.random.default_rng(0).standard_normal((1, 3000))).astype(np.float32)
    click = audio.copy()
    click[0, 200] = 1.5
    moved = {}
    for level in ("peak", "rms"):
        layer = LogMelSpectrogram(spec, level=level)
        np.testing.assert_allclose(layer(audio), layer(7 * audio), atol=1e-3)
        moved[level] = float(np.abs((layer(click) - layer(audio)).numpy()[0, 10:]).mean())
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).level == level
    assert moved["rms"] < 0.15
    assert moved["peak"] > 1.0


def test_augmentation_is_a_function_of_its_seed_and_changes_what_it_says():
    time = np.arange(8000) / 8000
    audio = tf.constant(np.tile(np.sin(2 * np.pi * 500 * time), (64, 1)), tf.float32)
    once = classifier.augment(audio, tf.constant([0, 1])).numpy()
    np.testing.assert_array_equal(once, classifier.augment(audio, tf.constant([0, 1])).numpy())
    assert np.abs(once - classifier.augment(audio, tf.constant([0, 2])).numpy()).max() > 0.1
    pitches = np.abs(np.fft.rfft(once, axis=1)).argmax(axis=1)  # Hz
    assert 500 * np.exp(-0.18) < pitches.min() < 460
    assert 540 < pitches.max() < 500 * np.exp(0.18)
    fixed = classifier.augment(audio, tf.constant([0, 1]), speed=0.0).numpy()
    assert (np.abs(np.abs(np.fft.rfft(fixed, axis=1)).argmax(axis=1) - 500) <= 1).all()
    level = 20 * np.log10(np.abs(once).max(axis=1))
    assert -8.5 < level.min() < -5
    assert level.max() < 1


def test_data_that_nothing_can_be_learned_from():
    clips = tones(range(2))
    one = classifier.LabelledClips(clips.audio[:2], clips.labels[:2])
    with pytest.raises(DatasetError, match="at least two labels"):
        classifier.train_classifier(one, clips, KINDS, 8000)
    with pytest.raises(DatasetError, match="validation"):
        classifier.train_classifier(clips, classifier.LabelledClips(clips.audio[:0], clips.labels[:0]), KINDS, 8000)
