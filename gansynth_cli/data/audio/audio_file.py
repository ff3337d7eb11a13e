"""Read and write recordings: with `audio_stream`, the streaming half, the only code that decodes or encodes audio.

libsndfile decodes (WAV, FLAC, OGG, MP3, AIFF, CAF, AU, W64 and its other formats; the content counts, not the suffix), soxr resamples.
Audio is float32 [frames, channels], full scale is [-1, 1].
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ...errors import AudioFileError, UsageError
from ...files import replacing
from .decoder import AudioInfo, Sound, decode, opened
from .tags import PROVENANCE, read_tags
from .wav_clip import to_pcm16, wav_bytes, with_comment

CONTAINERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
LOSSY = {"OGG", "MP3"}
BLOCK = 1 << 18  # frames; one block of one-channel float32 is 1 MiB
_MP3_LEAD_IN = 10 * 1152  # an MP3 frame needs the bits of earlier ones: decode ten before the first that is wanted
_MAX_BLOCK = 1 << 23  # a wrong header must not make us allocate what it claims
_MAX_PLAIN_WAV = 1 << 30  # bytes of float32; above it libsndfile streams instead of the fast path for clips in memory


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
        audio = to_channels(audio, channels, inverted=channels == 1 and info.channels == 2 and _is_inverted([audio]))
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
        stereo = channels == 1 and info.channels == 2
        if info.frames < 0 or info.frames / info.sample_rate * sample_rate * channels > most_samples:
            return replace(info, inverted=stereo and _is_inverted(decode(sound, info, -1, BLOCK))), None
        parts = list(decode(sound, info, -1, block_frames=max(info.frames, 1)))
    audio = parts[0] if len(parts) == 1 else np.concatenate(parts)
    info = replace(info, inverted=stereo and _is_inverted([audio]))
    audio = to_channels(audio, channels, inverted=info.inverted)
    return info, resample(audio, info.sample_rate, sample_rate)


def blocks(
    path: str | os.PathLike,
    block_frames: int = BLOCK,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    inverted: bool | None = None,
) -> Iterator[np.ndarray]:
    """Decode a recording in blocks: memory does not grow with its length.

    Joined, the blocks equal what `read` returns (but for rounding where the rate changes: soxr's stream and its one-call form agree
    to about 1e-7).

    Args:
        path, sample_rate, channels: As for `read`.
        block_frames: Frames of a block at the file's own rate.
        inverted: As `AudioInfo.inverted`; None finds out, where two channels become one, by decoding the recording once before.

    Yields:
        float32 [frames, channels], of different lengths.
    """
    if inverted is None and channels == 1:
        with opened(path) as (sound, info):
            inverted = info.channels == 2 and _is_inverted(decode(sound, info, -1, BLOCK))
    flip = bool(inverted)
    with opened(path) as (sound, info):
        decoded = decode(sound, info, -1, block_frames)
        kept = decoded if channels is None else (to_channels(block, channels, inverted=flip) for block in decoded)
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


class Polarity:
    """Finds out whether the second of two channels has the opposite polarity of the first: their sum has less than a hundredth of their
    power (-20 dB), as of a balanced line that was recorded as stereo. Speech in a room stays well above that.
    """

    def __init__(self) -> None:
        self._sum = self._each = 0.0

    def add(self, audio: np.ndarray) -> None:
        """Take float [frames, 2]."""
        self._sum += float(np.square(audio.sum(axis=1, dtype=np.float64)).sum())
        self._each += float(np.square(audio, dtype=np.float64).sum())

    @property
    def inverted(self) -> bool:
        return self._each > 0 and self._sum < 0.01 * 2 * self._each


def _is_inverted(blocks: Iterable[np.ndarray]) -> bool:
    polarity = Polarity()
    for block in blocks:
        polarity.add(block)
    return polarity.inverted


def to_channels(audio: np.ndarray, channels: int, *, inverted: bool = False) -> np.ndarray:
    """Change the number of channels, [frames, c] to [frames, channels].

    To one channel by the mean of all, of two `inverted` ones by half their difference; mono is repeated; of more channels than wanted the
    first ones are kept (the front pair of 5.1); of fewer, but more than one, the last is repeated.
    """
    have = audio.shape[1]
    if have == channels:
        return audio
    if channels == 1 and inverted:
        return (audio[:, :1] - audio[:, 1:2]) / 2
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
    """Return the provenance tag, in its own field or the comment; None if there is none."""
    with opened(path) as (sound, info):
        tags = read_tags(info.path, info.container, sound.copy_metadata())
    for text in (tags.get(PROVENANCE), tags.get("comment")):
        try:
            tag = json.loads(text) if text else None
        except ValueError:
            continue
        if isinstance(tag, dict):
            return tag
    return None


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


def _seek(sound: Sound, path: str | os.PathLike, start: int, lead_in: int) -> None:
    try:
        sound.seek(max(0, start - lead_in))
        if lead_in:
            sound.read(min(start, lead_in))
    except soundfile.SoundFileError as error:
        raise AudioFileError(path, f"has no frame {start}") from error
