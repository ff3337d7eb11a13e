"""WaveGAN: raw waveforms from one-dimensional transposed convolutions (Donahue, McAuley and Puckette 2019, "Adversarial Audio
Synthesis", and the second version of the authors' code)."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...layers import PhaseShuffle, PostProcessingFilter, WaveformToAudio
from ...recipe_schema import Recipe
from ..adversarial import AdversarialFamily
from ..base import Draws
from .schema import WaveGANModel

SHUFFLED_LAYERS = 4  # the paper's text shuffles every layer of the critic; the code's second version layers 0 to 3


def strides_of(clip_samples: int, start_samples: int = 16) -> tuple[int, ...]:
    """The strides of the generator, first layer first; the critic runs the same from its first layer.

    All are 4, as in the paper; the last is 2 where the length is start * 4^k * 2. With 16 start samples: 2048 (4,4,4,2), 4096
    (4,4,4,4), 8192 (4,4,4,4,2), 16384 (five 4s), 32768 (five 4s and 2), 65536 (six 4s).

    Raises:
        RecipeError: The length is not reached by such strides; the nearest ones are named.
    """
    strides: list[int] = []
    length = start_samples
    while length * 4 <= clip_samples:
        length *= 4
        strides.append(4)
    if length * 2 == clip_samples:
        length *= 2
        strides.append(2)
    if length != clip_samples or not strides:
        below = max(length, 4 * start_samples)
        nearest = [n for n in (below, 2 * below, 4 * below) if n != clip_samples][:2]
        raise RecipeError(
            f"data.clip_samples is {clip_samples}; from {start_samples} start samples WaveGAN reaches {start_samples} * 4^k and twice "
            f"that, for example {' and '.join(map(str, nearest))}.",
            hint=f"--set data.clip_samples={nearest[-1]}, or change model.start_samples",
        )
    return tuple(strides)


class WaveGAN(AdversarialFamily):
    """WaveGAN of `clip_samples` samples and any number of channels; see `AdversarialFamily`.

    With n layers the generator starts from [start_samples, 2^(n-1) d] and halves the channels at each layer; the critic mirrors
    it. Labels (`conditioning = "projection"`): the generator reads a label embedding beside the latent, the critic adds
    <embedding, features> to its logit.
    """

    model: WaveGANModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, WaveGANModel)
        self.model = recipe.model
        self.strides = strides_of(recipe.data.clip_samples, self.model.start_samples)
        self.shuffled = min(SHUFFLED_LAYERS, len(self.strides) - 1) if self.model.phase_shuffle else 0
        shortest = self.model.start_samples * self.strides[-1]  # of the feature maps that are shuffled, at most
        if self.shuffled and shortest <= self.model.phase_shuffle:
            raise RecipeError(
                f"model.phase_shuffle is {self.model.phase_shuffle}, but the critic's shortest shuffled layer has {shortest} steps; "
                "expected fewer.",
                hint="--set model.phase_shuffle=2",
            )
        super().__init__(recipe, info, seed)

    def build_generator(self) -> keras.Model:
        """latent (and label) -> float32 [batch, clip_samples, channels], tanh (then the filter, if there is one)."""
        m, data = self.model, self.recipe.data
        inputs, condition = self.generator_inputs()
        modulate = self.modulator(condition)
        width = m.dim * 2 ** (len(self.strides) - 1)
        x = layers.Dense(m.start_samples * width, kernel_initializer=self.glorot(), name="dense")(condition)
        x = layers.Reshape((m.start_samples, width), name="start")(x)
        x = layers.ReLU()(modulate(self.normalize(x)))
        for stride in self.strides[:-1]:
            width //= 2
            x = layers.ReLU()(modulate(self.normalize(self.upsample(x, width, stride))))
        x = self.upsample(x, data.channels, self.strides[-1])
        x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
        if m.postprocess_filter:
            x = PostProcessingFilter(m.postprocess_filter, seed=next(self.seeds), dtype="float32", name="postprocess")(x)
        return keras.Model(inputs if self.conditional else inputs[0], x, name="generator")

    def upsample(self, x, channels: int, stride: int):
        """Transposed convolution, or nearest-neighbour and convolution ("nn" in the paper, appendix A): three times as slow on a CPU."""
        if self.model.upsample == "transposed":
            return layers.Conv1DTranspose(channels, self.model.kernel, stride, padding="same", kernel_initializer=self.glorot())(x)
        x = layers.UpSampling1D(stride)(x)
        return layers.Conv1D(channels, self.model.kernel, padding="same", kernel_initializer=self.glorot())(x)

    def build_critic(self) -> keras.Model:
        """{"example", "shifts" int32 [shuffled layers] if shuffled, "label" if conditional} -> logits [batch, 1]."""
        m, data = self.model, self.recipe.data
        inputs = {"example": keras.Input((data.clip_samples, data.channels), name="example")}
        if self.shuffled:
            inputs["shifts"] = keras.Input(batch_shape=(self.shuffled,), dtype="int32", name="shifts")
        x = inputs["example"]
        for index, stride in enumerate(self.strides):
            x = layers.Conv1D(m.dim * 2**index, m.kernel, stride, padding="same", kernel_initializer=self.glorot())(x)
            x = layers.LeakyReLU(0.2)(self.normalize(x) if index else x)
            if index < self.shuffled:
                x = PhaseShuffle(m.phase_shuffle)(x, inputs["shifts"][index])
        return self.finish_critic(inputs, x)

    def critic_extras(self, draws: Draws, name: str) -> dict[str, tf.Tensor]:
        if not self.shuffled:
            return {}
        radius = self.model.phase_shuffle
        return {"shifts": draws.shared_integers(f"shifts/{name}", (self.shuffled,), -radius, radius + 1)}

    def to_audio(self) -> keras.layers.Layer:
        return WaveformToAudio(name="to_audio")


FAMILY = WaveGAN
