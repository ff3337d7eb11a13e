"""Waveform discriminators on several views of a signal: scales, periods, spectra, mel spectrograms.

Each factory returns a functional Keras model

    audio float32 [batch, samples, 1] -> (logits, features)

with one entry in both lists for each sub-discriminator: logits float32 [batch, any number], high for recordings; features a list of
the feature maps before the logits, first layer first. They can be combined with any generator and with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ..signal.stft import stft
from .convolution import Convolution1D, Initializer, bias_initializer, make_initializer, pad_time
from .seeds import layer_seeds
from .weight_norm import SpectralNormalization, WeightNormalization

_register = keras.saving.register_keras_serializable(package="gan_audio")

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = (2048, 1024, 512)
_SEED_STREAM = 0xD15C
BAND_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def multi_scale(
    style: Literal["melgan", "hifigan"] = "melgan",
    scales: int = 3,
    channels: int | None = None,
    most_channels: int = 1024,
    strides: Sequence[int] = (4, 4, 4, 4),
    initializer: Initializer = "fan_in",
    seed: int = 0,
    spectral: bool = True,
) -> keras.Model:
    """Build one network for the signal and each of its averages, at half the rate of the previous one (Kumar et al. 2019, section 2.2).

    Args:
        style: "melgan": grouped convolutions of 10 stride + 1 taps with four channels per group, each with four times the channels of
            the one before (MelGAN, Multi-band MelGAN). "hifigan": the wider network of Kong et al. 2020 (appendix C), with spectral
            normalisation at the full rate and weight normalisation below.
        scales: Number of sub-discriminators.
        channels: Channels of the first layer; None: 16 ("melgan") or 128 ("hifigan"), as published.
        most_channels: Maximum number of channels of a layer.
        strides: Strides of the grouped layers; "melgan" only.
        initializer: Initializer of the kernels, see `Convolution1D`; "normal" is N(0, 0.02^2).
        seed: Seed of the initial weights.
        spectral: Whether the first scale of "hifigan" has spectral normalisation, in place of weight normalisation.

    5.64 M weights per scale with "melgan", 29.6 M in total with "hifigan".
    """
    seeds = layer_seeds(seed, _SEED_STREAM)
    audio = keras.Input((None, 1), name="audio")
    build = _melgan_scale if style == "melgan" else _hifigan_scale
    if style not in ("melgan", "hifigan"):
        raise ValueError(f"style is {style!r}; expected 'melgan' or 'hifigan'")
    logits, features, x = [], [], audio
    for index in range(scales):
        if index:
            pool = AudioPool(4, 2, 1, count_padding=False) if style == "melgan" else AudioPool(4, 2, 2, count_padding=True)
            x = pool(x)
        one_logits, one_features = build(x, index + (not spectral), channels, most_channels, tuple(strides), initializer, seeds)
        logits.append(one_logits)
        features.append(one_features)
    return keras.Model(audio, (logits, features), name="msd")


def _melgan_scale(x, index, channels, most, strides, initializer, seeds) -> tuple[Any, list]:
    norm = _weight_normalized(initializer, seeds)
    width, features = channels or 16, []
    x = layers.LeakyReLU(0.2)(norm(width, 15, padding=7, padding_mode="reflect")(x))
    features.append(x)
    for stride in strides:
        wider = min(4 * width, most)
        x = norm(wider, 10 * stride + 1, stride=stride, padding=5 * stride, groups=max(1, width // 4))(x)
        x = layers.LeakyReLU(0.2)(x)
        features.append(x)
        width = wider
    x = layers.LeakyReLU(0.2)(norm(min(2 * width, most), 5, padding=2)(x))
    features.append(x)
    return _flat_logits(norm(1, 3, padding=1)(x)), features


def _hifigan_scale(x, index, channels, most, strides, initializer, seeds) -> tuple[Any, list]:
    wrap = (lambda layer: SpectralNormalization(layer, seed=next(seeds))) if index == 0 else WeightNormalization
    conv = lambda filters, taps, **more: wrap(Convolution1D(filters, taps, initializer=initializer, seed=next(seeds), **more))
    c, features = channels or 128, []
    # filters, taps, stride, groups
    plan = ((c, 15, 1, 1), (c, 41, 2, 4), (2 * c, 41, 2, 16), (4 * c, 41, 4, 16), (8 * c, 41, 4, 16), (8 * c, 41, 1, 16), (8 * c, 5, 1, 1))
    for filters, taps, stride, groups in plan:
        x = conv(min(filters, most), taps, stride=stride, groups=groups, padding=taps // 2)(x)
        x = layers.LeakyReLU(0.1)(x)
        features.append(x)
    return _flat_logits(conv(1, 3, padding=1)(x)), features


def multi_period(periods: Sequence[int] = PERIODS, channels: int = 32, initializer: Initializer = "fan_in", seed: int = 0) -> keras.Model:
    """Build a network for each period p that sees every p-th sample (Kong et al. 2020, section 2.3): two-dimensional (5, 1) convolutions
    over [samples / p, p], which equal one-dimensional ones over p signals.

    Args:
        periods: Periods in samples; primes overlap least.
        channels: Channels of the first layer, then 4, 16, 32 and 32 times as many. 32 as published: 41.1 M weights; 8 have a sixteenth.
        initializer, seed: As for `multi_scale`.

    Feature maps are [batch * p, steps, channels].
    """
    seeds = layer_seeds(seed, _SEED_STREAM)
    audio = keras.Input((None, 1), name="audio")
    logits, features = [], []
    for period in periods:
        norm, maps = _weight_normalized(initializer, seeds), []
        x = PeriodFold(period)(audio)
        for factor, stride in ((1, 3), (4, 3), (16, 3), (32, 3), (32, 1)):
            x = layers.LeakyReLU(0.1)(norm(factor * channels, 5, stride=stride, padding=2)(x))
            maps.append(x)
        logits.append(_flat_logits(norm(1, 3, padding=1)(x), rows=period))
        features.append(maps)
    return keras.Model(audio, (logits, features), name="mpd")


def multi_resolution(
    resolutions: Sequence[int] = RESOLUTIONS,
    channels: int = 32,
    band_edges: Sequence[float] = BAND_EDGES,
    initializer: Initializer = "fan_in",
    seed: int = 0,
) -> keras.Model:
    """Build a network for each FFT size over the complex spectrogram, split into bands with separate kernels (Kumar et al. 2023, "Improved
    RVQGAN", section 3.3, in the form of Vocos: Siuzdak 2024, section 3.3).

    Args:
        resolutions: FFT sizes in samples; the hop is a quarter.
        channels: Channels of every layer. 32 as published: 1.41 M weights.
        band_edges: Fractions of half the sample rate, from 0 to 1.
        initializer, seed: As for `multi_scale`.

    A clip must be longer than half the largest FFT. Features: the maps of each band in turn.
    """
    seeds = layer_seeds(seed, _SEED_STREAM)
    audio = keras.Input((None, 1), name="audio")
    logits, features = [], []
    for fft in resolutions:
        conv = _weight_normalized_2d(initializer, seeds)
        maps, ends = [], []
        for x in BandSpectra(fft, fft // 4, band_edges)(audio):
            for taps, stride in (((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1)):
                x = layers.LeakyReLU(0.1)(conv(channels, taps, stride)(x))
                maps.append(x)
            ends.append(x)
        x = layers.Concatenate(axis=2)(ends) if len(ends) > 1 else ends[0]
        logits.append(_flat_logits(conv(1, (3, 3), 1)(x)))
        features.append(maps)
    return keras.Model(audio, (logits, features), name="mrd")


def mel_domain(front_end: keras.layers.Layer, channels: int = 32, initializer: Initializer = "fan_in", seed: int = 0) -> keras.Model:
    """Build a network over the log-mel spectrogram that scores patches of about 20 frames by 25 bands.

    Args:
        front_end: audio [batch, samples, 1] -> log-mel spectrogram [batch, frames, bands].
        channels: Channels of every layer.
        initializer, seed: As for `multi_scale`.
    """
    seeds = layer_seeds(seed, _SEED_STREAM)
    audio = keras.Input((None, 1), name="audio")
    conv = _weight_normalized_2d(initializer, seeds)
    x, maps = layers.Reshape((-1, front_end.bands, 1))(front_end(audio)), []
    for taps, stride in (((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1)):
        x = layers.LeakyReLU(0.1)(conv(channels, taps, stride)(x))
        maps.append(x)
    return keras.Model(audio, ([_flat_logits(conv(1, (3, 3), 1)(x))], [maps]), name="mel")


def join(critics: dict[str, keras.Model], name: str = "critic") -> keras.Model:
    """Join several into one network: audio [batch, samples, 1] -> {name: (logits, features)}."""
    audio = keras.Input((None, 1), name="audio")
    return keras.Model(audio, {key: critic(audio) for key, critic in critics.items()}, name=name)


# Views of the signal.


@_register
class AudioPool(keras.layers.Layer):
    """Average over `size` samples every `stride` samples, with `padding` zeros at both ends.

    Args:
        count_padding: Whether the zeros count in the mean (HiFi-GAN) or not (MelGAN).

    Call: float [batch, samples, 1] -> [batch, (samples + 2 padding - size) // stride + 1, 1].
    """

    def __init__(self, size: int, stride: int, padding: int, count_padding: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.size, self.stride, self.padding, self.count_padding = size, stride, padding, count_padding

    def call(self, audio):
        mean = lambda x: tf.nn.avg_pool1d(pad_time(x, self.padding), self.size, self.stride, "VALID")
        return mean(audio) if self.count_padding else mean(audio) / mean(tf.ones_like(audio[:1]))

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else (shape[1] + 2 * self.padding - self.size) // self.stride + 1, shape[2])

    def get_config(self) -> dict[str, Any]:
        own = ("size", "stride", "padding", "count_padding")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@_register
class PeriodFold(keras.layers.Layer):
    """Fold [batch, samples, 1] to [batch * period, ceil(samples / period), 1], every period-th sample, the end mirrored."""

    def __init__(self, period: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.period = period

    def call(self, audio):
        samples = audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1]
        x = tf.pad(audio[:, :, 0], [[0, 0], [0, -samples % self.period]], "REFLECT")
        x = tf.transpose(tf.reshape(x, [tf.shape(x)[0], -1, self.period]), [0, 2, 1])
        return tf.reshape(x, [-1, -(-samples // self.period), 1])

    def compute_output_shape(self, shape):
        batch = None if shape[0] is None else shape[0] * self.period
        return (batch, None if shape[1] is None else -(-shape[1] // self.period), 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "period": self.period}


@_register
class BandSpectra(keras.layers.Layer):
    """The complex spectrogram of a signal without its mean, scaled to a peak of 0.8 and split along frequency: a list of
    [batch, samples // hop + 1, bins, 2] from low to high. Frames are centred, and the signal is mirrored at both ends."""

    def __init__(self, fft: int, hop: int, edges: Sequence[float] = (0.0, 1.0), **kwargs: Any):
        super().__init__(**kwargs)
        self.fft, self.hop, self.edges = fft, hop, [float(edge) for edge in edges]
        self.limits = [int(edge * (fft // 2 + 1)) for edge in self.edges]
        if self.limits[0] != 0 or self.limits[-1] != fft // 2 + 1 or any(np.diff(self.limits) < 1):
            raise ValueError(f"band edges {self.edges} do not rise from 0 to 1 in steps of at least a bin of {fft} samples")

    def call(self, audio):
        x = tf.cast(audio[:, :, 0], tf.float32)
        x -= tf.reduce_mean(x, axis=1, keepdims=True)
        x = 0.8 * x / (tf.reduce_max(tf.abs(x), axis=1, keepdims=True) + 1e-9)
        samples = x.shape[1] if x.shape[1] is not None else tf.shape(x)[1]
        spectrum = stft(pad_time(x, self.fft // 2, "reflect"), self.fft, self.hop, frames=samples // self.hop + 1)
        picture = tf.cast(tf.stack([tf.math.real(spectrum), tf.math.imag(spectrum)], axis=-1), self.compute_dtype)
        return [picture[:, :, low:high] for low, high in zip(self.limits[:-1], self.limits[1:], strict=True)]

    def compute_output_shape(self, shape):
        frames = None if shape[1] is None else shape[1] // self.hop + 1
        return [(shape[0], frames, high - low, 2) for low, high in zip(self.limits[:-1], self.limits[1:], strict=True)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fft": self.fft, "hop": self.hop, "edges": self.edges}


@_register
class FlatLogits(keras.layers.Layer):
    """Flatten [batch * rows, ...] to float32 [batch, any number]."""

    def __init__(self, rows: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = rows

    def call(self, x):
        # The row size follows from the batch at run time, on any device, which -1 alone does not allow.
        x = tf.cast(x, tf.float32)
        return tf.reshape(x, [tf.shape(x)[0] // self.rows, -1])

    def compute_output_shape(self, shape):
        inside = None if any(n is None for n in shape[1:]) else self.rows * math.prod(shape[1:])
        return (None if shape[0] is None else shape[0] // self.rows, inside)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


def _flat_logits(x, rows: int = 1):
    return FlatLogits(rows, dtype="float32")(x)


def _weight_normalized(initializer: Initializer, seeds: Iterator[int]) -> Callable:
    return lambda filters, taps, **more: WeightNormalization(
        Convolution1D(filters, taps, initializer=initializer, seed=next(seeds), **more)
    )


def _weight_normalized_2d(initializer: Initializer, seeds: Iterator[int]) -> Callable:
    """Return (filters, (frames, bins), stride along frequency) -> a layer that pads half a kernel on every side."""

    def make(filters: int, taps: tuple[int, int], stride: int) -> Callable:
        seed = next(seeds)
        pad = layers.ZeroPadding2D((taps[0] // 2, taps[1] // 2))

        def convolve(x):
            kernel = make_initializer(initializer, 0.02, seed)
            bias = bias_initializer(initializer, taps[0] * taps[1] * x.shape[-1], seed)
            conv = layers.Conv2D(filters, taps, (1, stride), kernel_initializer=kernel, bias_initializer=bias)
            return WeightNormalization(conv)(pad(x))

        return convolve

    return make
