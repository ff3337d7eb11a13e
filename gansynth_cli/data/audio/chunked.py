"""Account for the bytes of containers made of chunks: WAV, RF64, W64, AIFF, AIFF-C, AU and CAF.

Sources: Microsoft's Multimedia Programming Interface (RIFF), EBU Tech 3306 (RF64), Sony's Wave64, Apple's AIFF-C draft and Core Audio
Format specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .spliced import Part

CHUNKED = {b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b".snd", b"dns."}
GREW = "grew beyond 4 GiB, where a WAV cannot state its length"
MAX_RIFF = 0x7FFFF000  # bytes; a header that is written here states more in 64 bits
MAX_UNEXPLAINED = 4096  # bytes after the sound that are no chunks: padding, a comment of an old editor
_MAX_HEADER_CHUNK = 1 << 20
_EXTENSIBLE = 0xFFFE
Found = tuple[list[list[Part]], str, int]  # links, fault, channel mask: see `extent.Survey`


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file.

    Attributes:
        name: Four bytes.
        offset: First byte of its body.
        length: Bytes of its body, as stated.
        padded: A zero byte follows a body of odd length, as the standard asks.
    """

    name: bytes
    offset: int
    length: int
    padded: bool = True

    @property
    def end(self) -> int:
        return self.offset + self.length + (self.length % 2 if self.padded else 0)


def is_placeholder(length: int) -> bool:
    """Whether 32 bits state a length that a program writes which does not know it and cannot seek back: 0, about 2 GiB, about 4 GiB."""
    return length == 0 or abs(length - 0x7F000000) <= 64 or 0x7FFFF000 <= length < 0x80000100 or 0xFFFFF000 <= length < 1 << 32


def survey_chunks(file: BinaryIO, start: int, size: int) -> Found:
    """Account for a file that begins with one of `CHUNKED` at `start`."""
    file.seek(start)
    magic = file.read(4)
    if magic in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _riff(file, start, size)
    if magic == b"FORM":
        return _aiff(file, start, size)
    if magic in (b".snd", b"dns."):
        return _au(file, start, size, ">" if magic == b".snd" else "<")
    return _caf(file, start, size) if magic == b"caff" else _w64(file, start, size)


def chunks_of(file: BinaryIO, position: int, end: int, order: str = "<") -> Iterator[Chunk]:
    """Walk chunks of a four-byte name and a 32-bit length; ends where no chunk is. A missing padding byte is noticed."""
    while position + 8 <= end:
        file.seek(position)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if not _is_name(name):
            return
        padded = True
        if length % 2 and position + 8 + length + 9 <= end:
            file.seek(position + 8 + length)
            after = file.read(9)
            padded = not (_is_name(after[:4]) and not _is_name(after[1:5]))
        chunk = Chunk(name, position + 8, length, padded)
        yield chunk
        position = chunk.end


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 or byte == 0xA9 for byte in name) and name.strip() != b""


# WAV, RF64.


@dataclass
class _Wave:
    """One RIFF form: its format, the ranges of its samples, the place after it."""

    order: str
    fmt: bytes
    fact: bytes
    data: list[tuple[int, int]]
    end: int
    fault: str = ""
    plain: bool = True  # libsndfile reads it as it is


def _riff(file: BinaryIO, start: int, size: int) -> Found:
    waves: list[_Wave] = []
    position = start
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:] != b"WAVE":
            break
        wave = _wave(file, position, size, head[:4])
        waves.append(wave)
        if wave.fault:
            return [], wave.fault, -1
        position = wave.end
    if not waves:
        return [], "", -1  # another form, such as a sound font: the decoder says that it cannot read it
    rest = size - position
    if rest > MAX_UNEXPLAINED and not _is_blank(file, position, size):
        return [], f"{rest} bytes follow its sound that its header does not account for", -1
    mask = _mask(waves[0])
    if len(waves) == 1 and waves[0].plain and start == 0:
        return [], "", mask
    return [_parts(wave) for wave in waves], "", mask


def _wave(file: BinaryIO, start: int, size: int, magic: bytes) -> _Wave:
    order = ">" if magic == b"RIFX" else "<"
    wave = _Wave(order, b"", b"", [], size, plain=magic != b"BW64")
    ds64 = b""
    position = start + 12
    while True:
        chunk = next(chunks_of(file, position, size, order), None)
        if chunk is None or chunk.name in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
            break
        wave.plain &= chunk.padded
        if chunk.name in (b"fmt ", b"ds64", b"fact"):
            body = _body(file, chunk, size)
            if chunk.name == b"fmt ":
                wave.fmt = wave.fmt or body
            elif chunk.name == b"fact":
                wave.fact = body
            else:
                ds64 = body
        if chunk.name == b"data":
            length, end, fault = _data_length(file, chunk, size, wave, ds64)
            if fault:
                wave.fault = fault
                return wave
            wave.plain &= not wave.data and length == chunk.length
            wave.data.append((chunk.offset, length))
            position = end
        else:
            if chunk.end > size + 1 and not wave.data:
                wave.fault = f"truncated: its {_shown(chunk.name)} chunk of {chunk.length} bytes does not fit into the file"
                return wave
            position = chunk.end
    wave.end = min(position, size)
    if ds64:  # libsndfile reads what it states; `_data_length` compared it
        wave.plain = magic == b"RF64" and len(wave.data) == 1 and wave.data[0][1] == struct.unpack_from("<Q", ds64.ljust(16, b"\0"), 8)[0]
    return wave


