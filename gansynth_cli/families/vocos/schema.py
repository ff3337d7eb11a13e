"""The tables of a Vocos recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...family_schema import VOCODE, FamilySchema
from ...schema_types import Count, Positive, Rate
from ..vocoder_schema import VocoderLosses, VocoderModel


@dataclass(frozen=True, kw_only=True)
class VocosModel(VocoderModel):
    """`[model]` of family vocos (Siuzdak 2024)."""

    channels: Positive = 512
    hidden: Count = 0  # width inside of a block; 0: three times `channels`
    blocks: Positive = 8
    # pseudo-inverse: magnitudes start from the mel spectrogram's (FreeV); griffin-lim: the network corrects the magnitudes and first
    # phases that Griffin-Lim begins with, whose iterations end the generator
    prior: Literal["none", "pseudo-inverse", "griffin-lim"] = "none"
    iterations: Positive = 8  # of Griffin-Lim, prior = "griffin-lim" only
    mel_iterations: Count = 8  # further ones that keep to the mel spectrum in place of the magnitudes
    # truncated: normal, cut at two standard deviations; authors: as their code draws them, hardly cut, and the last layer uniform
    first_weights: Literal["truncated", "authors"] = "truncated"
    most_magnitude: Rate = 100.0  # magnitudes are clipped at this; a full-scale tone has fft / 4


SCHEMA = FamilySchema(VocosModel, VocoderLosses, use=VOCODE)
