"""Find the frequency at which the band of a recording ends: pure numpy functions of its long-term spectra."""

from __future__ import annotations

import numpy as np

STEP_HZ = 50.0  # resolution of the long-term spectra
MIN_EDGE_HZ = 1500.0
FULL = 0.92  # of half the sample rate: what reaches there is full band
_ACTIVE_DB = 40.0  # frames within this of the loudest count
_GUARD, _NEAR = 0.04, 0.25  # of the edge: the slope of a filter; the bands compared on either side
_MIN_NEAR_HZ = 400.0
_MIN_DROP_DB = 14.0
_MIN_FALL_DB = 11.0  # everything above the edge lies at least this far below the band under it


def find_edge(spectrum_db: np.ndarray, step_hz: float = STEP_HZ) -> float | None:
    """Find a cliff in a long-term spectrum, above which nothing rises again.

    Natural spectra fall gradually; a band limit falls by 14 dB and more within a few per cent of its frequency. Of all such places the
    steepest counts.

    Args:
        spectrum_db: float [bins], level of each bin in dB from 0 Hz to half the sample rate, of the loud frames.
        step_hz: Width of a bin.

    Returns:
        The highest frequency in Hz inside the band; None where there is no cliff below `FULL` of the band.
    """
    bins = len(spectrum_db)
    half = (bins - 1) * step_hz
    smooth = np.convolve(np.pad(spectrum_db, 2, mode="edge"), np.ones(5) / 5, "valid")
    sums = np.concatenate([[0.0], np.cumsum(smooth)])
    highest_above = np.maximum.accumulate(smooth[::-1])[::-1]
    best, found = _MIN_DROP_DB, None
    for edge in range(int(MIN_EDGE_HZ / step_hz), int(FULL * half / step_hz)):
        guard = max(2, round(_GUARD * edge))
        near = max(round(_MIN_NEAR_HZ / step_hz), round(_NEAR * edge))
        above, end = edge + guard, min(bins, edge + guard + near)
        if end - above < 2:
            break
        below = (sums[edge] - sums[max(1, edge - near)]) / (edge - max(1, edge - near))
        drop = below - (sums[end] - sums[above]) / (end - above)
        if drop > best and below - highest_above[above] > _MIN_FALL_DB:
            best, found = drop, edge
    return None if found is None else _last_inside(smooth, found) * step_hz


def _last_inside(smooth: np.ndarray, edge: int) -> int:
    """Return the last bin around a cliff that is within 6 dB of the level just below it."""
    around = max(3, round(_GUARD * edge))
    level = np.median(smooth[max(0, edge - 3 * around) : max(1, edge - around)])
    inside = np.flatnonzero(smooth[edge - around : edge + around + 1] > level - 6.0)
    return edge - around + int(inside[-1]) if len(inside) else edge - around


class LongTermSpectrum:
    """Gathers the spectra of the loud frames of a recording, in memory that does not grow with its length.

    Frames of 20 ms are sorted by their level into classes of 4 dB, and their power adds up class by class: which frames count as loud is
    known only at the end.

    Args:
        channels: Channels, which are added.
        sample_rate: Hz.
    """

    _STEP_DB, _LOWEST_DB, _CLASSES = 4.0, -100.0, 40

    def __init__(self, channels: int, sample_rate: int):
        self.sample_rate = sample_rate
        self._frame = 2 * max(1, round(sample_rate / STEP_HZ / 2))
        self._window = np.hanning(self._frame + 1)[:-1]
        self._scale = 2.0 / (self._frame * np.square(self._window).sum())  # the sum over bins is the mean square
        self._power = np.zeros((self._CLASSES, self._frame // 2 + 1))
        self._counts = np.zeros(self._CLASSES, np.int64)
        self._rest = np.zeros((channels, 0))

    @property
    def step_hz(self) -> float:
        """Width of a bin, about `STEP_HZ`."""
        return self.sample_rate / self._frame

    def add(self, audio: np.ndarray) -> None:
        """Take the next samples, float [channels, n]; samples that are not finite count as silence."""
        audio = np.concatenate([self._rest, np.nan_to_num(audio, posinf=0.0, neginf=0.0)], axis=1)
        frames = audio.shape[1] // self._frame
        self._rest = audio[:, frames * self._frame :]
        if not frames:
            return
        cut = audio[:, : frames * self._frame].reshape(len(audio), frames, self._frame)
        power = np.square(np.abs(np.fft.rfft(cut * self._window))).sum(axis=0) * self._scale
        level = 10 * np.log10(power.sum(axis=1) + 1e-12)
        index = np.clip(((level - self._LOWEST_DB) / self._STEP_DB).astype(int), 0, self._CLASSES - 1)
        np.add.at(self._power, index, power)
        np.add.at(self._counts, index, 1)

    def loud(self) -> tuple[np.ndarray, float] | None:
        """Return the spectrum of the loud frames, dB [bins], and their mean level in dB; None for silence."""
        filled = np.flatnonzero(self._counts[1:]) + 1
        if not len(filled):
            return None
        first = max(1, filled[-1] - round(_ACTIVE_DB / self._STEP_DB))
        power = self._power[first:].sum(axis=0) / self._counts[first:].sum()
        # Consonants have most of the high band and little of the level: each class counts by its shape too.
        shapes = self._power[first:] / np.maximum(self._power[first:].sum(axis=1, keepdims=True), 1e-20)
        weight = self._counts[first:] / self._counts[first:].sum()
        shape = (shapes * weight[:, None]).sum(axis=0)
        return 10 * np.log10(shape + 1e-14), float(10 * np.log10(power.sum() + 1e-12))
