"""Vorbis comments with their pictures: in FLAC (RFC 9639, section 8), Ogg Vorbis (specification I, section 5) and Ogg Opus (RFC 7845).

Texts that are not UTF-8, as the standard asks, are read as Windows-1252 instead of losing letters.
"""

from __future__ import annotations

import base64
import shutil
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...files import temporary_file
from .id3 import tag_length
from .ogg import Page, page_at
from .picture import Picture

PICTURE = "METADATA_BLOCK_PICTURE"  # the comment that holds a picture in an Ogg file
_STREAMINFO, _PADDING, _COMMENTS, _PICTURE = 0, 1, 4, 6  # blocks of FLAC
_MAX_BLOCK = (1 << 24) - 1  # bytes: a block of FLAC states its length in 24 bits
_MAX_HEADERS = 1 << 26  # bytes of an Ogg stream's comments
_KINDS = {b"\x01vorbis": (b"\x03vorbis", b"\x01", 3), b"OpusHead": (b"OpusTags", b"", 2)}  # first packet: (second, its end, header packets)
_FULL = 255  # segments of a page, and bytes of a segment


@dataclass
class Comments:
    """The comments of a file.

    Attributes:
        vendor: The program that made the stream, as bytes.
        fields: (name, text) in the order of the file.
        pictures: Pictures.
    """

    vendor: bytes = b""
    fields: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @classmethod
    def from_block(cls, block: bytes) -> Comments:
        """Read a comment block; one that is cut gives the comments before the cut."""
        found = cls()
        with suppress(struct.error):
            length = struct.unpack_from("<I", block)[0]
            found.vendor, place = block[4 : 4 + length], 4 + length
            count, place = struct.unpack_from("<I", block, place)[0], place + 4
            for _ in range(count):
                length = struct.unpack_from("<I", block, place)[0]
                name, equals, text = block[place + 4 : place + 4 + length].partition(b"=")
                place += 4 + length
                if not equals:
                    continue
                if name.upper() == PICTURE.encode():
                    with suppress(ValueError):
                        found.pictures.append(Picture.from_block(base64.b64decode(text)))
                else:
                    found.fields.append((name.decode("latin-1"), _decoded(text)))
        return found

    def to_block(self, pictures: bool) -> bytes:
        """Return the comment block, with the pictures as comments or without them."""
        entries = [f"{name}={text}".replace("\0", " ").encode() for name, text in self.fields]
        if pictures:
            entries += [PICTURE.encode() + b"=" + base64.b64encode(picture.to_block()) for picture in self.pictures]
        counted = b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
        return struct.pack("<I", len(self.vendor)) + self.vendor + struct.pack("<I", len(entries)) + counted


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def read_comments(path: Path) -> Comments:
    """Return the comments of a FLAC or Ogg file; empty where there are none or they are damaged."""
    with path.open("rb") as file:
        start = tag_length(file.read(10))  # some programs put an ID3 tag in front of FLAC
        file.seek(start)
        if file.read(4) == b"fLaC":
            return _read_flac(file)
        headers = _ogg_headers(file, start)
        if headers is None:
            return Comments()
        second = _KINDS[headers.kind][0]
        return Comments.from_block(headers.packets[1].removeprefix(second))


def write_comments(path: Path, comments: Comments) -> None:
    """Replace the comments of a finished FLAC or Ogg file; the program that made it stays named.

    Raises:
        OSError: The file cannot be written, or is neither.
    """
    with path.open("rb") as file, temporary_file(path) as (temporary, made):
        if file.read(4) == b"fLaC":
            _write_flac(file, made, comments)
        else:
            _write_ogg(file, made, comments)
        temporary.replace(path)


