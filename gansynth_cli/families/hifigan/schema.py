"""The tables of a HiFi-GAN recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import VOCODE, FamilySchema
from ...schema_types import Positive
from ..vocoder_schema import VocoderLosses, VocoderModel


@dataclass(frozen=True, kw_only=True)
class HiFiGANModel(VocoderModel):
    """`[model]` of family hifigan (Kong et al. 2020). The defaults are V1; V2 and V3 are in recipes/hifigan/base.toml."""

    channels: Positive = 512  # of the first layer, halved by each upsampling
    upsample: tuple[Annotated[int, Meta(ge=2)], ...] = (8, 8, 2, 2)
    upsample_kernels: tuple[Positive, ...] = (16, 16, 4, 4)
    block: Literal[1, 2] = 1  # kind of residual block: two convolutions a dilation, or one
    kernels: tuple[Positive, ...] = (3, 7, 11)  # of the parallel branches
    dilations: tuple[tuple[Positive, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))  # of each branch


SCHEMA = FamilySchema(HiFiGANModel, VocoderLosses, use=VOCODE)
