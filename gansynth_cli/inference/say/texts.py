"""Texts to be read aloud, out of files: tables (CSV, JSON lines) and subtitles (SubRip)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import UsageError

TABLES, SUBTITLES, PLAIN = (".csv", ".jsonl"), (".srt",), (".txt", ".ssml", ".xml", ".md")
COLUMNS = ("voice", "language", "emotion", "speed", "pitch", "energy")  # of a row, in place of the options
_NUMBERS = ("speed", "pitch", "energy")
_TIME = r"(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})"
_CUE = re.compile(rf"{_TIME}\s*-->\s*{_TIME}.*")
_TAG = re.compile(r"</?[bius]\b[^>]*>|</?font[^>]*>|\{\\[^}]*\}", re.IGNORECASE)
MAX_FIELD = 1 << 24  # characters


@dataclass(frozen=True)
class Row:
    """A line of a table: its text, the name of its recording ("": its number), and the settings that replace the options."""

    line: int
    text: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cue:
    """A subtitle: seconds from the start of the recording, and its text."""

    start: float
    end: float
    text: str


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a table.

    CSV with a header has a column `text` and may have `file` (or `path`, `id`) and any of `COLUMNS`. Without a header it is LJSpeech's
    and Piper's form: `file|text`, or `file|speaker|text`. JSON lines have objects with the same keys.

    Raises:
        UsageError: Not UTF-8, no text in a row, a number that is none, an unknown form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from _json_rows(path, lines) if path.suffix.lower() == ".jsonl" else _csv_rows(path, lines)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.", hint="save the table as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except csv.Error as error:
        raise UsageError(f"{path} is no table: {error}.") from error


def _json_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: no JSON object: {error}.") from error
        if not isinstance(value, dict):
            raise UsageError(f"{path}, line {number}: expected an object with the key text; found {line.strip()[:60]!r}.")
        yield _row(path, number, value)


def _csv_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD)
    first = next(lines, "")
    delimiter = "|" if "|" in first else ";" if first.count(";") > first.count(",") else ","
    header = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if "text" in header:
        reader = csv.DictReader(lines, fieldnames=header, delimiter=delimiter)
        yield from (_row(path, reader.line_num + 1, row) for row in reader)
        return
    if delimiter != "|":
        raise UsageError(
            f"{path} has the columns {', '.join(header) or '(none)'}; expected text, and maybe file, {', '.join(COLUMNS)}.",
            hint="or lines of the form file|text, or file|voice|text",
        )
    for number, line in enumerate(chain([first], lines), 1):
        if line.strip():
            name, *rest = line.rstrip("\r\n").split("|")
            yield _row(path, number, {"file": name, "text": rest[-1] if rest else "", "voice": rest[0] if len(rest) > 1 else ""})


def _row(path: Path, number: int, value: Mapping[str, Any]) -> Row:
    text = value.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{path}, line {number}: there is no text.")
    name = next((str(value[key]) for key in ("file", "path", "id") if value.get(key)), "")
    settings: dict[str, Any] = {}
    for key in COLUMNS:
        given = value.get(key)
        if given in (None, ""):
            continue
        try:
            settings[key] = float(given) if key in _NUMBERS else str(given).strip()
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {key} is {given!r}; expected a number.") from error
    return Row(number, text, name.strip(), settings)


def read_subtitles(source: Path | str) -> list[Cue]:
    """Return the subtitles of a SubRip file, or of its content, in the order of their starts; formatting tags are left out.

    Raises:
        UsageError: Not UTF-8, no subtitle, or one that ends before it begins.
    """
    try:
        text = source if isinstance(source, str) else source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the subtitles are not UTF-8: {error.reason} at byte {error.start}.", hint="save the subtitles as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(f"the subtitles cannot be read: {error.strerror or error}.") from error
    cues: list[Cue] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip().split("\n")
        place = next((i for i, line in enumerate(lines[:2]) if _CUE.match(line.strip())), None)
        if place is None:
            if block.strip():
                raise UsageError(f"{lines[0][:60]!r} is no subtitle; expected a number, a line 00:00:01,000 --> 00:00:02,500, and text.")
            continue
        numbers = [int(part) for part in _CUE.match(lines[place].strip()).groups()]  # type: ignore[union-attr]
        start, end = (60 * (60 * h + m) + s + ms / 1000 for h, m, s, ms in (numbers[:4], numbers[4:]))
        if end < start:
            raise UsageError(f"a subtitle ends before it begins: {lines[place].strip()}.")
        cues.append(Cue(start, end, _TAG.sub("", " ".join(lines[place + 1 :])).strip()))
    if not cues:
        raise UsageError("the file holds no subtitle.")
    return sorted(cues, key=lambda cue: cue.start)
