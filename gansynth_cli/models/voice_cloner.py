"""The saved voice cloner: what is said and its melody, by the phone recogniser within it, in the voice of a speaker vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal.mel_convention import MelConvention
from .speaker_encoder import VECTOR

PROSODY = 3  # numbers of a frame: ln F0, voicing, energy
_LN_F0 = (5.0, 0.35)  # mean and deviation of speech, of men and women together: 148 Hz and 6 semitones


@keras.saving.register_keras_serializable(package="gan_audio")
class VoiceCloner(keras.Model):
    """Makes mel spectra of any voice. Saved as `model/generator.keras`.

    A frame depends on `receptive_frames` frames on either side, but for the recogniser's local mean, which is taken over a second or two.

    Args:
        decoder: [posteriors [batch, frames, phones], prosody [batch, frames, 3], vector [batch, 256]] -> mel [batch, frames, bands],
            standardised.
        recogniser: mel [batch, frames, bands] -> logits [batch, frames, phones].
        convention: Of the mel spectra, resolved.
        phones: Symbols in the order of their numbers.
        mel_mean, mel_deviation: [bands], of spectra whose loudest frame has the energy 0 (`energy_of`).
        consent, provenance: Where it comes from.
    """

    def __init__(
        self,
        decoder: keras.Model,
        recogniser: keras.Model,
        convention: MelConvention | Mapping[str, Any],
        phones: Sequence[str],
        mel_mean: Sequence[float],
        mel_deviation: Sequence[float],
        consent: str = "",
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.decoder, self.recogniser = decoder, recogniser
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.phones, self.consent = list(phones), str(consent)
        self.mel_mean, self.mel_deviation = np.asarray(mel_mean, np.float32), np.asarray(mel_deviation, np.float32)
        self.provenance: dict[str, Any] = dict(provenance or {})
        mel, contour = tf.TensorSpec([1, None, self.convention.bands]), tf.TensorSpec([1, None])
        self._run = tf.function(self._clone, input_signature=[mel, contour, tf.TensorSpec([1, VECTOR])], autograph=False)
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
        """Run `clone` on {"mel", "ln_f0", "vector"} with a batch of one."""
        return self._clone(inputs["mel"], inputs["ln_f0"], inputs["vector"])

    def clone(self, mel: np.ndarray, ln_f0: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Say the words of a recording in another voice.

        Args:
            mel: float [frames, bands], log-mel spectrum in `convention`.
            ln_f0: float [frames], the pitch that is wanted; 0 where unvoiced.
            vector: float [256], the voice.

        Returns:
            float32 [frames, bands], at the level of `mel`.
        """
        given = (mel[None], ln_f0[None], vector[None])
        return self._run(*(tf.constant(np.asarray(array, np.float32)) for array in given)).numpy()[0]

    def _clone(self, mel, ln_f0, vector):
        energy, level = energy_of(mel, self.convention)
        posteriors = tf.nn.softmax(self.recogniser(mel, training=False))
        made = self.decoder([posteriors, prosody_of(ln_f0, energy), vector], training=False)
        return made * self.mel_deviation + self.mel_mean + level

    def get_config(self) -> dict[str, Any]:
        """Return its arguments."""
        return {
            **super().get_config(),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "recogniser": keras.saving.serialize_keras_object(self.recogniser),
            "convention": self.convention.to_dict(),
            "phones": self.phones,
            "mel_mean": self.mel_mean.tolist(),
            "mel_deviation": self.mel_deviation.tolist(),
            "consent": self.consent,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> VoiceCloner:
        """Rebuild one from `get_config`."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects) for key in ("decoder", "recogniser")
        }
        return cls(**{**config, **parts})


def energy_of(mel: tf.Tensor, convention: MelConvention) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (float32 [batch, frames], the energy of each frame relative to the loudest: the logarithm of the mean over bands, in the units
    of the spectrum; [batch, 1, 1], the loudest)."""
    unit = 1.0 if convention.log == "ln" else float(np.log(10.0))
    energy = (tf.reduce_logsumexp(mel * unit, axis=-1) - float(np.log(convention.bands))) / unit
    level = tf.reduce_max(energy, axis=1, keepdims=True)
    return energy - level, level[..., None]


def prosody_of(ln_f0: tf.Tensor, energy: tf.Tensor) -> tf.Tensor:
    """Return float32 [batch, frames, 3]: ln F0 in deviations of speech (0 where unvoiced), voicing, energy."""
    voiced = tf.cast(ln_f0 > 0, tf.float32)
    return tf.stack([(ln_f0 - _LN_F0[0]) / _LN_F0[1] * voiced, voiced, 0.5 * energy + 1.0], axis=-1)
