"""A conditional variational autoencoder of log spectrograms or of waveforms (Kingma and Welling 2014; Sohn, Lee and Yan 2015).

The encoder gives a Gaussian q(z | x, c) for a clip x and its conditions c (label, pitch, instrument, velocity), the decoder a clip for z
and c; trained is the evidence lower bound log p(x | z, c) - beta KL(q || N(0, 1)). Training has no game in it: what is lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ...data.dataset_info import DatasetInfo
from ...data.statistics import statistics_key
from ...errors import DatasetError, RecipeError
from ...feature_specs import BatchFeatures
from ...layers import LabelEmbedding, Modulation, NormalizedLogSpectrogram, SpectrogramToAudio, WaveformToAudio
from ...layers.gaussian import BoundedLogVariance, LogDeviation
from ...losses.spectral import multi_resolution_stft, spectrum, waveform_l1
from ...models.clip_generator import ClipGenerator
from ...recipe_schema import Recipe
from ...signal.stft import frame_count
from ..adversarial import PREVIEW_BATCH, batch_size, layer_seeds
from ..base import Batch, Draws, Losses, Phase, provenance_of
from ..specgan.family import stages_of
from ..wavegan.family import strides_of
from .schema import CONDITIONS, VAELosses, VAEModel

if TYPE_CHECKING:
    from ...data.pipeline import Source

PREVIEW_RECORDINGS = 64  # clips of the validation split behind the figures of the previews
ACTIVE = 0.01  # variance over clips of the mean of q beyond which a latent dimension is in use (Burda, Grosse and Salakhutdinov 2016)
_LSD_FLOOR = 1e-8  # mean square of a sample at -80 dB of full scale: quieter differences are not counted
# Mean square of a sample at -50 dB of full scale: what is quieter counts as silence in a waveform's likelihood. With a floor at -100 dB the
# logarithms of empty bins rule the sum, and the decoder learns to be quiet: four tones came back 20 dB too soft, at wrong places.
_WAVEFORM_FLOOR = 1e-5
_LOG_2_PI = math.log(2.0 * math.pi)


class VAE:
    """The family; see `VAEModel` for its sizes and `VAELosses` for its terms.

    Networks:
        encoder: {"example": representation, conditions int32 [batch]} -> (mean, log variance), float32 [batch, latent_dim] each.
        decoder: {"latent": float32 [batch, latent_dim], conditions} -> representation.
        deviation: representation -> float32 [batch, 1], the logarithm of the decoder's standard deviation; where that is learnt.

    A representation is float32 [batch, frames, bins, channels], the normalised log spectrogram that SpecGAN has too, or the waveform
    [batch, samples, channels].

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks a condition or the statistics.
    """

    averaged = ("encoder", "decoder")

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, VAEModel)
        assert isinstance(recipe.losses, VAELosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.seeds = layer_seeds(recipe.seed if seed is None else seed)
        self.conditions: dict[str, list[str]] = {name: self._classes(name) for name in CONDITIONS if name in self.model.conditions}
        self.recordings: dict[str, np.ndarray] = {}  # audio and conditions, set by `begin`
        self._companions: dict[str, np.ndarray] = {}
        self._figures: dict[str, float] = {}
        if self.model.domain == "spectrogram":
            self._check_picture()
            self.scale = self._scale()
            self.spectrogram = NormalizedLogSpectrogram(frames=self.model.frames, **self.scale, dtype="float32", name="spectrogram")
        else:
            self.strides = strides_of(recipe.data.clip_samples, self.model.start_samples)
        self.networks: dict[str, keras.Model] = {"encoder": self.build_encoder(), "decoder": self.build_decoder()}
        if self.model.domain == "spectrogram" and not self.weights.deviation:
            inputs = keras.Input(self.shape)
            log_deviation = LogDeviation(dtype="float32", name="log_deviation")(inputs)
            self.networks["deviation"] = keras.Model(inputs, log_deviation, name="deviation")

    def _classes(self, name: str) -> list[str]:
        found = self.info.labels if name == "label" else self.info.attributes.get(name, [])
        if not found:
            raise DatasetError(
                f"The recipe is conditioned on the {name} of a clip (model.conditions), which the data set {self.info.name} does not know.",
                hint="--set 'model.conditions=[]', or prepare the data set with --labels or --layout nsynth",
            )
        return list(found)

    def _check_picture(self) -> None:
        m, samples = self.model, self.recipe.data.clip_samples
        if m.fft % 2 or 2 * m.hop > m.fft:
            raise RecipeError(f"model.fft is {m.fft} and model.hop {m.hop}; expected an even fft and a hop of at most half of it.")
        if frame_count(samples, m.hop) != m.frames:
            needed = frame_count(samples, m.hop)
            raise RecipeError(
                f"model.frames is {m.frames}, but {samples} samples (data.clip_samples) at hop {m.hop} (model.hop) are {needed} frames.",
                hint=f"--set model.frames={needed}, or --set data.clip_samples={m.frames * m.hop}",
            )
        self.stages = stages_of(m.frames, m.fft // 2, m.stages)

    def _scale(self) -> dict:
        m = self.model
        (spec,) = m.statistics
        key = statistics_key(spec, self.recipe.data.peak_normalize)
        found = self.info.statistics.get(key)
        if not found:
            raise DatasetError(
                f"The data set {self.info.name} holds no statistics {key!r}, by which each frequency bin is normalised.",
                hint="gan-audio prepare --recipe NAME computes them; training does so too where it can write to the data set",
            )
        both = {"mean": found["mean"], "deviation": found["deviation"]}
        return {"fft": m.fft, "hop": m.hop, "log_offset": m.log_offset, "clip_deviations": m.clip_deviations, **both}

    @property
    def shape(self) -> tuple[int, ...]:
        """A representation's, without the batch."""
        m, data = self.model, self.recipe.data
        return (m.frames, m.fft // 2, data.channels) if m.domain == "spectrogram" else (data.clip_samples, data.channels)

    # Networks.

    def build_encoder(self) -> keras.Model:
        """Strided convolutions from `dim` channels up; conditions join at the end."""
        m = self.model
        inputs, embedded = self._condition_inputs()
        inputs["example"] = keras.Input(self.shape, name="example")
        x = inputs["example"]
        for index, stride in enumerate(self._strides()):
            convolution = layers.Conv2D if m.domain == "spectrogram" else layers.Conv1D
            x = convolution(self._width(index), m.kernel, stride, padding="same", kernel_initializer=self._he())(x)
            x = layers.LeakyReLU(0.2)(x)
        x = layers.Concatenate(name="features")([layers.Flatten()(x), *embedded])
        small = keras.initializers.VarianceScaling(0.1, "fan_in", seed=next(self.seeds))
        mean = layers.Dense(m.latent_dim, kernel_initializer=self._glorot(), dtype="float32", name="mean")(x)
        spread = layers.Dense(m.latent_dim, kernel_initializer=small, dtype="float32", name="spread")(x)
        log_variance = BoundedLogVariance(dtype="float32", name="log_variance")(spread)
        return keras.Model(inputs, [mean, log_variance], name="encoder")

    def build_decoder(self) -> keras.Model:
        """The encoder mirrored, of transposed convolutions; the first layer reads latent and conditions, with `modulation` all do."""
        m = self.model
        inputs, embedded = self._condition_inputs()
        inputs["latent"] = keras.Input((m.latent_dim,), name="latent")
        told = layers.Concatenate(name="condition")([inputs["latent"], *embedded]) if embedded else inputs["latent"]
        modulate = self._modulator(told)
        strides = self._strides()
        count = len(strides)
        start = (*self._start(), self._width(count - 1))
        x = layers.Dense(math.prod(start), kernel_initializer=self._he(), name="dense")(told)
        x = layers.LeakyReLU(0.2)(modulate(layers.Reshape(start, name="start")(x)))
        for index in reversed(range(1, count)):
            x = layers.LeakyReLU(0.2)(modulate(self._upsample(x, self._width(index - 1), strides[index])))
        x = self._upsample(x, self.recipe.data.channels, strides[0], self._glorot())
        # A picture's Gaussian has its mean anywhere; samples end at full scale.
        x = layers.Activation("linear" if m.domain == "spectrogram" else "tanh", dtype="float32", name="output")(x)
        return keras.Model(inputs, x, name="decoder")

    def _condition_inputs(self) -> tuple[dict[str, keras.KerasTensor], list[keras.KerasTensor]]:
        inputs = {name: keras.Input((), dtype="int32", name=name) for name in self.conditions}
        width = self.model.condition_dim
        return inputs, [
            LabelEmbedding(len(classes), width, seed=next(self.seeds), name=f"{name}_embedding")(inputs[name])
            for name, classes in self.conditions.items()
        ]

    def _modulator(self, told: keras.KerasTensor) -> Callable:
        if not self.model.modulation:
            return lambda x: x
        style = layers.Dense(self.model.modulation, kernel_initializer=self._glorot(), name="style")(told)
        style = layers.LeakyReLU(0.2, name="style_activation")(style)
        return lambda x: Modulation(seed=next(self.seeds))(x, style)

    def _upsample(self, x, channels: int, stride: int, initializer: keras.initializers.Initializer | None = None):
        convolution = layers.Conv2DTranspose if self.model.domain == "spectrogram" else layers.Conv1DTranspose
        return convolution(channels, self.model.kernel, stride, padding="same", kernel_initializer=initializer or self._he())(x)

    def _strides(self) -> tuple[int, ...]:
        """Of the encoder's layers, first to last."""
        return (2,) * self.stages if self.model.domain == "spectrogram" else tuple(reversed(self.strides))

    def _start(self) -> tuple[int, ...]:
        m = self.model
        return (m.frames >> self.stages, m.fft // 2 >> self.stages) if m.domain == "spectrogram" else (m.start_samples,)

    def _width(self, layer: int) -> int:
        return min(self.model.dim * 2**layer, max(self.model.dim, self.model.widest))

    def _glorot(self) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=next(self.seeds))

    def _he(self) -> keras.initializers.Initializer:
        return keras.initializers.HeNormal(seed=next(self.seeds))

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("vae", tuple(self.networks), self.losses, "vae"),)

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        keys = tuple(statistics_key(spec, data.peak_normalize) for spec in self.model.statistics)
        attributes = tuple(name for name in self.conditions if name != "label")
        return BatchFeatures(data.sample_rate, data.channels, data.clip_samples, "label" in self.conditions, keys, attributes=attributes)

    def losses(self, batch: Batch, draws: Draws) -> Losses:
        """Minus the bound in nats a clip: "reconstruction" -log p(x | z, c), and "kl" beta times the divergence, less what is free."""
        example = self.represent(batch["audio"])
        conditions = {name: batch[name] for name in self.conditions}
        mean, log_variance = self.networks["encoder"]({"example": example, **conditions}, training=True)
        noise = draws.normal("latent", (batch_size(batch["audio"]), self.model.latent_dim))
        latent = mean + tf.exp(0.5 * log_variance) * noise
        made = self.networks["decoder"]({"latent": latent, **conditions}, training=True)
        # Free bits are counted on the mean over the batch, as published; on several devices over each one's part of it.
        paid = tf.maximum(tf.reduce_mean(divergence(mean, log_variance), axis=0), self.weights.free_bits)
        return {"reconstruction": self.reconstruction(made, example), "kl": self.beta(draws.step) * tf.reduce_sum(paid)}

    def beta(self, step: tf.Tensor | int) -> tf.Tensor:
        """The weight of the divergence at a step: a tensor, for a number would be frozen into the graph."""
        w = self.weights
        rise = tf.minimum(1.0, tf.cast(step, tf.float32) / w.warmup_steps) if w.warmup_steps else tf.constant(1.0)
        return w.beta * rise

    def reconstruction(self, made: tf.Tensor, example: tf.Tensor, deviation: keras.Model | None = None) -> tf.Tensor:
        """-log p(x | z, c) in nats, the mean over clips: of a Gaussian in a spectrogram; of a waveform up to a constant."""
        w, made = self.weights, tf.cast(made, tf.float32)
        if self.model.domain == "waveform":
            convergence, log_magnitude = multi_resolution_stft(made, example, self.resolutions(), _WAVEFORM_FLOOR)
            return w.spectral * (convergence + log_magnitude) + w.waveform * waveform_l1(made, example)
        error = tf.reduce_sum(tf.square(made - example), axis=[1, 2, 3])
        network = deviation or self.networks.get("deviation")
        log_deviation = network(made, training=True)[:, 0] if network else tf.constant(math.log(w.deviation))
        return tf.reduce_mean(0.5 * error * tf.exp(-2.0 * log_deviation) + math.prod(self.shape) * (log_deviation + 0.5 * _LOG_2_PI))

    def resolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Windows of about 64, 32 and 8 ms, powers of two, a quarter of a window apart."""
        sizes = [max(16, 2 ** round(math.log2(seconds * self.recipe.data.sample_rate))) for seconds in (0.064, 0.032, 0.008)]
        return tuple((size, size // 4, size) for size in sizes)

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """float32 [batch, samples, channels] -> what is encoded."""
        return self.spectrogram(audio) if self.model.domain == "spectrogram" else tf.cast(audio, tf.float32)

    def to_audio(self) -> keras.layers.Layer:
        m = self.model
        if m.domain == "waveform":
            return WaveformToAudio(name="to_audio")
        return SpectrogramToAudio(
            samples=self.recipe.data.clip_samples,
            iterations=m.griffin_lim_iterations,
            momentum=m.griffin_lim_momentum,
            **self.scale,
            dtype="float32",
            name="to_audio",
        )

    # What is shown and shipped.

    def begin(self, source: Source) -> None:
        """Keeps some recordings of the validation split, to be reconstructed in the previews."""
        split = "validation" if "validation" in source.splits else "train"
        group = self.recipe.data.label_group
        size = -(-PREVIEW_RECORDINGS // group) * group
        batches = source.batches(self.recipe, split, seed=self.recipe.seed, batch_size=size, augment=False)
        batch = next(iter(batches))
        self.recordings = {name: np.asarray(batch[name]) for name in ("audio", *self.conditions)}

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """float32 [clips, samples, channels] from the prior, with the conditions of the recordings that are kept; before `begin`, of all
        classes in turn."""
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        inputs = {"latent": rng.standard_normal((clips, self.model.latent_dim)).astype(np.float32)}
        for name, classes in self.conditions.items():
            inputs[name] = np.resize(self.recordings.get(name, np.arange(len(classes))), clips).astype(np.int32)
        model = self.inference_model(networks)
        if self.recordings:
            self._reconstruct(networks, model)
        return _in_parts(lambda part: model(part, training=False), inputs)

    def _reconstruct(self, networks: Mapping[str, keras.Model], model: ClipGenerator) -> None:
        audio = self.recordings["audio"]
        conditions = {name: self.recordings[name].astype(np.int32) for name in self.conditions}
        mean, log_variance = (
            _in_parts(lambda part, side=side: model.encode(part.pop("audio"), part)[side], {"audio": audio, **conditions})
            for side in (0, 1)
        )
        made = _in_parts(lambda part: networks["decoder"](part, training=False), {"latent": mean, **conditions})
        deviation = networks.get("deviation")
        nats = float(self.reconstruction(tf.constant(made), self.represent(tf.constant(audio)), deviation))
        kl = float(divergence(mean, log_variance).numpy().sum(axis=1).mean())
        rebuilt = _in_parts(lambda part: model.to_audio(part["made"]), {"made": made})
        self._companions = {"recording": audio, "reconstruction": rebuilt}
        self._figures = {
            "preview/elbo": -nats - kl,
            "preview/reconstruction_nats": nats,
            "preview/kl_nats": kl,
            "preview/active_units": float((mean.var(axis=0) > ACTIVE).sum()),
            "preview/log_spectral_distance": self._log_spectral_distance(rebuilt, audio),
        }

    def _log_spectral_distance(self, estimate: np.ndarray, target: np.ndarray) -> float:
        """dB: the root mean square over frequency of the difference of levels, averaged over frames and clips."""
        fft, hop, _ = self.resolutions()[1]
        levels = []
        for audio in (estimate, target):
            s = spectrum(tf.constant(audio), fft, hop)
            levels.append(tf.math.log(tf.square(s.real) + tf.square(s.imaginary) + s.gain * _LSD_FLOOR) * (10.0 / math.log(10.0)))
        return float(tf.reduce_mean(tf.sqrt(tf.reduce_mean(tf.square(levels[0] - levels[1]), axis=-1))))

    def preview_companions(self, clips: int) -> dict[str, np.ndarray]:
        """A recording of the same conditions beside each clip of the prior, and its reconstruction."""
        return {name: np.resize(beside, (clips, *beside.shape[1:])) for name, beside in self._companions.items()}

    def preview_figures(self, clips: np.ndarray) -> dict[str, float]:
        """The bound and its terms in nats a clip (beta 1, nothing free, latents at their means), latent dimensions in use, and the
        log-spectral distance of reconstructed recordings in dB."""
        return dict(self._figures)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """Decoder and encoder with all they need to go from latent to audio and back."""
        recipe, classes = self.recipe, self.conditions
        return ClipGenerator(
            networks["decoder"],
            self.to_audio(),
            recipe.data.sample_rate,
            clip_samples=recipe.data.clip_samples,
            pitches=[int(pitch) for pitch in classes.get("pitch", [])],
            instruments=classes.get("instrument", []),
            velocities=[int(velocity) for velocity in classes.get("velocity", [])],
            labels=classes.get("label", []),
            latent={"dim": self.model.latent_dim, "distribution": "normal"},
            provenance=provenance_of(recipe, self.info),
            encoder=self._audio_encoder(networks["encoder"]),
            name="clip_generator",
        )

    def _audio_encoder(self, encoder: keras.Model) -> keras.Model:
        """The encoder with the way from audio to what it reads in front."""
        audio = keras.Input((self.recipe.data.clip_samples, self.recipe.data.channels), name="audio")
        conditions = {name: keras.Input((), dtype="int32", name=name) for name in self.conditions}
        example = self.spectrogram(audio) if self.model.domain == "spectrogram" else audio
        mean, log_variance = encoder({"example": example, **conditions})
        return keras.Model({"audio": audio, **conditions}, [mean, log_variance], name="audio_encoder")


def divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each dimension in nats, float32 [batch, dim] (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)


def _in_parts(function: Callable, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    count = len(next(iter(inputs.values())))
    parts = [slice(start, start + PREVIEW_BATCH) for start in range(0, count, PREVIEW_BATCH)]
    return np.concatenate([function({k: tf.constant(v[part]) for k, v in inputs.items()}).numpy() for part in parts])


FAMILY = VAE
