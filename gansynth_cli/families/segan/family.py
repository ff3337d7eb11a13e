"""SEGAN: a generator that maps a noisy window of samples to a clean one, and a critic that sees the noisy window beside either.

Pascual, Bonafonte and Serra 2017, "SEGAN: Speech enhancement generative adversarial network", and the authors' code; the options of
SEGAN+ (Pascual, Serra and Bonafonte 2019, "Time-domain speech enhancement using generative adversarial networks")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ...data.dataset_info import DatasetInfo
from ...errors import RecipeError
from ...feature_specs import BatchFeatures
from ...layers import ChannelScale, PhaseShuffle, ReferenceBatch, VirtualBatchNormalization, WithoutReference
from ...losses.adversarial import LOSSES
from ...losses.spectral import Part, Spectrum, spectrum, spectrum_l1, spectrum_l2, waveform_l1, waveform_l2
from ...models.window_enhancer import WindowEnhancer
from ...recipe_schema import Recipe
from ...signal.emphasis import deemphasize, emphasize, emphasize_clips
from ..adversarial import AdversarialGame, batch_size, layer_seeds
from ..base import Batch, Draws, Losses, provenance_of
from ..enhancement import EnhancementPreviews
from .schema import SEGANLosses, SEGANModel

if TYPE_CHECKING:
    from ...data.pipeline import Source

LEAK = 0.3  # of the critic
PARTS: tuple[Part, ...] = ("real", "imag", "magnitude")


class SEGAN(EnhancementPreviews, AdversarialGame):
    """SEGAN on windows of `data.clip_samples` samples.

    Networks:
        generator: [noisy float32 [batch, window, 1], latent float32 [batch, steps, latent_dim]] (or noisy alone) -> [batch, window, 1].
        critic: {"example": [batch, window, 1], "noisy": the same, "groups": int32 (), "shifts": int32 [n] if shuffled} -> [batch, 1].

    Both see and make pre-emphasised audio; so do the losses.

    Args:
        recipe: A recipe of the family.
        info: Facts of the data set.
        seed: Of the first weights; `recipe.seed` where it is None.

    Raises:
        RecipeError: A window that the strides do not divide, or more than one channel.
    """

    averaged = ("generator",)

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, SEGANModel)
        assert isinstance(recipe.losses, SEGANLosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.settings, self.loss = recipe.adversarial, LOSSES[recipe.adversarial.loss]
        self.critic_widths = self.model.critic_widths or self.model.widths
        self._check_sizes()
        terms = [field.name for field in fields(SEGANLosses) if field.name.endswith(("_l1", "_l2"))]
        self.reconstructs = any(getattr(self.weights, name) for name in terms)
        self.shuffled = max(0, len(self.critic_widths) - 2) if self.model.phase_shuffle else 0
        self.seeds = layer_seeds(recipe.seed if seed is None else seed)
        self.networks: dict[str, keras.Model] = {"generator": self.build_generator(), "critic": self.build_critic()}

    def _check_sizes(self) -> None:
        data, m = self.recipe.data, self.model
        if data.channels != 1:
            raise RecipeError(
                f"data.channels is {data.channels}; SEGAN hears one channel, and cleans those of a recording one by one.",
                hint="--set data.channels=1",
            )
        for name, widths in (("widths", m.widths), ("critic_widths", self.critic_widths)):
            factor = m.stride ** len(widths)
            if data.clip_samples % factor:
                nearest = max(1, round(data.clip_samples / factor)) * factor
                raise RecipeError(
                    f"data.clip_samples is {data.clip_samples}; {len(widths)} layers (model.{name}) of stride {m.stride} need a multiple "
                    f"of {factor}.",
                    hint=f"--set data.clip_samples={nearest}, or fewer layers",
                )
        if 2 * self.weights.stft_hop > self.weights.stft_fft:
            raise RecipeError(
                f"losses.stft_hop is {self.weights.stft_hop}; expected at most half of losses.stft_fft, which is {self.weights.stft_fft}.",
                hint=f"--set losses.stft_hop={self.weights.stft_fft // 4}",
            )

    # The networks.

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """[steps, channels] of the noise beside the code; () without it."""
        m = self.model
        return (self.recipe.data.clip_samples // m.stride ** len(m.widths), m.latent_dim) if m.latent_dim else ()

    def build_generator(self) -> keras.Model:
        """Encoder, noise beside the code, decoder; each encoder layer's output before its PReLU is carried to the decoder."""
        m = self.model
        noisy = keras.Input((self.recipe.data.clip_samples, 1), name="noisy")
        x, skips = noisy, []
        for index, width in enumerate(m.widths):
            x = layers.Conv1D(width, m.kernel, m.stride, padding="same", kernel_initializer=self._kernel(), name=f"encode_{index}")(x)
            skips.append(x)
            x = layers.PReLU(shared_axes=[1], name=f"encode_{index}_prelu")(x)
        inputs = [noisy]
        if m.latent_dim:
            inputs.append(keras.Input(self.latent_shape, name="latent"))
            x = layers.Concatenate(name="code")([inputs[1], x])
        for index, (width, skip) in enumerate(zip(m.widths[-2::-1], skips[-2::-1], strict=True)):
            x = self._transposed(width, f"decode_{index}")(x)
            x = layers.PReLU(shared_axes=[1], name=f"decode_{index}_prelu")(x)
            if m.skips == "scaled":
                skip = ChannelScale(name=f"skip_{index}_scale")(skip)
            elif m.skips == "gated":
                glorot = keras.initializers.GlorotUniform(seed=next(self.seeds))
                gate = layers.Conv1D(width, 1, activation="sigmoid", kernel_initializer=glorot, name=f"skip_{index}_gate")(x)
                skip = layers.Multiply(name=f"skip_{index}_gated")([skip, gate])
            x = layers.Concatenate(name=f"skip_{index}")([x, skip])
        x = self._transposed(1, f"decode_{len(m.widths) - 1}")(x)
        x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
        if m.residual:
            x = layers.Add(dtype="float32", name="residual")([noisy, x])
        return keras.Model(inputs if m.latent_dim else noisy, x, name="generator")

    def build_critic(self) -> keras.Model:
        """The encoder's layers on two channels, with virtual batch normalisation; a 1x1 convolution to one channel, then dense.

        The biases of normalised convolutions are in the authors' network, so they are here: normalisation takes them out again.
        """
        m, window = self.model, self.recipe.data.clip_samples
        virtual = m.critic_norm == "virtual"
        inputs = {name: keras.Input((window, 1), name=name) for name in ("example", "noisy")}
        inputs["groups"] = keras.Input(batch_shape=(), dtype="int32", name="groups")
        if self.shuffled:
            inputs["shifts"] = keras.Input(batch_shape=(self.shuffled,), dtype="int32", name="shifts")
        x = layers.Concatenate(name="pair")([inputs["example"], inputs["noisy"]])
        if virtual:
            x = ReferenceBatch(m.reference_clips, name="reference")(x)
        for index, width in enumerate(self.critic_widths):
            if self.shuffled and index >= 2:
                x = PhaseShuffle(min(m.phase_shuffle, x.shape[1] - 1), name=f"shuffle_{index}")(x, inputs["shifts"][index - 2])
            x = layers.Conv1D(width, m.kernel, m.stride, padding="same", kernel_initializer=self._kernel(), name=f"conv_{index}")(x)
            if virtual:
                x = VirtualBatchNormalization(m.reference_clips, seed=next(self.seeds), name=f"norm_{index}")(x, inputs["groups"])
            x = layers.LeakyReLU(LEAK)(x)
        if virtual:
            x = WithoutReference(m.reference_clips, name="without_reference")(x)
        x = layers.Conv1D(1, 1, kernel_initializer=self._kernel(), name="pool")(x)
        x = layers.Flatten(name="features")(x)
        dense = keras.initializers.GlorotUniform(seed=next(self.seeds))
        return keras.Model(inputs, layers.Dense(1, kernel_initializer=dense, dtype="float32", name="logit")(x), name="critic")

    def _kernel(self) -> keras.initializers.Initializer:
        if self.model.initial == "he":
            return keras.initializers.HeNormal(seed=next(self.seeds))
        return keras.initializers.TruncatedNormal(stddev=0.02, seed=next(self.seeds))

    def _transposed(self, width: int, name: str) -> layers.Layer:
        m = self.model
        if m.initial == "he":
            # Keras takes a transposed kernel's fan-in from the wrong axis, and only one tap in `stride` meets a sample.
            scale = 2.0 * m.stride
            kernel = keras.initializers.VarianceScaling(scale, "fan_out", "truncated_normal", seed=next(self.seeds))
        else:
            kernel = self._kernel()
        return layers.Conv1DTranspose(width, m.kernel, m.stride, padding="same", kernel_initializer=kernel, name=name)

    # The game; see `AdversarialGame`.

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """Pre-emphasised clips."""
        return emphasize_clips(audio, self.model.preemphasis)

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        noisy = self.represent(batch["noisy"])
        if not self.model.latent_dim:
            return self.networks["generator"](noisy, training=True)
        latent = draws.normal("latent", (batch_size(noisy), *self.latent_shape))
        return self.networks["generator"]([noisy, latent], training=True)

    def judge(self, examples: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        return self._judge(examples, self.represent(batch["noisy"]), draws, name, 1)

    def judge_both(self, real: tf.Tensor, fake: tf.Tensor, batch: Batch, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """In one call, so that the reference batch goes through the critic once."""
        noisy = self.represent(batch["noisy"])
        logits = self._judge(tf.concat([real, fake], axis=0), tf.concat([noisy, noisy], axis=0), draws, "both", 2)
        return logits[: batch_size(real)], logits[batch_size(real) :]

    def _judge(self, examples: tf.Tensor, noisy: tf.Tensor, draws: Draws, name: str, groups: int) -> tf.Tensor:
        inputs = {"example": examples, "noisy": noisy, "groups": tf.constant(groups, tf.int32)}
        if self.shuffled:
            radius = self.model.phase_shuffle
            inputs["shifts"] = draws.shared_integers(f"shifts/{name}", (self.shuffled,), -radius, radius + 1)
        return self.networks["critic"](inputs, training=True)[:, 0]

    def reconstruction_losses(self, made: tf.Tensor, batch: Batch) -> Losses:
        """The terms of `[losses]` whose weight is not 0."""
        w, clean = self.weights, self.represent(batch["clean"])
        losses: Losses = {}
        if w.waveform_l1:
            losses["waveform_l1"] = w.waveform_l1 * waveform_l1(made, clean)
        if w.waveform_l2:
            losses["waveform_l2"] = w.waveform_l2 * waveform_l2(made, clean)
        spectra: list[Spectrum] = []
        for part in PARTS:
            for name, distance in (("l1", spectrum_l1), ("l2", spectrum_l2)):
                weight = getattr(w, f"stft_{part}_{name}")
                if weight:
                    spectra = spectra or [spectrum(x, w.stft_fft, w.stft_hop, normalized=True) for x in (made, clean)]
                    losses[f"stft_{part}_{name}"] = weight * distance(spectra[0], spectra[1], part)
        return losses

    # What the trainer and the verbs ask.

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, pairs=True)

    def begin(self, source: Source) -> None:
        """Chooses the reference batch, the first training mixtures, clean beside noisy; and the mixtures of the previews."""
        super().begin(source)
        if self.model.critic_norm != "virtual":
            return
        rows, clean, noisy = self.model.reference_clips, [], []
        for batch in source.batches(self.recipe, "train", seed=self.recipe.seed, batch_size=1):
            clean.append(self.represent(batch["clean"]).numpy())
            noisy.append(self.represent(batch["noisy"]).numpy())
            if len(clean) == rows:
                break
        self.networks["critic"].get_layer("reference").choose(np.concatenate([np.concatenate(clean), np.concatenate(noisy)], axis=-1))

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        """Clips of one window, each as a recording of its own."""
        emphasized, _ = emphasize(noisy[..., 0], self.model.preemphasis)
        cleaned = self.inference_model(networks)(tf.constant(emphasized[..., None]), training=False).numpy()
        return deemphasize(cleaned[..., 0], self.model.preemphasis)[0][..., None]

    def inference_model(self, networks: Mapping[str, keras.Model]) -> WindowEnhancer:
        """The generator with all it needs to clean windows of a recording."""
        recipe = self.recipe
        return WindowEnhancer(
            networks["generator"],
            recipe.data.sample_rate,
            recipe.data.clip_samples,
            preemphasis=self.model.preemphasis,
            latent_shape=self.latent_shape,
            latent_seed=recipe.seed,
            provenance=provenance_of(recipe, self.info),
            name="window_enhancer",
        )


FAMILY = SEGAN
