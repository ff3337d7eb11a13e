"""The part of `prepare` that runs in worker processes: some recordings in, framed records out. No TensorFlow."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import AudioFileError, DatasetError, UsageError
from ...files import sha256_of
from ...processes import clean_context, ending_at_once, follow_parent
from ...stores.mirror import fetch, release
from ..audio import audio_file
from ..audio.wav_clip import wav_bytes
from ..corpora.nsynth import read_record
from ..corpora.source_file import SourceFile
from ..shards import ClipRecord, encode_example, frame_record, read_records
from .clip_cutting import CutOptions, CutReport, cut

_POOL_BYTES = 16 << 20  # of recordings: less than this is done before a pool has started
_SPILL_BYTES = 32 << 20  # records of one recording beyond this go to a file, so memory does not grow with its length


@dataclass(frozen=True)
class SplitOptions:
    """How recordings are shared among the splits, before any clip is cut.

    Attributes:
        split_by: "file": by the SHA-256 of the content, so equal files stay together; "speaker": by that of the speaker's
            name; "auto": the split that the corpus or CSV file gives, else as "file". Adding recordings moves no other.
        validation: Fraction of recordings (or speakers) for the validation split.
        test: Likewise for the test split.
        holdout_speakers: Speakers whose recordings are all test.
    """

    split_by: str = "auto"
    validation: float = 0.1
    test: float = 0.1
    holdout_speakers: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        if self.split_by not in ("auto", "file", "speaker"):
            raise UsageError(f"--split-by is {self.split_by!r}; expected file or speaker.")
        for option, value in (("--validation", self.validation), ("--test", self.test)):
            if not 0 <= value < 1:
                raise UsageError(f"{option} is {value}; expected a fraction from 0 to below 1.")
        if self.validation + self.test >= 1:
            raise UsageError(f"--validation {self.validation} and --test {self.test} leave nothing for training.")

    def split_of(self, source: SourceFile, sha256: str) -> str:
        """The split of a recording with this content."""
        if source.role == "noise":
            return f"noise-{self._share(sha256)}"
        if source.noisy is not None and source.split:  # the official test set of pairs stays apart whatever the option says
            key = hashlib.sha256(source.speaker.encode()).hexdigest() if self.split_by == "speaker" else sha256
            return source.split if source.split != "not test" else "validation" if _place(key) < self.validation else "train"
        if source.speaker and source.speaker in self.holdout_speakers:
            return "test"
        if self.split_by == "auto" and source.split:
            return source.split
        if self.split_by == "speaker":
            sha256 = hashlib.sha256(source.speaker.encode()).hexdigest()
        elif source.group:
            # The word before was chosen so that the corpora of ten sentences have some in every split.
            sha256 = hashlib.sha256(f"utterance {source.group}".encode()).hexdigest()
        return self._share(sha256)

    def _share(self, sha256: str) -> str:
        place = _place(sha256)
        return "test" if place < self.test else "validation" if place < self.test + self.validation else "train"


@dataclass(frozen=True)
class Work:
    """What a worker must know of the job.

    Attributes:
        cut: What is done to the sound.
        noise_cut: What is done to the sound of noise.
        splits: How recordings are shared among the splits.
        labels: Label name -> number.
        attributes: Attribute -> class name -> number.
        folder: For the records of long recordings; None makes no records (a dry run).
    """

    cut: CutOptions
    noise_cut: CutOptions
    splits: SplitOptions
    labels: dict[str, int]
    attributes: dict[str, dict[str, int]]
    folder: str | None


@dataclass
class Outcome:
    """What became of one recording; also a line of the journal."""

    name: str
    label: str = ""
    speaker: str = ""
    sha256: str = ""
    split: str = ""
    clips: int = 0
    padded: int = 0
    looped: int = 0
    short_pieces: int = 0
    silent_clips: int = 0
    clipped: int = 0  # clips with samples beyond full scale
    limited: bool = False
    inverted: bool = False  # two channels of opposite polarity became one by their difference
    seconds: float = 0.0  # of the clips, before padding
    dropped: str = ""  # gave no clip, as the options say
    failed: str = ""  # could not be decoded
    attributes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value or key == "name"}


@dataclass
class FileResult:
    outcome: Outcome
    records: list[bytes] = field(default_factory=list)  # framed
    spilled: str = ""  # or a shard file that holds them

    def batches(self) -> Iterator[list[bytes]]:
        """The framed records in parts of bounded size; the spill file is removed at the end."""
        if not self.spilled:
            if self.records:
                yield self.records
            return
        part: list[bytes] = []
        size = 0
        for record in read_records(Path(self.spilled)):
            part.append(frame_record(record))
            size += len(record)
            if size >= _SPILL_BYTES:
                yield part
                part, size = [], 0
        if part:
            yield part
        Path(self.spilled).unlink(missing_ok=True)


def process_unit(sources: list[SourceFile], work: Work) -> list[FileResult]:
    """All recordings of a unit, in order. A recording that fails gives no clip at all.

    Raises:
        OSError: The records of a long recording cannot be written (a full disk).
    """
    return [_process(source, work) for source in sources]


def _process(source: SourceFile, work: Work) -> FileResult:
    outcome = Outcome(source.name, source.label, source.speaker, attributes=dict(source.attributes))
    result = FileResult(outcome)
    try:
        with _as_file(source) as (path, sha256):
            outcome.sha256 = sha256
            outcome.split = work.splits.split_of(source, sha256)
            _cut_into(result, replace(source, path=path), work)
    except AudioFileError as error:
        if result.spilled:
            Path(result.spilled).unlink(missing_ok=True)
        return FileResult(Outcome(source.name, source.label, source.speaker, outcome.sha256, failed=error.reason))
    return result


@contextmanager
def _as_file(source: SourceFile) -> Iterator[tuple[Path, str]]:
    """(path, SHA-256) of a recording; of a note in a TFRecord file a WAV file that lives as long as the context."""
    if source.record is None:
        yield source.path, _sha256(source.path)
        return
    audio, rate, content = read_record(source)
    with TemporaryDirectory(prefix="gan-audio-") as folder:
        path = Path(folder, "note.wav")
        audio_file.write(path, audio, rate, subtype="FLOAT", durable=False)
        yield path, hashlib.sha256(content).hexdigest()


def _cut_into(result: FileResult, source: SourceFile, work: Work) -> None:
    outcome, report = result.outcome, CutReport()
    options = work.noise_cut if source.role == "noise" else work.cut
    size = 0
    spill = None
    try:
        for clip in cut(source.path, options, report, source.noisy):
            outcome.clips += 1
            outcome.padded += clip.filled == "pad"
            outcome.looped += clip.filled == "loop"
            outcome.clipped += clip.clipped
            outcome.seconds += clip.samples / work.cut.sample_rate
            if work.folder is None:
                continue
            record = ClipRecord(
                audio=wav_bytes(clip.pcm, work.cut.sample_rate),
                label=work.labels.get(source.label, -1),
                speaker=source.speaker,
                source=source.name,
                start=clip.start,
                id=f"{outcome.sha256[:16]}-{clip.start}",
                attributes={name: work.attributes[name][value] for name, value in source.attributes},
            )
            framed = frame_record(encode_example(record))
            if spill is not None:
                spill.write(framed)
                continue
            result.records.append(framed)
            size += len(framed)
            if size > _SPILL_BYTES:
                result.spilled = str(
                    Path(work.folder, f"spill-{hashlib.sha256(source.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")
                )
                spill = Path(result.spilled).open("wb")  # noqa: SIM115
                spill.writelines(result.records)
                result.records = []
    finally:
        if spill is not None:
            spill.close()
    outcome.dropped, outcome.limited, outcome.inverted = report.dropped, report.limited, report.inverted
    outcome.short_pieces, outcome.silent_clips = report.short_pieces, report.silent_clips


def _place(sha256: str) -> float:
    """In [0, 1)."""
    return int(sha256[:16], 16) / 2**64


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise AudioFileError(path, f"cannot be opened: {(error.strerror or str(error)).lower()}") from error


def run_units(units: list[list[SourceFile]], work: Work, workers: int, total_bytes: int) -> Generator[list[FileResult], None, None]:
    """`process_unit` of each unit, in order, by as many processes as it pays to start."""
    workers = min(workers, len(units))
    if workers <= 1 or total_bytes < _POOL_BYTES:
        for unit in units:
            fetch(_paths(unit))
            yield process_unit(unit, work)
            release(_paths(unit))
        return
    with ending_at_once(_pool(workers)) as pool:
        waiting: deque[tuple[list[SourceFile], Future[list[FileResult]]]] = deque()

        def first() -> list[FileResult]:
            unit, future = waiting.popleft()
            results = future.result()
            release(_paths(unit))
            return results

        try:
            for unit in units:
                fetch(_paths(unit))
                waiting.append((unit, pool.submit(process_unit, unit, work)))
                if len(waiting) > 2 * workers:  # as much as may be held in memory
                    yield first()
            while waiting:
                yield first()
        except BrokenProcessPool as error:
            raise DatasetError(
                "A worker process died, probably for lack of memory.",
                hint="run the same command again with a smaller --jobs; it goes on where it was",
            ) from error
        finally:
            for _, future in waiting:
                future.cancel()


def _paths(unit: list[SourceFile]) -> list[Path]:
    return [path for source in unit for path in (source.path, source.noisy) if path is not None]


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that start clean: TensorFlow, if this process has it, must not be forked."""
    return ProcessPoolExecutor(workers, mp_context=clean_context(process_unit.__module__), initializer=follow_parent)
