"""Mel scales, filter banks and log-mel spectrograms against librosa and against the naive transform."""

from __future__ import annotations

import numpy as np
import pytest

from gansynth_cli.signal.mel import LogMel, hz_to_mel, mel_filter_bank, mel_to_hz

librosa = pytest.importorskip("librosa")


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_equal_librosas_and_invert(scale):
    hz = np.array([0.0, 20.0, 999.9, 1000.0, 1000.1, 4321.0, 22050.0])
    mel = hz_to_mel(hz, scale)
    np.testing.assert_allclose(mel, librosa.hz_to_mel(hz, htk=scale == "htk"), rtol=1e-9)
    np.testing.assert_allclose(mel_to_hz(mel, scale), hz, atol=1e-6)


@pytest.mark.parametrize(
    "rate, fft, bands, low, high", [(8000, 512, 40, 0.0, None), (16000, 1024, 80, 60.0, 7600.0), (22050, 2048, 128, 20.0, None)]
)
@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", ["none", "area"])
def test_bank_equals_librosas(rate, fft, bands, low, high, scale, norm):
    mine = mel_filter_bank(rate, fft, bands, low, high, scale, norm)
    theirs = librosa.filters.mel(
        sr=rate, n_fft=fft, n_mels=bands, fmin=low, fmax=high, htk=scale == "htk", norm="slaney" if norm == "area" else None
    )
    assert mine.shape == (fft // 2 + 1, bands)
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine.T, theirs, atol=1e-4 * theirs.max())


def test_bank_equals_tensorflows():
    import tensorflow as tf

    theirs = tf.signal.linear_to_mel_weight_matrix(64, 257, 8000, 60.0, 4000.0).numpy()
    # TensorFlow interpolates in mel, where a triangle's flanks are slightly bent: near, not equal.
    np.testing.assert_allclose(mel_filter_bank(8000, 512, 64, 60.0, 4000.0), theirs, atol=0.05)


@pytest.mark.parametrize("low, high", [(4000.0, 4000.0), (-1.0, 100.0), (0.0, 4001.0)])
def test_bank_refuses_an_impossible_range(low, high):
    with pytest.raises(ValueError, match="mel range"):
        mel_filter_bank(8000, 512, 40, low, high)


def test_bank_refuses_an_unknown_scale():
    with pytest.raises(ValueError, match="bark"):
        mel_filter_bank(8000, 512, 40, scale="bark")  # type: ignore[arg-type]


def test_log_mel_equals_the_naive_transform_to_the_last_frame():
    spec = LogMel(8000, window=256, hop=100, fft=512, frames=11, bands=20)
    audio = np.random.default_rng(0).standard_normal(1050).astype(np.float32)
    found = spec.compute(audio)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    padded = np.concatenate([audio, np.zeros(1000)])
    bank = mel_filter_bank(8000, 512, 20, 40.0)
    for t in range(11):
        magnitude = np.abs(np.fft.rfft(padded[t * 100 : t * 100 + 256] * window, 512)) * 2 / window.sum()
        np.testing.assert_allclose(found[t], np.log(magnitude @ bank + 1e-4), atol=1e-4)


def test_log_mel_of_silence_and_of_a_full_scale_sine():
    spec = LogMel.for_clips(8000, 8192)
    assert np.allclose(spec.compute(np.zeros(8192)), np.log(1e-4), atol=1e-5)
    sine = np.sin(2 * np.pi * 1000 * np.arange(8192) / 8000)
    middle = spec.compute(sine)[20:100]
    assert abs(int(np.argmax(middle.mean(axis=0))) - int(np.argmax(spec.matrix[128]))) <= 1
    single = LogMel(8000, spec.window, spec.hop, spec.window, spec.frames, 4)
    assert 0.0 < single.compute(sine)[20].max() < np.log(3)  # a Hann main lobe sums to 2 of its peak within one wide band


@pytest.mark.parametrize("rate, samples", [(8000, 2048), (8000, 8192), (16000, 16384), (16000, 65536), (44100, 32768), (8000, 50)])
def test_geometry_for_clips_covers_the_clip_and_has_no_empty_band(rate, samples):
    spec = LogMel.for_clips(rate, samples)
    assert (spec.frames - 1) * spec.hop < samples <= spec.frames * spec.hop
    assert spec.padded_samples >= samples
    assert (spec.matrix.sum(axis=0) > 0).all()
    assert spec.compute(np.zeros((2, samples))).shape == (2, spec.frames, 128)
    assert spec.compute(np.zeros(3 * samples + spec.window)).shape == (spec.frames, 128)
