"""A network's gains on audio of any rate, in a stream: exact framing, exact alignment, constant memory. No TensorFlow.

The network sees frames of `fft` samples at its own rate R0 under a square-root Hann window, hop = fft / 2 apart. Nothing is resampled:
frame t covers the same time at every rate R, the samples n with |n / R - t hop / R0| < hop / R0, under the window

    w(n) = sin(pi / 2 * u),  u = (n - (t - 1) h) / h in [0, 2),  h = hop R / R0 samples, not rounded.

The squares of neighbouring windows add up to sin^2 + cos^2 = 1 at every sample whether h is whole (48 kHz) or not (44.1 kHz). The
discrete transform of such a frame, taken at the network's frequencies and scaled by R0 / R, is what the network would see of the same
audio at R0: both sample one continuous short-time transform. Compared with resampling this costs nothing, adds no latency, and leaves
the output untouched by any interpolation filter. The attenuation of resampling at the top of the band is imitated (`FrameGrid.taper`),
because networks learn from resampled recordings.

A gain for a cell of time and frequency is a filter of the length of a frame; it means the same at every rate, so it is applied to the
transform at R, interpolated in frequency where the bins differ. The band above the network's is kept and takes the mean gain of the
upper end of the network's band.

The streams return what is to be removed, the inverse transform of (1 - gain) X, not what remains: where the gain is 1 that is exactly
zero, so the output equals the input bit for bit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from ...errors import RunError

_FRAMES = 512  # of all rows in one call of the network: 4 s of two rows at a hop of 16 ms; more is no faster and takes memory
_MIN_FRAMES = 32
_PASSBAND = 0.91  # of the narrower Nyquist frequency, where soxr's filter begins to fall
TOP_BAND = (0.7, 0.88)  # of the same; the band whose gain stands for the band above it
_MAX_PLACES = 64  # windows kept for a rate at which frames begin between samples; with more they are computed each time
_MEMORY = 0.98  # of the channels' correlation, a frame; at a hop of 16 ms half is forgotten after 0.55 s


class Network(Protocol):
    """A causal network of gains, such as `numpy_network.FrameNetwork`."""

    sample_rate: int
    fft: int
    hop: int

    def initial_state(self, rows: int) -> Any: ...

    def run(self, spectrum: np.ndarray, state: Any) -> tuple[np.ndarray, Any]: ...


class FrameGrid:
    """The frames of a network at another sample rate, and the mapping between its frequencies and that rate's bins.

    Args:
        fft: Samples of the network's window, even.
        hop: fft / 2.
        network_rate: Rate of the network, Hz.
        sample_rate: Rate of the audio, Hz.

    Attributes:
        step: Samples between frames at `sample_rate`, a fraction (numerator, denominator).
        whole: Whether that is a whole number; then frames need no interpolation in time or frequency.
        segment: Maximum number of samples between frames.
        size: Samples of the transform at `sample_rate`: two segments.

    Raises:
        ValueError: fft is not twice the hop, or a rate below 1 Hz.
    """

    def __init__(self, fft: int, hop: int, network_rate: int, sample_rate: int):
        if fft != 2 * hop or hop < 1:
            raise ValueError(f"fft {fft} and hop {hop}: expected an even fft and half of it")
        if sample_rate < 1:
            raise ValueError(f"sample rate {sample_rate}: expected Hz")
        common = math.gcd(hop * sample_rate, network_rate)
        self.step = (hop * sample_rate // common, network_rate // common)
        self.whole = self.step[1] == 1
        self.segment = -(-self.step[0] // self.step[1])
        # Not rounded up to a faster length: bins close to the network's own matter more. Where a frame is 1411.2 samples, gains applied
        # by transforms of 1412 agree with those at 16 kHz to -50 dB, by transforms of 1440 (2 ms less a second) to -33 dB.
        self.size = 2 * self.segment
        self.network_bins = fft // 2 + 1
        self._real_step = self.step[0] / self.step[1]
        self._ratio = np.float32(network_rate / sample_rate)
        self._same = network_rate == sample_rate
        edge = min(network_rate, sample_rate) / 2
        frequencies = np.arange(self.network_bins) * (network_rate / fft)
        # cos^2 from the passband's end to the Nyquist frequency, as steep as soxr's.
        fall = np.clip((frequencies / edge - _PASSBAND) / (1 - _PASSBAND), 0, 1)
        self.taper = np.where(self._same, 1.0, np.cos(np.pi / 2 * fall) ** 2).astype(np.float32)
        self.taper[frequencies > edge] = 0
        if not self.whole:
            cycles = np.outer(np.arange(self.size), frequencies / sample_rate)
            self._transform = np.exp(-2j * np.pi * cycles).astype(np.complex64).view(np.float32)  # [samples, bins * (real, imaginary)]
        self._turn = -2j * np.pi * frequencies / sample_rate  # phase a sample
        # Frames begin 0, 1 / denominator, 2 / denominator ... of a sample before their first one: 5 places at 44.1 kHz.
        places = np.arange(self.step[1])
        self._tables = (self._window(places), self._turns(places)) if len(places) <= _MAX_PLACES else None
        # From the network's bins to those of this rate.
        bins = np.arange(self.size // 2 + 1) * (sample_rate / self.size)
        place = np.minimum(bins * fft / network_rate, self.network_bins - 1)
        self._below = np.minimum(place.astype(int), self.network_bins - 2)
        self._share = (place - self._below).astype(np.float32)
        low, high = (np.searchsorted(frequencies, share * edge) for share in TOP_BAND)
        self._top = slice(int(low), max(int(high), int(low) + 1))
        above = np.clip((bins / edge - TOP_BAND[1]) / (_PASSBAND - TOP_BAND[1]), 0, 1).astype(np.float32)
        self._above = None if self._same else above

    def starts(self, first: int, count: int) -> np.ndarray:
        """Return the first sample at or after the times (first, first + 1, ...) * step: int64 [count]."""
        numerator, denominator = self.step
        return -(-np.arange(first, first + count, dtype=np.int64) * numerator // denominator)

    def complete(self, samples: int) -> int:
        """Return the number of frames that end at or before this sample."""
        return max(0, samples * self.step[1] // self.step[0])

    def covering(self, samples: int) -> int:
        """Return the number of frames whose overlap yields this many samples."""
        return -(-samples * self.step[1] // self.step[0]) + 1 if samples else 0

    def windows(self, first: int, count: int) -> np.ndarray:
        """Return the windows of `count` frames from `first` on: float32 [count, size], or [1, size] where all are equal."""
        if self.whole and self._tables:
            return self._tables[0]
        places = self._places(first, count)
        return self._tables[0][places] if self._tables else self._window(places)

    def network_spectrum(self, framed: np.ndarray, spectrum: np.ndarray, first: int) -> np.ndarray:
        """Return the spectrum of windowed frames at the network's frequencies: complex64 [rows, frames, network bins].

        Args:
            framed: float32 [rows, frames, size], windowed.
            spectrum: Transform of `framed`.
            first: Number of the first frame.
        """
        if self._same:
            return spectrum
        if self.whole:
            kept = min(self.network_bins, spectrum.shape[-1])
            seen = np.zeros((*spectrum.shape[:-1], self.network_bins), np.complex64)
            np.multiply(spectrum[..., :kept], self._ratio * self.taper[:kept], out=seen[..., :kept])
            return seen
        places = self._places(first, framed.shape[1])
        seen = (framed @ self._transform).view(np.complex64)
        return seen * (self._tables[1][places] if self._tables else self._turns(places))

    def _places(self, first: int, count: int) -> np.ndarray:
        """Return how far before their first sample frames begin, in units of a sample over the step's denominator."""
        return -np.arange(first - 1, first - 1 + count, dtype=np.int64) * self.step[0] % self.step[1]

    def _window(self, places: np.ndarray) -> np.ndarray:
        u = (np.arange(self.size) + places[:, None] / self.step[1]) / self._real_step
        return np.where(u < 2, np.sin(np.pi / 2 * u), 0).astype(np.float32)

    def _turns(self, places: np.ndarray) -> np.ndarray:
        return (np.exp(places[:, None] / self.step[1] * self._turn) * (self._ratio * self.taper)).astype(np.complex64)

    def spread(self, gain: np.ndarray) -> np.ndarray:
        """Map gains [..., network bins] to this rate's bins: [..., size // 2 + 1]."""
        if self._above is None:
            return gain
        if self.whole:
            kept = min(self.network_bins, self.size // 2 + 1)
            spread = np.empty((*gain.shape[:-1], self.size // 2 + 1), gain.dtype)
            spread[..., :kept] = gain[..., :kept]
            spread[..., kept:] = 0
        else:
            spread = gain[..., self._below]
            spread += self._share * (gain[..., self._below + 1] - spread)
        # The magnitude of a complex gain, whose phase belongs to other frequencies. What the network has not seen is never amplified.
        top = np.minimum(np.abs(gain[..., self._top]).mean(axis=-1, keepdims=True), 1)
        spread += self._above * (top - spread)
        return spread


# For a rate such as 44.1 kHz the matrix takes some hundredths of a second to compute, as long as a short recording takes to enhance.
frame_grid = lru_cache(maxsize=16)(FrameGrid)


class SharedSpectrum:
    """Reduces the channels of a recording to one spectrum, so that they can share one mask and the stereo image stays.

    Its magnitude is the root of the channels' mean power: unlike the mean of the signals it does not vanish where two channels have
    opposite polarity, and audio in only one channel counts. Its phase is that of the sum of the channels, each with the polarity in
    which it recently resembled the loudest one. Equal channels yield their own spectrum.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int):
        self._correlation = np.zeros((channels, channels), np.float64)

    def __call__(self, spectrum: np.ndarray) -> np.ndarray:
        """complex64 [channels, frames, bins] -> [1, frames, bins]."""
        by_frame = np.moveaxis(spectrum, 0, 1)  # [frames, channels, bins]
        now = (by_frame @ np.conj(by_frame).swapaxes(1, 2)).real
        signs = np.empty(now.shape[:2], np.float32)
        correlation = self._correlation
        for t, products in enumerate(now):
            correlation = _MEMORY * correlation + products
            signs[t] = np.where(correlation[np.argmax(np.diagonal(correlation))] < 0, -1, 1)
        self._correlation = correlation
        total = (by_frame * signs[..., None]).sum(axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).mean(axis=0)
        size = np.abs(total)
        level = np.sqrt(power)
        # Where the sum vanishes it has no phase: 0 is as good as any.
        safe = size > 1e-20
        return np.where(safe, total * (level / np.where(safe, size, 1)), level).astype(np.complex64)[None]


def limit(gain: np.ndarray, floor: float) -> np.ndarray:
    """Limit the attenuation of gains to `floor`, an amplitude from 0 to 1: max(gain, floor) where they are real.

    A complex gain below the floor is raised to it by unprocessed audio, whose phase is right; that of a small gain is arbitrary. At a
    floor of 1 nothing is changed.
    """
    if floor >= 1:
        return np.ones_like(gain)
    if np.iscomplexobj(gain):
        return gain + np.maximum(np.float32(floor) - np.abs(gain), 0)
    return np.maximum(gain, np.float32(floor))


class GainStream:
    """A stream of what a network removes from audio; how the audio is cut changes nothing beyond 1e-6 of the peak.

    Args:
        network: The network whose gains are applied.
        channels: Rows of the audio.
        sample_rate: Hz; None: the network's.
        floor: Minimum gain; see `limit`.
        shared: Use one mask for all channels, from their `SharedSpectrum`; else each channel has its own.
        recordings: Number of recordings, one after another in the rows, of `channels` rows each.

    Attributes:
        latency: Maximum number of samples at `sample_rate` that must follow a sample before its output is known: two hops.
    """

    def __init__(
        self,
        network: Network,
        channels: int,
        sample_rate: int | None = None,
        *,
        floor: float = 0.0,
        shared: bool = False,
        recordings: int = 1,
    ):
        self.network, self.floor = network, floor
        self.channels = rows = channels * recordings
        self.sample_rate = sample_rate or network.sample_rate
        self.grid = frame_grid(network.fft, network.hop, network.sample_rate, self.sample_rate)
        self.latency = 2 * self.grid.segment
        self._shared = [SharedSpectrum(channels) for _ in range(recordings)] if shared and channels > 1 else None
        self._state = network.initial_state(recordings if self._shared else rows)
        self._frame = 0  # the next one
        self._start = int(self.grid.starts(-1, 1)[0])  # where it begins; all is silence before 0
        self._audio = np.zeros((rows, -self._start), np.float32)  # from there on
        self._received = self._given = 0
        self._last = np.zeros((rows, 1, self.grid.size), np.float32)  # the frame before, transformed back
        self._pieces: list[np.ndarray] = []  # after `_audio`, too short for a frame yet

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float32 [channels, n] -> float32 [channels, m], what to remove from the samples after those returned so far."""
        self._pieces.append(np.asarray(audio, np.float32))
        self._received += audio.shape[1]
        return self._run_to(self.grid.complete(self._received))

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples come out as went in. The stream is used up."""
        frames = self.grid.covering(self._received)
        end = int(self.grid.starts(frames, 1)[0])
        self._pieces.append(np.zeros((self.channels, max(0, end - self._received)), np.float32))
        missing = self._received - self._given
        return self._run_to(frames)[:, :missing]

    def _heard(self, spectrum: np.ndarray) -> np.ndarray:
        """Return the network's rows: every channel, or one spectrum for each recording."""
        if not self._shared:
            return spectrum
        each = np.split(spectrum, len(self._shared))
        return np.concatenate([share(rows) for share, rows in zip(self._shared, each, strict=True)])

    def _run_to(self, frames: int) -> np.ndarray:
        if frames <= self._frame:
            return np.zeros((self.channels, 0), np.float32)
        self._audio = np.concatenate([self._audio, *self._pieces], axis=1)
        self._pieces = []
        given, most = [], max(_MIN_FRAMES, _FRAMES // max(1, self.channels))
        while self._frame < frames:
            given.append(self._run(min(most, frames - self._frame)))
        removed = given[0] if len(given) == 1 else np.concatenate(given, axis=1)
        self._given += removed.shape[1]
        return removed

    def _run(self, count: int) -> np.ndarray:
        """Run the next `count` frames and return what they complete: float32 [channels, m]."""
        grid, first = self.grid, self._frame
        bounds = grid.starts(first - 1, count + 2)  # frame t begins at bounds[t - first], and is halfway at the next of them
        index = (bounds[:-2] - self._start)[:, None] + np.arange(grid.size)
        window = grid.windows(first, count)
        framed = self._audio[:, np.minimum(index, self._audio.shape[1] - 1)] * window
        spectrum = np.fft.rfft(framed).astype(np.complex64, copy=False)
        part = 1 - grid.spread(limit(self._gains(grid.network_spectrum(framed, spectrum, first)), self.floor))
        if len(part) not in (1, len(spectrum)):  # a mask for each recording
            part = np.repeat(part, len(spectrum) // len(part), axis=0)
        away = np.fft.irfft(part * spectrum, grid.size).astype(np.float32, copy=False) * window
        frames = np.concatenate([self._last, away], axis=1)
        self._last = frames[:, -1:]
        self._frame += count
        out = self._overlap(frames, bounds, first)
        begin = int(bounds[-2])
        self._audio = self._audio[:, begin - self._start :].copy()
        self._start = begin
        return out

    def _gains(self, seen: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # what is far beyond full scale may overflow, which is reported here
            gain, self._state = self.network.run(self._heard(seen), self._state)
        if not np.isfinite(gain).all():
            raise RunError("The model gives NaN or infinite gains.", hint="the recording is far beyond full scale, or the model is broken")
        return gain

    def _overlap(self, frames: np.ndarray, bounds: np.ndarray, first: int) -> np.ndarray:
        """Add the second half of each frame to the first half of the next, between bounds t and t + 1.

        Args:
            frames: float32 [rows, count + 1, size], the frame before `first` and those from it on.
            bounds: Beginnings of the frames from `first` on, and the two bounds after the last.
            first: Number of the first frame.
        """
        grid, lengths = self.grid, np.diff(bounds[:-1])
        offsets = np.diff(bounds[:-2])
        if first == 0:  # what comes before frame 0 lies before the audio
            frames, lengths = frames[:, 1:], lengths[1:]
        else:
            offsets = np.concatenate([[int(bounds[0] - grid.starts(first - 2, 1)[0])], offsets])
        place = np.arange(grid.segment)
        falling = np.take_along_axis(frames[:, :-1], (offsets[:, None] + place)[None], axis=2)
        out = falling + frames[:, 1:, : grid.segment]
        return out.reshape(self.channels, -1) if grid.whole else out[:, place < lengths[:, None]]


class AveragedStream:
    """A stream of the mean of what a network removes on several evenly offset frame grids.

    The noise that remains in a frame depends on where the frame begins; on other grids it is different, and averages out (cycle
    spinning: Coifman and Donoho 1995). Two grids, hop / 2 apart, gain 0.2 to 0.4 dB of SI-SDR. They are rows of one call of the
    network, so the second costs two thirds of the first.

    Args:
        passes: Number of grids.
        network, channels, sample_rate, floor, shared: As for `GainStream`.

    Attributes:
        latency: That of `GainStream` plus the offset between the first grid and the last.
    """

    def __init__(self, passes: int, network: Network, channels: int, sample_rate: int, *, floor: float = 0.0, shared: bool = False):
        self.channels = channels
        self._stream = GainStream(network, channels, sample_rate, floor=floor, shared=shared, recordings=passes)
        # The same frames see the audio this many samples later.
        self._delays = [round(index * self._stream.grid.segment / passes) for index in range(passes)]
        self._longest = self._delays[-1]
        self.latency = self._stream.latency + self._longest
        self._held = [np.zeros((channels, delay), np.float32) for delay in self._delays]
        self._out = np.zeros((channels * passes, 0), np.float32)

    def process(self, audio: np.ndarray) -> np.ndarray:
        """As `GainStream.process`."""
        return self._mean(self._stream.process(self._delayed(audio)))

    def finish(self) -> np.ndarray:
        """As `GainStream.finish`."""
        first = self._stream.process(self._delayed(np.zeros((self.channels, self._longest), np.float32)))
        return self._mean(np.concatenate([first, self._stream.finish()], axis=1))

    def _delayed(self, audio: np.ndarray) -> np.ndarray:
        length = audio.shape[1]
        whole = [np.concatenate([held, audio], axis=1) for held in self._held]
        self._held = [one[:, length:] for one in whole]
        return np.concatenate([one[:, :length] for one in whole])

    def _mean(self, removed: np.ndarray) -> np.ndarray:
        self._out = np.concatenate([self._out, removed], axis=1)
        known = max(0, self._out.shape[1] - self._longest)
        each = np.split(self._out, len(self._delays))
        mean = np.zeros((self.channels, known), np.float32)
        for one, delay in zip(each, self._delays, strict=True):
            mean += one[:, delay : delay + known]
        mean *= np.float32(1 / len(self._delays))
        self._out = self._out[:, known:]
        return mean
