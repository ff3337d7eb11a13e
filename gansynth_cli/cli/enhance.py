"""`gan-audio enhance`: cleans and repairs recordings: folders, single files, pipes, live audio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..beam import LOCAL
from ..errors import UsageError
from . import console
from .file_verb import Bitrate, DryRun, Json, Overwrite, PartOption, Quiet, Runner, check_bitrate, check_jobs, run_files

if TYPE_CHECKING:
    from ..inference.enhance.options import EnhanceOptions

_WHAT, _SOUND, _REPAIR, _LIVE = "What is written", "Sound", "Repair", "Live"
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
            help="One pass of the small bundled denoiser (or of --model): less time, more noise.",
            rich_help_panel=_SOUND,
        ),
    ] = False,
    do: Annotated[
        str,
        typer.Option(
            "--do",
            metavar="STEP,...",
            help="Steps to run, always in this order: gaps, clipping, hum, dry, denoise, bandwidth (dry needs a model that is not"
            " bundled yet).",
            rich_help_panel=_REPAIR,
        ),
    ] = "denoise",
    gaps: Annotated[
        Path | None,
        typer.Option(
            "--gaps",
            metavar="FILE|FOLDER",
            help="List of gaps, a line of START END in seconds for each; a folder has NAME.txt for NAME.wav.",
            rich_help_panel=_REPAIR,
        ),
    ] = None,
    headroom: Annotated[
        float,
        typer.Option("--headroom", metavar="DB", help="Lower the output, so that restored peaks fit.", rich_help_panel=_REPAIR),
    ] = 0.0,
    bandwidth_model: Annotated[
        str | None,
        typer.Option(
            "--bandwidth-model",
            metavar="RUN|FILE.keras",
            help="A trained bandwidth extender (recipe bwe/small); --do bandwidth needs one.",
            rich_help_panel=_REPAIR,
        ),
    ] = None,
    output_rate: Annotated[
        int | None,
        typer.Option(
            "--output-rate",
            metavar="HZ",
            help="Sample rate of the output, for --do bandwidth.",
            show_default="the recording's",
            rich_help_panel=_REPAIR,
        ),
    ] = None,
    detect_only: Annotated[
        bool, typer.Option("--detect-only", help="Tell what the steps would repair, and write nothing.", rich_help_panel=_REPAIR)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="JSON", help="Write what was found in each recording, and where.", rich_help_panel=_REPAIR),
    ] = None,
    keep_removed: Annotated[
        bool,
        typer.Option("--keep-removed", help="Write what was removed (input minus output), as NAME.removed.SUFFIX.", rich_help_panel=_WHAT),
    ] = False,
    keep_noise: Annotated[bool, typer.Option("--keep-noise", help="The same, as NAME.noise.SUFFIX.", rich_help_panel=_WHAT)] = False,
    before_after: Annotated[
        bool, typer.Option("--before-after", help="Draw both spectrograms, as NAME.SUFFIX.before-after.png.", rich_help_panel=_WHAT)
    ] = False,
    overwrite: Overwrite = False,
    bitrate: Bitrate = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Enhance raw samples from stdin to stdout, each block as soon as possible.", rich_help_panel=_LIVE),
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="HZ", help="Sample rate of raw samples.", show_default="the model's", rich_help_panel=_LIVE),
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Channels of raw samples, interleaved.", show_default="1", rich_help_panel=_LIVE)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="u8|s16le|s24le|s32le|f32le|f64le",
            help="Encoding of raw samples.",
            show_default="s16le",
            rich_help_panel=_LIVE,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Number of processes; 0: one for each core (SEGAN: one).")] = 0,
    part: PartOption = "",
    runner: Runner = LOCAL,
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Clean recordings of speech: less noise, the same format, rate, channels, length and timing.

    The bundled models are for speech: they take music, drums and other sounds for noise, and turn them down.

    With --do also fill gaps, restore clipped peaks, remove mains hum and extend the bandwidth; what needs no repair stays as it is, bit for
    bit.

    Existing outputs are skipped, so the same command continues after an interruption. A file that fails does not stop the others.

    Exit code 1 if a file failed or is silent.
    """
    console.configure(quiet=quiet, json_output=json_output)
    # The network is small: its matrix products are faster on one thread than spread over several. Read when NumPy is loaded.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    from ..inference.enhance.options import DENOISE, PASSES, EnhanceOptions
    from ..inference.enhance.steps import read_steps

    passes, steps = 1 if fast else PASSES, read_steps(do)
    options = EnhanceOptions(
        strength,
        mix,
        per_channel,
        passes,
        keep_noise,
        before_after,
        steps,
        gaps,
        headroom,
        keep_removed,
        bandwidth_model,
        output_rate,
    )
    options.check()
    if DENOISE not in steps:
        _refuse_denoising({"--model": model, "--strength": strength, "--mix": mix != 1, "--per-channel": per_channel, "--fast": fast})
    check_jobs(jobs)
    check_bitrate(bitrate)
    given = list(inputs or [])  # with --runner beam its options too
    piped = str(output) == _STREAM or any(str(path) == _STREAM or path.is_fifo() for path in given)
    if runner != LOCAL and (live or piped or detect_only):
        raise UsageError("--runner beam is for files and folders that are written.", hint="leave out --live, --detect-only and -")
    if live:
        _refuse_file_options(options, dry_run, detect_only, report, "--live")
    else:
        _refuse_live_options({"--rate": rate, "--channels": channels, "--format": format})
        _check_gaps(gaps, given)
    from ..inference.enhance.enhancers import find_enhancer
    from ..inference.enhance.task import DetectTask, EnhanceTask
    from ..models.model_file import bundled_model

    if detect_only:
        if piped:
            _refuse_file_options(options, dry_run, detect_only, report, "a pipe")
        return run_files(DetectTask(None, options), given, None, jobs=jobs, report=report)
    chosen = bundled_model("denoiser-small") if fast and model is None else model
    task = EnhanceTask(find_enhancer(chosen) if DENOISE in steps else None, options, overwrite, bitrate)
    if live:
        from .enhance_pipes import LiveOptions, enhance_live

        return enhance_live(task, given, output, LiveOptions(rate, channels, format))
    if piped and given and output is not None:
        from .enhance_pipes import enhance_pipe

        _refuse_file_options(options, dry_run, detect_only, report, "a pipe: there is no file to write beside")
        return enhance_pipe(task, given, output)
    return run_files(task, given, output, jobs=jobs or int(task.needs_tensorflow), part=part, runner=runner, dry_run=dry_run, report=report)


