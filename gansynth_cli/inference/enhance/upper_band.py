"""The band above a model of windows: what the model did to the top of its own band is done to what it never saw."""

from __future__ import annotations

import numpy as np

from .gain_stream import TOP_BAND, FrameGrid, GainStream

_SECONDS = 0.016  # from gain to gain


class BandAbove:
    """Gives what is to be taken away from the band above `model_rate` / 2 of a recording at a higher rate.

    Between the two bands there is a cross-fade, below the frequencies that resampling weakens: there the model's difference ends
    (`below`) and this one begins, so that nothing is taken away twice.

    The gain of a frame is the root of the ratio of the powers, after and before, that the upper end of the model's band has in it; at
    most 1. Models that make sound rather than masks have no better measure.

    Args:
        channels: Rows, independent of each other.
        model_rate, sample_rate: Hz, the second above the first.
    """

    def __init__(self, channels: int, model_rate: int, sample_rate: int):
        hop = max(1, round(_SECONDS * model_rate))
        self._channels = channels
        self._gains = _Gains(channels, model_rate, hop)
        self._listening = GainStream(self._gains.listener, 2 * channels, model_rate)
        self._removing = GainStream(self._gains.teller, channels, sample_rate)
        self._removing.grid = _OnlyAbove(2 * hop, hop, model_rate, sample_rate)
        self._keeping = GainStream(_Nothing(self._gains, model_rate, hop), channels, sample_rate)
        self._keeping.grid = _OnlyBelow(2 * hop, hop, model_rate, sample_rate)
        self._pending = np.zeros((channels, 0), np.float32)
        self._taken = 0

    def hear(self, dry: np.ndarray, enhanced: np.ndarray) -> None:
        """The next samples before and after the model, float32 [channels, n], at its rate."""
        self._listening.process(np.concatenate([dry, enhanced]))

    def below(self, removed: np.ndarray, last: bool = False) -> np.ndarray:
        """What the model takes away, at the recording's rate -> the part of it below the cross-fade; with `last` all that remains."""
        kept = self._keeping.process(removed)
        return np.concatenate([kept, self._keeping.finish()], axis=1) if last else kept

    def process(self, audio: np.ndarray) -> np.ndarray:
        """The next samples of the recording -> what to take away of those before, as far as it is known: float32 [channels, m]."""
        self._pending = np.concatenate([self._pending, audio], axis=1)
        known = int(self._removing.grid.starts(self._gains.count, 1)[0])
        ready = min(max(0, known - self._taken), self._pending.shape[1])
        now, self._pending = self._pending[:, :ready], self._pending[:, ready:]
        self._taken += ready
        return self._removing.process(now)

    def finish(self) -> np.ndarray:
        """The rest."""
        self._listening.finish()
        first = self._removing.process(self._pending)
        return np.concatenate([first, self._removing.finish()], axis=1)


class _Gains:
    """Gains frame by frame, from the stream that hears to the one that applies."""

    def __init__(self, channels: int, sample_rate: int, hop: int):
        self.listener, self.teller = _Listener(self, sample_rate, hop), _Teller(self, sample_rate, hop)
        self.count = 0
        self.waiting = [np.zeros((channels, 0), np.float32)]
        self._last = np.ones((channels, 1), np.float32)

    def put(self, gains: np.ndarray) -> None:
        self.count += gains.shape[1]
        self.waiting.append(gains)

    def take(self, frames: int) -> np.ndarray:
        have = np.concatenate(self.waiting, axis=1)
        missing = frames - have.shape[1]
        if missing > 0:  # the recording's end may be a frame or two later at its own rate
            have = np.concatenate([have, np.repeat(self._last, missing, axis=1)], axis=1)
        self.waiting = [have[:, frames:]]
        self._last = have[:, frames - 1 : frames]
        return have[:, :frames]


class _Part:
    def __init__(self, gains: _Gains, sample_rate: int, hop: int):
        self.gains, self.sample_rate, self.fft, self.hop = gains, sample_rate, 2 * hop, hop

    def initial_state(self, rows: int) -> None:
        return None


class _Listener(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        bins = spectrum.shape[-1]
        top = spectrum[..., round(TOP_BAND[0] * bins) : round(TOP_BAND[1] * bins)]
        power = (top.real**2 + top.imag**2).sum(axis=-1)
        dry, enhanced = np.split(power, 2)
        self.gains.put(np.sqrt(np.minimum(enhanced / np.maximum(dry, 1e-20), 1)).astype(np.float32))
        return np.ones(spectrum.shape, np.float32), None


class _Teller(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        return self.gains.take(spectrum.shape[1])[..., None], None


class _Nothing(_Part):
    def run(self, spectrum: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        return np.zeros((*spectrum.shape[:-1], 1), np.float32), None


class _OnlyBelow(FrameGrid):
    def spread(self, gain: np.ndarray) -> np.ndarray:
        """1 above the network's band, 0 in it: what is taken away then is what lies in it."""
        assert self._above is not None
        return np.broadcast_to(self._above, (*gain.shape[:-1], len(self._above)))


class _OnlyAbove(FrameGrid):
    def spread(self, gain: np.ndarray) -> np.ndarray:
        """[..., 1] -> that gain above the network's band, 1 in it."""
        assert self._above is not None
        return 1 + self._above * (gain - 1)