def _body(file: BinaryIO, chunk: Chunk, size: int) -> bytes:
    file.seek(chunk.offset)
    return file.read(min(chunk.length, _MAX_HEADER_CHUNK, size - chunk.offset))


def _data_length(file: BinaryIO, chunk: Chunk, size: int, wave: _Wave, ds64: bytes) -> tuple[int, int, str]:
    """The bytes of samples of a data chunk, the place after them, and the fault."""
    stated, there = chunk.length, size - chunk.offset
    align = max(1, struct.unpack_from(f"{wave.order}H", wave.fmt, 12)[0]) if len(wave.fmt) >= 14 else 1
    if stated == 0xFFFFFFFF and len(ds64) >= 16:
        stated = struct.unpack_from("<Q", ds64, 8)[0]
    after = chunk.offset + stated + (stated % 2 if chunk.padded else 0)
    explained = stated <= there and _explained(file, after, size, wave.order)
    if (is_placeholder(stated) or stated >= 1 << 62) and (stated > there or (there > 8 and not explained)):
        return there - there % align, size, ""
    if there >= 1 << 32 and stated < 1 << 32 and not explained:  # a guess could take chunks for sound, or leave out hours
        return 0, size, f"{GREW}: its header states {stated} bytes of sound, {there} follow"
    if stated > there:
        return 0, size, f"truncated: {stated - there} bytes that the header promises are missing"
    return stated, after, ""


def _explained(file: BinaryIO, position: int, size: int, order: str) -> bool:
    """Whether chunks fill a file from here to its end, but for padding."""
    while position + 8 <= size:
        chunk = next(chunks_of(file, position, size, order), None)
        if chunk is None or chunk.end > size + 1:
            return False
        if chunk.name in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
            return True  # a joined file begins
        position = chunk.end
    return True


def _is_blank(file: BinaryIO, position: int, size: int) -> bool:
    """Whether only zeros follow."""
    file.seek(position)
    while position < size:
        block = file.read(1 << 20)
        if not block or any(block):
            return not block
        position += len(block)
    return True


def _parts(wave: _Wave) -> list[Part]:
    """A header that states the true length, and the samples. Format and fact chunk are the file's own."""
    length = sum(size for _, size in wave.data)
    fact = b"" if not wave.fact or len(wave.data) > 1 else _chunk(b"fact", wave.fact, wave.order)
    body = _chunk(b"fmt ", wave.fmt, wave.order) + fact
    whole = 4 + len(body) + 8 + length
    if whole < MAX_RIFF:
        magic = b"RIFX" if wave.order == ">" else b"RIFF"
        head = struct.pack(f"{wave.order}4sI4s", magic, whole, b"WAVE") + body + struct.pack(f"{wave.order}4sI", b"data", length)
    else:
        align = max(1, struct.unpack_from("<H", wave.fmt, 12)[0])
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, whole + 36, length, length // align, 0)
        head = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + ds64 + body + struct.pack("<4sI", b"data", 0xFFFFFFFF)
    return [head, *wave.data]


