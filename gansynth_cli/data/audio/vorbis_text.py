"""Vorbis comments that are not UTF-8, as the standard asks: read as Windows-1252 instead of losing letters."""

from __future__ import annotations

import struct
from pathlib import Path

_MAX_BYTES = 1 << 24
_UNKNOWN = "\ufffd"


def repaired(path: Path, comments: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return comments with those read again that a reader could not decode.

    Args:
        path: A FLAC or Ogg file.
        comments: (name, text) in the order of the file, letters that are no UTF-8 replaced by U+FFFD.
    """
    if not any(_UNKNOWN in text for _, text in comments):
        return comments
    entries = _entries(_block(path))
    if len(entries) != len(comments):
        return comments
    found = []
    for (name, text), raw in zip(comments, entries, strict=True):
        if _UNKNOWN in text:
            text = raw.partition(b"=")[2].decode("cp1252", "replace")
        found.append((name, text))
    return found


def _block(path: Path) -> bytes:
    """The comment block, from its vendor string on."""
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES)
    if content[:4] == b"fLaC":
        place = 4
        while place + 4 <= len(content):
            kind, length = content[place] & 0x7F, int.from_bytes(content[place + 1 : place + 4], "big")
            if kind == 4:
                return content[place + 4 : place + 4 + length]
            if content[place] & 0x80:
                break
            place += 4 + length
        return b""
    packet = _second_packet(content)
    return packet[7:] if packet[1:7] == b"vorbis" else packet[8:]


def _second_packet(content: bytes) -> bytes:
    """The second packet of an Ogg stream: its comments."""
    place, number, parts = 0, 0, []
    while content[place : place + 4] == b"OggS" and place + 27 <= len(content):
        table = content[place + 27 : place + 27 + content[place + 26]]
        at = place + 27 + len(table)
        for size in table:
            if number == 1:
                parts.append(content[at : at + size])
            at += size
            number += size < 255
            if number == 2:
                return b"".join(parts)
        place = at
    return b"".join(parts)


def _entries(block: bytes) -> list[bytes]:
    try:
        place = 4 + struct.unpack_from("<I", block)[0]
        count = struct.unpack_from("<I", block, place)[0]
        place += 4
        found = []
        for _ in range(count):
            length = struct.unpack_from("<I", block, place)[0]
            found.append(block[place + 4 : place + 4 + length])
            place += 4 + length
    except struct.error:
        return []
    return found
