"""A deep-filtering denoiser without TensorFlow: reads the `.keras` file of a `DeepFilterDenoiser` and runs it in numpy, in a stream.

Frames of 20 ms every 10 ms. When frame t is complete the network gives the mask and the filters of frame t - 2 (see
`models.deep_filter_denoiser`), so a sample's output is known at most 40 ms after it. Rates whose frames have whole samples (8, 16, 24,
32, 44.1, 48 kHz) are processed as they are, and the bins above their band are zero; others are resampled.

Like the other streams of `enhance`, this one returns the removed part, noisy minus clean. Limiting the attenuation to L dB, which mixes
10^(-L / 20) of the noisy spectrum back in, is then a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import RunError
from ...models.deep_filter_settings import DeepFilterSettings
from ...models.model_file import ModelFile
from ...signal import erb
from .deep_filter_network import DeepFilterNetwork
from .gain_stream import SharedSpectrum
from .resampled_stream import ResampledStream

POST_FILTER = 0.02  # the strength that the authors offer
_BLOCK = 64  # frames that go through the network at once: what they make fits the processor's cache, and memory stays bounded
_LEAST_MAGNITUDE = np.float32(1e-12)  # after minutes of digital silence the running mean would underflow and divide by zero
_SMALL = np.float32(1e-12)


class DeepFilterModel:
    """A denoiser read from a file.

    Attributes:
        settings: Sizes and feature constants.
        network: The network, which holds no state.

    Example::

        model = DeepFilterModel.load(find_model("runs/mine"))
        stream = model.stream(channels=1, sample_rate=16000)
        removed = np.concatenate([stream.process(noisy), stream.finish()], axis=1)
        clean = noisy - removed
    """

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray]):
        self.settings = DeepFilterSettings.from_dict(config["settings"])
        self.network = DeepFilterNetwork(self.settings, weights)

    @property
    def sample_rate(self) -> int:
        """Hz of the full band."""
        return self.settings.sample_rate

    @property
    def latency_samples(self) -> int:
        """Samples at `sample_rate` that must follow a sample before its output is known: frame, overlap and look-ahead, four hops."""
        return (2 + self.settings.lookahead) * self.settings.hop

    @classmethod
    def load(cls, model: ModelFile) -> DeepFilterModel:
        """Read the network of a saved `DeepFilterDenoiser`.

        Raises:
            RunError: The file is damaged, lacks weights, or holds weights of another shape.
        """
        stored = model.weights()
        try:
            weights = {name.replace("/vars/", "/"): np.asarray(array, np.float32) for name, array in stored.items()}
            return cls(model.config, weights)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{model.file} is damaged or was written by another version: {error}.", hint="copy the file again, or train again"
            ) from error

    def stream(self, channels: int, sample_rate: int | None = None, **options: Any) -> DeepFilterStream | ResampledStream:
        """Open a stream for audio of any rate; `options` as for `DeepFilterStream`."""
        rate = sample_rate or self.sample_rate
        if self.settings.layout(rate):
            return DeepFilterStream(self, channels, rate, **options)
        return ResampledStream(DeepFilterStream(self, channels, **options), self.sample_rate, rate)

    def enhance(self, audio: np.ndarray, sample_rate: int | None = None, **options: Any) -> np.ndarray:
        """Denoise a whole recording: float [channels, samples] -> the same shape."""
        stream = self.stream(len(audio), sample_rate, **options)
        return audio - np.concatenate([stream.process(audio), stream.finish()], axis=1)


class Normaliser:
    """The features of spectra in a stream: running means with their state."""

    def __init__(self, settings: DeepFilterSettings, rows: int):
        self._settings = settings
        first = np.concatenate([erb.first_levels(settings.bands), erb.first_magnitudes(settings.filter_bins)])
        self._mean = np.tile(first, (rows, 1))

    def __call__(self, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """complex64 [frames, rows, bins] -> (levels float32 [frames, rows, bands], float32 [frames, rows, filter bins, 2])."""
        s = self._settings
        frames, rows, bins = spectrum.shape
        kept = min(bins, s.filter_bins)
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        values = np.zeros((frames, rows, s.bands + s.filter_bins), np.float32)
        values[..., : s.bands] = erb.band_levels(power, s.band_widths)
        np.sqrt(power[..., :kept], out=values[..., s.bands : s.bands + kept])
        means = self._means(values)
        levels = values[..., : s.bands] - means[..., : s.bands]
        levels /= np.float32(erb.LEVEL_SCALE_DB)
        low = np.zeros((frames, rows, s.filter_bins), np.complex64)
        np.divide(spectrum[..., :kept], np.sqrt(np.maximum(means[..., s.bands : s.bands + kept], _LEAST_MAGNITUDE)), out=low[..., :kept])
        return levels, low.view(np.float32).reshape(frames, rows, -1, 2)

    def _means(self, values: np.ndarray) -> np.ndarray:
        """Run the recursion frame by frame in single precision, as the authors' runtime does. In one product over the block, which rounds
        differently, the output agrees with theirs to 90 dB in place of 104 at worst."""
        past = np.float32(self._settings.past)
        means = values * (np.float32(1) - past)
        mean = self._mean
        for now in means:
            now += mean * past
            mean = now
        self._mean = mean.copy()
        return means


class DeepFilterStream:
    """Computes the removed part of audio that arrives piece by piece; any pieces give the same to 1e-6 of the peak.

    Args:
        model: The denoiser.
        channels: Rows of the audio.
        sample_rate: Hz, one that has a `FrameLayout`; None is the model's.
        floor: Attenuation limit as an amplitude from 0 to 1: the share of the noisy audio that is mixed back in.
        post_filter: Strength beta of the post filter (Valin et al. 2020, "A perceptually-motivated approach for low-complexity, real-time
            enhancement of fullband speech", envelope postfiltering), which attenuates what is mostly noise further; 0 is none.
        shared: The rows are channels of one recording: the network sees their `SharedSpectrum`, and all get the same mask and filters, so
            the stereo image stays. Else each row is a stream of its own.

    Attributes:
        latency: Samples that must follow a sample, at the most, before its output is known: four hops.

    Raises:
        ValueError: The rate has no whole frames.
    """

    def __init__(
        self,
        model: DeepFilterModel,
        channels: int,
        sample_rate: int | None = None,
        *,
        floor: float = 0.0,
        post_filter: float = 0.0,
        shared: bool = False,
    ):
        s = self.settings = model.settings
        self.sample_rate = sample_rate or s.sample_rate
        layout = s.layout(self.sample_rate)
        if layout is None:
            raise ValueError(f"{self.sample_rate} Hz has no whole frames of {s.frame / s.sample_rate} s; resample to {s.sample_rate} Hz")
        self.layout, self.channels, self.floor, self.post_filter = layout, channels, float(floor), float(post_filter)
        self.latency = (2 + s.lookahead) * layout.hop
        self._network = model.network
        self._share = SharedSpectrum(channels) if shared and channels > 1 else None
        rows = 1 if self._share else channels
        self._state, self._normalise = model.network.initial_state(rows), Normaliser(s, rows)
        window = erb.vorbis_window(layout.frame)
        self._analysis = window / np.float32(layout.frame)
        self._synthesis = window * np.float32(layout.frame)
        self._band_of_bin = np.repeat(np.arange(s.bands), s.band_widths)[: layout.bins]
        self._audio = np.zeros((channels, layout.hop), np.float32)  # from the next frame's first sample on
        self._pieces: list[np.ndarray] = []  # behind `_audio`, too short for a frame yet
        self._past = np.zeros((s.filter_taps - 1, channels, layout.bins), np.complex64)  # spectra
        self._half = np.zeros((channels, layout.hop), np.float32)  # the second half of the last frame made
        self._skip = (1 + s.lookahead) * layout.hop  # samples of the overlapped frames that lie before the sound
        self._received = self._waiting = self._given = 0

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 [channels, n], and return the removed part of the next finished ones, float32 [channels, m]."""
        self._received += audio.shape[1]
        return self._feed(np.asarray(audio, np.float32))

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples have been returned as were taken. The stream is used up."""
        missing = self._received - self._given
        frames = -(-self._received // self.layout.hop) + 1 + self.settings.lookahead
        rest = self._feed(np.zeros((self.channels, max(0, frames * self.layout.hop - self._received)), np.float32))
        return rest[:, :missing]

    def _feed(self, audio: np.ndarray) -> np.ndarray:
        hop = self.layout.hop
        self._pieces.append(audio)
        self._waiting += audio.shape[1]
        frames = self._waiting // hop
        if not frames:
            return np.zeros((self.channels, 0), np.float32)
        whole = np.concatenate([self._audio, *self._pieces], axis=1)
        self._pieces = []
        given = [self._block(whole[:, first * hop : (min(first + _BLOCK, frames) + 1) * hop]) for first in range(0, frames, _BLOCK)]
        self._audio = whole[:, frames * hop :].copy()
        self._waiting -= frames * hop
        removed = given[0] if len(given) == 1 else np.concatenate(given, axis=1)
        skipped = min(self._skip, removed.shape[1])
        self._skip -= skipped
        self._given += removed.shape[1] - skipped
        return removed[:, skipped:]

    def _block(self, audio: np.ndarray) -> np.ndarray:
        """[channels, (frames + 1) hop] -> the next frames * hop samples to take away."""
        s, layout, channels = self.settings, self.layout, self.channels
        halves = audio.reshape(channels, -1, layout.hop).swapaxes(0, 1)
        frames = len(halves) - 1
        framed = np.concatenate([halves[:-1], halves[1:]], axis=2)
        framed *= self._analysis
        with np.errstate(all="ignore"):  # what is far beyond full scale may overflow: that is told below
            spectrum = np.fft.rfft(framed).astype(np.complex64, copy=False)
            if layout.halves_nyquist:
                spectrum[..., -1] *= np.float32(0.5)
            heard = spectrum
            if self._share:
                heard = self._share(spectrum.swapaxes(0, 1)).swapaxes(0, 1)
            mask, taps = self._network.run(*self._normalise(heard), self._state)
            history = np.concatenate([self._past, spectrum])
            self._past = history[frames:]
            noisy = history[s.filter_taps - 1 - s.lookahead :][:frames]
            away = self._removed(noisy, history, mask, taps)
        if layout.halves_nyquist:
            away[..., -1] *= np.float32(2)
        made = np.fft.irfft(away, layout.frame).astype(np.float32, copy=False)
        made *= self._synthesis
        out = made[..., : layout.hop].copy()
        out[0] += self._half
        out[1:] += made[:-1, :, layout.hop :]
        self._half = made[-1, :, layout.hop :].copy()
        if not np.isfinite(out).all():
            raise RunError(
                "The model gives NaN or infinite samples.", hint="the recording is far beyond full scale, or the model is broken"
            )
        if self.floor:
            out *= np.float32(1 - self.floor)
        return out.swapaxes(0, 1).reshape(channels, -1)

    def _removed(self, noisy: np.ndarray, history: np.ndarray, mask: np.ndarray, taps: np.ndarray) -> np.ndarray:
        """complex64 [frames, channels, bins]: noisy minus clean."""
        s = self.settings
        frames, low = len(noisy), min(s.filter_bins, self.layout.bins)
        clean = np.empty_like(noisy)
        np.multiply(noisy[..., low:], mask[..., self._band_of_bin[low:]], out=clean[..., low:])
        tap = np.empty((*taps.shape[1:3], low), np.complex64)
        filtered = np.zeros((*noisy.shape[:2], low), np.complex64)
        for k in range(s.filter_taps):
            tap.real, tap.imag = taps[2 * k, ..., :low], taps[2 * k + 1, ..., :low]
            filtered += tap * history[k : k + frames, :, :low]
        clean[..., :low] = filtered
        if self.post_filter:
            top = min(s.bins - 1, clean.shape[-1])  # the runtime works on four bins at a time and leaves the last one out
            clean[..., :top] *= _post_filter(clean[..., :top], noisy[..., :top], np.float32(self.post_filter))
        return np.subtract(noisy, clean, out=clean)


def _post_filter(clean: np.ndarray, noisy: np.ndarray, beta: np.float32) -> np.ndarray:
    """Compute factors (1 + beta) / (1 + beta (g / s)^2) for gains g, with s = g sin(pi g / 2): small gains become smaller."""
    gain = np.clip(np.abs(clean) / (np.abs(noisy) + _SMALL), _SMALL, np.float32(1))
    ratio = np.sin(np.float32(np.pi / 2) * gain)  # s / g
    return (1 + beta) / (1 + beta / np.square(ratio))
