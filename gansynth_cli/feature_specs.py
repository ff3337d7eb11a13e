"""Specifications of what a family needs of its data: batches, per-bin statistics and per-frame features. No TensorFlow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from .signal.mel_convention import MelConvention

Tracker = Literal["auto", "swift-f0", "world"]


@dataclass(frozen=True)
class BatchFeatures:
    """What a family needs each batch to hold; checked against the data set before training.

    A batch is a dict: `audio` float32 [batch, clip_samples, channels] in [-1, 1], and `label` int32 [batch] if `labels`. With `pairs`
    it also has `clean` (which is `audio`) and `noisy`, of that shape. Each of `attributes` ("pitch", "instrument", "velocity") is an
    int32 [batch] under its name: the number of its class in `DatasetInfo.attributes`. Where the recipe's model has `frame_features`
    there is `spectrum` float32 [batch, frames, bands] in place of `audio`; where it has `given_mels`, `mel` of that shape beside it.
    """

    sample_rate: int
    channels: int
    clip_samples: int
    labels: bool = False
    statistics: tuple[str, ...] = ()
    pairs: bool = False
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogSpectrogram:
    """Per-bin statistics that a model needs of its training clips; `data/statistics.py` computes them.

    Frame t starts at sample t * hop and is `fft` samples of the clip, zeros beyond its end, under a periodic Hann window.
    """

    fft: int
    hop: int
    frames: int
    log_offset: float

    @property
    def key(self) -> str:
        """Its name in `DatasetInfo.statistics`."""
        return f"log_spectrogram/fft{self.fft}-hop{self.hop}-frames{self.frames}-offset{self.log_offset:g}"


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


@dataclass(frozen=True)
class GivenMels:
    """Mel spectrograms of the recordings that another program gave, for a vocoder to be trained on (`data/given_mels.py`).

    Attributes:
        convention: What they mean, resolved.
    """

    convention: MelConvention

    @property
    def key(self) -> str:
        """Its name in `DatasetInfo.frame_features`."""
        return f"given-mel-hop{self.convention.hop}-bands{self.convention.bands}"
