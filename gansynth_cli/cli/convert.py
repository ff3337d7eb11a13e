"""`gan-audio convert`: recordings of one voice become the same words in another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_OK, UsageError
from . import console
from .file_report import Words, cores, run_plan, show_plan

if TYPE_CHECKING:
    from ..inference.files.file_batch import Outcome

_WORDS = Words("convert", "converted", "Converting")
_VOICE, _WHAT = "Voice", "What is written"


def command(
    inputs: Annotated[list[Path] | None, typer.Argument(metavar="INPUT...", help="Folders (any depth) and files.")] = None,
    to: Annotated[str, typer.Option("--to", metavar="DOMAIN", help="Whose voice, or which emotion; --list shows them.")] = "",
    model: Annotated[Path | None, typer.Option("--model", metavar="RUN|FILE.keras", help="A trained converter.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the outputs, the inputs' tree mirrored; for one input also a file."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the domains of the model, and stop.")] = False,
    source: Annotated[
        str, typer.Option("--from", metavar="auto|DOMAIN", help="Who speaks in the inputs; auto listens.", rich_help_panel=_VOICE)
    ] = "auto",
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="0..2",
            help="From the voice as it was (0) to the converted one (1); beyond, surer to be taken for the target, harder to understand.",
            rich_help_panel=_VOICE,
        ),
    ] = 1.0,
    pitch: Annotated[
        str, typer.Option("--pitch", metavar="auto|SEMITONES", help="auto: as the two voices differ.", rich_help_panel=_VOICE)
    ] = "auto",
    keep_f0: Annotated[bool, typer.Option("--keep-f0", help="Leave the pitch as it is.", rich_help_panel=_VOICE)] = False,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Into a mix of domains far from the speaker's, in place of --to.", rich_help_panel=_VOICE)
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one is another anonymous voice.", rich_help_panel=_VOICE)] = 0,
    vocoder: Annotated[
        str,
        typer.Option(
            "--vocoder",
            metavar="auto|world|filter|mel|griffin-lim|RUN",
            help="What makes the waveform; auto: what the model was made for.",
            rich_help_panel=_VOICE,
        ),
    ] = "auto",
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="Each channel is a voice of its own; by default their mean is.", rich_help_panel=_VOICE)
    ] = False,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Write each output's mark beside it too, as NAME.SUFFIX.json.", rich_help_panel=_WHAT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; by default they are skipped.", rich_help_panel=_WHAT)
    ] = False,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Processes; 0 is one for each core.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> int:
    """Convert recordings into another voice: the same words, format, rate, channels, length and timing.

    Outputs are marked as synthetic; gan-audio info reads the mark. Outputs that exist are skipped, so the same command goes on after an
    interruption. A file that fails does not stop the others.

    Exit code 1 if a file failed or is silent; the others are done all the same.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if model is None:
        raise UsageError("No model is given.", hint="--model RUN; gan-audio train --recipe stargan_vc/small --data DATA makes one")
    if show:
        return _list(model)
    from ..inference.convert.converter import read_domains
    from ..inference.convert.job import ConvertOptions, plan

    options = ConvertOptions(to, source, strength, _semitones(pitch), keep_f0, anonymize, seed, vocoder, per_channel, sidecar, overwrite)
    options.check()
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one a core.", hint="-j 2")
    domains = read_domains(model)
    for option, name in (("--to", to), ("--from", source)):
        if name and (option, name) != ("--from", "auto"):
            domains.check(name, option)
    if not inputs:
        raise UsageError("No input is given; expected folders or files.", hint=f"gan-audio convert recordings/ --to {domains.names[0]} ...")
    if output is None:
        raise UsageError("No output is given.", hint="-o converted/")
    made = plan(inputs, output, options)
    if made.left_out:
        console.say(f"{made.left_out} recordings in {output} are left out: that is where outputs go")
    if not made.jobs and not made.failed:
        raise UsageError(f"All recordings are in the output folder {output}.", hint="give the folder of the recordings as input")
    if dry_run:
        return show_plan(made, output, overwrite, _WORDS)
    console.start_tensorflow()
    from ..inference.convert.converter import open_converter
    from ..inference.convert.job import convert_jobs
    from ..inference.convert.voice_stream import choose_sound

    converter = open_converter(model)
    sound = choose_sound(converter, options)
    if sound.note:
        console.say(f"note: {sound.note}")
    workers = jobs or cores()

    def run(on_audio: Callable[[float], None], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        return convert_jobs(made.jobs, converter, sound, options, workers=workers, on_audio=on_audio, on_outcome=on_outcome)

    return run_plan(made, output, _WORDS, run, {"model": converter.sha256, "vocoder": sound.name})


def _semitones(pitch: str) -> float | None:
    if pitch == "auto":
        return None
    try:
        return float(pitch)
    except ValueError as error:
        raise UsageError(f"--pitch is {pitch!r}; expected auto or a number of semitones.", hint="--pitch -3.5") from error


def _list(model: Path) -> int:
    from ..inference.convert.converter import read_domains

    domains = read_domains(model)
    rows = [
        [name, round(hz, 1) if hz else "-", round(seconds, 1) if seconds < float("inf") else "-"]
        for name, hz, seconds in zip(domains.names, domains.f0_hz, domains.seconds, strict=True)
    ]
    if not console.wants_json():
        console.table("", ["domain", "pitch, Hz", "voiced seconds"], rows, to_stdout=True)
        if domains.consent:
            console.say(f"consent: {domains.consent}")
    console.result(
        {
            "model": domains.file,
            "domains": [{"name": row[0], "pitch_hz": row[1] if row[1] != "-" else None} for row in rows],
            "consent": domains.consent,
        }
    )
    return EXIT_OK
