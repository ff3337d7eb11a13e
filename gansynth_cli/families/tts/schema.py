"""The tables of a recipe of text-to-speech."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...family_schema import SAY, FamilySchema, ModelTable
from ...feature_specs import SpeechFeatures, Tracker
from ...schema_types import Fraction, Positive, TermWeight
from ...signal.mel_convention import MelConvention


@dataclass(frozen=True, kw_only=True)
class TtsModel(ModelTable):
    """`[model]` of family tts."""

    mel: MelConvention = field(default_factory=MelConvention)
    tracker: Tracker = "auto"  # of F0, for recordings beside which nothing says it
    channels: Positive = 192
    hidden: Positive = 384  # width inside of a block
    kernel: Positive = 7
    encoder_blocks: Positive = 4
    decoder_blocks: Positive = 6
    predictor_channels: Positive = 192
    speaker_dim: Positive = 64
    emotion_dim: Positive = 16
    condition_dim: Positive = 64
    dropout: Fraction = 0.1
    predictor_dropout: Fraction = 0.3
    emotion_dropout: Fraction = 0.2  # of clips whose emotion is hidden; with one emotion none is
    max_phones: Positive = 128  # of a training window, its neighbours included
    discriminators: tuple[Literal["jcu", "patch"], ...] = ("jcu",)
    critic_channels: Positive = 64  # of the first layer

    @property
    def conditioning(self) -> str:
        """Speakers are needed, and a run keeps to those that it began with."""
        return "speaker"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: windows come from anywhere in a recording."""
        return True

    def speech_features(self, sample_rate: int) -> SpeechFeatures:
        """What the data set has to hold of each recording."""
        return SpeechFeatures(self.mel.resolved(sample_rate), self.tracker, self.max_phones)


@dataclass(frozen=True, kw_only=True)
class TtsLosses:
    """`[losses]` of family tts."""

    mel: TermWeight = 1.0  # L1 of standardised bands
    duration: TermWeight = 0.1  # L1 of ln frames
    pitch: TermWeight = 0.1  # L1 of ln F0 in deviations of the speaker, weighted by voicing
    voicing: TermWeight = 0.1  # cross-entropy
    energy: TermWeight = 0.1  # L1 in deviations of the speaker
    adversarial: TermWeight = 0.1
    feature_matching: TermWeight = 1.0  # scaled to the size of the mel loss (GANSpeech)


SCHEMA = FamilySchema(TtsModel, TtsLosses, ("generator", "adversarial", "critic"), use=SAY)
