"""Specifications of the data that a family needs: batches, per-bin statistics and per-frame features. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from .signal.mel_convention import MelConvention, front_of

Tracker = Literal["auto", "swift-f0", "world"]


@dataclass(frozen=True)
class BatchFeatures:
    """The contents of a batch that a family needs, checked against the data set before training.

    A batch is a dict: `audio` float32 [batch, clip_samples, channels] in [-1, 1], and `label` int32 [batch] if `labels`. With `pairs`
    it also has `clean` (the same as `audio`) and `noisy`, of that shape. Each of `attributes` ("pitch", "instrument", "velocity") is an
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
    """Per-bin statistics of the training clips, computed by `data/statistics.py`.

    Frame t is the `fft` samples from sample t * hop - front on, zeros beyond the clip's ends, with a periodic Hann window. With
    `mel_bands` the statistics are those of mel bands (`signal.mel.mel_mean_bank` at `sample_rate`), else of the fft / 2 + 1 bins.
    """

    fft: int
    hop: int
    frames: int
    log_offset: float
    mel_bands: int = 0
    sample_rate: int = 0  # Hz; read with mel_bands only

    @property
    def key(self) -> str:
        """The key in `DatasetInfo.statistics`."""
        bands = f"-mel{self.mel_bands}-rate{self.sample_rate}-front{self.front}" if self.mel_bands else ""
        return f"log_spectrogram/fft{self.fft}-hop{self.hop}-frames{self.frames}-offset{self.log_offset:g}{bands}"

    @property
    def front(self) -> int:
        """Samples of the first frame that lie before the clip; see `signal.mel_convention.front_of`."""
        return front_of(self.fft, self.mel_bands)

    @property
    def bins(self) -> int:
        """Number of statistics: mel bands, or bins from DC to Nyquist."""
        return self.mel_bands or self.fft // 2 + 1


@dataclass(frozen=True)
class FrameFeatures:
    """Features of each frame, cached beside the clips: spectra and the contour of ln F0 (`data/frame_features.py`).

    Attributes:
        kind: "mel": log-mel spectra. "world": log-mel spectra of WORLD's spectral envelope, without harmonics.
        convention: The resolved mel convention of the spectra, whose hop and padding define the positions of frames.
        tracker: F0 tracker: "swift-f0", "world" (DIO and StoneMask), or "auto", the first of the two that is installed.
        with_f0: Whether batches hold the contour of ln F0 ("ln_f0") beside the spectra; nothing that is cached depends on it.
    """

    kind: Literal["mel", "world"]
    convention: MelConvention
    tracker: Tracker = "auto"
    with_f0: bool = False

    @property
    def key(self) -> str:
        """The key in `DatasetInfo.frame_features`, and part of the keys of statistics."""
        digest = hashlib.sha256(json.dumps([self.convention.to_dict(), self.tracker], sort_keys=True).encode()).hexdigest()
        return f"{self.kind}-hop{self.convention.hop}-{digest[:8]}"

    @staticmethod
    def f0_statistics(domain: str) -> str:
        """Return the key of a domain's {"mean", "deviation", "median", "seconds"} of ln F0 in `DatasetInfo.statistics`."""
        return f"f0/{domain}"

    def mel_statistics(self, domain: str) -> str:
        """Return the key of a domain's {"mean": [bands], "deviation": [bands], "active_level", "seconds"}."""
        return f"mel/{self.key}/{domain}"


@dataclass(frozen=True)
class SpeechFeatures:
    """Name what is cached of recordings with transcripts for models that speak: phones with their durations, F0, energy and mel spectra
    (`data/speech_features.py`).

    Attributes:
        convention: What the spectra mean, resolved; durations count its frames.
        tracker: How F0 is found where nothing beside the recording says it; see `FrameFeatures`. "none": nowhere, all is unvoiced.
        max_phones: Phones of a window that training cuts; nothing that is cached depends on it.
        crop: Whether windows come from anywhere in a recording; else from its start.
    """

    convention: MelConvention
    tracker: Tracker | Literal["none"] = "auto"
    max_phones: int = 128
    crop: bool = True

    @property
    def key(self) -> str:
        """Its name in `DatasetInfo.frame_features`; the 2 is the version of what a record holds."""
        digest = hashlib.sha256(json.dumps([2, self.convention.to_dict(), self.tracker], sort_keys=True).encode()).hexdigest()
        return f"speech-hop{self.convention.hop}-{digest[:8]}"


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