def _blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of the metadata blocks of a FLAC file; the file is at the sound afterwards."""
    last = False
    while not last:
        head = file.read(4)
        if len(head) < 4:
            return
        last = bool(head[0] & 0x80)
        yield head[0] & 0x7F, file.read(int.from_bytes(head[1:], "big"))


def _read_flac(file: BinaryIO) -> Comments:
    found, pictures = Comments(), []
    for kind, body in _blocks(file):
        if kind == _COMMENTS:
            found = Comments.from_block(body)
        elif kind == _PICTURE:
            with suppress(ValueError):
                pictures.append(Picture.from_block(body))
    found.pictures += pictures
    return found


def _write_flac(file: BinaryIO, made: BinaryIO, comments: Comments) -> None:
    blocks = []
    for kind, body in _blocks(file):
        if kind == _COMMENTS:
            comments = Comments(Comments.from_block(body).vendor, comments.fields, comments.pictures)
        elif kind not in (_PADDING, _PICTURE):
            blocks.append((kind, body))
    blocks.insert(1, (_COMMENTS, comments.to_block(pictures=False)))  # the first is STREAMINFO, always
    blocks += [(_PICTURE, picture.to_block()) for picture in comments.pictures]
    blocks = [(kind, body) for kind, body in blocks if len(body) <= _MAX_BLOCK]
    made.write(b"fLaC")
    for number, (kind, body) in enumerate(blocks):
        made.write(bytes([kind | (0x80 if number == len(blocks) - 1 else 0)]) + len(body).to_bytes(3, "big") + body)
    shutil.copyfileobj(file, made, 1 << 20)


@dataclass(frozen=True)
class _Headers:
    """The header packets of an Ogg stream, and where its sound begins."""

    kind: bytes
    packets: list[bytes]
    first: Page
    pages: int
    end: int


def _ogg_headers(file: BinaryIO, position: int = 0) -> _Headers | None:
    """The header packets; None if the stream is of another kind, cut, or begins sound on the page of a header."""
    first = page_at(file, position)
    if first is None:
        return None
    kind = next((kind for kind in _KINDS if first.body.startswith(kind)), None)
    if kind is None:
        return None
    packets, part, size, pages = [first.body], b"", 0, 1
    position += first.length
    while len(packets) < _KINDS[kind][2] and size < _MAX_HEADERS:
        page = page_at(file, position)
        if page is None or page.serial != first.serial:
            return None
        place = 0
        for length in page.table:
            part += page.body[place : place + length]
            place += length
            if length < _FULL:
                packets.append(part)
                part = b""
        position, size, pages = position + page.length, size + page.length, pages + 1
    if len(packets) != _KINDS[kind][2] or part:
        return None
    return _Headers(kind, packets, first, pages, position)


def _write_ogg(file: BinaryIO, made: BinaryIO, comments: Comments) -> None:
    headers = _ogg_headers(file)
    if headers is None:
        raise OSError("the file cannot be tagged: it is neither Ogg Vorbis nor Ogg Opus")
    second, end, _ = _KINDS[headers.kind]
    vendor = Comments.from_block(headers.packets[1].removeprefix(second)).vendor
    packet = second + Comments(vendor, comments.fields, comments.pictures).to_block(pictures=True) + end
    made.write(headers.first.to_bytes())
    number = headers.first.number + 1
    for page in _pages([packet, *headers.packets[2:]], headers.first.serial, number):
        made.write(page.to_bytes())
        number += 1
    position, moved = headers.end, number - headers.pages - headers.first.number
    while (following := page_at(file, position)) is not None:
        position += following.length
        made.write((following.renumbered(moved) if following.serial == headers.first.serial else following).to_bytes())


def _pages(packets: list[bytes], serial: int, number: int) -> Iterator[Page]:
    """Header packets as pages; as RFC 3533 says, a packet whose length is a multiple of 255 ends with an empty segment."""
    content = b"".join(packets)
    table = b"".join(bytes([_FULL] * (len(packet) // _FULL) + [len(packet) % _FULL]) for packet in packets)
    place, continued = 0, False
    for start in range(0, len(table), _FULL):
        part = table[start : start + _FULL]
        body = content[place : place + sum(part)]
        granule = 0 if any(length < _FULL for length in part) else -1  # -1: no packet ends on this page
        yield Page(int(continued), granule, serial, number, part, body)
        place, number, continued = place + len(body), number + 1, part[-1] == _FULL
