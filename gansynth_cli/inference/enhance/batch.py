"""Folders of recordings to be cleaned: `file_batch` with an enhancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..files import file_batch
from ..files.file_batch import Worker
from .enhancers import Enhancer, Found, open_enhancer
from .job import Job, Options, Outcome
from .process import enhance_file

Plan = file_batch.Plan[Job]


def plan(inputs: Sequence[Path], output: Path, options: Options) -> Plan:
    """Where each recording's output goes: `file_batch.plan_jobs`."""
    return file_batch.plan_jobs(inputs, output, options, Job, "clean")


def enhance_jobs(
    jobs: Sequence[Job],
    enhancer: Enhancer,
    options: Options,
    *,
    workers: int = 1,
    on_audio: Callable[[float], None] = lambda seconds: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Cleans recordings; one that fails does not stop the others. See `file_batch.run_jobs`; other processes open the model's file."""
    found = Found(enhancer.file, needs_tensorflow=not enhancer.masks)
    opener = partial(_open, found, options)
    return file_batch.run_jobs(jobs, _worker(enhancer, options), opener, workers=workers, on_audio=on_audio, on_outcome=on_outcome)


def _open(found: Found, options: Options) -> Worker:
    return _worker(open_enhancer(found), options)


def _worker(enhancer: Enhancer, options: Options) -> Worker:
    return lambda job, on_audio, stop: enhance_file(job, enhancer, options, on_audio=on_audio, stop=stop)
