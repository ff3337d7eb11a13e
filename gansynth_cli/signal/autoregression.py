"""Restore missing and clipped samples with an autoregressive model: pure functions on one channel.

A short stretch of audio is close to an autoregressive process, so samples that are not known are chosen such that the prediction error of
the whole stretch is least (Janssen, Veldhuis and Vries 1986, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes"). Model and samples depend on each other, so both are estimated in turn. The system of equations is banded: its
band is as wide as the order, and its cost grows with the number of missing samples, not with their square.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_toeplitz, solveh_banded

_REGULARISATION = 1e-6  # of the power: white noise 60 dB below the signal, or sinusoids would make the equations singular
_MAX_ACTIVE_SETS = 12


def ar_coefficients(audio: np.ndarray, order: int) -> np.ndarray:
    """Estimate a model by the autocorrelation method (the prediction filter is stable).

    Args:
        audio: float [n], n above `order`.
        order: Number of coefficients.

    Returns:
        float64 [order + 1], the first is 1: the prediction error of x is sum_k a[k] x[n - k]. Zeros after the first for silence.
    """
    x = np.asarray(audio, np.float64)
    size = 1 << int(len(x) + order).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    r = np.fft.irfft(power)[: order + 1]
    a = np.zeros(order + 1)
    a[0] = 1.0
    if r[0] > 0:
        r[0] *= 1 + _REGULARISATION
        a[1:] = solve_toeplitz(r[:-1], -r[1:])
    return a


def fill_missing(audio: np.ndarray, missing: np.ndarray, order: int, rounds: int = 3) -> np.ndarray:
    """Fill missing samples by autoregressive interpolation.

    The model is estimated under a Hann window over the whole of `audio`: on speech that gains 2 to 4 dB over a rectangular one.

    Args:
        audio: float [n]; the values at missing positions do not count. About 0.1 s on either side of the gap serve best.
        missing: bool [n].
        order: Order of the model; 16 ms are good for speech and music.
        rounds: Number of times that model and samples are estimated in turn.

    Returns:
        float64 [n]; known samples are unchanged.
    """
    x = np.where(missing, 0.0, np.asarray(audio, np.float64))
    where, window = np.flatnonzero(missing), np.hanning(len(x) + 2)[1:-1]
    for _ in range(rounds):
        x[where] = _least_error(x, where, ar_coefficients(x * window, order))
    return x


def declip(audio: np.ndarray, above: np.ndarray, below: np.ndarray, order: int, rounds: int = 2) -> np.ndarray:
    """Restore clipped samples by autoregressive interpolation that never falls short of the clip level.

    The restored samples minimise the prediction error subject to x >= level at the top and x <= level at the bottom, solved by an
    active set: samples that fall short are held at their level, and the others are solved for again.

    Args:
        audio: float [n]; clipped samples hold their clip levels.
        above: bool [n], samples clipped at the top.
        below: bool [n], samples clipped at the bottom.
        order: Order of the model; 4 ms are good.
        rounds: As for `fill_missing`.

    Returns:
        float64 [n]; samples that are not clipped are unchanged.
    """
    level = np.asarray(audio, np.float64)
    x, sign = level.copy(), above.astype(np.float64) - below
    clipped = np.flatnonzero(sign)
    for _ in range(rounds):
        a = ar_coefficients(x, order)
        free = clipped
        for _ in range(_MAX_ACTIVE_SETS):
            x[free] = _least_error(x, free, a)
            short = sign[free] * (x[free] - level[free]) < 0
            if not short.any():
                break
            x[free[short]] = level[free[short]]
            free = free[~short]
            if not len(free):
                break
        x[clipped] = sign[clipped] * np.maximum(sign[clipped] * x[clipped], sign[clipped] * level[clipped])
    return x


def extrapolate(audio: np.ndarray, samples: int, order: int) -> np.ndarray:
    """Continue a signal by linear prediction; a stable model makes it fade.

    Args:
        audio: float [n], n above `order`.
        samples: Length of the continuation.
        order: Order of the model.

    Returns:
        float64 [samples].
    """
    from scipy.signal import lfilter, lfiltic

    a = ar_coefficients(np.asarray(audio) * _half_hann(len(audio)), order)
    state = lfiltic([1.0], a, np.asarray(audio, np.float64)[: -order - 1 : -1])
    return lfilter([1.0], a, np.zeros(samples), zi=state)[0]


def _half_hann(samples: int) -> np.ndarray:
    """A window that rises over the first half: what lies near the end of a signal says most about how it goes on."""
    window = np.ones(samples)
    rise = samples // 2
    window[:rise] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / max(rise, 1))
    return window


def _least_error(x: np.ndarray, where: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return the values at the sorted positions `where` that minimise the sum of squared prediction errors of x.

    The errors beyond both ends of x count too, as if it were surrounded by zeros: the equations then depend on the distance alone.
    """
    order = len(a) - 1
    b = np.correlate(a, a, "full")[order:]  # b[d] = sum_k a[k] a[k + d]
    known = x.copy()
    known[where] = 0.0
    kernel = np.concatenate([b[:0:-1], b])
    size = 1 << int(len(x) + 2 * order).bit_length()
    filtered = np.fft.irfft(np.fft.rfft(known, size) * np.fft.rfft(kernel, size), size)
    right = -filtered[order : order + len(x)][where]
    m = len(where)
    band = np.zeros((min(order, m - 1) + 1, m))  # upper form: band[-1 - k, j] = B[j - k, j]
    for k in range(len(band)):
        distance = where[k:] - where[: m - k]
        near = distance <= order
        if k and not near.any():
            band = band[-k:]
            break
        band[-1 - k, k:][near] = b[distance[near]]
    return solveh_banded(band, right, check_finite=False)
