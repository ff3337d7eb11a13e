"""Sentences of a text that comes in pieces: bounded memory, linear time, and no break after abbreviations, initials or decimals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .languages import Language, language_for
from .tokens import FIRST_GIVEN, GIVEN, Break, End, Event, Given, Sentence, Style

MAX_CHARS = 400  # of a sentence; a longer one is cut at a pause mark, else at a space, else anywhere
_LOOKAHEAD = 64  # characters after a candidate that decide on it
_MAX_GIVEN = 0xFFF0
_GIVEN = re.compile(GIVEN)
_PARAGRAPH = r"\n[ \t\u00a0]*\n\s*"
_BOUNDARY = re.compile(rf"(?P<marks>[.!?…]+)[\"')\]]*(?P<space>\s+|\Z)|(?P<paragraph>{_PARAGRAPH})")
_WORD_START = " \n\t\u00a0\"'(["
_CUTS = (re.compile(r"[;:—–](?=\s)"), re.compile(r",(?=\s)"), re.compile(r"\s"))
_ACRONYM = re.compile(r"(?:\w\.)+\w")


def split_sentences(events: Iterable[Event], language: str) -> Iterator[Sentence]:
    """Yield the sentences of marked text.

    A sentence ends at . ! ? or … before a space, if what follows does not begin in lower case and the dot does not belong to an
    abbreviation, an initial, a list number or (German) an ordinal number; at an empty line; and where a pause or another style was
    asked for. A break that is not found costs little, because the mark itself stays in the phones. Sentences longer than `MAX_CHARS`
    come in pieces.

    Args:
        events: Text, given words, pauses and styles in order.
        language: Code of the language whose abbreviations count until a style names another.
    """
    splitter = _Splitter(language_for(language))
    for event in events:
        if isinstance(event, str):
            yield from splitter.feed(event)
        elif isinstance(event, Given):
            splitter.give(event)
        elif isinstance(event, Break):
            yield from splitter.pause(event)
        else:
            yield from splitter.flush("clause")
            splitter.style = event
            splitter.language = language_for(event.language or language)
    yield from splitter.flush("paragraph")


class _Splitter:
    def __init__(self, language: Language):
        self.language = language
        self.style = Style()
        self._buffer = ""
        self._searched = 0
        self._given: dict[str, Given] = {}
        self._next_given = 0
        self._last: Sentence | None = None  # waits: a pause may follow that belongs to it

    def feed(self, text: str) -> Iterator[Sentence]:
        self._buffer += text
        yield from self._take(at_end=False)

    def give(self, given: Given) -> None:
        key = chr(FIRST_GIVEN + self._next_given)
        self._next_given = (self._next_given + 1) % _MAX_GIVEN
        self._given[key] = given
        self._buffer += key

    def flush(self, end: End) -> Iterator[Sentence]:
        yield from self._take(at_end=True, end=end)
        if self._last is not None:
            yield self._last
            self._last = None

    def pause(self, pause: Break) -> Iterator[Sentence]:
        timed = pause.seconds is not None
        yield from self._take(at_end=True, end="clause" if timed else "paragraph" if pause.paragraph else "sentence")
        if timed:
            before = self._last or Sentence((), "clause", self.style)
            yield replace(before, pause=(before.pause or 0.0) + (pause.seconds or 0.0))
            self._last = None
        elif pause.paragraph and self._last is not None and self._last.pause is None:
            self._last = replace(self._last, end="paragraph")

    def _take(self, at_end: bool, end: End = "sentence") -> Iterator[Sentence]:
        start = 0
        while True:
            cut, next_start, kind = self._next_cut(start, at_end, end)
            if cut < 0:
                break
            yield from self._emit(self._buffer[start:cut], kind)
            start = next_start
            self._searched = max(self._searched, start)
        self._buffer = self._buffer[start:]
        self._searched = max(0, self._searched - start)

    def _next_cut(self, start: int, at_end: bool, end: End) -> tuple[int, int, End]:
        """Return where the sentence that begins at `start` ends, where the next one begins, and what ends it; -1 if more text is needed."""
        buffer = self._buffer
        position = max(start, self._searched)
        while match := _BOUNDARY.search(buffer, position, start + MAX_CHARS + _LOOKAHEAD):
            if match.start() - start > MAX_CHARS:
                break
            if not at_end and len(buffer) - match.end() < _LOOKAHEAD and not self._decided(match):
                return -1, 0, end
            if match["paragraph"] or self._ends(start, match):
                self._searched = match.end()
                paragraph = match["paragraph"] or re.search(_PARAGRAPH, match["space"])
                return match.end() - len(match["space"] or match["paragraph"] or ""), match.end(), "paragraph" if paragraph else "sentence"
            position = self._searched = match.end()
        if len(buffer) - start > MAX_CHARS + (0 if at_end else _LOOKAHEAD):
            cut = _forced_cut(buffer, start)
            return cut, cut, "clause"
        if at_end and start < len(buffer):
            return len(buffer), len(buffer), end
        return -1, 0, end

    def _decided(self, match: re.Match[str]) -> bool:
        """Whether text that is still to come can no longer change the verdict on a candidate: something visible follows it."""
        return match.end() < len(self._buffer) and not match["paragraph"]

    def _ends(self, start: int, match: re.Match[str]) -> bool:
        following = self._buffer[match.end() : match.end() + 1]
        if not following or re.search(_PARAGRAPH, match["space"]):
            return True
        if following.islower():
            return False
        if match["marks"] != ".":
            return True
        begin = max(self._buffer.rfind(mark, start, match.start()) for mark in _WORD_START) + 1 or start
        alone = not self._buffer[start:begin].strip()
        word = self._buffer[begin : match.start()]
        if following.isdigit() and word.lower() in self.language.counted:
            return False
        return not self._abbreviation(word, alone)

    def _abbreviation(self, word: str, alone: bool) -> bool:
        """Whether the dot after a word belongs to it; `alone`: the word begins the sentence, as the number of a list does."""
        lower = word.lower()
        if lower in self.language.dotted or _ACRONYM.fullmatch(word):
            return True
        if word.isdigit():
            return alone or (self.language.ordinal_dot and len(word) <= 2)
        return len(word) == 1 and word.isalpha() and not (word == "I" and self.language.code.startswith("en"))

    def _emit(self, text: str, end: End) -> Iterator[Sentence]:
        parts: list[str | Given] = []
        for part in _GIVEN.split(re.sub(r"[ \t\n]+", " ", text)):
            parts.append(part)
        keys = _GIVEN.findall(text)
        woven = [parts[0]] + [item for key, part in zip(keys, parts[1:], strict=True) for item in (self._given.pop(key), part)]
        kept = tuple(part for part in woven if part != "")
        if not any(not isinstance(part, str) or part.strip() for part in kept):
            if end == "paragraph" and self._last is not None and self._last.pause is None:
                self._last = replace(self._last, end="paragraph")
            return
        if self._last is not None:
            yield self._last
        self._last = Sentence(kept, end, self.style)


def _forced_cut(buffer: str, start: int) -> int:
    """Return the place at which a sentence without an end is cut: the last pause mark or space of its second half, else its limit."""
    limit = start + MAX_CHARS
    for pattern in _CUTS:
        found = [match.end() for match in pattern.finditer(buffer, start + MAX_CHARS // 2, limit)]
        if found:
            return found[-1]
    return limit
