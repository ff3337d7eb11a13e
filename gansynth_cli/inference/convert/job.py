"""Folders of recordings to be converted: what is asked for, one file from reading to its mark, many files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__, files
from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError, GanAudioError, UsageError
from ..files import file_batch
from ..files.file_batch import Outcome, Stopped, Worker

if TYPE_CHECKING:
    from .converter import Converter
    from .voice_stream import Sound, Voice

BLOCK_SECONDS = 4.0
SAMPLE_RATES = (1000, 768_000)  # Hz; beyond them a header lies, or it is not sound that one hears
_MOST_SEMITONES = 36.0
MOST_STRENGTH = 2.0
_LONGEST_CONSENT = 400  # characters of a consent note in a mark; players show the field


@dataclass(frozen=True)
class ConvertOptions:
    """What is done to the voice, and what is written.

    Attributes:
        to: Domain of the output; "" with `anonymize`.
        source: Domain of the input, or "auto".
        strength: From 0, only through the vocoder, to 1, converted; up to 2 the spectra go on beyond, the pitch does not.
        semitones: Shift the pitch by so much; None: as the domains differ.
        keep_f0: Leave the pitch as it is.
        anonymize: Into a mix of domains far from the source.
        seed: Of that mix.
        vocoder: "auto", "world", "filter", "mel", "griffin-lim", or the run folder or file of a vocoder.
        per_channel: Each channel is a recording of its own.
        sidecar: Write the mark beside the output too, as JSON.
        overwrite: Replace outputs that exist.
    """

    to: str = ""
    source: str = "auto"
    strength: float = 1.0
    semitones: float | None = None
    keep_f0: bool = False
    anonymize: bool = False
    seed: int = 0
    vocoder: str = "auto"
    per_channel: bool = False
    sidecar: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raises UsageError where values are out of range or contradict each other."""
        if bool(self.to) == self.anonymize:
            raise UsageError(
                "--to and --anonymize exclude each other." if self.to else "No target is given.",
                hint="--to DOMAIN; gan-audio convert --list --model RUN shows the domains",
            )
        if not 0 <= self.strength <= MOST_STRENGTH:
            raise UsageError(
                f"--strength is {self.strength:g}; expected 0 (the voice as it was) to 1 (converted), {MOST_STRENGTH:g} at most."
            )
        if self.keep_f0 and self.semitones is not None:
            raise UsageError("--keep-f0 and --pitch exclude each other.", hint="--pitch 0 is --keep-f0")
        if self.semitones is not None and not -_MOST_SEMITONES <= self.semitones <= _MOST_SEMITONES:
            raise UsageError(
                f"--pitch is {self.semitones:g}; expected semitones from -36 to 36, or auto.", hint="--pitch 12 is an octave up"
            )


@dataclass(frozen=True)
class Job(file_batch.Job):
    """One recording to be converted."""

    @property
    def sidecar(self) -> Path:
        """Where its mark goes as JSON."""
        return self.target.with_name(f"{self.target.name}.json")

    def outputs(self, options: ConvertOptions) -> list[Path]:
        """The files that are written, the most important last."""
        return [*([self.sidecar] if options.sidecar else []), self.target]


Plan = file_batch.Plan[Job]


def plan(inputs: Sequence[Path], output: Path, options: ConvertOptions) -> Plan:
    """Where each recording's output goes: `file_batch.plan_jobs`."""
    return file_batch.plan_jobs(inputs, output, options, Job, "converted")


