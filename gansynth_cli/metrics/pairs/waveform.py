"""Measures of one signal against another, sample by sample: SI-SDR, segmental SNR, correlation, delay.

Every measure of a pair, here and in `perceptual`, `composite`, `spectral` and `pitch`, takes two float arrays [samples] of the
same length and rate, aligned to the sample, full scale [-1, 1], and returns a float; `figures.py` lists them all. Where a
measure has no value it raises `MetricError` with a short reason, so that the caller counts a failure: none returns NaN, a
substitute or the worst value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft as scipy_fft

from ..figure import MetricError

SILENCE = 1e-5  # peak; below -100 dBFS nothing is left of a signal in 16 bits
_BLOCK_FRAMES = 4096


def as_pair(reference: np.ndarray, estimate: np.ndarray, *, allow_silent_estimate: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Convert both to float64 [samples] and check them.

    Raises:
        MetricError: Not one channel each, different lengths, no samples, NaN or infinite samples, a silent reference (peak
            below -100 dBFS), or (unless allowed) a silent estimate.
    """
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if reference.ndim != 1 or estimate.ndim != 1:
        raise MetricError(f"expected two signals of one channel, [samples]; got shapes {reference.shape} and {estimate.shape}")
    if len(reference) != len(estimate):
        raise MetricError(f"different lengths: reference {len(reference)}, estimate {len(estimate)} samples")
    if not len(reference):
        raise MetricError("no samples")
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            raise MetricError(f"the {name} has NaN or infinite samples")
    if np.abs(reference).max() < SILENCE:
        raise MetricError("the reference is silent")
    if not allow_silent_estimate and np.abs(estimate).max() < SILENCE:
        raise MetricError("the estimate is silent")
    return reference, estimate


def si_sdr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Compute the scale-invariant signal-to-distortion ratio, dB. Le Roux et al. 2019, *SDR: half-baked or well done?*, eq. 5.

    The mean of each signal is removed first (a constant offset is inaudible, and the mean of a few seconds of speech is
    not 0). 10 log10(|a r|^2 / |a r - e|^2) with a = <e, r> / |r|^2. Unbounded; higher is better; invariant to the scale and sign
    of the estimate, but not to a delay of one sample. Equal signals give about 300 dB, the limit of float64.

    Args:
        reference, estimate: float [samples].
        sample_rate: Not used; present so that all measures have one signature.

    Raises:
        MetricError: As `as_pair`, or one of the two is constant.
    """
    reference, estimate = as_pair(reference, estimate)
    reference, estimate = reference - reference.mean(), estimate - estimate.mean()
    energy = reference @ reference
    if energy < 1e-20 or estimate @ estimate < 1e-20:
        raise MetricError("one of the two signals is constant")
    target = (estimate @ reference / energy) * reference
    distortion = estimate - target
    smallest = np.finfo(np.float64).tiny
    return float(10 * np.log10(max(target @ target, smallest) / max(distortion @ distortion, 1e-30 * (target @ target), smallest)))


def snr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Compute the signal-to-noise ratio of the whole recording, dB: 10 log10(|r|^2 / |e - r|^2).

    For a noisy input this is the SNR it was mixed at if speech fills the recording; `mixed_snr` uses the speech only.
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    noise = estimate - reference
    return float(10 * np.log10(reference @ reference / max(noise @ noise, 1e-30 * (reference @ reference))))


def mixed_snr(clean: np.ndarray, noisy: np.ndarray, sample_rate: int) -> float:
    """Estimate the SNR at which a recording was mixed, dB: active speech level over noise level.

    Speech is active in the frames of 32 ms within 40 dB of the loudest (a substitute for ITU-T P.56 without tuning: they agree
    within about 1 dB on read speech). `noisy - clean` is the noise.

    Raises:
        MetricError: As `as_pair`.
    """
    clean, noisy = as_pair(clean, noisy)
    noise = noisy - clean
    return float(10 * np.log10(active_power(clean, sample_rate) / max(float(np.mean(noise**2)), 1e-30)))


def active_power(signal: np.ndarray, sample_rate: int, window_seconds: float = 0.032, range_db: float = 40.0) -> float:
    """Return the mean square over the frames within `range_db` of the loudest; 0 for silence."""
    window = max(1, round(window_seconds * sample_rate))
    frames = len(signal) // window
    if not frames:
        return float(np.mean(np.square(signal, dtype=np.float64))) if len(signal) else 0.0
    power = np.square(signal[: frames * window], dtype=np.float64).reshape(frames, window).mean(axis=1)
    return float(power[power >= power.max() * 10 ** (-range_db / 10)].mean())


def segmental_snr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the segmental SNR, dB: the mean over frames of the frame's SNR, each limited to [-10, 35]. Hansen and Pellom 1998.

    Frames of 30 ms with a Hann window, a quarter apart, as in the composite measures. Pauses count: noise left in pauses gives
    frames at -10 dB. As in the published programs, so does digital silence in the reference, even where the estimate is silent
    too. Range [-10, 35]; higher is better; depends on the scale of the estimate.

    Raises:
        MetricError: As `as_pair`, or shorter than two frames. (A silent estimate has 0 dB everywhere.)
    """
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    eps = np.finfo(np.float64).eps
    ratios = []
    for clean, difference in frame_blocks((reference, reference - estimate), sample_rate):
        ratios.append(10 * np.log10((clean**2).sum(axis=1) / ((difference**2).sum(axis=1) + eps) + eps))
    return float(np.clip(np.concatenate(ratios), -10.0, 35.0).mean())


