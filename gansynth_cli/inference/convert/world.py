"""Resynthesis by WORLD (Morise et al. 2016) with another pitch and another spectral envelope.

Pitch, spectral envelope (CheapTrick) and aperiodicity (D4C) are analysed every 5 ms; the envelope is multiplied by the gain that a
converter found, the pitch replaced, and the waveform synthesised anew. Sample n of the output belongs to sample n of the input.
Where the pitch stays, `signal.mel_filter` changes the recording itself and loses nothing in a vocoder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import soxr
from scipy.ndimage import binary_dilation

from ...errors import MissingExtraError
from ...signal.mel_convention import MelConvention
from ...signal.mel_filter import MAX_NEPERS, bands_to_bins, between_frames
from ...signal.pitch import filled, frame_times, ln_f0_contour

PERIOD_MS = 5.0  # between WORLD's frames; its synthesis interpolates linearly, and 16 ms are heard as a buzz
MIN_RATE = 16000  # Hz; D4C reads up to 7.9 kHz, which at lower rates is beyond the end of its spectra
_NEAR_FRAMES = 8  # 40 ms
_MIN_HZ = 71.0
_DITHER = 3e-6  # 110 dB below full scale, from a fixed seed: the logarithm of exact silence is infinite


def world() -> Any:
    """Return the module pyworld.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise MissingExtraError("The WORLD vocoder", "world") from error
    return pyworld


def is_installed() -> bool:
    """Whether `world` would succeed."""
    try:
        world()
    except MissingExtraError:
        return False
    return True


def resynthesise(
    audio: np.ndarray,
    convention: MelConvention,
    shift: np.ndarray | None = None,
    nepers: np.ndarray | None = None,
    *,
    pitch: np.ndarray | None = None,
    tracker: str = "auto",
) -> np.ndarray:
    """Resynthesise a recording with another pitch and another spectral envelope.

    Args:
        audio: float [samples] at the convention's rate.
        convention: Mel convention of the frames of `shift`, `nepers` and `pitch`, resolved.
        shift: [frames], added to ln F0; None: nothing.
        nepers: [frames, bands], natural logarithms of the gain on the envelope's magnitude; None: nothing.
        pitch: [frames], ln F0 that replaces the recording's own, without zeros; None: its own.
        tracker: As in `signal.pitch.ln_f0_contour`.

    Returns:
        float32 [samples].

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    rate = max(convention.sample_rate, MIN_RATE)
    raised = rate > convention.sample_rate
    original, given = audio, frame_times(len(audio), convention)
    audio = soxr.resample(np.asarray(audio, np.float32), convention.sample_rate, rate) if raised else audio
    sound = np.ascontiguousarray(audio, np.float64)
    sound = sound + np.random.default_rng(0).normal(0.0, _DITHER, len(sound))
    grid = replace(convention, sample_rate=rate, hop=max(1, round(rate * PERIOD_MS / 1000)), padding="centre")
    times = frame_times(len(sound), grid)
    hz = _continued_pitch(audio, grid, tracker, raised)
    envelope, aperiodicity = _analyse(sound, hz, times, rate)
    if nepers is not None and len(given):
        by_bin = np.clip(nepers, -MAX_NEPERS, MAX_NEPERS) @ bands_to_bins(convention, _transform_size(rate), rate)
        envelope = envelope * np.exp(2.0 * between_frames(by_bin, given, times))
    if shift is not None and len(given):
        hz = np.where(hz > 0, hz * np.exp(np.interp(times, given, shift)), 0.0)
    if pitch is not None and len(given):
        hz = np.where(hz > 0, np.exp(np.interp(times, given, pitch)), 0.0)
    period = 1000.0 * grid.hop / rate
    made = world().synthesize(hz, np.ascontiguousarray(envelope), np.ascontiguousarray(aperiodicity), rate, period)
    made = soxr.resample(made, rate, convention.sample_rate) if raised else made
    return np.pad(made[: len(original)], (0, max(0, len(original) - len(made)))).astype(np.float32)


def repitched(audio: np.ndarray, convention: MelConvention, wanted: np.ndarray, tracker: str = "auto") -> np.ndarray:
    """Replace a recording's pitch by a contour; where it has none of its own, it gets none.

    Args:
        audio: float [samples].
        convention: Mel convention of the frames of `wanted`.
        wanted: ln F0 [frames]; 0: not voiced.
        tracker: As in `signal.pitch.ln_f0_contour`.

    Returns:
        float32 [samples].
    """
    if not (wanted > 0).any():
        return np.asarray(audio, np.float32)
    return resynthesise(audio, convention, pitch=filled(wanted), tracker=tracker)


def _continued_pitch(audio: np.ndarray, grid: MelConvention, tracker: str, raised: bool) -> np.ndarray:
    """Return F0 in Hz at WORLD's frames, continued through what the tracker takes for unvoiced; 0 where there is none.

    D4C decides what is noise. PESQ 2.70 instead of 2.07: the tracker gives up the ends of vowels, and CheapTrick's windows without a
    pitch are too short for what is left of one.
    """
    contour = ln_f0_contour(audio, grid, tracker)
    hz = np.exp(filled(contour)) if (contour > 0).any() else np.zeros(len(contour))
    if raised:  # D4C compares the bands below and above 4 kHz, and above there is nothing: what is far from any voice has no pitch
        hz = np.where(binary_dilation(contour > 0, iterations=_NEAR_FRAMES), hz, 0.0)
    return hz


def _analyse(sound: np.ndarray, hz: np.ndarray, times: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the power envelope and the aperiodicity, [frames, bins]."""
    tools, size = world(), _transform_size(rate)
    analysed = np.where(hz > 0, np.maximum(hz, 3.0 * rate / (size - 3) + 1.0), 0.0)  # the lowest pitch that the transform can hold
    envelope = tools.cheaptrick(sound, analysed, times, rate, fft_size=size)
    return envelope, tools.d4c(sound, analysed, times, rate, fft_size=size)


def _transform_size(rate: int) -> int:
    return world().get_cheaptrick_fft_size(rate, _MIN_HZ)
