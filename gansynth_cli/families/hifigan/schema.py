"""The tables of a HiFi-GAN recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ...family_schema import VOCODE, FamilySchema
from ..hifigan_schema import HiFiGANSizes
from ..vocoder_schema import VocoderLosses, VocoderModel


@dataclass(frozen=True, kw_only=True)
class HiFiGANModel(HiFiGANSizes, VocoderModel):
    """`[model]` of family hifigan. V2 and V3 are in recipes/hifigan/base.toml."""


SCHEMA = FamilySchema(HiFiGANModel, VocoderLosses, use=VOCODE)
