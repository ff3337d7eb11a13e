"""What the VAE encodes, normalised log spectrograms or waveforms: their sizes, layers and likelihoods."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...layers import WaveformToAudio
from ...losses.spectral import Resolution, l1, multi_resolution_stft
from ...losses.weighted import WeightedTerms
from ...recipe_schema import Recipe
from ..sizes import strides_of
from ..spectrogram import Spectrogram
from .schema import VAELosses, VAEModel

# Mean square of a sample at -50 dB of full scale: what is quieter counts as silence in a waveform's likelihood. With a floor at -100 dB the
# logarithms of empty bins rule the sum, and the decoder learns to be quiet: four tones came back 20 dB too soft, at wrong places.
_WAVEFORM_FLOOR = 1e-5
_LOG_2_PI = math.log(2.0 * math.pi)


class Domain(ABC):
    """The representation of a clip that encoder and decoder exchange for a latent.

    Attributes:
        shape: Its shape without the batch.
        strides: Strides of the encoder's layers, first to last.
        start: Sizes of the decoder's first feature map, without channels.
        convolution, transposed: Classes of the layers.
        activation: Activation of the decoder's last layer.
        statistics: Keys of the per-bin statistics that it needs.
        layer: Registered layer from audio to the representation; None: they are the same.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: tuple[int, ...]
    convolution: Any
    transposed: Any
    activation: str
    statistics: tuple[str, ...] = ()
    layer: keras.layers.Layer | None = None
    learns_deviation = False

    @abstractmethod
    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """Return the representation of float32 [batch, samples, channels]."""

    @abstractmethod
    def to_audio(self) -> keras.layers.Layer:
        """Build the registered layer back to audio."""

    @abstractmethod
    def nats(self, made: tf.Tensor, example: tf.Tensor, deviation: keras.Model | None) -> tf.Tensor:
        """Return -log p(x | z, c) in nats, the mean over clips.

        Args:
            made: The decoder's output, float32.
            example: What was encoded.
            deviation: The network of the learnt standard deviation, if there is one.
        """


class SpectrogramDomain(Domain):
    """The normalised log spectrogram that SpecGAN has too, under a Gaussian whose mean is the decoder's output."""

    convolution, transposed = layers.Conv2D, layers.Conv2DTranspose
    activation = "linear"  # a Gaussian's mean lies anywhere

    def __init__(self, model: VAEModel, losses: VAELosses, recipe: Recipe, info: DatasetInfo):
        self.spectrogram = Spectrogram(model, recipe, info)
        frames, bins, _ = self.shape = self.spectrogram.shape
        stages = self.spectrogram.stages
        self.strides, self.start = (2,) * stages, (frames >> stages, bins >> stages)
        self.statistics, self.layer = (self.spectrogram.statistics,), self.spectrogram.layer
        self.fixed_deviation = losses.deviation
        self.learns_deviation = not losses.deviation

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        return self.spectrogram.layer(audio)

    def to_audio(self) -> keras.layers.Layer:
        return self.spectrogram.to_audio()

    def nats(self, made: tf.Tensor, example: tf.Tensor, deviation: keras.Model | None) -> tf.Tensor:
        error = tf.reduce_sum(tf.square(made - example), axis=[1, 2, 3])
        log_deviation = deviation(made, training=True)[:, 0] if deviation else tf.constant(math.log(self.fixed_deviation))
        return tf.reduce_mean(0.5 * error * tf.exp(-2.0 * log_deviation) + math.prod(self.shape) * (log_deviation + 0.5 * _LOG_2_PI))


@dataclass(eq=False)
class _Waveforms:
    made: tf.Tensor
    example: tf.Tensor
    resolutions: tuple[Resolution, ...]

    def spectral(self) -> tf.Tensor:
        convergence, log_magnitude = multi_resolution_stft(self.made, self.example, self.resolutions, _WAVEFORM_FLOOR)
        return convergence + log_magnitude


TERMS: WeightedTerms[_Waveforms] = WeightedTerms(
    VAELosses, {"spectral": _Waveforms.spectral, "waveform": lambda pair: l1(pair.made, pair.example)}
)


class WaveformDomain(Domain):
    """Samples, under a likelihood that is known up to a constant: the terms `spectral` and `waveform`."""

    convolution, transposed = layers.Conv1D, layers.Conv1DTranspose
    activation = "tanh"  # samples end at full scale

    def __init__(self, model: VAEModel, losses: VAELosses, recipe: Recipe):
        data = recipe.data
        if not TERMS.active(losses):
            raise RecipeError("losses.spectral and losses.waveform are 0: a waveform has no likelihood.", hint="--set losses.spectral=300")
        self.shape = (data.clip_samples, data.channels)
        self.strides = tuple(reversed(strides_of(data.clip_samples, model.start_samples)))
        self.start = (model.start_samples,)
        self.losses, self.resolutions = losses, resolutions_at(data.sample_rate)

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        return tf.cast(audio, tf.float32)

    def to_audio(self) -> keras.layers.Layer:
        return WaveformToAudio(name="to_audio")

    def nats(self, made: tf.Tensor, example: tf.Tensor, deviation: keras.Model | None) -> tf.Tensor:
        return tf.add_n(list(TERMS(self.losses, _Waveforms(made, example, self.resolutions)).values()))


def resolutions_at(sample_rate: int) -> tuple[Resolution, ...]:
    """Return (fft, hop, window) of windows of about 64, 32 and 8 ms, powers of two, a quarter of a window apart."""
    sizes = [max(16, 2 ** round(math.log2(seconds * sample_rate))) for seconds in (0.064, 0.032, 0.008)]
    return tuple((size, size // 4, size) for size in sizes)
