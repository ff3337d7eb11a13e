"""Account for the frames of an MPEG audio file: its true length, joined files, cut ends.

Without a table of contents (Xing, Info, VBRI) the decoder guesses the length from the first frame's bit rate and stops there. Sources:
ISO/IEC 11172-3 and 13818-3 (headers and bit rates), MPEG-2.5 as every decoder has it, the Xing header as LAME writes it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from .spliced import Part

# kbit/s by (MPEG-1?, layer).
BITRATES: dict[tuple[bool, int], tuple[int, ...]] = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the two bits of the version
_WINDOW = 1 << 18
_LAME_BYTES = 160  # of LAME's table of contents
_MAX_UNEXPLAINED = 1 << 16  # bytes before and after the sound that are no frames: tags of old programs, padding


class Header(NamedTuple):
    """The header of a frame."""

    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    layer: int
    sample_rate: int
    mono: bool
    length: int  # bytes

    @property
    def samples(self) -> int:
        return 384 if self.layer == 1 else 1152 if self.layer == 2 or self.version == 3 else 576

    @property
    def side_bytes(self) -> int:
        """Bytes of layer III's side information."""
        return (17 if self.mono else 32) if self.version == 3 else (9 if self.mono else 17)

    def same(self, other: Header) -> bool:
        """Whether both can belong to one stream."""
        return self[:3] == other[:3] and self.mono == other.mono


@dataclass
class _Stream:
    """Frames that belong together.

    Attributes:
        header: Of its first frame.
        first: The bytes of the first frame's header.
        table: The frame that states the length, (offset, bytes), if there is one.
        stated: Number of frames that it states; -1: none.
        ranges: Where the frames are.
        frames: Their number, without the table.
    """

    header: Header
    first: bytes
    table: tuple[int, int] | None = None
    stated: int = -1
    ranges: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0

    def add(self, offset: int, length: int) -> None:
        if self.ranges and sum(self.ranges[-1]) == offset:
            self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + length)
        else:
            self.ranges.append((offset, length))
        self.frames += 1

    def parts(self) -> list[Part]:
        """The frames behind a table of contents that states their number."""
        if self.table is not None and self.frames == self.stated:
            return [self.table, *self.ranges]
        if self.header.layer != 3:
            return list(self.ranges)
        return [self._table(), *self.ranges]

    def _table(self) -> bytes:
        """A frame that states the number of frames, at the first bit rate at which it has room."""
        head = bytearray(self.first)
        head[1] |= 1  # no checksum
        header, needed = self.header, 4 + self.header.side_bytes + 16
        for index in range(1, 15):
            head[2] = index << 4 | head[2] & 0x0D  # no padding
            header = parse_header(bytes(head)) or header
            if header.length >= needed:
                break
        size = header.length + sum(length for _, length in self.ranges)
        content = bytes(head) + bytes(header.side_bytes) + b"Xing" + struct.pack(">III", 3, self.frames, size)
        return content.ljust(header.length, b"\0")


def parse_header(head: bytes) -> Header | None:
    """Read the four bytes of a frame's header; None if they are none, or state a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, bitrate_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bitrate_index in (0, 15):
        return None
    kbit = BITRATES[version == 3, layer][bitrate_index - 1]
    rate, padding = _RATES[version][rate_index], head[2] >> 1 & 1
    if layer == 1:
        length = (12000 * kbit // rate + padding) * 4
    else:
        length = (72000 if layer == 3 and version != 3 else 144000) * kbit // rate + padding
    return Header(version, layer, rate, head[3] >> 6 == 3, length)


def looks_like_mpeg(head: bytes) -> bool:
    """Whether a file that begins so may be MPEG audio."""
    return parse_header(head[:4]) is not None or not any(head[:4])


def id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with these ten; 0 if none does."""
    if head[:3] != b"ID3" or len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return 0
    body = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + body + (10 if head[5] & 0x10 else 0)


