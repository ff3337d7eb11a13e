"""The band above a model of windows: it is attenuated as the model attenuated the top of its own band."""

from __future__ import annotations

import numpy as np

from .gain_stream import TOP_BAND, FrameGrid, GainStream

_SECONDS = 0.016  # from gain to gain


class BandAbove:
    """A stream of what is to be removed from the band above `model_rate` / 2 of a recording at a higher rate.

    The two bands are cross-faded below the frequencies that resampling weakens: there the model's difference ends (`below`) and this
    one begins, so that nothing is removed twice.

    The gain of a frame is the root of the power ratio, after to before, at the upper end of the model's band; at most 1. Models that
    output waveforms instead of masks offer no better measure.

    Args:
        channels: Rows, independent of each other.
        model_rate, sample_rate: Hz, the second above the first.
    """

    def __init__(self, channels: int, model_rate: int, sample_rate: int):
        hop = max(1, round(_SECONDS * model_rate))
        self._gains = _Gains(channels, model_rate, hop)
        self._measuring = GainStream(self._gains.meter, 2 * channels, model_rate)
        self._removing = GainStream(self._gains.source, channels, sample_rate)
        self._removing.grid = _OnlyAbove(2 * hop, hop, model_rate, sample_rate)
        self._keeping = GainStream(_Zero(self._gains, model_rate, hop), channels, sample_rate)
        self._keeping.grid = _OnlyBelow(2 * hop, hop, model_rate, sample_rate)
        self._pending = np.zeros((channels, 0), np.float32)
        self._taken = 0

    def measure(self, dry: np.ndarray, enhanced: np.ndarray) -> None:
        """Take the next samples before and after the model, float32 [channels, n], at its rate."""
        self._measuring.process(np.concatenate([dry, enhanced]))

    def below(self, removed: np.ndarray, last: bool = False) -> np.ndarray:
        """Return the part below the cross-fade of what the model removes, at the recording's rate; with `last` all that remains."""
        kept = self._keeping.process(removed)
        return np.concatenate([kept, self._keeping.finish()], axis=1) if last else kept

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float32 [channels, n] -> float32 [channels, m], what to remove from the samples after those returned so far; m may be 0."""
        self._pending = np.concatenate([self._pending, audio], axis=1)
        known = int(self._removing.grid.starts(self._gains.count, 1)[0])
        ready = min(max(0, known - self._taken), self._pending.shape[1])
        now, self._pending = self._pending[:, :ready], self._pending[:, ready:]
        self._taken += ready
        return self._removing.process(now)

    def finish(self) -> np.ndarray:
        """Return the rest."""
        self._measuring.finish()
        first = self._removing.process(self._pending)
        return np.concatenate([first, self._removing.finish()], axis=1)


class _Gains:
    """Carries gains, frame by frame, from the stream that measures them to the one that applies them."""

    def __init__(self, channels: int, sample_rate: int, hop: int):
        self.meter, self.source = _Meter(self, sample_rate, hop), _Source(self, sample_rate, hop)
        self.count = 0
        self.waiting = [np.zeros((channels, 0), np.float32)]
        self._last = np.ones((channels, 1), np.float32)

    def put(self, gains: np.ndarray) -> None:
        self.count += gains.shape[1]
        self.waiting.append(gains)

    def take(self, frames: int) -> np.ndarray:
        have = np.concatenate(self.waiting, axis=1)
        missing = frames - have.shape[1]
        if missing > 0:  # at its own rate the recording may end a frame or two later
            have = np.concatenate([have, np.repeat(self._last, missing, axis=1)], axis=1)
        self.waiting = [have[:, frames:]]
        self._last = have[:, frames - 1 : frames]
        return have[:, :frames]


class _Part:
    """A network of gains, as `GainStream` runs it, that shares `_Gains` with another."""

    def __init__(self, gains: _Gains, sample_rate: int, hop: int):
        self.gains, self.sample_rate, self.fft, self.hop = gains, sample_rate, 2 * hop, hop

    def initial_state(self, rows: int) -> None:
        return None


class _Meter(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        bins = spectrum.shape[-1]
        top = spectrum[..., round(TOP_BAND[0] * bins) : round(TOP_BAND[1] * bins)]
        power = (top.real**2 + top.imag**2).sum(axis=-1)
        dry, enhanced = np.split(power, 2)
        self.gains.put(np.sqrt(np.minimum(enhanced / np.maximum(dry, 1e-20), 1)).astype(np.float32))
        return np.ones(spectrum.shape, np.float32), None


class _Source(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        return self.gains.take(spectrum.shape[1])[..., None], None


class _Zero(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        return np.zeros((*spectrum.shape[:-1], 1), np.float32), None


class _OnlyBelow(FrameGrid):
    def spread(self, gain: np.ndarray) -> np.ndarray:
        """Return 1 above the network's band and 0 in it: what lies in the band is removed."""
        assert self._above is not None
        return np.broadcast_to(self._above, (*gain.shape[:-1], len(self._above)))


class _OnlyAbove(FrameGrid):
    def spread(self, gain: np.ndarray) -> np.ndarray:
        """Return the gain [..., 1] above the network's band and 1 in it."""
        assert self._above is not None
        return 1 + self._above * (gain - 1)
