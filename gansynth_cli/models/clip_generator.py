"""The saved generator of clips: a latent and conditions in, audio out. GANs and autoencoders of sounds and of notes all save this class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..errors import RunError
from .exported import ExportedNetwork, ExportPlan, Port, noise_like
from .model_file import RENAMED
from .stored_weights import store_as

CONDITIONS = ("label", "pitch", "instrument", "velocity")


@keras.saving.register_keras_serializable(package="gan_audio")
class ClipGenerator(keras.Model):
    """A generator with everything it needs to give audio. Saved as `model/generator.keras`.

    Everything from the latent to the samples is differentiable, so a latent can be found for a given sound.

    Args:
        network: {"latent": float32 [batch, dim], and int32 [batch] for each condition in `classes`} -> the family's representation.
        to_audio: Registered layer, representation -> float32 [batch, samples, channels] in [-1, 1].
        sample_rate: Hz.
        clip_samples: Length of a clip; None where the file does not state it (label GANs of gan-audio 0.1.0).
        labels: Class names in the order of their numbers; empty for a model without labels.
        pitches: MIDI note numbers, ascending: class i sounds at pitches[i]. Empty for a model that is not conditioned on pitch.
        instruments: Names in the order of their numbers; may be empty.
        velocities: MIDI velocities, ascending; may be empty.
        latent: {"dim": int, "distribution": "uniform" (on [-1, 1]) or "normal"}.
        encoder: {"audio": float32 [batch, clip_samples, channels], and the conditions as above} -> [mean, log variance], each float32
            [batch, dim]; None for a model without one (GANs).
        positional: Whether the network takes [latent, label], or the latent alone, instead of a dict: those of wavegan and specgan do.
        provenance: Free JSON: software version, family, recipe, seed, data fingerprint.

    Example::

        note = model({"latent": tf.random.normal([1, 256]), "pitch": tf.constant([model.pitches.index(60)])})
    """

    def __init__(
        self,
        network,
        to_audio,
        sample_rate: int,
        *,
        clip_samples: int | None = None,
        labels: Iterable[str] = (),
        pitches: Iterable[int] = (),
        instruments: Iterable[str] = (),
        velocities: Iterable[int] = (),
        latent: Mapping[str, Any] | None = None,
        encoder=None,
        positional: bool = False,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.to_audio, self.encoder, self.positional = network, to_audio, encoder, bool(positional)
        self.sample_rate = int(sample_rate)
        self.clip_samples = None if clip_samples is None else int(clip_samples)
        self.labels = tuple(str(name) for name in labels)
        self.pitches = tuple(int(number) for number in pitches)
        self.instruments = tuple(str(name) for name in instruments)
        self.velocities = tuple(int(number) for number in velocities)
        for name, values in (("pitches", self.pitches), ("velocities", self.velocities)):
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} are {list(values)}; expected ascending numbers, each once")
        self.latent = dict(latent or {})
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.built = True  # its parts are: it can be saved without having been called

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Condition -> names of its classes by their numbers, of the conditions that the model reads, in the order of `CONDITIONS`."""
        values = (self.labels, self.pitches, self.instruments, self.velocities)
        return {name: tuple(map(str, names)) for name, names in zip(CONDITIONS, values, strict=True) if names}

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Generate clips.

        Args:
            inputs: {"latent": float32 [batch, dim], and int32 [batch], class numbers, for each condition in `classes`}; other keys
                are not read.

        Returns:
            float32 [batch, samples, channels].
        """
        given = {"latent": tf.convert_to_tensor(inputs["latent"], tf.float32), **self._conditions(inputs)}
        listed = list(given.values())
        arranged = given if not self.positional else listed if len(listed) > 1 else listed[0]
        return self.to_audio(self.network(arranged, training=False))

    def encode(self, audio: tf.Tensor, conditions: Mapping[str, tf.Tensor] | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (mean, log variance), each float32 [batch, dim], of the latents of clips.

        Args:
            audio: float32 [batch, clip_samples, channels].
            conditions: Class numbers of the clips, as for `call`.

        Raises:
            RunError: The model has no encoder.
        """
        if self.encoder is None:
            raise RunError(
                "This model has no encoder: it generates clips, but cannot find the latent of one.",
                hint="gan-audio latents match RUN CLIP searches for the latent of a recording; models of family vae have an encoder",
            )
        audio = tf.convert_to_tensor(audio, tf.float32)
        mean, log_variance = self.encoder({"audio": audio, **self._conditions(conditions or {})}, training=False)
        return mean, log_variance

    def _conditions(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        missing = [name for name in self.classes if name not in inputs]
        if missing:
            raise ValueError(f"{missing[0]} is missing; the model is conditioned on {', '.join(self.classes)}")
        return {name: tf.cast(tf.convert_to_tensor(inputs[name]), tf.int32) for name in self.classes}

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: latent and conditions to audio, and the encoder if there is one."""
        names, dim = list(self.classes), int(self.latent["dim"])
        conditions = tuple(Port(name, ("batch",), f"number of the {name}, see labels", "int32") for name in names)
        clip = Port(
            "audio",
            ("batch", self.clip_samples or "samples", self.to_audio.compute_output_shape(self.network.output_shape)[-1]),
            "within -1 to 1",
        )

        def classes(rng: Any, batch: int) -> dict[str, Any]:
            return {name: rng.integers(0, len(self.classes[name]), batch).astype("int32") for name in names}

        networks = [
            ExportedNetwork(
                "generator",
                lambda latent, *chosen: (self({"latent": latent, **dict(zip(names, chosen, strict=True))}),),
                (Port("latent", ("batch", dim), f"{self.latent.get('distribution', 'normal')} distribution"), *conditions),
                (clip,),
                lambda rng, call: {"latent": noise_like(rng, (1 + call, dim)), **classes(rng, 1 + call)},
            )
        ]
        if self.encoder is not None and self.clip_samples:
            networks.append(
                ExportedNetwork(
                    "encoder",
                    lambda audio, *chosen: self.encode(audio, dict(zip(names, chosen, strict=True))),
                    (clip, *conditions),
                    (Port("mean", ("batch", dim)), Port("log_variance", ("batch", dim))),
                    lambda rng, call: {"audio": 0.3 * noise_like(rng, (1 + call, *clip.shape[1:])), **classes(rng, 1 + call)},
                )
            )
        facts = {
            "kind": "generator of clips",
            "sample_rate": self.sample_rate,
            "clip_samples": self.clip_samples,
            "latent": self.latent,
            "labels": {name: list(values) for name, values in self.classes.items()},
        }
        return ExportPlan(tuple(networks), "generate", facts)

    def save(self, filepath, overwrite: bool = True, stored_as: str = "float32", **kwargs: Any) -> None:
        """Write the file. `stored_as`: "float16" halves it; computation stays in float32."""
        super().save(filepath, overwrite=overwrite, **kwargs)
        if stored_as != "float32":
            store_as(Path(filepath), stored_as)

    def get_config(self) -> dict[str, Any]:
        serialize = lambda part: None if part is None else keras.saving.serialize_keras_object(part)
        plain = ("sample_rate", "clip_samples", "latent", "positional", "provenance")
        return {
            **super().get_config(),
            **{name: serialize(getattr(self, name)) for name in ("network", "to_audio", "encoder")},
            **{name: getattr(self, name) for name in plain},
            **{name: list(getattr(self, name)) for name in ("labels", "pitches", "instruments", "velocities")},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config.setdefault("positional", "clip_samples" not in config)  # an AudioGenerator of gan-audio 0.1.0
        for key in ("network", "to_audio", "encoder"):
            if config.get(key) is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)


for _old, _new in RENAMED.items():  # so that files saved under the old names load
    if _new == ClipGenerator.__name__:
        keras.saving.get_custom_objects()[f"gan_audio>{_old}"] = ClipGenerator
