"""The tables of a recipe of voice cloning."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...family_schema import CLONE, FamilySchema, ModelTable
from ...feature_specs import FrameFeatures, Tracker
from ...schema_types import Count, Fraction, Positive, Rate, TermWeight
from ...signal.mel_convention import MelConvention


@dataclass(frozen=True, kw_only=True)
class CloneModel(ModelTable):
    """`[model]` of family clone."""

    mel: MelConvention = field(default_factory=MelConvention)
    tracker: Tracker = "auto"
    recogniser: str = "runs/phones-small"  # a run, file or bundled name of the family phones, with the same mel convention
    channels: Positive = 192
    hidden: Positive = 384  # width inside of a block
    kernel: Positive = 7
    blocks: Positive = 6
    condition_dim: Positive = 64
    dropout: Fraction = 0.1
    vectors: Positive = 6  # speaker vectors of each speaker, from as many pieces of recordings
    vector_seconds: Rate = 5.0  # of each piece: as long as a reference may be in use
    critic_channels: Count = 32  # of the first layer; 0: no discriminator

    @property
    def conditioning(self) -> str:
        """Speakers are needed to train on; the model serves others."""
        return "speaker"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: crops come from anywhere in a recording."""
        return True

    def frame_features(self, sample_rate: int) -> FrameFeatures:
        """What the data set has to hold of each clip."""
        return FrameFeatures("mel", self.mel.resolved(sample_rate), self.tracker, with_f0=True)


@dataclass(frozen=True, kw_only=True)
class CloneLosses:
    """`[losses]` of family clone."""

    mel: TermWeight = 1.0  # L1 of standardised bands
    adversarial: TermWeight = 0.1
    feature_matching: TermWeight = 1.0  # scaled to the size of the mel loss (GANSpeech)


SCHEMA = FamilySchema(CloneModel, CloneLosses, ("generator", "adversarial", "critic"), use=CLONE)
