"""SpecGAN: log-magnitude spectrograms as pictures, made audible by Griffin-Lim (Donahue, McAuley and Puckette 2019, section 3.2)."""

from __future__ import annotations

import math

import keras
import tensorflow as tf
from keras import layers

from ...data.dataset_info import DatasetInfo
from ...data.statistics import statistics_key
from ...errors import DatasetError, RecipeError
from ...feature_specs import BatchFeatures
from ...layers import NormalizedLogSpectrogram, SpectrogramToAudio
from ...recipe_schema import Recipe
from ...signal.stft import frame_count
from ..adversarial import AdversarialFamily
from .schema import SpecGANModel

SMALLEST_START = 4  # frames or bins of the generator's first picture; the paper's 128 x 128 starts at 4 x 4


def stages_of(frames: int, bins: int, stages: int = 0) -> int:
    """The number of layers of stride 2 between the first picture and `frames` x `bins`.

    Where `stages` is 0, as many as leave the smaller side at least 4: 128 x 128 starts at 4 x 4 with 5 (the paper), 64 x 128 at 4 x 8
    with 4, 128 x 512 at 4 x 16 with 5. Given explicitly, both sides must be multiples of 2^stages: 64 x 128 with 5 starts at 2 x 4.

    Raises:
        RecipeError: The picture cannot be halved so often; what can is named.
    """
    most = int(math.log2(math.gcd(frames, bins) & -math.gcd(frames, bins)))
    fitting = max((n for n in range(1, most + 1) if min(frames, bins) >> n >= SMALLEST_START), default=0)
    wanted = stages or fitting
    if not 1 <= wanted <= most:
        raise RecipeError(
            f"SpecGAN cannot make a picture of {frames} frames x {bins} bins with {stages or 'at least one'} layers of stride 2: "
            f"both sides must be "
            f"multiples of {2 ** (stages or 1)}" + ("." if stages else f" and the smaller side at least {2 * SMALLEST_START}."),
            hint="choose model.frames and model.fft / 2 as powers of two, for example 64 frames of fft 256",
        )
    return wanted


class SpecGAN(AdversarialFamily):
    """SpecGAN of `frames` x `fft / 2` pictures, one a channel; see `AdversarialFamily`.

    The batch holds audio; its normalised log spectrogram is computed in graph, and all penalties are taken on it. With n stages the
    generator starts from [frames / 2^n, bins / 2^n, 2^(n-1) d]; the critic mirrors it, without phase shuffle.
    """

    model: SpecGANModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, SpecGANModel)
        self.model = recipe.model
        m, samples = self.model, recipe.data.clip_samples
        if m.fft % 2 or 2 * m.hop > m.fft:
            raise RecipeError(f"model.fft is {m.fft} and model.hop {m.hop}; expected an even fft and a hop of at most half of it.")
        if frame_count(samples, m.hop) != m.frames:
            needed = frame_count(samples, m.hop)
            raise RecipeError(
                f"model.frames is {m.frames}, but {samples} samples (data.clip_samples) at hop {m.hop} (model.hop) are {needed} frames.",
                hint=f"--set model.frames={needed}, or --set data.clip_samples={m.frames * m.hop}",
            )
        self.bins = m.fft // 2
        self.stages = stages_of(m.frames, self.bins, m.stages)
        (spec,) = m.statistics
        self.statistics = statistics_key(spec, recipe.data.peak_normalize)
        self.scale = self._scale(info)
        self.spectrogram = NormalizedLogSpectrogram(frames=m.frames, **self.scale, dtype="float32", name="spectrogram")
        super().__init__(recipe, info, seed)

    def _scale(self, info: DatasetInfo) -> dict:
        m, found = self.model, info.statistics.get(self.statistics)
        if not found:
            raise DatasetError(
                f"The data set {info.name} holds no statistics {self.statistics!r}, by which SpecGAN normalises each frequency bin.",
                hint="gan-audio prepare --recipe NAME computes them; training does so too where it can write to the data set",
            )
        if any(len(found[name]) != self.bins + 1 for name in ("mean", "deviation")):
            raise DatasetError(
                f"The statistics {self.statistics!r} of {info.name} have {len(found['mean'])} bins; expected {self.bins + 1}."
            )
        return {
            "fft": m.fft,
            "hop": m.hop,
            "mean": found["mean"],
            "deviation": found["deviation"],
            "log_offset": m.log_offset,
            "clip_deviations": m.clip_deviations,
        }

    def build_generator(self) -> keras.Model:
        """latent (and label) -> float32 [batch, frames, bins, channels], tanh."""
        m = self.model
        inputs, condition = self.generator_inputs()
        modulate = self.modulator(condition)
        width = m.dim * 2 ** (self.stages - 1)
        start = (m.frames >> self.stages, self.bins >> self.stages, width)
        x = layers.Dense(math.prod(start), kernel_initializer=self.glorot(), name="dense")(condition)
        x = layers.Reshape(start, name="start")(x)
        x = layers.ReLU()(modulate(self.normalize(x)))
        for _ in range(self.stages - 1):
            width //= 2
            x = layers.ReLU()(modulate(self.normalize(self.upsample(x, width))))
        x = self.upsample(x, self.recipe.data.channels)
        x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
        return keras.Model(inputs if self.conditional else inputs[0], x, name="generator")

    def upsample(self, x, channels: int):
        """Transposed convolution, or nearest-neighbour and convolution."""
        if self.model.upsample == "transposed":
            return layers.Conv2DTranspose(channels, self.model.kernel, 2, padding="same", kernel_initializer=self.glorot())(x)
        x = layers.UpSampling2D(2)(x)
        return layers.Conv2D(channels, self.model.kernel, padding="same", kernel_initializer=self.glorot())(x)

    def build_critic(self) -> keras.Model:
        """{"example" float32 [batch, frames, bins, channels], "label" if conditional} -> logits [batch, 1]."""
        m = self.model
        inputs = {"example": keras.Input((m.frames, self.bins, self.recipe.data.channels), name="example")}
        x = inputs["example"]
        for index in range(self.stages):
            x = layers.Conv2D(m.dim * 2**index, m.kernel, 2, padding="same", kernel_initializer=self.glorot())(x)
            x = layers.LeakyReLU(0.2)(self.normalize(x) if index else x)
        return self.finish_critic(inputs, x)

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        return self.spectrogram(audio)

    def to_audio(self) -> keras.layers.Layer:
        m = self.model
        return SpectrogramToAudio(
            samples=self.recipe.data.clip_samples,
            iterations=m.griffin_lim_iterations,
            momentum=m.griffin_lim_momentum,
            griffin_lim=m.griffin_lim,
            loud=m.loud,
            **self.scale,
            dtype="float32",
            name="to_audio",
        )

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, self.conditional, (self.statistics,))


FAMILY = SpecGAN
