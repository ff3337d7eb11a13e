"""`gan-audio vocode`: recordings resynthesised, mel spectrograms vocoded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import console
from .file_verb import Bitrate, DryRun, Inputs, Jobs, Json, Output, Overwrite, PartOption, Quiet, check_bitrate, check_jobs, run_files

_LAYOUTS = ("frames-mels", "mels-frames")
_GRIFFIN_LIM = "griffin-lim"
_SUFFIXES = ("wav", "flac", "ogg", "mp3")
_MEL, _WHAT = "Mel spectrograms", "What is written"


def command(
    inputs: Inputs = None,
    output: Output = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="RUN|vocoder|griffin-lim",
            help="A trained vocoder, the bundled one, or Griffin-Lim.",
            show_default="vocoder",
        ),
    ] = None,
    mel_of: Annotated[
        str | None,
        typer.Option(
            "--mel-of",
            metavar="RUN",
            help="With --model griffin-lim: the vocoder whose mel convention is used.",
            show_default="vocoder",
            rich_help_panel=_MEL,
        ),
    ] = None,
    mel_layout: Annotated[
        str, typer.Option("--mel-layout", metavar="frames-mels|mels-frames", help="Axes of the .npy files.", rich_help_panel=_MEL)
    ] = "frames-mels",
    format: Annotated[
        str, typer.Option("--format", metavar="wav|flac|ogg|mp3", help="File format of outputs.", rich_help_panel=_WHAT)
    ] = "wav",
    subtype: Annotated[
        str | None,
        typer.Option("--subtype", help="Encoding of WAV and FLAC: PCM_16, PCM_24, FLOAT ...", show_default="PCM_16", rich_help_panel=_WHAT),
    ] = None,
    overwrite: Overwrite = False,
    bitrate: Bitrate = None,
    jobs: Jobs = 1,
    part: PartOption = "",
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Resynthesise recordings, or vocode mel spectrograms (.npy), with a trained vocoder or Griffin-Lim.

    Outputs have the vocoder's sample rate and carry a provenance tag that says they are synthetic. Existing outputs are skipped, so the
    same command continues after an interruption. A file that fails does not stop the others. One process uses all cores already.

    Exit code 1 if a file failed or is silent.
    """
    console.configure(quiet=quiet, json_output=json_output)
    griffin_lim = model == _GRIFFIN_LIM and not Path(model).exists()
    suffix = format.lower().lstrip(".")
    if mel_layout not in _LAYOUTS:
        raise UsageError(f"--mel-layout is {mel_layout!r}; expected one of {', '.join(_LAYOUTS)}.")
    if suffix not in _SUFFIXES:
        raise UsageError(f"--format is {format!r}; expected one of {', '.join(_SUFFIXES)}.")
    if subtype is not None and suffix not in ("wav", "flac"):
        raise UsageError(f"--subtype {subtype} cannot be combined with --format {suffix}, which has only one encoding.")
    if mel_of is not None and not griffin_lim:
        raise UsageError("--mel-of is for --model griffin-lim: a trained vocoder has a mel convention of its own.")
    check_jobs(jobs)
    check_bitrate(bitrate)
    from ..inference.vocode.task import VocodeTask
    from ..inference.vocode.vocoders import find_vocoder

    task = VocodeTask(
        find_vocoder(mel_of if griffin_lim else model),
        griffin_lim=griffin_lim,
        suffix=f".{suffix}",
        subtype=(subtype or "PCM_16").upper(),
        transposed=mel_layout == "mels-frames",
        overwrite=overwrite,
        bitrate=bitrate,
    )
    return run_files(task, inputs, output, jobs=jobs, part=part, dry_run=dry_run)
