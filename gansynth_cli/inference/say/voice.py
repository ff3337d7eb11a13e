"""The interface of all voices that speak phones, and the types that they return."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np

from ...data.text.report import TextReport
from ...data.text.tokens import Word
from ...errors import UsageError
from .licences import Statement

MIN_SPEED, MAX_SPEED = 0.25, 4.0
MAX_SEED = 2**63 - 1
MAX_PITCH, MAX_ENERGY = 12.0, 60.0


@dataclass(frozen=True)
class Manner:
    """Manner of speaking beside the pace. A voice takes those that its `controls` name.

    Attributes:
        pitch: Semitones above its own, -12 to 12.
        energy: Effort of speaking in dB above its own, -60 to 60.
        emotion: One of its emotions; "": its default.
    """

    pitch: float = 0.0
    energy: float = 0.0
    emotion: str = ""

    def __post_init__(self) -> None:
        for name, value, most in (("pitch", self.pitch, MAX_PITCH), ("energy", self.energy, MAX_ENERGY)):
            if not -most <= value <= most:
                unit = "semitones" if name == "pitch" else "dB"
                raise UsageError(f"the {name} is {value:g}; expected {-most:g} to {most:g} {unit}.")

    def check(self, voice: Voice) -> None:
        """Raise UsageError for what a voice cannot do."""
        if self.pitch and "pitch" not in voice.controls:
            raise UsageError(
                f"{voice.name} has no control of pitch.", hint="leave --pitch out; Kokoro and models of the family tts have it"
            )
        if self.emotion and self.emotion not in voice.emotions:
            known = f"expected one of: {', '.join(voice.emotions)}" if voice.emotions else "it has one manner of speaking"
            raise UsageError(f"{voice.name} has no emotion {self.emotion!r}; {known}.", hint="gan-audio say --list shows what a voice has")


PLAIN = Manner()


@dataclass(frozen=True)
class Timing:
    """A stretch in which something is heard: samples from the start, `end` exclusive."""

    text: str
    start: int
    end: int

    def moved(self, samples: int) -> Timing:
        """Return the same, that many samples later."""
        return Timing(self.text, self.start + samples, self.end + samples)


@dataclass(frozen=True)
class Speech:
    """One utterance as a voice speaks it.

    Attributes:
        samples: float32 [samples], as the model gives them: not scaled, silence at both ends included.
        words, phones: When each word and phone is heard; empty where the graph does not tell. Words without text are left out;
            a pause mark counts among the phones.
        contours: Frames of the utterance by name, float32 [frames]: "f0_hz" (0 where unvoiced), "energy"; empty where there are none.
        contour_hop: Samples per frame of the contours.
    """

    samples: np.ndarray
    words: tuple[Timing, ...] = ()
    phones: tuple[Timing, ...] = ()
    contours: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    contour_hop: int = 0


@dataclass(frozen=True)
class Span:
    """Place of a phone or a pause mark: in tokens, then in samples. `word` is the index of its word."""

    word: int
    text: str
    start: int
    end: int
    is_mark: bool = False

    def at(self, start: int, end: int) -> Span:
        """Return the same phone elsewhere."""
        return Span(self.word, self.text, start, end, self.is_mark)


def timings_of(words: Sequence[Word], spans: Sequence[Span]) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
    """Return the timings of words and of phones, from spans in samples.

    A written word that is pronounced as several lasts to the end of the last; pause marks are phones but belong to no word.
    """
    found: dict[int, Timing] = {}
    for span in spans:
        owner = span.word
        while owner and not words[owner].text:
            owner -= 1
        if not span.is_mark:
            found[owner] = Timing(words[owner].text, found[owner].start if owner in found else span.start, span.end)
    return tuple(timing for timing in found.values() if timing.text), tuple(Timing(span.text, span.start, span.end) for span in spans)


def unknown_speaker(voice: str, speaker: str, speakers: Sequence[str]) -> UsageError:
    """Return the error about a speaker that a voice does not have; it names the nearest ones."""
    near = difflib.get_close_matches(speaker, speakers, 3, 0.5) or list(speakers[:12])
    more = f" ({len(speakers)} in all)" if len(speakers) > len(near) else ""
    expected = f"one of: {', '.join(near)}{more}" if speakers else "none: it has one voice"
    return UsageError(
        f"{voice} has no voice {speaker!r}; expected {expected}.", hint="gan-audio say --list shows all of them" if more else None
    )


def checked_speed(speed: float) -> float:
    """Return a pace that voices can speak at.

    Raises:
        UsageError: It is outside of `MIN_SPEED` to `MAX_SPEED`.
    """
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise UsageError(f"the speed is {speed:g}; expected {MIN_SPEED:g} to {MAX_SPEED:g}.")
    return speed


@dataclass(frozen=True)
class VoiceFile:
    """A file of a voice: its path, size in bytes and SHA-256 in hex."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class VoiceFacts:
    """Facts about a voice, for lists, model cards and provenance.

    Attributes:
        name: Short name.
        kind: "piper", "kokoro" or "tts".
        files: Every file that makes the sound.
        sample_rate: Hz.
        languages, speakers: As in `Voice`.
        phonemiser: Source of the phones that the voice was trained on, such as "espeak-ng, voice en-us".
        licences: Statements of the files beside it on code, weights, data and the voice it was fine-tuned from; "not stated" where
            they state nothing.
    """

    name: str
    kind: str
    files: tuple[VoiceFile, ...]
    sample_rate: int
    languages: tuple[str, ...]
    speakers: tuple[str, ...]
    phonemiser: str
    licences: tuple[Statement, ...]


