"""Text in, blocks of sound out: one utterance at a time, in memory that does not grow with the length of the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...data.text.front_end import MAX_BATCH, FrontEnd, Markup, Source, finished
from ...data.text.languages import language_code
from ...data.text.phonemes import Espeak, Letters, Phonemiser
from ...data.text.report import TextReport
from ...data.text.tokens import Utterance, Word
from ...errors import UsageError
from .onnx_graph import VoiceError
from .voice import MAX_ENERGY, MAX_PITCH, MAX_SPEED, MIN_SPEED, PLAIN, Manner, Speech, Timing, Voice, checked_speed

PEAK = 0.98  # of full scale; a sentence that would exceed it is turned down as a whole
_EDGE_S = 0.03  # of the voice's own silence that stays at both ends of an utterance
_SILENCE_DB = -46.0  # below the peak of the utterance: what counts as silence there
_FADE_S = 0.005
_MAX_SILENT_BLOCK_S = 1.0
_STRENGTH = dict.fromkeys(".!?;:…—", 3) | {",": 2}  # of marks at which an utterance that is too long is divided


@dataclass(frozen=True)
class Pauses:
    """Seconds of silence after an utterance, by what ends it; a pause that the text asks for replaces them."""

    clause: float = 0.15
    sentence: float = 0.4
    paragraph: float = 0.8

    def after(self, utterance: Utterance) -> float:
        """Return the pause after an utterance."""
        return utterance.pause if utterance.pause is not None else float(getattr(self, utterance.end))


@dataclass(frozen=True)
class Block:
    """A stretch of the output.

    Attributes:
        samples: float32 [samples], peak at most `PEAK`.
        start: Samples before it.
        text: What is spoken in it as written; "" for a pause.
        words, phones: When each is heard, in samples from the start of the output; empty where the voice does not tell.
    """

    samples: np.ndarray
    start: int
    text: str = ""
    words: tuple[Timing, ...] = ()
    phones: tuple[Timing, ...] = ()

    @property
    def end(self) -> int:
        """Samples of the output up to the end of this block."""
        return self.start + len(self.samples)


def speak(
    source: Source,
    voice: Voice,
    *,
    language: str = "",
    speaker: str = "",
    speed: float = 1.0,
    noise: float | None = None,
    duration_noise: float | None = None,
    seed: int = 0,
    manner: Manner = PLAIN,
    volume: float = 1.0,
    full_scale: bool = False,
    pauses: Pauses | None = None,
    markup: Markup = "auto",
    lexicon: Mapping[str, str] | None = None,
    phonemiser: Phonemiser | None = None,
    max_batch: int = MAX_BATCH,
    report: TextReport | None = None,
) -> Iterator[Block]:
    """Speak a text and yield its sound block by block, the first one as soon as the first sentence is done.

    Sentences keep their own level: none is brought to full scale by itself, which would make quiet ones jump out. One whose peak
    would exceed `PEAK` is turned down. The same arguments give the same samples on one machine, whatever `max_batch` is.

    Args:
        source: The text, an open file, or an iterable of strings.
        voice: From `open_voice`.
        language: Code of the text's language; "": the speaker's.
        speaker: One of the voice's speakers; "": its default.
        speed: Pace; multiplied by the rates that SSML asks for.
        noise, duration_noise: See `Voice.synthesise`.
        seed: Seed of the voice's noise.
        manner: Pitch, energy and emotion; what SSML asks for is added. Energy is a gain for a voice that has no control of it.
        volume: Factor on all samples.
        full_scale: Bring every sentence to `PEAK` by itself, as Piper's own programs do.
        pauses: Silence between utterances.
        markup: See `FrontEnd.utterances`.
        lexicon: Word -> phones, as `read_lexicon` returns it.
        phonemiser: Makes phones; None: espeak-ng, or letters for a voice that takes them.
        max_batch: Sentences read ahead at most; 1 for a text that is being typed.
        report: Collects what was left out.

    Raises:
        UsageError: A value out of range, a speaker or language that is not there, broken SSML.
        MissingExtraError: espeak-ng is needed and missing.
        GanAudioError: espeak-ng or the model failed.
    """
    if not 0 < volume <= 100:
        raise UsageError(f"the volume is {volume:g}; expected a factor above 0, at most 100.")
    pauses = pauses or Pauses()
    report = report if report is not None else TextReport()
    language = language_code(language) if language else voice.language_of(speaker)
    front = FrontEnd(language, phonemiser or _phonemiser(voice), lexicon, report)
    manner.check(voice)
    voiced = _Voiced(voice, speaker, speed, noise, duration_noise, seed, manner)
    position = 0
    due = asked = 0.0
    for utterance in (part for whole in front.utterances(source, markup, max_batch) for part in parts_of(whole, voice)):
        speech = voiced(utterance, report)
        if len(speech.samples):
            for block in silence(due, voice.sample_rate, position):
                yield block
                position = block.end
            gain = 1.0 if "energy" in voice.controls else 10 ** (_energy(manner, utterance) / 20)
            speech = levelled(trimmed(speech, voice.sample_rate), volume * gain, full_scale)
            words, phones = (tuple(timing.moved(position) for timing in timings) for timings in (speech.words, speech.phones))
            yield Block(speech.samples, position, utterance.text, words, phones)
            position += len(speech.samples)
            due, asked = pauses.after(utterance), utterance.pause or 0.0
        elif utterance.pause is not None:
            due, asked = due + utterance.pause, asked + utterance.pause
    yield from silence(asked, voice.sample_rate, position)


@dataclass(frozen=True)
class _Voiced:
    """A voice with its settings."""

    voice: Voice
    speaker: str
    speed: float
    noise: float | None
    duration_noise: float | None
    seed: int
    manner: Manner

    def __call__(self, utterance: Utterance, report: TextReport) -> Speech:
        if not any(word.phones for word in utterance.words):
            return Speech(np.zeros(0, np.float32))
        speech = self.voice.synthesise(
            utterance.words,
            language=utterance.language,
            speaker=utterance.style.speaker or self.speaker,
            speed=min(max(checked_speed(self.speed) * utterance.style.rate, MIN_SPEED), MAX_SPEED),
            noise=self.noise,
            duration_noise=self.duration_noise,
            seed=self.seed,
            manner=self._manner(utterance, report),
            report=report,
        )
        if not np.isfinite(speech.samples).all():
            raise VoiceError(f"{self.voice.name} gave samples that are no numbers for: {utterance.text[:80]}")
        return speech

    def _manner(self, utterance: Utterance, report: TextReport) -> Manner:
        pitch = min(max(self.manner.pitch + utterance.style.pitch, -MAX_PITCH), MAX_PITCH)
        if pitch and "pitch" not in self.voice.controls:
            report.note(f"{self.voice.name} has no control of pitch: <prosody pitch> was left out")
            pitch = 0.0
        return Manner(pitch, _energy(self.manner, utterance), self.manner.emotion)


def _energy(manner: Manner, utterance: Utterance) -> float:
    return min(max(manner.energy + utterance.style.energy, -MAX_ENERGY), MAX_ENERGY)


def parts_of(utterance: Utterance, voice: Voice) -> list[Utterance]:
    """Divide an utterance that is longer than the voice takes at once.

    The place is the strongest pause mark of the middle third, else the pause mark nearest to the middle, else a space there; then each
    part again.
    A single word that is too long is cut between phones.
    """
    words = utterance.words
    if voice.length(words, utterance.language) <= voice.max_tokens:
        return [utterance]
    if len(words) == 1:
        phones, middle = words[0].phones, len(words[0].phones) // 2
        if middle == 0:
            return [utterance]
        words = (Word(words[0].text, phones[:middle]), Word("", phones[middle:], words[0].mark))

    def merit(place: int) -> tuple[int, float]:
        share, strength = place / len(words), _STRENGTH.get(words[place - 1].mark, 0)
        if not 1 / 3 <= share <= 2 / 3:
            strength = 1 if strength and 0.25 < share < 0.75 else 0
        return strength, -abs(share - 0.5)

    cut = max(range(1, len(words)), key=merit)
    first = utterance.with_words(finished(list(words[:cut]), "clause"), "clause", None)
    last = utterance.with_words(words[cut:], utterance.end, utterance.pause)
    return [*parts_of(first, voice), *parts_of(last, voice)]


def trimmed(speech: Speech, rate: int) -> Speech:
    """Return speech without the silence that the model puts around it, but for `_EDGE_S`, and faded at both ends.

    Models add 0.05 to 0.5 s there; with it the pauses between sentences would depend on the model.
    """
    samples = speech.samples
    peak = float(np.max(np.abs(samples)))
    loud = np.flatnonzero(np.abs(samples) > peak * 10 ** (_SILENCE_DB / 20))
    if peak < 1e-4 or not len(loud):
        return speech
    edge, fade = int(_EDGE_S * rate), int(_FADE_S * rate)
    start, end = max(0, int(loud[0]) - edge), min(len(samples), int(loud[-1]) + 1 + edge)
    kept = samples[start:end].copy()
    fade = min(fade, len(kept) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(1, fade))).astype(np.float32)
    kept[:fade] *= ramp
    kept[len(kept) - fade :] *= ramp[::-1]

    def moved(timings: Sequence[Timing]) -> tuple[Timing, ...]:
        inside = (Timing(t.text, max(0, t.start - start), min(len(kept), t.end - start)) for t in timings)
        return tuple(timing for timing in inside if timing.end > timing.start)

    return Speech(kept, moved(speech.words), moved(speech.phones))


def levelled(speech: Speech, volume: float, full_scale: bool) -> Speech:
    """Return speech times `volume`, or at `PEAK` if `full_scale`; never above `PEAK`."""
    peak = float(np.max(np.abs(speech.samples), initial=0.0))
    gain = PEAK / peak if full_scale and peak > 0 else volume
    if peak * gain > PEAK:
        gain = PEAK / peak
    return replace(speech, samples=(speech.samples * np.float32(gain)).clip(-PEAK, PEAK).astype(np.float32))


def silence(seconds: float, rate: int, position: int) -> Iterator[Block]:
    """Yield silence in blocks of at most a second, the first of which begins at sample `position`."""
    left, most = round(seconds * rate), round(_MAX_SILENT_BLOCK_S * rate)
    while left > 0:
        size = min(left, most)
        yield Block(np.zeros(size, np.float32), position)
        position, left = position + size, left - size


def _phonemiser(voice: Voice) -> Phonemiser:
    return Letters() if voice.phonemes == "text" else Espeak()
