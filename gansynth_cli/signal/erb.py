"""ERB bands, spectra and normalised features of the deep-filtering denoiser: pure numpy functions, no TensorFlow.

The front end of DeepFilterNet (Schroeter, Rosenkranz, Escalante-B. and Maier 2022, "DeepFilterNet: A low complexity speech enhancement
framework for full-band audio based on deep filtering", sections 2.1 and 3.1) with the constants of its third version: 48 kHz, frames of
960 samples every 480 under the Vorbis power-complementary window, 481 bins 50 Hz wide, 32 rectangular bands.

A 16 kHz signal needs no resampling: a frame of 320 samples has the same duration and the same bin width, so its 161 bins are the lowest
161 of the 481 and the others are zero. Spectra are scaled by 1 / frame, which makes them independent of the rate; every
constant of the features assumes that factor.

See Also:
    erb_front_end: The same transforms in TensorFlow, differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POWER_FLOOR = 1e-10  # of a band's mean power before the logarithm: silence is -100 dB
LEVEL_SCALE_DB = 40.0  # band levels are divided by it after their running mean is subtracted
FIRST_LEVEL_DB = (-60.0, -90.0)  # the running means of the lowest and highest band before the first frame
FIRST_MAGNITUDE = (1e-3, 1e-4)  # likewise of the lowest and highest bin's magnitude

_ERB_LOG = 9.265  # Glasberg and Moore 1990: ERB number = 9.265 ln(1 + f / (24.7 * 9.265))
_ERB_HZ = 24.7 * _ERB_LOG


@dataclass(frozen=True)
class FrameLayout:
    """Frames of a sample rate and their mapping to the network's bins.

    Attributes:
        sample_rate: Hz.
        frame, hop: Samples; hop is half of frame.
        bins: Bins of this rate's transform, frame / 2 + 1.
        network_bins: Bins the network sees; those from `bins` on are zero.
    """

    sample_rate: int
    frame: int
    hop: int
    bins: int
    network_bins: int

    @property
    def halves_nyquist(self) -> bool:
        """Whether the top bin of this rate lies inside the network's band.

        There a real transform counts the component once that a longer transform counts at positive and negative frequency, so it is
        halved on the way in and doubled on the way out.
        """
        return self.bins < self.network_bins


def frame_layout(sample_rate: int, network_rate: int = 48000, network_frame: int = 960) -> FrameLayout | None:
    """Return the layout at which `sample_rate` can be processed without resampling, or None.

    There is one where the frame's duration is a whole, even number of samples (8, 16, 24, 32, 44.1 and 48 kHz for frames of 20 ms),
    up to the network's own rate. Other rates need resampling.
    """
    samples, rest = divmod(network_frame * sample_rate, network_rate)
    if rest or samples % 2 or not 0 < sample_rate <= network_rate:
        return None
    return FrameLayout(sample_rate, samples, samples // 2, samples // 2 + 1, network_frame // 2 + 1)


def vorbis_window(frame: int) -> np.ndarray:
    """Compute the Vorbis window, float32 [frame]: w[i] = sin(pi / 2 sin^2(pi (i + 1/2) / frame)).

    Analysis and synthesis use it both: w[i]^2 + w[i + frame / 2]^2 = 1.
    """
    phase = np.pi * (np.arange(frame) + 0.5) / frame
    return np.sin(np.pi / 2 * np.sin(phase) ** 2).astype(np.float32)


def erb_band_widths(sample_rate: int = 48000, frame: int = 960, bands: int = 32, min_bins: int = 2) -> np.ndarray:
    """Compute the number of bins in each band, int64 [bands]; their sum is frame / 2 + 1.

    Band edges lie at equal steps of the ERB number up to half the sample rate, rounded to bins. A band narrower than `min_bins` is
    widened at the cost of the next ones; the bin at half the sample rate goes to the last band.

    Raises:
        ValueError: The bands do not fit into the spectrum.

    Example:
        >>> erb_band_widths()[[0, 13, 31]].tolist()
        [2, 5, 67]
    """
    steps = np.arange(1, bands + 1) / bands * np.log1p(sample_rate / 2 / _ERB_HZ)
    edges = np.rint(_ERB_HZ * np.expm1(steps) / (sample_rate / frame)).astype(int)
    widths, start = [], 0
    for edge in edges:
        widths.append(max(min_bins, int(edge) - start))
        start += widths[-1]
    widths[-1] += frame // 2 + 1 - start
    if widths[-1] < min_bins:
        raise ValueError(f"{bands} bands of at least {min_bins} bins do not fit into {frame // 2 + 1} bins")
    return np.array(widths)


def band_starts(widths: np.ndarray) -> np.ndarray:
    """Compute the first bin of each band, int64 [bands]."""
    return np.concatenate([[0], np.cumsum(widths)[:-1]])


def smoothing_factor(hop_seconds: float = 0.01, memory_seconds: float = 1.0) -> float:
    """Compute the weight of the past in the running means: exp(-hop / memory), rounded to three decimals as in training."""
    return round(float(np.exp(-hop_seconds / memory_seconds)), 3)


def first_levels(bands: int) -> np.ndarray:
    """Return the running means of the band levels before the first frame in dB, lowest band first: float32 [bands]."""
    return np.linspace(*FIRST_LEVEL_DB, bands, dtype=np.float32)


def first_magnitudes(bins: int) -> np.ndarray:
    """Return the running means of the magnitudes before the first frame, lowest bin first: float32 [bins]."""
    return np.linspace(*FIRST_MAGNITUDE, bins, dtype=np.float32)


def band_levels(power: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Compute the mean power of each band in dB: float32 [..., bins] -> [..., bands].

    `power` may have fewer bins than the bands cover; those missing count as silent.
    """
    starts = band_starts(widths)
    kept = int(np.searchsorted(starts, power.shape[-1]))
    levels = np.full((*power.shape[:-1], len(widths)), 10.0 * np.log10(POWER_FLOOR), np.float32)
    means = np.add.reduceat(power, starts[:kept], axis=-1) / widths[:kept].astype(np.float32)
    levels[..., :kept] = np.float32(10.0) * np.log10(means + np.float32(POWER_FLOOR))
    return levels


def running_mean_matrix(frames: int, past: float) -> tuple[np.ndarray, np.ndarray]:
    """Write the recursion m[t] = past m[t - 1] + (1 - past) x[t] as a matrix product over a block of frames.

    Returns:
        (decay [frames], weights [frames, frames]), float32, with m[t] = decay[t] m[-1] + sum over k of weights[t, k] x[k].
    """
    index = np.arange(frames)
    lag = index[:, None] - index
    weights = np.where(lag >= 0, (1.0 - past) * past ** np.maximum(lag, 0), 0.0)
    return (past ** (index + 1.0)).astype(np.float32), weights.astype(np.float32)
