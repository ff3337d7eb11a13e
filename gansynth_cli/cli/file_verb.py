"""The command line of a verb over files: the options that all of them share, and `run_files`, which runs a `FileTask` from end to end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..beam import LOCAL, parse_runner, split_options
from ..errors import UsageError
from ..parts import Part
from . import console
from .file_report import Progress, report_interrupt, report_outcomes, show_left_out, show_plan, warn_of

if TYPE_CHECKING:
    from ..inference.files.task import FileTask

_OUTPUT = "What is written"

Inputs = Annotated[list[Path] | None, typer.Argument(metavar="INPUT...", help="Folders (any depth) and files.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Output folder, in which the inputs' tree is mirrored; for a single input also a file."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing outputs; by default they are skipped.", rich_help_panel=_OUTPUT)
]
Bitrate = Annotated[
    float | None,
    typer.Option(
        "--bitrate", metavar="KBIT/S", help="Bit rate of MP3 and Opus outputs.", show_default="the input's", rich_help_panel=_OUTPUT
    ),
]
Jobs = Annotated[int, typer.Option("-j", "--jobs", help="Number of processes; 0: one for each core.")]
PartOption = Annotated[
    str,
    typer.Option("--part", metavar="I/N", help="Only part I of N of the files: for several machines, given the same command otherwise."),
]
Runner = Annotated[
    str,
    typer.Option(
        "--runner",
        metavar="local|beam[:PARTS]",
        help="beam: in parts, 16 unless given, through Apache Beam, whose own options follow --, as -- --runner=FlinkRunner.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")]


def run_files(
    task: FileTask,
    inputs: Sequence[Path] | None,
    output: Path | None,
    *,
    jobs: int = 1,
    part: str = "",
    runner: str = LOCAL,
    dry_run: bool = False,
    report: Path | None = None,
) -> int:
    """Plan, open, process and report; return the exit code.

    Args:
        task: The verb.
        inputs, output: As given on the command line, paths or URLs; a task that writes nothing has no output.
        jobs: Number of processes; 0: one for each core.
        part: Part of the files, such as 3/40; "": all.
        runner: `local`, or `beam:PARTS`, then with Beam's own options behind the inputs.
        dry_run: Show the plan only.
        report: JSON file to write, with what `--json` prints.

    Returns:
        0; 1 if a file failed or is silent; 130 after Ctrl-C.

    Raises:
        UsageError: Nothing to do, or `list_files` refuses.
        StoreError: An object store cannot be reached, or refuses.
        GanAudioError: The model cannot be opened.
    """
    from ..inference.files.run import FileRun
    from ..inference.files.through_beam import run_through_beam

    check_jobs(jobs)
    words, mine = task.words, Part.parse(part) if part else None
    beam_parts, given = parse_runner(runner), [*(inputs or ())]
    beam_options: list[str] = []
    if beam_parts:
        words_given, beam_options = split_options(given)
        given = [Path(word) for word in words_given]
    if beam_parts and mine:
        raise UsageError("--part cannot be combined with --runner beam, which makes parts of its own.", hint="--runner beam:64")
    if not given:
        raise UsageError("No input is given; expected folders or files.", hint=f"gan-audio {words.verb} recordings/ -o {words.folder}/")
    if not task.writes:
        output = None
    elif output is None:
        raise UsageError("No output is given.", hint=f"gan-audio {words.verb} {given[0]} -o {words.folder}/")
    with FileRun(task, given, output, mine) as run:
        plan = run.plan()
        if plan.left_out:
            console.say(f"{plan.left_out} files in {run.output} are left out: that is the output folder")
        show_left_out(plan.others)
        total = len(run.listing.files)
        if not total and mine is None:
            raise UsageError(
                f"All recordings are in the output folder {run.output}.", hint="give the folder of the original recordings as input"
            )
        if dry_run and run.output is not None:
            return show_plan(task, plan, run.output, run.shown)
        open_task(task)
        progress, started = Progress(total), time.monotonic()
        try:
            with console.progress(words.doing, plan.seconds or None, "s of audio") as bar:
                progress.bar = bar
                if beam_parts:
                    outcomes = run_through_beam(task, given, output, beam_parts, beam_options, progress)
                else:
                    outcomes = run.run(workers=jobs or cores(), on_audio=bar.advance, on_outcome=progress, on_failed=warn_of)
                bar.fill()
        except KeyboardInterrupt:
            return report_interrupt(progress, run.output)
    return report_outcomes(task, outcomes, run.output, time.monotonic() - started, report, plan.others)


def open_task(task: FileTask) -> None:
    """Load a task's model and say what it is."""
    started = time.perf_counter()
    if task.needs_tensorflow:
        console.start_tensorflow()
    task.opened()
    if about := task.describe():
        console.say(f"{about}, opened in {time.perf_counter() - started:.2f} s")


def check_jobs(jobs: int) -> None:
    """Raise UsageError for a negative number of processes."""
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one for each core.", hint="-j 2")


def check_bitrate(bitrate: float | None) -> None:
    """Raise UsageError for a bit rate that no encoder has."""
    if bitrate is not None and not 6 <= bitrate <= 512:
        raise UsageError(f"--bitrate is {bitrate:g}; expected 6 to 512 kbit/s.", hint="--bitrate 128")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