def _chunk(name: bytes, body: bytes, order: str) -> bytes:
    return struct.pack(f"{order}4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _mask(wave: _Wave) -> int:
    if len(wave.fmt) < 24 or struct.unpack_from(f"{wave.order}H", wave.fmt)[0] != _EXTENSIBLE:
        return -1
    return struct.unpack_from(f"{wave.order}I", wave.fmt, 20)[0]


def _shown(name: bytes) -> str:
    return name.decode("ascii", "replace").strip()


# AIFF.

_AIFC_PLAIN = {b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64", b"42ni", b"23ni"}


def _aiff(file: BinaryIO, start: int, size: int) -> Found:
    file.seek(start + 8)
    kind = file.read(4)
    if kind not in (b"AIFF", b"AIFC"):
        return [], "", -1
    comm, others, ssnd = b"", b"", None
    position = start + 12
    while (chunk := next(chunks_of(file, position, size, ">"), None)) is not None and chunk.name != b"FORM":
        if chunk.name == b"COMM":
            comm = _body(file, chunk, size)
        elif chunk.name == b"FVER":
            others = _chunk(b"FVER", _body(file, chunk, size), ">")
        elif chunk.name == b"SSND" and ssnd is None:
            ssnd = chunk
            there = size - chunk.offset
            if is_placeholder(chunk.length) and (chunk.length > there or not _explained(file, chunk.end, size, ">")):
                ssnd = Chunk(b"SSND", chunk.offset, there)
            elif chunk.length > there:
                return [], f"truncated: {chunk.length - there} bytes that the header promises are missing", -1
        elif chunk.end > size + 1:
            return [], f"truncated: its {_shown(chunk.name)} chunk of {chunk.length} bytes does not fit into the file", -1
        position = ssnd.end if chunk.name == b"SSND" and ssnd else chunk.end
    if ssnd is None or len(comm) < 18:
        return [], "truncated: it ends before its sound" if size > 12 else "", -1
    file.seek(position)
    if file.read(4) == b"FORM":
        return [], "a second AIFF follows the first, which is not read", -1
    if size - position > MAX_UNEXPLAINED and not _is_blank(file, position, size):
        return [], f"{size - position} bytes follow its sound that its header does not account for", -1
    return _aiff_frames(kind, comm, others, ssnd, size)


def _aiff_frames(kind: bytes, comm: bytes, others: bytes, ssnd: Chunk, size: int) -> Found:
    """Compare the number of frames that the COMM chunk states with the bytes of the SSND chunk."""
    channels, frames, bits = struct.unpack_from(">HIH", comm)
    if kind == b"AIFC" and comm[18:22] not in _AIFC_PLAIN:
        return [], "", -1
    frame = max(1, channels * -(-bits // 8))
    there = max(0, ssnd.length - 8) // frame
    unknown = is_placeholder(frames) or is_placeholder(frames * frame) or is_placeholder(frames * frame + 8)
    if frames > there and not unknown:
        return [], f"truncated: {there} of {frames} frames", -1
    if frames == there or (there > frames and not unknown and (there - frames) * frame <= MAX_UNEXPLAINED):
        return [], "", -1
    if not unknown:
        return [], f"its header states {frames} frames, but {there} are there", -1
    if not there:
        return [], "", -1
    length = 8 + there * frame
    body = others + _chunk(b"COMM", struct.pack(">HI", channels, there) + comm[6:], ">")
    head = struct.pack(">4sI4s", b"FORM", min(4 + len(body) + 8 + length, 0xFFFFFFFF), kind) + body + struct.pack(">4sI", b"SSND", length)
    return [[head, (ssnd.offset, length)]], "", -1


# AU, CAF, W64: the length is one number at a known place.


def _au(file: BinaryIO, start: int, size: int, order: str) -> Found:
    file.seek(start)
    head = file.read(24)
    if len(head) < 24:
        return [], "truncated: it ends inside its header", -1
    offset, stated = struct.unpack_from(f"{order}II", head, 4)
    there = size - start - offset
    return _one_length(
        file, start, size, start + offset, stated, there, (start + 8, struct.pack(f"{order}I", min(max(there, 0), 0xFFFFFFFE)))
    )


def _caf(file: BinaryIO, start: int, size: int) -> Found:
    position = start + 8
    while position + 12 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"data":
            there = size - position - 12
            stated = 0xFFFFFFFF if length < 0 else length
            return _one_length(file, start, size, position + 12, stated, there, (position + 4, struct.pack(">q", there)), 1 << 62)
        if length < 0:
            break
        position += 12 + length
    return [], "truncated: it ends before its sound", -1


def _w64(file: BinaryIO, start: int, size: int) -> Found:
    position = start + 40
    while position + 24 <= size:
        file.seek(position)
        name, length = struct.unpack("<4s12xQ", file.read(24))
        if name == b"data":
            there = size - position - 24
            stated = length - 24 if 24 < length < 1 << 62 else 0xFFFFFFFF
            patch = (position + 16, struct.pack("<Q", there + 24))
            return _one_length(file, start, size, position + 24, stated, there, patch, 1 << 62)
        if length < 24:
            break
        position += length + -length % 8
    return [], "truncated: it ends before its sound", -1


def _one_length(
    file: BinaryIO, start: int, size: int, data: int, stated: int, there: int, patch: tuple[int, bytes], wraps: int = 1 << 32
) -> Found:
    """Account for a container whose samples have one stated length; `patch` is the place and the bytes of the true one."""
    unknown = stated != there and (is_placeholder(stated) if wraps == 1 << 32 else stated == 0xFFFFFFFF)
    if there < 0:
        return [], "truncated: it ends inside its header", -1
    if stated > there and not unknown:
        return [], f"truncated: {stated - there} bytes that the header promises are missing", -1
    if unknown:
        place, true = patch
        return [[(start, place - start), true, (place + len(true), size - place - len(true))]], "", -1
    if wraps == 1 << 32 and there - stated > MAX_UNEXPLAINED and not _is_blank(file, data + stated, size):
        return [], f"{there - stated} bytes follow its sound that its header does not account for", -1
    return [], "", -1
