"""A voice taken apart and put together again by WORLD (Morise et al. 2016), and filters in place of that where the pitch stays.

Two ways to a converted waveform, both from the difference that a converter made to a log-mel spectrum:

- `resynthesise`: pitch, spectral envelope (CheapTrick) and aperiodicity (D4C) every 5 ms; the envelope is multiplied by the difference,
  the pitch replaced, and the sound made anew. Any pitch, but it sounds of a vocoder.
- `filtered`: the difference is applied to the recording itself (Kobayashi et al. 2014 call it differential conversion): nothing is lost
  in a vocoder, but the pitch stays as it was.

Time in both is that of the recording: sample n of the output belongs to sample n of the input.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import soxr
from scipy import fft as scipy_fft
from scipy.ndimage import binary_dilation

from ...errors import MissingExtraError
from ...signal.mel_convention import MelConvention
from ...signal.pitch import filled, frame_times, ln_f0_contour

PERIOD_MS = 5.0  # between WORLD's frames. Its synthesis interpolates in straight lines: 16 ms are heard as a buzz
LEAST_RATE = 16000  # Hz: D4C looks up to 7.9 kHz, and below this rate beyond the end of its spectra
_NEAR_FRAMES = 8  # 40 ms
_MOST_NEPERS = 3.5  # 30 dB: beyond that a band of the recording held nothing but noise
_ENVELOPE_COEFFICIENTS = 20  # of a mel spectrum's cosine transform: the rest is harmonics, which the pitch takes care of
_LEAST_HZ = 71.0
_DITHER = 3e-6  # 110 dB below full scale, always the same: exact silence is where logarithms end


def world() -> Any:
    """The module pyworld.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise MissingExtraError("The WORLD vocoder", "world") from error
    return pyworld


