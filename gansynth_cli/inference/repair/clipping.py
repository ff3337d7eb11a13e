"""Clipped peaks: find the clip level of each channel, and restore what went beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...signal.autoregression import declip
from .findings import RepairStep, runs_of

_WINDOW_SECONDS, _ORDER_SECONDS = 0.128, 0.004
_MIN_RUNS, _MIN_RUN = 3, 3  # flat tops in the recording, samples in each
_CORNER = 6  # tolerances: the curve meets a flat top at an angle, while the top of a low tone is only flat because it is quantised
_TOLERANCE = 2.0**-15
_JOIN_SECONDS = 0.25  # clipped samples nearer than this are reported as one place


@dataclass(frozen=True)
class ClippingFinding:
    """Clip levels, and where they are reached.

    Attributes:
        levels: float [channels, 2]: the highest and the lowest value of each channel; NaN where that side is not clipped.
        samples: Number of clipped samples, all channels together.
        places: [start, end] in seconds.
    """

    levels: np.ndarray
    samples: int
    places: list[list[float]]

    def __bool__(self) -> bool:
        return bool(np.isfinite(self.levels).any())

    def summary(self) -> str:
        if not self:
            return ""
        lowest = 20 * np.log10(np.nanmin(np.abs(self.levels)))
        return f"{self.samples} samples clipped at {lowest:.1f} dBFS in {len(self.places)} place{'s' * (len(self.places) != 1)}"

    def to_json(self) -> dict[str, Any]:
        levels = [[None if np.isnan(level) else round(float(level), 6) for level in channel] for channel in self.levels]
        return {"found": bool(self), "samples": self.samples, "levels": levels, "places": self.places}


class _Side:
    """One side of one channel, turned so that it is the top: the highest value so far and the flat tops at that value."""

    def __init__(self) -> None:
        self.level, self.runs, self.samples, self.places = 0.0, 0, 0, []  # type: float, int, int, list[list[int]]

    def add(self, x: np.ndarray, offset: int, join: int) -> None:
        highest = float(np.fmax.reduce(x, initial=0.0))
        if highest > self.level + _TOLERANCE:
            self.level, self.runs, self.samples, self.places = highest, 0, 0, []
        if not highest or highest < self.level - _TOLERANCE:
            return
        runs = runs_of(x >= self.level - _TOLERANCE)
        self.samples += int((runs[:, 1] - runs[:, 0]).sum())
        flat = runs[runs[:, 1] - runs[:, 0] >= _MIN_RUN]
        around = np.fmin(x[np.maximum(flat[:, 0] - 1, 0)], x[np.minimum(flat[:, 1], len(x) - 1)])
        self.runs += int(np.count_nonzero(self.level - around > _CORNER * _TOLERANCE))
        for start, end in runs.tolist():
            if self.places and offset + start - self.places[-1][1] < join:
                self.places[-1][1] = offset + end
            else:
                self.places.append([offset + start, offset + end])

    @property
    def clipped(self) -> bool:
        return self.runs >= _MIN_RUNS


class ClippingSurvey:
    """Finds values that a channel reaches often, in flat tops with corners, and never exceeds."""

    def __init__(self, channels: int, sample_rate: int):
        self._sides = [(_Side(), _Side()) for _ in range(channels)]
        self._rate, self._offset = sample_rate, 0

    def add(self, audio: np.ndarray) -> None:
        for x, (top, bottom) in zip(audio, self._sides, strict=True):
            top.add(x, self._offset, round(_JOIN_SECONDS * self._rate))
            bottom.add(-x, self._offset, round(_JOIN_SECONDS * self._rate))
        self._offset += audio.shape[1]

    def finish(self) -> ClippingFinding:
        level = lambda side: side.level if side.clipped else np.nan
        levels = np.array([[level(top), -level(bottom)] for top, bottom in self._sides])
        clipped = [side for sides in self._sides for side in sides if side.clipped]
        places: list[list[int]] = []
        for start, end in sorted(place for side in clipped for place in side.places):
            if places and start - places[-1][1] < _JOIN_SECONDS * self._rate:
                places[-1][1] = max(end, places[-1][1])
            else:
                places.append([start, end])
        seconds = [[round(x / self._rate, 4) for x in place] for place in places]
        return ClippingFinding(levels, sum(side.samples for side in clipped), seconds)


class ClippingStep(RepairStep):
    """Restore clipped peaks by autoregressive interpolation that never falls short of the clip level."""

    def survey(self, channels: int, sample_rate: int, name: str = "") -> ClippingSurvey:
        return ClippingSurvey(channels, sample_rate)

    def stream(self, finding: ClippingFinding, channels: int, sample_rate: int) -> ClippingStream:
        return ClippingStream(finding.levels, sample_rate)


class ClippingStream:
    """Restores clipped samples in hops of half a window, each with a quarter of a window of context on either side.

    The context on the left is restored already; clipped samples in the context on the right are unknown as well.
    """

    def __init__(self, levels: np.ndarray, sample_rate: int):
        self._levels = levels
        self._order = max(8, round(_ORDER_SECONDS * sample_rate))
        self._side = round(_WINDOW_SECONDS * sample_rate / 4)
        self._context = np.zeros((len(levels), 0))  # restored, and returned already
        self._waiting = np.zeros((len(levels), 0))

    def process(self, audio: np.ndarray) -> np.ndarray:
        self._waiting = np.concatenate([self._waiting.astype(audio.dtype), audio], axis=1)
        return self._run(last=False)

    def finish(self) -> np.ndarray:
        return self._run(last=True)

    def _run(self, last: bool) -> np.ndarray:
        hop, done = 2 * self._side, []
        while self._waiting.shape[1] >= hop + self._side or (last and self._waiting.shape[1]):
            window = self._waiting[:, : hop + self._side]
            for channel, (top, bottom) in enumerate(self._levels):
                self._restore(channel, window[channel], hop, top, bottom)
            piece, self._waiting = self._waiting[:, :hop], self._waiting[:, hop:]
            self._context = np.concatenate([self._context, piece], axis=1)[:, -self._side :]
            done.append(piece)
        return np.concatenate(done, axis=1) if done else self._waiting[:, :0]

    def _restore(self, channel: int, x: np.ndarray, hop: int, top: float, bottom: float) -> None:
        """Restore the first `hop` samples of x, in place."""
        above, below = x >= top - _TOLERANCE, x <= bottom + _TOLERANCE  # False where the level is NaN
        if not (above[:hop].any() or below[:hop].any()):
            return
        before = self._context[channel]
        known = np.zeros(len(before), bool)
        whole = declip(np.concatenate([before, x]), np.concatenate([known, above]), np.concatenate([known, below]), self._order)
        clipped = np.flatnonzero((above | below)[:hop])
        x[clipped] = whole[len(before) :][clipped]
