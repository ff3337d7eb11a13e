"""The saved model of a generator that is conditioned on labels alone, or on nothing."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="gan_audio")
class AudioGenerator(keras.Model):
    """A generator that needs nothing beside itself: latent (and label) in, audio out. Saved as `model/generator.keras`.

    Args:
        network: latent [batch, latent_dim] (and label int32 [batch]) -> the family's representation.
        to_audio: A registered layer, representation -> float32 [batch, samples, channels] in [-1, 1].
        sample_rate: Hz.
        labels: Names of the classes in the order of their numbers; empty if it is unconditional.
        latent: {"dim": int, "distribution": "uniform" (on [-1, 1]) or "normal"}.
        provenance: Free JSON: recipe name, step, family, data fingerprint, project version.
    """

    def __init__(self, network, to_audio, sample_rate: int, labels=(), latent=None, provenance=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.to_audio = to_audio
        self.sample_rate = int(sample_rate)
        self.labels = tuple(labels)
        self.latent = dict(latent or {})
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.built = True  # its parts are: it can be saved without having been called

    def call(self, inputs):
        """`inputs`: {"latent": float32 [batch, dim]} and, if conditional, "label": int32 [batch]."""
        arguments = [inputs["latent"], inputs["label"]] if self.labels else inputs["latent"]
        return self.to_audio(self.network(arguments, training=False))

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "to_audio": keras.saving.serialize_keras_object(self.to_audio),
            "sample_rate": self.sample_rate,
            "labels": list(self.labels),
            "latent": self.latent,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("network", "to_audio"):
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
