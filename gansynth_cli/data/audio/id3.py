"""ID3v2 tags (id3.org, versions 2.2 to 2.4): frames are kept as bytes, so that what is not understood is copied as it stands.

Frames of version 2.2 become those of 2.3. Compressed frames are unpacked; encrypted ones, which nobody can read, are left out.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .picture import Picture

TEXT_FRAMES = {
    "TITLE": "TIT2",
    "ARTIST": "TPE1",
    "ALBUM": "TALB",
    "ALBUMARTIST": "TPE2",
    "COMPOSER": "TCOM",
    "DISCNUMBER": "TPOS",
    "TRACKNUMBER": "TRCK",
    "DATE": "TDRC",
    "GENRE": "TCON",
    "COPYRIGHT": "TCOP",
    "ISRC": "TSRC",
    "BPM": "TBPM",
    "PUBLISHER": "TPUB",
    "LYRICIST": "TEXT",
    "CONDUCTOR": "TPE3",
    "LANGUAGE": "TLAN",
    "ENCODED-BY": "TENC",
}
_NAMES = {frame: name for name, frame in TEXT_FRAMES.items()}
_SHORT = {  # version 2.2's names
    "TT1": "TIT1", "TT2": "TIT2", "TT3": "TIT3", "TP1": "TPE1", "TP2": "TPE2", "TP3": "TPE3", "TP4": "TPE4", "TAL": "TALB", "TRK": "TRCK",
    "TPA": "TPOS", "TYE": "TYER", "TDA": "TDAT", "TIM": "TIME", "TCO": "TCON", "TCM": "TCOM", "TXT": "TEXT", "TLA": "TLAN", "TBP": "TBPM",
    "TCR": "TCOP", "TRC": "TSRC", "TEN": "TENC", "TSS": "TSSE", "TPB": "TPUB", "TKE": "TKEY", "TXX": "TXXX", "COM": "COMM", "ULT": "USLT",
    "UFI": "UFID", "WXX": "WXXX", "POP": "POPM", "CNT": "PCNT", "GEO": "GEOB", "PIC": "APIC",
}  # fmt: skip
_HEAD = 10
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40
_CODECS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_MAX_BYTES = 1 << 26  # of a tag, and of a frame that is unpacked; a cover has some MiB


class Frame(NamedTuple):
    """One frame: four letters, the two bytes of flags, and the body."""

    name: str
    flags: bytes
    body: bytes


@dataclass
class Id3:
    """The frames of a tag.

    Attributes:
        version: 3 or 4.
        frames: In the order of the file.
    """

    version: int = 3
    frames: list[Frame] = field(default_factory=list)

    def fields(self) -> list[tuple[str, str]]:
        """Return (Vorbis name in capitals, text) of the frames that have one."""
        found: list[tuple[str, str]] = []
        for frame in self.frames:
            codec, rest = _CODECS[min(frame.body[0], 3)] if frame.body else "latin-1", frame.body[1:]
            if frame.name in _NAMES:
                found += [(_NAMES[frame.name], text) for text in _texts(rest, codec)]
            elif frame.name == "TXXX":
                description, *values = [*_texts(rest, codec), ""]
                found += [(description.upper(), text) for text in values[: max(1, len(values) - 1)] if description]
            elif frame.name in ("COMM", "USLT"):
                about, said = _cut(rest[3:], codec)
                if frame.name == "USLT" or not _decoded(about, codec):
                    found.append(("LYRICS" if frame.name == "USLT" else "COMMENT", _decoded(said, codec)))
        return found + self._date()

    def _date(self) -> list[tuple[str, str]]:
        """Version 2.3 writes the year and the day apart."""
        found = {frame.name: _texts(frame.body[1:], _CODECS[min(frame.body[0], 3)]) for frame in self.frames if frame.body}
        if "TYER" not in found or "TDRC" in found:
            return []
        day = "".join(found.get("TDAT", []))
        year = "".join(found["TYER"])
        return [("DATE", f"{year}-{day[2:]}-{day[:2]}" if len(day) == 4 and day.isdigit() else year)]

    def pictures(self) -> list[Picture]:
        """Return the pictures."""
        found = []
        for frame in self.frames:
            if frame.name == "APIC" and frame.body:
                codec = _CODECS[min(frame.body[0], 3)]
                mime, _, rest = frame.body[1:].partition(b"\0")
                description, data = _cut(rest[1:], codec)
                found.append(Picture(mime.decode("latin-1"), rest[0] if rest else 3, _decoded(description, codec), data))
        return found

    def with_field(self, name: str, texts: list[str]) -> Id3:
        """Return the tag with other texts under a Vorbis name."""
        codec, letters = _codec(texts, self.version), TEXT_FRAMES.get(name, "")
        start, zero = bytes([_CODECS.index(codec)]), "\0".encode("utf-16-le" if codec == "utf-16" else codec)
        if name in ("COMMENT", "LYRICS"):
            kind = "COMM" if name == "COMMENT" else "USLT"
            kept = [frame for frame in self.frames if not _is_plain(frame, kind)]
            empty = _encoded("", codec)
            return Id3(self.version, [*kept, *(Frame(kind, b"\0\0", start + b"eng" + empty + zero + _encoded(t, codec)) for t in texts)])
        if letters == "TDRC" and self.version == 3:
            return self._with_year(texts[-1])
        separator = "\0" if self.version == 4 else "/"  # version 2.3 has no list
        if letters:
            kept = [frame for frame in self.frames if frame.name != letters]
            return Id3(self.version, [*kept, Frame(letters, b"\0\0", start + _encoded(separator.join(texts), codec))])
        kept = [frame for frame in self.frames if not _is_named(frame, name)]
        body = start + _encoded(name, codec) + zero + _encoded(separator.join(texts), codec)
        return Id3(self.version, [*kept, Frame("TXXX", b"\0\0", body)])

    def _with_year(self, date: str) -> Id3:
        kept = [frame for frame in self.frames if frame.name not in ("TYER", "TDAT", "TDRC")]
        kept.append(Frame("TYER", b"\0\0", b"\0" + date[:4].encode("ascii", "replace")))
        if len(date) >= 10 and (date[5:7] + date[8:10]).isdigit():
            kept.append(Frame("TDAT", b"\0\0", b"\0" + (date[8:10] + date[5:7]).encode("ascii")))
        return Id3(3, kept)

    def with_pictures(self, pictures: list[Picture]) -> Id3:
        """Return the tag with these pictures beside its own."""
        frames = []
        for number, picture in enumerate(pictures):
            description = picture.description or (str(number) if number else "")  # two of one name would replace each other
            head = b"\1" + picture.mime.encode("ascii", "replace") + b"\0" + bytes([picture.kind & 255])
            frames.append(Frame("APIC", b"\0\0", head + _encoded(description, "utf-16") + b"\0\0" + picture.data))
        return Id3(self.version, [*self.frames, *frames])

    def to_bytes(self) -> bytes:
        """Return the whole tag; b"" without frames."""
        if not self.frames:
            return b""
        sized = (lambda n: _synchsafe(n)) if self.version == 4 else (lambda n: struct.pack(">I", n))
        body = b"".join(frame.name.encode("latin-1") + sized(len(frame.body)) + frame.flags + frame.body for frame in self.frames)
        return b"ID3" + bytes([self.version, 0, 0]) + _synchsafe(len(body)) + body


def read_id3(path: Path) -> Id3 | None:
    """Return the tag at the start of a file; None without one."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[:3] != b"ID3":
            return None
        return parse_id3(head + file.read(min(tag_length(head), _MAX_BYTES)))