def is_installed() -> bool:
    """Whether `world` would work."""
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
    """A recording made anew with another pitch and another envelope.

    Args:
        audio: float [samples] at the convention's rate.
        convention: Of the frames of `shift` and `nepers`, resolved.
        shift: [frames], to be added to ln F0; None: nothing.
        nepers: [frames, bands], what the envelope's magnitude is to be multiplied by, as natural logarithms; None: nothing.
        pitch: [frames], ln F0 in place of the recording's own; no 0 in it.
        tracker: As in `signal.pitch.ln_f0_contour`.

    Returns:
        float32 [samples].

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    tools, rate = world(), max(convention.sample_rate, LEAST_RATE)
    raised = rate > convention.sample_rate
    original, given = audio, frame_times(len(audio), convention)
    audio = soxr.resample(np.asarray(audio, np.float32), convention.sample_rate, rate) if raised else audio
    sound = np.ascontiguousarray(audio, np.float64)
    sound = sound + np.random.default_rng(0).normal(0.0, _DITHER, len(sound))
    grid = replace(convention, sample_rate=rate, hop=max(1, round(rate * PERIOD_MS / 1000)), padding="centre")
    times = frame_times(len(sound), grid)
    contour = ln_f0_contour(audio, grid, tracker)
    # Pitch runs on through what the tracker holds for unvoiced, and D4C decides what is noise: PESQ 2.70 in place of 2.07, for the
    # tracker gives up the ends of vowels, and CheapTrick's windows without a pitch are too short for what is left of one.
    hz = np.exp(filled(contour)) if (contour > 0).any() else np.zeros(len(contour))
    if raised:  # D4C compares the bands below and above 4 kHz, and above there is nothing: what is far from any voice has none
        hz = np.where(binary_dilation(contour > 0, iterations=_NEAR_FRAMES), hz, 0.0)
    size = tools.get_cheaptrick_fft_size(rate, _LEAST_HZ)
    analysed = np.where(hz > 0, np.maximum(hz, 3.0 * rate / (size - 3) + 1.0), 0.0)  # the lowest pitch that the transform can hold
    envelope = tools.cheaptrick(sound, analysed, times, rate, fft_size=size)
    aperiodicity = tools.d4c(sound, analysed, times, rate, fft_size=size)
    if nepers is not None and len(given):
        by_bin = np.clip(nepers, -_MOST_NEPERS, _MOST_NEPERS) @ _to_bins(convention, size, rate)
        envelope = envelope * np.exp(2.0 * _between_frames(by_bin, given, times))
    if shift is not None and len(given):
        hz = np.where(hz > 0, hz * np.exp(np.interp(times, given, shift)), 0.0)
    if pitch is not None and len(given):
        hz = np.where(hz > 0, np.exp(np.interp(times, given, pitch)), 0.0)
    period = 1000.0 * grid.hop / rate
    made = tools.synthesize(hz, np.ascontiguousarray(envelope), np.ascontiguousarray(aperiodicity), rate, period)
    made = soxr.resample(made, rate, convention.sample_rate) if raised else made
    return np.pad(made[: len(original)], (0, max(0, len(original) - len(made)))).astype(np.float32)


def filtered(audio: np.ndarray, convention: MelConvention, nepers: np.ndarray) -> np.ndarray:
    """A recording whose spectrum is multiplied by what `nepers` says (as in `resynthesise`), its pitch and phases as they were.

    Gains have no phase, windows of 64 ms at 16 kHz (the convention's transform) overlap by three quarters: what the filter rings
    before a sound stays within the window.
    """
    c = convention
    size = c.fft
    hop = size // 4
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))
    padded = np.pad(np.asarray(audio, np.float64), (size, size + hop))
    starts = np.arange(0, len(padded) - size + 1, hop)
    by_bin = np.clip(nepers, -_MOST_NEPERS, _MOST_NEPERS) @ _to_bins(c, size, c.sample_rate)
    times = (starts + size / 2 - size) / c.sample_rate
    gains = np.exp(_between_frames(by_bin, frame_times(len(audio), c), times))
    out = np.zeros(len(padded))
    for start, gain in zip(starts, gains, strict=True):
        frame = scipy_fft.irfft(scipy_fft.rfft(padded[start : start + size] * window) * gain, size)
        out[start : start + size] += frame * window
    return (out[size : size + len(audio)] / 2.0).astype(np.float32)  # four windows' squares add up to 2


def repitched(audio: np.ndarray, convention: MelConvention, wanted: np.ndarray, tracker: str = "auto") -> np.ndarray:
    """A recording whose pitch is replaced by a contour; where it has none of its own, it gets none.

    Args:
        audio: float [samples].
        convention: Of the frames of `wanted`.
        wanted: ln F0 [frames]; 0: not voiced.
    """
    if not (wanted > 0).any():
        return np.asarray(audio, np.float32)
    return resynthesise(audio, convention, pitch=filled(wanted), tracker=tracker)


def nepers_between(before: np.ndarray, after: np.ndarray, convention: MelConvention, *, smooth: bool) -> np.ndarray:
    """What a log-mel spectrum was multiplied by, as natural logarithms of magnitudes: [frames, bands].

    Args:
        before, after: [frames, bands] in the convention.
        smooth: Leave out what is finer than an envelope. Of spectra of audio, whose harmonics move when a pitch is converted.
    """
    c = convention
    difference = (np.asarray(after, np.float64) - before) * (1.0 if c.log == "ln" else np.log(10.0)) / c.exponent
    if smooth:
        coefficients = scipy_fft.dct(difference, type=2, norm="ortho", axis=1)
        n = min(_ENVELOPE_COEFFICIENTS, c.bands)
        taper = np.cos(0.5 * np.pi * np.arange(n) / n) ** 2 if n > 1 else np.ones(1)
        coefficients[:, :n] *= np.sqrt(taper)
        coefficients[:, n:] = 0.0
        difference = scipy_fft.idct(coefficients, type=2, norm="ortho", axis=1)
    return difference


@lru_cache(maxsize=8)
def _to_bins(convention: MelConvention, size: int, rate: int) -> np.ndarray:
    """float64 [bands, size / 2 + 1]:
    straight lines between the middles of the mel bands, level beyond the first and last; bins of `rate`."""
    from ...signal.mel_front_end import bank_of

    bank = bank_of(convention).astype(np.float64)
    hz = np.arange(len(bank)) * convention.sample_rate / convention.fft
    weight = bank.sum(axis=0)
    middles = np.where(weight > 0, hz @ bank / np.maximum(weight, 1e-12), np.nan)
    known = np.flatnonzero(np.isfinite(middles))  # a band narrower than a bin may hold none
    order = known[np.argsort(middles[known], kind="stable")]
    at = np.arange(size // 2 + 1) * rate / size
    matrix = np.zeros((bank.shape[1], len(at)))
    matrix[order] = np.stack([np.interp(at, middles[order], row) for row in np.eye(len(order))])
    return matrix


def _between_frames(values: np.ndarray, have: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """[frames, bins] at the times `have` -> at the times `wanted`, in straight lines."""
    if len(have) == 1:
        return np.repeat(values, len(wanted), axis=0)
    place = np.clip((wanted - have[0]) / (have[1] - have[0]), 0, len(have) - 1)
    low = np.minimum(place.astype(int), len(have) - 2)
    part = (place - low)[:, None]
    return values[low] * (1 - part) + values[low + 1] * part
