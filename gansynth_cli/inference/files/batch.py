"""Run a task over many files: skip what exists, catch failures, share the work among processes."""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from ... import files
from ...data.audio import audio_file
from ...errors import AudioFileError, GanAudioError
from ...processes import clean_context, ending_at_once, follow_parent, start_tensorflow
from .job import Job, Outcome, Stopped
from .provenance import INPUT
from .task import FileTask, Work

_POOL_SECONDS = 60.0  # of audio; less than this is done before processes have started
_GRACE = (
    1.0  # seconds in which interrupted processes remove what is unfinished; those in a long step are killed, and it is removed for them
)

OnAudio = Callable[[float], None]
OnOutcome = Callable[[Outcome], None]


def run_jobs(
    task: FileTask,
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    on_audio: OnAudio = lambda seconds: None,
    on_outcome: OnOutcome = lambda outcome: None,
) -> list[Outcome]:
    """Do jobs; one that fails does not stop the others.

    Args:
        task: Opened here if it is not yet; other processes open copies of their own.
        jobs: From `plan_files`.
        workers: Maximum number of processes; no more are started than pay off.
        on_audio: Called, in this thread or another, with the seconds of audio processed since the last call.
        on_outcome: Called in this thread for every file.

    Returns:
        The outcomes in the order of `jobs`.

    Raises:
        KeyboardInterrupt: Ctrl-C. Whole outputs stay, unfinished ones are removed.
    """
    remove_unfinished(jobs)
    workers = min(workers, len(jobs))
    if workers > 1 and sum(job.seconds for job in jobs) >= _POOL_SECONDS:
        return _Pool(task, jobs, workers, on_audio, on_outcome).run()
    task.opened()
    outcomes = []
    for job in jobs:
        outcomes.append(do_job(task, job, on_audio))
        on_outcome(outcomes[-1])
    return outcomes


