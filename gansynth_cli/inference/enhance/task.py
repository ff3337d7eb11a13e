"""`enhance` over files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from ...data.audio import audio_stream
from ...data.audio.decoder import AudioInfo
from ...data.audio.tags import PROVENANCE, Tags
from ...errors import AudioFileError
from ...models.model_file import ModelFile
from ..files.job import Job
from ..files.provenance import SOFTWARE, input_facts, with_provenance
from ..files.task import FileTask, Words, Work, block_frames
from ..repair.findings import Finding, RepairStep
from .bandwidth import BandwidthStep
from .enhancers import TENSORFLOW_CLASSES, Enhancer
from .options import BANDWIDTH, DENOISE, EnhanceOptions
from .process import Chain, Reduction, enhance_blocks, resampled_blocks
from .steps import open_steps

if TYPE_CHECKING:
    from . import before_after


@dataclass
class EnhanceTask(FileTask):
    """Enhance recordings: repair them, and remove noise with a model.

    Args:
        model: From `enhancers.find_enhancer`; None where the steps do without.
        options: What is done, and what is written beside the output.
        overwrite, bitrate: As for `FileTask`.
    """

    words = Words("enhance", "enhanced", "Enhancing", "clean")

    model: ModelFile | None
    options: EnhanceOptions = field(default_factory=EnhanceOptions)
    overwrite: bool = False
    bitrate: float | None = None

    @property
    def needs_tensorflow(self) -> bool:  # type: ignore[override]
        """Whether `open` imports TensorFlow."""
        return self.model is not None and self.model.class_name in TENSORFLOW_CLASSES

    def open(self) -> None:
        self.enhancer, self.steps = open_steps(self.options, self.model)

    def describe(self) -> str:
        enhancer = self.enhancer
        if enhancer is None:
            return ""
        kind = "" if enhancer.masks else "; channels are enhanced one by one"
        return f"{enhancer.file.name}: {enhancer.sample_rate} Hz, SHA-256 {enhancer.sha256[:12]}{kind}"

    def facts(self) -> dict[str, Any]:
        return {"steps": list(self.options.steps), "model": self.enhancer.sha256 if self.enhancer else None}

    def outputs(self, job: Job) -> list[Path]:
        picture = [picture_path(job)] if self.options.before_after else []
        return [*self._removed_path(job), *picture, job.target]

    def _removed_path(self, job: Job) -> list[Path]:
        return [removed_path(job, self.options)] if self.options.keep_noise or self.options.keep_removed else []

    def may_replace(self, job: Job, path: Path) -> bool:
        return path == picture_path(job) or _is_ours(path)

    def made_with(self, job: Job) -> dict[str, Any]:
        return {key: value for key, value in self._made(job).items() if key != "enhanced_by"}

    def _made(self, job: Job, role: str = "enhanced") -> dict[str, Any]:
        return provenance_facts(self.enhancer, self.options, role) | input_facts(job.source)

    def process(self, job: Job, work: Work) -> None:
        findings = self._look(job, work, [(name, step) for name, step in self.steps if step.looks])
        with work.reader() as reader, ExitStack() as files:
            info = reader.info
            rate = self._rate(info.sample_rate, work)
            streams = [
                step.stream(findings.get(name), info.channels, rate) for name, step in self.steps if not step.looks or findings[name]
            ]
            subtype = self._subtype(job, work, bool(findings.get("clipping")))
            tags = self._tags(job, reader.tags, "enhanced")
            sink = files.enter_context(work.writer(job.target, reader, tags, subtype=subtype, sample_rate=rate))
            noise = None
            for path in self._removed_path(job):
                tags = self._tags(job, reader.tags, "removed")
                noise = files.enter_context(work.writer(path, reader, tags, subtype=subtype, overwrite=True, sample_rate=rate))
            strips = _strips(info, rate) if self.options.before_after else None
            gain, reduction = 10 ** (-self.options.headroom_db / 20), Reduction()
            for before, after in enhance_blocks(self._blocks(work.blocks(reader, finite=self._finite), info), Chain(streams)):
                before = np.nan_to_num(before, posinf=0.0, neginf=0.0) if findings else before
                reduction.add(before, after)
                after = after if gain == 1 else after * after.dtype.type(gain)
                if noise is not None:
                    noise.write(_written_noise(before, after, subtype or job.subtype).T)
                sink.write(after.T)
                if strips:
                    strips[0].add(before)
                    strips[1].add(after)
                del before, after  # or they stay in memory while the next block is processed
            for writer in (noise, sink):
                if writer is not None:
                    writer.finish()
            reader.check_unchanged()
            if self.enhancer is not None and reduction.db is not None:
                work.outcome.reduction_db = round(reduction.db, 2)
            if strips:
                self._draw(strips, job, work.outcome.reduction_db)
        work.outcome.clipped = sink.clipped
        if noise is not None and noise.clipped:
            work.outcome.add_note(f"{noise.clipped} samples of {noise.path.name} clipped: the sum differs from the input there")

    def _look(self, job: Job, work: Work, steps: Sequence[tuple[str, RepairStep]]) -> dict[str, Finding]:
        """Look through a recording, and report what the steps find."""
        if not steps:
            return {}
        with work.reader() as reader:
            info = reader.info
            surveys = {name: step.survey(info.channels, self._rate(info.sample_rate), job.name) for name, step in steps}
            for block in self._blocks(reader.blocks(block_frames(info.sample_rate), finite=self._finite), info):
                for survey in surveys.values():
                    survey.add(block.T)
                work.advance(0.0)
        findings = {name: survey.finish() for name, survey in surveys.items()}
        work.outcome.found = {name: finding.to_json() for name, finding in findings.items()}
        summaries = [summary for finding in findings.values() if (summary := finding.summary())]
        work.outcome.add_note("; ".join(summaries) or "nothing found")
        return findings

    @property
    def _finite(self) -> bool:
        """Whether samples that are not finite are refused."""
        return "gaps" not in self.options.steps

    def _rate(self, sample_rate: int, work: Work | None = None) -> int:
        """Return the rate in Hz at which the steps run and the output is written: `output_rate`, where that is higher."""
        asked = self.options.output_rate or sample_rate
        if work is not None and asked < sample_rate:
            work.outcome.add_note(f"its {sample_rate} Hz are more than --output-rate {asked}: kept")
        return max(asked, sample_rate)

    def _blocks(self, blocks: Iterable[np.ndarray], info: AudioInfo) -> Iterable[np.ndarray]:
        """Return blocks [frames, channels] at `_rate`."""
        rate = self._rate(info.sample_rate)
        return blocks if rate == info.sample_rate else resampled_blocks(blocks, info.sample_rate, rate, info.channels)

    def _subtype(self, job: Job, work: Work, clipping: bool) -> str:
        """Return the encoding of the output where it is not the job's: restored peaks exceed full scale."""
        fine = {"PCM_32": "DOUBLE"}.get(job.subtype, "FLOAT")
        if not clipping or self.options.headroom_db or not audio_stream.is_stepped(job.subtype):
            return ""
        if not soundfile.check_format(job.container, fine):
            work.outcome.add_note(f"{job.container} holds no peaks above full scale: --headroom 6 lowers the output, or write a WAV")
            return ""
        work.outcome.add_note(f"written as {fine} to hold the restored peaks; --headroom 6 keeps {job.subtype} and lowers the output")
        return fine

    def _tags(self, job: Job, before: Mapping[str, str], role: str) -> Tags:
        return provenance_tags(before, self._made(job, role), role)

    def _draw(self, strips: tuple[before_after.Strip, before_after.Strip], job: Job, reduction_db: float | None) -> None:
        from ..generate import contact_sheet
        from . import before_after

        for strip in strips:
            strip.finish()
        mixed = f", mix {self.options.mix:g}" if self.options.mix != 1 else ""
        mean = "" if reduction_db is None else f"{reduction_db:.1f} dB less on average, "
        noise = f" ({mean}at most {strength_of(self.enhancer, self.options):g}{mixed})" if self.enhancer else ""
        done = f" {', '.join(self.options.steps)}" if self.options.steps != (DENOISE,) else ""
        page = before_after.draw([("before", strips[0]), (f"after{done}{noise}", strips[1])], job.name)
        picture = picture_path(job)
        try:
            contact_sheet.save(page, picture)
        except OSError as error:
            raise AudioFileError(picture, f"cannot be written: {(error.strerror or str(error)).lower()}") from error


