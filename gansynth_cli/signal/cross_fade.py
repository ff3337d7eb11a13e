"""Cross-fades whose level stays even, whether the two sounds are alike or not: a pure function."""

from __future__ import annotations

import numpy as np


def cross_fade(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fade from one sound to another.

    Equal-power gains raise the level of sounds that are alike by up to 3 dB, equal-gain ones lower it by 3 dB where they are not. Gains
    cos and sin over sqrt(1 + 2 r cos sin), r the correlation of the two (at least 0), keep the power for both and in between.

    Args:
        first, second: float [n, channels], of one length.

    Returns:
        The same shape; float64 if one of them is.
    """
    n = len(first)
    if not n:
        return first
    angle = 0.5 * np.pi * (np.arange(n) + 0.5) / n
    down, up = np.cos(angle)[:, None], np.sin(angle)[:, None]
    scale = 1 / np.sqrt(1 + 2 * max(0.0, similarity(first, second)) * down * up)
    return (scale * (down * first + up * second)).astype(np.result_type(first, second))


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two sounds of one shape, -1 to 1 and without their means being removed; 0 if one is silent."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    energy = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / energy) if energy > 0 else 0.0
