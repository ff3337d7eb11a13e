"""Conversion to the voice of a reference recording, by a model of the family clone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import AudioFileError, RunError, UsageError
from ...models.model_file import CLONERS, ModelFile, find_model
from ...models.speaker_encoder import speaker_vector
from ...signal.mel_convention import MelConvention
from ...signal.mel_frames import log_mel
from ...signal.pitch import ln_f0_contour
from ..arrays import blocks_of, joined
from ..files.job import Job
from ..files.provenance import SOFTWARE, input_facts
from ..files.task import FileTask, Words, Work, check_rate
from .options import ConvertOptions
from .synthesis import GRIFFIN_LIM, Synthesis
from .task import consent_field, converted_outputs, write_converted
from .voice import ESTIMATE_SECONDS
from .voice_stream import VoiceStream, convert_blocks

MAX_REFERENCE_SECONDS = 120.0
GOOD_REFERENCE_SECONDS = 5.0  # with less, what is said shapes the vector as much as who says it
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class Reference:
    """The voice of a recording.

    Attributes:
        name: Of its file, for provenance tags.
        vector: float32 [256], its speaker vector.
        ln_f0: Median of ln F0 over its voiced frames; 0: nothing is voiced.
        seconds: Of the recording, silence included.
    """

    name: str
    vector: np.ndarray
    ln_f0: float
    seconds: float


class Cloner:
    """An opened model of the family clone.

    Args:
        found: From `find_cloner`.

    Attributes:
        sample_rate: Hz.
        convention: Of its mel spectra.
        sha256: SHA-256 of its file, in hex.
    """

    def __init__(self, found: ModelFile):
        self.model: Any = found.load()
        self.convention: MelConvention = self.model.convention
        self.sample_rate, self.sha256 = self.convention.sample_rate, found.sha256

    def long_enough(self, audio: np.ndarray) -> np.ndarray:
        """Mirror a recording [samples] at its end until a frame of it can be computed."""
        least = self.convention.fft
        return audio if len(audio) >= least else np.pad(audio, (0, least - len(audio)), mode="symmetric")

    def median_ln_f0(self, audio: np.ndarray) -> float:
        """Return the median of ln F0 over voiced frames of audio at the model's rate; 0: nothing is voiced."""
        contour = ln_f0_contour(audio, self.convention)
        return float(np.median(contour[contour > 0])) if (contour > 0).any() else 0.0

    def reference(self, path: Path) -> Reference:
        """Read a voice.

        Raises:
            AudioFileError: It cannot be read, or holds less than 0.4 s of speech.
        """
        audio, rate = audio_file.read(path)
        mono = audio_file.resample(audio[: round(MAX_REFERENCE_SECONDS * rate)].mean(axis=1), rate, self.sample_rate)
        try:
            vector = speaker_vector(mono, self.sample_rate)
        except AudioFileError as error:
            raise AudioFileError(path, error.reason, hint="a recording of 5 s or more in which one person speaks") from None
        return Reference(path.name, vector, self.median_ln_f0(mono), len(mono) / self.sample_rate)


class ClonedStream(VoiceStream):
    """Converts one recording to a reference's voice.

    Args:
        cloner: The model.
        synthesis: The vocoder.
        reference: The voice.
        source_ln_f0: Median of ln F0 of the recording; 0: not known, its pitch stays.
        options: `semitones`, `keep_f0` and `per_channel` count.
        sample_rate: Rate of the recording, Hz.
    """

    def __init__(
        self, cloner: Cloner, synthesis: Synthesis, reference: Reference, source_ln_f0: float, options: ConvertOptions, sample_rate: int
    ):
        super().__init__(cloner, synthesis, None, options, sample_rate)
        self._cloner, self._reference = cloner, reference
        known = source_ln_f0 and reference.ln_f0 and not options.keep_f0
        self._shift = reference.ln_f0 - source_ln_f0 if known else 0.0
        if options.semitones is not None:
            self._shift = options.semitones * _SEMITONE

    def _make(self, audio: np.ndarray) -> np.ndarray:
        c = self._cloner.convention
        mel, contour = log_mel(audio, c), ln_f0_contour(audio, c)
        frames = min(len(mel), len(contour))
        wanted = np.where(contour > 0, contour + np.float32(self._shift), 0.0)[:frames].astype(np.float32)
        made = self._cloner.model.clone(mel[:frames], wanted, self._reference.vector)
        if not np.isfinite(made).all():
            raise RunError("The model computes NaN or infinite spectra.", hint="use an earlier checkpoint of the run")
        return self._vocode(made, wanted, len(audio))


