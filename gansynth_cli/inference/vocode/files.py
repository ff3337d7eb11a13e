"""Files of recordings or mel spectrograms, made into sound by a vocoder: what goes where, and each of them from its start to its end.

Recordings keep their channels, each made by itself; the rate is the vocoder's. Memory does not grow with the length.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path

import numpy as np

from ... import __version__
from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError
from ...signal.mel_convention import MelConvention
from ...signal.mel_front_end import check_mel
from ..files.file_batch import Job, Outcome, Plan, Stopped, Worker, attempt, plan_jobs, run_jobs
from .stream import CHUNK_FRAMES, GriffinLimVocoder, MelToAudio, mel_blocks, open_vocoder, vocode_blocks

CONVENTION_FILE = "mel.json"  # in a folder of .npy: the convention of all of them; `name.mel.json` is that of one
_MEL_FILE = re.compile(r"\.npy$", re.IGNORECASE)
_BLOCK = 1 << 16  # samples of a recording read at a time


@dataclass(frozen=True)
class VocodeJob(Job):
    """One recording or mel spectrogram, and the file to be made of it. `transposed`: the .npy holds [bands, frames]."""

    transposed: bool = False

    @property
    def is_mel(self) -> bool:
        return _MEL_FILE.search(self.source.name) is not None


class MelFile:
    """A mel spectrogram in a .npy, read piece by piece.

    Args:
        path: The file: floating-point [frames, bands], or [1, frames, bands].
        convention: What is wanted, resolved. The convention beside the file (`given_convention`), if there is one, is compared with it.
        transposed: It holds [bands, frames].

    Attributes:
        frames: How many there are.

    Raises:
        AudioFileError: It cannot be read, is no mel spectrogram, or one of another convention.
    """

    def __init__(self, path: Path, convention: MelConvention, transposed: bool = False):
        self.path, self.convention, self.transposed = path, convention, transposed
        mel, bands = self._open(), convention.bands
        if not isinstance(mel, np.ndarray) or mel.dtype.kind != "f":
            raise AudioFileError(path, f"holds {getattr(mel, 'dtype', 'several arrays')}; expected floating-point numbers")
        shape = list(mel.shape[1:] if mel.ndim == 3 and mel.shape[0] == 1 else mel.shape)
        if len(shape) != 2:
            raise AudioFileError(path, f"has the shape {shape}; expected [frames, {bands}]")
        across, along = ("frames-mels", "mels-frames") if transposed else ("mels-frames", "frames-mels")
        self.frames, found = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        if found != bands and self.frames == bands:
            kind = f"frames x {bands} bands" if transposed else f"{bands} bands x frames"
            raise AudioFileError(path, f"has the shape {shape}: {kind}, it seems, not {along}", hint=f"say so with --mel-layout {across}")
        silence = np.broadcast_to(np.float32(convention.lowest), (self.frames, found))  # the values come piece by piece
        check_mel(silence, convention, given_convention(path), path)

    def blocks(self, frames: int = CHUNK_FRAMES) -> Iterator[np.ndarray]:
        """float32 [n, bands], n at most `frames`, checked.

        Raises:
            AudioFileError: Values that no sound has under this convention.
        """
        for start in range(0, self.frames, frames):
            mel = self._rows(start, start + frames)
            check_mel(mel, self.convention, name=self.path)
            yield mel

    def _open(self) -> np.ndarray:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            about = (str(error).splitlines() or [type(error).__name__])[0]
            raise AudioFileError(self.path, f"cannot be read as .npy: {about}") from error

    def _rows(self, start: int, stop: int) -> np.ndarray:
        # Mapped anew for each piece: pages that were read stay in the process as long as their mapping does.
        mel = self._open()
        mel = mel[0] if mel.ndim == 3 else mel
        return np.array(mel[:, start:stop].T if self.transposed else mel[start:stop], np.float32)


def given_convention(path: Path) -> MelConvention | None:
    """The convention that `name.mel.json` beside `name.npy`, or `mel.json` in its folder, states; None without either."""
    for file in (path.with_suffix(".mel.json"), path.parent / CONVENTION_FILE):
        if file.is_file():
            try:
                values = json.loads(file.read_text(encoding="utf-8"))
                given = MelConvention.from_dict(values)
            except (ValueError, TypeError, AttributeError, OSError) as error:
                raise AudioFileError(path, f"{file.name} beside it states no mel convention: {error}") from error
            return given.resolved(given.sample_rate) if given.sample_rate else given
    return None


def write_convention(folder: Path, convention: MelConvention) -> None:
    """States the convention of the .npy in a folder, for `given_convention`."""
    (folder / CONVENTION_FILE).write_text(json.dumps(convention.to_dict(), indent=1) + "\n", encoding="utf-8")


def plan_vocode(
    inputs: Sequence[Path],
    output: Path,
    convention: MelConvention,
    *,
    suffix: str = ".wav",
    subtype: str = "PCM_16",
    transposed: bool = False,
) -> Plan[VocodeJob]:
    """A job for each recording and each .npy below the inputs, as `file_batch.plan_jobs` puts them.

    Args:
        inputs, output: Folders or files.
        convention: Of the vocoder.
        suffix: Of the outputs.
        subtype: libsndfile's encoding of WAV and FLAC.
        transposed: The .npy hold [bands, frames].

    Raises:
        UsageError, DatasetError: As `plan_jobs`; an encoding that the format does not have.
    """
    # Refuses an encoding that cannot be written, before the first file.
    audio_stream.Writer(Path(f"output{suffix}"), convention.sample_rate, 1, subtype=_encoding(suffix, subtype))

    def make(name: str, source: Path, target: Path, to_file: bool) -> VocodeJob:
        target = target if to_file else target.with_suffix(suffix)
        container, encoding = audio_stream.format_for(target, subtype)
        note = ""
        if _MEL_FILE.search(name):
            seconds = MelFile(source, convention, transposed).frames * convention.hop / convention.sample_rate
        else:
            info = audio_file.probe(source)
            seconds = max(info.seconds, 0.0)
            if info.sample_rate < convention.sample_rate:
                note = f"a recording of {info.sample_rate} Hz: nothing above {info.sample_rate / 2:g} Hz to say again"
        return VocodeJob(name, source, target, container, encoding, seconds, note, transposed)

    return plan_jobs(inputs, output, None, VocodeJob, "out", also=_MEL_FILE, make=make)


def _encoding(suffix: str, subtype: str) -> str:
    return {".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}.get(suffix.lower(), subtype)


def vocode_file(
    job: VocodeJob,
    vocoder: MelToAudio,
    *,
    overwrite: bool = False,
    on_audio: Callable[[float], None] = lambda seconds: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Makes one file; no half file is left.

    Args:
        job: What is read and written.
        vocoder: The model.
        overwrite: Replace an output that exists, in place of skipping it.
        on_audio: Called with the seconds of sound that are done since the last call.
        stop: Asked after each piece.

    Returns:
        What became of it. A recording whose every sample is 0 becomes silence, and is told as "silent".

    Raises:
        Stopped: `stop` said so. Nothing is left behind.
    """

    def work(outcome: Outcome) -> Outcome:
        if job.target.exists() and not overwrite:
            return Outcome(job.name, "skipped", output=job.target, audio_seconds=job.seconds)
        sound = _MelSound(job, vocoder) if job.is_mel else _RecordedSound(job, vocoder)
        written = 0.0

        def each(seconds: float) -> None:
            nonlocal written
            written += seconds
            on_audio(seconds)
            if stop():
                raise Stopped

        try:
            _write(job, vocoder, sound, outcome, overwrite, each)
        except _Silent:
            outcome.status, outcome.reason = "silent", "every sample is 0: nothing to say again, the output is silent too"
            silence = _Silence(sound.channels, sound.samples)
            _write(job, vocoder, silence, outcome, overwrite, lambda seconds: None)
            on_audio(outcome.audio_seconds - written)
        return outcome

    return attempt(job, work)