class Voice(Protocol):
    """A model that speaks phones.

    Attributes:
        name: Short name.
        sample_rate: Hz.
        languages: Codes for the phonemiser, the default one first.
        speakers: Names; empty for a voice with one speaker.
        phonemes: Its input: "espeak-ng" (IPA as espeak-ng writes it) or "text" (letters).
        max_tokens: Length above which an utterance is spoken in parts.
        has_noise: Whether `noise` and `duration_noise` change anything.
        controls: Which numbers of `Manner` it takes: "pitch", "energy".
        emotions: Names; empty for a voice with one manner of speaking.
    """

    name: str
    controls: frozenset[str]
    emotions: tuple[str, ...]
    sample_rate: int
    phonemes: str
    max_tokens: int
    has_noise: bool
    languages: tuple[str, ...]
    speakers: tuple[str, ...]

    def language_of(self, speaker: str = "") -> str:
        """Return the language that a speaker was trained in.

        Raises:
            UsageError: There is no such speaker.
        """
        ...

    def length(self, words: Sequence[Word], language: str) -> int:
        """Return how many tokens these words are."""
        ...

    def synthesise(
        self,
        words: Sequence[Word],
        *,
        language: str = "",
        speaker: str = "",
        speed: float = 1.0,
        noise: float | None = None,
        duration_noise: float | None = None,
        seed: int = 0,
        manner: Manner = PLAIN,
        report: TextReport | None = None,
    ) -> Speech:
        """Speak an utterance. The same arguments give the same samples on one machine.

        Args:
            words: Words with phones and pause marks.
            language: Language of the phones; "": the speaker's.
            speaker: One of `speakers`; "": the default one.
            speed: Pace, 1 as trained, 2 twice as fast.
            noise: Standard deviation of the random part of the sound; None: the voice's own.
            duration_noise: The same of the durations.
            seed: Seed of both.
            manner: Pitch, energy and emotion, as far as `controls` and `emotions` go.
            report: Counts phones that the voice does not have.

        Raises:
            UsageError: A value out of range, an unknown speaker.
            VoiceError: The model failed.
        """
        ...

    def facts(self) -> VoiceFacts:
        """Return the facts about the voice."""
        ...
