"""Where the output of each input file goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...data.audio.audio_stream import format_for
from ...data.audio.find import LeftOut, find_audio, is_audio_name
from ...errors import AudioFileError, UsageError
from ...parts import Part
from .job import Job, Outcome, Plan
from .task import FileTask


@dataclass
class Listing:
    """The files that a command was given, none of them opened yet.

    Attributes:
        files: (root, path) of each, in order.
        output: Folder or file; None where nothing is written.
        to_file: `output` is the file that the one input becomes.
        below: Root -> folder below `output` where there are several.
        sources: All files resolved, those of other parts too.
        left_out: Number of recordings below the output folder, which are taken for outputs.
        others: Files of the input folders that are no recordings, with the reason.
    """

    files: list[tuple[Path, Path]]
    output: Path | None
    to_file: bool = False
    below: dict[Path, str] = field(default_factory=dict)
    sources: set[Path] = field(default_factory=set)
    left_out: int = 0
    others: LeftOut = field(default_factory=list)

    def target(self, root: Path, source: Path) -> Path:
        """Return the output of a file with the suffix of the input."""
        if self.output is None:
            return source
        return self.output if self.to_file else self.output / self.below.get(root, "") / source.relative_to(root)


def plan_files(task: FileTask, inputs: Sequence[Path], output: Path | None, part: Part | None = None) -> Plan:
    """Plan a job for each input file.

    One folder: its tree is mirrored below `output`. Several folders: each below its own name there. Single files: into `output`
    itself. One file, and an `output` with the suffix of an audio format that is no folder: that very file.

    Args:
        task: Decides on formats and companions.
        inputs: Folders, searched to any depth, and files.
        output: Folder or file; None where the task writes nothing.
        part: Plan this part of the files only. Files whose names differ in the suffix alone are in one part, as the names of their
            outputs depend on each other.

    Raises:
        UsageError: An input does not exist, `output` names a format that cannot be written, an output would replace an input, two inputs
            have the same output, or `output` has the suffix of an audio format, but is no folder and not for one file.
        DatasetError: A folder holds no recording.
    """
    listing = list_files(task, inputs, output, part)
    plan = plan_jobs(task, listing, listing.files)
    plan.left_out, plan.others = listing.left_out, listing.others
    return plan


def list_files(task: FileTask, inputs: Sequence[Path], output: Path | None, part: Part | None = None) -> Listing:
    """List the files of a command without opening any; arguments and errors as for `plan_files`."""
    folders = [path for path in inputs if path.is_dir()]
    listing = Listing([], output)
    if output is not None:
        listing.to_file = len(inputs) == 1 and not folders and is_audio_name(output) and not output.is_dir()
        _check_output(task, inputs, folders, output, listing.to_file)
        if listing.to_file:
            format_for(output, "PCM_16")  # refuses a suffix that cannot be written
        listing.below = _folder_names(folders)
    out = output.resolve() if output is not None else None
    for root, source in find_audio(inputs, task.also, listing.others):
        real = source.resolve()
        if out is not None and not listing.to_file and root in folders and real.is_relative_to(out):
            listing.left_out += 1
            continue
        listing.sources.add(real)
        listing.files.append((root, source))
    if out is not None:
        listing.others = [(path, reason) for path, reason in listing.others if not path.resolve().is_relative_to(out)]
    if part is not None:
        listing.files = part.deal(listing.files, lambda found: found[1].with_suffix(""))
    return listing


def plan_jobs(task: FileTask, listing: Listing, files: Sequence[tuple[Path, Path]]) -> Plan:
    """Open some of the files of a listing and plan their jobs; a task that writes nothing has each file as its own target."""
    plan = Plan()
    for root, source in files:
        name, target = source.relative_to(root).as_posix(), listing.target(root, source)
        try:
            job = task.job(name, source, target, listing.to_file)
            plan.jobs.append(job if listing.output is not None else replace(job, target=source))
        except AudioFileError as error:
            plan.failed.append(Outcome(name, "failed", error.reason, error.hint or ""))
    if listing.output is not None:
        plan.jobs = _told_apart(plan.jobs)
        _check_targets(task, plan.jobs, listing.sources)
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