def tag_length(head: bytes) -> int:
    """Return the bytes of a tag, its header and footer included; 0 where none begins."""
    if len(head) < _HEAD or head[:3] != b"ID3":
        return 0
    return _HEAD + _plain(head[6:10]) + (_HEAD if head[5] & 0x10 else 0)


def parse_id3(content: bytes) -> Id3 | None:
    """Return the tag in bytes that begin with one; None where they do not. A tag that is cut or damaged gives the frames before."""
    if content[:3] != b"ID3" or len(content) < _HEAD or content[3] not in (2, 3, 4):
        return None
    version, flags = content[3], content[5]
    body = content[_HEAD : _HEAD + _plain(content[6:10])]
    if flags & _UNSYNCHRONISED and version < 4:
        body = body.replace(b"\xff\0", b"\xff")
    if flags & _EXTENDED and version > 2 and len(body) >= 4:
        body = body[_plain(body[:4]) if version == 4 else 4 + struct.unpack(">I", body[:4])[0] :]
    return Id3(max(version, 3), list(_frames(body, version)))


def _frames(body: bytes, version: int) -> list[Frame]:
    letters, head = (3, 6) if version == 2 else (4, 10)
    synchsafe = version == 4 and _has_synchsafe_sizes(body)
    found, place = [], 0
    while place + head <= len(body) and _is_name(body[place : place + letters]):
        name = body[place : place + letters].decode("ascii")
        stated = body[place + letters : place + 2 * letters]
        size = _plain(stated) if synchsafe else int.from_bytes(stated, "big")
        frame = body[place + head : place + head + size]
        place += head + size
        if len(frame) < size:
            break
        if version == 2:
            found += _of_version_2(name, frame)
        elif (opened := _opened(frame, body[place - size - 2 : place - size], version)) is not None:
            found.append(Frame(name, *opened))
    return found


