"""Kokoro-82M (a StyleTTS 2 model, Li et al. 2023, arXiv:2306.07691, with an iSTFTNet decoder) exported to ONNX, and its styles."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.text.report import TextReport
from ...data.text.tokens import Word
from ...errors import UsageError
from ...files import load_array, sha256_of
from .kokoro_phones import END_ID, SYMBOLS, kokoro_symbols, symbol_ids
from .licences import kokoro_licences
from .onnx_graph import VoiceError, expose, failing_as, make_factor_an_input, open_session, rows_of
from .voice import MAX_SEED, PLAIN, Manner, Span, Speech, VoiceFacts, VoiceFile, checked_speed, timings_of, unknown_speaker

if TYPE_CHECKING:
    import onnx

SAMPLE_RATE = 24000
STYLE_SIZE = 256
MAX_IDS = 510  # without the two at the ends: the styles have a row for each length up to here
DEFAULT_STYLE = "af_heart"
_TOKENS, _STYLE, _SPEED = ("tokens", "input_ids"), "style", "speed"
_FRAME = 600  # samples of a frame of durations; contours have two frames in it
_UNVOICED_HZ = 50.0  # the F0 output never reaches 0
# Tensors of the export from PyTorch: durations in frames per token, F0 in Hz, energy. Other exports have no timings.
_DURATIONS, _F0, _ENERGY = "/encoder/Cast_output_0", "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"
_PITCH = "gan_audio_pitch"  # the input that F0 is multiplied by
_MAX_STYLE_BYTES = 64 << 20
# First letter of a style's name -> language that it was trained in, as espeak-ng calls it. Japanese and Chinese need phones of their own.
_LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn"}
_WITHOUT_PHONES = ("ja", "cmn")


class KokoroVoice:
    """Kokoro-82M with its styles as speakers.

    A speaker is the name of a style, or a mixture: "af_heart+am_michael", "af_heart:3+bf_emma:1" (weights, normalised to 1).

    Args:
        file: The `.onnx` file.
        model: Its graph, which is changed: durations, F0 and energy become outputs.
        threads: Threads of onnxruntime.
        styles: Where the styles are; None: beside the model, in `voices/`, or in an `.npz` there.

    Raises:
        VoiceError: No styles, or files of another model.
    """

    phonemes = "espeak-ng"
    has_noise = False
    emotions: tuple[str, ...] = ()
    max_tokens = 350  # trained on less than MAX_IDS: above 400 it hurries

    def __init__(self, file: Path, model: onnx.ModelProto, *, threads: int = 1, styles: Path | None = None):
        self.file = file
        self.name = file.stem
        self.sample_rate = SAMPLE_RATE
        self._types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        self._tokens = next(name for name in _TOKENS if name in self._types)
        self._table = symbol_table(file.parent)
        rows = rows_of(model, self._tokens)
        if rows is not None and max(self._table.values()) >= rows:
            raise VoiceError(f"{file} has {rows} symbols, the table of Kokoro-82M ids up to {max(self._table.values())}: another model.")
        self.styles = Styles(styles if styles is not None else styles_beside(file))
        self.speakers: tuple[str, ...] = tuple(self.styles)
        self._default = DEFAULT_STYLE if DEFAULT_STYLE in self.speakers else self.speakers[0]
        used = [_LANGUAGES[name[0]] for name in (self._default, *self.speakers) if name[:1] in _LANGUAGES]
        self.languages = tuple(language for language in dict.fromkeys([*used, *_LANGUAGES.values()]) if language not in _WITHOUT_PHONES)
        self._output = model.graph.output[0].name
        self._pitched = make_factor_an_input(model, _F0, _PITCH)
        self.controls = frozenset({"pitch"} if self._pitched else ())
        self._taps = expose(model, _DURATIONS, _F0, _ENERGY)
        self._session = open_session(model, file, threads)

    @staticmethod
    def accepts(inputs: set[str]) -> bool:
        """Tell whether a graph with these inputs is a Kokoro model."""
        return any(inputs == {tokens, _STYLE, _SPEED} for tokens in _TOKENS)

    def language_of(self, speaker: str = "") -> str:
        """Return the language that a style was trained in; see `Voice`.

        Raises:
            UsageError: There is no such style, or it is Japanese or Chinese: then the text has to come as phones, in a language
                that the caller names.
        """
        first = self._mixture(speaker)[0][0]
        language = _LANGUAGES.get(first[:1], self.languages[0])
        if language in _WITHOUT_PHONES:
            raise UsageError(
                f"{first} speaks {'Japanese' if language == 'ja' else 'Chinese'}, and nothing here turns that into Kokoro's phones.",
                hint="name another language for it, or give the text as [[phones]]",
            )
        return language

    def length(self, words: Sequence[Word], language: str) -> int:
        """Return how many ids these words are; see `Voice`."""
        return len(self.ids(words, language)[0]) - 2

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
        """Speak an utterance; see `Voice`. There is no noise in this model: the seed changes nothing."""
        if noise is not None or duration_noise is not None:
            raise UsageError("Kokoro has no noise to set: the same words in the same style always sound the same.")
        manner.check(self)
        if not 0 <= seed <= MAX_SEED:
            raise UsageError(f"the seed is {seed}; expected 0 to {MAX_SEED}.")
        ids, spans = self.ids(words, language or self.language_of(speaker), report)
        count = len(ids) - 2
        if not spans:
            return Speech(np.zeros(0, np.float32))
        if count > MAX_IDS:
            raise UsageError(f"an utterance has {count} phones and marks; Kokoro takes at most {MAX_IDS} at once.")
        feed: dict[str, Any] = {
            self._tokens: np.array([ids], np.int64),
            _STYLE: self.style(speaker, count),
            _SPEED: np.array([checked_speed(speed)], np.float32),
        }
        if self._pitched:
            feed[_PITCH] = np.array(2.0 ** (manner.pitch / 12), np.float32)
        if self._types[_SPEED] != 1:  # some exports take whole numbers: 1 or 2
            feed[_SPEED] = np.round(feed[_SPEED]).astype(np.int32)
        with failing_as(self.file):
            audio, *taps = self._session.run([self._output, *self._taps], feed)
        samples = np.ascontiguousarray(audio, np.float32).ravel()
        return self._speech(words, spans, samples, dict(zip(self._taps, taps, strict=True)))

    def style(self, speaker: str, count: int) -> np.ndarray:
        """Return the style vector, float32 [1, 256], of a speaker for an utterance of that many ids."""
        mixed = np.zeros(STYLE_SIZE, np.float32)
        for name, weight in self._mixture(speaker):
            rows = self.styles[name]
            mixed += weight * rows[min(count, len(rows)) - 1]
        return mixed[None]

    def ids(self, words: Sequence[Word], language: str, report: TextReport | None = None) -> tuple[list[int], list[Span]]:
        """Return the ids of words, and which of them each phone and pause mark has."""
        ids, spans, unknown = [END_ID], [], list[str]()

        def add(symbols: str, word: int, text: str, is_mark: bool) -> None:
            first = len(ids)
            ids.extend(symbol_ids(symbols, self._table, unknown))
            if len(ids) > first:
                spans.append(Span(word, text, first, len(ids), is_mark))

        for number, word in enumerate(words):
            if spans and word.phones:
                ids.append(self._table[" "])
                spans[-1] = spans[-1].at(spans[-1].start, len(ids))  # the space belongs to what comes before it
            for phone, symbols in zip(word.phones, kokoro_symbols(word.phones, language), strict=True):
                add(symbols, number, phone, False)
            if word.mark:
                add(word.mark, number, word.mark, True)
        if report is not None:
            for symbol in unknown:
                report.count(report.unknown_phones, symbol)
        return [*ids, END_ID], spans

    def facts(self) -> VoiceFacts:
        """Return what is known of the voice; see `Voice`."""
        files = tuple(VoiceFile(file, file.stat().st_size, sha256_of(file)) for file in (self.file, *self.styles.files))
        licences = kokoro_licences(self.file.parent, self.styles.path if self.styles.path.is_dir() else self.styles.path.parent)
        phonemiser = "misaki; here espeak-ng in misaki's spelling"
        return VoiceFacts(self.name, "kokoro", files, self.sample_rate, self.languages, self.speakers, phonemiser, licences)

    def _mixture(self, speaker: str) -> list[tuple[str, float]]:
        """Return the styles of a speaker with their weights, which sum to 1."""
        found: list[tuple[str, float]] = []
        for part in (speaker or self._default).split("+"):
            name, _, weight = part.strip().partition(":")
            if name not in self.styles:
                raise unknown_speaker(self.name, name, self.speakers)
            if weight and not re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", weight):
                raise UsageError(f"the weight of {name} is {weight!r}; expected a number, as in af_heart:3+bf_emma:1.")
            found.append((name, float(weight) if weight else 1.0))
        total = sum(weight for _, weight in found)
        if total <= 0:
            raise UsageError(f"the weights in {speaker!r} sum to 0.")
        return [(name, weight / total) for name, weight in found]

    def _speech(self, words: Sequence[Word], spans: Sequence[Span], samples: np.ndarray, taps: Mapping[str, np.ndarray]) -> Speech:
        durations = taps.get(_DURATIONS, np.zeros(0)).ravel()
        if len(durations) <= spans[-1].end or int(durations.sum()) * _FRAME != len(samples):
            return Speech(samples)
        ends = np.concatenate([[0], np.cumsum(durations)]).astype(int) * _FRAME
        words_at, phones_at = timings_of(words, [span.at(int(ends[span.start]), int(ends[span.end])) for span in spans])
        contours: dict[str, np.ndarray] = {}
        if _F0 in taps and _ENERGY in taps:
            f0 = taps[_F0].ravel().astype(np.float32)
            contours = {"f0_hz": np.where(f0 < _UNVOICED_HZ, np.float32(0), f0), "energy": taps[_ENERGY].ravel().astype(np.float32)}
        return Speech(samples, words_at, phones_at, MappingProxyType(contours), _FRAME // 2 if contours else 0)


class Styles(Mapping[str, np.ndarray]):
    """Style tables by name, float32 [lengths, 256], read when they are asked for.

    Args:
        path: A folder of `NAME.bin` (raw float32) or `NAME.npy` files, or one `.npz` file (kokoro-onnx calls it `voices.bin`).

    Raises:
        VoiceError: There are none, or one has another form.
    """

    def __init__(self, path: Path):
        self.path = path
        self._archive: dict[str, np.ndarray] = {}
        self._files: dict[str, Path] = {}
        if path.is_dir():
            self._files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix in (".bin", ".npy") and file.is_file()}
        elif path.is_file() and zipfile.is_zipfile(path):
            try:
                with np.load(path, allow_pickle=False) as archive:
                    self._archive = {name: _rows(archive[name], f"{name} in {path}") for name in sorted(archive.files)}
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                raise VoiceError(f"{path} is no archive of styles: {error}") from error
        elif path.is_file():
            self._files = {path.stem: path}
        else:
            raise VoiceError(f"{path} does not exist; expected a folder of styles or an .npz file.")
        if not self._files and not self._archive:
            raise VoiceError(f"{path} holds no styles; expected NAME.bin or NAME.npy files of 510 x 256 numbers.")

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, for hashing."""
        return tuple(self._files.values()) or (self.path,)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._archive:
            self._archive[name] = self._read(self._files[name])
        return self._archive[name]

    def __iter__(self):
        return iter(self._files or sorted(self._archive))

    def __len__(self) -> int:
        return len(self._files or self._archive)

    def __contains__(self, name: object) -> bool:
        return name in self._files or name in self._archive

    @staticmethod
    def _read(file: Path) -> np.ndarray:
        try:
            if file.stat().st_size > _MAX_STYLE_BYTES:
                raise VoiceError(f"{file} is no style: it has {file.stat().st_size >> 20} MiB; expected half a MiB.")
            with file.open("rb") as content:
                start = content.read(40)
            if start.startswith(b"version https://git-lfs"):
                raise VoiceError(f"{file} is a Git LFS pointer, not the style itself.", hint="git lfs pull, or download the file itself")
            values = load_array(file) if start.startswith(b"\x93NUMPY") else np.fromfile(file, "<f4")
        except (OSError, ValueError) as error:
            raise VoiceError(f"{file} cannot be read as a style: {error}") from error
        return _rows(values, str(file))


