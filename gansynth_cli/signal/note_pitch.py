"""The pitch of a recording of one note, heard by a tracker that knows nothing of what it should be.

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
    """What the tracker heard.

    Attributes:
        midi: Pitch as a MIDI number with its cents as fraction (69 is 440 Hz); NaN where nothing is voiced.
        confidence: 0 to 1: mean confidence of the voiced frames that agree with `midi` within 50 cents, times their share of the
            voiced frames.
        voiced: Share of all frames that are voiced.
        entropy: Of the semitones heard in the voiced frames, nats, weighted by confidence: 0 is one steady pitch.
    """

    midi: float
    confidence: float
    voiced: float
    entropy: float


NOTHING = HeardPitch(float("nan"), 0.0, 0.0, float("nan"))


def note_pitch(audio: np.ndarray, sample_rate: int) -> HeardPitch:
    """The median pitch of the voiced frames: attack and fading end, where trackers err, have no weight in it.

    Args:
        audio: float [samples] of any level; resampled to the tracker's 16 kHz.
        sample_rate: Hz.

    Returns:
        Without a pitch (`NOTHING`) where fewer than 3 frames (48 ms) are voiced.

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
