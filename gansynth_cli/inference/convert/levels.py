"""Levels of a recording and of its conversion: loudness, peaks, silence, and the balance of channels. Numpy and SciPy only."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import lfilter, oaconvolve

from ...data.audio.loudness import k_weighting

_GAIN_STEP, _GAIN_WINDOW = 0.05, 2.0  # seconds; matched over phrases, so that stress within them stays as converted
_PLACE_WINDOW = 0.4  # seconds over which a channel's share of the level is measured
_MAX_GAIN = 10.0  # 20 dB
_LIMIT_STEP = 0.002
_QUIET_STEP = 0.01
_QUIET_DB, _ABSOLUTE_DB, _MIN_RANGE_DB = -50.0, -65.0, -30.0
_MIN_QUIET = 0.08  # seconds; a shorter pause is part of a word


def match_loudness(made: np.ndarray, source: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scale one signal to the loudness of another, phrase by phrase: K-weighted (BS.1770) power over two seconds.

    Args:
        made: float [samples], the signal to scale, by 20 dB at most.
        source: float [samples], the reference.
        sample_rate: Hz.

    Returns:
        float32 [samples].
    """
    step = max(1, round(_GAIN_STEP * sample_rate))
    window = round(_GAIN_WINDOW / _GAIN_STEP)
    wanted, have = (_smooth(_frame_power(_weighted(signal, sample_rate), step), window) for signal in (source, made))
    gain = np.sqrt(wanted / np.maximum(have, 1e-20))
    return (made * _spread(np.minimum(gain, _MAX_GAIN), step, len(made))).astype(np.float32)


def limited(audio: np.ndarray, most: float, sample_rate: int) -> np.ndarray:
    """Attenuate peaks above `most` and some milliseconds around them, all channels alike; the rest is unchanged.

    Args:
        audio: float [channels, samples].
        most: Maximum magnitude of the result.
        sample_rate: Hz.

    Returns:
        float32, the same shape.
    """
    step = max(1, round(_LIMIT_STEP * sample_rate))
    frames = -(-audio.shape[1] // step)
    peak = np.pad(np.abs(audio).max(axis=0), (0, frames * step - audio.shape[1])).reshape(frames, step).max(axis=1)
    if peak.max(initial=0.0) <= most:
        return audio.astype(np.float32)
    # Minima over seven frames, means over five, linear interpolation: no sample exceeds what its own frame allows.
    gain = uniform_filter1d(minimum_filter1d(np.minimum(1.0, most / np.maximum(peak, 1e-12)), 7), 5)
    return (audio * _spread(gain, step, audio.shape[1])).astype(np.float32)


def quiet_weights(audio: np.ndarray, sample_rate: int, loudest: float) -> tuple[np.ndarray, float]:
    """Find where a recording is silent, and is to be kept unchanged.

    Args:
        audio: float [channels, samples].
        sample_rate: Hz.
        loudest: Level of speech so far in this recording, as this function returned it; 0 at the start.

    Returns:
        float32 [samples], 1 where the recording is 50 dB below its speech (or 65 dB below full scale, if that is less) for at least
        80 ms, with ramps of 20 ms to 0; and the new level of speech.
    """
    step = max(1, round(_QUIET_STEP * sample_rate))
    level = np.sqrt(_frame_power(audio, step, both=True))
    if not len(level):
        return np.zeros(audio.shape[1], np.float32), loudest
    loudest = max(loudest, float(np.percentile(level, 95)))
    threshold = max(10 ** (_ABSOLUTE_DB / 20), loudest * 10 ** (_QUIET_DB / 20))
    quiet = level <= min(threshold, loudest * 10 ** (_MIN_RANGE_DB / 20)) if loudest > 0 else np.ones(len(level), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    least = round(_MIN_QUIET / _QUIET_STEP)
    inside = np.zeros(len(level), np.float64)
    for start, end in edges.reshape(-1, 2):
        if end - start >= least or (end - start) == len(level):
            first, last = start + 2 * (start > 0), end - 2 * (end < len(level))  # ramps lie within the silence, so no word is cut
            inside[first:last] = 1.0
    weight = np.interp(np.arange(audio.shape[1]), (np.arange(len(inside)) + 0.5) * step, _soft(inside))
    return weight.astype(np.float32), loudest


def to_mono(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mix channels to mono: float [channels, samples] -> their mean [samples], and their signs [channels].

    A channel with the opposite polarity of the loudest one is inverted first: a recording with one reversed plug would cancel itself.
    """
    if len(audio) == 1:
        return audio[0], np.ones(1, np.float32)
    products = audio.astype(np.float64) @ audio.astype(np.float64).T
    loudest = int(np.argmax(np.diag(products)))
    signs = np.where(products[loudest] < 0, -1.0, 1.0).astype(np.float32)
    return (signs @ audio / np.float32(len(audio))).astype(np.float32), signs


def place(mono: np.ndarray, audio: np.ndarray, mixed: np.ndarray, signs: np.ndarray, sample_rate: int) -> np.ndarray:
    """Distribute a converted voice to the channels: each gets the share of the level that it had in the recording.

    Args:
        mono: float [samples], converted.
        audio: float [channels, samples], the recording.
        mixed, signs: From `to_mono`.
        sample_rate: Hz.

    Returns:
        float32 [channels, samples].
    """
    if len(audio) == 1:
        return mono[None].astype(np.float32)
    step = max(1, round(_GAIN_STEP * sample_rate))
    window = round(_PLACE_WINDOW / _GAIN_STEP)
    whole = _smooth(_frame_power(mixed, step), window)
    rows = []
    for channel, sign in zip(audio, signs, strict=True):
        share = np.sqrt(_smooth(_frame_power(channel, step), window) / np.maximum(whole, 1e-20))
        rows.append(sign * mono * _spread(np.minimum(share, _MAX_GAIN), step, len(mono)))
    return np.stack(rows).astype(np.float32)


def _weighted(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    for b, a in k_weighting(sample_rate):
        signal = lfilter(b, a, signal)
    return signal


def _frame_power(audio: np.ndarray, step: int, both: bool = False) -> np.ndarray:
    """Return the mean square of frames of `step` samples in the loudest channel; `both`: the larger of a frame's and the next one's."""
    audio = np.atleast_2d(np.asarray(audio, np.float64))
    frames = -(-audio.shape[1] // step)
    padded = np.pad(np.square(audio), [(0, 0), (0, frames * step - audio.shape[1])])
    power = padded.reshape(len(audio), frames, step).mean(axis=2).max(axis=0)
    return np.maximum(power, np.append(power[1:], power[-1:])) if both and frames > 1 else power


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the weighted mean under a Hann window of `window` frames, normalised at the ends."""
    shape = np.hanning(window + 2)[1:-1]
    both = np.stack([values, np.ones_like(values)])
    sums = oaconvolve(both, shape[None], mode="full", axes=1)[:, (window - 1) // 2 : (window - 1) // 2 + len(values)]
    return np.maximum(sums[0], 0.0) / np.maximum(sums[1], 1e-12)


def _soft(steps: np.ndarray) -> np.ndarray:
    return np.convolve(np.pad(steps, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")


def _spread(values: np.ndarray, step: int, samples: int) -> np.ndarray:
    """Interpolate [frames] linearly between the centres of frames: [samples]."""
    return np.interp(np.arange(samples), (np.arange(len(values)) + 0.5) * step, values)
