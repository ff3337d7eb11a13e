"""Compute the samples of a gap: autoregression up to 40 ms, the bundled vocoder up to 300 ms."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ...data.audio.audio_file import resample
from ...processes import start_tensorflow
from ...signal.autoregression import extrapolate, fill_missing
from .findings import runs_of

if TYPE_CHECKING:
    from ..vocode.stream import NetworkVocoder

MAX_EXACT_SECONDS, MAX_FILL_SECONDS, FADE_SECONDS = 0.040, 0.300, 0.020
FADE_OUT, FADE_IN = "fade out", "fade in"
_ORDER_SECONDS, _CONTEXT_SECONDS = 0.016, 0.096
_LONG_ORDER_SECONDS, _LONG_CONTEXT_SECONDS = 0.024, 0.200
_TONAL_DB = 6.0  # autoregression that predicts the audio just before a gap this well fills it better than a vocoder of speech
_CROSS_FADE_SECONDS = 0.010
_LAG_SECONDS = 0.010  # a period of 100 Hz: within it the vocoder's audio is shifted into phase
_MEL_SECONDS = 0.5  # of context on either side for the vocoder


class GapFiller:
    """Fills gaps of one channel."""

    def fill(self, x: np.ndarray, hidden: np.ndarray, start: int, end: int, sample_rate: int, kind: str = "") -> np.ndarray:
        """Compute the samples of a gap.

        Args:
            x: float64 [n], the audio around it.
            hidden: bool [n], samples that are not known: the gap itself and others.
            start, end: The gap in x.
            sample_rate: Hz.
            kind: `FADE_OUT`, `FADE_IN`: let the audio on one side fade instead.

        Returns:
            float64 [end - start].
        """
        left, right = _known_around(hidden, start, end, round(MAX_EXACT_SECONDS * sample_rate))
        before, after = x[left:start], x[end:right]
        if kind in (FADE_OUT, FADE_IN):
            fade = np.cos(0.5 * np.pi * (np.arange(end - start) + 0.5) / (end - start)) ** 2
            faded = fade * predict(before if kind == FADE_OUT else after[::-1], end - start, sample_rate)
            return faded if kind == FADE_OUT else faded[::-1]
        if end - start <= round(MAX_EXACT_SECONDS * sample_rate):
            return _interpolate(x[left:right], hidden[left:right], start - left, end - left, sample_rate)
        known_left, known_right = before[_after_last(hidden[left:start]) :], after[: _until_first(hidden[end:right])]
        return fill_long(known_left, known_right, end - start, sample_rate)


def _known_around(hidden: np.ndarray, start: int, end: int, most: int) -> tuple[int, int]:
    """Return the stretch around a gap in which no other is longer than `most`."""
    left, right = 0, len(hidden)
    for first, last in runs_of(hidden).tolist():
        if last - first > most and last <= start:
            left = last
        elif last - first > most and first >= end:
            return left, first
    return left, right


def _after_last(hidden: np.ndarray) -> int:
    """Return the index behind the last hidden sample."""
    places = np.flatnonzero(hidden)
    return int(places[-1]) + 1 if len(places) else 0


def _until_first(hidden: np.ndarray) -> int:
    places = np.flatnonzero(hidden)
    return int(places[0]) if len(places) else len(hidden)


def _interpolate(x: np.ndarray, hidden: np.ndarray, start: int, end: int, sample_rate: int) -> np.ndarray:
    context = round(_CONTEXT_SECONDS * sample_rate)
    low, high = max(0, start - context), min(len(x), end + context)
    order = min(round(_ORDER_SECONDS * sample_rate), (high - low - (end - start)) // 3)
    if order < 1:
        return np.zeros(end - start)
    return fill_missing(x[low:high], hidden[low:high], order)[start - low : end - low]


def predict(before: np.ndarray, samples: int, sample_rate: int) -> np.ndarray:
    """Continue audio by linear prediction from its last 0.2 s: float64 [samples]; zeros where there is next to nothing to continue."""
    before = before[-round(_LONG_CONTEXT_SECONDS * sample_rate) :]
    order = min(round(_LONG_ORDER_SECONDS * sample_rate), len(before) // 3)
    return extrapolate(before, samples, order) if order >= 1 else np.zeros(samples)


def fill_long(before: np.ndarray, after: np.ndarray, samples: int, sample_rate: int) -> np.ndarray:
    """Fill a gap that is too long for interpolation.

    Audio that linear prediction foresees (held tones, hum) is predicted from both sides. Otherwise the mel spectrogram is interpolated
    over the gap and vocoded; at both ends the result is shifted into phase and cross-faded with the predictions.

    Args:
        before, after: float64 [n], the known audio on either side, up to a second.
        samples: Length of the gap.
        sample_rate: Hz.

    Returns:
        float64 [samples].
    """
    forward, backward = predict(before, samples, sample_rate), predict(after[::-1], samples, sample_rate)[::-1]
    both = _crossed(forward, backward, samples)
    context = round(0.1 * sample_rate)
    if min(len(before), len(after)) < context or _foreseen(before, samples, sample_rate) or _foreseen(after[::-1], samples, sample_rate):
        return both
    made = vocoded(before, after, both, sample_rate)
    fade = min(round(_CROSS_FADE_SECONDS * sample_rate), samples // 2)
    made[:fade] = _crossed(forward[:fade], made[:fade], fade)
    made[-fade:] = _crossed(made[-fade:], backward[-fade:], fade)
    return made


def _crossed(first: np.ndarray, second: np.ndarray, samples: int) -> np.ndarray:
    rise = np.sin(0.5 * np.pi * (np.arange(samples) + 0.5) / samples) ** 2
    return first * (1 - rise) + second * rise


def _foreseen(before: np.ndarray, samples: int, sample_rate: int) -> bool:
    """Whether linear prediction foresees the stretch just before a gap, from what lies before that."""
    if len(before) < samples + round(0.05 * sample_rate):
        return False
    truth = before[-samples:]
    error = truth - predict(before[:-samples], samples, sample_rate)
    return bool(error @ error * 10 ** (_TONAL_DB / 10) < truth @ truth)


@lru_cache(maxsize=1)
def _vocoder() -> NetworkVocoder:
    start_tensorflow()
    from ..vocode.stream import open_vocoder

    return open_vocoder()


def vocoded(before: np.ndarray, after: np.ndarray, between: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fill a gap by the bundled vocoder: its mel spectrogram is interpolated between the last frame before it and the first after it.

    Args:
        before, after: float64 [n], the known audio.
        between: float64 [samples], a first guess. What lies above the vocoder's band is taken from it.
        sample_rate: Hz.

    Returns:
        float64 [samples], in phase with the audio on either side as far as a shift of up to 10 ms at each end makes it so.
    """
    vocoder = _vocoder()
    c, rate = vocoder.convention, vocoder.convention.sample_rate
    sides = round(_MEL_SECONDS * sample_rate)
    before, after = before[-sides:], after[:sides]
    whole = resample(np.concatenate([before, between, after]).astype(np.float32), sample_rate, rate)
    start, end = round(len(before) * rate / sample_rate), round((len(before) + len(between)) * rate / sample_rate)
    audio = vocoder(_inpainted(whole, start, end, c))[: len(whole)]
    audio = np.pad(audio, (0, len(whole) - len(audio)))
    low = _in_phase(audio, whole, start, end, round(_LAG_SECONDS * rate))
    if sample_rate == rate:
        return low[: len(between)]
    mixed = np.concatenate([whole[:start], low, whole[end:]]).astype(np.float32)
    back, again = resample(mixed, rate, sample_rate), resample(whole, rate, sample_rate)
    first, last = len(before), len(before) + len(between)
    high = between - again[first:last] if sample_rate > rate else 0.0
    return np.pad(back, (0, max(0, last - len(back))))[first:last] + high


