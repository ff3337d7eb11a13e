"""A conditional variational autoencoder of log spectrograms or of waveforms (Kingma and Welling 2014; Sohn, Lee and Yan 2015).

The encoder gives a Gaussian q(z | x, c) for a clip x and its conditions c (label, pitch, instrument, velocity), the decoder a clip for z
and c; trained is the evidence lower bound log p(x | z, c) - beta KL(q || N(0, 1)). There is no discriminator: a lower loss is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError
from ...feature_specs import BatchFeatures
from ...layers.seeds import layer_seeds
from ...losses.spectral import spectrum
from ...models.clip_generator import ClipGenerator
from ...recipe_schema import Recipe
from ..adversarial import batch_size
from ..base import Batch, Draws, Losses, Phase, in_parts, provenance_of
from .domains import Domain, SpectrogramDomain, WaveformDomain, resolutions_at
from .networks import build_decoder, build_deviation, build_encoder
from .schema import CONDITIONS, VAELosses, VAEModel

if TYPE_CHECKING:
    from ...data.source import Source

PREVIEW_RECORDINGS = 64  # clips of the validation split behind the figures of the previews
ACTIVE = 0.01  # variance over clips of the mean of q beyond which a latent dimension is in use (Burda, Grosse and Salakhutdinov 2016)
_LSD_FLOOR = 1e-8  # mean square of a sample at -80 dB of full scale: quieter differences are not counted


class VAE:
    """The family; see `VAEModel` for its sizes and `VAELosses` for its terms.

    Networks:
        encoder: {"example": representation, conditions int32 [batch]} -> (mean, log variance), float32 [batch, latent_dim] each.
        decoder: {"latent": float32 [batch, latent_dim], conditions} -> representation.
        deviation: representation -> float32 [batch, 1], the logarithm of the decoder's standard deviation; where that is learnt.

    A representation is float32 [batch, frames, bins, channels], the normalised log spectrogram that SpecGAN has too, or the waveform
    [batch, samples, channels]; see `domains`.

    Raises:
        RecipeError: Sizes that no such network has.
        DatasetError: The data set lacks a condition or the statistics.
    """

    averaged = ("encoder", "decoder")

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, VAEModel)
        assert isinstance(recipe.losses, VAELosses)
        self.recipe, self.info, self.model, self.weights = recipe, info, recipe.model, recipe.losses
        self.conditions: dict[str, list[str]] = {name: self._classes(name) for name in CONDITIONS if name in self.model.conditions}
        self.recordings: dict[str, np.ndarray] = {}  # audio and conditions, set by `begin`
        self._companions: dict[str, np.ndarray] = {}
        self._figures: dict[str, float] = {}
        spectrogram = self.model.domain == "spectrogram"
        arguments = (self.model, self.weights, recipe)
        self.domain: Domain = SpectrogramDomain(*arguments, info) if spectrogram else WaveformDomain(*arguments)
        seeds = layer_seeds(recipe.seed if seed is None else seed)
        classes = {name: len(found) for name, found in self.conditions.items()}
        self.networks: dict[str, keras.Model] = {
            "encoder": build_encoder(self.model, self.domain, classes, seeds),
            "decoder": build_decoder(self.model, self.domain, classes, seeds),
        }
        if self.domain.learns_deviation:
            self.networks["deviation"] = build_deviation(self.domain.shape)

    def _classes(self, name: str) -> list[str]:
        found = self.info.labels if name == "label" else self.info.attributes.get(name, [])
        if not found:
            raise DatasetError(
                f"The recipe is conditioned on the {name} of a clip (model.conditions), which the data set {self.info.name} does not know.",
                hint="--set 'model.conditions=[]', or prepare the data set with --labels or --layout nsynth",
            )
        return list(found)

    # Training.

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("vae", tuple(self.networks), self.losses, "vae"),)

    def batch_features(self) -> BatchFeatures:
        data = self.recipe.data
        attributes = tuple(name for name in self.conditions if name != "label")
        return BatchFeatures(
            data.sample_rate, data.channels, data.clip_samples, "label" in self.conditions, self.domain.statistics, attributes=attributes
        )

    def losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return minus the bound in nats a clip: "reconstruction" -log p(x | z, c), and "kl" beta times the divergence, less what is
        free."""
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
        """Return the weight of the divergence at a step: a tensor, for a number would be frozen into the graph."""
        w = self.weights
        rise = tf.minimum(1.0, tf.cast(step, tf.float32) / w.warmup_steps) if w.warmup_steps else tf.constant(1.0)
        return w.beta * rise

    def reconstruction(self, made: tf.Tensor, example: tf.Tensor, deviation: keras.Model | None = None) -> tf.Tensor:
        """Return -log p(x | z, c) in nats; see `Domain.nats`. `deviation` is the family's own network unless it is given."""
        return self.domain.nats(tf.cast(made, tf.float32), example, deviation or self.networks.get("deviation"))

    def represent(self, audio: tf.Tensor) -> tf.Tensor:
        """Return what is encoded of float32 [batch, samples, channels]."""
        return self.domain.represent(audio)

    def to_audio(self) -> keras.layers.Layer:
        return self.domain.to_audio()

    # Previews and the shipped model.

    def begin(self, source: Source) -> None:
        """Keep some recordings of the validation split, to be reconstructed in the previews."""
        split = "validation" if "validation" in source.splits else "train"
        group = self.recipe.data.label_group
        size = -(-PREVIEW_RECORDINGS // group) * group
        batches = source.batches(self.recipe, split, seed=self.recipe.seed, batch_size=size, augment=False)
        batch = next(iter(batches))
        self.recordings = {name: np.asarray(batch[name]) for name in ("audio", *self.conditions)}

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Return float32 [clips, samples, channels] from the prior, with the conditions of the recordings that are kept; before `begin`
        of all classes in turn."""
        rng = np.random.default_rng([self.recipe.seed, 0x9E3779B9])
        inputs = {"latent": rng.standard_normal((clips, self.model.latent_dim)).astype(np.float32)}
        for name, classes in self.conditions.items():
            inputs[name] = np.resize(self.recordings.get(name, np.arange(len(classes))), clips).astype(np.int32)
        model = self.inference_model(networks)
        if self.recordings:
            self._reconstruct(networks, model)
        return in_parts(lambda part: model(part, training=False), inputs)

    def _reconstruct(self, networks: Mapping[str, keras.Model], model: ClipGenerator) -> None:
        audio = self.recordings["audio"]
        conditions = {name: self.recordings[name].astype(np.int32) for name in self.conditions}
        encoded = lambda side: in_parts(lambda part: model.encode(part.pop("audio"), part)[side], {"audio": audio, **conditions})
        mean, log_variance = encoded(0), encoded(1)
        made = in_parts(lambda part: networks["decoder"](part, training=False), {"latent": mean, **conditions})
        deviation = networks.get("deviation")
        nats = float(self.reconstruction(tf.constant(made), self.represent(tf.constant(audio)), deviation))
        kl = float(divergence(mean, log_variance).numpy().sum(axis=1).mean())
        rebuilt = in_parts(lambda part: model.to_audio(part["made"]), {"made": made})
        self._companions = {"recording": audio, "reconstruction": rebuilt}
        self._figures = {
            "preview/elbo": -nats - kl,
            "preview/reconstruction_nats": nats,
            "preview/kl_nats": kl,
            "preview/active_units": float((mean.var(axis=0) > ACTIVE).sum()),
            "preview/log_spectral_distance": self._log_spectral_distance(rebuilt, audio),
        }

    def _log_spectral_distance(self, estimate: np.ndarray, target: np.ndarray) -> float:
        """In dB: the root mean square over frequency of the difference of levels, averaged over frames and clips."""
        fft, hop, _ = resolutions_at(self.recipe.data.sample_rate)[1]
        levels = []
        for audio in (estimate, target):
            s = spectrum(tf.constant(audio), fft, hop)
            levels.append(tf.math.log(tf.square(s.real) + tf.square(s.imaginary) + s.gain * _LSD_FLOOR) * (10.0 / math.log(10.0)))
        return float(tf.reduce_mean(tf.sqrt(tf.reduce_mean(tf.square(levels[0] - levels[1]), axis=-1))))

    def preview_companions(self, clips: int) -> dict[str, np.ndarray]:
        """Return a recording of the same conditions beside each clip of the prior, and its reconstruction."""
        return {name: np.resize(beside, (clips, *beside.shape[1:])) for name, beside in self._companions.items()}

    def preview_figures(self, clips: np.ndarray) -> dict[str, float]:
        """Return the bound and its terms in nats a clip (beta 1, nothing free, latents at their means), latent dimensions in use, and the
        log-spectral distance of reconstructed recordings in dB."""
        return dict(self._figures)

    def inference_model(self, networks: Mapping[str, keras.Model]) -> ClipGenerator:
        """Build decoder and encoder with all they need to go from latent to audio and back."""
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
        """The encoder behind the layer from audio to its input."""
        audio = keras.Input((self.recipe.data.clip_samples, self.recipe.data.channels), name="audio")
        conditions = {name: keras.Input((), dtype="int32", name=name) for name in self.conditions}
        example = audio if self.domain.layer is None else self.domain.layer(audio)
        mean, log_variance = encoder({"example": example, **conditions})
        return keras.Model({"audio": audio, **conditions}, [mean, log_variance], name="audio_encoder")


def divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) of each dimension in nats, float32 [batch, dim] (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)


FAMILY = VAE
