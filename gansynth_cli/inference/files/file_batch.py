"""Recordings in, recordings out: what goes where, what is there already, what became of each, and several processes that do the work.

The half of `enhance` and `convert` that is the same for both.
"""

from __future__ import annotations

import queue
import re
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from ... import files
from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError, GanAudioError, UsageError
from ...processes import clean_context, follow_parent

_POOL_SECONDS = 60.0  # of sound: less than this is done before processes have started

Status = Literal["done", "silent", "skipped", "failed"]


class Stopped(Exception):
    """The user wants no more."""


@dataclass(frozen=True)
class Job:
    """One recording to be worked on.

    Attributes:
        name: Its path below its input folder, with slashes: what messages call it.
        source: The recording.
        target: Where the output goes.
        container: libsndfile's format of the output.
        subtype: libsndfile's encoding of it.
        seconds: Its length according to its header; 0 where that does not say.
        note: What the user should know of the output's format.
    """

    name: str
    source: Path
    target: Path
    container: str
    subtype: str
    seconds: float = 0.0
    note: str = ""

    def outputs(self, options: Any) -> list[Path]:
        """The files that are written, the most important last."""
        return [self.target]


JobType = TypeVar("JobType", bound=Job)


@dataclass
class Outcome:
    """What became of one recording.

    Attributes:
        name: As in its job.
        status: "done"; "silent": written, but every sample is 0; "skipped": the output exists; "failed".
        reason: Why it failed.
        hint: What helps.
        output: The file written.
        audio_seconds: Length of the recording.
        seconds: Time it took, reading and writing included.
        clipped: Samples of the output beyond full scale, which the encoding cannot hold.
        note: What else the user should know.
    """

    name: str
    status: Status = "done"
    reason: str = ""
    hint: str = ""
    output: Path | None = None
    audio_seconds: float = 0.0
    seconds: float = 0.0
    clipped: int = 0
    note: str = ""

    @property
    def rtf(self) -> float | None:
        """Real-time factor: seconds of work for a second of sound."""
        return self.seconds / self.audio_seconds if self.audio_seconds and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        facts = {**vars(self), "seconds": round(self.seconds, 4), "audio_seconds": round(self.audio_seconds, 6)}
        rtf = self.rtf
        return {key: value for key, value in facts.items() if value not in ("", None)} | ({"rtf": round(rtf, 5)} if rtf else {})


@dataclass
class Plan(Generic[JobType]):
    """What a command line asks for.

    Attributes:
        jobs: The recordings that can be opened, in order.
        failed: Those that cannot, and why.
        left_out: Recordings below the output folder, which are taken for outputs.
    """

    jobs: list[JobType] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    left_out: int = 0

    @property
    def seconds(self) -> float:
        return sum(job.seconds for job in self.jobs)


