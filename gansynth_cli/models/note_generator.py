"""What a trained model of notes is: pitch, instrument and velocity are chosen, a latent gives the timbre. GANs and autoencoders of
notes all save this one class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from ..errors import RunError

CONDITIONS = ("label", "pitch", "instrument", "velocity")


@keras.saving.register_keras_serializable(package="gan_audio")
class NoteGenerator(keras.Model):
    """Latent and classes in, one note out; nothing beside the file is needed. Saved as `model/generator.keras`.

    Everything from the latent to the samples is differentiable, so a latent can be found for a given sound.

    Args:
        network: {"latent": float32 [batch, dim], and int32 [batch] for each condition it has classes for} -> the family's
            representation.
        to_audio: A registered layer, representation -> float32 [batch, clip_samples, 1] in [-1, 1].
        sample_rate: Hz.
        clip_samples: Samples of a note.
        pitches: MIDI numbers, ascending: class i sounds at pitches[i]. Empty: it has no pitch to choose.
        instruments: Names in the order of their numbers; may be empty.
        velocities: MIDI velocities, ascending; may be empty.
        latent: {"dim": int, "distribution": "normal"}.
        provenance: Free JSON: recipe name, step, family, data fingerprint, project version.
        encoder: {"audio": float32 [batch, clip_samples, 1], and the conditions as above} -> [mean, log variance], each
            float32 [batch, dim]; None where the model has none (a GAN).
        labels: Names of ordinary classes, such as kinds of drums, in the order of their numbers; may be empty.

    Example:
        >>> note = model({"latent": tf.random.normal([1, 256]), "pitch": tf.constant([model.pitches.index(60)])})
    """

    def __init__(
        self,
        network,
        to_audio,
        sample_rate: int,
        clip_samples: int,
        pitches: Iterable[int] = (),
        instruments: Iterable[str] = (),
        velocities: Iterable[int] = (),
        latent: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        encoder=None,
        labels: Iterable[str] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.to_audio = to_audio
        self.sample_rate, self.clip_samples = int(sample_rate), int(clip_samples)
        self.pitches = tuple(int(p) for p in pitches)
        self.instruments = tuple(str(name) for name in instruments)
        self.labels = tuple(str(name) for name in labels)
        self.velocities = tuple(int(v) for v in velocities)
        for name, values in (("pitches", self.pitches), ("velocities", self.velocities)):
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} are {list(values)}; expected ascending numbers, each once")
        self.latent = dict(latent or {})
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.encoder = encoder
        self.built = True  # its parts are: it can be saved without having been called

    @property
    def classes(self) -> dict[str, int]:
        """Condition -> number of classes, of those that the model reads, in the order of `CONDITIONS`."""
        known = dict(zip(CONDITIONS, (self.labels, self.pitches, self.instruments, self.velocities), strict=True))
        return {name: len(values) for name, values in known.items() if values}

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """`inputs`: {"latent": float32 [batch, dim], "label", "pitch", "instrument", "velocity": int32 [batch], class numbers}. Keys that
        the model has no classes for are not read. Returns float32 [batch, clip_samples, 1]."""
        latent = tf.convert_to_tensor(inputs["latent"], tf.float32)
        return self.to_audio(self.network({"latent": latent, **self._conditions(inputs)}, training=False))

    def encode(self, audio: tf.Tensor, conditions: Mapping[str, tf.Tensor] | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """(mean, log variance), each float32 [batch, dim], of the latents of `audio` float32 [batch, clip_samples, 1], a note of the
        given classes.

        Raises:
            RunError: The model has no encoder.
        """
        if self.encoder is None:
            raise RunError(
                "This model has no encoder: it makes notes, but cannot read one.",
                hint="generate RUN --match clip.wav searches for the latent of a recording; a model of family vae has an encoder",
            )
        audio = tf.convert_to_tensor(audio, tf.float32)
        mean, log_variance = self.encoder({"audio": audio, **self._conditions(conditions or {})}, training=False)
        return mean, log_variance

    def _conditions(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        missing = [name for name in self.classes if name not in inputs]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing; this model has the classes {self.classes}")
        return {name: tf.cast(tf.convert_to_tensor(inputs[name]), tf.int32) for name in self.classes}

    def get_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in ("network", "to_audio", "encoder")}
        return {
            **super().get_config(),
            **{name: part and keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "sample_rate": self.sample_rate,
            "clip_samples": self.clip_samples,
            "pitches": list(self.pitches),
            "instruments": list(self.instruments),
            "velocities": list(self.velocities),
            "labels": list(self.labels),
            "latent": self.latent,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("network", "to_audio", "encoder"):
            if config[key] is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
