"""The sizes of HiFi-GAN's generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ..schema_types import Positive


@dataclass(frozen=True, kw_only=True)
class HiFiGANSizes:
    """Keys of `[model]`, or of a table below it, of a family that ends with HiFi-GAN's generator (Kong et al. 2020). Defaults: V1."""

    channels: Positive = 512  # of the first layer, halved by each upsampling
    upsample: tuple[Annotated[int, Meta(ge=2)], ...] = (8, 8, 2, 2)
    upsample_kernels: tuple[Positive, ...] = (16, 16, 4, 4)
    block: Literal[1, 2] = 1  # kind of residual block: two convolutions a dilation, or one
    kernels: tuple[Positive, ...] = (3, 7, 11)  # of the parallel branches
    dilations: tuple[tuple[Positive, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))  # of each branch