@dataclass
class CloneTask(FileTask):
    """Convert the voice in recordings to that of a reference.

    Args:
        model: From `find_cloner`.
        reference: Recording of the voice.
        consent: Who agreed to the use of that voice, and to what.
        options: `to` is ignored.
        overwrite, bitrate: As for `FileTask`.
    """

    words = Words("convert", "converted", "Converting", "converted")
    needs_tensorflow = True

    model: ModelFile
    reference: Path
    consent: str
    options: ConvertOptions
    overwrite: bool = False
    bitrate: float | None = None

    def open(self) -> None:
        self.cloner = Cloner(self.model)
        self.synthesis = vocoder_for(self.cloner, self.options.vocoder)
        self.voice = self.cloner.reference(self.reference)

    def describe(self) -> str:
        short = f" ({GOOD_REFERENCE_SECONDS:g} s or more are better)" if self.voice.seconds < GOOD_REFERENCE_SECONDS else ""
        return f"{self.model.file.name}: {self.voice.seconds:.1f} s of {self.voice.name}{short}, vocoder {self.synthesis.name}"

    def facts(self) -> dict[str, Any]:
        return {"model": self.cloner.sha256, "vocoder": self.synthesis.name, "reference": self.voice.name}

    def outputs(self, job: Job) -> list[Path]:
        return converted_outputs(job, self.options)

    def made_with(self, job: Job) -> dict[str, Any]:
        return {"model": self.cloner.sha256, "reference": self.voice.name, "vocoder": self.synthesis.name} | input_facts(job.source)

    def process(self, job: Job, work: Work) -> None:
        with work.reader() as reader:
            rate = reader.info.sample_rate
            heard = [block.mean(axis=1) for block in islice(reader.blocks(rate), int(ESTIMATE_SECONDS))]
        start = audio_file.resample(np.concatenate(heard), rate, self.cloner.sample_rate) if heard else np.zeros(0, np.float32)
        stream = ClonedStream(self.cloner, self.synthesis, self.voice, self.cloner.median_ln_f0(start), self.options, rate)
        write_converted(job, work, stream, clone_provenance(self) | input_facts(job.source), self.options)


def clone_provenance(task: CloneTask) -> dict[str, Any]:
    """Return the provenance tag of a recording in a cloned voice."""
    model = task.cloner.model
    facts = {
        "synthetic": True,
        "software": SOFTWARE,
        "converted_to": task.voice.name,
        "cloned": True,
        "model": task.cloner.sha256,
        "recipe": model.provenance.get("recipe", ""),
        "vocoder": task.synthesis.name,
        "consent": consent_field(task.consent),
        "training_consent": consent_field(model.consent),
    }
    return {key: value for key, value in facts.items() if value}


def find_cloner(model: Path | str) -> ModelFile:
    """Return the model of the family clone in a run folder or a `.keras` file. Loads nothing.

    Raises:
        RunError: There is none, or it is a model of another kind.
    """
    return find_model(model, CLONERS, "convert to the voice of a recording")


def vocoder_for(cloner: Cloner, wanted: str) -> Synthesis:
    """Choose the vocoder: "auto" and "mel" mean the bundled one.

    Raises:
        UsageError: A method that takes no mel spectra, or a vocoder of other ones.
    """
    from ..vocode.stream import GriffinLimVocoder, open_vocoder

    if wanted in ("world", "filter"):
        raise UsageError(
            f"--vocoder {wanted}: a cloned voice is a mel spectrogram.", hint="--vocoder auto, griffin-lim, or the run of a vocoder"
        )
    if wanted == GRIFFIN_LIM:
        return Synthesis("mel", GriffinLimVocoder(cloner.convention))
    vocoder = open_vocoder(None if wanted in ("auto", "mel") else wanted)
    if wrong := cloner.convention.differences(vocoder.convention):
        raise UsageError(f"The vocoder {vocoder.name} reads other mel spectrograms than the model makes: {'; '.join(wrong)}.")
    return Synthesis("mel", vocoder)


def clone_array(
    cloner: Cloner, audio: np.ndarray, sample_rate: int, reference: Reference, options: ConvertOptions, synthesis: Synthesis | None = None
) -> np.ndarray:
    """Convert a recording in memory to a reference's voice, as `gan-audio convert --to reference.wav` would in a file.

    Args:
        cloner: The model.
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1].
        sample_rate: Rate of the audio, Hz.
        reference: From `Cloner.reference`.
        options: Pitch and so on.
        synthesis: From `vocoder_for`; None: as the options say.

    Returns:
        The same shape, rate and type. Mark what you write as synthetic.
    """
    check_rate(sample_rate)
    audio = np.asarray(audio)
    channels = audio.shape[1] if audio.ndim == 2 else 1
    mono = (audio.mean(axis=1) if audio.ndim == 2 else audio)[: round(ESTIMATE_SECONDS * sample_rate)].astype(np.float32)
    median = cloner.median_ln_f0(audio_file.resample(mono, sample_rate, cloner.sample_rate))
    stream = ClonedStream(cloner, synthesis or vocoder_for(cloner, options.vocoder), reference, median, options, sample_rate)
    return joined([part.T for part in convert_blocks(blocks_of(audio, sample_rate), channels, stream)], audio)
