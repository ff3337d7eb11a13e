"""Measures of one spectrogram against another: LSD, mel L1, multi-resolution STFT, MCD, PSNR, SSIM.

Conventions of such figures differ from paper to paper, and a figure means nothing without them: each docstring states its own.
Frames lie within the recording (no padding at the start, zeros after the end), so a delay of either signal shows. `MetricError`
as in `waveform`.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft as scipy_fft
from scipy.ndimage import gaussian_filter

from ...signal.mel import mel_filter_bank
from .waveform import MetricError, as_pair

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # fft, hop, window
PICTURE_DB = 80.0  # range of the spectrogram pictures
LARGEST_PSNR = 100.0


def log_spectral_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """LSD: mean over frames of the root mean square over frequency of the difference of log10 power; 0 is equal, lower is better.

    In the units of the bandwidth extension papers (log10 of power: times 10 is dB). FFT and window 2048 (Hann), hop 512; power
    is at least 1e-8, below what 16 bits resolve. The highest bins count as much as the speech band: of two recordings that
    differ only in a band at the edge of hearing it makes more than the ear does.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    difference = _log_power(reference) - _log_power(estimate)
    return float(np.sqrt(np.mean(difference**2, axis=1)).mean())


def mel_l1(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Mean absolute difference of the log-mel spectrograms, nats (0.1 is 0.87 dB); 0 is equal, lower is better.

    80 Slaney bands of equal area from 0 to half the rate, magnitudes, ln of at least 1e-5; window 1024, hop 256 (twice that
    from 32 kHz on): the convention of HiFi-GAN's training loss (Kong et al. 2020), so a vocoder's figure reads as its loss.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    return float(np.abs(_log_mel(reference, sample_rate) - _log_mel(estimate, sample_rate)).mean())


def multi_resolution_stft_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Spectral convergence plus mean absolute difference of ln magnitude, averaged over three resolutions; 0 is equal.

    FFT 1024/2048/512, hop 120/240/50, window 600/1200/240 (Hann), magnitudes of at least 1e-3.5: Parallel WaveGAN's auxiliary
    loss (Yamamoto et al. 2020). Spectral convergence is |R - E| / |R| of the magnitudes, in the Frobenius norm.

    Raises:
        MetricError: As `as_pair`.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    total = 0.0
    for fft, hop, window in RESOLUTIONS:
        clean, other = (np.sqrt(np.maximum(_power(signal, fft, hop, window), 1e-7)) for signal in (reference, estimate))
        total += np.linalg.norm(clean - other) / np.linalg.norm(clean) + np.abs(np.log(clean / other)).mean()
    return float(total / len(RESOLUTIONS))


def mcd(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Mel-cepstral distortion, dB, frame by frame (no time warping: both have the same timing); 0 is equal. Kubichek 1993.

    10 / ln 10 x sqrt(2 x sum of the squared differences of the coefficients 1 to 13), mean over the frames in which the reference
    is within 50 dB of its loudest. Coefficients are the cosine transform of the log-mel spectrogram of `mel_l1` (scaled so that
    the sum is the mean square difference of the smoothed spectra). Other front ends, such as SPTK's, give other figures.

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
    """Peak signal-to-noise ratio of the spectrogram pictures, dB: 10 log10(1 / mean square difference); higher is better.

    A picture: dB of the power in windows of 32 ms (Hann), a quarter apart, from 80 dB below the reference's loudest point (0)
    to that point (1), cut at both ends. At most 100 (equal pictures).

    Raises:
        MetricError: As `as_pair`.
    """
    clean, other = spectrogram_pictures(reference, estimate, sample_rate)
    return float(min(LARGEST_PSNR, -10 * np.log10(max(np.mean((clean - other) ** 2), 1e-12))))


def spectrogram_ssim(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Structural similarity of the spectrogram pictures (as in `spectrogram_psnr`), -1 to 1; 1 is equal. Wang et al. 2004.

    Gaussian window of sigma 1.5 (11 x 11 points), K1 0.01, K2 0.03, a range of 1, border of 5 points left out: as
    `skimage.metrics.structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`.

    Raises:
        MetricError: As `as_pair`; shorter than 11 frames.
    """
    clean, other = spectrogram_pictures(reference, estimate, sample_rate)
    if min(clean.shape) < 11:
        raise MetricError(f"too short for SSIM: {len(clean)} frames; expected at least 11")
    return structural_similarity(clean, other)


def structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two pictures [rows, columns] with values in [0, 1]."""

    def blur(picture: np.ndarray) -> np.ndarray:
        return gaussian_filter(picture, sigma=1.5, truncate=3.5)

    mean_1, mean_2 = blur(first), blur(second)
    variance_1, variance_2 = blur(first**2) - mean_1**2, blur(second**2) - mean_2**2
    covariance = blur(first * second) - mean_1 * mean_2
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2) / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2))
    return float(similarity[5:-5, 5:-5].mean())


def spectrogram_pictures(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The two pictures [frames, bins] in [0, 1] that PSNR and SSIM compare."""
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    fft = 2 ** round(np.log2(0.032 * sample_rate))
    clean, other = (10 * np.log10(_power(signal, fft, fft // 4, fft) + 1e-20) for signal in (reference, estimate))
    top = clean.max()
    return tuple(np.clip((picture - top) / PICTURE_DB + 1, 0.0, 1.0) for picture in (clean, other))  # type: ignore[return-value]


def _power(signal: np.ndarray, fft: int, hop: int, window: int) -> np.ndarray:
    """[frames, fft // 2 + 1] power; frame t covers the samples from t * hop on."""
    frames = max(1, -(-(len(signal) - window) // hop) + 1)
    signal = np.pad(signal, (0, max(0, (frames - 1) * hop + window - len(signal))))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.abs(scipy_fft.rfft(sliding_window_view(signal, window)[::hop][:frames] * hann, fft, axis=1)) ** 2


def _log_power(signal: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(_power(signal, 2048, 512, 2048), 1e-8))


def _log_mel(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """[frames, 80] ln of mel magnitudes."""
    fft = 1024 if sample_rate < 32000 else 2048
    bank = mel_filter_bank(sample_rate, fft, 80, scale="slaney", norm="area")
    return np.log(np.maximum(np.sqrt(_power(signal, fft, fft // 4, fft)) @ bank, 1e-5))
