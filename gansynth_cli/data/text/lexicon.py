"""Pronunciations of the user's own: files of lines `word<TAB>phones`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...errors import UsageError
from .clean import clean

MAX_WORDS = 2_000_000


def read_lexicon(*files: str | os.PathLike[str]) -> dict[str, str]:
    """Read lexicon files; an entry of a later file replaces one of an earlier file.

    A line is a word, a tab and its phones in the International Phonetic Alphabet. Empty lines and lines that begin with # are
    skipped. A word in lower case also applies to the word with capitals.

    Raises:
        UsageError: A file cannot be read, is not UTF-8, or has a line of another form.
    """
    words: dict[str, str] = {}
    for file in map(Path, files):
        try:
            with file.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, 1):
                    line = line.rstrip("\r\n")
                    if not line.strip() or line.startswith("#"):
                        continue
                    word, tab, phones = line.partition("\t")
                    phones = phones.split("\t")[0].strip().strip("/")
                    if not tab or not word.strip() or not phones:
                        raise UsageError(f"{file}, line {number}: expected a word, a tab and its phones; found {line[:60]!r}.")
                    words[clean(word.strip())] = clean(phones)
                    if len(words) > MAX_WORDS:
                        raise UsageError(f"{file}: more than {MAX_WORDS} words.")
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}).", hint="save the lexicon as UTF-8") from error
        except OSError as error:
            raise UsageError(f"the lexicon {file} cannot be read: {error.strerror or error}.") from error
    return words


def pronunciation(lexicon: Mapping[str, str], word: str) -> str:
    """Return the phones of a word as written, else in lower case, else ""."""
    return lexicon.get(word) or lexicon.get(word.lower()) or ""