@dataclass
class DetectTask(EnhanceTask):
    """Look through recordings for what the steps would repair, and write nothing."""

    words = Words("examine", "examined", "Examining", "")
    writes = False
    needs_tensorflow = False

    def open(self) -> None:
        _, self.steps = open_steps(self.options, None)
        self.enhancer = None

    def outputs(self, job: Job) -> list[Path]:
        return []

    def process(self, job: Job, work: Work) -> None:
        self._look(job, work, self.steps)
        work.outcome.output, work.outcome.audio_seconds = None, job.seconds
        work.advance(job.seconds)


def removed_path(job: Job, options: EnhanceOptions) -> Path:
    """Return where `--keep-noise` or `--keep-removed` writes."""
    return job.target.with_name(f"{job.target.stem}.{'noise' if options.keep_noise else 'removed'}{job.target.suffix}")


def picture_path(job: Job) -> Path:
    """Return where `--before-after` writes."""
    return job.target.with_name(f"{job.target.name}.before-after.png")


def provenance_facts(enhancer: Enhancer | None, options: EnhanceOptions, role: str = "enhanced") -> dict[str, Any]:
    """Return what the tag of an output states."""
    facts: dict[str, Any] = {f"{role}_by": SOFTWARE}
    if options.steps != (DENOISE,):
        facts |= {"steps": ",".join(options.steps)}
    if options.output_rate:
        facts |= {"output_rate": options.output_rate}
    if BANDWIDTH in options.steps:
        facts |= {"bandwidth_model": BandwidthStep(options.bandwidth_model).sha256}
    if options.headroom_db:
        facts |= {"headroom_db": options.headroom_db}
    if enhancer is not None:
        facts |= {"enhancer": enhancer.sha256, "strength_db": strength_of(enhancer, options), "mix": options.mix}
        if enhancer.averages:
            facts["passes"] = options.passes
    return facts


