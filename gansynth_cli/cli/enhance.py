"""`gan-audio enhance`: cleans recordings. No TensorFlow, unless the model needs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import console
from .enhance_pipes import STREAM, enhance_live, enhance_pipe, open_model
from .file_report import Words, cores, run_plan, show_plan

if TYPE_CHECKING:
    from ..inference.enhance.job import Options, Outcome

_WHAT, _SOUND, _LIVE = "What is written", "Sound", "Live"
_WORDS = Words("enhance", "enhanced", "Enhancing")


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
    ] = 24.0,
    mix: Annotated[
        float, typer.Option("--mix", metavar="0..1", help="From the recording as it was to the enhanced one.", rich_help_panel=_SOUND)
    ] = 1.0,
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="A mask for each channel; by default all share one.", rich_help_panel=_SOUND)
    ] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="One pass in place of the mean of two, half a hop apart: two thirds of the time, 8 ms less latency, a little more noise.",
            rich_help_panel=_SOUND,
        ),
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
    from ..inference.enhance.enhancers import PASSES
    from ..inference.enhance.job import Options

    options = Options(strength, mix, per_channel, 1 if fast else PASSES, keep_noise, before_after, overwrite)
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
    from ..inference.enhance.batch import enhance_jobs, plan

    made = plan(inputs, output, options)
    if made.left_out:
        console.say(f"{made.left_out} recordings in {output} are left out: that is where outputs go")
    if not made.jobs and not made.failed:
        raise UsageError(f"All recordings are in the output folder {output}.", hint="give the folder of the noisy recordings as input")
    if dry_run:
        return show_plan(made, output, options.overwrite, _WORDS)
    enhancer = open_model(model)
    workers = jobs or (1 if not enhancer.masks else cores())

    def run(on_audio: Callable[[float], None], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        return enhance_jobs(made.jobs, enhancer, options, workers=workers, on_audio=on_audio, on_outcome=on_outcome)

    return run_plan(made, output, _WORDS, run, {"model": enhancer.sha256})


def _without_files(options: Options, dry_run: bool) -> str:
    """The first option that makes sense for files only, if one is given."""
    asked = {"--keep-noise": options.keep_noise, "--before-after": options.before_after, "--dry-run": dry_run}
    return next((name for name, given in asked.items() if given), "")
