"""Texts to recordings: one for a text or a file of subtitles, one for each row of a table."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ...data.audio import audio_stream
from ...data.text.front_end import Markup, Source
from ...data.text.report import TextReport
from ...errors import GanAudioError, UsageError
from ..files.job import Job
from ..files.provenance import SOFTWARE, with_provenance
from ..files.task import FileTask, Words, Work
from .open_voice import is_student, open_voice
from .speak import Block, Pauses, speak
from .subtitles import Overrun, overrun_lines, speak_cues
from .texts import SUBTITLES, TABLES, read_subtitles, read_table
from .timings import TimingsWriter, timings_path
from .voice import Manner, Voice, checked_speed

_NAME = re.compile(r"[^\w.-]+")
_MAX_NAME = 120
STDIN = "-"


@dataclass(frozen=True)
class SayOptions:
    """Options of speech; "" and None: as the voice has it.

    Attributes:
        voice: One of the model's speakers.
        language: Code of the text's language.
        emotion: One of the model's emotions.
        speed: Pace, 1 as trained.
        pitch: Semitones.
        energy: dB.
        markup: See `FrontEnd.utterances`; "phonemes" takes the text as phones.
        seed: Seed of the voice's noise.
        fit: See `speak_cues`.
    """

    voice: str = ""
    language: str = ""
    emotion: str = ""
    speed: float = 1.0
    pitch: float = 0.0
    energy: float = 0.0
    markup: Markup | str = "auto"
    seed: int = 0
    fit: float = 1.3

    def checked(self, voice: Voice) -> SayOptions:
        """Return the options.

        Raises:
            UsageError: A voice, emotion or number that this model does not have.
        """
        checked_speed(self.speed)
        self.manner.check(voice)
        language = voice.language_of(self.voice)
        wanted = self.language.lower().replace("_", "-")
        if wanted and wanted not in voice.languages and not any(known.split("-")[0] == wanted.split("-")[0] for known in voice.languages):
            raise UsageError(
                f"{voice.name} has no language {self.language!r}; expected one of: {', '.join(voice.languages) or language}.",
                hint="gan-audio say --list shows what a model has",
            )
        return self

    @property
    def manner(self) -> Manner:
        """Pitch, energy and emotion."""
        return Manner(self.pitch, self.energy, self.emotion)

    def of_row(self, settings: Mapping[str, Any]) -> SayOptions:
        """Return the options with those of a row of a table in their place."""
        return replace(self, **settings)


@dataclass(frozen=True)
class TextJob(Job):
    """A job whose text is known before: a row of a table, or what was typed.

    Attributes:
        text: The text; "": it is read from `source`.
        settings: Options of this row.
    """

    text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def speak_text(
    source: Source, voice: Voice, options: SayOptions, lexicon: Mapping[str, str] | None, report: TextReport, pauses: Pauses | None = None
) -> Iterator[Block]:
    """Yield the sound of a text with these options; see `speak`."""
    markup = options.markup
    if markup == "phonemes":
        source, markup = (f"[[{line}]]\n\n" for line in _phone_lines(source)), "plain"
    return speak(
        source,
        voice,
        language=options.language,
        speaker=options.voice,
        speed=options.speed,
        seed=options.seed,
        manner=options.manner,
        markup=markup,  # type: ignore[arg-type]
        lexicon=lexicon,
        pauses=pauses,
        report=report,
    )


def _phone_lines(source: Source) -> Iterator[str]:
    lines = source.splitlines() if isinstance(source, str) else source
    for line in lines:
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        for part in re.findall(r"[^.!?]+[.!?]?|[.!?]", text.replace("[", "").replace("]", "")):
            if part.strip():
                yield part.strip()


class SayTask(FileTask):
    """Speaks texts.

    Args:
        model: Path of the model, or None for the bundled one.
        styles, vocoder: See `open_voice`.
        options: How to speak.
        lexicon: Word -> phones.
        timings: A key of `timings.FORMATS`, or "".
        overwrite: Replace existing recordings.
    """

    words = Words("say", "spoken", "Speaking", "spoken")

    def __init__(
        self,
        model: str | None,
        options: SayOptions,
        *,
        styles: Path | None = None,
        vocoder: str | None = None,
        lexicon: Mapping[str, str] | None = None,
        timings: str = "",
        overwrite: bool = False,
    ):
        self.model, self.styles, self.vocoder, self.options = model, styles, vocoder, options
        self.needs_tensorflow = is_student(model)
        self.lexicon, self.timings, self.overwrite = dict(lexicon or {}), timings, overwrite

    def open(self) -> None:
        self.voice = open_voice(self.model, styles=self.styles, vocoder=self.vocoder)
        self.options.checked(self.voice)

    def describe(self) -> str:
        return f"{self.voice.name}: {self.options.voice or 'its default voice'}, {self.voice.sample_rate} Hz"

    def facts(self) -> dict[str, Any]:
        return {"model": self.voice.name, "voice": self.options.voice, "sample_rate": self.voice.sample_rate}

    def outputs(self, job: Job) -> list[Path]:
        return [*([timings_path(job.target, self.timings)] if self.timings else []), job.target]

    def may_replace(self, job: Job, path: Path) -> bool:
        return False  # subtitles of that name may be somebody's own

    def process(self, job: Job, work: Work) -> None:
        report, overruns = TextReport(), list[Overrun]()
        options = self.options.of_row(getattr(job, "settings", {})).checked(self.voice)
        rate = self.voice.sample_rate
        with ExitStack() as stack:
            writer = stack.enter_context(
                audio_stream.Writer(
                    job.target,
                    rate,
                    1,
                    subtype=job.subtype,
                    container=job.container,
                    tags=with_provenance({}, self.provenance(options)),
                    overwrite=self.overwrite,
                )
            )
            beside = timings_path(job.target, self.timings) if self.timings else None
            timings = stack.enter_context(TimingsWriter(beside, self.timings, rate)) if beside else None  # closed before the recording is
            for block in self._blocks(job, options, report, overruns, stack):
                writer.write(block.samples[:, None])
                if timings is not None:
                    timings.add(block)
                work.advance(len(block.samples) / rate)
            if not writer.frames:
                raise GanAudioError("there is nothing to speak" + _reason(report), hint="letters, digits or [[phones]] are spoken")
        work.outcome.audio_seconds = writer.frames / rate
        for line in [*report.lines(), *overrun_lines(overruns)]:
            work.outcome.add_note(line)

    def provenance(self, options: SayOptions) -> dict[str, Any]:
        """Return what is stated in the recordings."""
        stated = {key: value for key, value in vars(options).items() if key in ("voice", "language", "emotion") and value}
        return {"synthetic": True, "software": SOFTWARE, "model": self.voice.name, **stated}

    def _blocks(self, job: Job, options: SayOptions, report: TextReport, overruns: list[Overrun], stack: ExitStack) -> Iterator[Block]:
        text = getattr(job, "text", "")
        if not text and job.source.suffix.lower() in SUBTITLES:
            return speak_cues(
                read_subtitles(job.source),
                self.voice,
                overruns,
                fit=options.fit,
                language=options.language,
                speaker=options.voice,
                speed=options.speed,
                seed=options.seed,
                manner=options.manner,
                lexicon=self.lexicon,
                report=report,
            )
        source: str | IO[bytes] = text or stack.enter_context(_opened(job.source))
        return speak_text(source, self.voice, options, self.lexicon, report)


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    if str(path) == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _reason(report: TextReport) -> str:
    return f" ({'; '.join(report.lines())})" if report.lines() else ""


def plan_texts(task: SayTask, inputs: list[Path], output: Path, subtype: str, suffix: str) -> list[Job]:
    """Return a job for each recording that files of text become.

    A table becomes a folder of recordings, named by its rows or numbered; any other file one recording.

    Raises:
        UsageError: An input that does not exist or has another form, several recordings for one output file, two of one name, or an
            output that would replace an input.
    """
    given = {path.resolve() for path in inputs}
    jobs: list[Job] = []
    for path in inputs:
        if not path.is_file():
            raise UsageError(f"The input {path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a file of text.")
        if path.suffix.lower() in TABLES:
            folder = output / path.stem if len(inputs) > 1 else output
            jobs += [_row_job(path, row, folder, subtype, suffix) for row in read_table(path)]
        else:
            target = output / f"{path.stem}{suffix}" if is_folder(output) or len(inputs) > 1 else output
            jobs.append(_job(path.name, path, target, subtype))
    if not jobs:
        raise UsageError(f"{', '.join(map(str, inputs))}: no row to speak.")
    if len(jobs) > 1 and not is_folder(output):
        raise UsageError(f"{len(jobs)} recordings cannot be one file {output}; expected a folder.", hint="-o spoken/")
    targets: dict[Path, Job] = {}
    for job in jobs:
        if replaced := [path for path in task.outputs(job) if path.resolve() in given]:
            raise UsageError(f"{replaced[0]}, an output of {job.name}, is one of the inputs.", hint="choose another output with -o")
        if job.target in targets:
            raise UsageError(
                f"{targets[job.target].name} and {job.name} would both be written to {job.target}.", hint="give each row a name of its own"
            )
        targets[job.target] = job
    return jobs


def is_folder(output: Path) -> bool:
    """Whether an output names a folder: one that exists, or a name without a suffix."""
    return output.is_dir() or not output.suffix


def text_job(text: str, output: Path, subtype: str) -> TextJob:
    """Return the job of a text that was typed; "" reads it from stdin."""
    container, subtype = audio_stream.format_for(output, subtype)
    return TextJob(output.name if text else "stdin", Path(STDIN), output, container, subtype, text=text)


def _job(name: str, source: Path, target: Path, subtype: str) -> Job:
    container, subtype = audio_stream.format_for(target, subtype)
    return Job(name, source, target, container, subtype)


def _row_job(path: Path, row: Any, folder: Path, subtype: str, suffix: str) -> TextJob:
    name = row.name or f"{row.line:05d}"
    parts = [_NAME.sub("_", part).strip(".") for part in name.replace("\\", "/").split("/")]
    relative = Path(*[part[:_MAX_NAME] for part in parts if part] or [f"{row.line:05d}"])
    if relative.suffix.lower() not in (".wav", ".flac", ".ogg", ".mp3"):
        relative = relative.with_name(relative.name + suffix)
    container, subtype = audio_stream.format_for(folder / relative, subtype)
    return TextJob(f"{path.name}:{row.line}", path, folder / relative, container, subtype, text=row.text, settings=row.settings)
