"""The steps of `enhance --do`: one registry, in the order in which they run.

Gaps come first, since what follows cannot work on samples that are missing; then clipping, since its positions are those of the
samples as recorded; then hum. Networks follow: they expect audio without such damage. Bandwidth comes last: extended before it is
denoised, a recording gets a high band made of its noise.

A step that needs a model is added by giving its entry an opener.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...models.model_file import ModelFile
from ..arrays import as_recording, joined
from ..repair.clipping import ClippingStep
from ..repair.findings import RepairStep
from ..repair.gaps import GapStep
from ..repair.hum import HumStep
from ..repair.noise_floor import NoiseFloorSurvey
from .bandwidth import BandwidthStep
from .enhancers import Enhancer, EnhancerStream, open_enhancer
from .options import BANDWIDTH, DENOISE, EnhanceOptions
from .process import Chain, enhance_blocks, open_stream


class DenoiseStep(RepairStep):
    """Remove noise with a model. It needs no look at the recording first; with `--detect-only` the noise floor is measured."""

    looks = False

    def __init__(self, enhancer: Enhancer | None, options: EnhanceOptions):
        self._enhancer, self._options = enhancer, options

    def survey(self, channels: int, sample_rate: int, name: str = "") -> NoiseFloorSurvey:
        return NoiseFloorSurvey(sample_rate)

    def stream(self, finding: Any, channels: int, sample_rate: int) -> EnhancerStream:
        assert self._enhancer is not None
        return open_stream(self._enhancer, channels, sample_rate, self._options)


@dataclass(frozen=True)
class StepKind:
    """A step of `--do`.

    Attributes:
        name: Its name on the command line.
        about: What it does, a phrase.
        opener: Opens it, given the options and, for denoising, the opened model; None where the model that it needs is not bundled.
        needs: That model, in words.
    """

    name: str
    about: str
    opener: Callable[[EnhanceOptions, Enhancer | None], RepairStep] | None = None
    needs: str = ""


STEPS: tuple[StepKind, ...] = (
    StepKind("gaps", "fill dropouts, NaN and listed gaps", lambda options, _: GapStep(options.gaps)),
    StepKind("clipping", "restore clipped peaks", lambda options, _: ClippingStep()),
    StepKind("hum", "remove mains hum", lambda options, _: HumStep()),
    StepKind("dry", "remove reverberation", needs="a dereverberation model"),
    StepKind(DENOISE, "remove noise", lambda options, enhancer: DenoiseStep(enhancer, options)),
    StepKind(BANDWIDTH, "extend the bandwidth", lambda options, _: BandwidthStep(options.bandwidth_model)),
)


def read_steps(text: str) -> tuple[str, ...]:
    """Read the value of `--do`: names separated by commas, in any order.

    Raises:
        UsageError: An unknown name, none, or a step whose model is not bundled.
    """
    known = {kind.name: kind for kind in STEPS}
    asked = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [name for name in asked if name not in known] or ([""] if not asked else [])
    if unknown:
        listed = ", ".join(f"{kind.name} ({kind.about})" for kind in STEPS)
        raise UsageError(f"There is no step {unknown[0]!r}; expected some of {listed}.", hint="--do gaps,clipping,hum,denoise")
    for name in asked:
        if known[name].opener is None:
            others = ",".join(other for other in asked if known[other].opener is not None) or DENOISE
            raise UsageError(
                f"The step {name} needs {known[name].needs}, and none is bundled with this version.", hint=f"leave it out: --do {others}"
            )
    return tuple(kind.name for kind in STEPS if kind.name in asked)


def open_steps(options: EnhanceOptions, model: ModelFile | None) -> tuple[Enhancer | None, list[tuple[str, RepairStep]]]:
    """Open the steps that the options name, in their order, and the model of denoising; None is opened without `model`."""
    enhancer = open_enhancer(model) if model is not None and DENOISE in options.steps else None
    return enhancer, [(kind.name, kind.opener(options, enhancer)) for kind in STEPS if kind.name in options.steps and kind.opener]


def repair(
    audio: np.ndarray, sample_rate: int, steps: Sequence[str] = ("gaps", "clipping", "hum"), *, gaps: Path | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Repair a recording in memory, as `gan-audio enhance --do` would in a file.

    Args:
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1]; NaN and infinite samples are gaps.
        sample_rate: Hz.
        steps: Of "gaps", "clipping", "hum" and "bandwidth"; they run in this order. `Denoiser.enhance` removes noise.
        gaps: List of further gaps, as for `--gaps`.

    Returns:
        The repaired recording in the same shape and type, samples outside the repaired spans bit for bit (restored peaks may exceed full
        scale), and what was found: step -> facts, as in the report of `gan-audio enhance --report`.

    Raises:
        UsageError: Audio of another type or shape, or another step.
    """
    names = read_steps(",".join(steps))
    if DENOISE in names:
        raise UsageError("repair removes no noise.", hint="gan_audio.load('denoiser').enhance(audio, rate)")
    whole = as_recording(audio, finite="gaps" not in names).T
    _, opened = open_steps(EnhanceOptions(steps=names, gaps=gaps), None)
    found, streams = {}, []
    for name, step in opened:
        survey = step.survey(len(whole), sample_rate)
        survey.add(whole)
        finding = survey.finish()
        found[name] = finding.to_json()
        if finding:
            streams.append(step.stream(finding, len(whole), sample_rate))
    parts = [after for _, after in enhance_blocks([whole.T], Chain(streams))]
    return joined([part.T for part in parts], np.asarray(audio)), found
