"""A stream that works at rates of its own, on sound of any rate. No TensorFlow.

The part that the stream removes is resampled back and subtracted, so audio that it leaves alone passes untouched. The band above its own
is attenuated like the top of its own (`upper_band`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import soxr

from .upper_band import BandAbove


class Stream(Protocol):
    """Audio in, its removed part out: `DeepFilterStream`, `GainStream` ..."""

    channels: int
    latency: int

    def process(self, audio: np.ndarray) -> np.ndarray: ...

    def finish(self) -> np.ndarray: ...


class ResampledStream:
    """Runs a stream at its own rate on audio of another; soxr's streams are aligned to the sample.

    Args:
        stream: The stream that does the work.
        stream_rate, sample_rate: Rates of that stream and of the audio in Hz.
        above: Attenuate the band above the stream's own; otherwise it stays as it is.

    Attributes:
        latency: Samples at `sample_rate` after a sample, at the most, before its output is known (resampling aside).
    """

    def __init__(self, stream: Stream, stream_rate: int, sample_rate: int, above: bool = True):
        self.channels, self.sample_rate = stream.channels, sample_rate
        self.latency = -(-stream.latency * sample_rate // stream_rate)
        self._stream = stream
        self._down = soxr.ResampleStream(sample_rate, stream_rate, self.channels, dtype="float32")
        self._up = soxr.ResampleStream(stream_rate, sample_rate, self.channels, dtype="float32")
        self._above = BandAbove(self.channels, stream_rate, sample_rate) if above and sample_rate > stream_rate else None
        self._dry = self._low = self._high = np.zeros((self.channels, 0), np.float32)
        self._received = self._resampled = 0

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 [channels, n], and return the removed part of the next finished ones, float32 [channels, m]."""
        audio = np.asarray(audio, np.float32)
        self._received += audio.shape[1]
        dry = _resampled(self._down, audio)
        low = _resampled(self._up, self._heard(dry, self._stream.process(dry)))
        self._resampled += low.shape[1]
        return self._joined(self._above.below(low), self._above.process(audio)) if self._above else low

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples have been returned as were taken. The stream is used up."""
        dry = _resampled(self._down, np.zeros((self.channels, 0), np.float32), last=True)
        removed = np.concatenate([self._stream.process(dry), self._stream.finish()], axis=1)
        low = _resampled(self._up, self._heard(dry, removed), last=True)
        missing = self._received - self._resampled
        low = np.pad(low[:, :missing], [(0, 0), (0, max(0, missing - low.shape[1]))])  # there and back it may be a sample or two off
        return self._joined(self._above.below(low, last=True), self._above.finish()) if self._above else low

    def _heard(self, dry: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """Return `removed` after passing it on, with the audio it was removed from, to the band above."""
        if self._above:
            self._dry = np.concatenate([self._dry, dry], axis=1)
            length = removed.shape[1]
            before, self._dry = self._dry[:, :length], self._dry[:, length:]
            self._above.measure(before, before - removed)
        return removed

    def _joined(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Add the two bands as far as both are known."""
        self._low, self._high = np.concatenate([self._low, low], axis=1), np.concatenate([self._high, high], axis=1)
        n = min(self._low.shape[1], self._high.shape[1])
        removed = self._low[:, :n] + self._high[:, :n]
        self._low, self._high = self._low[:, n:], self._high[:, n:]
        return removed


def _resampled(stream: soxr.ResampleStream, audio: np.ndarray, last: bool = False) -> np.ndarray:
    """[channels, n] -> [channels, m]."""
    return stream.resample_chunk(np.ascontiguousarray(audio.T), last=last).T
