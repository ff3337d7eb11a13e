"""Mains hum: find its fundamental and harmonics in the spectra of successive frames, and design the notches. Pure functions."""

from __future__ import annotations

import numpy as np

MAINS_HZ = (50.0, 60.0)
MAX_HZ = 2000.0  # the highest harmonic looked for
FRAME_SECONDS, HOP_SECONDS, STEP_HZ = 1.0, 0.5, 0.5  # of the spectra
MIN_FRAMES = 6
_DRIFT = 0.01  # share by which the mains (or the speed of a tape) may differ from its nominal frequency
_QUANTILE = 0.25  # over frames: hum is there in pauses too
_NEAR, _INNER, _OUTER = 1, 6, 30  # bins: a line lies within the first of its harmonic, its surroundings between the other two
_LINE_DB, _SURE_DB, _ALONE_DB = 8.0, 12.0, 20.0
_NOTCH_HZ, _NOTCH_SHARE = 0.7, 0.001  # bandwidth of a notch at -3 dB: the constant part, and the share of its frequency


def find_hum(products: np.ndarray) -> tuple[float, dict[int, float]]:
    """Find the mains frequency and those harmonics that stand out.

    A harmonic counts where it stands out of its surroundings in a low quantile over time, so that speech and music with their pauses do
    not count, and where its phase advances by the same angle from frame to frame, which only a steady tone does. That angle gives its
    frequency to a few millihertz.

    Args:
        products: complex [frames, bins], each frame's spectrum times the conjugate of the spectrum `HOP_SECONDS` before, Hann windows of
            `FRAME_SECONDS`, bins `STEP_HZ` apart.

    Returns:
        The fundamental in Hz, and number of harmonic (1: the fundamental itself) -> its height above its surroundings in dB; 0 and none
        without hum.
    """
    magnitude = np.abs(products)
    power = np.quantile(magnitude, _QUANTILE, axis=0).astype(np.float64)
    direction = (products / np.maximum(magnitude, 1e-30)).mean(axis=0)
    coherent = max(0.6, 1.7 / np.sqrt(len(products)))
    best: tuple[float, float, dict[int, float]] = (0.0, 0.0, {})
    for mains in MAINS_HZ:
        for fundamental in np.linspace(mains * (1 - _DRIFT), mains * (1 + _DRIFT), 41):
            lines = {k: height for k, height, at in _lines(power, fundamental) if height >= _LINE_DB and abs(direction[at]) >= coherent}
            low = [height for k, height in lines.items() if k <= 3]
            score = sum(min(height, 40.0) for height in lines.values())
            sure = max(low, default=0.0) >= (_SURE_DB if len(lines) > 1 else _ALONE_DB)
            if sure and score > best[0]:
                best = (score, float(fundamental), lines)
    _, fundamental, lines = best
    exact = _refined(power, direction, fundamental, lines) if lines else 0.0
    return (exact, lines) if min(abs(exact / mains - 1) for mains in MAINS_HZ) <= _DRIFT else (0.0, {})


def _lines(power: np.ndarray, fundamental: float) -> list[tuple[int, float, int]]:
    """Return number, height above its surroundings in dB, and bin of every harmonic."""
    lines = []
    for number in range(1, int(min(MAX_HZ, (len(power) - _OUTER - 2) * STEP_HZ) / fundamental) + 1):
        middle = round(number * fundamental / STEP_HZ)
        at = middle - _NEAR + int(np.argmax(power[middle - _NEAR : middle + _NEAR + 1]))
        around = np.concatenate([power[max(1, at - _OUTER) : at - _INNER], power[at + _INNER + 1 : at + _OUTER + 1]])
        lines.append((number, float(10 * np.log10((power[at] + 1e-20) / (np.median(around) + 1e-20))), at))
    return lines


def _refined(power: np.ndarray, direction: np.ndarray, fundamental: float, lines: dict[int, float]) -> float:
    """Return the fundamental from the phase advance of all lines; the higher ones, which are the more exact, weigh more."""
    estimates, weights = [], []
    for number, _, at in _lines(power, fundamental):
        if number in lines:
            turns = np.angle(direction[at]) / (2 * np.pi)
            hz = (turns + round(at * STEP_HZ * HOP_SECONDS - turns)) / HOP_SECONDS
            estimates.append(hz / number)
            weights.append(number)
    middle = np.median(np.repeat(estimates, weights))
    near = [(hz, weight) for hz, weight in zip(estimates, weights, strict=True) if abs(hz - middle) < 0.1]
    return float(np.average([hz for hz, _ in near], weights=[weight for _, weight in near]))


def notches(fundamental: float, harmonics: list[int], sample_rate: int) -> np.ndarray:
    """Design a notch filter for each harmonic.

    Returns:
        float64 [harmonics, 6], second-order sections for `scipy.signal.sosfilt`.
    """
    from scipy.signal import iirnotch, tf2sos

    frequencies = [k * fundamental for k in harmonics if k * fundamental < 0.49 * sample_rate]
    return np.concatenate([tf2sos(*iirnotch(f, f / (_NOTCH_HZ + _NOTCH_SHARE * f), sample_rate)) for f in frequencies])