def plan_jobs(
    inputs: Sequence[Path],
    output: Path,
    options: Any,
    job_type: type[JobType],
    outputs_name: str,
    *,
    also: re.Pattern[str] | None = None,
    make: Callable[[str, Path, Path, bool], JobType] | None = None,
) -> Plan[JobType]:
    """Where each recording's output goes.

    One folder: its tree is mirrored below `output`. Several: each below its own name there. Files by name: into `output` itself. One
    file, and an `output` with the suffix of an audio format that is no folder: that file.

    Args:
        options: For `Job.outputs`.
        job_type: What is planned.
        outputs_name: Of an output folder, in hints: "clean".
        also: What other files than recordings are called.
        make: (name, source, target with the source's suffix, whether the target was named by the user) -> job; raises AudioFileError
            for a file that cannot be used. None: a job whose output has the recording's format.

    Raises:
        UsageError: An input does not exist, an output would replace an input, or two inputs have one output.
        DatasetError: A folder holds no recording.
    """
    folders = [path for path in inputs if path.is_dir()]
    to_file = len(inputs) == 1 and not folders and audio_file.is_audio_name(output) and not output.is_dir()
    if not to_file and output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder for {len(inputs)} input(s).", hint=f"-o {outputs_name}/")
    out = output.resolve()
    for folder in folders:
        if folder.resolve() == out:
            raise UsageError(
                f"The output folder {output} is the input folder: recordings would be replaced.",
                hint=f"-o {output.resolve().name}-{outputs_name}",
            )
    below = {folder: folder.resolve().name for folder in folders} if len(folders) > 1 else {}
    if len(set(below.values())) < len(below):
        raise UsageError("Two input folders have the same name, so their outputs would mix.", hint="run the command once for each")
    made: Plan[JobType] = Plan()
    targets: dict[Path, Path] = {}
    sources: set[Path] = set()
    for root, source in audio_file.find_audio(inputs, also):
        real = source.resolve()
        if not to_file and root in folders and real.is_relative_to(out):
            made.left_out += 1
            continue
        sources.add(real)
        relative = source.relative_to(root)
        name = relative.as_posix()
        target = output if to_file else output / below.get(root, "") / relative
        try:
            job = make(name, source, target, to_file) if make else _job(job_type, name, source, target, audio_file.probe(source), to_file)
        except AudioFileError as error:
            made.failed.append(Outcome(name, "failed", error.reason, error.hint or ""))
            continue
        for path in job.outputs(options):
            if path in targets:
                raise UsageError(
                    f"{targets[path]} and {source} would both be written to {path}.", hint="run the command once for each, with another -o"
                )
            targets[path] = source
        made.jobs.append(job)
    for path, source in targets.items():
        if path.resolve() in sources:
            raise UsageError(f"{path}, the output of {source}, is one of the inputs.", hint="choose another output with -o")
    return made


def _job(job_type: type[JobType], name: str, source: Path, target: Path, info: audio_file.AudioInfo, to_file: bool) -> JobType:
    container, subtype, suffix = audio_stream.output_format(info)
    note = ""
    if to_file and target.suffix.lower() != source.suffix.lower():
        container, subtype = audio_stream.format_for(target, info.subtype)
    elif (container, subtype) != (info.container, info.subtype):
        target = target.with_suffix(suffix)
        note = f"{info.container} {info.subtype} cannot be written; the output is {container} {subtype}"
    return job_type(name, source, target, container, subtype, info.seconds, note)


def attempt(job: Job, work: Callable[[Outcome], Outcome]) -> Outcome:
    """Does one job; failures that are foreseen (a damaged file, a full disk), and defects, are told in the outcome, not raised.

    Args:
        job: What is done.
        work: Does it; is given the outcome to fill in, and gives back that or another.

    Raises:
        Stopped: `work` did.
    """
    outcome = Outcome(job.name, output=job.target, note=job.note)
    started = time.perf_counter()
    try:
        outcome = work(outcome)
    except Stopped:
        raise
    except AudioFileError as error:
        about = error.reason if Path(str(error.path)) == job.source else error.message
        outcome = Outcome(job.name, "failed", about, error.hint or "")
    except GanAudioError as error:
        outcome = Outcome(job.name, "failed", error.message, error.hint or "")
    except OSError as error:
        outcome = Outcome(job.name, "failed", f"{error.filename or job.target}: {(error.strerror or str(error)).lower()}")
    except Exception as error:  # a defect, which must not cost the night's other thousand recordings
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        outcome = Outcome(job.name, "failed", reason, "this is a defect of gan-audio: please report it with this recording")
    if outcome.status != "skipped":
        outcome.seconds = time.perf_counter() - started
    return outcome


def writer_for(job: Job, path: Path, reader: audio_stream.Reader, tags: dict[str, str], overwrite: bool) -> audio_stream.Writer:
    """Writes `path` as the recording that is being read is written: its rate, channels and length, and of MP3 its bitrate."""
    info = reader.info
    lossy = info.container == job.container == "MP3" and info.frames > 0
    return audio_stream.Writer(
        path,
        info.sample_rate,
        info.channels,
        subtype=job.subtype,
        container=job.container,
        tags=tags,
        frames=info.frames,
        bitrate=reader.bytes * 8 / info.seconds / 1000 if lossy else None,
        overwrite=overwrite,
    )


