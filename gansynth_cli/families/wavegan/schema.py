"""The tables of a WaveGAN recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...family_schema import FamilySchema, ModelTable
from ...schema_types import Count, Positive


@dataclass(frozen=True)
class WaveGANModel(ModelTable):
    """`[model]` of family wavegan (Donahue et al. 2019, and the authors' second version of the code)."""

    latent_dim: Positive = 100
    latent: Literal["uniform", "normal"] = "uniform"
    dim: Positive = 64  # d: channels of the last hidden layer of G and of the first of D
    kernel: Positive = 25
    start_samples: Positive = 16  # length at which G starts: clip_samples = start_samples * 4^k or twice that
    upsample: Literal["transposed", "nearest"] = "transposed"
    phase_shuffle: Count = 2  # radius in samples; 0 switches it off
    postprocess_filter: Count = 0  # length of the learned filter after tanh (the paper: 512); 0 switches it off
    batch_norm: bool = False
    minibatch_stddev: bool = False  # the critic sees the spread of the batch, within each class if conditional
    conditioning: Literal["none", "projection"] = "none"
    label_dim: Positive = 32  # width of the label embedding that G reads
    modulation: Count = 0  # width of the style layer that scales and shifts each hidden layer of G by latent and label; 0: none


SCHEMA = FamilySchema(WaveGANModel)
