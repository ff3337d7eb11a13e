"""Each layer against a few lines of numpy; a meta-test that each one is saved and loaded."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli import layers
from gansynth_cli.layers.audio import from_bands
from gansynth_cli.signal.mel import mel_filter_bank, mel_mean_bank
from gansynth_cli.signal.stft import stft

from .helpers import noise

LABEL = np.array([0, 1, 1, 0], np.int32)
SCALE = {"fft": 32, "hop": 16, "mean": np.linspace(-3, -8, 17), "deviation": np.linspace(2, 1, 17)}
PICTURE = {"fft": 32, "hop": 8, "frames": 16, "samples": 104, "sample_rate": 800}
EXAMPLES = {
    "AudioToNotePicture": (layers.AudioToNotePicture(**PICTURE), (noise(4, 104, 1),), (4, 16, 16, 2)),
    "BoundedLogVariance": (layers.BoundedLogVariance(3.0), (noise(4, 5),), (4, 5)),
    "ChannelScale": (layers.ChannelScale(), (noise(4, 5, 3),), (4, 5, 3)),
    "EqualizedConv2D": (layers.EqualizedConv2D(6, 3, seed=1), (noise(4, 5, 7, 3),), (4, 5, 7, 6)),
    "EqualizedDense": (layers.EqualizedDense(6, seed=1), (noise(4, 5),), (4, 6)),
    "EqualizedStart": (layers.EqualizedStart(6, (2, 3), seed=1), (noise(4, 5),), (4, 2, 3, 6)),
    "HarmonicMap": (layers.HarmonicMap([40, 52], 16, 16, 32, 8, 800), (LABEL,), (4, 16, 16, 4)),
    "LabelEmbedding": (layers.LabelEmbedding(2, 5, seed=1), (LABEL,), (4, 5)),
    "LabelProjection": (layers.LabelProjection(2), (noise(4, 6), LABEL), (4, 1)),
    "LogDeviation": (layers.LogDeviation(), (noise(4, 5, 3),), (4, 1)),
    "MinibatchStddev": (layers.MinibatchStddev(labels=2, per_position=True), (noise(4, 5, 3), LABEL), (4, 5, 4)),
    "Modulation": (layers.Modulation(seed=1), (noise(4, 5, 3), noise(4, 2)), (4, 5, 3)),
    "NormalizedLogSpectrogram": (layers.NormalizedLogSpectrogram(frames=8, **SCALE), (noise(4, 128, 2),), (4, 8, 16, 2)),
    "NotePictureToAudio": (
        layers.NotePictureToAudio(griffin_lim_iterations=2, **PICTURE),
        (np.tanh(noise(4, 16, 16, 2)),),
        (4, 104, 1),
    ),
    "PhaseShuffle": (layers.PhaseShuffle(2), (noise(4, 9, 3), np.int32(-1)), (4, 9, 3)),
    "PixelNorm": (layers.PixelNorm(), (noise(4, 5, 3),), (4, 5, 3)),
    "PostProcessingFilter": (layers.PostProcessingFilter(9, seed=1), (noise(4, 40, 2),), (4, 40, 2)),
    "ReferenceBatch": (layers.ReferenceBatch(2), (noise(4, 5, 3),), (6, 5, 3)),
    "SpectrogramToAudio": (
        layers.SpectrogramToAudio(samples=120, iterations=2, momentum=0.9, **SCALE),
        (np.tanh(noise(4, 8, 16, 2)),),
        (4, 120, 2),
    ),
    "VirtualBatchNormalization": (layers.VirtualBatchNormalization(2, seed=1), (noise(6, 5, 3), np.int32(2)), (6, 5, 3)),
    "WaveformToAudio": (layers.WaveformToAudio(), (noise(4, 40, 2),), (4, 40, 2)),
    "WithoutReference": (layers.WithoutReference(2), (noise(6, 5, 3),), (4, 5, 3)),
}


def test_every_layer_has_an_example():
    assert set(EXAMPLES) == set(layers.__all__)
    assert all(inspect.isclass(getattr(layers, name)) for name in layers.__all__)


@pytest.mark.parametrize("name", EXAMPLES)
def test_saved_and_loaded_and_shapes_are_those_of_the_run(name, tmp_path):
    layer, arguments, shape = EXAMPLES[name]
    inputs = [keras.Input(batch_shape=a.shape, dtype=a.dtype.name) for a in arguments]
    model = keras.Model(inputs, layer(*inputs))
    expected = model(list(arguments))
    assert tuple(expected.shape) == shape
    assert all(known in (None, real) for known, real in zip(model.output.shape, shape, strict=True))
    assert np.isfinite(expected).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(list(arguments)), expected)


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
def test_phase_shuffle_is_reflect_padding_and_a_slice(shift):
    x = noise(3, 11, 2)
    padded = np.pad(x, ((0, 0), (max(shift, 0), max(-shift, 0)), (0, 0)), mode="reflect")
    expected = padded[:, :11] if shift >= 0 else padded[:, -11:]
    assert np.array_equal(layers.PhaseShuffle(2)(x, tf.constant(shift)), expected)


@pytest.mark.parametrize("jit", [False, True])
def test_phase_shuffle_has_a_second_order_gradient(jit):
    x, weight = tf.constant(noise(2, 7, 1)), tf.constant(noise(7, 1, seed=1))

    @tf.function(jit_compile=jit)
    def second(shift):
        with tf.GradientTape() as outer:
            outer.watch(weight)
            with tf.GradientTape() as inner:
                inner.watch(x)
                score = tf.reduce_sum(tf.square(layers.PhaseShuffle(2)(x, shift)) * weight)
            penalty = tf.reduce_sum(tf.square(inner.gradient(score, x)))
        return outer.gradient(penalty, weight)

    index = np.array([1, 0, 1, 2, 3, 4, 5])  # one step later, mirrored
    slope = np.zeros((7, 7))
    slope[np.arange(7), index] = 1.0  # shuffled = slope @ x
    # score = sum_i w_i (Sx)_i^2; d/dx = 2 S^T (w Sx); penalty's gradient by w_j = 8 (Sx)_j (S S^T (w Sx))_j
    expected = sum(8 * (slope @ e) * (slope @ slope.T @ (weight.numpy()[:, 0] * (slope @ e))) for e in x.numpy()[..., 0])
    np.testing.assert_allclose(second(tf.constant(1)).numpy()[:, 0], expected, rtol=1e-4)


def test_phase_shuffle_refuses_what_is_shorter_than_its_radius():
    with pytest.raises(ValueError, match="radius 2"):
        layers.PhaseShuffle(2)(noise(1, 2, 1), tf.constant(0))


def test_label_projection_is_a_dot_product():
    layer = layers.LabelProjection(2)
    features = noise(4, 6)
    assert not np.any(layer(features, LABEL))  # it begins unconditional
    table = noise(2, 6, seed=2)
    layer.set_weights([table])
    np.testing.assert_allclose(layer(features, LABEL)[:, 0], np.sum(features * table[LABEL], axis=1), rtol=1e-5)


def test_label_embedding_looks_up_rows_of_unit_variance():
    layer = layers.LabelEmbedding(50, 40, seed=1)
    rows = layer(np.arange(50)).numpy()
    np.testing.assert_array_equal(rows, layer.get_weights()[0])
    assert rows.std() == pytest.approx(1.0, abs=0.05)


def test_modulation_scales_and_shifts_channels():
    layer = layers.Modulation()
    x, condition = noise(4, 5, 3), noise(4, 2)
    layer(x, condition)
    kernel, bias = noise(2, 6, seed=3), noise(6, seed=4)
    layer.set_weights([kernel, bias])
    both = condition @ kernel + bias
    np.testing.assert_allclose(layer(x, condition), x * (1 + both[:, None, :3]) + both[:, None, 3:], rtol=1e-4, atol=1e-5)


def test_minibatch_stddev_of_groups():
    x = noise(8, 5, 3)
    spread = np.sqrt(x.reshape(4, 2, 5, 3).var(axis=0) + 1e-8)  # groups i, i + 2, i + 4, i + 6
    scalar = layers.MinibatchStddev(4)(x).numpy()
    np.testing.assert_array_equal(scalar[..., :3], x)
    np.testing.assert_allclose(scalar[..., 3], np.tile(spread.mean(axis=(1, 2)), 4)[:, None] * np.ones((1, 5)), rtol=1e-5)
    by_position = layers.MinibatchStddev(4, per_position=True)(x).numpy()
    np.testing.assert_allclose(by_position[..., 3], np.tile(spread.mean(axis=2), (4, 1)), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 6])
def test_minibatch_stddev_of_batches_that_are_no_multiple(batch):
    x = noise(batch, 2, 3)
    expected = layers.MinibatchStddev(4)(x).numpy()
    assert expected.shape == (batch, 2, 4)
    dynamic = tf.function(layers.MinibatchStddev(4), input_signature=[tf.TensorSpec([None, 2, 3])])(x)
    np.testing.assert_allclose(dynamic, expected, rtol=1e-6)


def test_minibatch_stddev_within_a_class_sees_a_collapse_that_the_batch_hides():
    label = np.array([0, 1, 0, 1, 2], np.int32)
    clips = noise(3, 5, 3)
    layer = layers.MinibatchStddev(labels=3, per_position=True)
    collapsed = layer(clips[label], label).numpy()[..., 3]
    np.testing.assert_allclose(collapsed, 1e-4, atol=1e-4)
    x = noise(5, 5, 3)
    found = layer(x, label).numpy()[..., 3]
    np.testing.assert_allclose(found[[0, 2]], np.broadcast_to(np.sqrt(x[[0, 2]].var(axis=0) + 1e-8).mean(axis=-1), (2, 5)), rtol=1e-4)
    np.testing.assert_allclose(found[4], 1e-4, atol=1e-4)  # alone in its class


def test_pixel_norm():
    x = noise(2, 4, 8)
    np.testing.assert_allclose(np.square(layers.PixelNorm()(x)).mean(axis=-1), 1.0, rtol=1e-4)
    assert not np.any(layers.PixelNorm()(np.zeros((1, 2, 3), np.float32)))


def test_post_processing_filter_filters_each_channel_by_itself():
    layer = layers.PostProcessingFilter(8)
    x = noise(2, 40, 2)
    layer(x)
    kernel = noise(8, 1, 2, seed=5)
    layer.set_weights([kernel])
    found = layer(x).numpy()
    padded = np.pad(x, ((0, 0), (3, 4), (0, 0)))  # SAME: the longer half behind
    for channel in range(2):
        expected = [np.correlate(clip[:, channel], kernel[:, 0, channel], mode="valid") for clip in padded]
        np.testing.assert_allclose(found[..., channel], expected, rtol=1e-4, atol=1e-5)


def test_normalized_log_spectrogram_is_its_definition():
    audio = noise(2, 120, 2) * 0.1
    layer = layers.NormalizedLogSpectrogram(frames=8, log_offset=1e-3, clip_deviations=2.0, **SCALE)
    magnitude = np.abs(stft(np.pad(audio, ((0, 0), (0, 8), (0, 0))).transpose(0, 2, 1), 32, 16).numpy())[..., :-1]
    expected = (np.log(magnitude + 1e-3) - SCALE["mean"][:-1]) / SCALE["deviation"][:-1] / 2.0
    np.testing.assert_allclose(layer(audio), np.clip(expected, -1, 1).transpose(0, 2, 3, 1), atol=1e-4)


def test_normalized_log_spectrogram_of_silence_has_a_finite_gradient():
    audio = tf.zeros([1, 128, 1])
    layer = layers.NormalizedLogSpectrogram(fft=32, hop=16, frames=8, mean=[-13.8] * 17, deviation=[0.0] * 17)
    with tf.GradientTape() as tape:
        tape.watch(audio)
        total = tf.reduce_sum(layer(audio))
    assert np.isfinite(total)
    assert np.isfinite(tape.gradient(total, audio)).all()


def test_spectrogram_to_audio_undoes_the_normalisation():
    """With the picture of a decaying sine, the audio has the sine's own spectrogram again."""
    t = np.arange(2048)
    sine = (0.5 * np.sin(2 * np.pi * 0.05 * t) * np.exp(-t / 1000)).astype(np.float32)[None, :, None] * np.ones((1, 1, 2), np.float32)
    sine[..., 1] *= 0.5
    size = {"fft": 128, "hop": 32, "mean": [-4.0] * 65, "deviation": [3.0] * 65}
    picture = layers.NormalizedLogSpectrogram(frames=64, **size)
    audio = layers.SpectrogramToAudio(samples=2048, iterations=60, momentum=0.99, **size)(picture(sine))
    assert audio.shape == (1, 2048, 2)
    found, wanted = (np.abs(stft(a[0].T, 128, 32).numpy()) for a in (np.asarray(audio), sine))
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.1


