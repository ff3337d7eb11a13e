"""Piper voices: a VITS (Kim et al. 2021, arXiv:2106.06103) exported to ONNX, and the JSON file that maps phones to ids."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.text.ipa import plain
from ...data.text.report import TextReport
from ...data.text.tokens import Word
from ...errors import UsageError
from ...files import sha256_of
from .licences import piper_licences
from .onnx_graph import VoiceError, expose, failing_as, input_names, make_noise_an_input, open_session, rows_of
from .piper_config import config_beside, read_config
from .voice import MAX_SEED, PLAIN, Manner, Span, Speech, Timing, VoiceFacts, VoiceFile, checked_speed, timings_of, unknown_speaker

if TYPE_CHECKING:
    import onnx

INPUTS = {"input", "input_lengths", "scales"}
_PAD, _BEGIN, _END = "_", "^", "$"
_MAX_NOISE = 3.0
_NOISE_PER_ID = 4096  # fed numbers per id: 21 frames of 192 channels, twice what slow speech takes; the graph repeats them beyond
# A mark that the voice has no id for is read as the next one of its line.
_INSTEAD = {"…": ".", "—": ",", ";": ",", ":": ",", "!": ".", "?": ".", "g": "ɡ", "ɡ": "g"}


class PiperVoice:
    """A Piper voice.

    Ids are ^ _ p1 _ p2 _ ... $ with a pad behind every symbol, ^ included, as the voices were trained; a phone is taken apart into
    code points of Unicode's form D, each with an id of its own, as the C++ library does it. Symbols without an id are left out and
    counted.

    Args:
        file: The `.onnx` file.
        model: Its graph, which is changed: noise becomes an input, durations an output.
        threads: Threads of onnxruntime.

    Raises:
        VoiceError: The JSON file is missing or belongs to another model.
    """

    has_noise = True
    controls: frozenset[str] = frozenset()
    emotions: tuple[str, ...] = ()
    max_tokens = 600  # 20 s: what the longest utterance takes stays taken, 0.3 GB here

    def __init__(self, file: Path, model: onnx.ModelProto, *, threads: int = 1):
        self.file, self.config = file, read_config(config_beside(file))
        self._check(model)
        self.name = file.stem
        self.sample_rate = self.config.sample_rate
        self.phonemes = "text" if self.config.kind == "text" else "espeak-ng"
        self.languages: tuple[str, ...] = (self.config.language,)
        self.speakers: tuple[str, ...] = tuple(self.config.speakers)
        self._output = model.graph.output[0].name
        self._noise_inputs = make_noise_an_input(model)
        self._durations = expose(model, *_duration_tensors(model))[:1]
        self._session = open_session(model, file, threads)

    @staticmethod
    def accepts(inputs: set[str]) -> bool:
        """Tell whether a graph with these inputs is a Piper voice."""
        return inputs >= INPUTS and inputs <= INPUTS | {"sid"}

    def language_of(self, speaker: str = "") -> str:
        """Return the language of the voice; see `Voice`."""
        self._speaker_id(speaker)
        return self.languages[0]

    def length(self, words: Sequence[Word], language: str) -> int:
        """Return how many ids these words are, pads included; see `Voice`."""
        return len(self.ids(words)[0])

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
        """Speak an utterance; see `Voice`. The noise depends on the seed and the ids: the same words sound the same in another text."""
        manner.check(self)
        noise = self._in_range("noise", noise, self.config.noise)
        duration_noise = self._in_range("duration noise", duration_noise, self.config.duration_noise)
        ids, spans = self.ids(words, report)
        if not spans:
            return Speech(np.zeros(0, np.float32))
        feed: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([noise, self.config.length / checked_speed(speed), duration_noise], np.float32),
        }
        number = self._speaker_id(speaker)
        if self.speakers:
            feed["sid"] = np.array([number], np.int64)
        feed |= self._noise(ids, seed, silent=noise == 0 and duration_noise == 0)
        with failing_as(self.file):
            audio, *durations = self._session.run([self._output, *self._durations], feed)
        samples = np.ascontiguousarray(audio, np.float32).ravel()
        words_at, phones_at = _timings(words, spans, durations[0], len(samples)) if durations else ((), ())
        return Speech(samples, words_at, phones_at)

    def ids(self, words: Sequence[Word], report: TextReport | None = None) -> tuple[list[int], list[Span]]:
        """Return the ids of words, and which of them each phone and pause mark has."""
        pad = self.config.ids.get(_PAD, [])
        ids = [*self.config.ids.get(_BEGIN, []), *pad]
        spans: list[Span] = []

        def add(symbols: str, word: int, text: str, is_mark: bool) -> None:
            first = len(ids)
            for symbol in symbols:
                ids.extend(
                    i for part in self.config.replaced.get(symbol, [symbol]) for own in self._symbol(part, report) for i in (own, *pad)
                )
            if len(ids) > first:
                spans.append(Span(word, text, first, len(ids), is_mark))

        for number, word in enumerate(words):
            if spans and word.phones:
                ids.extend(i for own in self.config.ids.get(" ", []) for i in (own, *pad))
                spans[-1] = spans[-1].at(spans[-1].start, len(ids))  # the space belongs to what comes before it
            for phone in word.phones:
                add(unicodedata.normalize("NFD", plain(phone, stress=True)), number, phone, False)
            if word.mark:
                add(word.mark, number, word.mark, True)
        return [*ids, *self.config.ids.get(_END, [])], spans

    def facts(self) -> VoiceFacts:
        """Return what is known of the voice; see `Voice`."""
        files = tuple(VoiceFile(file, file.stat().st_size, sha256_of(file)) for file in (self.file, self.config.file))
        phonemiser = "text" if self.phonemes == "text" else f"espeak-ng, voice {self.languages[0]}"
        licences = piper_licences(self.file.parent, self.config.dataset)
        return VoiceFacts(self.name, "piper", files, self.sample_rate, self.languages, self.speakers, phonemiser, licences)

    def _symbol(self, symbol: str, report: TextReport | None) -> list[int]:
        tried = symbol
        while tried not in self.config.ids and tried in _INSTEAD and _INSTEAD[tried] != symbol:
            tried = _INSTEAD[tried]
        if tried not in self.config.ids:
            if report is not None:
                report.count(report.unknown_phones, symbol)
            return []
        return self.config.ids[tried]

    def _noise(self, ids: list[int], seed: int, silent: bool) -> dict[str, np.ndarray]:
        if not 0 <= seed <= MAX_SEED:
            raise UsageError(f"the seed is {seed}; expected 0 to {MAX_SEED}.")
        if silent:
            return {name: np.zeros(1, np.float32) for name in self._noise_inputs}
        digest = hashlib.sha256(np.array(ids, "<i8").tobytes()).digest()
        rng = np.random.default_rng([seed, *np.frombuffer(digest[:16], "<u4")])
        return {name: rng.standard_normal(_NOISE_PER_ID * len(ids), np.float32) for name in self._noise_inputs}

    def _in_range(self, what: str, value: float | None, default: float) -> float:
        value = default if value is None else value
        if not 0 <= value <= _MAX_NOISE:
            raise UsageError(f"the {what} is {value:g}; expected 0 to {_MAX_NOISE:g}.")
        return value

    def _speaker_id(self, speaker: str) -> int:
        if not speaker:
            return 0
        if speaker in self.config.speakers:
            return self.config.speakers[speaker]
        raise unknown_speaker(self.name, speaker, self.speakers)

    def _check(self, model: onnx.ModelProto) -> None:
        """Refuse a JSON file of another model: more symbols or another number of speakers than the graph has."""
        highest = max(number for numbers in self.config.ids.values() for number in numbers)
        rows, named = rows_of(model, "input"), max(1, len(set(self.config.speakers.values())))
        wrong = f"{self.config.file} does not belong to {self.file.name}: "
        if rows is not None and highest >= rows:
            raise VoiceError(f"{wrong}it has ids up to {highest}, the model {rows} symbols.")
        has_input = "sid" in input_names(model)
        speakers = rows_of(model, "sid") if has_input else 1
        if (named > 1) != has_input or (has_input and speakers not in (None, named)):
            raise VoiceError(f"{wrong}it names {named} speakers, the model has {speakers or 'several'}.")


def _duration_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the tensor of durations in frames: the rounded one that is summed up to the end of each id."""
    summed = {node.input[0] for node in model.graph.node if node.op_type == "CumSum"}
    reshaped = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Reshape", "Squeeze", "Transpose", "Mul")}
    summed |= {reshaped[name] for name in summed if name in reshaped}
    return [node.output[0] for node in model.graph.node if node.op_type == "Ceil" and node.output[0] in summed]


def _timings(
    words: Sequence[Word], spans: Sequence[Span], durations: np.ndarray, samples: int
) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
    """Return when words and phones are heard, from the frames per id."""
    frames = np.concatenate([[0], np.cumsum(durations.ravel())])
    if len(frames) <= spans[-1].end or frames[-1] <= 0:
        return (), ()
    ends = np.round(frames * (samples / frames[-1])).astype(int)
    return timings_of(words, [span.at(int(ends[span.start]), int(ends[span.end])) for span in spans])