class _Window:
    """Bytes by their position, read a quarter of a MiB at a time: frames are small and follow each other."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self.size = file, size
        self._start, self._block = 0, b""

    def at(self, position: int, length: int) -> bytes:
        inside = position - self._start
        if inside < 0 or inside + length > len(self._block):
            self._file.seek(position)
            self._start, self._block, inside = position, self._file.read(max(_WINDOW, length)), 0
        return self._block[inside : inside + length]


def survey_mpeg(file: BinaryIO, size: int) -> tuple[list[list[Part]], str]:
    """Return what is decoded one after the other (nothing: the file as it is) and the fault; ("", "") for what is no MPEG audio."""
    window = _Window(file, size)
    streams, inside, outside, cut = _walk(window)
    if not streams:
        return [], ""
    frame = streams[-1].header.length
    stated = sum(max(stream.stated, 0) for stream in streams)
    missing = sum(max(0, stream.stated - stream.frames) for stream in streams)
    if missing:
        return [], f"truncated: {stated - missing} of {stated} frames"
    if cut:
        return [], "truncated: its last frame is cut"
    if inside >= frame:
        return [], f"damaged: {inside} bytes between its frames are no sound"
    if outside > _MAX_UNEXPLAINED:
        return [], f"{outside} bytes of it are neither sound nor a tag"
    first = streams[0]
    if len(streams) == 1 and (first.header.layer != 3 or first.frames == first.stated):
        return [], ""
    return [stream.parts() for stream in streams], ""


def _walk(window: _Window) -> tuple[list[_Stream], int, int, bool]:
    """All frames: the streams, bytes that are none between frames and outside of them, and whether the last frame is cut."""
    streams: list[_Stream] = []
    position = gap = inside = 0
    size, cut = window.size, False
    while position < size:
        head = window.at(position, 10)
        skipped = _tag_length(head, size - position)
        if skipped:
            position += skipped
            continue
        header = parse_header(head)
        if header is None or not (_continues(streams, header) or _confirmed(window, position, header)):
            blank = not any(head)
            position += 1 if not blank else len(head)
            gap += 0 if blank else 1
            continue
        if position + header.length > size + 4:  # some encoders leave out the padding of the last frame
            cut = bool(streams) and _continues(streams, header)
            break
        if streams:
            inside += gap
            gap = 0
        _take(streams, window, position, header)
        position += header.length
    outside = gap
    return streams, inside, outside, cut


def _take(streams: list[_Stream], window: _Window, position: int, header: Header) -> None:
    stated = _stated(window.at(position, header.length), header)
    if stated is not None:
        streams.append(_Stream(header, window.at(position, 4), (position, header.length), stated))
        return
    if not streams or not header.same(streams[-1].header):
        streams.append(_Stream(header, window.at(position, 4)))
    streams[-1].add(position, min(header.length, window.size - position))


def _stated(frame: bytes, header: Header) -> int | None:
    """The number of frames that a table of contents states, -1 if it does not; None if the frame is sound."""
    if header.layer != 3:
        return None
    place = 4 + header.side_bytes + (0 if frame[1] & 1 else 2)
    for at in (place, 4 + header.side_bytes):
        if frame[at : at + 4] in (b"Xing", b"Info"):
            flags, number = struct.unpack_from(">II", frame.ljust(at + 12, b"\0"), at + 4)
            return number if flags & 1 else -1
    if frame[36:40] == b"VBRI":
        return struct.unpack_from(">I", frame.ljust(54, b"\0"), 50)[0]
    return None


def _continues(streams: list[_Stream], header: Header) -> bool:
    return bool(streams) and header[:3] == streams[-1].header[:3]


def _confirmed(window: _Window, position: int, header: Header) -> bool:
    """Whether a second frame follows, a tag, or the end: two bytes alone may be chance."""
    following = position + header.length
    if following >= window.size:
        return following <= window.size + 4 and position == 0
    head = window.at(following, 10)
    after = parse_header(head)
    return (after is not None and after[:3] == header[:3]) or bool(_tag_length(head, window.size - following))


def _tag_length(head: bytes, left: int) -> int:
    """Bytes of the tag that begins here: ID3v1 and v2, APE, Lyrics3; 0 if none does."""
    if head[:3] == b"ID3":
        return id3_length(head)
    if head[:3] == b"TAG":
        return min(128, left) if left >= 128 else left
    if head[:8] == b"APETAGEX":
        return 32  # its items follow, which are few bytes: they count as bytes outside of the sound
    return 0


def mean_bitrate(file: BinaryIO, size: int) -> float:
    """Mean bit rate of the sound, kbit/s, without tags and pictures; 0 for what is no MPEG audio."""
    streams = _walk(_Window(file, size))[0]
    seconds = sum(stream.frames * stream.header.samples / stream.header.sample_rate for stream in streams)
    return sum(length for stream in streams for _, length in stream.ranges) * 8e-3 / seconds if seconds else 0.0


def encoder_mode(kbit: float, sample_rate: int, channels: int) -> tuple[str, float]:
    """Return libsndfile's bit rate mode and compression level for a bit rate: the next one that the standard has.

    A frame of a low constant bit rate has no room for LAME's table of contents, which holds the delay of the encoder: without it a reader
    gets a longer recording that begins later. An average bit rate leaves that frame its room.
    """
    version = 3 if sample_rate >= 32000 else 2 if sample_rate >= 16000 else 0
    low, high = {3: (32, 320), 2: (8, 160), 0: (8, 64)}[version]  # libsndfile's ends of the scale
    allowed = [rate for rate in BITRATES[version == 3, 3] if rate <= high]
    rate = next((rate for rate in allowed if rate >= 0.97 * kbit), allowed[-1])
    length = (144000 if version == 3 else 72000) * rate // sample_rate
    side = (17 if channels == 1 else 32) if version == 3 else (9 if channels == 1 else 17)
    mode = "CONSTANT" if length >= 4 + side + _LAME_BYTES else "AVERAGE"
    return mode, min((high - rate) / (high - low), 0.999)
