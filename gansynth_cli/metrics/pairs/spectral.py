"""Measures of one spectrogram against another: LSD, mel L1, multi-resolution STFT, MCD, PSNR, SSIM.

Conventions of such figures differ from paper to paper, and a value means nothing without them: each docstring states its own.
Frames lie within the recording (no padding at the start, zeros after the end), so a delay of either signal shows. Power spectra
are computed in blocks of frames: an hour of audio takes the memory of the signals and of their mel spectrograms. `MetricError` as in
`waveform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft as scipy_fft
from scipy.ndimage import gaussian_filter

from ...signal.mel import mel_filter_bank
from ..figure import MetricError
from .waveform import as_pair

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # fft, hop, window
IMAGE_DB = 80.0  # dynamic range of the spectrogram images
MAX_PSNR = 100.0
_BLOCK = 1 << 21  # samples of the frames transformed at once
_SSIM_RADIUS = 5  # points of the Gaussian window on either side of its centre
_SSIM_BLOCK = 8192  # rows


def log_spectral_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Compute LSD: mean over frames of the root mean square over frequency of the difference of log10 power; 0 is equal, lower is better.

    In the units of the bandwidth extension papers (log10 of power: times 10 is dB). FFT and window 2048 (Hann), hop 512; power
    is at least 1e-8, below the resolution of 16 bits. The highest bins have the weight of the speech band: a difference at the edge of
    hearing weighs more than it does for the ear.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    distances = []
    for powers in _power_blocks((reference, estimate), 2048, 512, 2048):
        clean, other = (np.log10(np.maximum(power, 1e-8)) for power in powers)
        distances.append(np.sqrt(np.mean((clean - other) ** 2, axis=1)))
    return float(np.concatenate(distances).mean())


def mel_l1(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the mean absolute difference of the log-mel spectrograms, nats (0.1 is 0.87 dB); 0 is equal, lower is better.

    80 Slaney bands of equal area from 0 to half the rate, magnitudes, ln of at least 1e-5; window 1024, hop 256 (twice that
    from 32 kHz on): the convention of HiFi-GAN's training loss (Kong et al. 2020), so a vocoder's value reads as its loss.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    return float(np.abs(_log_mel(reference, sample_rate) - _log_mel(estimate, sample_rate)).mean())


def multi_resolution_stft_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Compute spectral convergence plus mean absolute difference of ln magnitude, averaged over three resolutions; 0 is equal.

    FFT 1024/2048/512, hop 120/240/50, window 600/1200/240 (Hann), magnitudes of at least 1e-3.5: Parallel WaveGAN's auxiliary
    loss (Yamamoto et al. 2020). Spectral convergence is |R - E| / |R| of the magnitudes, in the Frobenius norm.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    total = 0.0
    for resolution in RESOLUTIONS:
        difference = energy = logarithms = points = 0.0
        for powers in _power_blocks((reference, estimate), *resolution):
            clean, other = (np.sqrt(np.maximum(power, 1e-7)) for power in powers)
            difference += np.square(clean - other).sum()
            energy += np.square(clean).sum()
            logarithms += np.abs(np.log(clean / other)).sum()
            points += clean.size
        total += np.sqrt(difference / energy) + logarithms / points
    return float(total / len(RESOLUTIONS))


def mcd(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the mel-cepstral distortion, dB, frame by frame (no time warping: both have the same timing); 0 is equal. Kubichek 1993.

    10 / ln 10 x sqrt(2 x sum of the squared differences of the coefficients 1 to 13), mean over the frames in which the reference
    is within 50 dB of its loudest. Coefficients are the cosine transform of the log-mel spectrogram of `mel_l1` (scaled so that
    the sum is the mean square difference of the smoothed spectra). Other front ends, such as SPTK's, give other values.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    clean, other = _log_mel(reference, sample_rate), _log_mel(estimate, sample_rate)
    bands = clean.shape[1]
    coefficients = scipy_fft.dct(clean - other, type=2, norm="ortho", axis=1)[:, 1:14] * np.sqrt(2 / bands)
    loudness = np.log(np.exp(2 * clean).sum(axis=1))
    active = loudness > loudness.max() - 50 * np.log(10) / 10
    return float((10 / np.log(10) * np.sqrt(2 * (coefficients[active] ** 2).sum(axis=1))).mean())


def spectrogram_psnr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the peak signal-to-noise ratio of the spectrograms as images, dB: 10 log10(1 / mean square difference); higher is better.

    An image: dB of the power in windows of 32 ms (Hann), a quarter apart, from 80 dB below the reference's loudest point (0)
    to that point (1), clipped at both ends. At most 100 (equal images).

    Raises:
        MetricError: As `as_pair`.
    """
    clean, other = spectrogram_images(reference, estimate, sample_rate)
    return float(min(MAX_PSNR, -10 * np.log10(max(np.mean((clean - other) ** 2), 1e-12))))


