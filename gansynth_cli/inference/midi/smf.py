"""Parse Standard MIDI Files as players do: what can be read is read, the rest is skipped and named.

The standard (RP-001) asks readers to skip chunks and meta events that they do not know; files of karaoke programs, old sequencers and cut
downloads break its other rules too. A parser that refuses such a file whole loses a song that every player plays.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_MAX_TICKS = 1 << 40


class Event(NamedTuple):
    """An event of a track.

    Attributes:
        tick: From the start of the track.
        status: 0x80 to 0xEF with the channel in the lower bits, 0x51 for a tempo, 0x2F for the end.
        first, second: Data bytes; for a tempo `first` is microseconds per beat.
    """

    tick: int
    status: int
    first: int
    second: int = 0


@dataclass
class MidiFile:
    """The content of a file.

    Attributes:
        format: 0, 1 or 2.
        division: Ticks per beat, or a time code as the standard writes it (negative).
        tracks: The events of each track, in order.
        warnings: Sentences about what could not be read.
    """

    format: int = 1
    division: int = 480
    tracks: list[list[Event]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse(content: bytes) -> MidiFile:
    """Read a file.

    Raises:
        ValueError: It is no MIDI file.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"RMID":  # a MIDI file in a RIFF form
        place = content.find(b"MThd")
        content = content[place:] if place >= 0 else b""
    place = content.find(b"MThd", 0, 4096)  # some programs write a header of their own in front of it
    if place < 0:
        raise ValueError("it does not begin with MThd")
    found = MidiFile()
    if place:
        found.warnings.append(f"{place} bytes before its header are skipped.")
    length = int.from_bytes(content[place + 4 : place + 8], "big")
    head = content[place + 8 : place + 14]
    if len(head) < 6:
        raise ValueError("it ends inside its header")
    found.format, tracks, found.division = struct.unpack(">HHh", head)
    if found.division == 0:
        found.warnings.append("its header gives no time division; 480 ticks a beat are taken.")
        found.division = 480
    _read_chunks(content, place + 8 + max(6, length), found)
    if len(found.tracks) < tracks:
        found.warnings.append(f"{tracks - len(found.tracks)} of {tracks} tracks are missing.")
    return found


def _read_chunks(content: bytes, place: int, found: MidiFile) -> None:
    skipped: list[str] = []
    while place + 8 <= len(content):
        name, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "big")
        body = content[place + 8 : place + 8 + length]
        if name == b"MTrk":
            number = len(found.tracks) + 1
            if len(body) < length:
                found.warnings.append(f"track {number} is cut: {len(body)} of {length} bytes are there.")
            end, following = place + 8 + length, content.find(b"MTrk", place + 8)
            swallows = 0 <= following < end  # a length that is too large would take the next track for events
            trusted = not swallows and (end >= len(content) or _is_name(content[end : end + 4]))
            bound = end if trusted else following if following >= 0 else len(content)
            events, used, why = _read_track(content[place + 8 : bound])
            found.tracks.append(events)
            if why and len(body) == length:
                found.warnings.append(f"track {number} ends after {len(events) - 1} events: {why}.")
            place = end if trusted else following if swallows else place + 8 + used
        elif _is_name(name):
            skipped.append(name.decode("ascii").strip())
            place += 8 + length
        else:
            following = content.find(b"MTrk", place + 1)
            found.warnings.append(f"{(following if following >= 0 else len(content)) - place} bytes between its tracks are skipped.")
            if following < 0:
                break
            place = following
    if skipped:
        found.warnings.append(f"chunks that are no tracks are skipped: {', '.join(sorted(set(skipped)))}.")


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


class _Ends(Exception):
    """The bytes end within an event, or are none; the message says why."""


class _Bytes:
    def __init__(self, content: bytes):
        self.content, self.place = content, 0

    def next(self) -> int:
        if self.place >= len(self.content):
            raise _Ends("its bytes end")
        self.place += 1
        return self.content[self.place - 1]

    def take(self, number: int) -> bytes:
        taken = self.content[self.place : self.place + number]
        if len(taken) < number:
            raise _Ends("its bytes end")
        self.place += number
        return taken

    def number(self) -> int:
        """A number of variable length; four bytes at most."""
        value = 0
        for _ in range(4):
            byte = self.next()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise _Ends("a number has more than four bytes")


def _read_track(content: bytes) -> tuple[list[Event], int, str]:
    """The events up to the end of track, the bytes that were read, and why it ends earlier ("" if it does not)."""
    stream = _Bytes(content)
    events: list[Event] = []
    tick, running = 0, 0
    try:
        while True:
            tick += stream.number()
            if tick > _MAX_TICKS:
                raise _Ends("its times are beyond reason")
            status = stream.next()
            if status == 0xFF:
                kind = stream.next()
                body = stream.take(stream.number())
                if kind == 0x2F:
                    events.append(Event(tick, 0x2F, 0))
                    return events, stream.place, ""
                if kind == 0x51 and len(body) >= 3 and (tempo := int.from_bytes(body[:3], "big")):
                    events.append(Event(tick, 0x51, tempo))
            elif status in (0xF0, 0xF7):
                stream.take(stream.number())
            elif status >= 0xF0:  # not allowed in files, but of known length
                stream.take(_SYSTEM_BYTES.get(status, 0))
            else:
                first = stream.next() if status >= 0x80 else status
                running = status if status >= 0x80 else running
                if not running:
                    raise _Ends("an event has no status")
                second = stream.next() if _DATA_BYTES[running & 0xF0] == 2 else 0
                events.append(Event(tick, running, min(first, 127), min(second, 127)))  # a byte beyond 127 is taken for 127
    except _Ends as end:
        events.append(Event(tick, 0x2F, 0))
        return events, stream.place, str(end)
