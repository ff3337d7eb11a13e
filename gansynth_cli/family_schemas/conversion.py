"""StarGAN-VC and CycleGAN-VC, and the frames that they learn from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from ..signal.mel_convention import MelConvention
from .types import Count, Fraction, Positive, Weight

Tracker = Literal["auto", "swift-f0", "world"]


@dataclass(frozen=True)
class FrameFeatures:
    """What is cached of every clip, frame by frame, beside its samples: spectra and the contour of ln F0 (`data/frame_features.py`).

    Attributes:
        kind: "mel": log-mel spectra. "world": those of WORLD's spectral envelope, without harmonics.
        convention: What the spectra mean, resolved; its hop and padding say where frames stand.
        tracker: How F0 is found: "swift-f0", "world" (DIO and StoneMask), "auto": the first of the two that is installed.
    """

    kind: Literal["mel", "world"]
    convention: MelConvention
    tracker: Tracker = "auto"

    @property
    def key(self) -> str:
        """Its name in `DatasetInfo.frame_features`, and in statistics."""
        digest = hashlib.sha256(json.dumps([self.convention.to_dict(), self.tracker], sort_keys=True).encode()).hexdigest()
        return f"{self.kind}-hop{self.convention.hop}-{digest[:8]}"

    @staticmethod
    def f0_statistics(domain: str) -> str:
        """The key of a domain's {"mean", "deviation", "median", "seconds"} of ln F0 in `DatasetInfo.statistics`."""
        return f"f0/{domain}"

    def mel_statistics(self, domain: str) -> str:
        """The key of a domain's {"mean": [bands], "deviation": [bands], "active_level", "seconds"}."""
        return f"mel/{self.key}/{domain}"


@dataclass(frozen=True, kw_only=True)
class ConversionModel:
    """`[model]`: what the families that convert voices share."""

    mel: MelConvention = field(default_factory=MelConvention)
    features: Literal["mel", "world"] = "mel"  # what is converted; see `FrameFeatures.kind`
    vocoder: Literal["world", "mel"] = "world"  # how `convert` makes a waveform unless it is told
    tracker: Tracker = "auto"
    emphasis: Annotated[float, Meta(gt=0, le=2)] = 1.0  # what `convert --strength 1` is: 1.2 goes a fifth beyond what the network makes

    @property
    def conditioning(self) -> str:
        """Labels are needed, and a run keeps to those that it began with."""
        return "domain"

    @property
    def whole_recordings(self) -> bool:
        """`prepare` does not cut: crops come from anywhere in a recording."""
        return True

    def frame_features(self, sample_rate: int) -> FrameFeatures:
        """What the data set has to hold of each clip."""
        return FrameFeatures(self.features, self.mel.resolved(sample_rate), self.tracker)


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
class CycleGANModel(ConversionModel):
    """`[model]` of family cyclegan_vc (MaskCycleGAN-VC). The defaults are the published 24.5 M weights a generator."""

    channels: Positive = 128  # of the first layer; 2, 2, 4 times that follow
    blocks: Positive = 6
    block_channels: Positive = 256
    critic_channels: Positive = 128
    chunk_frames: Positive = 256  # `convert` feeds pieces of so many frames: the norms are over time


@dataclass(frozen=True, kw_only=True)
class ConversionLosses:
    """`[losses]` of the conversion families: weights of the generator's named terms; 0 leaves a term out."""

    adversarial: Weight = 1.0
    cycle: Weight = 10.0
    identity: Weight = 5.0
    identity_stop: Count = 10_000  # the first step without it; 0: it never ends
    identity_after: Weight = 0.0  # its weight from there on
    most_masked: Annotated[float, Meta(ge=0, lt=1)] = 0.5  # filling in frames: a span of up to this part of a crop is hidden; 0: none


@dataclass(frozen=True, kw_only=True)
class StarGANLosses(ConversionLosses):
    """`[losses]` of family stargan_vc."""

    classification: Weight = 0.0  # converted frames are to be taken for the target by the domain classifier
    source_classifier: Weight = 0.0  # and not to betray their source to a classifier that is trained on conversions
    source_start: Count = 5_000  # the first step of that one
    floor_db: tuple[float, float] = (0.0, 0.0)  # critics and classifiers see spectra above a floor so far below the loudest; 0, 0: all
    prosody_cycle: Weight = 10.0
    prosody_identity: Weight = 5.0


@dataclass(frozen=True, kw_only=True)
class CycleGANLosses(ConversionLosses):
    """`[losses]` of family cyclegan_vc."""

    second_adversarial: Weight = 1.0  # of the cycle's result (CycleGAN-VC2's two-step adversarial loss)
