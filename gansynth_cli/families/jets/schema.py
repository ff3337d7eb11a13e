"""The tables of a recipe of JETS."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...family_schema import SAY, FamilySchema, ModelTable
from ...feature_specs import SpeechFeatures, Tracker
from ...schema_types import Fraction, Positive, TermWeight
from ...signal.mel_convention import MelConvention
from ..hifigan_schema import HiFiGANSizes
from ..vocoder_schema import MultiPeriodCritic, MultiScaleCritic


@dataclass(frozen=True, kw_only=True)
class JetsModel(ModelTable):
    """`[model]` of family jets (Lim, Jung and Kim 2022). The defaults are the sizes of ESPnet's train_jets.yaml."""

    mel: MelConvention = field(default_factory=MelConvention)
    tracker: Tracker = "auto"  # of F0
    channels: Positive = 256
    heads: Positive = 2
    hidden: Positive = 1024  # of a block's convolutions
    kernel: Positive = 3
    encoder_blocks: Positive = 4
    decoder_blocks: Positive = 4
    dropout: Fraction = 0.2
    predictor_channels: Positive = 256
    duration_layers: Positive = 2
    duration_kernel: Positive = 3
    duration_dropout: Fraction = 0.1
    pitch_layers: Positive = 5
    pitch_kernel: Positive = 5
    pitch_dropout: Fraction = 0.5
    energy_layers: Positive = 2
    energy_kernel: Positive = 3
    energy_dropout: Fraction = 0.5
    segment_frames: Positive = 32  # of each utterance, whose waveform is generated in a step
    max_phones: Positive = 160
    vocoder: HiFiGANSizes = field(default_factory=HiFiGANSizes)
    mpd: MultiPeriodCritic = field(default_factory=MultiPeriodCritic)
    msd: MultiScaleCritic = field(default_factory=lambda: MultiScaleCritic(style="hifigan", scales=1))

    @property
    def conditioning(self) -> str:
        """A run keeps to the speakers that it began with."""
        return "speaker"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: the aligner needs utterances."""
        return True

    def speech_features(self, sample_rate: int) -> SpeechFeatures:
        """What the data set has to hold of each recording."""
        return SpeechFeatures(self.mel.resolved(sample_rate), self.tracker, self.max_phones, crop=False)


@dataclass(frozen=True, kw_only=True)
class JetsLosses:
    """`[losses]` of family jets."""

    adversarial: TermWeight = 1.0
    feature_matching: TermWeight = 2.0  # logits included
    mel: TermWeight = 45.0  # L1 of the log-mel spectra of the segments, up to half the sample rate
    duration: TermWeight = 1.0  # square error of ln(frames + 1)
    pitch: TermWeight = 1.0  # square error in deviations of the speaker
    energy: TermWeight = 1.0
    forward_sum: TermWeight = 1.0
    binarisation: TermWeight = 1.0


SCHEMA = FamilySchema(JetsModel, JetsLosses, ("generator", "critic"), use=SAY)
