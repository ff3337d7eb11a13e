"""A model that was trained here as a voice: with a vocoder, unless it gives sound itself."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ...data.text.languages import language_code
from ...data.text.phone_tokens import phone_tokens, token_ids
from ...data.text.report import TextReport
from ...data.text.tokens import Word
from ...models.model_file import ModelFile
from ...models.speech_synthesiser import SpeechSynthesiser, Spoken
from ...models.spoken_model import SpokenModel
from ..vocode.stream import NetworkVocoder, open_vocoder
from .licences import NOT_STATED, Statement
from .onnx_graph import VoiceError
from .voice import PLAIN, Manner, Span, Speech, VoiceFacts, VoiceFile, checked_speed, timings_of, unknown_speaker

PHONEMISER = "espeak-ng"


class StudentVoice:
    """A trained model of text-to-speech, with a vocoder where it does not make sound itself.

    Args:
        found: The acoustic model.
        vocoder: Run, file or name of the vocoder; None: the bundled one, or none where the model makes sound itself.

    Raises:
        RunError: One of them cannot be loaded.
        VoiceError: A vocoder of another mel convention, or phones of a program that is not called here.
    """

    phonemes = "espeak-ng"
    has_noise = False
    controls = frozenset({"pitch", "energy"})
    max_tokens = 200  # 12 to 15 s, as in training

    def __init__(self, found: ModelFile, vocoder: str | None = None):
        model = found.load()
        assert isinstance(model, SpeechSynthesiser | SpokenModel)
        self.model, self.found = model, found
        if isinstance(model, SpokenModel):
            self.controls, self.has_noise = model.controls, model.has_noise
        self.name = found.run.path.name if found.run else found.file.stem
        self.sample_rate = model.convention.sample_rate
        self.speakers, self.emotions = tuple(model.speakers), tuple(model.emotions) if len(model.emotions) > 1 else ()
        self.languages = tuple(dict.fromkeys([model.speaker_languages[0], *model.languages]))
        self._table = {symbol: number for number, symbol in enumerate(model.phones)}
        # A model that makes sound itself takes a vocoder only where one is asked for, and those without a mel spectrogram take none.
        sounds = model.gives_audio if isinstance(model, SpokenModel) else model.filters is not None
        if vocoder and isinstance(model, SpokenModel) and sounds:
            raise VoiceError(f"{self.name} makes its waveform without a mel spectrogram; it takes no vocoder.", hint="leave --vocoder out")
        self.vocoder: NetworkVocoder | None = open_vocoder(vocoder) if vocoder or not sounds else None
        if self.vocoder and (wrong := model.convention.differences(self.vocoder.convention)):
            raise VoiceError(
                f"The vocoder {self.vocoder.name} reads other mel spectrograms than {self.name} makes: {'; '.join(wrong)}.",
                hint="--vocoder RUN of the same mel convention",
            )
        if not model.phonemiser.startswith(PHONEMISER):
            raise VoiceError(f"{self.name} was trained on the phones of {model.phonemiser!r}; here {PHONEMISER} makes them.")
        # Tracing the graphs takes two seconds: better now than before the first sound.
        self._sound(self.model.synthesise(np.zeros((4, 3), np.int32), 0, 0, 0))

    def language_of(self, speaker: str = "") -> str:
        """Return the language that a speaker was trained in; see `Voice`."""
        return self.model.speaker_languages[self._number(speaker)]

    def length(self, words: Sequence[Word], language: str) -> int:
        """Return how many tokens these words are; see `Voice`."""
        return len(phone_tokens(words)) - 2

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
        """Speak an utterance; see `Voice`. Where a model has no noise, the seed changes nothing."""
        manner.check(self)
        number = self._number(speaker)
        tokens = phone_tokens(words)
        if not any(word.phones for word in words):
            return Speech(np.zeros(0, np.float32))
        ids, missing = token_ids(tokens, self._table)
        if report is not None:
            for symbol in missing:
                report.count(report.unknown_phones, symbol)
        drawn: dict[str, Any] = {"noise": noise, "duration_noise": duration_noise, "seed": seed} if self.has_noise else {}
        spoken = self.model.synthesise(
            np.array(ids, np.int32),
            number,
            self._language(language or self.language_of(speaker)),
            self.model.emotions.index(manner.emotion) if manner.emotion else 0,
            speed=checked_speed(speed),
            semitones=manner.pitch,
            energy_db=manner.energy,
            **drawn,
        )
        if report is not None:
            for problem in getattr(self.model, "problems", ()):
                report.note(f"{self.name}: {problem} in: {' '.join(word.text for word in words)[:60]}")
        samples, durations, ln_f0 = self._sound(spoken), spoken.durations, spoken.ln_f0
        ends = np.minimum(np.cumsum(durations) * self.model.convention.hop, len(samples))
        spans = [
            Span(token.word, token.text, int(ends[i - 1]), int(ends[i]), token.is_pause)
            for i, token in enumerate(tokens)
            if token.word >= 0
        ]
        words_at, phones_at = timings_of(words, spans)
        if not ln_f0.any():
            return Speech(samples, words_at, phones_at)
        thirds = np.minimum((np.concatenate([np.arange(d) / d for d in durations]) * ln_f0.shape[1]).astype(int), ln_f0.shape[1] - 1)
        contour = ln_f0[np.repeat(np.arange(len(durations)), durations), thirds]
        f0 = np.where(contour > 0, np.exp(contour), 0.0).astype(np.float32)
        return Speech(samples, words_at, phones_at, MappingProxyType({"f0_hz": f0}), self.model.convention.hop)

    def facts(self) -> VoiceFacts:
        """Return what is known of the voice; see `Voice`."""
        files = (VoiceFile(self.found.file, self.found.file.stat().st_size, self.found.sha256),)
        licences = (Statement("weights", NOT_STATED), Statement("data", self.model.consent or NOT_STATED))
        return VoiceFacts(self.name, "tts", files, self.sample_rate, self.languages, self.speakers, self.model.phonemiser, licences)

    def _sound(self, spoken: Spoken) -> np.ndarray:
        if self.vocoder is not None:
            return self.vocoder(spoken.mel)
        assert spoken.audio is not None
        return spoken.audio

    def _number(self, speaker: str) -> int:
        if not speaker:
            return 0
        if speaker not in self.speakers:
            raise unknown_speaker(self.name, speaker, self.speakers)
        return self.speakers.index(speaker)

    def _language(self, language: str) -> int:
        code = language_code(language)
        names = [language_code(name) for name in self.model.languages]
        if code in names:
            return names.index(code)
        near = [i for i, name in enumerate(names) if name.split("-")[0] == code.split("-")[0]]
        return near[0] if near else 0  # words in another language are read with its phones in a voice that does not know it