def convert_jobs(
    jobs: Sequence[Job],
    converter: Converter,
    sound: Sound,
    options: ConvertOptions,
    *,
    workers: int = 1,
    on_audio: Callable[[float], None] = lambda seconds: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Converts recordings; one that fails does not stop the others. See `file_batch.run_jobs`; other processes open the models."""
    opener = partial(_open, converter.domains.file, options)
    worker = _worker(converter, sound, options)
    return file_batch.run_jobs(jobs, worker, opener, workers=workers, on_audio=on_audio, on_outcome=on_outcome)


def _open(file: Path, options: ConvertOptions) -> Worker:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # processes share the cores among themselves already
    from .converter import open_converter
    from .voice_stream import choose_sound

    converter = open_converter(file)
    return _worker(converter, choose_sound(converter, options), options)


def _worker(converter: Converter, sound: Sound, options: ConvertOptions) -> Worker:
    return lambda job, on_audio, stop: convert_file(job, converter, sound, options, on_audio=on_audio, stop=stop)


def convert_file(
    job: Job,
    converter: Converter,
    sound: Sound,
    options: ConvertOptions,
    *,
    on_audio: Callable[[float], None] = lambda seconds: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Converts one recording. Its output appears under its name only when it is whole.

    Args:
        job: What is read and written.
        converter, sound: The model, and the way to a waveform.
        options: What is done.
        on_audio: Called with the seconds of sound that are done since the last call.
        stop: Asked after each block.

    Returns:
        What became of it; foreseen failures are told there, not raised.

    Raises:
        Stopped: `stop` said so. Nothing is left behind.
    """
    from .voice_stream import choose_voice, listen

    def work(outcome: Outcome) -> Outcome:
        if job.target.exists() and not options.overwrite:
            return Outcome(job.name, "skipped", output=job.target, audio_seconds=job.seconds)
        with audio_stream.open_reader(job.source) as reader:
            rate = reader.info.sample_rate
            if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
                raise GanAudioError(f"The sample rate is {rate} Hz; expected {SAMPLE_RATES[0]} to {SAMPLE_RATES[1]}.")
            heard = listen(reader.blocks(round(rate)), rate, converter)
        voice = choose_voice(heard, converter, options)
        notes = [job.note] + ([voice.note] if heard.peak else [])
        with audio_stream.open_reader(job.source) as reader:
            frames, peak, outcome.clipped, note = _convert_reader(reader, job, converter, sound, voice, options, on_audio, stop)
        notes.append(note)
        outcome.audio_seconds = frames / rate
        if not peak:
            outcome.status, outcome.reason = "silent", "every sample is 0: nothing to convert, the output is silent too"
        outcome.note = "; ".join(filter(None, notes))
        return outcome

    return file_batch.attempt(job, work)


def _convert_reader(
    reader: audio_stream.Reader,
    job: Job,
    converter: Converter,
    sound: Sound,
    voice: Voice,
    options: ConvertOptions,
    on_audio: Callable[[float], None],
    stop: Callable[[], bool],
) -> tuple[int, float, int, str]:
    """Frames, peak of the input, clipped samples, and a note."""
    from .quiet_cuts import QuietPieces
    from .voice_stream import VoiceStream

    info = reader.info
    mark = mark_of(converter, sound, voice, options)
    stream = VoiceStream(converter, sound, voice, options, info.sample_rate)
    pieces = QuietPieces(stream.piece, info.channels, info.sample_rate)
    frames, peak = 0, 0.0
    with file_batch.writer_for(job, job.target, reader, tags_of(reader.tags, mark, options), options.overwrite) as sink:
        for block in reader.blocks(max(1, round(BLOCK_SECONDS * info.sample_rate))):
            frames += len(block)
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            sink.write(pieces.process(np.ascontiguousarray(block.T)).T)
            on_audio(len(block) / info.sample_rate)
            if stop():
                raise Stopped
        if not frames:
            raise AudioFileError(job.source, "zero samples")
        sink.write(pieces.finish().T)
        sink.finish()
        reader.check_unchanged()
    notes = [stream.note]
    held = audio_file.read_mark(job.target) or {}
    if options.sidecar or not held.get("synthetic"):
        about = {**mark, "file": job.target.name, "sample_rate": info.sample_rate, "samples": frames}
        write_sidecar(job.sidecar, about)
        if not options.sidecar:
            notes.append(f"{job.container} holds no mark: it is in {job.sidecar.name}")
    return frames, peak, sink.clipped, "; ".join(filter(None, notes))


def mark_of(converter: Converter, sound: Sound, voice: Voice, options: ConvertOptions) -> dict[str, Any]:
    """What a converted recording says of itself. One that is anonymous does not say who it was, nor of whom its voice is mixed."""
    domains = converter.domains
    consent = domains.consent
    mark: dict[str, Any] = {
        "synthetic": True,
        "software": f"gan-audio {__version__}",
        "converted_to": voice.target_name,
        "model": converter.sha256,
        "recipe": domains.provenance.get("recipe", ""),
        "strength": options.strength,
        "vocoder": sound.name,
        "consent": consent if len(consent) <= _LONGEST_CONSENT else consent[: _LONGEST_CONSENT - 3] + "...",
    }
    if options.anonymize:
        mark["anonymized"] = True
    else:
        mark["converted_from"] = voice.source_name
    if options.keep_f0 or options.semitones is not None:
        mark["pitch"] = "kept" if options.keep_f0 else options.semitones
    if sound.vocoder is not None and sound.vocoder.sha256:
        mark["vocoder_model"] = sound.vocoder.sha256
    return {key: value for key, value in mark.items() if value not in ("", None)}


def tags_of(before: dict[str, str], mark: dict[str, Any], options: ConvertOptions) -> dict[str, str]:
    """The tags of an output: those of its input (of an anonymous one none, for they may name the speaker), and the mark as comment."""
    known: Any = None
    if not options.anonymize and before.get("comment"):
        try:
            known = json.loads(before["comment"])
        except ValueError:
            known = {"comment": before["comment"]}
    merged = {**known, **mark} if isinstance(known, dict) else mark
    return {**({} if options.anonymize else before), "comment": json.dumps(merged, sort_keys=True)}


def write_sidecar(path: Path, mark: dict[str, Any]) -> None:
    """The mark as a JSON file, in one step."""
    files.write_text(path, json.dumps(mark, indent=1, ensure_ascii=False) + "\n")
