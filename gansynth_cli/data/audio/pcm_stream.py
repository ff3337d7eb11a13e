"""Audio in pipes: WAV and raw PCM, read and written as the bytes pass.

libsndfile needs to seek, which a pipe cannot, so these two layouts, whose samples need no decoding, are parsed here. Files go through
`audio_file` and `audio_stream`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ...errors import AudioFileError

# Encoding -> bytes of a sample, and the steps from 0 to full scale (0: floating point).
ENCODINGS: dict[str, tuple[int, float]] = {
    "u8": (1, 2.0**7),
    "s16le": (2, 2.0**15),
    "s24le": (3, 2.0**23),
    "s32le": (4, 2.0**31),
    "f32le": (4, 0.0),
    "f64le": (8, 0.0),
}
_SUBTYPES = {"PCM_U8": "u8", "PCM_S8": "u8", "PCM_16": "s16le", "PCM_24": "s24le", "PCM_32": "s32le", "FLOAT": "f32le", "DOUBLE": "f64le"}
_UNKNOWN = 0x7FFFF000  # this and above, and 0: placeholders for a length that a program does not know
_MAX_HEADER = 1 << 20


@dataclass(frozen=True)
class PcmFormat:
    """A layout of interleaved samples.

    Attributes:
        sample_rate: Hz.
        channels: Number of channels.
        encoding: One of `ENCODINGS`.
    """

    sample_rate: int
    channels: int
    encoding: str

    @property
    def frame_bytes(self) -> int:
        return ENCODINGS[self.encoding][0] * self.channels

    @property
    def subtype(self) -> str:
        """libsndfile's name of the encoding."""
        return {"u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT", "f64le": "DOUBLE"}[self.encoding]

    def decode(self, content: bytes) -> np.ndarray:
        """Decode whole frames: [frames, channels], full scale 1; float64 for more than 24 bits, else float32."""
        if self.encoding == "u8":
            audio = (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / np.float32(2**7)
        elif self.encoding == "s16le":
            audio = np.frombuffer(content, "<i2").astype(np.float32) / np.float32(2**15)
        elif self.encoding == "s24le":
            padded = np.zeros((len(content) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            audio = (padded.view("<i4")[:, 0] >> 8).astype(np.float32) / np.float32(2**23)
        elif self.encoding == "s32le":
            audio = np.frombuffer(content, "<i4") / 2.0**31
        else:
            audio = np.frombuffer(content, "<f4" if self.encoding == "f32le" else "<f8")
        return audio.reshape(-1, self.channels)

    def encode(self, audio: np.ndarray) -> bytes:
        """Invert `decode`; samples beyond full scale are clipped, never wrapped."""
        if self.encoding in ("f32le", "f64le"):
            return np.ascontiguousarray(audio, "<f4" if self.encoding == "f32le" else "<f8").tobytes()
        step = ENCODINGS[self.encoding][1]
        whole = np.clip(np.rint(np.multiply(audio, step, dtype=np.float64)), -step, step - 1)
        if self.encoding == "u8":
            return (whole + 128).astype(np.uint8).tobytes()
        if self.encoding == "s16le":
            return whole.astype("<i2").tobytes()
        if self.encoding == "s32le":
            return whole.astype("<i4").tobytes()
        return np.ascontiguousarray(whole.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3]).tobytes()


@dataclass
class PcmSink:
    """Writes audio as raw samples.

    Args:
        layout: Format of the samples.
        send: Takes the bytes.

    Attributes:
        frames: Samples per channel written so far.
        clipped: Samples beyond full scale so far, in an encoding that cannot hold them.
    """

    layout: PcmFormat
    send: Callable[[bytes], None]
    frames: int = 0
    clipped: int = 0

    def write(self, audio: np.ndarray) -> None:
        """Send float [frames, channels]."""
        if not self.layout.encoding.startswith("f"):
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1.0))
        self.frames += len(audio)
        if len(audio):
            self.send(self.layout.encode(audio))


def format_of(sample_rate: int, channels: int, subtype: str) -> PcmFormat:
    """Return the layout closest to libsndfile's `subtype`; compressed encodings become 16 bits."""
    return PcmFormat(sample_rate, channels, _SUBTYPES.get(subtype, "s16le"))


