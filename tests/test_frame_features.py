"""Spectra and F0 beside the shards: what they are, statistics by domain, batches that hold them, consent; and contours of F0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.data import shards
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.data.frame_features import SPECTRUM, compute_frames, missing_frame_features, read_frame_features, sidecar_name
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.errors import DatasetError, GanAudioError
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_frames import log_mel
from gansynth_cli.signal.mel_front_end import mel_spectrogram
from gansynth_cli.signal.pitch import decompose, filled, frame_times, ln_f0_contour, recompose, resolve_tracker

from .conversion_families import RATE, VOICES, voice, write_voices

pytest.importorskip("swift_f0")
CONVENTION = MelConvention(fft=256, hop=64, bands=20).resolved(RATE)
RECIPE = load_recipe("stargan_vc/tiny")
SPEC = RECIPE.model.frame_features(RATE)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Path:
    """Two voices, prepared with their frames and a consent note."""
    root = tmp_path_factory.mktemp("voices")
    write_voices(root / "in")
    (root / "consent.txt").write_text("Anna and Bruno agreed, 2026.\n", encoding="utf-8")
    command = ["prepare", str(root / "in"), "-o", str(root / "data"), "--recipe", "stargan_vc/tiny", "--layout", "speakers"]
    assert main([*command, "--validation", "0.3", "--consent", str(root / "consent.txt"), "-q"]) == 0
    return root / "data"


# Contours.


@pytest.mark.parametrize("padding", ["centre", "reflect"])
def test_a_glide_is_followed_frame_by_frame(padding):
    convention = replace(CONVENTION, sample_rate=16000, high_hz=8000.0, padding=padding)
    t = np.arange(32000) / 16000
    hz = 120 * 2 ** (t / 2)  # an octave up in two seconds
    phase = 2 * np.pi * np.cumsum(hz) / 16000
    sound = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.1
    found = ln_f0_contour(sound.astype(np.float32), convention)
    times = frame_times(len(t), convention)
    assert len(found) == convention.frames(len(t)) == len(times)
    inside = (found > 0) & (times > 0.1) & (times < 1.9)
    assert inside.sum() > 0.9 * ((times > 0.1) & (times < 1.9)).sum()
    error = found[inside] - np.log(120 * 2 ** (times[inside] / 2))
    assert np.abs(error).max() < 0.03
    assert abs(error.mean()) < 0.008  # a frame of 8 ms too late would be half a semitone a second: 0.003


def test_no_voice_no_pitch():
    for sound in (np.zeros(8000), np.random.default_rng(0).normal(0, 0.1, 8000), np.ones(10), np.zeros(0)):
        found = ln_f0_contour(sound.astype(np.float32), CONVENTION)
        assert len(found) == CONVENTION.frames(len(sound))
        assert np.isfinite(found).all()
        assert np.count_nonzero(found) <= 0.1 * len(found)


def test_a_missing_tracker_is_named(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name in ("swift_f0", "pyworld"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for tracker, extra in (("auto", "metrics"), ("swift-f0", "metrics"), ("world", "world")):
        with pytest.raises(GanAudioError) as caught:
            resolve_tracker(tracker)
        assert f"gan-audio[{extra}]" in str(caught.value.hint)


def test_the_second_tracker_agrees():
    pytest.importorskip("pyworld")
    t = np.arange(16000) / RATE
    sound = sum(0.1 * np.cos(2 * np.pi * k * np.cumsum(130 + 20 * np.sin(3 * t)) / RATE) / k for k in range(1, 20)).astype(np.float32)
    first, second = ln_f0_contour(sound, CONVENTION, "swift-f0"), ln_f0_contour(sound, CONVENTION, "world")
    both = (first > 0) & (second > 0)
    assert both.sum() > 0.4 * len(first)
    assert np.median(np.abs(first[both] - second[both])) < 0.01


def test_wavelet_scales_add_up_to_the_movement():
    t = np.arange(1000) * 0.008
    movement = 0.2 * np.sin(2 * np.pi * 0.6 * t) + 0.05 * np.sin(2 * np.pi * 3 * t)
    contour = np.where(np.sin(2 * np.pi * 0.23 * t) > -0.9, 5.0 + movement, 0.0)
    taken, parts = decompose(contour, 0.008, 10)
    assert parts.shape == (1000, 10)
    inside = slice(100, -100)
    assert np.corrcoef(recompose(parts)[inside], taken[inside])[0, 1] > 0.98
    assert np.std(recompose(parts)[inside]) == pytest.approx(np.std(taken[inside]), rel=0.15)
    np.testing.assert_allclose(taken, filled(contour) - contour[contour > 0].mean(), atol=1e-12)
    fast = decompose(5.0 + 0.1 * np.sin(2 * np.pi * 4 * t), 0.008, 10)[1].std(axis=0)
    slow = decompose(5.0 + 0.1 * np.sin(2 * np.pi * 0.5 * t), 0.008, 10)[1].std(axis=0)
    assert slow.argmax() - fast.argmax() == 3  # eight times slower: three octaves
    assert decompose(np.zeros(50), 0.008, 4)[1].any() == False  # noqa: E712
    assert decompose(np.zeros(0), 0.008, 4)[1].shape == (0, 4)


# Spectra.


@pytest.mark.parametrize("change", [{}, {"padding": "reflect"}, {"window": 200}, {"exponent": 2, "log": "log10", "norm": "none"}])
def test_the_spectrum_is_that_of_the_tensor_front_end(change):
    convention = replace(CONVENTION, **change)
    sound = voice(0.5, 150.0, (600.0, 1500.0))
    np.testing.assert_allclose(log_mel(sound, convention), mel_spectrogram(sound[None], convention)[0], atol=2e-3)
    assert log_mel(sound[:3], convention).shape == (convention.frames(3), 20)


def test_the_envelope_has_the_colour_and_not_the_pitch():
    pytest.importorskip("pyworld")
    convention = MelConvention(fft=1024, hop=128, bands=80).resolved(16000)
    spec = replace(SPEC, kind="world", convention=convention)
    t = np.arange(16000) / 16000

    def vowel(hz: float) -> np.ndarray:
        gains = [np.exp(-(((k * hz - 700) / 300) ** 2)) + 0.05 for k in range(1, int(7000 / hz))]
        return (0.1 * sum(g * np.cos(2 * np.pi * k * hz * t) for k, g in enumerate(gains, 1))).astype(np.float32)

    # Of white noise, an envelope and a mel spectrum have the same level.
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert compute_frames(noise, spec)[0].mean() == pytest.approx(log_mel(noise, convention).mean(), abs=0.5)
    low, high = (compute_frames(vowel(hz), spec)[0][20:-20].mean(axis=0) for hz in (110.0, 220.0))
    harmonics = lambda spectrum: np.abs(np.diff(spectrum[:25])).mean()
    assert harmonics(low) < 0.5 * harmonics(log_mel(vowel(220.0), convention)[20:-20].mean(axis=0))
    assert abs(int(low.argmax()) - int(high.argmax())) <= 2
    silent, contour = compute_frames(np.zeros(4000, np.float32), spec)
    assert np.isfinite(silent).all()
    assert not contour.any()


# Beside the shards.


def test_every_clip_has_its_frames(voices):
    info = read_dataset_info(voices)
    assert info.clip_samples == 0  # recordings stay whole
    assert not missing_frame_features(info, voices, SPEC)
    for split in info.splits:
        clips = list(read_frame_features(info, voices, SPEC, split))
        assert len(clips) == info.splits[split].clips
        for clip in clips:
            sound = clip.audio()
            spectrum, ln_f0 = compute_frames(sound, SPEC)
            np.testing.assert_allclose(clip.spectrum, spectrum, atol=6e-3)  # float16
            np.testing.assert_array_equal(clip.ln_f0, ln_f0)
            assert clip.label == clip.record.speaker


def test_statistics_are_those_of_each_domains_train_split(voices):
    info = read_dataset_info(voices)
    clips = list(read_frame_features(info, voices, SPEC, "train"))
    for name, (hz, _) in VOICES.items():
        mine = np.concatenate([clip.spectrum for clip in clips if clip.label == name])
        facts = info.statistics[SPEC.mel_statistics(name)]
        np.testing.assert_allclose(facts["mean"], mine.mean(axis=0), atol=5e-3)
        np.testing.assert_allclose(facts["deviation"], mine.std(axis=0), atol=5e-3)
        values = np.concatenate([clip.ln_f0[clip.ln_f0 > 0] for clip in clips if clip.label == name])
        pitch = info.statistics[SPEC.f0_statistics(name)]
        assert pitch["mean"] == pytest.approx(values.mean(), abs=1e-4)
        assert pitch["deviation"] == pytest.approx(values.std(), abs=1e-4)
        assert pitch["median"] == pytest.approx(np.median(values), abs=3e-3)
        assert pitch["seconds"] == pytest.approx(len(values) * 0.008, abs=1e-3)
        assert np.exp(pitch["median"]) == pytest.approx(hz, rel=0.1)


def test_consent_is_kept(voices, tmp_path, capsys):
    assert read_dataset_info(voices).consent == "Anna and Bruno agreed, 2026."
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    for note, message in (("none.txt", "cannot be read"), ("empty.txt", "expected 1 to")):
        assert main(["prepare", str(voices), "-o", str(tmp_path / "d"), "--consent", str(tmp_path / note)]) == 2
        assert message in capsys.readouterr().err


def test_a_batch_holds_crops_of_the_spectra(voices):
    source = open_source(voices, RECIPE)
    batch = next(iter(source.batches(RECIPE, seed=1)))
    assert set(batch) == {"spectrum", "label"}
    assert batch["spectrum"].shape == (4, 32, 20)
    clips = list(source.frame_clips("train"))
    for spectrum, label in zip(batch["spectrum"].numpy(), batch["label"].numpy(), strict=True):
        mine = [clip for clip in clips if clip.label == source.info.labels[label]]
        windows = [np.lib.stride_tricks.sliding_window_view(clip.spectrum, 32, axis=0).transpose(0, 2, 1) for clip in mine]
        assert min(np.abs(w - spectrum).max(axis=(1, 2)).min() for w in windows) < 1e-6
    again = open_source(voices, RECIPE).batches(RECIPE, seed=1, first_clip=4)
    third = list(source.batches(RECIPE, seed=1).take(2))[1]
    np.testing.assert_array_equal(next(iter(again))["spectrum"], third["spectrum"])


def test_crops_of_spectra_start_anywhere_to_the_last_frame(voices):
    source = open_source(voices, RECIPE)
    record = next(iter(source.epoch("train", RECIPE.data, tf.constant([0, 0], tf.int64), tf.constant(0, tf.int64))))
    whole = next(clip.spectrum for clip in source.frame_clips("train") if np.array_equal(source.spectrum(record, None), clip.spectrum[:32]))
    for uniform, start in ((0.0, 0), (0.99999, len(whole) - 32)):
        np.testing.assert_array_equal(source.spectrum(record, tf.constant(uniform)), whole[start:][:32])


def test_a_clip_shorter_than_a_crop_begins_again(voices):
    recipe = load_recipe("stargan_vc/tiny", ["data.clip_samples=32768", "data.batch_size=1"])
    source = open_source(voices, recipe)
    spectrum = next(iter(source.batches(recipe, seed=0)))["spectrum"].numpy()[0]
    assert spectrum.shape == (512, 20)
    length = next(n for n in range(50, 300) if np.array_equal(spectrum[n : 2 * n], spectrum[:n]))
    assert length in {len(clip.spectrum) for clip in source.frame_clips("train")}


def test_labels_take_turns(voices):
    recipe = load_recipe("cyclegan_vc/tiny", ["data.batch_size=4"])
    source = open_source(voices, recipe)
    for batch in source.batches(recipe, seed=3).take(4):
        np.testing.assert_array_equal(batch["label"], [0, 1, 0, 1])


def test_frames_are_added_where_they_are_missing(tmp_path):
    write_voices(tmp_path / "in", takes=4)
    base = ["prepare", str(tmp_path / "in"), "-o", str(tmp_path / "d"), "--layout", "speakers", "-q"]
    assert main([*base, "--sample-rate", "8000", "--clip-samples", "0"]) == 0
    before = read_dataset_info(tmp_path / "d")
    assert missing_frame_features(before, tmp_path / "d", SPEC)
    said: list[str] = []
    source = open_source(tmp_path / "d", RECIPE)
    source.add_frame_features(said.append)
    after = read_dataset_info(tmp_path / "d")
    assert (after.fingerprint, after.splits) == (before.fingerprint, before.splits)
    assert SPEC.key in after.frame_features
    assert len(said) == 1
    source.add_frame_features(said.append)
    assert len(said) == 1
    shard = next(iter(after.splits["train"].shards))["file"]
    (tmp_path / "d" / sidecar_name(shard, SPEC.key)).unlink()
    assert missing_frame_features(after, tmp_path / "d", SPEC) == [sidecar_name(shard, SPEC.key)]
    assert main([*base, "--sample-rate", "8000", "--clip-samples", "0", "--overwrite"]) == 0  # its own files are no strangers


def test_several_processes_write_what_one_does(voices, tmp_path, monkeypatch):
    from gansynth_cli.data import frame_features

    info = replace(read_dataset_info(voices), frame_features={}, statistics={})
    monkeypatch.setattr(frame_features, "_POOL_SECONDS", 0.0)
    for shard in (shard["file"] for split in info.splits.values() for shard in split.shards):
        (tmp_path / shard).write_bytes((voices / shard).read_bytes())
    made = frame_features.ensure_frame_features(info, tmp_path, SPEC, jobs=2)
    assert made.statistics == read_dataset_info(voices).statistics
    assert made.frame_features == read_dataset_info(voices).frame_features  # with the SHA-256 of every file
    assert not list(tmp_path.glob("*.partial*"))


def test_joined_records_are_one_example():
    clip = shards.ClipRecord(b"RIFF", 3, "anna", "x.wav", 7, "id")
    values = {SPECTRUM: b"\x00\x01" * 300, "other": b""}
    joined = shards.encode_example(clip) + shards.encode_bytes(values)
    features = {"label": tf.io.FixedLenFeature([], tf.int64), SPECTRUM: tf.io.FixedLenFeature([], tf.string)}
    parsed = tf.io.parse_single_example(joined, features)
    assert int(parsed["label"]) == 3
    assert parsed[SPECTRUM].numpy() == values[SPECTRUM]
    assert shards.decode_bytes(shards.encode_bytes(values)) == values


def test_what_has_no_domains_is_refused(tmp_path, capsys):
    write_voices(tmp_path / "in", takes=3)
    assert main(["prepare", str(tmp_path / "in"), "-o", str(tmp_path / "d"), "--recipe", "stargan_vc/tiny", "--labels", "none"]) == 1
    assert "labels: conversion is between speakers" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="needs a prepared data set"):
        open_source(tmp_path / "in", RECIPE).add_frame_features(print)
