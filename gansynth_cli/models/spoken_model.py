"""What every saved model that speaks tokens states of itself: its phones, voices, languages and the convention of its spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from ..layers.weight_norm import fold_normalization, is_normalized
from ..signal.mel_convention import MelConvention


class SpokenModel(keras.Model):
    """Base of models of text-to-speech; a subclass names its networks and registers itself.

    Args:
        convention: Of the mel spectrograms, resolved.
        phones: Symbols in the order of their numbers.
        speakers, languages, emotions: Names in the order of their numbers.
        speaker_languages: For each speaker the language that it was trained in.
        statistics: Of the training data: lists of numbers by name.
        phonemiser: Program and version that made the phones.
        consent, provenance: Where it comes from.
        networks: One for each of `NETWORKS`.

    A subclass has `synthesise(tokens int [tokens, 3], speaker, language, emotion, *, speed, semitones, energy_db)`, which returns a
    `Spoken`; where it `gives_audio` there is no mel spectrogram in it.
    """

    NETWORKS: ClassVar[tuple[str, ...]] = ()
    gives_audio = False
    has_noise = False  # whether `synthesise` takes `noise`, `duration_noise` and `seed` too
    controls: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        convention: MelConvention | Mapping[str, Any],
        phones: Sequence[str],
        speakers: Sequence[str],
        languages: Sequence[str],
        emotions: Sequence[str],
        speaker_languages: Sequence[str],
        statistics: Mapping[str, Any],
        phonemiser: str = "",
        consent: str = "",
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        networks = {name: kwargs.pop(name) for name in self.NETWORKS}
        super().__init__(**kwargs)
        for name, network in networks.items():
            setattr(self, name, network)
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.phones, self.speakers, self.languages = list(phones), list(speakers), list(languages)
        self.emotions, self.speaker_languages = list(emotions), list(speaker_languages)
        self.statistics = {name: np.asarray(values, np.float32) for name, values in statistics.items()}
        self.phonemiser, self.consent, self.provenance = phonemiser, consent, dict(provenance or {})
        self.problems: list[str] = []  # of the utterance that was spoken last
        self.built = True

    def save(self, filepath, overwrite: bool = True, **kwargs: Any) -> None:
        """Write the file with normalised kernels folded: it is smaller and faster."""
        networks = {name: getattr(self, name) for name in self.NETWORKS}
        if any(is_normalized(network) for network in networks.values()):
            folded = {name: fold_normalization(network) if is_normalized(network) else network for name, network in networks.items()}
            type(self)(**{**self.get_config(), **folded}).save(filepath, overwrite=overwrite, **kwargs)
            return
        super().save(filepath, overwrite=overwrite, **kwargs)

    def get_config(self):
        plain = ("phones", "speakers", "languages", "emotions", "speaker_languages", "phonemiser", "consent", "provenance")
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.NETWORKS},
            **{name: getattr(self, name) for name in plain},
            "convention": self.convention.to_dict(),
            "statistics": {name: values.tolist() for name, values in self.statistics.items()},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in cls.NETWORKS:
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
        return cls(**config)
