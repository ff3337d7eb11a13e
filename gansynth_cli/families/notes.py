"""The model of notes that GANSynth and the VAEs save: latent, pitch, instrument and velocity in, audio out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from ..errors import RunError


@keras.saving.register_keras_serializable(package="gan_audio")
class NoteGenerator(keras.Model):
    """A generator that needs nothing beside itself, told what to make. Saved as `model/generator.keras`.

    Args:
        network: {"latent": float32 [batch, dim], and int32 [batch] for each condition that has classes} -> representation.
        to_audio: A registered layer, representation -> float32 [batch, clip_samples, 1] in [-1, 1].
        sample_rate: Hz.
        clip_samples: Length of a clip.
        pitches: MIDI numbers of the pitch classes, ascending; empty: it has no pitch.
        instruments: Names of the instrument classes; may be empty.
        velocities: MIDI velocities of the velocity classes, ascending; may be empty.
        latent: {"dim": int, "distribution": "normal"}.
        provenance: Free JSON: recipe name, step, family, data fingerprint, project version.
        encoder: {"audio": float32 [batch, clip_samples, 1], and the conditions} -> (mean, log variance) of the latent, float32
            [batch, dim] each; None where there is no way back.
        labels: Names of ordinary classes, such as kinds of drums; may be empty.

    Everything from the latent to the audio has a gradient.
    """

    def __init__(
        self,
        network: keras.Model,
        to_audio: keras.layers.Layer,
        sample_rate: int,
        clip_samples: int,
        pitches: Sequence[int] = (),
        instruments: Sequence[str] = (),
        velocities: Sequence[int] = (),
        latent: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        encoder: keras.Model | None = None,
        labels: Sequence[str] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.to_audio, self.encoder = network, to_audio, encoder
        self.sample_rate, self.clip_samples = int(sample_rate), int(clip_samples)
        self.pitches = tuple(int(pitch) for pitch in pitches)
        self.velocities = tuple(int(velocity) for velocity in velocities)
        self.instruments, self.labels = tuple(instruments), tuple(labels)
        self.latent = dict(latent or {})
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.built = True  # its parts are: it can be saved without having been called

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Condition -> names of its classes in the order of their numbers; conditions without classes are left out."""
        every = {
            "label": self.labels,
            "pitch": tuple(map(str, self.pitches)),
            "instrument": self.instruments,
            "velocity": tuple(map(str, self.velocities)),
        }
        return {name: names for name, names in every.items() if names}

    def call(self, inputs):
        """{"latent": float32 [batch, dim], "label", "pitch", "instrument", "velocity": int32 [batch] class numbers} -> float32
        [batch, clip_samples, 1]. Conditions without classes are not read."""
        return self.to_audio(self.network({name: inputs[name] for name in ("latent", *self.classes)}, training=False))

    def encode(self, audio: tf.Tensor, conditions: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """(mean, log variance) of the latents that such clips may have come from, float32 [batch, dim] each.

        Args:
            audio: float32 [batch, clip_samples, 1].
            conditions: int32 [batch] for each condition that has classes.

        Raises:
            RunError: The model has no encoder.
        """
        if self.encoder is None:
            raise RunError(
                "The model has no encoder: it makes sounds from latents, and cannot say which latent a recording has.",
                hint="gan-audio generate RUN --match clip.wav -o out/ searches for one; models of the family vae have an encoder",
            )
        mean, log_variance = self.encoder({"audio": audio, **{name: conditions[name] for name in self.classes}}, training=False)
        return mean, log_variance

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "network": serialize(self.network),
            "to_audio": serialize(self.to_audio),
            "encoder": None if self.encoder is None else serialize(self.encoder),
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
            if config.get(key) is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
