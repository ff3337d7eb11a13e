"""The keys of `[model]` that the GANs from a latent have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..family_schema import ModelTable
from ..schema_types import Count, Positive


@dataclass(frozen=True)
class LatentGANModel(ModelTable):
    """`[model]` of families wavegan and specgan."""

    latent_dim: Positive = 100
    latent: Literal["uniform", "normal"] = "uniform"
    dim: Positive = 64  # d: channels of the last hidden layer of G and of the first of D
    kernel: Positive = 25
    upsample: Literal["transposed", "nearest"] = "transposed"
    batch_norm: bool = False
    minibatch_stddev: bool = False  # the critic sees the spread of the batch, within each class if conditional
    conditioning: Literal["none", "projection"] = "none"
    label_dim: Positive = 32  # width of the label embedding that G reads
    modulation: Count = 0  # width of the style layer that scales and shifts each hidden layer of G by latent and label; 0: none
