"""Chunks of a WAV beside its samples: LIST INFO texts, ID3, and chunks of editors and samplers (bext, iXML, cue, smpl)."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .chunked import chunks_of

CONTAINERS = {"WAV", "WAVEX", "RF64"}
PROVENANCE = b"IGAN"
INFO = {  # Vorbis name -> the four letters of LIST INFO
    "TITLE": b"INAM",
    "ARTIST": b"IART",
    "ALBUM": b"IPRD",
    "DATE": b"ICRD",
    "GENRE": b"IGNR",
    "COMMENT": b"ICMT",
    "COPYRIGHT": b"ICOP",
    "TRACKNUMBER": b"ITRK",
    "SOFTWARE": b"ISFT",
}
_STRUCTURE = {b"fmt ", b"data", b"fact", b"ds64", b"JUNK", b"junk", b"FLLR", b"PAD ", b"PEAK", b"levl", b"MD5 ", b"wavl", b"slnt"}
_MAX_CHUNK = 1 << 26  # bytes; a cover is some MiB
_MAX_RIFF = 0xFFFFFFFF
_MASK_PLACE = 20  # of the loudspeaker mask within a fmt chunk


@dataclass
class Chunks:
    """The chunks beside the samples.

    Attributes:
        info: LIST INFO: (four letters, bytes as they stand in the file).
        id3: Body of the ID3 chunk.
        others: (four letters, body).
    """

    info: list[tuple[bytes, bytes]] = field(default_factory=list)
    id3: bytes = b""
    others: list[tuple[bytes, bytes]] = field(default_factory=list)

    def text(self, name: bytes) -> str:
        """The text of an INFO entry, UTF-8 or else Windows-1252; "" if there is none."""
        return next((_decoded(body) for key, body in self.info if key == name), "")

    def fields(self) -> list[tuple[str, str]]:
        """(Vorbis name, text) of the INFO entries that have one."""
        names = {letters: name for name, letters in INFO.items()} | {b"IPRT": "TRACKNUMBER"}
        return [(names[key], _decoded(body)) for key, body in self.info if key in names]

    def with_texts(self, texts: Mapping[str, str], provenance: str) -> Chunks:
        """Return the chunks with other INFO texts; entries that say the same keep their bytes."""
        info = list(self.info)
        for letters, text in [*((INFO[name], text) for name, text in texts.items() if name in INFO), (PROVENANCE, provenance)]:
            if text and text != self.text(letters):
                info = [(key, body) for key, body in info if key != letters] + [(letters, text.encode() + b"\0")]
        return Chunks(info, self.id3, list(self.others))

    def to_bytes(self) -> bytes:
        """All chunks one after another."""
        listed = b"INFO" + b"".join(_chunk(key, body) for key, body in self.info)
        found = [_chunk(key, body) for key, body in self.others]
        return b"".join([*found, *([_chunk(b"LIST", listed)] if self.info else []), *([_chunk(b"id3 ", self.id3)] if self.id3 else [])])


def _decoded(body: bytes) -> str:
    text = body.split(b"\0", 1)[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def read_chunks(path: Path) -> Chunks:
    """Read all chunks but those of the samples; beyond 64 MiB none."""
    found = Chunks()
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(4) == b"RIFX":  # numbers in the other order: libsndfile's ten texts are enough
            return found
        for chunk in chunks_of(file, 12, size):
            if chunk.name in _STRUCTURE or chunk.length > _MAX_CHUNK or chunk.end > size + 1 or chunk.name in (b"RIFF", b"RF64"):
                continue
            file.seek(chunk.offset)
            body = file.read(chunk.length)
            if chunk.name == b"LIST" and body[:4] == b"INFO":
                found.info += _info(body)
            elif chunk.name in (b"id3 ", b"ID3 "):
                found.id3 = body
            elif not (chunk.name == b"LIST" and body[:4] == b"wavl"):
                found.others.append((chunk.name, body))
    return found


def _info(body: bytes) -> list[tuple[bytes, bytes]]:
    file = io.BytesIO(body)
    entries = []
    for chunk in chunks_of(file, 4, len(body)):
        file.seek(chunk.offset)
        entries.append((chunk.name, file.read(chunk.length)))
    return entries


def write_chunks(path: Path, chunks: Chunks) -> None:
    """Append chunks to a finished WAV or RF64, and correct its length; a WAV that they would push beyond 4 GiB stays without."""
    content = chunks.to_bytes()
    if not content:
        return
    with path.open("rb+", buffering=0) as file:
        size = file.seek(0, 2)
        file.seek(0)
        large = file.read(4) == b"RF64"
        whole = size + size % 2 + len(content) - 8
        if not large and whole > _MAX_RIFF:
            return
        file.seek(size)
        file.write(b"\0" * (size % 2) + content)
        file.seek(20 if large else 4)  # of an RF64: the 64-bit size in its ds64 chunk
        file.write(struct.pack("<Q" if large else "<I", whole))


def write_mask(path: Path, mask: int) -> None:
    """Set the loudspeaker mask of a finished WAV, if its format chunk has one."""
    with path.open("rb+", buffering=0) as file:
        size = file.seek(0, 2)
        for chunk in chunks_of(file, 12, size):
            if chunk.name == b"fmt ":
                file.seek(chunk.offset)
                if chunk.length >= 40 and file.read(2) == b"\xfe\xff":
                    file.seek(chunk.offset + _MASK_PLACE)
                    file.write(struct.pack("<I", mask))
                return
