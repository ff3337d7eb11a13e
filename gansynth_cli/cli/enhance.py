"""`gan-audio enhance`: cleans recordings. No TensorFlow, unless the model needs it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from . import console
from .enhance_pipes import STREAM, enhance_live, enhance_pipe, open_model, speed

if TYPE_CHECKING:
    from ..inference.enhance_batch import Plan
    from ..inference.enhance_job import Options, Outcome
    from ..inference.enhancers import Enhancer

_WHAT, _SOUND, _LIVE = "What is written", "Sound", "Live"
_MOST_NAMED = 20  # failures listed at the end
_MOST_LINES = 50  # recordings that get a line each; of more, only the progress is shown


def command(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Folders (any depth) and files; - is one WAV on stdin.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder for the outputs, the inputs' tree mirrored; for one input also a file, or - for stdout."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="RUN|FILE.keras", help="A trained denoiser or SEGAN.", show_default="the one that comes along"),
    ] = None,
    strength: Annotated[
        float,
        typer.Option("--strength", metavar="DB", help="Turn nothing down by more than this; 0 removes nothing.", rich_help_panel=_SOUND),
    ] = 20.0,
    mix: Annotated[
        float, typer.Option("--mix", metavar="0..1", help="From the recording as it was to the enhanced one.", rich_help_panel=_SOUND)
    ] = 1.0,
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="A mask for each channel; by default all share one.", rich_help_panel=_SOUND)
    ] = False,
    keep_noise: Annotated[
        bool, typer.Option("--keep-noise", help="Write what was removed too, as NAME.noise.SUFFIX.", rich_help_panel=_WHAT)
    ] = False,
    before_after: Annotated[
        bool, typer.Option("--before-after", help="Draw both spectrograms, as NAME.SUFFIX.before-after.png.", rich_help_panel=_WHAT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; by default they are skipped.", rich_help_panel=_WHAT)
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Raw samples from stdin to stdout, each block as soon as it is known.", rich_help_panel=_LIVE)
    ] = False,
    rate: Annotated[int | None, typer.Option("--rate", metavar="HZ", help="Their sample rate.", rich_help_panel=_LIVE)] = None,
    channels: Annotated[int | None, typer.Option("--channels", help="Their channels, interleaved.", rich_help_panel=_LIVE)] = None,
    format: Annotated[str | None, typer.Option("--format", metavar="s16le|f32le", help="Their encoding.", rich_help_panel=_LIVE)] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Processes; 0 is one for each core.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> int:
    """Clean recordings: less noise, the same format, rate, channels, length and timing.

    Outputs that exist are skipped, so the same command goes on after an interruption. A file that fails does not stop the others.

    Exit code 1 if a file failed or is silent; the others are done all the same.
    """
    console.configure(quiet=quiet, json_output=json_output)
    # The network is small: its matrix products are quicker on one thread than spread over several. Read when NumPy is loaded.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    from ..inference.enhance_job import Options

    options = Options(strength, mix, per_channel, keep_noise, before_after, overwrite)
    options.check()
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one a core.")
    given = list(inputs or [])
    piped = str(output) == STREAM or any(str(path) == STREAM for path in given)
    if live:
        refused = _without_files(options, dry_run)
        if refused:
            raise UsageError(f"{refused} has no meaning with --live.")
        return enhance_live(given, output, rate, channels, format, model, options)
    for option, value in (("--rate", rate), ("--channels", channels), ("--format", format)):
        if value is not None:
            raise UsageError(
                f"{option} is for --live: recordings keep their own.",
                hint="gan-audio enhance --live --rate 48000 --channels 1 --format s16le",
            )
    if not given:
        raise UsageError("No input is given; expected folders or files.", hint="gan-audio enhance recordings/ -o clean/")
    if output is None:
        raise UsageError("No output is given.", hint=f"gan-audio enhance {given[0]} -o {'-' if str(given[0]) == STREAM else 'clean/'}")
    if piped:
        if refused := _without_files(options, dry_run):
            raise UsageError(
                f"{refused} has no meaning with a pipe: there is no file to write beside.", hint="give a file or folder with -o"
            )
        return enhance_pipe(given, output, model, options)
    return _files(given, output, model, options, jobs, dry_run)


# Files and folders.


def _files(inputs: list[Path], output: Path, model: Path | None, options: Options, jobs: int, dry_run: bool) -> int:
    from ..inference.enhance_batch import enhance_jobs, plan

    made = plan(inputs, output, options)
    if made.left_out:
        console.say(f"{made.left_out} recordings in {output} are left out: that is where outputs go")
    if not made.jobs and not made.failed:
        raise UsageError(f"All recordings are in the output folder {output}.", hint="give the folder of the noisy recordings as input")
    if dry_run:
        return _show(made, output, options)
    enhancer = open_model(model)
    for outcome in made.failed:
        console.warn(f"{outcome.name}: {outcome.reason}")
    outcomes: list[Outcome] = []
    started = time.monotonic()
    total = round(made.seconds)

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.status == "done":
            if len(made.jobs) <= _MOST_LINES:
                console.say(_line(outcome))
            elif outcome.rtf:
                bar.advance(0, f"{outcome.name}: RTF {outcome.rtf:.3f}")
        elif outcome.status == "skipped":
            bar.advance(outcome.audio_seconds)
        else:
            console.warn(f"{outcome.name}: {outcome.reason}")

    try:
        with console.progress("Enhancing", total, "s of sound") as bar:
            workers = jobs or (1 if not enhancer.masks else _cores())
            ordered = enhance_jobs(made.jobs, enhancer, options, workers=workers, on_audio=bar.advance, on_outcome=report)
    except KeyboardInterrupt:
        done = len([outcome for outcome in outcomes if outcome.status in ("done", "silent")])
        console.warn(f"interrupted: {done} of {len(made.jobs)} recordings are in {output}. To go on, run the same command again.")
        return EXIT_INTERRUPTED
    return _finish(made.failed + ordered, output, enhancer, time.monotonic() - started)


def _show(made: Plan, output: Path, options: Options) -> int:
    """What would be done."""
    rows: list[list[Any]] = []
    for job in made.jobs:
        there = job.target.exists() and not options.overwrite
        rows.append([job.name, job.target, "exists: skipped" if there else f"{job.container} {job.subtype}", round(job.seconds, 2)])
    rows += [[outcome.name, "-", "fails", 0.0] for outcome in made.failed]
    console.table("", ["recording", "output", "what", "seconds"], rows)
    for outcome in made.failed:
        console.warn(f"{outcome.name}: {outcome.reason}")
    write = [row for row in rows if not str(row[2]).startswith(("exists", "fails"))]
    console.say(f"{len(write)} of {len(rows)} recordings to enhance, {sum(row[3] for row in write) / 60:.1f} minutes; nothing is written")
    console.result(
        {
            "dry_run": True,
            "output": output,
            "files": [{"name": str(name), "output": str(target), "what": what, "seconds": seconds} for name, target, what, seconds in rows],
            "failed": len(made.failed),
            "left_out": made.left_out,
        }
    )
    return EXIT_FAILED if made.failed else EXIT_OK


def _line(outcome: Outcome) -> str:
    extra = f", {outcome.clipped} samples clipped" if outcome.clipped else ""
    note = f" ({outcome.note})" if outcome.note else ""
    return f"{outcome.name}: {outcome.audio_seconds:.2f} s{speed(outcome.rtf)}{extra}{note}"


def _finish(outcomes: list[Outcome], output: Path, enhancer: Enhancer, seconds: float) -> int:
    count = {status: len([o for o in outcomes if o.status == status]) for status in ("done", "skipped", "silent", "failed")}
    audio = sum(o.audio_seconds for o in outcomes if o.status in ("done", "silent"))
    rtf = seconds / audio if audio else None
    clipped = [o for o in outcomes if o.clipped]
    written = f"{count['done'] + count['silent']} of {len(outcomes)} recordings enhanced"
    skipped = f", {count['skipped']} skipped because they exist (--overwrite makes them anew)" if count["skipped"] else ""
    console.say(f"{output}: {written}, {console.duration(audio)} of sound in {console.duration(seconds)}{speed(rtf)}{skipped}")
    if clipped:
        console.warn(
            f"{sum(o.clipped for o in clipped)} samples in {len(clipped)} recordings were beyond full scale and were clipped, not wrapped: "
            + _named(clipped)
        )
    if count["silent"]:
        console.warn(f"{count['silent']} silent, written as silence: " + _named([o for o in outcomes if o.status == "silent"]))
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        console.warn(f"{len(failed)} failed:")
        for outcome in failed[:_MOST_NAMED]:
            hint = f" (hint: {outcome.hint})" if outcome.hint else ""
            console.warn(f"  {outcome.name}: {outcome.reason}{hint}")
        if len(failed) > _MOST_NAMED:
            console.warn(f"  and {len(failed) - _MOST_NAMED} more; --json lists all")
    console.result(
        {
            "output": output,
            **count,
            "audio_seconds": round(audio, 3),
            "seconds": round(seconds, 3),
            "rtf": round(rtf, 5) if rtf else None,
            "clipped_samples": sum(o.clipped for o in outcomes),
            "model": enhancer.sha256,
            "files": [outcome.to_json() for outcome in outcomes],
        }
    )
    return EXIT_FAILED if count["failed"] or count["silent"] else EXIT_OK


def _named(outcomes: list[Outcome]) -> str:
    more = f" and {len(outcomes) - _MOST_NAMED} more" if len(outcomes) > _MOST_NAMED else ""
    return ", ".join(outcome.name for outcome in outcomes[:_MOST_NAMED]) + more


def _without_files(options: Options, dry_run: bool) -> str:
    """The first option that makes sense for files only, if one is given."""
    asked = {"--keep-noise": options.keep_noise, "--before-after": options.before_after, "--dry-run": dry_run}
    return next((name for name, given in asked.items() if given), "")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
