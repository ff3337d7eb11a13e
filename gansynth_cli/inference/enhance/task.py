"""`enhance` over files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.audio import audio_stream
from ...data.audio.audio_file import AudioInfo
from ...errors import AudioFileError
from ...models.model_file import ModelFile
from ..files.job import Job
from ..files.provenance import SOFTWARE, with_provenance
from ..files.task import FileTask, Words, Work
from .enhancers import TENSORFLOW_CLASSES, Enhancer, open_enhancer
from .options import EnhanceOptions
from .process import enhance_blocks, open_stream

if TYPE_CHECKING:
    from . import before_after


@dataclass
class EnhanceTask(FileTask):
    """Enhance recordings with a model.

    Args:
        model: From `enhancers.find_enhancer`.
        options: What is done, and what is written beside the output.
        overwrite: As for `FileTask`.
    """

    words = Words("enhance", "enhanced", "Enhancing", "clean")

    model: ModelFile
    options: EnhanceOptions = field(default_factory=EnhanceOptions)
    overwrite: bool = False

    @property
    def needs_tensorflow(self) -> bool:  # type: ignore[override]
        """Whether `open` imports TensorFlow."""
        return self.model.class_name in TENSORFLOW_CLASSES

    def open(self) -> None:
        self.enhancer = open_enhancer(self.model)

    def describe(self) -> str:
        enhancer = self.enhancer
        kind = "" if enhancer.masks else "; channels are enhanced one by one"
        return f"{enhancer.file.name}: {enhancer.sample_rate} Hz, SHA-256 {enhancer.sha256[:12]}{kind}"

    def facts(self) -> dict[str, Any]:
        return {"model": self.enhancer.sha256}

    def outputs(self, job: Job) -> list[Path]:
        noise = [noise_path(job)] if self.options.keep_noise else []
        picture = [picture_path(job)] if self.options.before_after else []
        return [*noise, *picture, job.target]

    def may_replace(self, job: Job, path: Path) -> bool:
        return path == picture_path(job) or _is_ours(path)

    def process(self, job: Job, work: Work) -> None:
        with work.reader() as reader, ExitStack() as files:
            sink = files.enter_context(work.writer(job.target, reader, self._tags(reader.tags, "enhanced")))
            noise = None
            if self.options.keep_noise:
                tags = self._tags(reader.tags, "removed")
                noise = files.enter_context(work.writer(noise_path(job), reader, tags, overwrite=True))
            strips = _strips(reader.info) if self.options.before_after else None
            stream = open_stream(self.enhancer, reader.info.channels, reader.info.sample_rate, self.options)
            for dry, removed in enhance_blocks(work.blocks(reader), stream):
                enhanced = dry - removed
                if noise is not None:
                    noise.write(_written_noise(dry, removed, job.subtype).T)
                sink.write(enhanced.T)
                if strips:
                    strips[0].add(dry)
                    strips[1].add(enhanced)
                del dry, removed, enhanced  # or they stay in memory while the next block is processed
            for writer in (noise, sink):
                if writer is not None:
                    writer.finish()
            reader.check_unchanged()
            if strips:
                self._draw(strips, job)
        work.outcome.clipped = sink.clipped
        if noise is not None and noise.clipped:
            work.outcome.add_note(f"{noise.clipped} samples of {noise.path.name} clipped: the sum differs from the input there")

    def _tags(self, before: dict[str, str], role: str) -> dict[str, str]:
        return provenance_tags(before, self.enhancer, self.options, role)

    def _draw(self, strips: tuple[before_after.Strip, before_after.Strip], job: Job) -> None:
        from ..generate import contact_sheet
        from . import before_after

        for strip in strips:
            strip.finish()
        mixed = f", mix {self.options.mix:g}" if self.options.mix != 1 else ""
        after = f"after (at most {strength_of(self.enhancer, self.options):g} dB less{mixed})"
        page = before_after.draw([("before", strips[0]), (after, strips[1])], job.name)
        picture = picture_path(job)
        try:
            contact_sheet.save(page, picture)
        except OSError as error:
            raise AudioFileError(picture, f"cannot be written: {(error.strerror or str(error)).lower()}") from error


def noise_path(job: Job) -> Path:
    """Return where `--keep-noise` writes."""
    return job.target.with_name(f"{job.target.stem}.noise{job.target.suffix}")


def picture_path(job: Job) -> Path:
    """Return where `--before-after` writes."""
    return job.target.with_name(f"{job.target.name}.before-after.png")


def provenance_tags(before: dict[str, str], enhancer: Enhancer, options: EnhanceOptions, role: str = "enhanced") -> dict[str, str]:
    """Return the tags of an output: those of the input, and what was done in the comment.

    Enhanced audio is not synthetic, so it is not tagged as such; the tag of a synthetic clip stays when the clip is enhanced.
    """
    facts: dict[str, Any] = {f"{role}_by": SOFTWARE, "enhancer": enhancer.sha256}
    strength = strength_of(enhancer, options)
    facts |= {"strength_db": strength, "mix": options.mix}
    if enhancer.averages:
        facts["passes"] = options.passes
    return with_provenance(before, facts, f"{role} by {SOFTWARE}, model {enhancer.sha256[:12]}, {strength:g} dB")


def strength_of(enhancer: Enhancer, options: EnhanceOptions) -> float:
    """Return the maximum attenuation in dB that the options, or else the model, state."""
    return enhancer.strength_db if options.strength_db is None else options.strength_db


def _written_noise(dry: np.ndarray, removed: np.ndarray, subtype: str) -> np.ndarray:
    """Return what the noise file gets, so that output and noise add up to the input to the last bit in integer encodings."""
    return dry - audio_stream.as_written(dry - removed, subtype) if audio_stream.is_stepped(subtype) else removed


def _is_ours(path: Path) -> bool:
    """Whether `enhance` wrote this recording."""
    try:
        with audio_stream.open_reader(path) as reader:
            comment = reader.tags.get("comment", "")
    except AudioFileError:
        return False
    return any(word in comment for word in ('d_by": "gan-audio', "d by gan-audio"))


def _strips(info: AudioInfo) -> tuple[before_after.Strip, before_after.Strip]:
    from . import before_after  # with Pillow, which only pictures need

    if info.frames < 0:
        raise AudioFileError(info.path, "no picture can be drawn: its header does not state its length", hint="leave out --before-after")
    return before_after.Strip(info.frames, info.sample_rate), before_after.Strip(info.frames, info.sample_rate)
