"""The sizes and the feature constants of a deep-filtering denoiser. Imports no TensorFlow: the lean runtime reads them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..signal import erb


@dataclass(frozen=True)
class DeepFilterSettings:
    """Sizes of a `DeepFilterDenoiser` and constants of its features; the defaults are DeepFilterNet 3.

    Attributes:
        sample_rate: Hz of the network's full band.
        frame: Samples of a frame at that rate; the hop is half of it.
        bands: ERB bands; a multiple of 4, since two layers halve their number.
        min_band_bins: No band is narrower.
        filter_bins: So many lowest bins are deep-filtered; even.
        filter_taps: Frames a bin's filter spans.
        lookahead: Frames after the present one that network and filter see.
        memory_seconds: Time constant of the features' running means.
        channels: Channels of the convolutions; even.
        hidden: Units of each recurrence.
        groups: Groups of the linear layers except the next two.
        embedding_groups: Groups of the layer from the complex features to the embedding.
        filter_groups: Groups of the filter decoder's input layer.
        band_layers, filter_layers: Recurrent layers of the two decoders.
        snr_head: Whether the encoder also estimates the local signal-to-noise ratio; the output does not depend on it.
    """

    sample_rate: int = 48000
    frame: int = 960
    bands: int = 32
    min_band_bins: int = 2
    filter_bins: int = 96
    filter_taps: int = 5
    lookahead: int = 2
    memory_seconds: float = 1.0
    channels: int = 64
    hidden: int = 256
    groups: int = 16
    embedding_groups: int = 32
    filter_groups: int = 8
    band_layers: int = 2
    filter_layers: int = 2
    snr_head: bool = True

    def __post_init__(self) -> None:
        checks = {
            "bands is a multiple of 4": self.bands % 4 == 0,
            "filter_bins is even and inside the spectrum": self.filter_bins % 2 == 0 and 0 < self.filter_bins <= self.bins,
            "channels is even": self.channels % 2 == 0,
            "0 <= lookahead < filter_taps": 0 <= self.lookahead < self.filter_taps,
            "groups divides hidden, the embedding and 2 filter_bins filter_taps": not (
                self.hidden % self.groups or self.embedding % self.groups or self.filter_outputs % self.groups
            ),
            "embedding_groups divides the embedding and channels filter_bins / 2": not (
                self.embedding % self.embedding_groups or self.channels * self.filter_bins // 2 % self.embedding_groups
            ),
            "filter_groups divides the embedding and hidden": not (self.embedding % self.filter_groups or self.hidden % self.filter_groups),
        }
        broken = [check for check, holds in checks.items() if not holds]
        if broken:
            raise ValueError(f"expected that {broken[0]}; got {self}")

    @property
    def hop(self) -> int:
        """Samples between frames at `sample_rate`."""
        return self.frame // 2

    @property
    def bins(self) -> int:
        """Bins of the full band."""
        return self.frame // 2 + 1

    @property
    def embedding(self) -> int:
        """Units of the embedding that encoder and decoders share: channels times a quarter of the bands."""
        return self.channels * self.bands // 4

    @property
    def filter_outputs(self) -> int:
        """Coefficients of a frame: bins, taps, real and imaginary."""
        return 2 * self.filter_bins * self.filter_taps

    @cached_property
    def band_widths(self) -> np.ndarray:
        """Bins in each band."""
        return erb.erb_band_widths(self.sample_rate, self.frame, self.bands, self.min_band_bins)

    @property
    def past(self) -> float:
        """Weight of the past in the running means."""
        return erb.smoothing_factor(self.hop / self.sample_rate, self.memory_seconds)

    def layout(self, sample_rate: int) -> erb.FrameLayout | None:
        """Return the frames of another rate; None where audio has to be resampled to the network's `sample_rate`."""
        return erb.frame_layout(sample_rate, self.sample_rate, self.frame)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DeepFilterSettings:
        """Build the settings from `to_dict`'s result.

        Raises:
            ValueError: An unknown key, or sizes that do not fit together.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        return cls(**values)