def _inpainted(audio: np.ndarray, start: int, end: int, convention) -> np.ndarray:
    """Return the log mel spectrogram of audio, interpolated over the frames that see samples from `start` to `end`."""
    from ..vocode.stream import mel_blocks

    mel = np.concatenate(list(mel_blocks([audio], convention)))
    centres = np.arange(len(mel)) * convention.hop
    clean = (centres + convention.window // 2 <= start) | (centres - convention.window // 2 >= end)
    for band in mel.T:
        band[~clean] = np.interp(centres[~clean], centres[clean], band[clean])
    return mel


def _in_phase(audio: np.ndarray, whole: np.ndarray, start: int, end: int, most: int) -> np.ndarray:
    """Return the vocoder's audio from `start` to `end`, its time axis bent so that both ends continue the recording."""
    length = 2 * most
    first = _lag(audio, whole[start - length : start], start - length, most)
    last = _lag(audio, whole[end : end + length], end, most)
    places = np.arange(start, end) + np.linspace(first, last, end - start)
    return np.interp(places, np.arange(len(audio)), audio)


def _lag(audio: np.ndarray, wanted: np.ndarray, at: int, most: int) -> int:
    """Return the shift within +-most at which audio[at + shift :] is most like `wanted`."""
    low = max(0, at - most)
    window = audio[low : at + most + len(wanted)]
    if len(window) < len(wanted) or not wanted.any():
        return 0
    product = np.correlate(window, wanted, "valid")
    energy = np.convolve(window**2, np.ones(len(wanted)), "valid")
    return int(np.argmax(product / np.sqrt(energy + 1e-9))) + low - at
