"""The tables of a recipe of a phone recogniser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...family_schema import RECOGNISE, FamilySchema, ModelTable
from ...feature_specs import SpeechFeatures, Tracker
from ...schema_types import Fraction, Positive, TermWeight
from ...signal.mel_convention import MelConvention


@dataclass(frozen=True, kw_only=True)
class PhonesModel(ModelTable):
    """`[model]` of family phones."""

    mel: MelConvention = field(default_factory=MelConvention)
    tracker: Tracker | Literal["none"] = "none"  # the network needs no F0; "auto" reads a data set that was prepared for tts
    channels: Positive = 128
    hidden: Positive = 256  # width inside of a block
    kernel: Positive = 7
    blocks: Positive = 6
    dropout: Fraction = 0.1
    norm_frames: Positive = 125  # frames over which each band's mean is taken away
    max_phones: Positive = 128  # of a training window, its neighbours included
    warp: float = 0.18  # formants and pitch are stretched by up to this share
    tilt_db: float = 6.0  # random slope over the bands, either way
    noise_db: tuple[float, float] = (15.0, 50.0)  # level of added noise below the loudest band; half of the clips have none
    smoothing: Fraction = 0.05  # of labels: boundaries are a frame off

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: windows come from anywhere in a recording."""
        return True

    def speech_features(self, sample_rate: int) -> SpeechFeatures:
        """What the data set has to hold of each recording."""
        return SpeechFeatures(self.mel.resolved(sample_rate), self.tracker, self.max_phones)


@dataclass(frozen=True, kw_only=True)
class PhonesLosses:
    """`[losses]` of family phones."""

    phones: TermWeight = 1.0  # cross-entropy of a frame, nats


SCHEMA = FamilySchema(PhonesModel, PhonesLosses, ("generator",), use=RECOGNISE)
