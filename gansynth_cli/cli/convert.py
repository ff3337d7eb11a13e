"""`gan-audio convert`: recordings in another speaker's voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_OK, UsageError
from ..models.model_file import CLONERS, find_model
from . import console
from .file_verb import Bitrate, DryRun, Inputs, Jobs, Json, Output, Overwrite, PartOption, Quiet, check_bitrate, check_jobs, run_files

if TYPE_CHECKING:
    from ..inference.convert.cloned import CloneTask
    from ..inference.convert.options import ConvertOptions

_VOICE, _WHAT = "Voice", "What is written"


def command(
    inputs: Inputs = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="DOMAIN|FILE",
            help="Target speaker or emotion; --list shows them. For a model of the family clone: a recording of the voice.",
        ),
    ] = "",
    model: Annotated[str | None, typer.Option("--model", metavar="RUN|FILE.keras", help="A trained converter.")] = None,
    output: Output = None,
    show: Annotated[bool, typer.Option("--list", help="Show the domains of the model, and stop.")] = False,
    source: Annotated[
        str, typer.Option("--from", metavar="auto|DOMAIN", help="Speaker of the inputs; auto detects it.", rich_help_panel=_VOICE)
    ] = "auto",
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="0..2",
            help="0: unconverted; 1: converted; above 1: closer to the target speaker, less intelligible.",
            rich_help_panel=_VOICE,
        ),
    ] = 1.0,
    pitch: Annotated[
        str,
        typer.Option(
            "--pitch", metavar="auto|SEMITONES", help="Pitch shift; auto: the difference of the two voices.", rich_help_panel=_VOICE
        ),
    ] = "auto",
    keep_f0: Annotated[bool, typer.Option("--keep-f0", help="Leave the pitch unchanged.", rich_help_panel=_VOICE)] = False,
    anonymize: Annotated[
        bool,
        typer.Option("--anonymize", help="Instead of --to: convert to a mix of domains far from the speaker's.", rich_help_panel=_VOICE),
    ] = False,
    consent: Annotated[
        str,
        typer.Option(
            "--consent",
            metavar="NOTE|FILE",
            help="Who agreed to the use of the voice in --to FILE, and to what; kept in the provenance tags.",
            rich_help_panel=_VOICE,
        ),
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the anonymous voice; another seed gives another.", rich_help_panel=_VOICE)
    ] = 0,
    vocoder: Annotated[
        str,
        typer.Option(
            "--vocoder",
            metavar="auto|world|filter|mel|griffin-lim|RUN",
            help="How the waveform is made; auto: as the model was trained for.",
            rich_help_panel=_VOICE,
        ),
    ] = "auto",
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="Convert each channel by itself; by default their mean.", rich_help_panel=_VOICE)
    ] = False,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Write each provenance tag beside its output too, as NAME.SUFFIX.json.", rich_help_panel=_WHAT)
    ] = False,
    overwrite: Overwrite = False,
    bitrate: Bitrate = None,
    jobs: Jobs = 1,
    part: PartOption = "",
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Convert recordings to another speaker's voice: the same words, format, rate, channels, length and timing.

    Outputs carry a provenance tag that says they are synthetic; gan-audio info shows it. Existing outputs are skipped, so the same command
    continues after an interruption. A file that fails does not stop the others.

    Exit code 1 if a file failed or is silent.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if model is None:
        raise UsageError("No model is given.", hint="--model RUN; gan-audio train --recipe stargan_vc/small --data DATA trains one")
    from ..inference.convert.domains import domains_of, find_converter
    from ..inference.convert.options import ConvertOptions

    if show:
        return _list(model)
    options = ConvertOptions(to, source, strength, _semitones(pitch), keep_f0, anonymize, seed, vocoder, per_channel, sidecar)
    options.check()
    check_jobs(jobs)
    check_bitrate(bitrate)
    if find_model(model).class_name in CLONERS:
        return run_files(_clone_task(model, to, consent, options, overwrite, bitrate), inputs, output, jobs=jobs, dry_run=dry_run)
    if consent:
        raise UsageError("--consent is about the voice of a recording; this model has a note of its own.", hint="gan-audio info MODEL")
    found = find_converter(model)
    domains = domains_of(found)
    if to:
        domains.check(to, "--to")
    if source != "auto":
        domains.check(source, "--from")
    from ..inference.convert.task import ConvertTask

    return run_files(ConvertTask(found, options, overwrite, bitrate), inputs, output, jobs=jobs, part=part, dry_run=dry_run)


def _clone_task(model: str, to: str, consent: str, options: ConvertOptions, overwrite: bool, bitrate: float | None) -> CloneTask:
    """The task for a model that takes its voice from a recording."""
    from ..inference.convert.cloned import CloneTask, find_cloner
    from .prepare import consent_note

    refused = [
        name
        for name, given in (("--anonymize", options.anonymize), ("--from", options.source != "auto"), ("--strength", options.strength != 1))
        if given
    ]
    if refused:
        raise UsageError(f"{', '.join(refused)} cannot be combined with a model that takes its voice from a recording.")
    if not Path(to).is_file():
        raise UsageError(f"--to {to} is not a file; this model takes the voice from a recording.", hint="--to reference.wav, 5 s or more")
    note = consent_note(consent) if consent and Path(consent).is_file() else consent.strip()
    if not note:
        raise UsageError(
            "Whose voice is it, and did they agree? Converting to the voice of a recording needs --consent.",
            hint="--consent 'Anna Berg, 3 May, agreed to ...', or a text file",
        )
    return CloneTask(find_cloner(model), Path(to), note, options, overwrite, bitrate)


def _semitones(pitch: str) -> float | None:
    if pitch == "auto":
        return None
    try:
        return float(pitch)
    except ValueError as error:
        raise UsageError(f"--pitch is {pitch!r}; expected auto or a number of semitones.", hint="--pitch -3.5") from error


def _list(model: str) -> int:
    from ..inference.convert.domains import domains_of, find_converter

    found = find_converter(model)
    domains = domains_of(found)
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
            "model": found.file,
            "domains": [{"name": row[0], "pitch_hz": row[1] if row[1] != "-" else None} for row in rows],
            "consent": domains.consent,
        }
    )
    return EXIT_OK
