"""Integrated loudness (ITU-R BS.1770-4) of a stream of blocks, by pyloudnorm's filters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np

_BLOCK_SECONDS = 0.4  # gating blocks, 75% overlap
_ABSOLUTE_GATE = -70.0  # LUFS
_RELATIVE_GATE = -10.0  # LU


def loudness_lufs(blocks: Iterable[np.ndarray], sample_rate: int, first: int = 0, last: int | None = None) -> float:
    """Measure the integrated loudness of samples [first, last).

    A recording shorter than one gating block of 400 ms, such as a drum hit, counts as a single block of its own length. pyloudnorm
    refuses those; for others the result is the same.

    Args:
        blocks: float32 [frames, channels], up to five channels (the fourth and fifth, surrounds, weigh 1.41).
        sample_rate: Hz.
        first, last: Range of samples; last None: to the end.

    Returns:
        LUFS; -inf for silence.
    """
    from scipy.signal import lfilter

    filters = k_weighting(sample_rate)
    step = round(_BLOCK_SECONDS / 4 * sample_rate)
    states: list[np.ndarray] | None = None
    rest, sums, position, total, samples = None, [], 0, 0.0, 0
    for block in blocks:
        lower, upper = max(first - position, 0), len(block) if last is None else min(last - position, len(block))
        position += len(block)
        if upper <= lower:
            continue
        signal = block[lower:upper].astype(np.float64)
        if states is None:
            states = [np.zeros((max(len(a), len(b)) - 1, signal.shape[1])) for b, a in filters]
        for index, (b, a) in enumerate(filters):
            signal, states[index] = lfilter(b, a, signal, axis=0, zi=states[index])
        weights = np.array([1.0, 1.0, 1.0, 1.41, 1.41])[: signal.shape[1]]
        power = np.square(signal) @ weights
        total, samples = total + power.sum(), samples + len(power)
        power = power if rest is None else np.concatenate([rest, power])
        whole = len(power) // step * step
        sums.append(power[:whole].reshape(-1, step).sum(axis=1))
        rest = power[whole:]
    steps = np.concatenate(sums) if sums else np.zeros(0)
    if len(steps) >= 4:
        means = np.convolve(steps, np.ones(4), "valid") / (4 * step)
    else:
        means = np.array([total / samples]) if samples else np.zeros(1)
    loud = means[_lufs(means) >= _ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    gate = _lufs(loud.mean()) + _RELATIVE_GATE
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


@cache
def k_weighting(sample_rate: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (b, a) of the high shelf and the high pass of K-weighting."""
    import pyloudnorm

    return [(stage.passband_gain * stage.b, stage.a) for stage in pyloudnorm.Meter(sample_rate)._filters.values()]


def _lufs(power: np.ndarray) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))
