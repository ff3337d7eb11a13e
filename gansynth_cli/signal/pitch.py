"""Contours of fundamental frequency, in numpy: tracking, resampling to the frames of a spectrum, decomposition into wavelet scales."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import soxr

from ..errors import GanAudioError
from .mel_convention import MelConvention

LOWEST_HZ, HIGHEST_HZ = 50.0, 800.0
_SWIFT_RATE, _SWIFT_HOP, _VOICED = 16000, 256, 0.5  # the tracker's own rate and hop, and its calibrated confidence
_FIRST_SCALE = 0.02  # seconds; the literature's 2^(i + 1) * 5 ms for i = 1 (Suni et al. 2013, eq. 3)
_DELTA, _PSI_0 = 3.541, 0.867  # of the Mexican hat (Torrence and Compo 1998, table 2)


def frame_times(samples: int, convention: MelConvention) -> np.ndarray:
    """Return the centres in seconds of a signal's frames in a convention: float64 [frames]."""
    first = 0.0 if convention.padding == "centre" else convention.hop / 2
    return (np.arange(convention.frames(samples)) * convention.hop + first) / convention.sample_rate


def ln_f0_contour(audio: np.ndarray, convention: MelConvention, tracker: str = "auto") -> np.ndarray:
    """Track the natural logarithm of F0 at each frame of `convention`; 0 where unvoiced.

    Args:
        audio: float [samples] at the convention's rate.
        convention: The resolved mel convention; only rate, hop and padding matter.
        tracker: "swift-f0", "world", or "auto", the first of those that is installed.

    Returns:
        float32 [frames]; voiced values are within ln 50 to ln 800.

    Raises:
        GanAudioError: The tracker is not installed.
    """
    times = frame_times(len(audio), convention)
    audio = np.asarray(audio, np.float32)
    if len(audio) < 0.05 * convention.sample_rate or not audio.any():
        return np.zeros(len(times), np.float32)
    if resolve_tracker(tracker) == "swift-f0":
        sound = audio if convention.sample_rate == _SWIFT_RATE else soxr.resample(audio, convention.sample_rate, _SWIFT_RATE)
        found = swift_tracker().detect(sound, _SWIFT_RATE, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
        hz, at = np.asarray(found.pitch_hz, np.float64), np.arange(len(found.pitch_hz)) * (_SWIFT_HOP / _SWIFT_RATE)
        voiced = np.asarray(found.confidence) >= _VOICED
    else:
        import pyworld

        sound = audio.astype(np.float64)
        hz, at = pyworld.dio(sound, convention.sample_rate, LOWEST_HZ, HIGHEST_HZ, frame_period=8.0)
        hz = pyworld.stonemask(sound, hz, at, convention.sample_rate)
        voiced = hz > 0
    voiced &= (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    if not voiced.any():
        return np.zeros(len(times), np.float32)
    values = np.log(np.where(voiced, hz, 1.0))
    contour = np.interp(times, at[voiced], values[voiced])
    # A frame is voiced if the nearest frame of the tracker is.
    nearest = np.clip(np.rint(times / (at[1] - at[0] if len(at) > 1 else 1.0)).astype(int), 0, len(at) - 1)
    return np.where(voiced[nearest], contour, 0.0).astype(np.float32)


def resolve_tracker(tracker: str) -> str:
    """Resolve "auto" to "swift-f0" or "world", and check that the tracker is installed.

    Raises:
        GanAudioError: The tracker is not installed; the hint names the extra to install.
    """
    for name, module in (("swift-f0", "swift_f0"), ("world", "pyworld")):
        if tracker in ("auto", name):
            try:
                __import__(module)
            except ImportError:
                continue
            return name
    wanted = "Finding F0 needs swift-f0 or pyworld, and neither" if tracker == "auto" else f"The F0 tracker {tracker!r}"
    extra = "world" if tracker == "world" else "metrics"
    raise GanAudioError(f"{wanted} is installed.", hint=f"pip install 'gan-audio[{extra}]'")


@lru_cache(maxsize=1)
def swift_tracker() -> Any:
    """Load SwiftF0 (Nieradzik 2025) on one thread, as files are processed in parallel. Raise ImportError if it is not installed."""
    import swift_f0

    return swift_f0.SwiftF0(threads=1)


def filled(ln_f0: np.ndarray) -> np.ndarray:
    """Interpolate a contour linearly through unvoiced frames, constant at its ends: float64 [frames]; zeros if nothing is voiced."""
    voiced = np.flatnonzero(ln_f0)
    values = np.asarray(ln_f0, np.float64)
    return np.interp(np.arange(len(ln_f0)), voiced, values[voiced]) if len(voiced) else np.zeros(len(ln_f0))


def decompose(ln_f0: np.ndarray, hop_seconds: float, scales: int, mean: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Split a contour's movement about its mean by time scale: syllables, words, phrases (Suni et al. 2013).

    Scale i is the continuous wavelet transform with a Mexican hat of 20 ms * 2^i, weighted so that the parts nearly sum to the
    movement (Torrence and Compo 1998, eq. 11 with a spacing of an octave).

    Args:
        ln_f0: float [frames], 0 where unvoiced.
        hop_seconds: Time from frame to frame.
        scales: Number of scales.
        mean: The value to subtract; None: the mean of the voiced frames.

    Returns:
        (movement float64 [frames], parts float64 [frames, scales]), in nats.
    """
    contour = filled(ln_f0)
    voiced = np.asarray(ln_f0) != 0
    mean = (float(contour[voiced].mean()) if voiced.any() else 0.0) if mean is None else mean
    movement = contour - mean if voiced.any() else contour
    if not len(movement):
        return movement, np.zeros((0, scales))
    # Mirrored, so that the circular transform has no jump at its ends.
    circle = np.concatenate([movement, movement[::-1]])
    spectrum = np.fft.rfft(circle)
    omega = 2 * math.pi * np.fft.rfftfreq(len(circle), hop_seconds)
    parts = np.empty((len(movement), scales))
    for i in range(scales):
        scale = _FIRST_SCALE * 2.0**i
        x = np.square(scale * omega)
        wavelet = x * np.exp(-x / 2) / math.sqrt(math.gamma(2.5)) * math.sqrt(2 * math.pi * scale / hop_seconds)
        part = np.fft.irfft(spectrum * wavelet, len(circle))[: len(movement)]
        parts[:, i] = part * math.sqrt(hop_seconds / scale) / (_DELTA * _PSI_0)
    return movement, parts


def recompose(parts: np.ndarray) -> np.ndarray:
    """Sum parts [frames, scales] to the movement float64 [frames], without components outside of the scales."""
    return np.asarray(parts, np.float64).sum(axis=1)
