"""The recipe tables that the families of voice conversion share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from ..family_schema import ModelTable
from ..feature_specs import FrameFeatures, Tracker
from ..schema_types import Count, Weight
from ..signal.mel_convention import MelConvention


@dataclass(frozen=True, kw_only=True)
class ConversionModel(ModelTable):
    """`[model]`: what the families that convert voices share."""

    mel: MelConvention = field(default_factory=MelConvention)
    features: Literal["mel", "world"] = "mel"  # what is converted; see `FrameFeatures.kind`
    vocoder: Literal["world", "mel"] = "world"  # how `convert` makes a waveform unless it is told
    tracker: Tracker = "auto"
    emphasis: Annotated[float, Meta(gt=0, le=2)] = 1.0  # what `convert --strength 1` is: 1.2 goes a fifth beyond what the network makes

    @property
    def conditioning(self) -> str:
        """Labels are needed, and a run keeps to those that it began with."""
        return "domain"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: crops come from anywhere in a recording."""
        return True

    def frame_features(self, sample_rate: int) -> FrameFeatures:
        """What the data set has to hold of each clip."""
        return FrameFeatures(self.features, self.mel.resolved(sample_rate), self.tracker)


@dataclass(frozen=True, kw_only=True)
class ConversionLosses:
    """`[losses]` of the conversion families: weights of the generator's named terms; 0 leaves a term out."""

    adversarial: Weight = 1.0
    cycle: Weight = 10.0
    identity: Weight = 5.0
    identity_stop: Count = 10_000  # the first step without it; 0: it never ends
    identity_after: Weight = 0.0  # its weight from there on
    most_masked: Annotated[float, Meta(ge=0, lt=1)] = 0.5  # filling in frames: a span of up to this part of a crop is hidden; 0: none
