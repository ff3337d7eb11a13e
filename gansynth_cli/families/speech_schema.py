"""What the `[model]` tables of families that are trained on recordings with transcripts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..family_schema import ModelTable
from ..feature_specs import SpeechFeatures, Tracker
from ..schema_types import Positive
from ..signal.mel_convention import MelConvention
from .hifigan_schema import HiFiGANSizes
from .vocoder_schema import MultiPeriodCritic


@dataclass(frozen=True, kw_only=True)
class SpeechTable(ModelTable):
    """Tables of a family of text-to-speech. Batches hold the beginnings of utterances, or with `windows` any part of them."""

    windows: ClassVar[bool] = False

    mel: MelConvention = field(default_factory=MelConvention)
    tracker: Tracker = "auto"  # of F0, for recordings beside which nothing says it
    max_phones: Positive = 160  # of an utterance; with `windows` of one of those, its neighbours included

    @property
    def conditioning(self) -> str:
        """Speakers are needed, and a run keeps to those that it began with."""
        return "speaker"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: an utterance is aligned with all of its text."""
        return True

    def speech_features(self, sample_rate: int) -> SpeechFeatures:
        """What the data set has to hold of each recording."""
        return SpeechFeatures(self.mel.resolved(sample_rate), self.tracker, self.max_phones, crop=self.windows)


@dataclass(frozen=True, kw_only=True)
class WaveformTable(SpeechTable):
    """Tables of a family that goes from text to a waveform in one model, by HiFi-GAN's generator on segments of utterances."""

    segment_frames: Positive = 32  # of each utterance, whose waveform is generated in a step
    vocoder: HiFiGANSizes = field(default_factory=HiFiGANSizes)
    mpd: MultiPeriodCritic = field(default_factory=MultiPeriodCritic)
