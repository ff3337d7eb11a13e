"""Open a recording: libsndfile where it can, over all bytes that `extent` finds; PyAV or ffmpeg for what else there is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from ...errors import AudioFileError
from . import media
from .extent import Survey, survey
from .find import kind_of
from .spliced import Part, Spliced

_COUNTS_FRAMES = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF", "OGG"}  # the container says how many frames it holds
_NOT_KNOWN = 1 << 60  # libsndfile reports about 2^63 frames for a stream whose header does not state its length
_MP3_TOLERANCE = 4 * 1152  # frames; without a table of contents the decoder drops a first frame that leans on ones before it


@dataclass(frozen=True)
class AudioInfo:
    """The header of a recording.

    Attributes:
        path: The file.
        sample_rate: Hz.
        channels: Number of channels.
        frames: Samples per channel; -1 where the header of a stream does not state it.
        subtype: libsndfile's name of the encoding, such as "PCM_16".
        container: libsndfile's name of the format, such as "WAV"; from the content, whatever the suffix.
        channel_mask: Loudspeakers of the channels, as WAVE_FORMAT_EXTENSIBLE numbers them; -1 where the file does not say.
        inverted: The second of two channels has the opposite polarity of the first, so that their mean would be nearly silent; known
            where the recording was mixed down.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    subtype: str
    container: str
    channel_mask: int = -1
    inverted: bool = False

    @property
    def seconds(self) -> float:
        """Length; 0 where it is not known."""
        return max(self.frames, 0) / self.sample_rate


class Sound(Protocol):
    """An open recording, as soundfile has it; `frames` is -1 or huge where the length is not known."""

    samplerate: int
    channels: int
    frames: int
    subtype: str
    format: str

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray: ...

    def seek(self, frames: int) -> int: ...

    def copy_metadata(self) -> dict[str, str]: ...

    def close(self) -> None: ...


class _File(soundfile.SoundFile):
    """A file that is not seekable: after each read soundfile would seek to where it is, and lose bits that later MP3 frames need."""

    def seekable(self) -> bool:
        return False


class _Chain:
    """Links of a recording, decoded one after another as one.

    Raises:
        soundfile.SoundFileError: libsndfile cannot read a link.
        AudioFileError: The links have different sample rates or channels.
    """

    def __init__(self, path: Path, file: BinaryIO, links: Sequence[list[Part]]):
        self._path, self._file, self._links = path, file, links
        self._lengths: list[int] = []
        self._at, self._sound = 0, self._open(0)
        first = self._sound
        self.samplerate, self.channels, self.subtype, self.format = first.samplerate, first.channels, first.subtype, first.format
        for index in range(len(links)):
            sound = first if index == 0 else self._open(index)
            if (sound.samplerate, sound.channels) != (self.samplerate, self.channels):
                found = f"{self.channels} channels at {self.samplerate} Hz, then {sound.channels} at {sound.samplerate} Hz"
                raise AudioFileError(path, f"its joined parts differ: {found}")
            self._lengths.append(sound.frames)
            if index:
                sound.close()
        self.frames = sum(self._lengths) if max(self._lengths) < _NOT_KNOWN else -1

    def _open(self, index: int) -> _File:
        return _File(Spliced(self._file, self._links[index]))

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        blocks, left = [], frames
        while left > 0:
            block = self._sound.read(left, dtype=dtype, always_2d=True)
            if not len(block):
                if self._at + 1 == len(self._links):
                    break
                self._go_to(self._at + 1)
                continue
            blocks.append(block)
            left -= len(block)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks) if blocks else np.zeros((0, self.channels), dtype)

    def seek(self, frames: int) -> int:
        at, inside = 0, frames
        while at + 1 < len(self._links) and inside >= self._lengths[at]:
            inside -= self._lengths[at]
            at += 1
        self._go_to(at)
        self._sound.seek(inside)
        return frames

    def _go_to(self, index: int) -> None:
        self._sound.close()
        self._at, self._sound = index, self._open(index)

    def copy_metadata(self) -> dict[str, str]:
        return self._sound.copy_metadata()

    def close(self) -> None:
        self._sound.close()


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[tuple[Sound, AudioInfo]]:
    """Open a recording for reading.

    Raises:
        AudioFileError: Missing, not a file, not readable, not audio, zero samples, or not all there.
    """
    path = Path(path)
    check_kind(path)
    try:  # through a descriptor, which reports the system's own reason and takes every file name
        file = path.open("rb", buffering=0)  # (unbuffered: libsndfile goes on with the descriptor)
    except FileNotFoundError as error:
        raise AudioFileError(path, "does not exist") from error
    except OSError as error:
        raise AudioFileError(path, f"cannot be opened: {(error.strerror or str(error)).lower()}") from error
    with file:
        found = _survey(path, file)
        sound = _sound(path, file, found)
        try:
            frames = sound.frames if 0 <= sound.frames < _NOT_KNOWN else -1
            if frames == 0 and not found.fault:
                raise AudioFileError(path, "zero samples")
            if found.fault:
                raise AudioFileError(path, found.fault, found.hint)
            yield sound, AudioInfo(path, sound.samplerate, sound.channels, frames, sound.subtype, sound.format, found.channel_mask)
        finally:
            sound.close()


