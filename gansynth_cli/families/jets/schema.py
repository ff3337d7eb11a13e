"""The tables of a recipe of JETS."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...family_schema import SAY, FamilySchema
from ...schema_types import Fraction, Positive, TermWeight
from ..speech_schema import WaveformTable
from ..vocoder_schema import MultiScaleCritic


@dataclass(frozen=True, kw_only=True)
class JetsModel(WaveformTable):
    """`[model]` of family jets (Lim, Jung and Kim 2022). The defaults are the sizes of ESPnet's train_jets.yaml."""

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
    msd: MultiScaleCritic = field(default_factory=lambda: MultiScaleCritic(style="hifigan", scales=1))


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
