"""Networks of waveform windows (SEGAN) on audio of any rate and length: overlap-add in a stream. No TensorFlow.

The windows begin before the audio, so that all samples are in the same number of them, and their outputs are cross-faded with the
periodic Hann window, whose shifts by half a window add up to 1. Pre-emphasis runs over the whole stream, before the windows are cut
and after they are joined, so no window restarts it.

At another sample rate than the model's the audio is resampled (by soxr, whose streams are aligned to the sample), and the difference
that the model makes is resampled back and subtracted, so what the model leaves unchanged passes untouched. The band above the model's
is kept and attenuated as the top of the model's band is (`upper_band`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import soxr

from ...errors import RunError
from .upper_band import BandAbove

Call = Callable[[np.ndarray], np.ndarray]  # float32 [batch, window] -> the same


class WindowStream:
    """A stream of what a model of windows removes; channels are independent.

    Args:
        call: The network on a batch of windows.
        window: Samples of a window at the model's rate.
        hop: Samples between windows; must divide the window. A hop of a whole window means no cross-fade.
        batch: Windows in one call. The last call of a stream is filled up with silence.
        channels: Rows.
        model_rate, sample_rate: Rates of the model and of the audio, Hz.
        pre_emphasis: a of y[n] = x[n] - a x[n - 1]; 0: none.
        floor: Share of what the model would remove that is kept.

    Attributes:
        latency: Maximum number of samples at `sample_rate` that must follow a sample before its output is known (resampling aside).

    Raises:
        ValueError: A hop that does not divide the window.
    """

    def __init__(
        self,
        call: Call,
        window: int,
        hop: int,
        batch: int,
        channels: int,
        model_rate: int,
        sample_rate: int,
        pre_emphasis: float = 0.0,
        floor: float = 0.0,
    ):
        if not 0 < hop <= window or window % hop:
            raise ValueError(f"window {window} and hop {hop}: expected a hop that divides the window")
        self.channels, self.sample_rate = channels, sample_rate
        self._call, self._size, self._hop, self._batch = call, window, hop, batch
        self._emphasis, self._floor = pre_emphasis, floor
        self._down = _Resampler(model_rate, sample_rate, channels, to_model=True)
        self._up = _Resampler(model_rate, sample_rate, channels, to_model=False)
        self._above = BandAbove(channels, model_rate, sample_rate) if sample_rate > model_rate else None
        self._low = self._high = np.zeros((channels, 0), np.float32)  # to be removed in the band and above it; one may be ahead
        self._step = batch // math.gcd(batch, channels)  # windows of each channel that fill whole calls
        self.latency = -(-(window + (self._step - 1) * hop) * sample_rate // model_rate)
        rounds = window // hop
        fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        self._fade = (fade * (2 / rounds) if rounds > 1 else np.ones(window)).astype(np.float32)
        lead = window - hop
        self._emphasised = np.zeros((channels, lead), np.float32)  # from the next window's start on
        self._sum = np.zeros((channels, lead), np.float32)  # outputs of the windows so far, from there on
        self._dry = np.zeros((channels, 0), np.float32)  # not returned yet, at the model's rate
        self._skip = lead  # of `_sum`, before the first sample of the audio
        self._before = np.zeros((channels, 1), np.float32)  # the last input sample
        self._deemphasis = np.zeros((channels, 1))  # state of the inverse filter
        self._received = self._resampled = 0

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float32 [channels, n] -> float32 [channels, m], what to remove from the samples after those returned so far."""
        audio = np.asarray(audio, np.float32)
        self._received += audio.shape[1]
        low = self._up(self._work(self._down(audio)))
        self._resampled += low.shape[1]
        return self._out(self._above.below(low), self._above.process(audio)) if self._above else self._out(low)

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples come out as went in. The stream is used up."""
        rest = self._work(self._down(np.zeros((self.channels, 0), np.float32), last=True))
        missing = self._dry.shape[1]
        tail = self._windows(np.zeros((self.channels, missing + self._size), np.float32), flush=True)[:, :missing]
        low = self._up(np.concatenate([rest, tail], axis=1), last=True)
        missing = self._received - self._resampled
        low = np.pad(low[:, :missing], [(0, 0), (0, max(0, missing - low.shape[1]))])  # resampled twice, it may be two samples off
        return self._out(self._above.below(low, last=True), self._above.finish()) if self._above else self._out(low)

    def _out(self, low: np.ndarray, high: np.ndarray | None = None) -> np.ndarray:
        removed = low
        if high is not None:
            self._low, self._high = np.concatenate([self._low, low], axis=1), np.concatenate([self._high, high], axis=1)
            n = min(self._low.shape[1], self._high.shape[1])
            removed = self._low[:, :n] + self._high[:, :n]
            self._low, self._high = self._low[:, n:], self._high[:, n:]
        return removed * np.float32(1 - self._floor)

    def _work(self, dry: np.ndarray) -> np.ndarray:
        """Return the difference that the model makes, at the model's rate."""
        self._dry = np.concatenate([self._dry, dry], axis=1)
        return self._windows(dry)

    def _windows(self, dry: np.ndarray, flush: bool = False) -> np.ndarray:
        """Run the windows that are complete (all of them with `flush`, else whole calls) and return the difference that they make."""
        audio = np.concatenate([self._emphasised, self._emphasise(dry)], axis=1)
        ready = max(0, (audio.shape[1] - self._size) // self._hop + 1)
        if not flush:
            ready -= ready % self._step
        if not ready:
            self._emphasised = audio
            return np.zeros((self.channels, 0), np.float32)
        whole = self._deemphasise(self._overlap_add(audio, ready))
        skipped = min(self._skip, whole.shape[1])
        self._skip -= skipped
        enhanced = whole[:, skipped:]
        n = min(enhanced.shape[1], self._dry.shape[1])
        dry, self._dry = self._dry[:, :n], self._dry[:, n:]
        if self._above:
            self._above.measure(dry, enhanced[:, :n])
        return dry - enhanced[:, :n]

    def _overlap_add(self, audio: np.ndarray, ready: int) -> np.ndarray:
        """Run `ready` windows of pre-emphasised audio and return the samples that no later window changes."""
        cut = np.lib.stride_tricks.sliding_window_view(audio, self._size, axis=1)[:, : ready * self._hop : self._hop]
        outputs = self._run(cut.reshape(-1, self._size)).reshape(self.channels, ready, self._size) * self._fade
        total = np.zeros((self.channels, (ready - 1) * self._hop + self._size), np.float32)
        total[:, : self._sum.shape[1]] = self._sum
        for k in range(ready):
            total[:, k * self._hop : k * self._hop + self._size] += outputs[:, k]
        done = ready * self._hop
        self._emphasised, self._sum = audio[:, done:].copy(), total[:, done:].copy()
        return total[:, :done]

    def _emphasise(self, audio: np.ndarray) -> np.ndarray:
        if not self._emphasis or not audio.shape[1]:
            return audio
        shifted = np.concatenate([self._before, audio[:, :-1]], axis=1)
        self._before = audio[:, -1:].copy()
        return audio - np.float32(self._emphasis) * shifted

    def _run(self, windows: np.ndarray) -> np.ndarray:
        outputs = np.empty(windows.shape, np.float32)
        for start in range(0, len(windows), self._batch):
            some = windows[start : start + self._batch]
            filled = np.zeros((self._batch, self._size), np.float32)
            filled[: len(some)] = some
            outputs[start : start + len(some)] = self._call(filled)[: len(some)]
        if not np.isfinite(outputs).all():
            raise RunError("The model gives NaN or infinite samples.", hint="use an earlier checkpoint of the run")
        return outputs

    def _deemphasise(self, audio: np.ndarray) -> np.ndarray:
        if not self._emphasis:
            return audio
        from scipy.signal import lfilter  # half a second to import, and only such models need it

        out, self._deemphasis = lfilter([1.0], [1.0, -self._emphasis], audio, axis=1, zi=self._deemphasis)
        return out.astype(np.float32)


class _Resampler:
    """Resamples [channels, n] to the model's rate or back, in a stream."""

    def __init__(self, model_rate: int, sample_rate: int, channels: int, *, to_model: bool):
        rates = (sample_rate, model_rate) if to_model else (model_rate, sample_rate)
        self._stream = None if model_rate == sample_rate else soxr.ResampleStream(*rates, channels, dtype="float32")

    def __call__(self, audio: np.ndarray, last: bool = False) -> np.ndarray:
        if self._stream is None:
            return audio
        return self._stream.resample_chunk(np.ascontiguousarray(audio.T), last=last).T
