"""`gan-audio translate`: the speech of recordings in another language."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from . import console
from .file_verb import DryRun, Inputs, Jobs, Json, Output, Overwrite, PartOption, Quiet, check_jobs, run_files
from .voice_options import VOICE_PANEL, Speed, Styles, VocoderRun, VoiceModel

_STAGES = "Stages"


def command(
    inputs: Inputs = None,
    output: Output = None,
    source: Annotated[str, typer.Option("--from", help="Language of the recordings.")] = "",
    target: Annotated[str, typer.Option("--to", help="Language to translate to.")] = "",
    stage: Annotated[
        str,
        typer.Option("--stage", metavar="asr|mt|say", help="The last stage to do: write down, translate, speak.", rich_help_panel=_STAGES),
    ] = "say",
    asr: Annotated[
        str,
        typer.Option(
            "--asr",
            metavar="COMMAND",
            help="Recogniser: {input} {language}, prints SubRip or JSON lines.",
            show_default="faster-whisper",
            rich_help_panel=_STAGES,
        ),
    ] = "",
    asr_model: Annotated[
        str,
        typer.Option("--asr-model", metavar="FOLDER|SIZE", help="Model of faster-whisper.", show_default="base", rich_help_panel=_STAGES),
    ] = "",
    mt: Annotated[
        str,
        typer.Option(
            "--mt",
            metavar="COMMAND",
            help="Translator: reads lines, prints lines; {source} {target}.",
            show_default="apertium",
            rich_help_panel=_STAGES,
        ),
    ] = "",
    model: VoiceModel = None,
    styles: Styles = None,
    vocoder: VocoderRun = None,
    voice: Annotated[
        str, typer.Option("--voice", help="One of the model's voices.", show_default="its default one", rich_help_panel=VOICE_PANEL)
    ] = "",
    speed: Speed = 1.0,
    fit: Annotated[float, typer.Option("--fit", help="Speak up to so much faster to keep the times.", rich_help_panel=VOICE_PANEL)] = 1.3,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    part: PartOption = "",
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Translate the speech of recordings: recognised, translated, spoken at the times of the original.

    Each recording gets NAME.FROM.srt, NAME.TO.srt, NAME.segments.jsonl and NAME.wav. Subtitles that are there are not made again: correct
    them, delete the files behind them, and repeat the command.

    Exit code 1 if a recording failed.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if not source or not target:
        raise UsageError("The languages are missing.", hint="gan-audio translate talk.wav --from en --to es --model kokoro/ -o spanish/")
    if stage not in ("asr", "mt", "say"):
        raise UsageError(f"--stage is {stage!r}; expected asr, mt or say.")
    check_jobs(jobs)
    from ..inference.say.task import SayOptions
    from ..inference.translate.task import TranslateTask

    task = TranslateTask(
        source,
        target,
        stage=stage,  # type: ignore[arg-type]
        asr=asr,
        asr_model=asr_model,
        mt=mt,
        model=model,
        styles=styles,
        vocoder=vocoder,
        options=SayOptions(voice=voice, speed=speed, fit=fit),
        overwrite=overwrite,
    )
    return run_files(task, inputs, output, jobs=jobs, part=part, dry_run=dry_run)
