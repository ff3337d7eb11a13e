"""Pitches as people write them: MIDI numbers, note names, ranges, and file names that hold either. No TensorFlow.

Middle C is 60 and is called C4 here, as in scientific pitch notation; some samplers call it C3 or C5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...errors import UsageError

LOWEST, HIGHEST = 0, 127
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_NOTE = re.compile(r"(?P<step>[A-Ga-g])(?P<sign>##|bb|x|#|b|s|♯|♭)?(?P<octave>-1|[0-9])")
_SIGNS = {"": 0, "#": 1, "♯": 1, "s": 1, "##": 2, "x": 2, "b": -1, "♭": -1, "bb": -2}
_NSYNTH = re.compile(r"[-_](?P<pitch>\d{3})-(?P<velocity>\d{3})$")
_SEPARATORS = re.compile(r"[\s_.,()\[\]]+|-(?!1(?!\d))|(?<![A-Ga-g#bs♯♭])-")  # the minus of C-1 stays
_NUMBER = re.compile(r"(?:midi|note|m|n|p)?(?P<number>\d{2,3})", re.IGNORECASE)


def parse_pitch(text: str) -> int:
    """A MIDI number (60) or a note name (C4, F#3, Bb2, c-1) to the MIDI number.

    Raises:
        UsageError: Neither, or outside 0 to 127.
    """
    text = text.strip()
    match = _NOTE.fullmatch(text)
    if match:
        number = 12 * (int(match["octave"]) + 1) + _STEPS[match["step"].upper()] + _SIGNS[match["sign"] or ""]
    elif re.fullmatch(r"\d{1,3}", text):
        number = int(text)
    else:
        raise UsageError(f"{text!r} is not a pitch; expected a MIDI number such as 60, or a note name such as C4, F#3 or Bb2.")
    if not LOWEST <= number <= HIGHEST:
        raise UsageError(f"The pitch {text} is MIDI number {number}; expected {LOWEST} to {HIGHEST} (C-1 to G9).")
    return number


def parse_pitches(text: str) -> list[int]:
    """ "60", "36-84", "C2-C6" or "36-48,C5" to ascending MIDI numbers, each once.

    Raises:
        UsageError: A part is no pitch and no range, or a range that falls.
    """
    found: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        ends = re.fullmatch(r"(.+?)(?:\s*(?:-|\.\.|–)\s*)((?:[A-Ga-g].*|\d+))", part)
        if ends and not _NOTE.fullmatch(part):
            first, last = parse_pitch(ends[1]), parse_pitch(ends[2])
            if last < first:
                raise UsageError(f"The range of pitches {part} falls; expected the lower one first, such as {ends[2]}-{ends[1]}.")
            found.update(range(first, last + 1))
        else:
            found.add(parse_pitch(part))
    if not found:
        raise UsageError("No pitch is given; expected one such as 60 or C4, or a range such as 36-84.")
    return sorted(found)


def pitch_name(number: int) -> str:
    """60 -> "C4"."""
    return f"{_NAMES[number % 12]}{number // 12 - 1}"


def frequency_hz(pitch: float) -> float:
    """Equal temperament at A4 = 440 Hz; 69 is A4."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def ranges(numbers: Iterable[int]) -> str:
    """[36, 37, 38, 60] -> "36-38, 60"."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def pitch_of_name(stem: str) -> tuple[int, str, str] | None:
    """The pitch that a file name tells.

    Read are, in this order: NSynth's `<instrument>-<pitch>-<velocity>`, whose first dash may be an underscore; the one note name among
    the parts of the name (piano_C4, "Bb2 sax", cello-F#3-loud); the one MIDI number of two or three digits (bass-036, horn_midi60).
    Two different notes or numbers in a name tell nothing.

    Returns:
        The MIDI number, how it was written ("name" or "number"), and what stands before it, which may be the instrument. None if
        the name tells no pitch.
    """
    match = _NSYNTH.search(stem)
    if match and int(match["pitch"]) <= HIGHEST:
        return int(match["pitch"]), "number", stem[: match.start()]
    parts = [part for part in _SEPARATORS.split(stem) if part]
    for kind, pattern in (("name", _NOTE), ("number", _NUMBER)):
        hits = [part for part in parts if pattern.fullmatch(part)]
        values = {_value(part, kind) for part in hits}
        if len(values) != 1:
            if values:
                return None
            continue
        value = values.pop()
        if not LOWEST <= value <= HIGHEST:
            return None
        before = parts[: parts.index(hits[0])]
        return value, kind, "_".join(before)
    return None


def velocity_of_name(stem: str) -> int | None:
    """The MIDI velocity, 1 to 127, that a name in NSynth's form ends with (bell-060-100); None for any other."""
    match = _NSYNTH.search(stem)
    if match is None or int(match["pitch"]) > HIGHEST or not 1 <= int(match["velocity"]) <= HIGHEST:
        return None
    return int(match["velocity"])


def _value(part: str, kind: str) -> int:
    if kind == "name":
        try:
            return parse_pitch(part)
        except UsageError:  # C9 is in, A9 is not
            return -1
    match = _NUMBER.fullmatch(part)
    assert match is not None
    return int(match["number"])