MEL = {"fft": 256, "hop": 64, "mean": [-4.0] * 16, "deviation": [3.0] * 16, "mel_bands": 16, "sample_rate": 8000}


def test_mel_bands_are_means_of_magnitudes_and_come_back():
    """A decaying noise of two channels has the bands of its definition, and the audio made of them has those bands again."""
    t = np.arange(2048)
    sound = noise(1, 2048, 2) * np.exp(-t / 600).astype(np.float32)[None, :, None] * 0.3
    bank = mel_filter_bank(8000, 256, 16).astype(np.float64)
    bank /= bank.sum(axis=0)
    picture = layers.NormalizedLogSpectrogram(frames=32, **MEL)
    magnitude = np.abs(stft(sound.transpose(0, 2, 1), 256, 64, 32, 128).numpy()) @ bank
    expected = np.clip((np.log(magnitude + 1e-6) + 4.0) / 9.0, -1, 1).transpose(0, 2, 3, 1)
    shown = np.asarray(picture(sound))
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    again = layers.SpectrogramToAudio(samples=2048, iterations=60, momentum=0.99, **MEL)(shown)
    decibels = 20 / np.log(10) * 9.0 * np.abs(np.asarray(picture(again)) - shown)
    assert np.median(decibels) < 1.5, "the bands of the audio are those that were asked for"


