"""The sizes of a bandwidth extender. Imports no TensorFlow: the lean runtime reads them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..signal import erb

MAX_CHANNELS, MAX_BLOCKS = 2048, 64  # a file that claims more is damaged


@dataclass(frozen=True)
class BandwidthSettings:
    """Sizes of a `BandwidthExtender`.

    Attributes:
        network: "envelope": levels of bands above the edge, which shape a rectified copy of the recording; "ap-bwe": log magnitudes and
            phases of all bins (Lu et al. 2024).
        sample_rate: Hz. "envelope" also runs at the lower rates with whole frames of 20 ms, "ap-bwe" at this rate only.
        channels, hidden, blocks, kernel: Of the ConvNeXt blocks.
        input_bands: "envelope": bands of the features.
        first_band_hz: "envelope": the lowest band that can be generated.
        band_bins: "envelope": bins of a generated band below 8 kHz, and above.
        fft, window, hop: "ap-bwe": samples.
    """

    network: str = "envelope"
    sample_rate: int = 48000
    channels: int = 128
    hidden: int = 384
    blocks: int = 4
    kernel: int = 7
    input_bands: int = 64
    first_band_hz: float = 1500.0
    band_bins: tuple[int, int] = (5, 10)
    fft: int = 1024
    window: int = 320
    hop: int = 80

    def __post_init__(self) -> None:
        checks = {
            "network is envelope or ap-bwe": self.network in ("envelope", "ap-bwe"),
            "sample_rate is a multiple of 100": self.sample_rate > 0 and self.sample_rate % 100 == 0,
            "kernel is odd": self.kernel % 2 == 1,
            f"channels and hidden are 1 to {MAX_CHANNELS}": 0 < self.channels <= MAX_CHANNELS and 0 < self.hidden <= 4 * MAX_CHANNELS,
            f"blocks is 1 to {MAX_BLOCKS}": 0 < self.blocks <= MAX_BLOCKS,
            "2 hop <= window <= fft": 0 < 2 * self.hop <= self.window <= self.fft <= 1 << 16 and self.window % self.hop == 0,
            "input_bands and band_bins are positive": self.input_bands > 0 and min(self.band_bins) > 0,
        }
        broken = [check for check, holds in checks.items() if not holds]
        if broken:
            raise ValueError(f"expected that {broken[0]}; got {self}")

    @property
    def frame(self) -> int:
        """Samples of a frame of "envelope" at `sample_rate`: 20 ms; the hop is half of it."""
        return self.sample_rate // 50

    @property
    def halo(self) -> int:
        """Frames on either side on which a frame of the output depends through the network."""
        layers = self.blocks if self.network == "envelope" else self.blocks + 1
        return layers * (self.kernel // 2)

    def layout(self, sample_rate: int) -> erb.FrameLayout | None:
        """Return the frames of "envelope" at another rate; None where audio has to be resampled."""
        return erb.frame_layout(sample_rate, self.sample_rate, self.frame)

    @cached_property
    def input_widths(self) -> np.ndarray:
        """Bins of each input band."""
        return erb.erb_band_widths(self.sample_rate, self.frame, self.input_bands, 2)

    @cached_property
    def output_starts(self) -> np.ndarray:
        """First bin of each generated band, and behind the last one the number of bins."""
        step, bins = self.sample_rate / self.frame, self.frame // 2 + 1
        starts = [round(self.first_band_hz / step)]
        while starts[-1] < bins:
            starts.append(starts[-1] + (self.band_bins[0] if starts[-1] * step < 8000 else self.band_bins[1]))
        return np.array([*starts[:-1], bins])

    @cached_property
    def spread(self) -> np.ndarray:
        """float32 [bands, bins]: log levels of generated bands to bins, interpolated between their centres; 0 below the first band."""
        starts = self.output_starts
        centres, bins = (starts[:-1] + starts[1:] - 1) / 2, np.arange(starts[-1])
        matrix = np.stack([np.interp(bins, centres, row) for row in np.eye(len(centres))])
        matrix[:, : starts[0]] = 0.0
        return matrix.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        return {**asdict(self), "band_bins": list(self.band_bins)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BandwidthSettings:
        """Build the settings from `to_dict`'s result.

        Raises:
            ValueError: An unknown key, or sizes that do not fit together.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        return cls(**{**values, **({"band_bins": tuple(values["band_bins"])} if "band_bins" in values else {})})
