"""The saved phone recogniser: from a mel spectrogram to the probability of every phone in every frame, whoever speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal.mel_convention import MelConvention

SWITCH_NATS = 3.0  # what a change of phone costs in `PhoneRecogniser.decode`


@keras.saving.register_keras_serializable(package="gan_audio")
class PhoneRecogniser(keras.Model):
    """Recognises phones frame by frame. Saved as `model/generator.keras`.

    Args:
        network: mel [batch, frames, bands] in `convention` -> logits [batch, frames, phones].
        convention: Of the mel spectrograms, resolved.
        phones: Symbols in the order of their numbers; the first one is silence, and all pause marks are recognised as it.
        phonemiser: Program and version that made the phones.
        consent, provenance: Where it comes from.
    """

    def __init__(
        self,
        network: keras.Model,
        convention: MelConvention | Mapping[str, Any],
        phones: Sequence[str],
        phonemiser: str = "",
        consent: str = "",
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.phones, self.phonemiser, self.consent = list(phones), str(phonemiser), str(consent)
        self.provenance: dict[str, Any] = dict(provenance or {})
        self._run = tf.function(
            lambda mel: tf.nn.softmax(self.network(mel, training=False)),
            input_signature=[tf.TensorSpec([None, None, self.convention.bands], tf.float32)],
            autograph=False,
        )
        self.built = True

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.convention.sample_rate

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.convention.hop

    def call(self, inputs):
        """Return the logits of mel spectra."""
        return self.network(inputs)

    def posteriors(self, mel: np.ndarray) -> np.ndarray:
        """Return float32 [frames, phones], the probability of each phone, of a log-mel spectrum [frames, bands]."""
        return self._run(tf.constant(mel[None], tf.float32)).numpy()[0]

    def decode(self, posteriors: np.ndarray) -> list[tuple[str, int, int]]:
        """Return the likeliest path as (phone, first frame, end), in order; a change of phone costs `SWITCH_NATS`, so single frames do not
        flicker.

        Args:
            posteriors: [frames, phones].
        """
        path = smoothed_path(posteriors)
        edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)] if len(path) else [0]
        return [(self.phones[path[start]], start, end) for start, end in pairwise(edges)]

    def get_config(self) -> dict[str, Any]:
        """Return its arguments."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "convention": self.convention.to_dict(),
            "phones": self.phones,
            "phonemiser": self.phonemiser,
            "consent": self.consent,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PhoneRecogniser:
        """Rebuild one from `get_config`."""
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**{**config, "network": network})


def smoothed_path(posteriors: np.ndarray, switch: float = SWITCH_NATS) -> np.ndarray:
    """Return int [frames], the phones of the likeliest path in which a change costs `switch` nats (Viterbi)."""
    logs = np.log(np.maximum(posteriors, 1e-8))
    frames, phones = logs.shape
    if not frames:
        return np.zeros(0, int)
    score, back = logs[0], np.empty((frames, phones), int)
    for t in range(1, frames):
        best = int(score.argmax())
        stays = score >= score[best] - switch
        back[t] = np.where(stays, np.arange(phones), best)
        score = np.where(stays, score, score[best] - switch) + logs[t]
    path = np.empty(frames, int)
    path[-1] = score.argmax()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path
