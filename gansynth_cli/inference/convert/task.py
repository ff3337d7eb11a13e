"""`convert` over files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.audio import audio_file
from ...models.model_file import ModelFile
from ..files.job import Job
from ..files.provenance import SOFTWARE, input_facts, sidecar_path, with_provenance, write_sidecar
from ..files.task import FileTask, Words, Work
from .converter import Converter, open_converter
from .options import ConvertOptions
from .synthesis import Synthesis, choose_synthesis
from .voice import Voice, choose_voice, estimate_speaker
from .voice_stream import VoiceStream, convert_blocks

_MAX_CONSENT = 400


@dataclass
class ConvertTask(FileTask):
    """Convert the voice in recordings.

    Args:
        model: From `domains.find_converter`.
        options: Target, strength and so on.
        overwrite, bitrate: As for `FileTask`.
    """

    words = Words("convert", "converted", "Converting", "converted")
    needs_tensorflow = True

    model: ModelFile
    options: ConvertOptions
    overwrite: bool = False
    bitrate: float | None = None

    def open(self) -> None:
        self.converter = open_converter(self.model)
        self.synthesis = choose_synthesis(self.converter, self.options)

    def describe(self) -> str:
        note = f"; {self.synthesis.note}" if self.synthesis.note else ""
        return f"{self.model.file.name}: {self.converter.sample_rate} Hz, vocoder {self.synthesis.name}{note}"

    def facts(self) -> dict[str, Any]:
        return {"model": self.converter.sha256, "vocoder": self.synthesis.name}

    def outputs(self, job: Job) -> list[Path]:
        return converted_outputs(job, self.options)

    def made_with(self, job: Job) -> dict[str, Any]:
        made = {"model": self.converter.sha256, "strength": self.options.strength, "vocoder": self.synthesis.name}
        return made | ({"converted_to": self.options.to} if self.options.to else {}) | input_facts(job.source)

    def process(self, job: Job, work: Work) -> None:
        with work.reader() as reader:
            rate = reader.info.sample_rate
            speaker = estimate_speaker(reader.blocks(rate), rate, self.converter)
        voice = choose_voice(speaker, self.converter, self.options)
        if speaker.peak:
            work.outcome.add_note(voice.note)
        stream = VoiceStream(self.converter, self.synthesis, voice, self.options, rate)
        facts = provenance_of(self.converter, self.synthesis, voice, self.options) | input_facts(job.source)
        write_converted(job, work, stream, facts, self.options)


def converted_outputs(job: Job, options: ConvertOptions) -> list[Path]:
    """Return the files that a conversion writes."""
    return [*([sidecar_path(job.target)] if options.sidecar else []), job.target]


def write_converted(job: Job, work: Work, stream: VoiceStream, facts: dict[str, Any], options: ConvertOptions) -> None:
    """Run a recording through a stream into its output, with its provenance tag, and beside it where a container holds none."""
    with work.reader() as reader:
        # Tags of a recording that becomes anonymous may name its speaker.
        tags = with_provenance({} if options.anonymize else reader.tags, facts)
        with work.writer(job.target, reader, tags) as sink:
            for made in convert_blocks(work.blocks(reader), reader.info.channels, stream):
                sink.write(made.T)
            sink.finish()
            reader.check_unchanged()
            work.outcome.add_note(stream.note)
            held = audio_file.read_tag(sink.unfinished) or {}
            if options.sidecar or not held.get("synthetic"):
                written = {"file": job.target.name, "sample_rate": stream.sample_rate, "samples": sink.frames}
                write_sidecar(job.target, facts | written)
                if not options.sidecar:
                    work.outcome.add_note(f"{job.container} holds no provenance tag: it is in {sidecar_path(job.target).name}")
    work.outcome.clipped = sink.clipped


def consent_field(note: str) -> str:
    """Return a consent note as a provenance tag holds it: players show the field, so it is cut at 400 characters."""
    return note if len(note) <= _MAX_CONSENT else note[: _MAX_CONSENT - 3] + "..."


def provenance_of(converter: Converter, synthesis: Synthesis, voice: Voice, options: ConvertOptions) -> dict[str, Any]:
    """Return the provenance tag of a converted recording; an anonymous one reveals neither its speaker nor the domains of its mix."""
    domains = converter.domains
    facts: dict[str, Any] = {
        "synthetic": True,
        "software": SOFTWARE,
        "converted_to": voice.target_name,
        "model": converter.sha256,
        "recipe": domains.provenance.get("recipe", ""),
        "strength": options.strength,
        "vocoder": synthesis.name,
        "consent": consent_field(domains.consent),
    }
    if options.anonymize:
        facts["anonymized"] = True
    else:
        facts["converted_from"] = voice.source_name
    if options.keep_f0 or options.semitones is not None:
        facts["pitch"] = "kept" if options.keep_f0 else options.semitones
    if synthesis.vocoder is not None and synthesis.vocoder.sha256:
        facts["vocoder_model"] = synthesis.vocoder.sha256
    return {key: value for key, value in facts.items() if value not in ("", None)}
