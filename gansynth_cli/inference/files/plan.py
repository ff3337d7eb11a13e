"""Where the output of each input file goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...data.audio.find import find_audio, is_audio_name
from ...errors import AudioFileError, UsageError
from .job import Job, Outcome, Plan
from .task import FileTask


def plan_files(task: FileTask, inputs: Sequence[Path], output: Path | None) -> Plan:
    """Plan a job for each input file.

    One folder: its tree is mirrored below `output`. Several folders: each below its own name there. Single files: into `output`
    itself. One file, and an `output` with the suffix of an audio format that is no folder: that very file.

    Args:
        task: Decides on formats and companions.
        inputs: Folders, searched to any depth, and files.
        output: Folder or file; None where the task writes nothing.

    Raises:
        UsageError: An input does not exist, an output would replace an input, two inputs have the same output, or `output` has the
            suffix of an audio format, but is no folder and not for one file.
        DatasetError: A folder holds no recording.
    """
    if output is None:
        return _plan_reading(task, inputs)
    folders = [path for path in inputs if path.is_dir()]
    to_file = len(inputs) == 1 and not folders and is_audio_name(output) and not output.is_dir()
    _check_output(task, inputs, folders, output, to_file)
    below = _folder_names(folders)
    plan = Plan()
    sources: set[Path] = set()
    out = output.resolve()
    for root, source in find_audio(inputs, task.also, plan.others):
        real = source.resolve()
        if not to_file and root in folders and real.is_relative_to(out):
            plan.left_out += 1
            continue
        sources.add(real)
        relative = source.relative_to(root)
        name = relative.as_posix()
        try:
            plan.jobs.append(task.job(name, source, output if to_file else output / below.get(root, "") / relative, to_file))
        except AudioFileError as error:
            plan.failed.append(Outcome(name, "failed", error.reason, error.hint or ""))
    plan.others = [(path, reason) for path, reason in plan.others if not path.resolve().is_relative_to(out)]
    plan.jobs = _told_apart(plan.jobs)
    _check_targets(task, plan.jobs, sources)
    return plan


def _plan_reading(task: FileTask, inputs: Sequence[Path]) -> Plan:
    """Plan jobs that read recordings and write nothing; each has its source as its target."""
    plan = Plan()
    for root, source in find_audio(inputs, task.also, plan.others):
        name = source.relative_to(root).as_posix()
        try:
            plan.jobs.append(replace(task.job(name, source, source, to_file=False), target=source))
        except AudioFileError as error:
            plan.failed.append(Outcome(name, "failed", error.reason, error.hint or ""))
    return plan


def _check_output(task: FileTask, inputs: Sequence[Path], folders: Sequence[Path], output: Path, to_file: bool) -> None:
    if not to_file and output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder for {len(inputs)} input(s).", hint=f"-o {task.words.folder}/")
    if not to_file and is_audio_name(output) and not output.is_dir():
        several = "a folder" if folders else f"{len(inputs)} files"
        raise UsageError(f"The output {output} is the name of one file, but the input is {several}.", hint=f"-o {task.words.folder}/")
    for folder in folders:
        if folder.resolve() == output.resolve():
            raise UsageError(
                f"The output folder {output} is the input folder: recordings would be replaced.",
                hint=f"-o {output.resolve().name}-{task.words.folder}",
            )


def _folder_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the name of each folder where there are several; outputs go below it."""
    names = {folder: folder.resolve().name for folder in folders} if len(folders) > 1 else {}
    if len(set(names.values())) < len(names):
        raise UsageError("Two input folders have the same name, so their outputs would mix.", hint="run the command once for each")
    return names


def _told_apart(jobs: list[Job]) -> list[Job]:
    """Where `memo.m4a` and `memo.wav` would both become `memo.wav`, the one whose suffix changes becomes `memo.m4a.wav`."""
    count = Counter(job.target for job in jobs)
    return [
        replace(job, target=job.target.with_name(job.source.name + job.target.suffix))
        if count[job.target] > 1 and job.target.suffix != job.source.suffix
        else job
        for job in jobs
    ]


def _check_targets(task: FileTask, jobs: Sequence[Job], sources: set[Path]) -> None:
    targets: dict[Path, Path] = {}
    for job in jobs:
        for path in task.outputs(job):
            if path in targets:
                raise UsageError(
                    f"{targets[path]} and {job.source} would both be written to {path}.",
                    hint="run the command once for each, with another -o",
                )
            targets[path] = job.source
    for path, source in targets.items():
        if path.resolve() in sources:
            raise UsageError(f"{path}, the output of {source}, is one of the inputs.", hint="choose another output with -o")
