"""The tables of a recipe of VITS."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...family_schema import SAY, FamilySchema
from ...schema_types import Fraction, Positive, TermWeight
from ..speech_schema import WaveformTable
from ..vocoder_schema import MultiScaleCritic


@dataclass(frozen=True, kw_only=True)
class VitsModel(WaveformTable):
    """`[model]` of family vits (Kim, Kong and Son 2021). The defaults are the authors' sizes for LJSpeech."""

    channels: Positive = 192  # even; of the text and of the latent
    hidden: Positive = 768  # of a block's convolutions
    heads: Positive = 2
    blocks: Positive = 6
    kernel: Positive = 3
    window: Positive = 4  # tokens on either side with positions of their own
    dropout: Fraction = 0.1
    duration_dropout: Fraction = 0.5
    posterior_layers: Positive = 16
    flows: Positive = 4
    flow_layers: Positive = 4
    duration_flows: Positive = 4
    msd: MultiScaleCritic = field(default_factory=lambda: MultiScaleCritic(style="melgan", scales=1))


@dataclass(frozen=True, kw_only=True)
class VitsLosses:
    """`[losses]` of family vits."""

    adversarial: TermWeight = 1.0
    feature_matching: TermWeight = 2.0  # logits included
    mel: TermWeight = 45.0  # L1 of the log-mel spectra of the segments
    divergence: TermWeight = 1.0  # of the posterior from the prior of the text
    duration: TermWeight = 1.0  # negative log likelihood, in nats a token


SCHEMA = FamilySchema(VitsModel, VitsLosses, ("generator", "critic"), use=SAY)
