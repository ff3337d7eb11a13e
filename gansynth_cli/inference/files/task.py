"""The interface of a verb over files: `FileTask`, and the `Work` that the batch runner hands to it for each file.

To add a verb over files, write one class and one command-line module. The class says how the model is loaded and what is done with one
recording; this package finds the recordings, mirrors the folder tree, skips outputs that exist, starts processes, reports failures
and never leaves half a file:

    class HalveTask(FileTask):
        words = Words("halve", "halved", "Halving", "quieter")

        def open(self) -> None:
            self.gain = 0.5  # load a model here: runs once in each process

        def process(self, job: Job, work: Work) -> None:
            with work.reader() as reader, work.writer(job.target, reader, reader.tags) as out:
                for block in work.blocks(reader):
                    out.write(block * self.gain)

The module `cli/halve.py` declares its own options beside the shared ones of `cli.file_verb` and ends with
`return run_files(HalveTask(overwrite=overwrite), inputs, output, jobs=jobs, dry_run=dry_run)`; a line in `cli.app.VERBS` adds it to the
program. `tests/test_file_task.py` does exactly this.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError, GanAudioError
from .job import Job, Outcome, Stopped

BLOCK_SECONDS = 4.0  # read, processed and written at a time
SAMPLE_RATES = (1000, 768_000)  # Hz; outside this range the header is almost certainly wrong


def check_rate(sample_rate: int) -> None:
    """Raise GanAudioError for a sample rate outside `SAMPLE_RATES`."""
    low, high = SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise GanAudioError(f"The sample rate is {sample_rate} Hz; expected {low} to {high}.")


def block_frames(sample_rate: int) -> int:
    """Return the number of samples per channel in `BLOCK_SECONDS`."""
    return max(1, round(BLOCK_SECONDS * sample_rate))


@dataclass(frozen=True)
class Words:
    """Words by which messages name a verb.

    Attributes:
        verb: Imperative: "enhance".
        done: Past participle: "enhanced".
        doing: Present participle, as the title of the progress bar: "Enhancing".
        folder: Name of an output folder in hints: "clean".
    """

    verb: str
    done: str
    doing: str
    folder: str


class Meter:
    """Counts the audio that passes through it.

    Attributes:
        frames: Samples per channel so far.
        peak: Largest magnitude so far.
    """

    def __init__(self) -> None:
        self.frames, self.peak = 0, 0.0

    def __call__(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks, float [frames, channels], unchanged."""
        for block in blocks:
            self.frames += len(block)
            self.peak = max(self.peak, float(np.fmax.reduce(np.abs(block), axis=None, initial=0.0)))  # NaN does not count
            yield block


class Work:
    """One job in progress: reads and writes for `FileTask.process`, reports progress and collects the outcome.

    Attributes:
        job: The file.
        outcome: Result so far. `blocks` fills in the length and whether the recording is silent; `process` adds clipped samples
            and notes.
    """

    def __init__(self, task: FileTask, job: Job, on_audio: Callable[[float], None], stop: Callable[[], bool]):
        self.job, self.outcome = job, Outcome(job.name, output=job.target, note=job.note)
        self._task, self._on_audio, self._stop = task, on_audio, stop
        self._scale: float | None = None  # of a floating-point recording, once it is read

    def advance(self, seconds: float) -> None:
        """Report `seconds` more of audio as processed.

        Raises:
            Stopped: The user interrupted the batch.
        """
        self._on_audio(seconds)
        if self._stop():
            raise Stopped

    @contextmanager
    def reader(self) -> Iterator[audio_stream.Reader]:
        """Open the recording for one pass.

        Raises:
            AudioFileError: It cannot be read.
            GanAudioError: Its sample rate is outside `SAMPLE_RATES`.
        """
        if self._scale is None:
            self._scale = audio_stream.integer_scale(self.job.source)
            if self._scale != 1:
                self.outcome.add_note(f"its samples reach {self._scale / 2:g} and more: taken as full scale {self._scale:g}, which is kept")
        with audio_stream.open_reader(self.job.source, self._scale) as reader:
            check_rate(reader.info.sample_rate)
            yield reader

    def blocks(self, reader: audio_stream.Reader, *, finite: bool = True) -> Iterator[np.ndarray]:
        """Yield the whole recording, float [frames, channels], `BLOCK_SECONDS` at a time, and report progress after each block.

        Without `finite`, samples that are NaN or infinite are passed on instead of refused.

        Raises:
            AudioFileError: The recording is damaged, empty, or changed meanwhile.
            Stopped: The user interrupted the batch.
        """
        rate, meter = reader.info.sample_rate, Meter()
        for block in meter(reader.blocks(block_frames(rate), finite=finite)):
            yield block
            self.advance(len(block) / rate)
        if not meter.frames:
            raise AudioFileError(self.job.source, "zero samples")
        self.outcome.audio_seconds = meter.frames / rate
        if not meter.peak:
            self.silent()

    def silent(self) -> None:
        """Report that the recording is silent, and so is the output."""
        self.outcome.status = "silent"
        self.outcome.reason = f"every sample is 0: nothing to {self._task.words.verb}, the output is silent too"

    def writer(
        self,
        path: Path,
        reader: audio_stream.Reader,
        tags: Mapping[str, str],
        *,
        subtype: str = "",
        overwrite: bool | None = None,
        sample_rate: int | None = None,
    ) -> audio_stream.Writer:
        """Open a file with the rate, channels and length of the recording in the job's format; MP3 and Opus keep their bit rate.

        Args:
            path: File to write.
            reader: The recording.
            tags: Title, artist, comment and so on.
            subtype: Another encoding than the job's.
            overwrite: Replace an existing file; None: as the task says.
            sample_rate: Hz; None: the recording's.
        """
        info = reader.info
        rate = sample_rate or info.sample_rate
        same = info.subtype == self.job.subtype
        return audio_stream.Writer(
            path,
            rate,
            info.channels,
            subtype=subtype or self.job.subtype,
            container=self.job.container,
            tags=tags,
            frames=audio_stream.resampled_frames(info.frames, info.sample_rate, rate),
            bitrate=self._task.bitrate or (reader.bitrate if same else None),
            channel_mask=info.channel_mask,
            scale=reader.scale,
            overwrite=self._task.overwrite if overwrite is None else overwrite,
        )


