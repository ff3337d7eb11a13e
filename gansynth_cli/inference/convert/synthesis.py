"""Turn converted spectra into a waveform: resynthesis by WORLD, a filter on the recording itself, or a mel vocoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...errors import UsageError
from ...models.model_file import VOCODERS, ModelFile, bundled_model, bundled_models, find_model
from ..vocode.vocoders import convention_of
from . import world
from .converter import Converter
from .options import ConvertOptions

if TYPE_CHECKING:
    from ..vocode.stream import MelToAudio

Method = Literal["world", "filter", "mel"]
GRIFFIN_LIM = "griffin-lim"


@dataclass(frozen=True)
class Synthesis:
    """A method of making waveforms.

    Attributes:
        method: "world" resynthesises (`world.resynthesise`), "filter" changes the recording's spectrum and keeps its pitch
            (`signal.mel_filter`), "mel" runs a vocoder.
        vocoder: The vocoder of the method "mel".
        note: Why it is not the model's own method.
    """

    method: Method
    vocoder: MelToAudio | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """Name for provenance tags."""
        return self.method if self.vocoder is None else self.vocoder.name


def choose_synthesis(converter: Converter, options: ConvertOptions) -> Synthesis:
    """Choose the method that `--vocoder` names, or with "auto" the one that the model was trained for.

    Raises:
        MissingExtraError: WORLD is needed and not installed.
        UsageError, RunError: A vocoder that does not fit the model, or a file that is none.
    """
    wanted = options.vocoder
    if wanted == "auto":
        if converter.model.vocoder == "mel" and converter.model.features == "mel":
            return _best_for_mel(converter, options)
        wanted = "filter" if options.keep_f0 else "world"
    if wanted == "world":
        world.world()
        return Synthesis("world")
    if wanted == "filter":
        if not options.keep_f0:
            raise UsageError("--vocoder filter leaves the pitch unchanged.", hint="add --keep-f0, or use --vocoder world")
        return Synthesis("filter")
    if converter.model.features != "mel":
        raise UsageError(
            f"--vocoder {wanted}: this model converts WORLD's spectral envelopes, which hold no harmonics; a vocoder would whisper.",
            hint="--vocoder world, or train with features = 'mel'",
        )
    if wanted == GRIFFIN_LIM:
        return _griffin_lim(converter)
    model = find_model(bundled_model("vocoder") if wanted == "mel" else wanted, VOCODERS, "vocode mel spectrograms")
    if wrong := _differences(converter, model):
        raise UsageError(
            f"The vocoder {model.file} takes another mel spectrogram than the converter makes: {'; '.join(wrong)}.",
            hint=f"train a vocoder on {converter.convention.describe()}",
        )
    return _open(model)


def _best_for_mel(converter: Converter, options: ConvertOptions) -> Synthesis:
    """Return the bundled vocoder if it fits, else what is installed."""
    bundled = bundled_models().get("vocoder")
    if bundled is not None and not _differences(converter, model := find_model(bundled, VOCODERS)):
        return _open(model)
    if world.is_installed():
        why = "this installation has no vocoder for the model's mel spectra; --vocoder RUN names one"
        return Synthesis("filter" if options.keep_f0 else "world", note=f"{why}; WORLD is used")
    return _griffin_lim(converter, "neither a vocoder for the model's mel spectra nor WORLD is installed; Griffin-Lim is used")


def _griffin_lim(converter: Converter, note: str = "") -> Synthesis:
    from ..vocode.stream import GriffinLimVocoder

    return Synthesis("mel", GriffinLimVocoder(converter.convention), note)


def _open(model: ModelFile) -> Synthesis:
    from ..vocode.stream import open_vocoder

    return Synthesis("mel", open_vocoder(model))


def _differences(converter: Converter, model: ModelFile) -> list[str]:
    return converter.convention.differences(convention_of(model))
