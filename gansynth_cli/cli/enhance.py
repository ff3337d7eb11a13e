"""`gan-audio enhance`: cleans recordings: folders, single files, pipes, live audio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import console
from .file_verb import DryRun, Json, Overwrite, Quiet, check_jobs, run_files

if TYPE_CHECKING:
    from ..inference.enhance.options import EnhanceOptions

_WHAT, _SOUND, _LIVE = "What is written", "Sound", "Live"
_STREAM = "-"


def command(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Folders (any depth) and files; - is a WAV on stdin.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Output folder, in which the inputs' tree is mirrored; for a single input also a file, or - for stdout.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="RUN|FILE.keras", help="A trained denoiser, DeepFilterNet or SEGAN.", show_default="the bundled denoiser"
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            "--strength",
            metavar="DB",
            help="Maximum attenuation in dB (0 disables noise reduction).",
            show_default="the model's",
            rich_help_panel=_SOUND,
        ),
    ] = None,
    mix: Annotated[
        float, typer.Option("--mix", metavar="0..1", help="From the unprocessed recording to the enhanced one.", rich_help_panel=_SOUND)
    ] = 1.0,
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="Use one mask for each channel; by default all share one.", rich_help_panel=_SOUND)
    ] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="One pass instead of the mean of two, half a hop apart: two thirds of the time, 8 ms less latency, slightly more noise.",
            rich_help_panel=_SOUND,
        ),
    ] = False,
    keep_noise: Annotated[
        bool, typer.Option("--keep-noise", help="Write what was removed too, as NAME.noise.SUFFIX.", rich_help_panel=_WHAT)
    ] = False,
    before_after: Annotated[
        bool, typer.Option("--before-after", help="Draw both spectrograms, as NAME.SUFFIX.before-after.png.", rich_help_panel=_WHAT)
    ] = False,
    overwrite: Overwrite = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Enhance raw samples from stdin to stdout, each block as soon as possible.", rich_help_panel=_LIVE),
    ] = False,
    rate: Annotated[int | None, typer.Option("--rate", metavar="HZ", help="Sample rate of raw samples.", rich_help_panel=_LIVE)] = None,
    channels: Annotated[int | None, typer.Option("--channels", help="Channels of raw samples, interleaved.", rich_help_panel=_LIVE)] = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar="s16le|f32le", help="Encoding of raw samples.", rich_help_panel=_LIVE)
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Number of processes; 0: one for each core (SEGAN: one).")] = 0,
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Clean recordings: less noise, the same format, rate, channels, length and timing.

    Existing outputs are skipped, so the same command continues after an interruption. A file that fails does not stop the others.

    Exit code 1 if a file failed or is silent.
    """
    console.configure(quiet=quiet, json_output=json_output)
    # The network is small: its matrix products are faster on one thread than spread over several. Read when NumPy is loaded.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    from ..inference.enhance.options import PASSES, EnhanceOptions

    options = EnhanceOptions(strength, mix, per_channel, 1 if fast else PASSES, keep_noise, before_after)
    options.check()
    check_jobs(jobs)
    given = list(inputs or [])
    piped = str(output) == _STREAM or any(str(path) == _STREAM for path in given)
    if live:
        _refuse_file_options(options, dry_run, "--live")
    else:
        _refuse_live_options({"--rate": rate, "--channels": channels, "--format": format})
    from ..inference.enhance.enhancers import find_enhancer
    from ..inference.enhance.task import EnhanceTask

    task = EnhanceTask(find_enhancer(model), options, overwrite)
    if live:
        from .enhance_pipes import LiveOptions, enhance_live

        return enhance_live(task, given, output, LiveOptions(rate, channels, format))
    if piped and given and output is not None:
        from .enhance_pipes import enhance_pipe

        _refuse_file_options(options, dry_run, "a pipe: there is no file to write beside")
        return enhance_pipe(task, given, output)
    return run_files(task, given, output, jobs=jobs or int(task.needs_tensorflow), dry_run=dry_run)


def _refuse_file_options(options: EnhanceOptions, dry_run: bool, other: str) -> None:
    """Raise UsageError for options that only make sense for files."""
    for name, given in {"--keep-noise": options.keep_noise, "--before-after": options.before_after, "--dry-run": dry_run}.items():
        if given:
            raise UsageError(f"{name} cannot be combined with {other}.", hint="give files or folders, with -o")


def _refuse_live_options(options: dict[str, object]) -> None:
    """Raise UsageError for options that only make sense for raw samples."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(
                f"{name} is for --live: recordings keep their own.",
                hint="gan-audio enhance --live --rate 48000 --channels 1 --format s16le",
            )
