"""Account for the pages of an Ogg file (RFC 3533): cut ends, missing pages, chained streams."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from .spliced import Part

_HEAD = 27
_BEGIN, _END = 2, 4  # flags of a page
_WINDOW = 1 << 16
_MAX_UNEXPLAINED = 4096
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """A page of an Ogg file.

    Attributes:
        flags: 1: begins within a packet; 2: begins the stream; 4: ends it.
        granule: Position of the sound at its end; -1: no packet ends on it.
        serial: Of its stream.
        number: Of the page within its stream.
        table: Lengths of its segments, a byte each.
        body: Its packets.
    """

    flags: int
    granule: int
    serial: int
    number: int
    table: bytes
    body: bytes

    @property
    def length(self) -> int:
        return _HEAD + len(self.table) + len(self.body)

    def renumbered(self, moved: int) -> Page:
        """Return the page with another number."""
        return replace(self, number=self.number + moved)

    def to_bytes(self) -> bytes:
        """Return the page with its checksum."""
        head = b"OggS\0" + struct.pack("<BqIII", self.flags, self.granule, self.serial, self.number & 0xFFFFFFFF, 0)
        page = head + bytes([len(self.table)]) + self.table + self.body
        return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def page_at(file: BinaryIO, position: int) -> Page | None:
    """Read the page at a position; None where none is, or where it is cut."""
    found = _page(file, position)
    if found is None:
        return None
    file.seek(position)
    content = file.read(min(found[3], _HEAD + 256 * 255))
    if len(content) < found[3]:
        return None
    flags, granule, serial, number, _, segments = struct.unpack_from("<BqIIIB", content, 5)
    end = _HEAD + segments
    return Page(flags, granule, serial, number, content[_HEAD:end], content[end:])


@dataclass
class _Link:
    """One link of a chain: the streams that begin together."""

    start: int
    end: int
    open: set[int] = field(default_factory=set)  # serial numbers of streams that have not ended
    begun: bool = False  # pages beyond the first ones of the streams have come


def survey_ogg(file: BinaryIO, start: int, size: int) -> tuple[list[list[Part]], str]:
    """Return the links of a chain (none for a single stream) and the fault.

    A page says whether its stream begins or ends with it. A stream without an end is half a file: RFC 3533 asks for the flag, and a
    decoder cannot tell what is missing.
    """
    links: list[_Link] = []
    position, unexplained = start, 0
    numbers: dict[int, int] = {}  # of the last page of each stream
    while position < size:
        page = _page(file, position)
        if page is None:
            following = _find(file, position + 1, size)
            unexplained += following - position
            position = following
            continue
        flags, serial, number, length = page
        if position + length > size:
            return [], "truncated: its last page is cut"
        if not _is_intact(file, position, length):
            return [], f"damaged: the page at byte {position} has another checksum"
        if not flags & _BEGIN and number != numbers.get(serial, number - 1) + 1:
            return [], f"damaged: pages before byte {position} are missing"
        numbers[serial] = number
        if flags & _BEGIN:
            if not links or links[-1].begun:
                if links and links[-1].open:
                    return [], "damaged: a stream in it has no end"
                links.append(_Link(position, position))
            links[-1].open.add(serial)
        elif links:
            links[-1].begun = True
        if links:
            links[-1].end = position + length
            if flags & _END:
                links[-1].open.discard(serial)
        position += length
    if not links:
        return [], "damaged: no stream begins in it"
    if links[-1].open:
        return [], "truncated: its stream has no last page"
    if unexplained > _MAX_UNEXPLAINED:
        return [], f"damaged: {unexplained} bytes in it are not Ogg pages"
    if len(links) == 1 and not start:
        return [], ""
    return [[(link.start, link.end - link.start)] for link in links], ""


def _page(file: BinaryIO, position: int) -> tuple[int, int, int, int] | None:
    """(flags, serial number, page number, bytes) of the page at a position."""
    file.seek(position)
    head = file.read(_HEAD + 255)
    if len(head) < _HEAD or head[:4] != b"OggS" or head[4] != 0:
        return (0, 0, 0, 1 << 62) if head and b"OggS".startswith(head[:4]) else None  # a page that is cut within its header
    segments = head[26]
    table = head[_HEAD : _HEAD + segments]
    serial, number = struct.unpack_from("<II", head, 14)
    return head[5], serial, number, _HEAD + segments + (sum(table) if len(table) == segments else 1 << 62)


def _is_intact(file: BinaryIO, position: int, length: int) -> bool:
    """Compare a page's CRC-32."""
    file.seek(position)
    page = bytearray(file.read(length))
    stated = struct.unpack_from("<I", page, 22)[0]
    page[22:26] = bytes(4)
    return _checksum(page) == stated


def _checksum(page: bytes | bytearray) -> int:
    """A page's CRC-32, its own field being 0: that of zlib with all bits reversed, and without its inversions."""
    found = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


def _find(file: BinaryIO, position: int, size: int) -> int:
    """The next page from a position on; the end of the file if there is none."""
    while position < size:
        file.seek(position)
        block = file.read(_WINDOW)
        place = block.find(b"OggS")
        if place >= 0:
            return position + place
        if len(block) < 4:
            break
        position += len(block) - 3
        if position + 3 >= size:
            break
    return size