def provenance_tags(before: Mapping[str, str], facts: Mapping[str, Any], role: str = "enhanced") -> Tags:
    """Return the tags of an output: those of the input, and what was done in the comment or beside it.

    Enhanced audio is not synthetic, so it is not tagged as such; the tag of a synthetic clip stays when the clip is enhanced.
    """
    steps = f", steps {facts['steps']}" if "steps" in facts else ""
    model = f", model {facts['enhancer'][:12]}, {facts['strength_db']:g} dB" if "enhancer" in facts else ""
    return with_provenance(before, facts, f"{role} by {SOFTWARE}{steps}{model}")


def strength_of(enhancer: Enhancer, options: EnhanceOptions) -> float:
    """Return the maximum attenuation in dB that the options, or else the model, state."""
    return enhancer.strength_db if options.strength_db is None else options.strength_db


def _written_noise(before: np.ndarray, after: np.ndarray, subtype: str) -> np.ndarray:
    """Return what the file of removed audio gets: it and the output add up to the input, in integer encodings to the last bit."""
    return before - (audio_stream.as_written(after, subtype) if audio_stream.is_stepped(subtype) else after)


def _is_ours(path: Path) -> bool:
    """Whether `enhance` wrote this recording."""
    try:
        with audio_stream.open_reader(path) as reader:
            comment = reader.tags.get("comment", "") + reader.tags.get(PROVENANCE, "")
    except AudioFileError:
        return False
    return any(word in comment for word in ('d_by": "gan-audio', "d by gan-audio"))


def _strips(info: AudioInfo, rate: int) -> tuple[before_after.Strip, before_after.Strip]:
    from . import before_after  # with Pillow, which only pictures need

    if info.frames < 0:
        raise AudioFileError(info.path, "no picture can be drawn: its header does not state its length", hint="leave out --before-after")
    frames = audio_stream.resampled_frames(info.frames, info.sample_rate, rate)
    return before_after.Strip(frames, rate), before_after.Strip(frames, rate)
