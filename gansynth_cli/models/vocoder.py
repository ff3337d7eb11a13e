"""The saved vocoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..layers.weight_norm import fold_normalization, is_normalized
from ..signal.mel_convention import MelConvention
from .exported import ExportedNetwork, ExportPlan, Port, mel_network, noise_like
from .stored_weights import store_as


@keras.saving.register_keras_serializable(package="gan_audio")
class Vocoder(keras.Model):
    """Turns mel spectrograms into waveforms. Saved as `model/generator.keras`.

    Args:
        network: Functional model, mel float [batch, frames, bands] -> input of `head`.
        head: Registered layer without weights, -> float32 [batch, frames * hop, 1]; None where the network's output is audio.
        convention: Mel convention of the input, resolved; a `MelConvention` or its dict.
        receptive_frames: n, where the audio of frame t depends on frames t - n to t + n and no others: with n more frames on either
            side a piece of a recording comes out as in the whole.
        provenance: Free JSON: recipe, step, family, data fingerprint, version.

    Sample 0 of the audio belongs to sample 0 of the recording whose mel spectrogram it is. `save` folds normalised kernels
    (`layers.weight_norm.fold_normalization`): the file is smaller and faster, the audio the same.
    """

    def __init__(
        self,
        network: keras.Model,
        head: keras.layers.Layer | None,
        convention: MelConvention | Mapping[str, Any],
        receptive_frames: int,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.head = network, head
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.receptive_frames = int(receptive_frames)
        self.labels: tuple[str, ...] = ()
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.built = True  # its parts are: it can be saved without a call

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.convention.sample_rate

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.convention.hop

    def call(self, mel):
        """float32 [batch, frames, bands] -> float32 [batch, frames * hop, 1]."""
        made = self.network(mel, training=False)
        return tf.cast(made if self.head is None else self.head(made), tf.float32)

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: the mel spectrogram of audio, and the vocoder."""
        c, source = self.convention, self.folded() if is_normalized(self.network) else self
        network = ExportedNetwork(
            "vocoder",
            lambda mel: (source(mel),),
            (Port("mel", ("batch", "frames", c.bands), c.describe()),),
            (Port("audio", ("batch", "samples", 1), "frames times hop samples"),),
            lambda rng, call: {"mel": c.lowest * (0.3 + 0.2 * noise_like(rng, (1, 40 + 9 * call, c.bands)))},
        )
        facts = {
            "kind": "vocoder",
            "sample_rate": self.sample_rate,
            "mel": c.to_dict(),
            "receptive_frames": self.receptive_frames,
            "latency_samples": self.receptive_frames * c.hop,
        }
        return ExportPlan((mel_network(c), network), "vocode", facts)

    def folded(self) -> Vocoder:
        """Return a copy with weights of its own and no normalised kernel."""
        head = None if self.head is None else type(self.head).from_config(self.head.get_config())
        network = fold_normalization(self.network)
        return Vocoder(network, head, self.convention, self.receptive_frames, self.provenance, name=self.name)

    def save(self, filepath, overwrite: bool = True, stored_as: str = "float32", **kwargs: Any) -> None:
        """Write the file with normalised kernels folded. `stored_as`: "float16" halves it; computation stays in float32."""
        if is_normalized(self.network):
            self.folded().save(filepath, overwrite=overwrite, stored_as=stored_as, **kwargs)
            return
        super().save(filepath, overwrite=overwrite, **kwargs)
        if stored_as != "float32":
            store_as(Path(filepath), stored_as)

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "head": None if self.head is None else keras.saving.serialize_keras_object(self.head),
            "convention": self.convention.to_dict(),
            "receptive_frames": self.receptive_frames,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("network", "head"):
            if config[key] is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
