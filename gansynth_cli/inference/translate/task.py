"""Recordings to the same speech in another language, stage by stage.

A recording `talk.wav` becomes `talk.en.srt` (what is said), `talk.es.srt` (its translation), `talk.segments.jsonl` (both) and `talk.wav`,
spoken at the times of the original. A stage whose file is there is not done again: after a correction of the subtitles, deleting the
files behind them and repeating the command goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...data.audio import audio_file, audio_stream
from ...data.text.report import TextReport
from ...errors import GanAudioError, UsageError
from ..files.job import Job
from ..files.provenance import SOFTWARE, with_provenance
from ..files.task import FileTask, Words, Work
from ..say.open_voice import is_student, open_voice
from ..say.speak import silence
from ..say.subtitles import Overrun, overrun_lines, speak_cues
from ..say.task import SayOptions
from ..say.texts import Cue, read_subtitles
from .engines import CommandRecogniser, CommandTranslator, Recogniser, Translator, WhisperRecogniser, default_translator
from .segments import Segment, write_record, write_subtitles

Stage = Literal["asr", "mt", "say"]
STAGES = ("asr", "mt", "say")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})?")


class TranslateTask(FileTask):
    """Translates the speech of recordings.

    Args:
        source, target: Codes of the languages.
        stage: The last stage to do: "asr" writes down, "mt" translates, "say" speaks.
        asr: Command of a recogniser; "": faster-whisper with `asr_model`.
        asr_model: Folder or size of its model.
        mt: Command of a translator; "": apertium.
        model, styles, vocoder: Of the voice; see `open_voice`.
        options: How to speak; the language is `target`.
        overwrite: Do all stages again.
    """

    words = Words("translate", "translated", "Translating", "translated")

    def __init__(
        self,
        source: str,
        target: str,
        *,
        stage: Stage = "say",
        asr: str = "",
        asr_model: str = "",
        mt: str = "",
        model: str | None = None,
        styles: Path | None = None,
        vocoder: str | None = None,
        options: SayOptions | None = None,
        overwrite: bool = False,
    ):
        for name, code in (("--from", source), ("--to", target)):
            if not _LANGUAGE.fullmatch(code.lower()):
                raise UsageError(f"{name} is {code!r}; expected a code such as en, es or pt-br.")
        if source.lower() == target.lower():
            raise UsageError(f"--from and --to are both {source}.")
        self.source, self.target, self.stage = source.lower(), target.lower(), stage
        self.asr, self.asr_model, self.mt = asr, asr_model, mt
        self.model, self.styles, self.vocoder = model, styles, vocoder
        self.options, self.overwrite = replace(options or SayOptions(), language=self.target), overwrite
        self.needs_tensorflow = stage == "say" and is_student(model)
        self._recogniser: Recogniser | None = None
        self._translator: Translator | None = None

    def open(self) -> None:
        """Check the commands and open the voice; recogniser and translator are opened when a recording needs them."""
        if self.asr:
            CommandRecogniser(self.asr)
        if self.mt:
            CommandTranslator(self.mt, self.source, self.target)
        if self.stage == "say":
            self.voice = open_voice(self.model, styles=self.styles, vocoder=self.vocoder)
            self.options.checked(self.voice)

    def describe(self) -> str:
        return f"{self.source} to {self.target}" + (f", spoken by {self.voice.name}" if self.stage == "say" else "")

    def facts(self) -> dict[str, Any]:
        return {"source": self.source, "target": self.target} | ({"voice": self.voice.name} if self.stage == "say" else {})

    def job(self, name: str, source: Path, target: Path, to_file: bool) -> Job:
        info = audio_file.probe(source)
        stem = target.with_suffix("")
        if self.stage != "say":
            target = stem.with_name(f"{stem.name}.{self.source if self.stage == 'asr' else self.target}.srt")
            return Job(name, source, target, "SRT", "text", max(info.seconds, 0.0))
        target = target if to_file else stem.with_name(f"{stem.name}.wav")
        return Job(name, source, target, *audio_stream.format_for(target, "PCM_16"), max(info.seconds, 0.0))

    def process(self, job: Job, work: Work) -> None:
        stem = job.target.with_suffix("") if self.stage == "say" else job.target.with_suffix("").with_suffix("")
        heard, translated = (stem.with_name(f"{stem.name}.{code}.srt") for code in (self.source, self.target))
        segments = self._heard(job, heard)
        if self.stage != "asr":
            segments = self._translated(segments, translated)
        write_record(stem.with_name(f"{stem.name}.segments.jsonl"), segments)
        if not segments:
            work.outcome.add_note("no speech was recognised")
        if self.stage == "say":
            self._speak(job, work, segments)
        work.outcome.audio_seconds = job.seconds

    def _heard(self, job: Job, path: Path) -> list[Segment]:
        if path.is_file() and not self.overwrite:
            return [Segment(cue.start, cue.end, cue.text, self.source) for cue in _cues(path)]
        segments = self._recognise(job.source)
        write_subtitles(path, segments, translated=False)
        return segments

    def _recognise(self, path: Path) -> list[Segment]:
        if self._recogniser is None:
            self._recogniser = CommandRecogniser(self.asr) if self.asr else WhisperRecogniser(self.asr_model or "base")
        return self._recogniser(path, self.source)

    def _translated(self, segments: list[Segment], path: Path) -> list[Segment]:
        if path.is_file() and not self.overwrite:
            cues = _cues(path)
            texts = {round(one.start, 3): one.text for one in segments}
            return [Segment(c.start, c.end, texts.get(round(c.start, 3), ""), self.source, c.text) for c in cues]
        if self._translator is None:
            self._translator = (
                CommandTranslator(self.mt, self.source, self.target) if self.mt else default_translator(self.source, self.target)
            )
        lines = self._translator([one.text for one in segments])
        if any(not line for line in lines):
            raise GanAudioError(f"{self._translator.name} translated {lines.count('')} of {len(lines)} segments to nothing.")
        done = [replace(one, translation=line) for one, line in zip(segments, lines, strict=True)]
        write_subtitles(path, done, translated=True)
        return done

    def _speak(self, job: Job, work: Work, segments: list[Segment]) -> None:
        report, overruns, rate = TextReport(), list[Overrun](), self.voice.sample_rate
        tags = with_provenance({}, {"synthetic": True, "software": SOFTWARE, "model": self.voice.name, "translated": self._languages()})
        cues = [Cue(one.start, one.end, one.translation) for one in segments]
        with audio_stream.Writer(
            job.target, rate, 1, subtype=job.subtype, container=job.container, tags=tags, overwrite=self.overwrite
        ) as writer:
            for samples in self._sound(cues, overruns, report, round(job.seconds * rate)):
                writer.write(samples[:, None])
                work.advance(len(samples) / rate)
        for line in [*report.lines(), *overrun_lines(overruns)]:
            work.outcome.add_note(line)

    def _sound(self, cues: list[Cue], overruns: list[Overrun], report: TextReport, samples: int) -> Iterator[np.ndarray]:
        """The speech, and silence to the end of the original."""
        o, position = self.options, 0
        settings = {"language": o.language, "speaker": o.voice, "speed": o.speed, "seed": o.seed, "manner": o.manner, "report": report}
        for block in speak_cues(cues, self.voice, overruns, fit=o.fit, end=samples / self.voice.sample_rate, **settings):
            position = block.end
            yield block.samples
        rate = self.voice.sample_rate
        yield from (block.samples for block in silence(max(0, samples - position) / rate, rate, position))

    def _languages(self) -> str:
        return f"{self.source} to {self.target}"


def _cues(path: Path) -> list[Cue]:
    """Subtitles of an earlier stage; none where it found no speech."""
    return read_subtitles(path) if path.stat().st_size else []
