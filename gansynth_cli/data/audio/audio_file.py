"""Read and write recordings: with `audio_stream`, the streaming half, the only code that decodes or encodes audio.

libsndfile decodes (WAV, FLAC, OGG, MP3, AIFF, CAF, AU, W64 and its other formats; the content counts, not the suffix), soxr resamples.
Audio is float32 [frames, channels], full scale is [-1, 1].
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from ...errors import AudioFileError, UsageError
from ...files import replacing
from .wav_clip import to_pcm16, wav_bytes, with_comment

CONTAINERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
LOSSY = {"OGG", "MP3"}
_COUNTS_FRAMES = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF"}  # the header says how many frames follow
_NOT_KNOWN = 1 << 60  # libsndfile reports about 2^63 frames for a stream whose header does not state its length
BLOCK = 1 << 18  # frames; one block of one-channel float32 is 1 MiB
_MP3_LEAD_IN = 10 * 1152  # an MP3 frame needs the bits of earlier ones: decode ten before the first that is wanted
_MAX_BLOCK = 1 << 23  # a wrong header must not make us allocate what it claims
_MAX_PLAIN_WAV = 1 << 30  # bytes of float32; above it libsndfile streams instead of the fast path for clips in memory


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
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    subtype: str
    container: str

    @property
    def seconds(self) -> float:
        """Length; 0 where it is not known."""
        return max(self.frames, 0) / self.sample_rate


def probe(path: str | os.PathLike) -> AudioInfo:
    """Read the header only.

    Raises:
        AudioFileError: Missing, not readable, not audio, zero samples, or shorter than its header says.
    """
    with opened(path) as (sound, info):
        del sound
        return info


def read(
    path: str | os.PathLike,
    *,
    start: int = 0,
    frames: int = -1,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> tuple[np.ndarray, int]:
    """Decode a recording, or a part of it, into memory.

    Args:
        path: The file.
        start: First frame, at the file's own rate.
        frames: Number of frames at the file's own rate; -1 reads to the end.
        sample_rate: Resample to this rate, Hz; None keeps the file's.
        channels: As in `to_channels`; None keeps the file's.

    Returns:
        float32 [frames, channels] and its sample rate.

    Raises:
        AudioFileError: As for `probe`; also damaged data, and samples that are NaN or infinite.
    """
    with opened(path) as (sound, info):
        if start:
            _seek(sound, path, start, lead_in=_MP3_LEAD_IN if info.container == "MP3" else 0)
        expected = frames if frames >= 0 else info.frames - start
        parts = list(decode(sound, info, frames, block_frames=min(max(expected, BLOCK), _MAX_BLOCK), start=start))
    audio = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros((0, info.channels), np.float32)
    if channels is not None:
        audio = to_channels(audio, channels)
    if sample_rate is not None and sample_rate != info.sample_rate:
        return resample(audio, info.sample_rate, sample_rate), sample_rate
    return audio, info.sample_rate


def load(path: str | os.PathLike, *, sample_rate: int, channels: int, most_samples: int) -> tuple[AudioInfo, np.ndarray | None]:
    """Read header and audio, opening the file once.

    Args:
        path, sample_rate, channels: As for `read`.
        most_samples: Maximum size of the audio, all channels together.

    Returns:
        The header, and float32 [frames, channels] or, where it would be larger than `most_samples`, None.

    Raises:
        AudioFileError: As for `read`.
    """
    with opened(path) as (sound, info):
        if info.frames < 0 or info.frames / info.sample_rate * sample_rate * channels > most_samples:
            return info, None
        parts = list(decode(sound, info, -1, block_frames=max(info.frames, 1)))
    audio = to_channels(parts[0] if len(parts) == 1 else np.concatenate(parts), channels)
    return info, resample(audio, info.sample_rate, sample_rate)


def blocks(
    path: str | os.PathLike,
    block_frames: int = BLOCK,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Iterator[np.ndarray]:
    """Decode a recording in blocks: memory does not grow with its length.

    Joined, the blocks equal what `read` returns (but for rounding where the rate changes: soxr's stream and its one-call form agree
    to about 1e-7).

    Args:
        path, sample_rate, channels: As for `read`.
        block_frames: Frames of a block at the file's own rate.

    Yields:
        float32 [frames, channels], of different lengths.
    """
    with opened(path) as (sound, info):
        decoded = decode(sound, info, -1, block_frames)
        kept = decoded if channels is None else (to_channels(block, channels) for block in decoded)
        yield from kept if sample_rate is None else resampled_blocks(kept, info.sample_rate, sample_rate)


def resampled_blocks(blocks: Iterable[np.ndarray], source_rate: int, target_rate: int) -> Iterator[np.ndarray]:
    """Resample float32 [frames, channels] that arrives in blocks; equals `resample` of the whole to about 1e-7."""
    if source_rate == target_rate:
        yield from blocks
        return
    stream, channels = None, 1
    for block in blocks:
        if stream is None:
            channels = block.shape[1]
            stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32")
        resampled = stream.resample_chunk(block)
        if len(resampled):
            yield resampled
    if stream is not None:
        rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
        if len(rest):
            yield rest


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample [frames] or [frames, channels] by soxr at high quality: passband to 0.91 of Nyquist, 120 dB stopband."""
    if source_rate == target_rate or not len(audio):
        return audio
    return soxr.resample(audio, source_rate, target_rate)


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Change the number of channels, [frames, c] to [frames, channels].

    To one channel by the mean of all; mono is repeated; of more channels than wanted the first ones are kept (the front pair of 5.1);
    of fewer, but more than one, the last is repeated.
    """
    have = audio.shape[1]
    if have == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=1, keepdims=True, dtype=np.float32)
    if have > channels:
        return audio[:, :channels]
    return np.concatenate([audio] + [audio[:, -1:]] * (channels - have), axis=1)


def write(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate: int,
    *,
    subtype: str = "PCM_16",
    tag: dict | None = None,
    overwrite: bool = False,
    durable: bool = True,
) -> None:
    """Write a recording under a temporary name beside it, then rename: no half file is ever left under its name.

    Args:
        path: Its suffix decides on the container: .wav, .flac, .ogg (Vorbis) or .mp3. Missing folders are created.
        audio: [frames, channels] or [frames], full scale [-1, 1]; samples beyond it are clipped.
        sample_rate: Hz.
        subtype: libsndfile's encoding of WAV and FLAC; OGG and MP3 have only one.
        tag: Provenance tag of synthetic audio, written as JSON into the comment field that every player shows.
        overwrite: Replace an existing file.
        durable: Whether it has to survive a power cut; see `files.replacing`.

    Raises:
        AudioFileError: The file exists, cannot be written, or the audio is not finite.
        UsageError: A suffix or a subtype that cannot be written.
    """
    path = Path(path)
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(f"{path}: cannot write the format {path.suffix or '(no suffix)'}; expected one of {', '.join(CONTAINERS)}.")
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, subtype)
    if not soundfile.check_format(container, subtype):
        allowed = ", ".join(sorted(soundfile.available_subtypes(container)))
        raise UsageError(f"{path}: {container} has no encoding {subtype!r}; expected one of {allowed}.")
    audio = np.asarray(audio, np.float32)
    audio = audio[:, None] if audio.ndim == 1 else audio
    if not np.isfinite(audio).all():
        raise AudioFileError(path, "not written: NaN or infinite samples")
    if path.exists() and not overwrite:
        raise AudioFileError(path, "exists already", hint="add --overwrite, or choose another output")
    comment = json.dumps(tag, sort_keys=True) if tag is not None else ""  # ASCII: players read it in several encodings
    try:
        with replacing(path, durable=durable) as temporary:
            if (container, subtype) == ("WAV", "PCM_16") and audio.nbytes < _MAX_PLAIN_WAV:
                temporary.write_bytes(with_comment(wav_bytes(to_pcm16(audio), sample_rate), comment))
            else:
                with soundfile.SoundFile(temporary, "w", sample_rate, audio.shape[1], subtype=subtype, format=container) as sound:
                    if comment:
                        sound.comment = comment
                    sound.write(as_integers(audio, subtype))
    except (OSError, soundfile.SoundFileError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AudioFileError(path, f"cannot be written: {reason}") from error


def read_tag(path: str | os.PathLike) -> dict | None:
    """Return the provenance tag in the comment field; None if there is none."""
    with opened(path) as (sound, _):
        comment = sound.comment
    try:
        tag = json.loads(comment) if comment else None
    except ValueError:
        return None
    return tag if isinstance(tag, dict) else None


def as_integers(audio: np.ndarray, subtype: str) -> np.ndarray:
    """Convert to the type that libsndfile stores without scaling: it writes with a factor of 2^n - 1 and reads with 2^n."""
    if subtype in ("FLOAT", "DOUBLE"):
        return np.ascontiguousarray(audio, np.float32 if subtype == "FLOAT" else np.float64)
    if subtype in ("VORBIS", "OPUS", "MPEG_LAYER_III"):
        return np.clip(audio, -1.0, 1.0).astype(np.float32)
    if subtype in ("PCM_S8", "PCM_U8"):
        return (np.clip(np.rint(audio * 128.0), -128, 127) * 256).astype(np.int16)
    if subtype in ("PCM_24", "PCM_32"):  # int32 whose top bits count
        step = 2.0 ** (23 if subtype == "PCM_24" else 31)
        whole = np.clip(np.rint(audio.astype(np.float64) * step), -step, step - 1).astype(np.int64)
        return (whole << (8 if subtype == "PCM_24" else 0)).astype(np.int32)
    return to_pcm16(audio)


class _Sound(soundfile.SoundFile):
    """A file that is not seekable: after each read soundfile would seek to where it is, and lose bits that later MP3 frames need."""

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[tuple[soundfile.SoundFile, AudioInfo]]:
    """Open through a file descriptor, which reports the system's own reason and takes every file name."""
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (unbuffered: libsndfile goes on with the descriptor)
    except FileNotFoundError as error:
        raise AudioFileError(path, "does not exist") from error
    except OSError as error:
        raise AudioFileError(path, f"cannot be opened: {(error.strerror or str(error)).lower()}") from error
    with file:
        missing = _check_start(path, file)
        try:
            sound = _Sound(file.fileno(), closefd=False)
        except soundfile.SoundFileError as error:
            raise AudioFileError(path, "not audio that libsndfile can read") from error
        with sound:
            frames = sound.frames if 0 <= sound.frames < _NOT_KNOWN else -1
            if frames == 0:
                raise AudioFileError(path, "zero samples")
            if missing:
                raise AudioFileError(path, f"truncated: {missing} bytes that the header promises are missing")
            yield sound, AudioInfo(Path(path), sound.samplerate, sound.channels, frames, sound.subtype, sound.format)


