"""A network's gains on sound of any rate, in a stream: exact framing, exact alignment, memory that does not grow. No TensorFlow.

The network sees frames of `fft` samples at its own rate R0 under a square-root Hann window, hop = fft / 2 apart. Nothing is resampled:
frame t covers the same time at every rate R, the samples n with |n / R - t hop / R0| < hop / R0, under the window

    w(n) = sin(pi / 2 * u),  u = (n - (t - 1) h) / h in [0, 2),  h = hop R / R0 samples, not rounded.

The squares of neighbouring windows add up to sin^2 + cos^2 = 1 at every sample whether h is whole (48 kHz) or not (44.1 kHz). The
discrete transform of such a frame, taken at the network's frequencies and scaled by R0 / R, is what the network would see of the same
sound at R0: both sample one continuous short-time transform. Against resampling that costs nothing, adds no latency, and leaves the
output untouched by any interpolation filter. What resampling does to the top of the band is imitated (`FrameGrid.taper`), because
networks learn from resampled recordings.

A gain of a cell of time and frequency is a filter for the length of a frame; it means the same at every rate, so it is applied to the
transform at R, interpolated in frequency where the bins differ. What lies above the network's band is kept and takes the mean gain of
the band's upper end.

The streams give the part to take away, the inverse transform of (1 - gain) X, not what is left: where the gain is 1 that is exactly
zero, so the output is the input, bit for bit.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from ...errors import RunError

_FRAMES = 512  # of all rows in one call of the network: 4 s of two rows at a hop of 16 ms; more gains no speed and costs memory
_LEAST_FRAMES = 32
_PASSBAND = 0.91  # of the narrower Nyquist frequency: where soxr's filter begins to fall
TOP_BAND = (0.7, 0.88)  # of the same: the band whose gain stands for what lies above it
_MOST_PLACES = 64  # windows kept, of a rate at which frames begin between samples; beyond that they are made anew each time
_MEMORY = 0.98  # of the channels' correlation a frame: with hops of 16 ms half is forgotten after 0.55 s


class Network(Protocol):
    """What is asked of a network; `FrameNetwork` is one."""

    sample_rate: int
    fft: int
    hop: int

    def initial_state(self, rows: int) -> Any: ...

    def run(self, spectrum: np.ndarray, state: Any) -> tuple[np.ndarray, Any]: ...


class FrameGrid:
    """Where the frames of a network lie at another sample rate, and how its frequencies and that rate's bins correspond.

    Args:
        fft: Samples of the network's window, even.
        hop: fft / 2.
        network_rate: Its sample rate, Hz.
        sample_rate: That of the sound, Hz.

    Attributes:
        step: Samples between frames at `sample_rate`, a fraction (numerator, denominator).
        whole: Whether that is a whole number; then frames need no interpolation, neither in time nor in frequency.
        segment: The most samples from a frame to the next.
        size: Samples of the transform at `sample_rate`: two segments.
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
        # Not rounded up to a quicker length: bins next to the network's own matter more. Where a frame is 1411.2 samples, gains applied
        # by transforms of 1412 give what they give at 16 kHz to -50 dB, by transforms of 1440 (for 2 ms less a second) to -33 dB.
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
        self._turn = -2j * np.pi * frequencies / sample_rate  # of phase a sample
        # Frames begin at 0, 1 / denominator, 2 / denominator ... of a sample before their first one: 5 places at 44.1 kHz.
        places = np.arange(self.step[1])
        self._tables = (self._window(places), self._turns(places)) if len(places) <= _MOST_PLACES else None
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
        """The first sample at or after the times (first, first + 1, ...) * step: int64 [count]."""
        numerator, denominator = self.step
        return -(-np.arange(first, first + count, dtype=np.int64) * numerator // denominator)

    def complete(self, samples: int) -> int:
        """How many frames end at or before this sample."""
        return max(0, samples * self.step[1] // self.step[0])

    def covering(self, samples: int) -> int:
        """The number of frames whose overlap gives so many samples."""
        return -(-samples * self.step[1] // self.step[0]) + 1 if samples else 0

    def windows(self, first: int, count: int) -> np.ndarray:
        """float32 [count, size], or [1, size] where all are equal: the windows of frame `first` and those after it."""
        if self.whole and self._tables:
            return self._tables[0]
        places = self._places(first, count)
        return self._tables[0][places] if self._tables else self._window(places)

    def network_spectrum(self, framed: np.ndarray, spectrum: np.ndarray, first: int) -> np.ndarray:
        """What the network sees of windowed frames: complex64 [rows, frames, network bins].

        Args:
            framed: float32 [rows, frames, size], windowed.
            spectrum: Their transform.
            first: Number of the first of them.
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
        """How far before their first sample frames begin, in parts of a sample as many as the step's denominator."""
        return -np.arange(first - 1, first - 1 + count, dtype=np.int64) * self.step[0] % self.step[1]

    def _window(self, places: np.ndarray) -> np.ndarray:
        u = (np.arange(self.size) + places[:, None] / self.step[1]) / self._real_step
        return np.where(u < 2, np.sin(np.pi / 2 * u), 0).astype(np.float32)

    def _turns(self, places: np.ndarray) -> np.ndarray:
        return (np.exp(places[:, None] / self.step[1] * self._turn) * (self._ratio * self.taper)).astype(np.complex64)

    def spread(self, gain: np.ndarray) -> np.ndarray:
        """Gains [..., network bins] at this rate's bins: [..., size // 2 + 1]."""
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
        # Of a complex gain the magnitude: its phase is that of other frequencies. It never amplifies what the network has not seen.
        top = np.minimum(np.abs(gain[..., self._top]).mean(axis=-1, keepdims=True), 1)
        spread += self._above * (top - spread)
        return spread


# Of a rate such as 44.1 kHz its matrix takes some hundredths of a second to make, as long as a short recording takes to enhance.
frame_grid = lru_cache(maxsize=16)(FrameGrid)


class SharedSpectrum:
    """One spectrum that stands for all channels of a recording, so that they can share one mask and the stereo image stays.

    Its magnitude is the root of the channels' mean power: unlike the mean of the signals it does not vanish where two channels have
    opposite polarity, and sound in one channel alone counts. Its phase is that of the sum of the channels, each with the polarity in
    which it lately resembled the loudest one. Equal channels give their own spectrum.
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
        # Where the sum vanishes altogether there is no phase: any will do, and 0 is one.
        safe = size > 1e-20
        return np.where(safe, total * (level / np.where(safe, size, 1)), level).astype(np.complex64)[None]


def limit(gain: np.ndarray, floor: float) -> np.ndarray:
    """Gains that attenuate by no more than `floor` (an amplitude from 0 to 1): max(gain, floor) where they are real.

    A complex gain smaller than the floor is filled up to it with the sound as it was, of which it hears less than a phase that a
    network has no reason to get right. At a floor of 1 nothing is changed at all.
    """
    if floor >= 1:
        return np.ones_like(gain)
    if np.iscomplexobj(gain):
        return gain + np.maximum(np.float32(floor) - np.abs(gain), 0)
    return np.maximum(gain, np.float32(floor))


class GainStream:
    """What a network takes away from sound that arrives piece by piece; any pieces give the same to 1e-6 of the peak.

    Args:
        network: Its gains are applied.
        channels: Rows of the sound.
        sample_rate: Hz; None is the network's.
        floor: The least gain; see `limit`.
        shared: One mask for all channels, from their `SharedSpectrum`; else each channel is a stream of its own.
        recordings: So many recordings, one after another in the rows, of `channels` rows each.

    Attributes:
        latency: Samples at `sample_rate` that must follow a sample, at the most, before its output is known: two hops.
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
        self._start = int(self.grid.starts(-1, 1)[0])  # where it begins; before 0 all is silence
        self._audio = np.zeros((rows, -self._start), np.float32)  # from there on
        self._received = self._given = 0
        self._last = np.zeros((rows, 1, self.grid.size), np.float32)  # the frame before, on its way back
        self._pieces: list[np.ndarray] = []  # behind `_audio`, too short for a frame yet

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float32 [channels, n] -> what is to be taken away from the samples after those given before: float32 [channels, m]."""
        self._pieces.append(np.asarray(audio, np.float32))
        self._received += audio.shape[1]
        return self._run_to(self.grid.complete(self._received))

    def finish(self) -> np.ndarray:
        """The rest, so that as many samples are given as were received. The stream is used up."""
        frames = self.grid.covering(self._received)
        end = int(self.grid.starts(frames, 1)[0])
        self._pieces.append(np.zeros((self.channels, max(0, end - self._received)), np.float32))
        missing = self._received - self._given
        return self._run_to(frames)[:, :missing]

    def _heard(self, spectrum: np.ndarray) -> np.ndarray:
        """What the network hears of the rows: each of them, or a spectrum a recording."""
        if not self._shared:
            return spectrum
        each = np.split(spectrum, len(self._shared))
        return np.concatenate([share(rows) for share, rows in zip(self._shared, each, strict=True)])

    def _run_to(self, frames: int) -> np.ndarray:
        if frames <= self._frame:
            return np.zeros((self.channels, 0), np.float32)
        self._audio = np.concatenate([self._audio, *self._pieces], axis=1)
        self._pieces = []
        given, most = [], max(_LEAST_FRAMES, _FRAMES // max(1, self.channels))
        while self._frame < frames:
            given.append(self._run(min(most, frames - self._frame)))
        removed = given[0] if len(given) == 1 else np.concatenate(given, axis=1)
        self._given += removed.shape[1]
        return removed

    def _run(self, count: int) -> np.ndarray:
        grid, first = self.grid, self._frame
        bounds = grid.starts(first - 1, count + 2)  # frame t begins at bounds[t - first], and is halfway at the next of them
        starts = bounds[:-2]
        index = (starts - self._start)[:, None] + np.arange(grid.size)
        window = grid.windows(first, count)
        framed = self._audio[:, np.minimum(index, self._audio.shape[1] - 1)] * window
        spectrum = np.fft.rfft(framed).astype(np.complex64, copy=False)
        seen = grid.network_spectrum(framed, spectrum, first)
        with np.errstate(all="ignore"):  # what is far beyond full scale may overflow: that is told below
            gain, self._state = self.network.run(self._heard(seen), self._state)
        if not np.isfinite(gain).all():
            raise RunError("The model gives NaN or infinite gains.", hint="the recording is far beyond full scale, or the model is broken")
        part = 1 - grid.spread(limit(gain, self.floor))
        if len(part) not in (1, len(spectrum)):  # a mask a recording
            part = np.repeat(part, len(spectrum) // len(part), axis=0)
        away = np.fft.irfft(part * spectrum, grid.size).astype(np.float32, copy=False) * window
        frames = np.concatenate([self._last, away], axis=1)
        self._last = frames[:, -1:]
        # Between bounds t and t + 1 the second half of one frame and the first half of the next add up.
        lengths = np.diff(bounds[:-1])
        if first == 0:  # what comes before frame 0 lies before the sound
            frames, lengths = frames[:, 1:], lengths[1:]
        else:
            previous = int(bounds[0] - grid.starts(first - 2, 1)[0])
        place = np.arange(grid.segment)
        offsets = np.diff(bounds[:-2]) if first == 0 else np.concatenate([[previous], np.diff(bounds[:-2])])
        falling = np.take_along_axis(frames[:, :-1], (offsets[:, None] + place)[None], axis=2)
        out = falling + frames[:, 1:, : grid.segment]
        out = out.reshape(self.channels, -1) if grid.whole else out[:, place < lengths[:, None]]
        self._frame += count
        begin = int(bounds[-2])
        self._audio = self._audio[:, begin - self._start :].copy()
        self._start = begin
        return out


class AveragedStream:
    """The mean of what a network takes away on several grids of frames that lie evenly between each other.

    Where a frame happens to begin decides much of what is left of the noise in it; what frames that begin elsewhere leave is
    different, and averages out (cycle spinning: Coifman and Donoho 1995). Two grids, hop / 2 apart, gain .2 to .4 dB of SI-SDR. They are
    rows of one call of the network, so the second costs two thirds of the first.

    Args:
        passes: How many grids.
        network, channels, sample_rate, floor, shared: As for `GainStream`.

    Attributes:
        latency: As of `GainStream`, and the distance between the first grid and the last.
    """

    def __init__(self, passes: int, network: Network, channels: int, sample_rate: int, *, floor: float = 0.0, shared: bool = False):
        self.channels = channels
        self._stream = GainStream(network, channels, sample_rate, floor=floor, shared=shared, recordings=passes)
        # The same frames see the sound so many samples later.
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