def _opened(frame: bytes, flags: bytes, version: int) -> tuple[bytes, bytes] | None:
    """(flags, body) of a frame without compression and the like; None if it is encrypted or damaged."""
    form = flags[1]
    if version == 3:
        packed, encrypted, grouped, split, counted = form & 0x80, form & 0x40, form & 0x20, 0, form & 0x80
    else:
        packed, encrypted, grouped, split, counted = form & 8, form & 4, form & 0x40, form & 2, form & 1
    if encrypted:
        return None
    frame = (
        frame[(1 if grouped else 0) + (4 if counted else 0) :] if version == 4 else frame[(4 if counted else 0) + (1 if grouped else 0) :]
    )
    if split:
        frame = frame.replace(b"\xff\0", b"\xff")
    if packed:
        try:
            frame = zlib.decompressobj().decompress(frame, _MAX_BYTES)
        except zlib.error:
            return None
    return bytes([flags[0], 0]), frame


def _of_version_2(name: str, body: bytes) -> list[Frame]:
    if name not in _SHORT or not body:
        return []
    if name == "PIC":  # three letters in the place of a media type
        mime = {b"PNG": b"image/png", b"JPG": b"image/jpeg"}.get(body[1:4], b"image/")
        body = body[:1] + mime + b"\0" + body[4:]
    return [Frame(_SHORT[name], b"\0\0", body)]


def _has_synchsafe_sizes(body: bytes) -> bool:
    """Whether sizes have seven bits a byte, as version 2.4 says; an old iTunes wrote eight. Its next frame tells."""
    place = 0
    while place + 10 <= len(body) and _is_name(body[place : place + 4]):
        stated = body[place + 4 : place + 8]
        if any(byte & 0x80 for byte in stated):
            return False
        ends = [place + 10 + size for size in (_plain(stated), int.from_bytes(stated, "big"))]
        if ends[0] != ends[1]:
            after = [end == len(body) or _is_name(body[end : end + 4]) or body[end : end + 4] == bytes(4) for end in ends]
            return after[0] or not after[1]
        place = ends[0]
    return True


def _is_name(letters: bytes) -> bool:
    return len(letters) > 2 and all(65 <= byte <= 90 or 48 <= byte <= 57 for byte in letters)


def _is_plain(frame: Frame, kind: str) -> bool:
    """Whether a frame is a comment (or lyrics) without a description."""
    if frame.name != kind or len(frame.body) < 4:
        return False
    codec = _CODECS[min(frame.body[0], 3)]
    return kind == "USLT" or not _decoded(_cut(frame.body[4:], codec)[0], codec)


def _is_named(frame: Frame, name: str) -> bool:
    return frame.name == "TXXX" and bool(frame.body) and _texts(frame.body[1:], _CODECS[min(frame.body[0], 3)])[:1] == [name]


def _codec(texts: list[str], version: int) -> str:
    """Latin-1 for ASCII, which all players read; else UTF-16, or version 2.4's UTF-8."""
    return "latin-1" if all(text.isascii() for text in texts) else "utf-8" if version == 4 else "utf-16"


def _encoded(text: str, codec: str) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le") if codec == "utf-16" else text.encode(codec)


def _decoded(text: bytes, codec: str) -> str:
    if codec == "utf-16" and text[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        codec = "utf-16-le"
    return text.decode(codec, "replace").lstrip("\ufeff")


def _cut(body: bytes, codec: str) -> tuple[bytes, bytes]:
    """A text up to its zero, and what follows."""
    if not codec.startswith("utf-16"):
        text, _, rest = body.partition(b"\0")
        return text, rest
    end = next((place for place in range(0, len(body) - 1, 2) if body[place : place + 2] == b"\0\0"), len(body))
    return body[:end], body[end + 2 :]


def _texts(body: bytes, codec: str) -> list[str]:
    """The texts of a frame, one after another with a zero between."""
    found = []
    while body:
        text, body = _cut(body, codec)
        found.append(_decoded(text, codec))
    return found


def _plain(stated: bytes) -> int:
    """A number of seven bits a byte."""
    return sum((byte & 0x7F) << 7 * (len(stated) - 1 - place) for place, byte in enumerate(stated))


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