class _Silent(Exception):
    """Every sample was 0."""


class _RecordedSound:
    """What a vocoder makes of a recording, channel by channel.

    Attributes:
        channels: Of both.
        samples: At the vocoder's rate, read so far.
    """

    def __init__(self, job: VocodeJob, vocoder: MelToAudio):
        self.source, self.vocoder, self.samples, self.peak = job.source, vocoder, 0, 0.0
        self.channels = audio_file.probe(job.source).channels

    def pieces(self) -> Iterator[np.ndarray]:
        """[n, channels]; all together, in whole frames, at least `samples` but for the last frame.

        Raises:
            _Silent: At the end, if every sample was 0.
        """
        # The channels go on in step, so what waits in the tee is never more than a block.
        streams = tee(self._blocks(), self.channels)
        for parts in zip(*(self._channel(stream, i) for i, stream in enumerate(streams)), strict=True):
            yield np.stack(parts, axis=1)
        if not self.samples:
            raise AudioFileError(self.source, "zero samples")
        if not self.peak:
            raise _Silent

    def _blocks(self) -> Iterator[np.ndarray]:
        for block in audio_file.blocks(self.source, _BLOCK, sample_rate=self.vocoder.convention.sample_rate):
            self.samples += len(block)
            self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
            yield block

    def _channel(self, blocks: Iterable[np.ndarray], channel: int) -> Iterator[np.ndarray]:
        return vocode_blocks(mel_blocks((block[:, channel] for block in blocks), self.vocoder.convention), self.vocoder)


