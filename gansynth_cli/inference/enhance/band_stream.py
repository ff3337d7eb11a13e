"""Streams that add the band above an edge: overlapping frames, of which a network sees some on either side. No TensorFlow.

Whatever the blocks, the frames that a network sees are the same, and beyond both ends there is silence: blocks equal a whole recording to
rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ...errors import RunError
from ...models import bandwidth_networks as networks
from ...models.bandwidth_settings import BandwidthSettings
from ...signal import band_extension as features
from ...signal import erb

_BLOCK = 192  # frames that go through the network at once: the frames on either side are computed twice


class BandStream(ABC):
    """A stream of minus the band to be added, in the form of `enhancers.RemovedStream`.

    Args:
        channels: Rows; each is extended by itself.
        window, hop: Of the frames, samples.
        halo: Frames on either side that the network sees.

    Attributes:
        latency: Samples that must follow a sample, at the most, before its output is known.
    """

    def __init__(self, channels: int, window: int, hop: int, halo: int):
        self.channels, self._window, self._hop, self._halo = channels, window, hop, halo
        self.latency = (halo + _BLOCK) * hop + window
        self._skip = window - hop
        self._audio = np.zeros((channels, self._skip), np.float32)
        self._tail = np.zeros((channels, self._skip), np.float32)
        self._context: np.ndarray | None = None  # None before the first frame
        self._frames = np.zeros((channels, 0))
        self._received = self._given = 0

    @abstractmethod
    def _analyse(self, framed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames of samples [channels, n, window] -> what the network sees of them [channels, n, any], and what `_make` needs beside."""

    @abstractmethod
    def _silence(self) -> np.ndarray:
        """What the network sees of a silent frame, [any]."""

    @abstractmethod
    def _make(self, context: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """[channels, n + 2 halo, any] and [channels, n, ...] -> windowed frames of samples to be added, [channels, n, window]."""

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Take the next samples, float [channels, n], and return minus the band of the next finished ones, float32 [channels, m]."""
        self._received += audio.shape[1]
        return self._feed(np.asarray(audio, np.float32), last=False)

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples have been returned as were taken. The stream is used up."""
        front = self._window - self._hop
        samples = -(-(front + self._received) // self._hop) * self._hop + front  # what all frames that overlap the audio cover
        rest = self._feed(np.zeros((self.channels, samples - front - self._received), np.float32), last=True)
        return rest[:, : self._received - self._given]

    def _feed(self, audio: np.ndarray, last: bool) -> np.ndarray:
        self._audio = np.concatenate([self._audio, audio], axis=1)
        count = max(0, (self._audio.shape[1] - self._window) // self._hop + 1)
        if count:
            cut = np.lib.stride_tricks.sliding_window_view(self._audio, self._window, axis=1)[:, : count * self._hop : self._hop]
            context, frames = self._analyse(cut)
            before = self._around() if self._context is None else self._context
            self._context = np.concatenate([before, context], axis=1)
            self._frames = frames if not self._frames.shape[1] else np.concatenate([self._frames, frames], axis=1)
            self._audio = self._audio[:, count * self._hop :].copy()
        if self._context is None:
            return np.zeros((self.channels, 0), np.float32)
        if last:
            self._context = np.concatenate([self._context, self._around()], axis=1)
        context, frames, done, first = self._context, self._frames, [], 0
        while (ready := context.shape[1] - 2 * self._halo - first) >= _BLOCK or (last and ready > 0):
            n = min(ready, _BLOCK)
            made = self._make(context[:, first : first + n + 2 * self._halo], frames[:, first : first + n])
            done.append(self._overlap_add(made))
            first += n
        self._context, self._frames = context[:, first:], frames[:, first:]
        added = np.concatenate(done, axis=1) if done else np.zeros((self.channels, 0), np.float32)
        skipped = min(self._skip, added.shape[1])
        self._skip -= skipped
        self._given += 0 if last else added.shape[1] - skipped
        return -added[:, skipped:]

    def _around(self) -> np.ndarray:
        silence = self._silence()
        return np.broadcast_to(silence, (self.channels, self._halo, len(silence)))

    def _overlap_add(self, made: np.ndarray) -> np.ndarray:
        if not np.isfinite(made).all():
            raise RunError("The bandwidth model gives NaN or infinite samples.", hint="use an earlier checkpoint of the run")
        n, hop = made.shape[1], self._hop
        total = np.zeros((self.channels, (n - 1) * hop + self._window), np.float32)
        total[:, : self._tail.shape[1]] = self._tail
        for part in range(self._window // hop):  # whole hops at once
            piece = made[:, :, part * hop : (part + 1) * hop]
            total[:, part * hop : (part + n) * hop] += piece.reshape(self.channels, n * hop)
        self._tail = total[:, n * hop :].copy()
        return total[:, : n * hop]


class EnvelopeStream(BandStream):
    """Runs an "envelope" network (`models.bandwidth_settings`) on audio whose rate has whole frames of 20 ms.

    Args:
        settings, ops: The network.
        channels: Rows.
        sample_rate: Hz.
        edge_hz: Highest frequency inside the band.
        level_db: Level of the recording, dB of its mean square while active.
    """

    def __init__(self, settings: BandwidthSettings, ops: NumpyOperations, channels: int, sample_rate: int, edge_hz: float, level_db: float):
        layout = settings.layout(sample_rate)
        assert layout is not None
        super().__init__(channels, layout.frame, layout.hop, settings.halo)
        self._settings, self._ops, self._layout, self._level = settings, ops, layout, np.float32(level_db)
        window = erb.vorbis_window(layout.frame)
        self._in, self._out = window / np.float32(layout.frame), window * np.float32(layout.frame)
        self._spread = settings.spread[:, : layout.bins]
        self._cut = features.cut_bin(edge_hz * settings.frame / settings.sample_rate)
        self._weight = features.crossover(self._cut, layout.bins)
        self._matrix, ends = features.band_matrix(settings.input_widths, layout.bins)
        self._known = (ends <= self._cut).astype(np.float32)
        top = np.arange(layout.bins)
        self._top = ((top >= features.TOP_SHARE * self._cut) & (top <= self._cut)).astype(np.float32)
        self._top /= max(1.0, self._top.sum())

    def _spectra(self, framed: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(framed * self._in).astype(np.complex64, copy=False)
        if self._layout.halves_nyquist:
            spectrum[..., -1] *= np.float32(0.5)
        return spectrum

    def _analyse(self, framed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spectrum, bent = self._spectra(framed), self._spectra(np.abs(framed))
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        top = power @ self._top
        known = self._known * self._scaled(power @ self._matrix) + (1 - self._known) * np.float32(features.FEATURE_FLOOR)
        context = np.concatenate([known, np.broadcast_to(self._known, known.shape), self._scaled(top[..., None])], axis=-1)
        smooth = features.smoothed(np.square(bent.real) + np.square(bent.imag))
        bent /= np.sqrt(smooth + np.float32(features.MIN_MAGNITUDE**2))
        level = np.float32(0.5) * np.log(top + np.float32(features.MIN_POWER))
        return context.astype(np.float32), np.concatenate([bent, spectrum, level[..., None]], axis=-1)

    def _scaled(self, power: np.ndarray) -> np.ndarray:
        return features.feature_scale(np.float32(10) * np.log10(power + np.float32(features.MIN_POWER)) - self._level)

    def _silence(self) -> np.ndarray:
        floor = np.float32(features.FEATURE_FLOOR)
        return np.concatenate([np.full(len(self._known), floor), self._known, [floor]]).astype(np.float32)

    def _make(self, context: np.ndarray, frames: np.ndarray) -> np.ndarray:
        bins = self._layout.bins
        bent, spectrum, level = frames[..., :bins], frames[..., bins : 2 * bins], frames[..., -1:].real
        levels = networks.levels(self._ops, context, self._settings) + level
        added = self._weight * (np.exp(levels @ self._spread) * bent - spectrum)
        if self._layout.halves_nyquist:
            added[..., -1] *= np.float32(2)
        return np.fft.irfft(added, self._layout.frame).astype(np.float32, copy=False) * self._out


class SpectrumStream(BandStream):
    """Runs an "ap-bwe" network at its own rate. Arguments as for `EnvelopeStream`."""

    def __init__(self, settings: BandwidthSettings, ops: NumpyOperations, channels: int, edge_hz: float):
        super().__init__(channels, settings.window, settings.hop, settings.halo)
        self._settings, self._ops = settings, ops
        self._hann = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(settings.window) / settings.window)).astype(np.float32)
        self._total = np.square(self._hann.reshape(-1, settings.hop)).sum(axis=0).mean()
        self._before = (settings.fft - settings.window) // 2
        cut = features.cut_bin(edge_hz * settings.fft / settings.sample_rate)
        self._weight = features.crossover(cut, settings.fft // 2 + 1)

    def _analyse(self, framed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = self._settings
        padded = np.pad(framed * self._hann, [(0, 0), (0, 0), (self._before, s.fft - s.window - self._before)])
        spectrum = np.fft.rfft(padded).astype(np.complex64, copy=False)
        return spectrum, spectrum

    def _silence(self) -> np.ndarray:
        return np.zeros(self._settings.fft // 2 + 1, np.complex64)

    def _make(self, context: np.ndarray, frames: np.ndarray) -> np.ndarray:
        s = self._settings
        magnitude = np.log(np.abs(context) + np.float32(1e-4))
        log_magnitude, phase = networks.magnitude_and_phase(self._ops, magnitude, np.angle(context), s)
        added = self._weight * (np.exp(log_magnitude + 1j * phase) - frames)
        made = np.fft.irfft(added, s.fft)[..., self._before : self._before + s.window]
        return (made * self._hann / self._total).astype(np.float32)


class NumpyOperations:
    """`bandwidth_networks.Operations` in numpy, on weights by name."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights = weights

    def dense(self, x, name):
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]

    def convolution(self, x, name):
        kernel = self._weights[f"{name}/kernel"]
        frames = x.shape[1] - len(kernel) + 1
        return sum(x[:, k : k + frames] @ tap for k, tap in enumerate(kernel)) + self._weights[f"{name}/bias"]

    def depthwise(self, x, name):
        kernel = self._weights[f"{name}/kernel"]
        frames = x.shape[1] - len(kernel) + 1
        y = x[:, :frames] * kernel[0]
        for k in range(1, len(kernel)):
            y += x[:, k : k + frames] * kernel[k]
        y += self._weights[f"{name}/bias"]
        return y

    def norm(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        centred /= np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(1e-6))
        return centred * self._weights[f"{name}/gain"] + self._weights[f"{name}/bias"]

    def gelu(self, x):
        from scipy.special import erf  # late: 0.1 s

        return x * (np.float32(0.5) * erf(x * np.float32(0.5**0.5)) + np.float32(0.5))

    def scale(self, x, name):
        return x * self._weights[name]

    def atan2(self, y, x):
        return np.arctan2(y, x)
