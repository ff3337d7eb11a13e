"""The tables of a WaveGAN recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ...family_schema import FamilySchema
from ...schema_types import Count, Positive
from ..latent_gan_schema import LatentGANModel


@dataclass(frozen=True)
class WaveGANModel(LatentGANModel):
    """`[model]` of family wavegan (Donahue et al. 2019, and the authors' second version of the code)."""

    start_samples: Positive = 16  # length at which G starts: clip_samples = start_samples * 4^k or twice that
    phase_shuffle: Count = 2  # radius in samples; 0 switches it off
    postprocess_filter: Count = 0  # length of the learned filter after tanh (the paper: 512); 0 switches it off


SCHEMA = FamilySchema(WaveGANModel)
