"""The pitch of a recording of one note, estimated by a tracker without prior knowledge.

The tracker is SwiftF0 (Nieradzik 2025, package `swift-f0`, extra `metrics`): 46.875 to 2093.75 Hz, MIDI 31 to 96, frames of 16 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import MissingExtraError
from .pitch import swift_tracker

LOWEST_HZ, HIGHEST_HZ = 46.875, 2093.75  # the tracker's range
_VOICED = 0.5  # the tracker's calibrated confidence
_LEAST_FRAMES = 3
_AGREES = 0.5  # semitones from the median
_LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class HeardPitch:
    """The estimate of the tracker.

    Attributes:
        midi: Pitch as a fractional MIDI number (69 is 440 Hz); NaN if nothing is voiced.
        confidence: 0 to 1: mean confidence of the voiced frames within 50 cents of `midi`, times their fraction of the voiced frames.
        voiced: Fraction of all frames that are voiced.
        entropy: Entropy in nats of the semitones of the voiced frames, weighted by confidence: 0 is one steady pitch.
    """

    midi: float
    confidence: float
    voiced: float
    entropy: float


NOTHING = HeardPitch(float("nan"), 0.0, 0.0, float("nan"))


def note_pitch(audio: np.ndarray, sample_rate: int) -> HeardPitch:
    """Return the median pitch of the voiced frames, robust to attack and decay, where trackers err.

    Args:
        audio: float [samples] at any level; resampled to the tracker's 16 kHz.
        sample_rate: Hz.

    Returns:
        The estimate, without a pitch (`NOTHING`) if fewer than 3 frames (48 ms) are voiced.

    Raises:
        MissingExtraError: `swift-f0` is not installed.
    """
    audio = np.asarray(audio, np.float32)
    peak = np.abs(audio).max(initial=0.0)
    try:
        tracker = swift_tracker()
    except ImportError as error:
        raise MissingExtraError("Measuring pitch", "metrics") from error
    if not peak > 0 or not np.isfinite(peak) or len(audio) < _LEAST_SECONDS * sample_rate:
        return NOTHING
    found = tracker.detect(audio / peak, sample_rate, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
    confidence = np.asarray(found.confidence, np.float64)
    voiced = confidence >= _VOICED
    if voiced.sum() < _LEAST_FRAMES:
        return NOTHING
    midi = 69.0 + 12.0 * np.log2(np.asarray(found.pitch_hz, np.float64)[voiced] / 440.0)
    middle = float(np.median(midi))
    agreeing = np.abs(midi - middle) <= _AGREES
    sure = float(confidence[voiced][agreeing].mean() * agreeing.mean()) if agreeing.any() else 0.0
    shares = np.bincount(np.rint(midi - midi.min()).astype(int), weights=confidence[voiced])
    shares = shares[shares > 0] / shares.sum()
    return HeardPitch(middle, sure, float(voiced.mean()), max(0.0, float(-(shares * np.log(shares)).sum())))