class Worker(Protocol):
    """What does the jobs of one process."""

    def __call__(self, job: Any, on_audio: Callable[[float], None], stop: Callable[[], bool]) -> Outcome:
        """Does one job. `on_audio` is called with the seconds of sound that are done since the last call, `stop` asked often.

        Raises:
            Stopped: `stop` said so. Nothing is left behind.
        """
        ...


Opener = Callable[[], Worker]  # pickled and called in every other process


def run_jobs(
    jobs: Sequence[Job],
    worker: Worker,
    opener: Opener,
    *,
    workers: int = 1,
    on_audio: Callable[[float], None] = lambda seconds: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Does jobs; one that fails does not stop the others.

    Args:
        jobs: From `plan_jobs`.
        worker: Of this process.
        opener: Makes the workers of other processes, in them.
        workers: Processes. As many are started as it pays.
        on_audio: Called in this thread or another with seconds of sound that are done.
        on_outcome: Called in this thread for every recording.

    Returns:
        What became of each, in the order of `jobs`.

    Raises:
        KeyboardInterrupt: Ctrl-C. What was whole is there, nothing else.
    """
    remove_unfinished(jobs)
    workers = min(workers, len(jobs))
    if workers <= 1 or sum(job.seconds for job in jobs) < _POOL_SECONDS:
        outcomes = []
        for job in jobs:
            outcomes.append(worker(job, on_audio, lambda: False))
            on_outcome(outcomes[-1])
        return outcomes
    return _in_processes(jobs, opener, workers, on_audio, on_outcome)


def _in_processes(
    jobs: Sequence[Job],
    opener: Opener,
    workers: int,
    on_audio: Callable[[float], None],
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    context = clean_context()
    done_audio, stop = context.Queue(), context.Event()
    outcomes: dict[int, Outcome] = {}
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            try:
                on_audio(done_audio.get(timeout=0.2))
            except queue.Empty:
                continue

    def run(pending: list[int], workers: int) -> list[int]:
        """Runs some jobs; gives back those that were lost because a process died."""
        lost = []
        pool: Executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(opener, done_audio, stop))
        try:
            futures: dict[Future[Outcome], int] = {pool.submit(_do, jobs[i]): i for i in pending}
            for future in as_completed(futures):
                try:
                    outcomes[futures[future]] = future.result()
                except BrokenProcessPool:
                    lost.append(futures[future])
                else:
                    on_outcome(outcomes[futures[future]])
        except BaseException:
            stop.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return [i for i in pending if i in lost]

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        # Long recordings first: at the end no process works alone for long.
        pending = run(sorted(range(len(jobs)), key=lambda i: -jobs[i].seconds), workers)
        while pending:
            # A process that dies takes the whole pool with it. One by one it shows which recording it was that killed it.
            remove_unfinished(jobs)
            pending = run(pending, 1)
            if pending:
                died, pending = pending[0], pending[1:]
                outcomes[died] = Outcome(jobs[died].name, "failed", "its process died, probably for lack of memory", "--jobs 1 says more")
                on_outcome(outcomes[died])
    finally:
        over.set()
        counter.join()
        done_audio.close()
        remove_unfinished(jobs)
    return [outcomes[i] for i in range(len(jobs))]


def remove_unfinished(jobs: Sequence[Job]) -> None:
    """Deletes what killed processes left where outputs go."""
    for folder in {job.target.parent for job in jobs}:
        files.remove_unfinished(folder)


_worker: dict[str, Any] = {}  # of this process


def _start(opener: Opener, done_audio: Any, stop: Any) -> None:
    """Leaves Ctrl-C to the parent, ends with it, and opens the model."""
    follow_parent()
    _worker.update(work=opener(), done_audio=done_audio, stop=stop)


def _do(job: Job) -> Outcome:
    try:
        return _worker["work"](job, _worker["done_audio"].put, _worker["stop"].is_set)
    except Stopped:
        return Outcome(job.name, "failed", "interrupted")
