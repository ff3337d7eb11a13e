"""Process long audio in pieces that are cut where it is quiet and cross-faded: memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MAX_SECONDS, MIN_SECONDS = 12.0, 6.0  # of a piece, without context
CONTEXT_SECONDS = 0.3  # processed on either side of a piece, and discarded but for the fade
_FADE_SECONDS = 0.015  # on either side of a cut; longer fades of two voices whose phases differ sound hollow
_LEVEL_SECONDS = 0.05  # window of the level whose minimum is the cut

Process = Callable[[np.ndarray], np.ndarray]  # float32 [channels, n] -> the same shape, aligned


class QuietPieces:
    """A stream through a function of pieces; as many samples come out as go in, aligned.

    Args:
        process: Function of a piece with its context.
        channels: Rows of the audio.
        sample_rate: Hz.
        longest, shortest: Seconds of a piece; the cut is at the quietest point between the two.
        context: Seconds beyond a cut that `process` gets on either side.
    """

    def __init__(
        self,
        process: Process,
        channels: int,
        sample_rate: int,
        *,
        longest: float = MAX_SECONDS,
        shortest: float = MIN_SECONDS,
        context: float = CONTEXT_SECONDS,
    ):
        self._process = process
        self._longest, self._shortest = max(2, round(longest * sample_rate)), max(1, round(shortest * sample_rate))
        self._context = max(1, round(context * sample_rate))
        self._fade = min(max(1, round(_FADE_SECONDS * sample_rate)), self._context, self._shortest // 2 or 1)
        self._window = max(1, round(_LEVEL_SECONDS * sample_rate))
        self._parts: list[np.ndarray] = []  # not processed yet; begins with the context before the next piece
        self._waiting = 0  # samples in them
        self._lead = 0  # samples of that context
        self._empty = np.zeros((channels, 0), np.float32)
        self._held: np.ndarray | None = None  # output of the last piece around the cut

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [channels, n] -> float32 [channels, m], the next samples; m may be 0."""
        self._parts.append(np.asarray(audio, np.float32))
        self._waiting += audio.shape[1]
        made = []
        while self._waiting >= self._lead + self._longest + self._context:
            made.append(self._piece())
        return np.concatenate(made, axis=1) if made else self._empty

    def finish(self) -> np.ndarray:
        """Return the rest. The stream is used up."""
        made = [self._empty]
        while self._waiting > self._lead + self._longest:
            made.append(self._piece())
        if self._waiting > self._lead or self._held is not None:
            made.append(self._piece(last=True))
        return np.concatenate(made, axis=1)

    def _piece(self, last: bool = False) -> np.ndarray:
        audio = np.concatenate(self._parts, axis=1)
        cut = audio.shape[1] if last else self._quietest(audio)
        made = np.asarray(self._process(audio[:, : cut + self._context]), np.float32)
        start = self._lead
        if self._held is not None:
            ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * self._fade, dtype=np.float32) + 0.5) / (2 * self._fade))
            start -= self._fade
            faded = made[:, start : start + 2 * self._fade]
            n = faded.shape[1]  # the last piece may end within the fade
            made[:, start : start + n] = self._held[:, :n] * (1 - ramp[:n]) + faded * ramp[:n]
        if last:
            self._parts, self._waiting, self._held = [], 0, None
            return made[:, start:cut]
        self._held = made[:, cut - self._fade : cut + self._fade].copy()
        rest = audio[:, cut - self._context :].copy()
        self._parts, self._waiting, self._lead = [rest], rest.shape[1], self._context
        return made[:, start : cut - self._fade].copy()

    def _quietest(self, audio: np.ndarray) -> int:
        """Return the sample of the next cut."""
        low, high = self._lead + self._shortest, min(self._lead + self._longest, audio.shape[1])
        half = self._window // 2
        power = np.square(audio[:, max(0, low - half) : high + half].astype(np.float64)).sum(axis=0)
        sums = np.concatenate([[0.0], np.cumsum(power)])
        window = min(self._window, len(power))
        level = sums[window:] - sums[:-window]
        return min(max(low + int(level.argmin()), self._context + 1), high)