def check_kind(path: Path) -> None:
    """Raise AudioFileError for what is no file: opening a named pipe would wait for a writer."""
    if kind := kind_of(path):
        raise AudioFileError(path, f"{kind}, not a file", "write its content to a file first; enhance takes a WAV from a pipe as -")


def _survey(path: Path, file: BinaryIO) -> Survey:
    try:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise AudioFileError(path, "empty file (0 bytes)")
        found = survey(file, size)
        file.seek(0)
    except OSError as error:  # a folder, or a failing disk
        raise AudioFileError(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    return found


def _sound(path: Path, file: BinaryIO, found: Survey) -> Sound:
    try:
        return _Chain(path, file, found.links) if found.links else _File(file.fileno(), closefd=False)
    except soundfile.SoundFileError as error:
        if found.fault:  # the better reason
            raise AudioFileError(path, found.fault, found.hint) from error
        file.seek(0)
        if media.is_media(path, file.read(16)):
            return media.open_media(path)
        raise AudioFileError(path, "not audio that libsndfile can read") from error


def decode(
    sound: Sound, info: AudioInfo, frames: int, block_frames: int, start: int = 0, dtype: str = "float32", finite: bool = True
) -> Iterator[np.ndarray]:
    """Yield checked blocks of [n, channels] up to `frames` (-1: the end); without `finite`, samples may be NaN or infinite."""
    total = 0
    may_be_infinite = finite and not info.subtype.startswith(("PCM", "DPCM", "ALAW", "ULAW"))
    exact = frames < 0 and info.frames > 0 and info.container in _COUNTS_FRAMES
    while frames < 0 or total < frames:
        if exact and start + total == info.frames:
            break
        wanted = block_frames if frames < 0 else min(block_frames, frames - total)
        try:
            block = sound.read(wanted, dtype=dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioFileError(info.path, f"damaged or truncated after {total} of {info.frames} frames") from error
        if not len(block):
            break
        if may_be_infinite and not np.isfinite(block).all():
            raise AudioFileError(info.path, "NaN or infinite samples")
        total += len(block)
        yield block
    if exact and start + total < info.frames:
        raise AudioFileError(info.path, f"truncated or damaged: {start + total} of {info.frames} frames")
    if frames < 0 and info.container == "MP3" and 0 < start + total < info.frames - _MP3_TOLERANCE:
        raise AudioFileError(info.path, f"damaged: {start + total} of {info.frames} frames")
    if frames < 0 and total == 0:
        raise AudioFileError(info.path, "zero samples")
