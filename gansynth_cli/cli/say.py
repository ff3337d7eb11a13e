"""`gan-audio say`: speech from text."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_FAILED, EXIT_OK, UsageError
from ..parts import Part
from . import console
from .file_report import Progress, report_interrupt, report_outcomes, show_plan
from .file_verb import DryRun, Jobs, Json, Overwrite, PartOption, Quiet, check_jobs, cores, open_task
from .voice_options import VOICE_PANEL, Speed, Styles, VocoderRun, VoiceModel

if TYPE_CHECKING:
    from ..inference.say.task import SayTask
    from ..inference.say.voice import Voice

_TEXT, _WHAT = "Text", "What is written"
_SUFFIXES = ("wav", "flac", "ogg", "mp3")
_TIMINGS = ("srt", "textgrid", "json")
STDIN = "-"


def command(
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT...|-]", help="What to say; -: read it from stdin.")] = None,
    inputs: Annotated[
        list[Path] | None, typer.Option("-i", "--input", help="A file: .txt, .csv, .jsonl (a recording a row), .srt; repeatable.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Output file; a folder for tables and several files; -: stdout.")
    ] = None,
    model: VoiceModel = None,
    styles: Styles = None,
    vocoder: VocoderRun = None,
    voice: Annotated[
        str,
        typer.Option(
            "--voice",
            help="One of the model's voices; Kokoro: also mixtures, as af_heart:3+bf_emma:1.",
            show_default="its default one",
            rich_help_panel=VOICE_PANEL,
        ),
    ] = "",
    language: Annotated[
        str,
        typer.Option("--language", help="Language of the text, such as en-us.", show_default="the voice's", rich_help_panel=VOICE_PANEL),
    ] = "",
    emotion: Annotated[
        str, typer.Option("--emotion", help="One of the model's emotions.", show_default="its first", rich_help_panel=VOICE_PANEL)
    ] = "",
    speed: Speed = 1.0,
    pitch: Annotated[float, typer.Option("--pitch", help="Pitch in semitones, -12 to 12.", rich_help_panel=VOICE_PANEL)] = 0.0,
    energy: Annotated[float, typer.Option("--energy", help="Energy in dB.", rich_help_panel=VOICE_PANEL)] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of voices with noise.", rich_help_panel=VOICE_PANEL)] = 0,
    lexicon: Annotated[
        list[Path] | None, typer.Option("--lexicon", help="File of lines WORD<TAB>PHONES; repeatable.", rich_help_panel=_TEXT)
    ] = None,
    phonemes: Annotated[bool, typer.Option("--phonemes", help="The text is phones (IPA).", rich_help_panel=_TEXT)] = False,
    ssml: Annotated[
        bool, typer.Option("--ssml", help="The text is SSML; by default if it begins with <speak>.", rich_help_panel=_TEXT)
    ] = False,
    fit: Annotated[
        float, typer.Option("--fit", help="Subtitles: speak up to so much faster to keep the times.", rich_help_panel=_TEXT)
    ] = 1.3,
    timings: Annotated[
        str, typer.Option("--timings", metavar="srt|textgrid|json", help="Also write when words are heard.", rich_help_panel=_WHAT)
    ] = "",
    stream: Annotated[bool, typer.Option("--stream", help="Write a WAV to stdout, sentence by sentence.", rich_help_panel=_WHAT)] = False,
    format: Annotated[
        str, typer.Option("--format", metavar="wav|flac|ogg|mp3", help="File format in folders.", rich_help_panel=_WHAT)
    ] = "wav",
    list_voices: Annotated[bool, typer.Option("--list", help="List the voices, languages and emotions of the model, and stop.")] = False,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    part: PartOption = "",
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say a text, files of text, the rows of a table, or subtitles at their times.

    Marks in a text: [[phones]], [word](/phones/), [pause:1.5s]; unknown tags are left out. Recordings carry a provenance tag that says
    they are synthetic. Existing recordings are skipped, so the same command continues after an interruption.

    Exit code 1 if something could not be spoken.
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..data.text.lexicon import read_lexicon
    from ..inference.say.task import SayOptions, SayTask

    suffix = format.lower().lstrip(".")
    if suffix not in _SUFFIXES:
        raise UsageError(f"--format is {format!r}; expected one of {', '.join(_SUFFIXES)}.")
    if timings and timings.lower() not in _TIMINGS:
        raise UsageError(f"--timings is {timings!r}; expected one of {', '.join(_TIMINGS)}.")
    if phonemes and ssml:
        raise UsageError("--phonemes cannot be combined with --ssml.")
    check_jobs(jobs)
    markup = "phonemes" if phonemes else "ssml" if ssml else "auto"
    options = SayOptions(voice, language, emotion, speed, pitch, energy, markup, seed, fit)
    task = SayTask(
        model, options, styles=styles, vocoder=vocoder, lexicon=read_lexicon(*lexicon or []), timings=timings.lower(), overwrite=overwrite
    )
    if list_voices:
        return _list(task)
    stream = stream or output == STDIN
    if not text and not inputs:
        raise UsageError(
            "There is nothing to say.", hint='gan-audio say "Good morning." -o morning.wav; gan-audio say -i book.txt -o book.wav'
        )
    if part and not inputs:
        raise UsageError("--part is for tables and files of text.", hint="-i table.csv -o spoken/ --part 1/8")
    if text and inputs:
        raise UsageError("Text cannot be combined with --input.", hint="give one of the two")
    if output is None and not stream:
        raise UsageError("No output is given.", hint="-o speech.wav, or --stream | aplay")
    words = " ".join(text or [])
    if stream:
        return _stream(task, words, list(inputs or []), timings)
    assert output is not None
    return _files(task, words, list(inputs or []), Path(output), f".{suffix}", jobs, Part.parse(part) if part else None, dry_run)


def _files(task: SayTask, text: str, inputs: list[Path], output: Path, suffix: str, jobs: int, part: Part | None, dry_run: bool) -> int:
    from ..inference.files.batch import run_jobs
    from ..inference.files.job import Plan
    from ..inference.say.task import is_folder, plan_texts, text_job

    if inputs:
        planned = plan_texts(task, inputs, output, "PCM_16", suffix)
        plan = Plan(part.deal(planned, lambda job: job.target) if part else planned)
    else:
        if is_folder(output):
            raise UsageError(f"The output {output} has no suffix of an audio format.", hint=f"-o {output}.wav")
        plan = Plan([text_job(_spoken(text), output, "PCM_16")])
    if dry_run:
        return show_plan(task, plan, output)
    open_task(task)
    progress, started = Progress(len(plan.jobs)), time.monotonic()
    try:
        with console.progress(task.words.doing, None, "s of audio") as bar:
            progress.bar = bar
            outcomes = run_jobs(task, plan.jobs, workers=jobs or cores(), on_audio=bar.advance, on_outcome=progress)
    except KeyboardInterrupt:
        return report_interrupt(progress, output)
    return report_outcomes(task, outcomes, output, time.monotonic() - started)


def _stream(task: SayTask, text: str, inputs: list[Path], timings: str) -> int:
    """Write a WAV of unknown length to stdout, each sentence as soon as it is spoken."""
    from ..data.audio.pcm_stream import PcmFormat, PcmSink, wav_header
    from ..data.text.report import TextReport
    from ..inference.say.task import speak_text
    from ..inference.say.texts import SUBTITLES, TABLES

    if timings:
        raise UsageError("--timings cannot be combined with --stream.", hint="-o speech.wav")
    if len(inputs) > 1 or (inputs and inputs[0].suffix.lower() in (*TABLES, *SUBTITLES)):
        raise UsageError("--stream carries one text; tables, subtitles and several files become recordings.", hint="-o spoken/")
    if sys.stdout.isatty():
        raise UsageError("stdout is a terminal; audio would be printed on it.", hint='gan-audio say "Good morning." --stream | aplay')
    open_task(task)
    report, layout = TextReport(), PcmFormat(task.voice.sample_rate, 1, "s16le")
    sink, started, first = PcmSink(layout, console.raw), time.perf_counter(), 0.0
    source = inputs[0].open("rb") if inputs else _spoken(text) or sys.stdin.buffer
    for block in speak_text(source, task.voice, task.options, task.lexicon, report):
        if not sink.frames:
            first = time.perf_counter() - started
            console.raw(wav_header(layout, -1))
        sink.write(block.samples[:, None])
    for line in report.lines():
        console.warn(line)
    seconds = sink.frames / layout.sample_rate
    if not sink.frames:
        console.warn("there was nothing to speak")
        return EXIT_FAILED
    spent = time.perf_counter() - started
    console.say(f"{seconds:.2f} s of audio, the first after {first:.2f} s, RTF {spent / seconds:.3f}")
    return EXIT_OK


def _list(task: SayTask) -> int:
    """Print the voices of a model on stdout."""
    from ..inference.say.open_voice import open_voice

    if task.needs_tensorflow:
        console.start_tensorflow()
    voice: Voice = open_voice(task.model, styles=task.styles, vocoder=task.vocoder)
    rows = []
    for speaker in voice.speakers or ("",):
        try:
            rows.append([speaker or voice.name, voice.language_of(speaker)])
        except UsageError:
            continue  # a voice whose language has no phonemiser here
    facts = {"model": voice.name, "sample_rate": voice.sample_rate, "languages": voice.languages, "emotions": voice.emotions}
    if console.wants_json():
        console.result(facts | {"voices": [dict(zip(("voice", "language"), row, strict=True)) for row in rows]})
        return EXIT_OK
    console.table("", ["voice", "language"], rows, to_stdout=True)
    controls = ", ".join(["speed", *sorted(voice.controls | {"energy"})])
    console.say(f"{voice.name}: {voice.sample_rate} Hz; languages {', '.join(voice.languages)}; controls {controls}")
    if voice.emotions:
        console.say(f"emotions: {', '.join(voice.emotions)}")
    return EXIT_OK


def _spoken(text: str) -> str:
    """Return a text that was typed; "" for stdin."""
    if text == STDIN:
        if sys.stdin.isatty():
            raise UsageError("stdin is a terminal; expected text from a pipe or a file.", hint="gan-audio say - -o speech.wav < text.txt")
        return ""
    if not text.strip():
        raise UsageError("The text is empty.", hint='gan-audio say "Good morning." -o morning.wav')
    return text