def read_wav_header(stream: BinaryIO, name: str = "stdin") -> tuple[PcmFormat, int]:
    """Read a WAV's header, up to its samples.

    Args:
        stream: The bytes.
        name: Name of the stream for messages.

    Returns:
        The layout of the samples, and the number of frames; -1 where the header does not state it.

    Raises:
        AudioFileError: Not a WAV, or one with compressed samples. The message names what was found.
    """
    start = stream.read(12)
    if not start:
        raise AudioFileError(name, "empty: no bytes arrived")
    if start[:4] not in (b"RIFF", b"RF64") or start[8:12] != b"WAVE":
        raise AudioFileError(
            name,
            f"not a WAV: it begins with {_kind(start)}",
            hint="give other formats by file name, or: ffmpeg -i FILE -f wav - | gan-audio ...",
        )
    layout: PcmFormat | None = None
    frames_64 = -1
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise AudioFileError(name, "a WAV without samples: it ends before its data chunk")
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            break
        if size > _MAX_HEADER and kind in (b"fmt ", b"ds64"):
            raise AudioFileError(name, f"damaged: its {kind.decode().strip()} chunk claims {size} bytes")
        content = _read_exactly(stream, size + size % 2, name, keep=kind in (b"fmt ", b"ds64"))
        if kind == b"fmt ":
            layout = _layout(content, name)
        elif kind == b"ds64" and len(content) >= 16:
            frames_64 = struct.unpack_from("<Q", content, 8)[0]
    if layout is None:
        raise AudioFileError(name, "damaged: its data chunk comes before its fmt chunk")
    if size == 0xFFFFFFFF and 0 < frames_64 < 1 << 62:
        return layout, frames_64 // layout.frame_bytes
    return layout, -1 if size == 0 or size >= _UNKNOWN else size // layout.frame_bytes


def wav_header(layout: PcmFormat, frames: int = -1) -> bytes:
    """Return a WAV's header. A length that is unknown, or too large for 32 bits, is written as 0xFFFFFFFF, as ffmpeg does."""
    width = ENCODINGS[layout.encoding][0]
    code = 3 if layout.encoding.startswith("f") else 1
    shape = struct.pack(
        "<HIIHH", layout.channels, layout.sample_rate, layout.sample_rate * layout.frame_bytes, layout.frame_bytes, 8 * width
    )
    if layout.channels > 2 or width > 2:  # WAVE_FORMAT_EXTENSIBLE, as its specification asks; no loudspeakers are assigned
        guid = struct.pack("<H", code) + bytes.fromhex("000000001000800000aa00389b71")
        fmt = struct.pack("<H", 0xFFFE) + shape + struct.pack("<HHI", 22, 8 * width, 0) + guid
    else:
        fmt = struct.pack("<H", code) + shape
    size = frames * layout.frame_bytes
    known = frames >= 0 and size < _UNKNOWN
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data"
    whole = len(chunks) + 4 + size + size % 2
    return b"RIFF" + struct.pack("<I", whole if known else 0xFFFFFFFF) + chunks + struct.pack("<I", size if known else 0xFFFFFFFF)


def pcm_blocks(stream: BinaryIO, layout: PcmFormat, block_frames: int, frames: int = -1, name: str = "stdin") -> Iterator[np.ndarray]:
    """Yield samples as they arrive: [n, channels], n at most `block_frames`, as soon as there is one whole frame.

    Args:
        stream: The bytes, from the first sample on.
        layout: Their layout.
        block_frames: Maximum number of frames of a block.
        frames: Number of frames in all; -1: until the stream ends.
        name: Name of the stream for messages.

    Raises:
        AudioFileError: The stream ends in the middle of a frame, or before `frames` frames.
    """
    rest, total = b"", 0
    read = getattr(stream, "read1", stream.read)
    while frames < 0 or total < frames:
        wanted = block_frames if frames < 0 else min(block_frames, frames - total)
        arrived = read(wanted * layout.frame_bytes - len(rest))
        if not arrived:
            break
        content = rest + arrived
        whole = len(content) - len(content) % layout.frame_bytes
        content, rest = content[:whole], content[whole:]
        if whole:
            audio = layout.decode(content)
            if layout.encoding.startswith("f") and not np.isfinite(audio).all():
                raise AudioFileError(name, f"NaN or infinite samples after frame {total}")
            total += len(audio)
            yield audio
    if rest:
        raise AudioFileError(name, f"ends in the middle of a frame: {len(rest)} of {layout.frame_bytes} bytes after frame {total}")
    if frames >= 0 and total < frames:
        raise AudioFileError(name, f"truncated: {total} of {frames} frames")


def _read_exactly(stream: BinaryIO, size: int, name: str, *, keep: bool) -> bytes:
    parts, left = [], size
    while left:
        part = stream.read(min(left, 1 << 16))
        if not part:
            raise AudioFileError(name, "a WAV without samples: it ends inside its header")
        left -= len(part)
        if keep:
            parts.append(part)
    return b"".join(parts)


def _layout(fmt: bytes, name: str) -> PcmFormat:
    if len(fmt) < 16:
        raise AudioFileError(name, "damaged: its fmt chunk is too short")
    code, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if code == 0xFFFE and len(fmt) >= 26:
        code = struct.unpack_from("<H", fmt, 24)[0]
    encoding = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}.get((code, bits))
    if encoding is None:
        raise AudioFileError(
            name, f"a WAV of encoding {code} with {bits} bits; expected PCM or floating point", hint="give it by its file name"
        )
    if not channels or not sample_rate:
        raise AudioFileError(name, f"damaged: it claims {channels} channels at {sample_rate} Hz")
    return PcmFormat(sample_rate, channels, encoding)


def _kind(start: bytes) -> str:
    known = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3 (ID3)", b"\xff\xfb": "MP3", b"FORM": "AIFF", b"caff": "CAF"}
    return next((label for magic, label in known.items() if start.startswith(magic)), repr(start[:4]))
