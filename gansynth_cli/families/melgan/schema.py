"""The tables of a MelGAN recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import VOCODE, FamilySchema
from ...schema_types import Positive
from ..vocoder_schema import VocoderLosses, VocoderModel


@dataclass(frozen=True, kw_only=True)
class MelGANModel(VocoderModel):
    """`[model]` of family melgan (Kumar et al. 2019); with `bands = 4` Multi-band MelGAN (Yang et al. 2021)."""

    channels: Positive = 512  # of the first layer, halved by each upsampling
    upsample: tuple[Annotated[int, Meta(ge=2)], ...] = (8, 8, 2, 2)  # their product times `bands` is the hop
    dilations: tuple[Positive, ...] = (1, 3, 9)  # one residual block each
    bands: Literal[1, 4] = 1  # 4: the network gives sub-bands at a quarter of the rate, a fixed filter bank the signal
    filter_bank: Literal["nguyen", "parallel-wavegan"] = "nguyen"  # see `signal.pqmf`: sub-bands of one are none of the other
    filter_cutoff: Annotated[float, Meta(gt=0, lt=1)] = 0.142  # of half the sample rate; ParallelWaveGAN's was 0.15 up to version 0.4.2


SCHEMA = FamilySchema(MelGANModel, VocoderLosses, use=VOCODE)
