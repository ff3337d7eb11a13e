"""Account for the bytes of a recording: what its header promises against what is there, and how to read all of it.

libsndfile believes headers. A WAV whose writer could not seek back, or that grew beyond 4 GiB, an MP3 without a table of contents, files
that were joined, or half a file come out short and without an error. `survey` walks the container, chunk by chunk, page by page or frame by
frame, and says which bytes are sound: as links to be decoded one after another, each perhaps under a corrected header, or as a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from .chunked import CHUNKED, GREW, survey_chunks
from .mpeg import id3_length, looks_like_mpeg, survey_mpeg
from .ogg import survey_ogg
from .spliced import Part

_FLAC, _W64 = b"fLaC", b"riff\x2e\x91\xcf\x11"
_WINDOW = 1 << 20


@dataclass
class Survey:
    """Content of the bytes of a recording.

    Attributes:
        links: What is decoded, one after the other: parts of the file and corrected headers. Empty: libsndfile reads the file as it is.
        fault: Why it cannot be read whole; "" if it can.
        channel_mask: The loudspeaker mask of WAVE_FORMAT_EXTENSIBLE; -1 where there is none.
    """

    links: list[list[Part]] = field(default_factory=list)
    fault: str = ""
    channel_mask: int = -1

    @property
    def hint(self) -> str:
        """The line to type that makes a whole file of what is there."""
        if self.fault.startswith(GREW):
            return "ffmpeg -ignore_length 1 -i FILE -c copy -rf64 always WHOLE.wav"
        return "to keep what is there: ffmpeg -i FILE REPAIRED.wav"


def survey(file: BinaryIO, size: int) -> Survey:
    """Account for a file by its content, whatever its suffix; a format without a walker is left to the decoder.

    Args:
        file: Unbuffered, seekable; its position changes.
        size: Bytes.
    """
    start = _after_id3(file, size)
    file.seek(start)
    head = file.read(16)
    if head[:4] in CHUNKED or head[:8] == _W64:
        links, fault, mask = survey_chunks(file, start, size)
        return Survey(links, fault, mask)
    if head[:4] == b"OggS":
        return Survey(*survey_ogg(file, start, size))
    if head[:4] == _FLAC:
        return Survey(_flac_links(file, size))
    if looks_like_mpeg(head) or start:
        return Survey(*survey_mpeg(file, size))
    return Survey()


def _after_id3(file: BinaryIO, size: int) -> int:
    """Position after the ID3v2 tags at the start."""
    position = 0
    while position + 10 <= size:
        file.seek(position)
        head = file.read(10)
        length = id3_length(head)
        if not length:
            break
        position += length
    return position


def _flac_links(file: BinaryIO, size: int) -> list[list[Part]]:
    """The streams of joined FLAC files; none for a single one. A stream begins with fLaC and its STREAMINFO of 34 bytes."""
    starts, position, kept = [], 0, b""
    file.seek(0)
    while block := file.read(_WINDOW):
        text, origin = kept + block, position - len(kept)
        place = text.find(_FLAC)
        while 0 <= place <= len(text) - 8:
            if text[place + 4 : place + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):
                starts.append(origin + place)
            place = text.find(_FLAC, place + 4)
        position += len(block)
        kept = text[-7:]
    starts = sorted(set(starts))
    if len(starts) < 2:
        return []
    return [[(first, last - first)] for first, last in zip(starts, [*starts[1:], size], strict=True)]