def _check_start(path: str | os.PathLike, file: BinaryIO) -> int:
    """Return the bytes that a WAV's data chunk promises beyond the end of the file; libsndfile silently shortens such a file."""
    try:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
    except OSError as error:  # a folder, or a failing disk
        raise AudioFileError(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if size == 0:
        raise AudioFileError(path, "empty file (0 bytes)")
    missing = 0
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        position = 12
        while position + 8 <= size:
            file.seek(position)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                if length not in (0, 0xFFFFFFFF, 0x7FFFFFFF) and length < 0xFFFFFF00:  # placeholders of streaming writers
                    missing = max(0, position + 8 + length - size)
                break
            position += 8 + length + length % 2
    file.seek(0)
    return missing


def _seek(sound: soundfile.SoundFile, path: str | os.PathLike, start: int, lead_in: int) -> None:
    try:
        sound.seek(max(0, start - lead_in))
        if lead_in:
            sound.read(min(start, lead_in), dtype="float32")
    except soundfile.SoundFileError as error:
        raise AudioFileError(path, f"has no frame {start}") from error


def decode(
    sound: soundfile.SoundFile,
    info: AudioInfo,
    frames: int,
    block_frames: int,
    start: int = 0,
    dtype: str = "float32",
    finite: bool = True,
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
        raise AudioFileError(info.path, f"truncated: {start + total} of {info.frames} frames")
    if frames < 0 and total == 0:
        raise AudioFileError(info.path, "zero samples")