class _MelSound:
    """What a vocoder makes of a mel spectrogram; as `_RecordedSound`."""

    channels = 1

    def __init__(self, job: VocodeJob, vocoder: MelToAudio):
        self.vocoder, self.mel = vocoder, MelFile(job.source, vocoder.convention, job.transposed)
        self.samples = self.mel.frames * vocoder.convention.hop

    def pieces(self) -> Iterator[np.ndarray]:
        for piece in vocode_blocks(self.mel.blocks(), self.vocoder):
            yield piece[:, None]


class _Silence:
    """Zeros; as `_RecordedSound`."""

    def __init__(self, channels: int, samples: int):
        self.channels, self.samples = channels, samples

    def pieces(self) -> Iterator[np.ndarray]:
        for start in range(0, self.samples, _BLOCK):
            yield np.zeros((min(_BLOCK, self.samples - start), self.channels), np.float32)


def _write(
    job: VocodeJob,
    vocoder: MelToAudio,
    sound: _RecordedSound | _MelSound | _Silence,
    outcome: Outcome,
    overwrite: bool,
    each: Callable[[float], None],
) -> None:
    c = vocoder.convention
    mark = {"synthetic": True, "software": f"gan-audio {__version__}", "vocoder": vocoder.name, "model": vocoder.sha256}
    with audio_stream.Writer(
        job.target,
        c.sample_rate,
        sound.channels,
        subtype=job.subtype,
        container=job.container,
        tags={"comment": json.dumps(mark, sort_keys=True)},
        frames=round(job.seconds * c.sample_rate),
        overwrite=overwrite,
    ) as writer:
        waiting = np.zeros((0, sound.channels), np.float32)
        for piece in sound.pieces():
            # The last frame's sound may reach beyond the recording, whose length is known once its last block was read.
            waiting = np.concatenate([waiting, piece])
            ready = max(0, min(len(waiting), sound.samples - writer.frames) - c.fft)
            writer.write(waiting[:ready])
            waiting = waiting[ready:]
            each(ready / c.sample_rate)
        left = sound.samples - writer.frames
        writer.write(np.pad(waiting[:left], [(0, max(0, left - len(waiting))), (0, 0)]))
        each(left / c.sample_rate)
        outcome.audio_seconds, outcome.clipped = writer.frames / c.sample_rate, writer.clipped


def vocode_jobs(
    jobs: Sequence[VocodeJob],
    vocoder: MelToAudio,
    file: Path,
    *,
    overwrite: bool = False,
    workers: int = 1,
    on_audio: Callable[[float], None] = lambda seconds: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Makes files; one that fails does not stop the others. See `file_batch.run_jobs`.

    Args:
        file: The vocoder's (for Griffin-Lim: the one whose convention it has), which other processes open themselves.
    """
    threads = max(1, (os.cpu_count() or 1) // max(workers, 1))
    opener = partial(_open, file, isinstance(vocoder, GriffinLimVocoder), overwrite, threads)
    return run_jobs(jobs, _worker(vocoder, overwrite), opener, workers=workers, on_audio=on_audio, on_outcome=on_outcome)


def _open(file: Path, griffin_lim: bool, overwrite: bool, threads: int) -> Worker:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)  # the processes share the cores
    tf.config.threading.set_inter_op_parallelism_threads(1)
    network = open_vocoder(file)
    return _worker(GriffinLimVocoder(network.convention) if griffin_lim else network, overwrite)


def _worker(vocoder: MelToAudio, overwrite: bool) -> Worker:
    return lambda job, on_audio, stop: vocode_file(job, vocoder, overwrite=overwrite, on_audio=on_audio, stop=stop)
