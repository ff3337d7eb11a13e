"""Process files through Apache Beam: each worker does parts as `--part` does them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from ... import beam
from ...errors import UsageError
from ...parts import Part
from .batch import OnOutcome
from .job import Outcome
from .run import FileRun
from .task import FileTask


def run_through_beam(
    task: FileTask,
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike | None,
    parts: int,
    options: Sequence[str] = (),
    on_outcome: OnOutcome = lambda outcome: None,
) -> list[Outcome]:
    """Process all files of a command, the same bytes as `FileRun.run` writes.

    Args:
        task: The verb; its settings are pickled.
        inputs: Folders and files, paths or URLs.
        output: Folder, a path or URL that all workers share.
        parts: Number of parts.
        options: Apache Beam's own.
        on_outcome: Called for every file when all are done.

    Raises:
        UsageError: There is no output folder, whose place the workers' reports share.
        GanAudioError: As `beam.run_parts`.
    """
    if output is None:
        raise UsageError("--runner beam needs an output folder.")
    place = beam.absolute(output)
    work = partial(_work, task, [beam.absolute(given) for given in inputs], place)
    reports = beam.run_parts(work, parts, f"{place.rstrip('/')}/{beam.REPORTS}", options)
    outcomes = [Outcome(**entry) for report in reports for entry in report]
    for outcome in outcomes:
        on_outcome(outcome)
    return outcomes


def _work(task: FileTask, inputs: list[str], output: str, part: Part) -> list[dict[str, Any]]:
    with FileRun(task, inputs, output, part) as run:
        return [vars(outcome) | {"output": outcome.output and str(outcome.output)} for outcome in run.run(workers=1)]
