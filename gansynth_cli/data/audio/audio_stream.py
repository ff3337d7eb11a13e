"""Read and write recordings in blocks, in memory that does not grow with their length: the streaming half of `audio_file`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from ...errors import AudioFileError, UsageError
from ...files import move_into_place, temporary_file
from .audio_file import BLOCK, CONTAINERS, LOSSY, as_integers, probe
from .decoder import AudioInfo, Sound, decode, opened
from .mpeg import encoder_mode, mean_bitrate
from .riff_tags import CONTAINERS as CONTAINERS_WITH_CHUNKS
from .riff_tags import write_mask
from .tags import PROVENANCE, TAGGED, Tags, read_tags, write_tags

_MAX_WAV = (1 << 32) - (1 << 16)  # bytes of samples; a WAV's header states sizes in 32 bits, a longer one becomes an RF64
_STEPPED = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32"})
_NEVER_REACHED = 8.0  # times full scale
_OPUS = (6.0, 256.0)  # kbit/s a channel


class Reader:
    """A recording that is read once from its start to its end; made by `open_reader`.

    Attributes:
        info: The header.
        tags: Title, artist, comment and so on, with all else that the file holds.
        bytes: Size of the file.
        scale: The blocks are divided by this; see `integer_scale`.
    """

    def __init__(self, sound: Sound, info: AudioInfo, status: os.stat_result, scale: float = 1.0):
        self.info, self.scale = info, scale
        self.tags = read_tags(info.path, info.container, sound.copy_metadata())
        self.bytes = status.st_size
        self._sound, self._status = sound, status

    def blocks(self, frames: int = BLOCK, *, finite: bool = True) -> Iterator[np.ndarray]:
        """Yield blocks of at most `frames`: [n, channels], float64 where the file has more than 24 bits, else float32.

        Without `finite`, samples that are NaN or infinite are passed on instead of refused.

        Raises:
            AudioFileError: As for `audio_file.read`; also the file changed or vanished meanwhile.
        """
        dtype = "float64" if self.info.subtype in ("DOUBLE", "PCM_32", "ALAC_32") else "float32"
        try:
            decoded = decode(self._sound, self.info, -1, frames, dtype=dtype, finite=finite)
            yield from decoded if self.scale == 1 else (block / block.dtype.type(self.scale) for block in decoded)
        except AudioFileError:
            self.check_unchanged()  # a file that is being replaced looks damaged, and this reason is the better one
            raise
        self.check_unchanged()

    @property
    def bitrate(self) -> float | None:
        """Mean bit rate of an MP3 or Opus, kbit/s; None for other encodings."""
        if self.info.container == "MP3":
            with self.info.path.open("rb", buffering=0) as file:
                return mean_bitrate(file, self.bytes) or None
        if self.info.subtype == "OPUS" and self.info.seconds:
            pictures = sum(len(picture.data) for picture in self.tags.kept.pictures) * 4 / 3 if self.tags.kept else 0.0
            return max(0.0, self.bytes - pictures) * 8e-3 / self.info.seconds
        return None

    def check_unchanged(self) -> None:
        """Raise AudioFileError if the file is no longer what was opened."""
        path, before = self.info.path, self._status
        try:
            now = path.stat()
        except FileNotFoundError as error:
            raise AudioFileError(path, "vanished while it was read") from error
        except OSError as error:
            raise AudioFileError(path, f"cannot be read any more: {(error.strerror or str(error)).lower()}") from error
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
            raise AudioFileError(path, "changed while it was read", hint="run the same command again when nothing writes to it")


def integer_scale(path: str | os.PathLike) -> float:
    """Return the full scale of a floating-point recording whose samples were never divided: the power of two that they reach; else 1.

    Beyond eight times full scale (18 dB) no converter goes; a script that wrote 16-bit numbers as floats does. The recording is decoded
    once.

    Raises:
        AudioFileError: As for `probe` and `Reader.blocks`.
    """
    with opened(path) as (sound, info):
        if info.subtype not in ("FLOAT", "DOUBLE"):
            return 1.0
        peak = max(
            (
                float(np.nanmax(np.abs(np.where(np.isinf(block), 0, block)), initial=0.0))
                for block in decode(sound, info, -1, BLOCK, finite=False)
            ),
            default=0.0,
        )
    return 2.0 ** np.ceil(np.log2(peak)) if peak > _NEVER_REACHED else 1.0


@contextmanager
def open_reader(path: str | os.PathLike, scale: float = 1.0) -> Iterator[Reader]:
    """Open a recording to read it block by block, divided by `scale`.

    Raises:
        AudioFileError: As for `probe`.
    """
    path = Path(path)
    status = None
    with suppress(OSError):  # `opened` reports it
        status = path.stat()
    with opened(path) as (sound, info):
        yield Reader(sound, info, status or path.stat(), scale)


class Writer:
    """Writes a recording in blocks, under a temporary name beside it: no half file is ever left under its name.

        with Writer("clean.flac", 48000, 2, subtype="PCM_24") as out:
            for block in blocks:
                out.write(block)

    Leaving the block closes the file, checks that it holds every frame, and renames it. Leaving it by an exception deletes it.

    Args:
        path: The file. Missing folders are created.
        sample_rate: Hz.
        channels: Number of channels.
        subtype: libsndfile's encoding.
        container: libsndfile's format; None takes it from the suffix: .wav, .flac, .ogg or .mp3.
        tags: Title, artist, comment and so on (names as in `Reader.tags`), as far as the container can hold them; of `Tags` all that
            their file had.
        frames: Number of frames to come, if known: a WAV that would grow beyond 4 GiB becomes an RF64.
        bitrate: kbit/s of MP3 and Opus; None leaves the choice to the encoder.
        channel_mask: Loudspeakers of the channels, for WAV; -1 leaves it to libsndfile.
        scale: What is written is multiplied by this, in an encoding without a full scale.
        overwrite: Replace an existing file.

    Attributes:
        frames: Written so far.
        clipped: Samples beyond full scale so far, in an encoding that cannot hold them.

    Raises:
        AudioFileError: The file exists, cannot be written, or the audio is not finite. Its `__cause__` is the system's error.
        UsageError: A suffix or a subtype that cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        sample_rate: int,
        channels: int,
        *,
        subtype: str = "PCM_16",
        container: str | None = None,
        tags: Mapping[str, str] | None = None,
        frames: int = -1,
        bitrate: float | None = None,
        channel_mask: int = -1,
        scale: float = 1.0,
        overwrite: bool = False,
    ):
        self.path = Path(path)
        self.sample_rate, self.channels = sample_rate, channels
        self.tags = tags if isinstance(tags, Tags) else Tags(tags)
        container = container or CONTAINERS.get(self.path.suffix.lower())
        if container is None:
            raise UsageError(
                f"{path}: cannot write the format {self.path.suffix or '(no suffix)'}; expected one of {', '.join(CONTAINERS)}."
            )
        if not soundfile.check_format(container, subtype):
            allowed = ", ".join(sorted(soundfile.available_subtypes(container)))
            raise UsageError(f"{path}: {container} has no encoding {subtype!r}; expected one of {allowed}.")
        large = container in ("WAV", "WAVEX") and frames * channels * _sample_bytes(subtype) > _MAX_WAV
        self.container, self.subtype = "RF64" if large else container, subtype
        self.frames = self.clipped = 0
        self._bitrate, self._mask, self._overwrite, self._finished = bitrate, channel_mask, overwrite, False
        self._scale = scale if subtype in ("FLOAT", "DOUBLE") else 1.0
        self._held = temporary_file(self.path)

    @property
    def unfinished(self) -> Path:
        """Path of the file until the block ends."""
        return self._temporary

    def __enter__(self) -> Self:
        if self.path.exists() and not self._overwrite:
            raise AudioFileError(self.path, "exists already", hint="add --overwrite, or choose another output")
        try:
            # Through a descriptor of our own: it takes every file name, and reports what became of the bytes.
            self._temporary, self._file = self._held.__enter__()
            self._sound = soundfile.SoundFile(
                self._file.fileno(),
                "w",
                self.sample_rate,
                self.channels,
                subtype=self.subtype,
                format=self.container,
                closefd=False,
                **self._encoder_options(),
            )
        except (OSError, soundfile.SoundFileError, TypeError) as error:
            self._discard()
            raise _cannot_write(self.path, error) from error
        if self.container not in TAGGED:
            for name, text in self._texts().items():
                with suppress(soundfile.SoundFileError, AttributeError):  # a container that cannot hold this one
                    setattr(self._sound, name, text)
        return self

    def _texts(self) -> dict[str, str]:
        """libsndfile's texts; what `PROVENANCE` says joins the comment."""
        texts = {name: text for name, text in self.tags.items() if name != PROVENANCE}
        if self.tags.get(PROVENANCE):
            texts["comment"] = "; ".join(filter(None, [texts.get("comment", ""), self.tags.sentence or self.tags[PROVENANCE]]))
        return texts

    def _encoder_options(self) -> dict[str, object]:
        if self._bitrate is None:
            return {}
        if self.subtype == "MPEG_LAYER_III":
            mode, level = encoder_mode(self._bitrate, self.sample_rate, self.channels)
            return {"compression_level": level, "bitrate_mode": mode}
        if self.subtype == "OPUS":
            low, high = _OPUS
            return {"compression_level": (high - min(max(self._bitrate / self.channels, low), high)) / (high - low)}
        return {}

    def write(self, audio: np.ndarray) -> None:
        """Append float [frames, channels]; samples beyond full scale are clipped and counted where the encoding has a full scale."""
        peak = float(np.abs(audio).max(initial=0.0))  # NaN if any sample is
        if not np.isfinite(peak):
            raise AudioFileError(self.path, "not written: NaN or infinite samples")
        if self._scale != 1:
            audio = audio * audio.dtype.type(self._scale)
        if peak > 1.0 and self.subtype not in ("FLOAT", "DOUBLE"):
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1.0))
        try:
            self._sound.write(as_integers(audio, self.subtype))
        except (OSError, soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all frames were taken
            cause = self._system_error() or error
            raise _cannot_write(self.path, cause) from cause
        self.frames += len(audio)

    def finish(self) -> None:
        """Close the file under its temporary name and check it; nothing more can be written.

        For several files that belong together: finish each, then leave their blocks, which only renames them.
        """
        if self._finished:
            return
        self._finished = True
        try:
            self._sound.close()
            self._file.close()  # where a network disk reports that it is full
            if self.frames and (held := probe(self._temporary).frames) not in (self.frames, -1):
                raise self._system_error() or OSError(f"{held} frames could be read back instead of {self.frames}")
            write_tags(self._temporary, self.container, self.tags)
            if self._mask >= 0 and self.container in CONTAINERS_WITH_CHUNKS:
                write_mask(self._temporary, self._mask)
        except (OSError, soundfile.SoundFileError, AudioFileError) as error:
            cause = error if isinstance(error, OSError) else self._system_error() or error
            raise _cannot_write(self.path, cause) from cause

    def _system_error(self) -> OSError | None:
        """Return the system's error on writing one more page: libsndfile does not report why a write failed."""
        try:
            with self._temporary.open("ab", buffering=0) as file:
                file.write(b"\0" * (1 << 16))
                os.fsync(file.fileno())
        except OSError as error:
            return error
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self.finish()
                try:
                    move_into_place(self._temporary, self.path)
                except OSError as failure:
                    raise _cannot_write(self.path, failure) from failure
        finally:
            self._discard()

    def _discard(self) -> None:
        with suppress(AttributeError, OSError, soundfile.SoundFileError):
            if not self._sound.closed:
                self._sound.close()
        with suppress(AttributeError, OSError):
            self._held.__exit__(None, None, None)


def output_format(info: AudioInfo) -> tuple[str, str, str]:
    """Return (container, subtype, suffix) for an output like this recording: its own if libsndfile can write it, else WAV."""
    if soundfile.check_format(info.container, info.subtype):
        return info.container, info.subtype, info.path.suffix
    return "WAV", "PCM_16", ".wav"


def format_for(path: Path, subtype: str) -> tuple[str, str]:
    """Return (container, subtype) for a file name: `subtype` if the container has it, else the nearest that loses least.

    Raises:
        UsageError: A suffix that cannot be written.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(f"{path}: cannot write the format {path.suffix or '(no suffix)'}; expected one of {', '.join(CONTAINERS)}.")
    if container in LOSSY:
        return container, {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}[container]
    if soundfile.check_format(container, subtype):
        return container, subtype
    fine = subtype in ("FLOAT", "DOUBLE", "PCM_32", "ALAC_24", "ALAC_32")
    return container, "PCM_24" if fine else "PCM_16"


def resampled_frames(frames: int, sample_rate: int, output_rate: int) -> int:
    """Return the number of frames after resampling; -1 (unknown) stays."""
    return frames if frames < 0 else -(-frames * output_rate // sample_rate)


def is_stepped(subtype: str) -> bool:
    """Whether an encoding is linear integer PCM, so that `as_written` can predict what is read back."""
    return subtype in _STEPPED


def as_written(audio: np.ndarray, subtype: str) -> np.ndarray:
    """Return what a reader of the written file gets: `audio` quantised and clipped by an encoding that `is_stepped`."""
    whole = as_integers(audio, subtype)
    return (whole / float(1 << 8 * whole.itemsize - 1)).astype(audio.dtype)


def _sample_bytes(subtype: str) -> int:
    return {"PCM_U8": 1, "PCM_S8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)


def _cannot_write(path: Path, error: BaseException) -> AudioFileError:
    reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else getattr(error, "reason", None) or str(error)
    return AudioFileError(path, f"cannot be written: {reason or 'the encoder refused the samples'}")