class FileTask(ABC):
    """A verb over files. Its constructor keeps settings, all of them picklable: worker processes get a copy and open it themselves.

    Attributes:
        words: How messages name the verb.
        also: Pattern of the names of further input files, beside recordings.
        needs_tensorflow: `open` imports TensorFlow.
        overwrite: Replace existing outputs instead of skipping them.
        writes: There are outputs; a task that only reads has none.
        bitrate: kbit/s of MP3 and Opus outputs; None: as the input.
    """

    words: ClassVar[Words]
    writes: ClassVar[bool] = True
    also: ClassVar[re.Pattern[str] | None] = None
    needs_tensorflow: bool = False
    overwrite: bool = False
    bitrate: float | None = None
    _settings: dict[str, Any] | None = None  # before `open`

    @abstractmethod
    def open(self) -> None:
        """Load what `process` needs into attributes; called once in each process that does jobs."""

    @abstractmethod
    def process(self, job: Job, work: Work) -> None:
        """Read `job.source` and write `outputs(job)`, in memory that does not grow with the length.

        Failures are raised: those that are foreseen as GanAudioError, and `Stopped` passes through.

        Args:
            job: The file.
            work: Its reader, writer, progress and outcome.
        """

    def job(self, name: str, source: Path, target: Path, to_file: bool) -> Job:
        """Plan one file; by default the output has the recording's own format, where that can be written.

        Args:
            name: Path below the input folder.
            source: Input file.
            target: Output path with the input's suffix.
            to_file: The user named the output file: its suffix decides on the format.

        Raises:
            AudioFileError: The file cannot be used.
        """
        info = audio_file.probe(source)
        container, subtype, suffix = audio_stream.output_format(info)
        note = ""
        if to_file and target.suffix.lower() != source.suffix.lower():
            container, subtype = audio_stream.format_for(target, info.subtype)
        elif (container, subtype) != (info.container, info.subtype):
            target = target.with_suffix(suffix)
            note = f"{info.container} {info.subtype} cannot be written; the output is {container} {subtype}"
        return Job(name, source, target, container, subtype, info.seconds, note)

    def outputs(self, job: Job) -> list[Path]:
        """Return the files that `process` writes, `job.target` last: they become visible in this order."""
        return [job.target]

    def may_replace(self, job: Job, path: Path) -> bool:
        """Whether an existing companion of a missing `job.target` was left by a killed run, and may be written again."""
        return True

    def made_with(self, job: Job) -> dict[str, Any]:
        """Return what the provenance tag of an existing output has to state for it to count as done; called after `open`."""
        return {}

    def describe(self) -> str:
        """Return a line about the opened model for the user; empty: none."""
        return ""

    def facts(self) -> dict[str, Any]:
        """Return what `--json` reports beside the files, such as the model's hash; called after `open`."""
        return {}

    def opened(self) -> FileTask:
        """Call `open` unless this process has done so, and return the task."""
        if self._settings is None:
            settings = dict(vars(self))
            self.open()
            self._settings = settings
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: what `open` loaded stays in its process."""
        return dict(vars(self)) if self._settings is None else dict(self._settings)