def frame_blocks(signals: Sequence[np.ndarray], sample_rate: int) -> Iterator[list[np.ndarray]]:
    """Cut signals of one length into frames for the measures of Hu and Loizou: 30 ms, a quarter apart, Hann without its zeros.

    Yields:
        For each signal [frames, window], at most 4096 frames at a time, so that an hour takes little memory.

    Raises:
        MetricError: Shorter than two frames.
    """
    window = round(0.030 * sample_rate)
    hop = window // 4
    count = (len(signals[0]) - window) // hop
    if count < 2:
        raise MetricError(f"too short: {len(signals[0])} samples; expected at least {window + 2 * hop}")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, window + 1) / (window + 1))
    for start in range(0, count, _BLOCK_FRAMES):
        span = slice(start * hop, (min(start + _BLOCK_FRAMES, count) - 1) * hop + window)
        yield [sliding_window_view(signal[span], window)[::hop] * hann for signal in signals]


def waveform_correlation(reference: np.ndarray, estimate: np.ndarray, sample_rate: int = 0) -> float:
    """Compute Pearson's correlation of the samples, -1 to 1; higher is better. Its size is sqrt(1 / (1 + 10^(-SI-SDR / 10))).

    Raises:
        MetricError: As `as_pair`, or one of the two is constant.
    """
    reference, estimate = as_pair(reference, estimate)
    reference, estimate = reference - reference.mean(), estimate - estimate.mean()
    scale = np.sqrt((reference @ reference) * (estimate @ estimate))
    if scale < 1e-20:
        raise MetricError("one of the two signals is constant")
    return float(reference @ estimate / scale)


def lag_samples(reference: np.ndarray, estimate: np.ndarray, most: int) -> int:
    """Find by how many samples the estimate is late (negative: early), within +-most: the largest absolute cross-correlation.

    The signals may differ in length. 0 if one is silent.
    """
    size = scipy_fft.next_fast_len(max(len(reference), len(estimate)) + most + 1, real=True)
    spectrum = np.conj(scipy_fft.rfft(np.asarray(reference, np.float64), size)) * scipy_fft.rfft(np.asarray(estimate, np.float64), size)
    correlation = np.abs(scipy_fft.irfft(spectrum, size))
    around = np.concatenate([correlation[-most:], correlation[: most + 1]]) if most else correlation[:1]
    return int(around.argmax()) - most if around.max() > 0 else 0
