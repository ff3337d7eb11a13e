"""`enhance` and what TensorFlow trains: a denoiser does what it learnt, and a model of windows runs in the same stream."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.inference.enhance.enhancers import TENSORFLOW_CLASSES, find_enhancer, open_enhancer
from gansynth_cli.models.window_enhancer import WindowEnhancer

from .conftest import write_wav

WINDOW = 512


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A convolution that halves, with a latent that it ignores."""
    noisy, latent = keras.Input((WINDOW, 1)), keras.Input((4, 8))
    halved = keras.layers.Conv1D(1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(0.5))(noisy)
    none = keras.layers.Dense(1, kernel_initializer="zeros")(keras.layers.Flatten()(latent))
    network = keras.Model([noisy, latent], halved + keras.layers.Reshape((1, 1))(none))
    provenance = {"recipe": "segan/test", "family": "segan"}
    file = tmp_path_factory.mktemp("segan") / "generator.keras"
    WindowEnhancer(network, 16000, WINDOW, preemphasis=0.95, latent_shape=(4, 8), provenance=provenance).save(file)
    return file


def test_it_is_found_and_opened(model: Path):
    assert find_enhancer(model).class_name in TENSORFLOW_CLASSES
    enhancer = open_enhancer(model)
    assert (enhancer.sample_rate, enhancer.latency_samples, enhancer.block_samples, enhancer.masks) == (16000, WINDOW, WINDOW // 2, False)
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 5000)).astype(np.float32)
    np.testing.assert_allclose(enhancer.apply(audio, strength_db=100), 0.5 * audio, atol=2e-5)
    np.testing.assert_allclose(enhancer.apply(audio, strength_db=0), audio, atol=0)


def test_recordings_through_the_verb(model: Path, tmp_path: Path, capsys):
    t = np.arange(9000) / 44100
    audio = 0.5 * np.sin(2 * np.pi * 440 * t)[:, None] * [1, 0.3, -0.5]
    write_wav(tmp_path / "rec" / "a.wav", audio, 44100, "PCM_24")
    write_wav(tmp_path / "rec" / "b.wav", audio[:, 0], 16000)
    code = main(["enhance", str(tmp_path / "rec"), "-o", str(tmp_path / "out"), "--model", str(model), "--strength", "100", "--json"])
    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out)["done"] == 2
    assert "one by one" in err
    a = soundfile.read(tmp_path / "out" / "a.wav")[0]
    assert a.shape == audio.shape
    np.testing.assert_allclose(a[1000:-1000], 0.5 * audio[1000:-1000], atol=1e-3)
    np.testing.assert_allclose(soundfile.read(tmp_path / "out" / "b.wav")[0], 0.5 * audio[:, 0], atol=1e-4)


def test_a_denoiser_does_to_recordings_what_it_was_trained_to_do(tmp_path: Path):
    """The family's own way from noisy to clean, in TensorFlow over the whole clip, against the stream in NumPy."""
    from gansynth_cli.families.denoiser.family import Denoiser
    from gansynth_cli.models.frame_denoiser import FrameDenoiser

    options = {"mel_bands": 20, "width": 16, "layers": 2, "mask": "complex", "max_gain": 1.5}
    network = FrameDenoiser("gru", 16000, 512, 256, options, seed=3)
    for variable in network.variables:
        variable.assign(2.0 * np.asarray(variable))  # further from a gain of 1
    network.save(tmp_path / "generator.keras")
    noisy = np.random.default_rng(0).normal(0, 0.1, (2, 10_001)).astype(np.float32)
    trained = SimpleNamespace(model=SimpleNamespace(fft=512), networks={"generator": network})
    expected = Denoiser.enhance(trained, tf.constant(noisy)).numpy()
    assert np.abs(expected - noisy).max() > 0.05
    enhancer = open_enhancer(tmp_path / "generator.keras")
    np.testing.assert_allclose(enhancer.apply(noisy, strength_db=100, passes=1), expected, atol=1e-4)