def _refuse_denoising(options: dict[str, object]) -> None:
    """Raise UsageError for options that only make sense for denoising."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise UsageError(f"{name} is for the step denoise, which --do leaves out.", hint="--do gaps,denoise")


def _check_gaps(gaps: Path | None, inputs: list[Path]) -> None:
    """Raise UsageError where one list of gaps is given for several recordings."""
    if gaps is not None and gaps.is_file() and (len(inputs) > 1 or any(path.is_dir() for path in inputs)):
        raise UsageError(
            f"The list of gaps {gaps} belongs to one recording, but several are given.",
            hint="--gaps FOLDER, with the list NAME.txt for the recording NAME.wav",
        )


def _refuse_file_options(options: EnhanceOptions, dry_run: bool, detect_only: bool, report: Path | None, other: str) -> None:
    """Raise UsageError for options that only make sense for files."""
    steps = [f"--do {name}" for name in options.steps if name != "denoise"]  # they read a recording twice
    given_options = {
        **{"--keep-noise": options.keep_noise, "--keep-removed": options.keep_removed, "--before-after": options.before_after},
        **{"--dry-run": dry_run, "--detect-only": detect_only, "--report": report, **dict.fromkeys(steps, True)},
        **{"--headroom": options.headroom_db},
    }
    for name, given in given_options.items():
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