def _rows(values: np.ndarray, what: str) -> np.ndarray:
    if values.size == 0 or values.size % STYLE_SIZE or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise VoiceError(f"{what} is no style: {values.size} numbers of {values.dtype}; expected a multiple of {STYLE_SIZE} finite floats.")
    return values.reshape(-1, STYLE_SIZE).astype(np.float32)


def styles_beside(file: Path) -> Path:
    """Return where the styles of a model are: `voices/` or `styles/` beside it, an archive there, or files in its own folder.

    Raises:
        VoiceError: Nowhere.
    """
    folder = file.parent
    for name in ("voices", "styles"):
        if (folder / name).is_dir():
            return folder / name
    found = [path for path in sorted(folder.iterdir()) if path.suffix in (".npz", ".bin") and zipfile.is_zipfile(path)]
    if found:
        return found[0]
    if any(_is_style(path) for path in folder.iterdir()):
        return folder
    raise VoiceError(
        f"{file} is a Kokoro model, but its styles are missing: expected a folder voices/ or a file voices.npz beside it.",
        hint="name them: --styles FOLDER; the npm package kokoro-js has all 54 (npm pack kokoro-js, then package/voices)",
    )


def _is_style(path: Path) -> bool:
    return path.suffix in (".bin", ".npy") and path.is_file() and 0 < path.stat().st_size <= _MAX_STYLE_BYTES


def symbol_table(folder: Path) -> dict[str, int]:
    """Return symbol -> id: of `config.json`, `vocab.json` or `tokenizer.json` beside the model if one names them, else the model's own."""
    for name in ("config.json", "vocab.json", "tokenizer.json"):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            table = content.get("vocab") or content["model"]["vocab"]
            if all(isinstance(number, int) and len(symbol) == 1 for symbol, number in table.items() if symbol != "$") and " " in table:
                return {symbol: number for symbol, number in table.items() if symbol != "$"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return dict(SYMBOLS)
