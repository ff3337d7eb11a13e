"""Folders of recordings: what goes where, what is there already, and several processes that do the work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import audio_file, audio_stream
from ..errors import AudioFileError, UsageError
from ..processes import clean_context, follow_parent
from .enhance import enhance_file
from .enhance_job import Job, Options, Outcome, Stopped
from .enhancers import Enhancer, Found, open_enhancer

_POOL_SECONDS = 60.0  # of sound: less than this is done before processes have started


@dataclass
class Plan:
    """What a command line asks for.

    Attributes:
        jobs: The recordings that can be opened, in order.
        failed: Those that cannot, and why.
        left_out: Recordings below the output folder, which are taken for outputs.
    """

    jobs: list[Job] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    left_out: int = 0

    @property
    def seconds(self) -> float:
        return sum(job.seconds for job in self.jobs)


def plan(inputs: Sequence[Path], output: Path, options: Options) -> Plan:
    """Where each recording's output goes.

    One folder: its tree is mirrored below `output`. Several: each below its own name there. Files by name: into `output` itself. One
    file, and an `output` with the suffix of an audio format that is no folder: that file.

    Raises:
        UsageError: An input does not exist, an output would replace an input, or two inputs have one output.
        DatasetError: A folder holds no recording.
    """
    folders = [path for path in inputs if path.is_dir()]
    to_file = len(inputs) == 1 and not folders and audio_file.is_audio_name(output) and not output.is_dir()
    if not to_file and output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder for {len(inputs)} input(s).", hint="-o clean/")
    out = output.resolve()
    for folder in folders:
        if folder.resolve() == out:
            raise UsageError(
                f"The output folder {output} is the input folder: recordings would be replaced.", hint=f"-o {output.resolve().name}-clean"
            )
    below = {folder: folder.resolve().name for folder in folders} if len(folders) > 1 else {}
    if len(set(below.values())) < len(below):
        raise UsageError("Two input folders have the same name, so their outputs would mix.", hint="run the command once for each")
    made = Plan()
    targets: dict[Path, Path] = {}
    sources: set[Path] = set()
    for root, source in audio_file.find_audio(inputs):
        real = source.resolve()
        if not to_file and root in folders and real.is_relative_to(out):
            made.left_out += 1
            continue
        sources.add(real)
        relative = source.relative_to(root)
        name = relative.as_posix()
        target = output if to_file else output / below.get(root, "") / relative
        try:
            info = audio_file.probe(source)
            job = _job(name, source, target, info, to_file)
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


def _job(name: str, source: Path, target: Path, info: audio_file.AudioInfo, to_file: bool) -> Job:
    container, subtype, suffix = audio_stream.output_format(info)
    note = ""
    if to_file and target.suffix.lower() != source.suffix.lower():
        container, subtype = audio_stream.format_for(target, info.subtype)
    elif (container, subtype) != (info.container, info.subtype):
        target = target.with_suffix(suffix)
        note = f"{info.container} {info.subtype} cannot be written; the output is {container} {subtype}"
    return Job(name, source, target, container, subtype, info.seconds, note)


def enhance_jobs(
    jobs: Sequence[Job],
    enhancer: Enhancer,
    options: Options,
    *,
    workers: int = 1,
    on_audio: Callable[[float], None] = lambda seconds: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Cleans recordings; one that fails does not stop the others.

    Args:
        jobs: From `plan`.
        enhancer: The model; other processes open its file themselves.
        options: What is done.
        workers: Processes. As many are started as it pays.
        on_audio: Called in this thread or another with seconds of sound that are done.
        on_outcome: Called in this thread for every recording.

    Returns:
        What became of each, in the order of `jobs`.

    Raises:
        KeyboardInterrupt: Ctrl-C. What was whole is there, nothing else.
    """
    _remove_unfinished(jobs)
    workers = min(workers, len(jobs))
    if workers <= 1 or sum(job.seconds for job in jobs) < _POOL_SECONDS:
        outcomes = []
        for job in jobs:
            outcomes.append(enhance_file(job, enhancer, options, on_audio=on_audio))
            on_outcome(outcomes[-1])
        return outcomes
    return _in_processes(jobs, enhancer, options, workers, on_audio, on_outcome)


def _in_processes(
    jobs: Sequence[Job],
    enhancer: Enhancer,
    options: Options,
    workers: int,
    on_audio: Callable[[float], None],
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    context = clean_context()
    done_audio, stop = context.Queue(), context.Event()
    found = Found(enhancer.file, needs_tensorflow=not enhancer.masks)
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
        pool: Executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(found, options, done_audio, stop))
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
            _remove_unfinished(jobs)
            pending = run(pending, 1)
            if pending:
                died, pending = pending[0], pending[1:]
                outcomes[died] = Outcome(jobs[died].name, "failed", "its process died, probably for lack of memory", "--jobs 1 says more")
                on_outcome(outcomes[died])
    finally:
        over.set()
        counter.join()
        done_audio.close()
        _remove_unfinished(jobs)
    return [outcomes[i] for i in range(len(jobs))]


def _remove_unfinished(jobs: Sequence[Job]) -> None:
    for folder in {job.target.parent for job in jobs}:
        audio_stream.remove_unfinished(folder)


_worker: dict[str, Any] = {}  # of this process


def _start(found: Found, options: Options, done_audio: Any, stop: Any) -> None:
    """Leaves Ctrl-C to the parent, ends with it, and opens the model."""
    follow_parent()
    _worker.update(enhancer=open_enhancer(found), options=options, done_audio=done_audio, stop=stop)


def _do(job: Job) -> Outcome:
    try:
        return enhance_file(job, _worker["enhancer"], _worker["options"], on_audio=_worker["done_audio"].put, stop=_worker["stop"].is_set)
    except Stopped:
        return Outcome(job.name, "failed", "interrupted")
