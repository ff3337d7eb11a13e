"""The tables of a StarGAN-VC recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import CONVERT, FamilySchema
from ...schema_types import Count, Fraction, Positive, Weight
from ..conversion_schema import ConversionLosses, ConversionModel


@dataclass(frozen=True, kw_only=True)
class StarGANModel(ConversionModel):
    """`[model]` of family stargan_vc."""

    channels: Positive = 64  # of the body of the generator
    bottleneck: Count = 16  # channels of its narrowest layer; 0: there is none, the body goes on
    embedding: Positive = 16  # width of the target's embedding beside each layer of the decoder
    blocks: Count = 0  # residual blocks with conditional instance norm between encoder and decoder (StarGAN-VC2)
    norm: Literal["instance", "none"] = "instance"  # "none": scale and shift by the code alone, no statistics over time
    norm_frames: Count = 0  # the statistics' window, a multiple of 4; 0: all frames that the network is given
    residual: bool = False  # the generator's output is added to its input: it begins as the exchange of statistics
    critic_channels: Positive = 32
    critic_dropout: Fraction = 0.1
    classifier_channels: Positive = 32  # of the classifier of domains that `--from auto` asks; also `losses.classification`
    prosody: Literal["statistics", "cwt"] = "statistics"  # "cwt": a second small game on wavelet scales of ln F0
    prosody_scales: Annotated[int, Meta(ge=2, le=12)] = 10  # octaves from 20 ms
    prosody_channels: Positive = 32
    prosody_frames: Positive = 256  # of a training crop of a contour


@dataclass(frozen=True, kw_only=True)
class StarGANLosses(ConversionLosses):
    """`[losses]` of family stargan_vc."""

    classification: Weight = 0.0  # converted frames are to be taken for the target by the domain classifier
    source_classifier: Weight = 0.0  # and not to betray their source to a classifier that is trained on conversions
    source_start: Count = 5_000  # the first step of that one
    floor_db: tuple[float, float] = (0.0, 0.0)  # critics and classifiers see spectra above a floor so far below the loudest; 0, 0: all
    prosody_cycle: Weight = 10.0
    prosody_identity: Weight = 5.0


_OPTIMIZERS = ("generator", "critic", "classifier", "source", "prosody", "prosody_critic")

SCHEMA = FamilySchema(StarGANModel, StarGANLosses, _OPTIMIZERS, use=CONVERT)
