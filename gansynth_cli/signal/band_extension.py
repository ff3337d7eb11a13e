"""What training and the lean runtime of bandwidth extension share: constants of the features, in one place. No TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

MIN_POWER = 1e-13  # -130 dB: what a bin of silence counts as
MIN_MAGNITUDE = 1e-7  # of the smoothed excitation: silence stays silent
SMOOTH_BINS = 9  # the excitation is brought to one level within 450 Hz
TOP_SHARE = 0.7  # levels are relative to the band from 0.7 of the edge to the edge
FADE_BINS = 4.0  # of the cross-over: 200 Hz
KEPT_SHARE = 0.98  # of the edge; a detected edge is a little below the true one already
FEATURE_FLOOR = -2.0
_FEATURE_DB, _FEATURE_CENTRE_DB = 30.0, -30.0  # a band has some 30 dB less than the whole recording


def cut_bin(edge: float) -> float:
    """Return the last bin that stays as it is, for an edge in bins."""
    return float(np.floor(KEPT_SHARE * edge))


def feature_scale(db: Any, array: Any = np) -> Any:
    """Map levels in dB, relative to that of the recording, to network inputs; `array` is numpy or TensorFlow."""
    scaled = (db - _FEATURE_CENTRE_DB) / _FEATURE_DB
    return array.maximum(scaled, np.float32(FEATURE_FLOOR))


def band_matrix(widths: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix float32 [bins, bands] that takes the mean over each band, and the last bin of each band.

    Bands that reach beyond `bins` keep their full width: what is missing is silent.
    """
    ends = np.cumsum(widths)
    band = np.repeat(np.arange(len(widths)), widths)[:bins]
    matrix = np.zeros((bins, len(widths)), np.float32)
    matrix[np.arange(bins), band] = 1.0 / widths[band]
    return matrix, (ends - 1).astype(np.float32)


def crossover(cut: float, bins: int) -> np.ndarray:
    """float32 [bins]: 0 up to `cut`, 1 from four bins further on."""
    return np.clip((np.arange(bins) - cut) / FADE_BINS, 0.0, 1.0).astype(np.float32)


def smoothed(power: np.ndarray) -> np.ndarray:
    """Running mean of float32 [..., bins] over `SMOOTH_BINS` bins, fewer at both ends."""
    side, bins = SMOOTH_BINS // 2, power.shape[-1]
    padded = np.pad(power, [*((0, 0) for _ in power.shape[:-1]), (side, side)])
    total = sum(padded[..., k : k + bins] for k in range(SMOOTH_BINS))
    counts = np.minimum(np.arange(bins), side) + np.minimum(np.arange(bins)[::-1], side) + 1
    return total / counts.astype(np.float32)