def spectrogram_ssim(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the structural similarity of the spectrograms as images (see `spectrogram_psnr`), -1 to 1; 1 is equal. Wang et al. 2004.

    Gaussian window of sigma 1.5 (11 x 11 points), K1 0.01, K2 0.03, a range of 1, border of 5 points left out: as
    `skimage.metrics.structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`.

    Raises:
        MetricError: As `as_pair`; shorter than 11 frames.
    """
    clean, other = spectrogram_images(reference, estimate, sample_rate)
    if min(clean.shape) < 2 * _SSIM_RADIUS + 1:
        raise MetricError(f"too short for SSIM: {len(clean)} frames; expected at least {2 * _SSIM_RADIUS + 1}")
    return structural_similarity(clean, other)


def structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Compute SSIM of two images [rows, columns] with values in [0, 1], in blocks of rows."""
    total, r = 0.0, _SSIM_RADIUS
    rows, columns = len(first) - 2 * r, first.shape[1] - 2 * r
    for start in range(0, rows, _SSIM_BLOCK):
        block = slice(start, min(start + _SSIM_BLOCK, rows) + 2 * r)
        total += _similarity(first[block], second[block])[r:-r, r:-r].sum()
    return float(total / (rows * columns))


def _similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return SSIM at every point; those within `_SSIM_RADIUS` of a border depend on what is beyond it."""

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, sigma=1.5, truncate=3.5)

    mean_1, mean_2 = blur(first), blur(second)
    variance_1, variance_2 = blur(first**2) - mean_1**2, blur(second**2) - mean_2**2
    covariance = blur(first * second) - mean_1 * mean_2
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2) / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2))


def spectrogram_images(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two images [frames, bins] in [0, 1] that PSNR and SSIM compare."""
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    fft = 2 ** round(np.log2(0.032 * sample_rate))
    blocks = _power_blocks((reference, estimate), fft, fft // 4, fft)
    clean, other = (np.concatenate(parts) for parts in zip(*([10 * np.log10(p + 1e-20) for p in powers] for powers in blocks), strict=True))
    top = clean.max()
    for image in (clean, other):  # in place: an hour of 16 kHz is an image of 0.9 GB
        image -= top
        image /= IMAGE_DB
        image += 1
        np.clip(image, 0.0, 1.0, out=image)
    return clean, other


def _power_blocks(signals: Sequence[np.ndarray], fft: int, hop: int, window: int) -> Iterator[list[np.ndarray]]:
    """Yield power [frames, fft // 2 + 1] of each signal, block by block; frame t covers the samples from t * hop on. Equal lengths."""
    samples = len(signals[0])
    frames = max(1, -(-(samples - window) // hop) + 1)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    step = max(1, _BLOCK // fft)
    for start in range(0, frames, step):
        count = min(step, frames - start)
        span = slice(start * hop, (start + count - 1) * hop + window)
        parts = (np.pad(signal[span], (0, max(0, span.stop - samples))) for signal in signals)
        yield [np.abs(scipy_fft.rfft(sliding_window_view(part, window)[::hop] * hann, fft, axis=1)) ** 2 for part in parts]


def _log_mel(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return ln of mel magnitudes, [frames, 80]."""
    fft = 1024 if sample_rate < 32000 else 2048
    bank = mel_filter_bank(sample_rate, fft, 80, scale="slaney", norm="area")
    blocks = _power_blocks([signal], fft, fft // 4, fft)
    return np.concatenate([np.log(np.maximum(np.sqrt(power) @ bank, 1e-5)) for (power,) in blocks])
