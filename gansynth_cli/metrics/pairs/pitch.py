"""Measures of pitch: log-F0 error and voicing error, for copy synthesis and conversion.

The tracker is SwiftF0 (Nieradzik 2025, package `swift-f0`, extra `metrics`): a network of 14,386 parameters, frames of 16 ms at
16 kHz. It makes errors, mostly of an octave, on either recording; one such frame in fifty gives an RMSE of 0.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import MissingExtraError
from ...signal.pitch import swift_tracker
from ..figure import MetricError
from .waveform import as_pair

_RATE = 16000
_VOICED = 0.5  # the tracker's calibrated confidence
_MIN_HZ, _MAX_HZ = 50.0, 800.0


def f0_track(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Track the fundamental frequency of speech.

    Args:
        audio: float [samples].
        sample_rate: Hz; resampled to 16 kHz.

    Returns:
        F0 in Hz, 50 to 800 [frames] (a frame every 16 ms), and bool [frames]: whether the frame is voiced.

    Raises:
        MissingExtraError: `swift-f0` is not installed.
    """
    audio = audio_file.resample(np.asarray(audio, np.float32), sample_rate, _RATE)
    found = _tracker().detect(audio, _RATE, fmin=_MIN_HZ, fmax=_MAX_HZ)
    hz = np.asarray(found.pitch_hz, np.float64)
    return hz, np.asarray(found.confidence) >= _VOICED


def log_f0_rmse(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the root mean square difference of ln F0 over the frames voiced in both, nats (0.058 is a semitone); 0 is equal.

    Raises:
        MetricError: As `as_pair`; fewer than 5 frames (80 ms) voiced in both.
        MissingExtraError: `swift-f0` is not installed.
    """
    (first, first_voiced), (second, second_voiced) = _tracks(reference, estimate, sample_rate)
    both = first_voiced & second_voiced
    if both.sum() < 5:
        raise MetricError(f"F0: {both.sum()} frames are voiced in both; expected at least 5")
    return float(np.sqrt(np.mean(np.log(first[both] / second[both]) ** 2)))


def voicing_error(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the share of frames that are voiced in one and not in the other, 0 to 1; 0 is equal.

    Raises:
        MetricError: As `as_pair`; no frame of the reference is voiced.
        MissingExtraError: `swift-f0` is not installed.
    """
    (_, first), (_, second) = _tracks(reference, estimate, sample_rate)
    if not first.any():
        raise MetricError("F0: no frame of the reference is voiced")
    return float(np.mean(first != second))


def _tracks(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    reference, estimate = as_pair(reference, estimate, allow_silent_estimate=True)
    return tuple(_cached_track(np.asarray(signal, np.float32).tobytes(), sample_rate) for signal in (reference, estimate))


@lru_cache(maxsize=4)  # both measures of a pair need both tracks
def _cached_track(samples: bytes, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    return f0_track(np.frombuffer(samples, np.float32), sample_rate)


def _tracker() -> Any:
    try:
        return swift_tracker()
    except ImportError as error:
        raise MissingExtraError("Pitch tracking", "metrics") from error
