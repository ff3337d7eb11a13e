"""AP-BWE's discriminators of amplitude and of phase spectra; see `discriminators` for what a discriminator returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from .convolution import bias_initializer, make_initializer, pad_time
from .discriminators import FlatLogits
from .seeds import layer_seeds
from .weight_norm import WeightNormalization

View = Literal["amplitude", "phase"]
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
_SEED_STREAM = 0xAB5
# Kernel and stride, each (frames, bins).
_PLAN = (((5, 7), (2, 2)), ((3, 5), (1, 2)), ((3, 5), (2, 2)), ((3, 3), (1, 2)), ((3, 3), (2, 2)))


def spectral(view: View, resolutions: Sequence[tuple[int, int]] = RESOLUTIONS, channels: int = 64, seed: int = 0) -> keras.Model:
    """Build a network for each resolution over one part of the spectrogram (Lu et al. 2024, "Towards high-quality and efficient speech
    bandwidth extension with parallel amplitude and phase prediction", section III-B).

    Args:
        view: "amplitude" or "phase".
        resolutions: Transform size and hop in samples; the window is rectangular.
        channels: Channels of every layer; 64 as published.
        seed: Seed of the initial weights, drawn as PyTorch draws them.

    A clip must be longer than half the largest transform.
    """
    seeds = layer_seeds(seed, _SEED_STREAM)
    audio = keras.Input((None, 1), name="audio")
    logits, features = [], []

    def convolve(x, filters: int, taps: tuple[int, int], strides: tuple[int, int]):
        number = next(seeds)
        bias = bias_initializer("torch", taps[0] * taps[1] * x.shape[-1], number)
        kernel = make_initializer("torch", 0.0, number)
        conv = layers.Conv2D(filters, taps, strides, kernel_initializer=kernel, bias_initializer=bias)
        return WeightNormalization(conv)(layers.ZeroPadding2D((taps[0] // 2, taps[1] // 2))(x))

    for fft, hop in resolutions:
        x, maps = SpectrumView(view, fft, hop)(audio), []
        for taps, strides in _PLAN:
            x = layers.LeakyReLU(0.1)(convolve(x, channels, taps, strides))
            maps.append(x)
        logits.append(FlatLogits(dtype="float32")(convolve(x, 1, (3, 3), (1, 1))))
        features.append(maps)
    return keras.Model(audio, (logits, features), name=view)


@keras.saving.register_keras_serializable(package="gan_audio")
class SpectrumView(keras.layers.Layer):
    """One part of the spectrogram under a rectangular window, the signal mirrored at both ends:
    float [batch, samples, 1] -> [batch, samples // hop + 1, fft / 2 + 1, 1]."""

    def __init__(self, view: View, fft: int, hop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.view, self.fft, self.hop = view, int(fft), int(hop)

    def call(self, audio):
        x = pad_time(tf.cast(audio[:, :, :1], tf.float32)[..., 0], self.fft // 2, "reflect")
        spectrum = tf.signal.rfft(tf.signal.frame(x, self.fft, self.hop))
        if self.view == "amplitude":  # a floor of -200 dB: the gradient of a root ends at zero
            part = tf.sqrt(tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum)) + 1e-20)
        else:
            part = tf.math.atan2(tf.math.imag(spectrum), tf.math.real(spectrum) + 1e-10)
        return tf.cast(part, self.compute_dtype)[..., None]

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] // self.hop + 1, self.fft // 2 + 1, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "view": self.view, "fft": self.fft, "hop": self.hop}