def do_job(task: FileTask, job: Job, on_audio: OnAudio = lambda seconds: None, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Do one job with an opened task; foreseen failures (a damaged file, a full disk) and defects end in the outcome.

    Args:
        on_audio: Called with the seconds of audio processed since the last call.
        stop: Asked after each block.

    Raises:
        Stopped: `stop` returned True. Nothing is left behind.
    """
    work = Work(task, job, on_audio, stop)
    started = time.perf_counter()
    try:
        if _is_done(task, job):
            return Outcome(job.name, "skipped", output=job.target, audio_seconds=job.seconds)
        task.process(job, work)
        outcome = work.outcome
    except Stopped:
        raise
    except AudioFileError as error:
        about = error.reason if error.path == job.source else f"{error.path}: {error.reason}"
        outcome = Outcome(job.name, "failed", about, error.hint or "")
    except GanAudioError as error:
        outcome = Outcome(job.name, "failed", error.message, error.hint or "")
    except OSError as error:
        outcome = Outcome(job.name, "failed", f"{error.filename or job.target}: {(error.strerror or str(error)).lower()}")
    except Exception as error:  # a defect, which must not cost the night's other thousand recordings
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        outcome = Outcome(job.name, "failed", reason, "this is a defect of gan-audio: please report it with this recording")
    outcome.seconds = time.perf_counter() - started
    return outcome


def _is_done(task: FileTask, job: Job) -> bool:
    """Whether all outputs of a job exist; raise AudioFileError where only some do and may not be completed."""
    if task.overwrite:
        return False
    outputs = task.outputs(job)
    if not outputs:
        return False
    there = [path for path in outputs if path.exists()]
    if not job.target.exists():
        for path in there:  # left by a run that was killed between its files, or somebody else's
            if not task.may_replace(job, path):
                raise AudioFileError(
                    path, f"exists already and was not written by gan-audio {task.words.verb}", hint="--overwrite replaces it"
                )
        return False
    if missing := [path.name for path in outputs if path not in there]:
        raise AudioFileError(
            job.target,
            f"exists already, but {', '.join(missing)} does not",
            hint="--overwrite writes all of them, with the same options",
        )
    if other := _made_otherwise(task, job):
        raise AudioFileError(
            job.target, f"the output exists already, but was made {other}", hint="--overwrite replaces it; or choose another -o"
        )
    return True


def _made_otherwise(task: FileTask, job: Job) -> str:
    """Say how the provenance tag of an existing output differs from what would be written; "" where it does not, or there is none."""
    wanted = task.made_with(job)
    try:
        tag = (audio_file.read_tag(job.target) or {}) if wanted else {}
    except AudioFileError:
        return ""
    differing = {key: value for key, value in wanted.items() if key in tag and tag[key] != value}
    if INPUT in differing:
        return "from another input"
    return "with " + ", ".join(f"{key} {tag[key]}, not {value}" for key, value in differing.items()) if differing else ""


class _Pool:
    """Worker processes that do jobs; a file that kills its process costs that file alone."""

    def __init__(self, task: FileTask, jobs: Sequence[Job], workers: int, on_audio: OnAudio, on_outcome: OnOutcome):
        self._task, self._jobs, self._workers = task, jobs, workers
        self._on_audio, self._on_outcome = on_audio, on_outcome
        self._context = clean_context()
        self._done_audio, self._stop, self._over = self._context.Queue(), self._context.Event(), threading.Event()
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> list[Outcome]:
        jobs = self._jobs
        counter = threading.Thread(target=self._count, daemon=True)
        counter.start()
        try:
            # Long recordings first: at the end no process works alone for long.
            pending = self._submit(sorted(range(len(jobs)), key=lambda i: -jobs[i].seconds), self._workers)
            while pending:
                # A process that dies takes the whole pool with it. One by one shows which recording killed it.
                remove_unfinished(jobs)
                pending = self._submit(pending, 1)
                if pending:
                    died, pending = pending[0], pending[1:]
                    reason = "its process died, probably for lack of memory"
                    self._outcomes[died] = Outcome(jobs[died].name, "failed", reason, "--jobs 1 tells more")
                    self._on_outcome(self._outcomes[died])
        finally:
            self._over.set()
            counter.join()
            self._done_audio.close()
            remove_unfinished(jobs)
        return [self._outcomes[i] for i in range(len(jobs))]

    def _count(self) -> None:
        while not self._over.is_set():
            try:
                self._on_audio(self._done_audio.get(timeout=0.2))
            except queue.Empty:
                continue

    def _submit(self, pending: list[int], workers: int) -> list[int]:
        """Do some jobs; return those that were lost because a process died."""
        lost = []
        arguments = (self._task, self._workers, self._done_audio, self._stop)
        workers_of = ProcessPoolExecutor(workers, mp_context=self._context, initializer=_start, initargs=arguments)
        with ending_at_once(workers_of, _GRACE) as pool:
            try:
                futures: dict[Future[Outcome], int] = {pool.submit(_do, self._jobs[i]): i for i in pending}
                for future in as_completed(futures):
                    try:
                        self._outcomes[futures[future]] = future.result()
                    except BrokenProcessPool:
                        lost.append(futures[future])
                    else:
                        self._on_outcome(self._outcomes[futures[future]])
            except BaseException:
                self._stop.set()
                raise
        return [i for i in pending if i in lost]


def remove_unfinished(jobs: Sequence[Job]) -> None:
    """Delete what killed processes left in the output folders; a task without outputs has none."""
    for folder in {job.target.parent for job in jobs if job.target != job.source}:
        files.remove_unfinished(folder)


_worker: dict[str, Any] = {}  # of this process


def _start(task: FileTask, workers: int, done_audio: Any, stop: Any) -> None:
    """Set up a worker process: it leaves Ctrl-C to its parent, ends with it, takes its share of the cores and opens the task."""
    follow_parent()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    if task.needs_tensorflow:
        start_tensorflow()
    _worker.update(task=task.opened(), done_audio=done_audio, stop=stop)


def _do(job: Job) -> Outcome:
    try:
        return do_job(_worker["task"], job, _worker["done_audio"].put, _worker["stop"].is_set)
    except Stopped:
        return Outcome(job.name, "failed", "interrupted")
