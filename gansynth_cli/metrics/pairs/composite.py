"""CSIG, CBAK and COVL: three ratings predicted from PESQ, spectral slopes, linear prediction and segmental SNR.

Hu and Loizou 2008, *Evaluation of objective quality measures for speech enhancement*, IEEE TASLP 16(1). The constants and
conventions are those of the program published with the paper, because the tables of this field were made with it.
Two of its properties are kept for that reason and would not be chosen today: the spectral slopes use 25 bands up to 3.6 kHz at
any sample rate, and the nearest peak above a rising band is taken one band too low.
As in those tables PESQ is wide band (MOS-LQO), although the regression was made with the raw narrow-band score.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import toeplitz

from ..figure import MetricError
from .perceptual import pesq_wb
from .waveform import as_pair, frame_blocks, segmental_snr

_KEPT = 0.95  # the worst twentieth of the frames is left out
_CENTRES_HZ = np.array(
    [50.0, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30, 1288.72, 1442.54]
    + [1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63]
)  # Klatt 1982
_WIDTHS_HZ = np.array(
    [70.0, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823, 168.154]
    + [183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136]
)


def composite(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Predict three ratings, each 1 (bad) to 5 (excellent): "csig" of the speech, "cbak" of the background, "covl" overall.

    Args:
        reference, estimate: float [samples].
        sample_rate: 16,000, as wide-band PESQ needs it.

    Raises:
        MetricError, MissingExtraError: As `pesq_wb`; or too short.
    """
    return composite_from(
        pesq_wb(reference, estimate, sample_rate),
        log_likelihood_ratio(reference, estimate, sample_rate),
        weighted_spectral_slope(reference, estimate, sample_rate),
        segmental_snr(reference, estimate, sample_rate),
    )


def composite_from(pesq: float, llr: float, wss: float, segmental: float) -> dict[str, float]:
    """Apply the regressions, limited to [1, 5], to parts that are known already."""
    ratings = {
        "csig": 3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss,
        "cbak": 1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segmental,
        "covl": 1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss,
    }
    return {name: float(np.clip(value, 1.0, 5.0)) for name, value in ratings.items()}


def log_likelihood_ratio(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute LLR: how much worse the estimate's linear predictor fits the reference than its own; 0 is equal. Quackenbush 1988.

    log(a_e R_r a_e / a_r R_r a_r), order 16 (10 below 10 kHz), autocorrelation method, mean of the lowest 95 % of the frames.
    Frames in which the reference is digital silence have no predictor and are left out.

    Raises:
        MetricError: As `as_pair`; too short; no frame with sound in both.
    """
    reference, estimate = as_pair(reference, estimate)
    order = 10 if sample_rate < 10000 else 16
    eps = np.finfo(np.float64).eps  # as published: keeps the recursion from dividing by 0 in silent frames
    distances = []
    for frames in frame_blocks((reference + eps, estimate + eps), sample_rate):
        clean_lags, other_lags = (_autocorrelation(part, order) for part in frames)
        matrices = clean_lags[:, toeplitz(np.arange(order + 1))]
        own, other = (np.einsum("fi,fij,fj->f", p, matrices, p) for p in map(_predictors, (clean_lags, other_lags)))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = other / own
            distances.append(np.log(ratio[(clean_lags[:, 0] > 1e-18) & np.isfinite(ratio) & (ratio > 0)]))
    found = np.concatenate(distances)
    if not len(found):
        raise MetricError("LLR: no frame with sound in both")
    return _mean_of_the_best(found)


def weighted_spectral_slope(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute WSS: weighted squared difference of the spectral slopes in 25 critical bands, dB^2; 0 is equal. Klatt 1982.

    Slopes near the loudest band and near spectral peaks have more weight. Mean of the lowest 95 % of the frames.

    Raises:
        MetricError: As `as_pair`; too short.
    """
    reference, estimate = as_pair(reference, estimate)
    eps = np.finfo(np.float64).eps
    distances = []
    for frames in frame_blocks((reference + eps, estimate + eps), sample_rate):
        clean, other = (_band_levels(part, sample_rate) for part in frames)
        weight = (_slope_weights(clean) + _slope_weights(other)) / 2
        difference = np.diff(clean, axis=1) - np.diff(other, axis=1)
        distances.append((weight * difference**2).sum(axis=1) / weight.sum(axis=1))
    return _mean_of_the_best(np.concatenate(distances))


def _mean_of_the_best(distances: np.ndarray) -> float:
    return float(np.sort(distances)[: max(1, round(_KEPT * len(distances)))].mean())


def _autocorrelation(frames: np.ndarray, order: int) -> np.ndarray:
    """[frames, order + 1]."""
    length = frames.shape[1]
    return np.stack([(frames[:, : length - lag] * frames[:, lag:]).sum(axis=1) for lag in range(order + 1)], axis=1)


def _predictors(lags: np.ndarray) -> np.ndarray:
    """Run Levinson and Durbin's recursion over all frames at once: error filters [frames, order + 1], the first coefficient 1."""
    frames, order = lags.shape[0], lags.shape[1] - 1
    filters = np.zeros((frames, order + 1))
    filters[:, 0] = 1.0
    error = lags[:, 0].copy()
    for step in range(1, order + 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            reflection = -(filters[:, :step] * lags[:, step:0:-1]).sum(axis=1) / error
        reversed_part = filters[:, step - 1 :: -1] if step > 1 else filters[:, :1]
        filters[:, 1 : step + 1] += reflection[:, None] * reversed_part[:, :step]
        error = error * (1 - reflection**2)
    return filters


def _band_levels(frames: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the levels of frames [frames, window] in Gaussian bands of the power spectrum, [frames, 25] dB, floor at -100 dB."""
    size = 2 ** int(np.ceil(np.log2(2 * frames.shape[1])))
    power = np.abs(np.fft.rfft(frames, size, axis=1)[:, : size // 2]) ** 2
    per_bin = size / sample_rate
    exponent = -11 * ((np.arange(size // 2) - np.floor(_CENTRES_HZ[:, None] * per_bin)) / (_WIDTHS_HZ[:, None] * per_bin)) ** 2
    bands = np.exp(exponent) * (_WIDTHS_HZ[0] / _WIDTHS_HZ)[:, None]
    bands[bands <= np.exp(-30 / (2 * 2.303))] = 0.0
    return 10 * np.log10(np.maximum(power @ bands.T, 1e-10))


def _slope_weights(levels: np.ndarray) -> np.ndarray:
    """Return [frames, 24]: 20 / (20 + dB below the loudest band) x 1 / (1 + dB below the nearest peak)."""
    rising = np.diff(levels, axis=1) > 0
    count = levels.shape[1]
    peak = np.empty((len(levels), count - 1))
    # The end of the rise to the right of each band (exclusive), and the start of the fall to its left.
    end = np.full(len(levels), count - 1)
    for band in range(count - 2, -1, -1):
        end = np.where(rising[:, band], end, band)
        peak[:, band] = np.where(rising[:, band], np.take_along_axis(levels, np.maximum(end - 1, 0)[:, None], 1)[:, 0], 0.0)
    start = np.zeros(len(levels), int)
    for band in range(count - 1):
        start = np.where(rising[:, band], band + 1, start)
        peak[:, band] = np.where(rising[:, band], peak[:, band], np.take_along_axis(levels, start[:, None], 1)[:, 0])
    here = levels[:, :-1]
    return 20 / (20 + levels.max(axis=1, keepdims=True) - here) / (1 + peak - here)
