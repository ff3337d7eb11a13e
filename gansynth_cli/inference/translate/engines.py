"""Recognisers and translators: programs of the user's choice, run as commands, or faster-whisper as a library."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...errors import GanAudioError, MissingExtraError, UsageError
from .segments import Segment, read_segments

_TIMEOUT_S = 3600.0
_APERTIUM = {
    "en": "eng",
    "es": "spa",
    "fr": "fra",
    "it": "ita",
    "pt": "por",
    "ca": "cat",
    "de": "deu",
    "gl": "glg",
    "ru": "rus",
    "uk": "ukr",
}


class Recogniser(Protocol):
    """Writes down what is said in a recording."""

    name: str

    def __call__(self, path: Path, language: str) -> list[Segment]:
        """Return the segments of a recording in order; `language` "" is found out."""
        ...


class Translator(Protocol):
    """Translates lines."""

    name: str

    def __call__(self, lines: Sequence[str]) -> list[str]:
        """Return the translation of each line."""
        ...


class WhisperRecogniser:
    """faster-whisper (extra `translate`).

    Args:
        model: A folder of a CTranslate2 model, or a size such as "base", which the library downloads.
        threads: Threads.

    Raises:
        MissingExtraError: It is not installed.
        GanAudioError: The model cannot be opened.
    """

    def __init__(self, model: str, threads: int = 1):
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise MissingExtraError("Recognising speech", "translate") from error
        try:
            self._model: Any = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=threads)
        except Exception as error:  # the library raises classes of several packages
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise GanAudioError(f"faster-whisper cannot open {model}: {reason}", hint="--asr-model FOLDER, a CTranslate2 model") from error
        self.name = f"faster-whisper {Path(model).name}"

    def __call__(self, path: Path, language: str) -> list[Segment]:
        found, about = self._model.transcribe(str(path), language=language.split("-")[0] or None, beam_size=5, vad_filter=False)
        return [Segment(one.start, one.end, one.text.strip(), about.language) for one in found if one.text.strip()]


class CommandRecogniser:
    """A command that prints SubRip or JSON lines, such as `whisper-cli -m model.bin -l {language} -f {input} --output-srt`.

    Args:
        command: With {input}, and maybe {language}; "auto" stands for an unknown one.

    Raises:
        UsageError: No {input}, or a program that is not there.
    """

    def __init__(self, command: str):
        if "{input}" not in command:
            raise UsageError(
                f"--asr {command!r} does not say where the recording goes.", hint="--asr 'recogniser {input} --language {language}'"
            )
        self.name, self.command = _program(command), command

    def __call__(self, path: Path, language: str) -> list[Segment]:
        printed = _run(self.command, {"input": str(path), "language": language or "auto"})
        return read_segments(printed, language, self.name)


class CommandTranslator:
    """A command that reads lines from stdin and prints a line for each, such as `apertium -u eng-spa`.

    Args:
        command: It may have {source} and {target}, the two languages.
        source, target: Codes of the languages.

    Raises:
        UsageError: A program that is not there.
    """

    def __init__(self, command: str, source: str, target: str):
        self.name, self.command = _program(command), command
        self._values = {"source": source, "target": target}

    def __call__(self, lines: Sequence[str]) -> list[str]:
        lines = [" ".join(line.split()) for line in lines]
        if not lines:
            return []
        answer = _lines(_run(self.command, self._values, "\n".join(lines) + "\n"))
        if len(answer) != len(lines):  # a program that joins lines or adds some: one by one, then
            answer = [" ".join(_lines(_run(self.command, self._values, line + "\n"))) for line in lines]
        return [translated.strip() for translated in answer]


def default_translator(source: str, target: str) -> CommandTranslator:
    """Return apertium for two languages.

    Raises:
        UsageError: It is not installed, or has no such pair.
    """
    first, second = source.split("-")[0], target.split("-")[0]
    pair = f"{_APERTIUM.get(first, first)}-{_APERTIUM.get(second, second)}"
    if shutil.which("apertium") is None:
        raise UsageError(
            "No translator is given, and apertium is not installed.",
            hint=f"--mt COMMAND (reads lines, prints lines), or apt-get install apertium apertium-{pair}",
        )
    pairs = _run("apertium -l", {}).split()
    if pair not in pairs:
        raise UsageError(
            f"apertium has no pair {pair}; it has {', '.join(pairs) or 'none'}.", hint=f"apt-get install apertium-{pair}, or --mt COMMAND"
        )
    return CommandTranslator(f"apertium -u {pair}", source, target)


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"The command {command!r} is not complete: {error}.") from error
    if not words or shutil.which(words[0]) is None:
        raise UsageError(f"The program {words[0] if words else '(none)'!r} is not installed or not on PATH.")
    return Path(words[0]).name


def _run(command: str, values: Mapping[str, str], text: str = "") -> str:
    """Run a command, without a shell, and return what it prints."""
    words = [re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), word) for word in shlex.split(command)]
    try:
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise GanAudioError(f"{words[0]} did not answer within {_TIMEOUT_S / 60:.0f} minutes.") from error
    except OSError as error:
        raise GanAudioError(f"{words[0]} cannot be run: {error.strerror or error}.") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing on stderr"]
        raise GanAudioError(f"{words[0]} failed with exit status {done.returncode}: {reason[-1]}", hint=shlex.join(words))
    return done.stdout.decode("utf-8", "replace")


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n") if text.strip() else []
