"""The tables of a MaskCycleGAN-VC recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ...family_schema import CONVERT, FamilySchema
from ...schema_types import Positive, Weight
from ..conversion_schema import ConversionLosses, ConversionModel


@dataclass(frozen=True, kw_only=True)
class CycleGANModel(ConversionModel):
    """`[model]` of family cyclegan_vc (MaskCycleGAN-VC). The defaults are the published 24.5 M weights a generator."""

    channels: Positive = 128  # of the first layer; 2, 2, 4 times that follow
    blocks: Positive = 6
    block_channels: Positive = 256
    critic_channels: Positive = 128
    chunk_frames: Positive = 256  # `convert` feeds pieces of so many frames: the norms are over time


@dataclass(frozen=True, kw_only=True)
class CycleGANLosses(ConversionLosses):
    """`[losses]` of family cyclegan_vc."""

    second_adversarial: Weight = 1.0  # of the cycle's result (CycleGAN-VC2's two-step adversarial loss)


SCHEMA = FamilySchema(CycleGANModel, CycleGANLosses, use=CONVERT)
