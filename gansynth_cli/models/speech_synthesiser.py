"""The saved model of text-to-speech: tokens of an utterance to a mel spectrogram and, of a model that makes sound itself, to audio, with
durations, pitch and energy that can be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..layers.source_filter import fixed_noise
from ..layers.speech import frame_inputs
from ..signal.mel_convention import MelConvention
from .exported import ExportedNetwork, ExportPlan, Port, noise_like
from .stored_weights import store_as

MAX_FRAMES_A_TOKEN = 200  # 3 s: no phone and no pause that is learnt is longer
_DB = np.log(10.0) / 20.0  # nats a decibel


@dataclass(frozen=True)
class Spoken:
    """An utterance.

    Attributes:
        mel: Spectrogram float32 [frames, bands].
        durations: Frames of each token, int [tokens].
        ln_f0: float32 [tokens, points]; 0 where unvoiced.
        audio: float32 [frames * hop]; None of a model that gives spectrograms alone.
    """

    mel: np.ndarray
    durations: np.ndarray
    ln_f0: np.ndarray
    audio: np.ndarray | None


@keras.saving.register_keras_serializable(package="gan_audio")
class SpeechSynthesiser(keras.Model):
    """Speaks tokens in the voices, languages and emotions that it was trained on. Saved as `model/generator.keras`.

    Args:
        encoder, decoder: See `families.tts.networks`.
        convention: Of the mel spectrograms, resolved.
        phones: Symbols in the order of their numbers.
        speakers, languages, emotions: Names in the order of their numbers.
        speaker_languages: For each speaker the language that it was trained in.
        mel_mean, mel_deviation: [bands].
        f0: [speakers][2]: mean and deviation of ln F0 of voiced frames.
        energy: [speakers][2]: mean and deviation of the energy of frames, natural logarithm.
        filters, source_filter: Network and layer that make audio of the decoder's hidden frames (`families.tts.waveform`); None: a vocoder
            makes it of the mel spectrogram.
        phonemiser: Program and version that made the phones; phones of another one are read wrong.
        consent, provenance: Where it comes from.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        convention: MelConvention | Mapping[str, Any],
        phones: Sequence[str],
        speakers: Sequence[str],
        languages: Sequence[str],
        emotions: Sequence[str],
        speaker_languages: Sequence[str],
        mel_mean: Sequence[float],
        mel_deviation: Sequence[float],
        f0: Sequence[Sequence[float]],
        energy: Sequence[Sequence[float]],
        filters: keras.Model | None = None,
        source_filter: keras.layers.Layer | None = None,
        phonemiser: str = "",
        consent: str = "",
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.filters, self.source_filter = encoder, decoder, filters, source_filter
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.phones, self.speakers, self.languages = list(phones), list(speakers), list(languages)
        self.emotions, self.speaker_languages = list(emotions), list(speaker_languages)
        self.mel_mean, self.mel_deviation = np.asarray(mel_mean, np.float32), np.asarray(mel_deviation, np.float32)
        self.f0, self.energy = np.asarray(f0, np.float32), np.asarray(energy, np.float32)
        self.phonemiser, self.consent, self.provenance = phonemiser, consent, dict(provenance or {})
        self.built = True

    def call(self, tokens, speaker, language, emotion, durations, prosody, frame_phone, frame_place):
        """Return the mel spectrogram float32 [batch, frames, bands] of tokens with given durations (frames) and standardised prosody."""
        encoded = self.encoder([tokens, speaker, language, emotion], training=False)
        return self.decode(encoded["phones"], encoded["condition"], durations, prosody, frame_phone, frame_place)

    def decode(self, phones, condition, durations, prosody, frame_phone, frame_place):
        """Return the mel spectrogram of encoded phones; arguments as for `call`."""
        return self._decoded(phones, condition, durations, prosody, frame_phone, frame_place)[0]

    def _decoded(self, phones, condition, durations, prosody, frame_phone, frame_place):
        inputs = frame_inputs(prosody, durations, frame_phone, frame_place)
        made = self.decoder([phones, condition, frame_phone, inputs], training=False)
        mel, hidden = (made["mel"], made["hidden"]) if isinstance(made, dict) else (made, None)
        return tf.cast(mel, tf.float32) * self.mel_deviation + self.mel_mean, hidden

    def _sound(self, phones, condition, durations, prosody, frame_phone, frame_place, ln_f0):
        mel, hidden = self._decoded(phones, condition, durations, prosody, frame_phone, frame_place)
        if self.filters is None or self.source_filter is None:
            return mel, tf.zeros([1, 0])
        noise = fixed_noise(tf.shape(mel)[1] * self.convention.hop)
        return mel, self.source_filter(self.filters([hidden, condition], training=False), ln_f0, noise)[..., 0]

    def predict_prosody(self, tokens: np.ndarray, speaker: int, language: int, emotion: int) -> dict[str, np.ndarray]:
        """Return what the encoder says of one utterance: phones, condition, duration (frames, unrounded), prosody with voicing in [0, 1].

        Args:
            tokens: int [tokens, 3]; see `data.text.phone_tokens.token_ids`.
            speaker, language, emotion: Numbers; the emotion `len(emotions)` is an unknown one.
        """
        number = lambda value: tf.constant([value], tf.int32)
        encoded = self._encode(tf.constant(tokens[None], tf.int32), number(speaker), number(language), number(emotion))
        found = {name: value.numpy()[0] for name, value in encoded.items()}
        found["duration"] = np.exp(np.clip(found["duration"], 0.0, np.log(MAX_FRAMES_A_TOKEN)))
        found["prosody"][..., 1] = 1.0 / (1.0 + np.exp(-np.clip(found["prosody"][..., 1], -30.0, 30.0)))
        return found

    def synthesise(
        self,
        tokens: np.ndarray,
        speaker: int,
        language: int,
        emotion: int,
        *,
        speed: float = 1.0,
        semitones: float = 0.0,
        energy_db: float = 0.0,
        durations: np.ndarray | None = None,
        prosody: np.ndarray | None = None,
    ) -> Spoken:
        """Speak one utterance: the same arguments give the same samples.

        Args:
            tokens, speaker, language, emotion: As for `predict_prosody`.
            speed: Divides durations.
            semitones: Added to F0.
            energy_db: Added to the energy.
            durations: Frames of each token in place of the predicted ones, int [tokens].
            prosody: Standardised prosody in place of the predicted one, float32 [tokens, points, 3].
        """
        found = self.predict_prosody(tokens, speaker, language, emotion)
        if durations is None:
            durations = rounded(found["duration"] / speed)
        prosody = np.array(found["prosody"] if prosody is None else prosody, np.float32)
        prosody[..., 0] += np.float32(semitones * np.log(2.0) / 12.0 / self.f0[speaker, 1])
        prosody[..., 2] += np.float32(energy_db * _DB / self.energy[speaker, 1])
        frame_phone, frame_place = spread(durations)
        ln_f0 = prosody[..., 0] * self.f0[speaker, 1] + self.f0[speaker, 0]
        mel, audio = self._decode(
            tf.constant(found["phones"][None]),
            tf.constant(found["condition"][None]),
            tf.constant(durations[None], tf.float32),
            tf.constant(prosody[None]),
            tf.constant(frame_phone[None], tf.int32),
            tf.constant(frame_place[None], tf.float32),
            tf.constant(contour_of(ln_f0, durations)[None]),
        )
        voiced = np.where(prosody[..., 1] > 0.5, ln_f0, 0.0).astype(np.float32)
        return Spoken(mel.numpy()[0], durations, voiced, None if self.filters is None else audio.numpy()[0])

    @property
    def _encode(self):
        if not hasattr(self, "_encode_graph"):
            specs = [tf.TensorSpec([1, None, 3], tf.int32), *(tf.TensorSpec([1], tf.int32) for _ in range(3))]
            self._encode_graph = tf.function(
                lambda *inputs: self.encoder(list(inputs), training=False), input_signature=specs, autograph=False
            )
        return self._encode_graph

    @property
    def _decode(self):
        if not hasattr(self, "_decode_graph"):
            channels, condition = self.decoder.inputs[0].shape[-1], self.decoder.inputs[1].shape[-1]
            points = self.encoder.output["prosody"].shape[2:]
            specs = [
                tf.TensorSpec([1, None, channels]),
                tf.TensorSpec([1, condition]),
                tf.TensorSpec([1, None]),
                tf.TensorSpec([1, None, *points]),
                tf.TensorSpec([1, None], tf.int32),
                tf.TensorSpec([1, None]),
                tf.TensorSpec([1, None]),
            ]
            self._decode_graph = tf.function(lambda *inputs: self._sound(*inputs), input_signature=specs, autograph=False)
        return self._decode_graph

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: the encoder of phones and the decoder of frames; between them stands plain arithmetic."""
        c, encoded = self.convention, self.encoder.output
        channels, condition, points = encoded["phones"].shape[-1], encoded["condition"].shape[-1], tuple(encoded["prosody"].shape[2:])
        number = [Port(name, (1,), f"number of the {name}, see labels", "int32") for name in ("speaker", "language", "emotion")]
        phones, prosody = (
            Port("phones", (1, "tokens", channels)),
            Port("prosody", (1, "tokens", *points), "standardised F0, voicing, energy"),
        )
        names = ("phones", "condition", "duration", "prosody")

        def tokens(rng: Any, call: int) -> dict[str, np.ndarray]:
            given = np.stack([rng.integers(0, len(self.phones), 7 + call), np.zeros(7 + call), np.zeros(7 + call)], axis=-1)
            return {"tokens": given[None].astype(np.int32), **{port.name: np.zeros(1, np.int32) for port in number}}

        def frames(rng: Any, call: int) -> dict[str, np.ndarray]:
            durations = rng.integers(1, 6, 7 + call)
            frame_phone, frame_place = spread(durations)
            return {
                "phones": noise_like(rng, (1, 7 + call, channels)),
                "condition": noise_like(rng, (1, condition)),
                "durations": durations[None].astype(np.float32),
                "prosody": noise_like(rng, (1, 7 + call, *points)),
                "frame_phone": frame_phone[None],
                "frame_place": frame_place[None],
            }

        def encode(*given: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = self.encoder(list(given), training=False)
            return tuple(tf.cast(found[name], tf.float32) for name in names)

        frame = (1, "frames")
        networks = (
            ExportedNetwork(
                "encoder",
                encode,
                (Port("tokens", (1, "tokens", 3), "phone, stress, place in the word", "int32"), *number),
                (phones, Port("condition", (1, condition)), Port("duration", (1, "tokens"), "ln of frames"), prosody),
                tokens,
            ),
            ExportedNetwork(
                "decoder",
                lambda *given: (self.decode(*given),),
                (
                    phones,
                    Port("condition", (1, condition)),
                    Port("durations", (1, "tokens"), "frames"),
                    prosody,
                    Port("frame_phone", frame, "number of the token of each frame", "int32"),
                    Port("frame_place", frame, "place in the token, 0 to 1"),
                ),
                (Port("mel", (*frame, c.bands), c.describe()),),
                frames,
            ),
        )
        facts = {
            "kind": "speech synthesiser",
            "sample_rate": c.sample_rate,
            "mel": c.to_dict(),
            "labels": {"phone": self.phones, "speaker": self.speakers, "language": self.languages, "emotion": self.emotions},
            "phonemiser": self.phonemiser,
            "consent": self.consent,
        }
        if self.filters is not None:
            facts["waveform"] = "not exported: a vocoder of this mel convention makes the audio"
        return ExportPlan(networks, "speak", facts)

    def save(self, filepath, overwrite: bool = True, stored_as: str = "float32", **kwargs: Any) -> None:
        """Write the file. `stored_as`: "float16" halves it; computation stays in float32."""
        super().save(filepath, overwrite=overwrite, **kwargs)
        if stored_as != "float32":
            store_as(Path(filepath), stored_as)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "convention": self.convention.to_dict(),
            "phones": self.phones,
            "speakers": self.speakers,
            "languages": self.languages,
            "emotions": self.emotions,
            "speaker_languages": self.speaker_languages,
            "mel_mean": self.mel_mean.tolist(),
            "mel_deviation": self.mel_deviation.tolist(),
            "f0": self.f0.tolist(),
            "energy": self.energy.tolist(),
            **{name: None if part is None else keras.saving.serialize_keras_object(part) for name, part in self._sound_parts().items()},
            "phonemiser": self.phonemiser,
            "consent": self.consent,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("encoder", "decoder", "filters", "source_filter"):
            if config.get(key) is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)

    def _sound_parts(self) -> dict[str, Any]:
        return {"filters": self.filters, "source_filter": self.source_filter}


def contour_of(ln_f0: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return the contour of F0 in each frame from its means over parts of tokens, linear between their middles: float32 [frames].

    Args:
        ln_f0: float [tokens, points].
        durations: Frames of each token.
    """
    points = ln_f0.shape[1]
    middles = (np.cumsum(durations) - durations)[:, None] + durations[:, None] * (np.arange(points) + 0.5) / points - 0.5
    return np.interp(np.arange(durations.sum()), middles.ravel(), ln_f0.ravel()).astype(np.float32)


def rounded(durations: np.ndarray) -> np.ndarray:
    """Return whole frames, at least one each: boundaries are rounded, so that the total is right to a frame."""
    ends = np.round(np.cumsum(durations)).astype(int)
    return np.maximum(np.diff(np.concatenate([[0], ends])), 1)


def spread(durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each frame the number of its token, int32 [frames], and its place in it in [0, 1), float32 [frames]."""
    owner = np.repeat(np.arange(len(durations)), durations)
    begins = np.cumsum(durations) - durations
    place = (np.arange(len(owner)) + 0.5 - begins[owner]) / durations[owner]
    return owner.astype(np.int32), np.minimum(place, 0.999).astype(np.float32)
