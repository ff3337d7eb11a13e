"""`vocode` over files: recordings are resynthesised, mel spectrograms vocoded.

Outputs have the vocoder's sample rate; recordings keep their channels, each made by itself. Memory does not grow with the length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError
from ...models.model_file import ModelFile
from ...signal.mel_convention import MelConvention
from ..files.job import Job
from ..files.provenance import SOFTWARE, input_facts, with_provenance
from ..files.task import FileTask, Meter, Words, Work
from .mel_file import MelFile
from .vocoders import convention_of

if TYPE_CHECKING:
    from .stream import MelToAudio

_MEL_FILE = re.compile(r"\.npy$", re.IGNORECASE)
_SUBTYPES = {".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}  # these have one encoding


@dataclass
class VocodeTask(FileTask):
    """Resynthesise recordings and vocode mel spectrograms.

    Args:
        model: The vocoder, from `vocoders.find_vocoder`; for Griffin-Lim the one whose mel convention is used.
        griffin_lim: Run Griffin-Lim instead of the model.
        suffix: Suffix of outputs, which decides on their format.
        subtype: libsndfile's encoding of WAV and FLAC.
        transposed: The `.npy` files hold [bands, frames].
        overwrite, bitrate: As for `FileTask`.

    Raises:
        UsageError: An encoding that the format does not have.
    """

    words = Words("vocode", "vocoded", "Vocoding", "vocoded")
    also = _MEL_FILE
    needs_tensorflow = True

    model: ModelFile
    griffin_lim: bool = False
    suffix: str = ".wav"
    subtype: str = "PCM_16"
    transposed: bool = False
    overwrite: bool = False
    bitrate: float | None = None

    def __post_init__(self) -> None:
        subtype = _SUBTYPES.get(self.suffix.lower(), self.subtype)
        audio_stream.Writer(Path(f"output{self.suffix}"), self.convention.sample_rate, 1, subtype=subtype)  # checks the format

    @property
    def convention(self) -> MelConvention:
        """Mel convention of the vocoder."""
        return convention_of(self.model)

    def open(self) -> None:
        from .stream import GriffinLimVocoder, open_vocoder

        self.vocoder: MelToAudio = GriffinLimVocoder(self.convention) if self.griffin_lim else open_vocoder(self.model)

    def describe(self) -> str:
        return f"{self.vocoder.name}: {self.convention.describe()}"

    def facts(self) -> dict[str, Any]:
        return {"vocoder": self.vocoder.name, "model": self.vocoder.sha256, "mel": self.convention.to_dict()}

    def job(self, name: str, source: Path, target: Path, to_file: bool) -> Job:
        c = self.convention
        target = target if to_file else target.with_suffix(self.suffix)
        container, subtype = audio_stream.format_for(target, self.subtype)
        note = ""
        if _is_mel(source):
            seconds = MelFile(source, c, self.transposed).frames * c.hop / c.sample_rate
        else:
            info = audio_file.probe(source)
            seconds = max(info.seconds, 0.0)
            if info.sample_rate < c.sample_rate:
                note = f"a recording of {info.sample_rate} Hz: nothing above {info.sample_rate / 2:g} Hz to resynthesise"
        return Job(name, source, target, container, subtype, seconds, note)

    def made_with(self, job: Job) -> dict[str, Any]:
        return {"vocoder": self.vocoder.name, "model": self.vocoder.sha256} | input_facts(job.source)

    def process(self, job: Job, work: Work) -> None:
        rate, meter = self.convention.sample_rate, Meter()
        is_mel = _is_mel(job.source)
        channels = 1 if is_mel else audio_file.probe(job.source).channels
        pieces = self._from_mel(job) if is_mel else self._from_recording(job, meter)
        facts = {"synthetic": True, "software": SOFTWARE} | self.made_with(job)
        with audio_stream.Writer(
            job.target,
            rate,
            channels,
            subtype=job.subtype,
            container=job.container,
            tags=with_provenance({}, facts),
            frames=round(job.seconds * rate),
            bitrate=self.bitrate,
            overwrite=self.overwrite,
        ) as writer:
            for piece in pieces:
                writer.write(piece)
                work.advance(len(piece) / rate)
            if not writer.frames:
                raise AudioFileError(job.source, "zero samples")
        work.outcome.audio_seconds, work.outcome.clipped = writer.frames / rate, writer.clipped
        if not is_mel and not meter.peak:
            work.silent()

    def _from_mel(self, job: Job) -> Iterator[np.ndarray]:
        from .stream import vocode_blocks

        mel = MelFile(job.source, self.convention, self.transposed)
        return (piece[:, None] for piece in vocode_blocks(mel.blocks(), self.vocoder))

    def _from_recording(self, job: Job, meter: Meter) -> Iterator[np.ndarray]:
        from .stream import BLOCK, resynthesise

        return resynthesise(meter(audio_file.blocks(job.source, BLOCK, sample_rate=self.convention.sample_rate)), self.vocoder)


def _is_mel(path: Path) -> bool:
    return _MEL_FILE.search(path.name) is not None
