"""Words to phones by espeak-ng, which runs as a program of its own (GPL-3: called, never imported or shipped)."""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from ...errors import GanAudioError, MissingExtraError, UsageError
from .ipa import TIE, tidy
from .languages import language_code

PROGRAM = "espeak-ng"
INSTALL = "apt-get install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), winget install eSpeak-NG (Windows)"
# espeak-ng reads its own phonemes in double brackets. These come out alike in all its languages, which other consonants do not.
PLACEHOLDER, PLACEHOLDER_PHONES = "[[n_n_n_n]]", "nnnn"  # in the place of a word whose phones are known
_SEPARATOR, _SEPARATOR_PHONES = "[[n_n_n_n_n_n]]", "nnnnnn"
MAX_LINE = 400  # characters; espeak-ng breaks clauses of about 690 itself
_FIRST_TIMEOUT_S, _TIMEOUT_S_PER_CHARACTER = 30.0, 0.01  # it takes 20 µs a character on an idle machine


class MissingProgramError(MissingExtraError):
    """A program that the feature calls is not installed."""

    def __init__(self, feature: str, program: str, hint: str):
        GanAudioError.__init__(self, f"{feature} needs the program {program}, which is not installed or not on PATH.", hint)


class Phonemiser(Protocol):
    """A program or library that turns words into phones.

    Attributes:
        name: Name of the program or library. Voices are trained with one phonemiser; another one gives an accent.
    """

    name: str

    @property
    def version(self) -> str:
        """Version of the program, "" where there is none."""
        ...

    def check(self, language: str) -> str:
        """Return the name under which it knows a language.

        Raises:
            UsageError: It does not know it.
        """
        ...

    def __call__(self, lines: Sequence[str], language: str) -> list[str]:
        """Return the phones of each line: IPA with ties, words apart by one space, `PLACEHOLDER_PHONES` for each `PLACEHOLDER`.

        Args:
            lines: Words without punctuation, at most `MAX_LINE` characters each.
            language: As `check` returned it.
        """
        ...


class Espeak:
    """espeak-ng: one process per call, however many lines it gets.

    Nothing is run before phones are asked for, so text that is given as phones needs no program. Every use raises
    `MissingProgramError` where it is not installed, and `GanAudioError` where it does not answer, fails, or answers in a form that is
    not understood.

    Args:
        program: Name or path of the program.
    """

    name = PROGRAM

    def __init__(self, program: str = PROGRAM):
        self.program = program

    @cached_property
    def _path(self) -> str:
        found = shutil.which(self.program)
        if found is None:
            raise MissingProgramError("Turning text into phones", self.program, INSTALL)
        return found

    @cached_property
    def version(self) -> str:
        """Version number that the program states."""
        found = re.search(r"\d+(?:\.\d+)+", self._run(["--version"], ""))
        return found[0] if found else ""

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages and variants that are installed."""
        codes: set[str] = set()
        for line in self._run(["--voices"], "").splitlines()[1:]:
            columns = line.split()
            if len(columns) >= 5:
                codes.add(columns[1].lower())
                codes.update(re.findall(r"\(([a-z][\w-]*) \d+\)", line.lower()))
        return tuple(sorted(codes))

    def check(self, language: str) -> str:
        """Return the name under which espeak-ng knows a language: the code, or its first part.

        Raises:
            UsageError: It knows neither.
        """
        code = language_code(language)
        for name in (code, code.split("-")[0]):
            if name in self.languages:
                return name
        near = difflib.get_close_matches(code, self.languages, 3, 0.5)
        expected = ", ".join(near) or "one of its list"
        raise UsageError(
            f"espeak-ng has no language {language!r} among its {len(self.languages)}; expected {expected}.",
            hint="espeak-ng --voices",
        )

    def __call__(self, lines: Sequence[str], language: str) -> list[str]:
        if not lines:
            return []
        # Lines of text would flow together; a paragraph of known phonemes after each tells where its phones end.
        text = "".join(f"{line}\n\n{_SEPARATOR}\n\n" for line in lines)
        answer = self._run(["-q", "--ipa", f"--tie={TIE}", "-b", "1", "-v", language, "--stdin"], text)
        found: list[list[str]] = [[]]
        for line in answer.splitlines():
            if line.strip() == _SEPARATOR_PHONES:
                found.append([])
            else:
                found[-1].append(tidy(line))
        if len(found) != len(lines) + 1:
            raise GanAudioError(
                f"espeak-ng answered {len(found) - 1} of {len(lines)} lines in language {language}.",
                hint="use espeak-ng 1.50 or newer; this was written with 1.51",
            )
        return [" ".join(filter(None, parts)) for parts in found[:-1]]

    def _run(self, arguments: list[str], text: str) -> str:
        timeout = _FIRST_TIMEOUT_S + _TIMEOUT_S_PER_CHARACTER * len(text)
        try:
            done = subprocess.run([self._path, *arguments], input=text.encode(), capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise GanAudioError(f"espeak-ng did not answer within {timeout:.0f} s.", hint="espeak-ng --version") from error
        except OSError as error:
            raise GanAudioError(f"espeak-ng cannot be run: {error.strerror or error}.", hint=INSTALL) from error
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
            raise GanAudioError(f"espeak-ng failed: {reason[-1]}", hint="espeak-ng --voices")
        return done.stdout.decode("utf-8", "replace")


class Letters:
    """The letters themselves, for voices that were trained on text: lower case, one phone per letter."""

    name, version = "text", ""

    def check(self, language: str) -> str:
        """Return the language: every one is known."""
        return language

    def __call__(self, lines: Sequence[str], language: str) -> list[str]:
        """Return the lines in lower case."""
        return [line.replace(PLACEHOLDER, PLACEHOLDER_PHONES).casefold() for line in lines]
