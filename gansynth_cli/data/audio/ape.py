"""APE tags (version 2, Hydrogenaudio's specification) at the end of MP3, Monkey's Audio, WavPack and Musepack files: texts."""

from __future__ import annotations

import struct
from pathlib import Path

_FOOT = 32
_ID3V1 = 128  # bytes of the older tag that may follow
_MAX_BYTES = 1 << 24
_MAX_TEXT = 1 << 16


def read_ape(path: Path) -> list[tuple[str, str]]:
    """Return (name, text); a text that is a list gives one pair an entry. Empty without a tag."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for end in (size, size - _ID3V1):
            file.seek(max(0, end - _FOOT))
            foot = file.read(_FOOT)
            if end < _FOOT or foot[:8] != b"APETAGEX":
                continue
            length, count = struct.unpack_from("<II", foot, 12)
            if not _FOOT <= length <= min(end, _MAX_BYTES):
                return []
            file.seek(end - length)
            return _items(file.read(length - _FOOT), count)
    return []


def _items(body: bytes, count: int) -> list[tuple[str, str]]:
    found, place = [], 0
    for _ in range(count):
        if place + 8 > len(body):
            break
        length, flags = struct.unpack_from("<II", body, place)
        name, zero, _ = body[place + 8 : place + 8 + 256].partition(b"\0")
        start = place + 9 + len(name)
        if not zero or start + length > len(body):
            break
        if not flags & 6 and length < _MAX_TEXT:  # 2: binary, 4: a link
            found += [(name.decode("latin-1"), text) for text in body[start : start + length].decode("utf-8", "replace").split("\0")]
        place = start + length
    return found