def test_an_attack_in_the_first_samples_keeps_its_level():
    """It would lie at the foot of a window that began with it."""
    click = np.zeros((1, 2048, 1), np.float32)
    click[0, :8, 0] = 0.8 * np.hanning(10)[1:-1]
    audio = layers.SpectrogramToAudio(samples=2048, iterations=60, momentum=0.99, **MEL)(
        layers.NormalizedLogSpectrogram(frames=32, **MEL)(click)
    )
    found = np.abs(np.asarray(audio)[0, :, 0])
    assert found[:32].max() > 0.3
    assert found[256:].max() < 0.02


def test_bands_are_spread_so_that_their_means_are_kept():
    bank = mel_mean_bank(8000, 256, 16)
    truth = np.abs(noise(3, 129)) + 0.1
    bands = truth @ bank
    found = np.asarray(from_bands(tf.constant(bands), bank))
    assert (found >= 0).all()
    np.testing.assert_allclose(found @ bank, bands, rtol=0.05)
    with pytest.raises(ValueError, match="hold no bin"):
        mel_mean_bank(8000, 256, 100)


def test_statistics_of_another_size_are_refused():
    with pytest.raises(ValueError, match="16 values; expected 17"):
        layers.NormalizedLogSpectrogram(fft=32, hop=16, frames=8, mean=[0.0] * 16, deviation=[1.0] * 17)


def test_audio_is_never_beyond_one():
    assert np.abs(layers.WaveformToAudio()(noise(1, 50, 1) * 3)).max() == 1.0
