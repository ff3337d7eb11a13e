"""Convolutions against TensorFlow's and numpy's own, and the critics: sizes, views, gradients, how they mix."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.layers.convolution import Convolution1D, DepthwiseConvolution1D, TransposedConvolution1D, grouped_convolution
from gansynth_cli.layers.discriminators import (
    AudioPool,
    BandSpectra,
    PeriodFold,
    join,
    mel_domain,
    multi_period,
    multi_resolution,
    multi_scale,
)

from .helpers import noise


def naive_convolution(x, kernel, stride=1, dilation=1, groups=1) -> np.ndarray:
    taps, inside, filters = kernel.shape
    steps = (x.shape[1] - dilation * (taps - 1) - 1) // stride + 1
    y = np.zeros((x.shape[0], steps, filters))
    for t in range(steps):
        for f in range(filters):
            group = f // (filters // groups)
            seen = x[:, t * stride : t * stride + dilation * taps : dilation, group * inside : (group + 1) * inside]
            y[:, t, f] = (seen * kernel[:, :, f]).sum((1, 2))
    return y


@pytest.mark.parametrize("stride, dilation, groups, padding, mode", [(1, 1, 1, 0, "zero"), (2, 1, 2, 3, "zero"), (1, 3, 4, 3, "reflect")])
def test_convolution_equals_the_sum_it_is(stride, dilation, groups, padding, mode):
    layer = Convolution1D(8, 3, stride, dilation, groups, padding, mode, seed=1)
    x = noise(2, 17, 4)
    y = layer(x)
    layer.bias.assign(noise(8))
    widths = [(0, 0), (padding, padding), (0, 0)]
    padded = np.pad(x, widths, mode="reflect" if mode == "reflect" else "constant")
    expected = naive_convolution(padded, layer.kernel.numpy(), stride, dilation, groups) + layer.bias.numpy()
    assert y.shape == expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups, inside, filters", [(2, 3, 4), (16, 4, 16), (64, 4, 256), (64, 4, 64), (256, 4, 256), (96, 4, 96)])
def test_grouped_convolution_and_its_gradient(groups, inside, filters):
    """256 groups of 4 channels are merged into 64 of 16; the numbers stay those of one plain convolution with a sparse kernel."""
    x, kernel = tf.constant(noise(1, 13, groups * inside)), tf.constant(noise(5, inside, filters, seed=1))
    whole = np.zeros((5, groups * inside, filters), np.float32)
    wide = filters // groups
    for g in range(groups):
        whole[:, g * inside : (g + 1) * inside, g * wide : (g + 1) * wide] = kernel[:, :, g * wide : (g + 1) * wide]
    whole = tf.constant(whole)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, kernel, whole])
        y, expected = grouped_convolution(x, kernel, groups, stride=2), tf.nn.conv1d(x, whole, 2, "VALID")
        losses = [tf.reduce_sum(tf.sin(v)) for v in (y, expected)]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tape.gradient(losses[0], x), tape.gradient(losses[1], x), rtol=1e-3, atol=1e-3)
    mine, theirs = tape.gradient(losses[0], kernel).numpy(), tape.gradient(losses[1], whole).numpy()
    for g in range(groups):
        part = np.s_[:, :, g * wide : (g + 1) * wide]
        np.testing.assert_allclose(mine[part], theirs[:, g * inside : (g + 1) * inside, g * wide : (g + 1) * wide], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kernel, stride, padding, extra", [(16, 8, 4, 0), (6, 3, 2, 1), (4, 2, 1, 0), (5, 2, 0, 0)])
def test_transposed_convolution_spreads_each_step(kernel, stride, padding, extra):
    layer, x = TransposedConvolution1D(3, kernel, stride, padding, extra, seed=1), noise(2, 7, 4)
    y = layer(x)
    whole = np.zeros((2, 6 * stride + kernel, 3))
    for t in range(7):
        whole[:, t * stride : t * stride + kernel] += np.einsum("bc,kfc->bkf", x[:, t], layer.kernel.numpy())
    expected = whole[:, padding : whole.shape[1] - padding + extra]
    assert y.shape == expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_depthwise_convolution_is_one_of_as_many_groups_as_channels():
    layer, x = DepthwiseConvolution1D(7, seed=1), noise(2, 20, 5)
    y = layer(x)
    expected = naive_convolution(np.pad(x, [(0, 0), (3, 3), (0, 0)]), layer.kernel.numpy()[:, None], groups=5)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_dilated_convolutions_train():
    layer, x = Convolution1D(4, 3, dilation=3, padding=3, seed=1), tf.constant(noise(2, 20, 4))

    @tf.function(autograph=False)
    def slopes(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x)))
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    assert all(np.isfinite(s).all() and np.abs(s).max() > 0 for s in slopes(x))


@pytest.mark.parametrize("arguments, message", [({"stride": 2, "dilation": 2}, "cannot be combined"), ({"groups": 3}, "not a multiple")])
def test_convolutions_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Convolution1D(4, 3, **arguments)(noise(1, 9, 3))


# The critics.

FACTORIES = {
    "msd melgan": (lambda: multi_scale(channels=8, most_channels=32), 3, 6),
    "msd hifigan": (lambda: multi_scale("hifigan", scales=2, channels=16, most_channels=32), 2, 7),
    "mpd": (lambda: multi_period((2, 3), channels=2), 2, 5),
    "mrd": (lambda: multi_resolution((256, 128), channels=2), 2, 25),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "factory, millions",
    [
        (multi_scale, 3 * 5.64),
        (lambda: multi_scale("hifigan"), 29.6),
        (multi_period, 41.1),
        (multi_resolution, 1.41),
    ],
)
def test_published_sizes(factory, millions):
    assert factory().count_params() / 1e6 == pytest.approx(millions, rel=0.005)


def test_the_smaller_published_sizes():
    assert multi_scale(scales=1).count_params() / 1e6 == pytest.approx(5.64, abs=0.005)
    assert multi_resolution().count_params() / 1e6 == pytest.approx(1.41, abs=0.005)


@pytest.mark.parametrize("name", FACTORIES)
def test_what_a_critic_returns(name):
    build, parts, maps = FACTORIES[name]
    critic = build()
    for samples in (1000, 1001):  # neither a multiple of every period nor of every stride
        logits, features = critic(noise(2, samples, 1))
        assert len(logits) == len(features) == parts
        assert all(one.shape[0] == 2 and len(one.shape) == 2 and one.dtype == tf.float32 for one in logits)
        assert all(len(one) == maps for one in features)
    alone = critic(noise(2, 1001, 1)[1:])[0]
    for a, b in zip(alone, logits, strict=True):  # no clip depends on the batch around it
        np.testing.assert_allclose(a[0], b[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", FACTORIES)
def test_gradients_reach_audio_and_every_weight(name):
    critic, audio = FACTORIES[name][0](), tf.constant(noise(2, 1000, 1))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        logits, _ = critic(audio, training=True)
        loss = tf.add_n([tf.reduce_sum(tf.sin(one)) for one in logits])
    slopes = tape.gradient(loss, [audio, *(v.value for v in critic.trainable_variables)])
    assert all(s is not None and np.isfinite(s).all() and np.abs(s).max() > 0 for s in slopes)


def test_the_same_seed_gives_the_same_critic_and_no_two_layers_alike():
    one, other = multi_period((2, 3), 2, seed=4), multi_period((2, 3), 2, seed=4)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [w.numpy() for w in one.weights if w.path.endswith("kernel")]
    assert not np.array_equal(kernels[0], kernels[6])


@pytest.mark.parametrize("factory", [multi_period, multi_resolution])
def test_pytorchs_first_weights_have_biases(factory):
    """U(-b, b) with b = 1 / sqrt(fan in), kernels and biases alike; the kernels are those of "fan_in"."""
    plain, torch = (factory(channels=4, initializer=name, seed=3) for name in ("fan_in", "torch"))
    for mine, its in zip(plain.layers, torch.layers, strict=True):
        if hasattr(its, "layer"):
            kernel, bias = its.layer.kernel.numpy(), its.layer.bias.numpy()
            np.testing.assert_array_equal(kernel, mine.layer.kernel)
            assert not mine.layer.bias.numpy().any()
            bound = np.prod(kernel.shape[:-1]) ** -0.5
            assert 0 < np.abs(bias).max() <= bound
            assert np.abs(kernel).max() <= bound
            if bias.size > 1:
                assert len(np.unique(bias)) == bias.size


def test_critics_mix_freely():
    critic = join(
        {"msd": multi_scale(scales=1, channels=4, most_channels=8), "mpd": multi_period((3,), 2), "mrd": multi_resolution((64,), 2)}
    )
    judged = critic(noise(2, 600, 1))
    assert list(judged) == ["msd", "mpd", "mrd"]
    assert all(len(logits) == len(features) == 1 for logits, features in judged.values())


def test_a_period_sees_every_pth_sample():
    audio = np.arange(10, dtype=np.float32).reshape(1, 10, 1)
    folded = PeriodFold(3)(audio).numpy()[:, :, 0]
    np.testing.assert_array_equal(folded, [[0, 3, 6, 9], [1, 4, 7, 8], [2, 5, 8, 7]])  # 8 and 7 mirror at 9


@pytest.mark.parametrize("count", [True, False])
def test_pooling_counts_its_zeros_or_not(count):
    pooled = AudioPool(4, 2, 1, count)(np.ones((1, 8, 1), np.float32)).numpy()[0, :, 0]
    np.testing.assert_allclose(pooled, [0.75, 1, 1, 0.75] if count else [1, 1, 1, 1])


def test_bands_are_the_centred_spectrogram_cut_up_whatever_the_level():
    librosa = pytest.importorskip("librosa")
    audio = noise(2, 1000, 1)
    bands = BandSpectra(256, 64, (0.0, 0.1, 0.5, 1.0))(3.0 * audio + 0.5)
    assert [band.shape[2] for band in bands] == [12, 52, 65]
    x = audio[1, :, 0] - audio[1, :, 0].mean()
    expected = librosa.stft(0.8 * x / np.abs(x).max(), n_fft=256, hop_length=64, pad_mode="reflect").T
    found = np.concatenate([band[1] for band in bands], axis=1)
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected, atol=1e-3)
    with pytest.raises(ValueError, match="at least a bin"):
        BandSpectra(16, 4, (0.0, 0.01, 1.0))


def test_a_critic_in_the_mel_domain_takes_any_front_end():
    class FrontEnd(keras.layers.Layer):
        bands = 12

        def call(self, audio):
            return tf.reshape(audio, [tf.shape(audio)[0], -1, 12])

        def compute_output_shape(self, shape):
            return (shape[0], None, 12)

    logits, features = mel_domain(FrontEnd(), channels=3)(noise(2, 120, 1))
    assert len(logits) == 1
    assert [tuple(f.shape) for f in features[0]] == [(2, 10, 12, 3), (2, 10, 6, 3), (2, 10, 3, 3), (2, 10, 3, 3)]
