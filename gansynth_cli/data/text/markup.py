"""Marks in plain text: [[phones]], [word](/phones/), [pause:1.5s]; unknown marks and tags are left out, never spoken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .clean import clean
from .report import TextReport
from .tokens import Break, Event, Given

MAX_PAUSE_S = 60.0
_MAX_MARK = 2000  # characters of one mark; a bracket that is still open after so many is text
_MARK = re.compile(
    r"\[\[(?P<phones>[^\[\]\n]{1,2000})\]\]"
    r"|\[(?P<word>[^\[\]\n]{1,200})\]\(/(?P<said>[^/\n]{1,400})/\)"
    r"|\[(?P<link>[^\[\]\n]{1,200})\]\([^()\s]{1,500}\)"
    r"|\[pause:\s*(?P<seconds>\d{1,6}(?:[.,]\d{1,6})?)\s*(?P<unit>ms|s)?\s*\]"
    r"|(?P<unknown>\[[A-Za-z][\w-]{0,30}:[^\[\]\n]{0,200}\])"
    r"|(?P<tag></?[A-Za-z][^<>]{0,500}>|<[!?][^<>]{0,500}>)"
)
_OPEN = re.compile(r"\[{1,2}[^\[\]]*(?:\](?:\((?:/[^/\n]*/?|[^()\s]*)?)?)?$|<[A-Za-z/!?][^<>]*$|<$")


def read_markup(chunks: Iterable[str], report: TextReport) -> Iterator[Event]:
    """Split text that comes in pieces into text, words with a given reading, and pauses.

    Marks: `[[həlˈoʊ]]` (phones, as Piper has them), `[tomato](/təmˈɑːtoʊ/)` (a word and its phones, as Kokoro has them),
    `[pause:1.5s]` or `[pause:300ms]` (at most `MAX_PAUSE_S`). Of a link `[text](address)` the text is kept. Any other `[name:value]`
    and anything of the form of an XML tag is left out and counted. Memory holds one piece and at most one unfinished mark.

    Args:
        chunks: The text in pieces of any length, as they come from a file.
        report: Counts what was left out.
    """
    held = ""
    for chunk in chunks:
        text = held + clean(chunk, report)
        open_mark = _OPEN.search(text, max(0, len(text) - _MAX_MARK))
        cut = open_mark.start() if open_mark else len(text)
        held = text[cut:]
        yield from _events(text[:cut], report)
    yield from _events(held, report)


def _events(text: str, report: TextReport) -> Iterator[Event]:
    position = 0
    for mark in _MARK.finditer(text):
        if mark.start() > position:
            yield text[position : mark.start()]
        position = mark.end()
        event = _event(mark, report)
        if event is not None:
            yield event
    if position < len(text):
        yield text[position:]


def _event(mark: re.Match[str], report: TextReport) -> Event | None:
    if mark["phones"]:
        return Given(mark["phones"].strip(), phones=mark["phones"].strip())
    if mark["said"]:
        return Given(mark["word"].strip(), phones=mark["said"].strip())
    if mark["link"]:
        return mark["link"]
    if mark["seconds"]:
        seconds = float(mark["seconds"].replace(",", ".")) / (1000 if mark["unit"] == "ms" else 1)
        return Break(bounded_pause(seconds, report))
    report.count(report.tags, mark[0])
    return " "


def bounded_pause(seconds: float, report: TextReport) -> float:
    """Return a pause of at most `MAX_PAUSE_S`, with a note where it was longer."""
    if seconds > MAX_PAUSE_S:
        report.note(f"a pause of {seconds:g} s was shortened to {MAX_PAUSE_S:g} s")
        return MAX_PAUSE_S
    return max(0.0, seconds)
