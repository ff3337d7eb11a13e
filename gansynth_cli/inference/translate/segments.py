"""Segments of speech: the record `segments.jsonl`, and subtitles (SubRip) that are written and read between the stages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ... import files
from ...errors import GanAudioError
from ..say.texts import read_subtitles


@dataclass(frozen=True)
class Segment:
    """A stretch of speech.

    Attributes:
        start, end: Seconds from the start of the recording.
        text: What is said.
        language: Its language.
        translation: The same in the target language, "" before it is translated.
        speaker: Who says it, "" where nobody knows.
    """

    start: float
    end: float
    text: str
    language: str = ""
    translation: str = ""
    speaker: str = ""


def read_segments(text: str, language: str, what: str) -> list[Segment]:
    """Read what a recogniser printed: JSON lines with start, end and text, or SubRip.

    Raises:
        GanAudioError: Neither of them.
    """
    body = text.lstrip("\ufeff \r\n\t")
    if not body:
        return []
    try:
        if body[0] == "{":
            found = [json.loads(line) for line in body.splitlines() if line.strip()]
            segments = [Segment(float(one["start"]), float(one["end"]), str(one["text"]).strip(), language) for one in found]
        else:
            segments = [Segment(cue.start, cue.end, cue.text, language) for cue in read_subtitles(body)]
    except (ValueError, KeyError, TypeError, GanAudioError) as error:
        raise GanAudioError(
            f"{what} printed no segments: {body[:80]!r}.",
            hint='expected SubRip, or lines such as {"start": 0.5, "end": 2.1, "text": "Hello."}',
        ) from error
    return [one for one in sorted(segments, key=lambda one: one.start) if one.text]


def write_subtitles(path: Path, segments: Iterable[Segment], translated: bool) -> None:
    """Write segments as SubRip: their texts, or their translations."""
    blocks = [
        f"{number}\n{clock(one.start)} --> {clock(one.end)}\n{one.translation if translated else one.text}\n"
        for number, one in enumerate(segments, 1)
    ]
    files.write_text(path, "\n".join(blocks))


def write_record(path: Path, segments: Sequence[Segment]) -> None:
    """Write segments as JSON lines."""
    files.write_text(path, "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in segments))


def clock(seconds: float) -> str:
    """Return a time as SubRip writes it."""
    milliseconds = round(1000 * max(0.0, seconds))
    return f"{milliseconds // 3600000:02d}:{milliseconds // 60000 % 60:02d}:{milliseconds // 1000 % 60:02d},{milliseconds % 1000:03d}"
