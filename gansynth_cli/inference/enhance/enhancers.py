"""Trained enhancers behind one interface: `open_enhancer` opens a model of any class in `OPENERS`.

To add a class of models: subclass `Enhancer`, add its opener to `OPENERS` (and to `TENSORFLOW_CLASSES` if running it takes TensorFlow),
and its name to `ENHANCERS` and `USES` in `models.model_file`. Files, pipes, live audio and the Python API then take it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...models.model_file import ENHANCERS, ModelFile, bundled_model, find_model
from .gain_stream import AveragedStream, GainStream, Network
from .options import MAX_STRENGTH_DB, PASSES
from .window_stream import Call, WindowStream

if TYPE_CHECKING:
    from .deep_filter import DeepFilterModel

_WINDOW_BATCH = 8
_MIN_OFFSET = 0.1  # of the root mean square beside it; a smaller offset costs nothing
_PARTS = 5  # of the start, whose means are compared: an offset is the same in all
MIN_FLOOR = 10.0 ** (-MAX_STRENGTH_DB / 20) * 1.001  # the largest strength means no limit


class RemovedStream(Protocol):
    """A stream that yields the part of the audio to be removed, aligned to the input.

    Attributes:
        channels: Rows.
        latency: Maximum number of samples that must follow a sample before its output is known.
    """

    channels: int
    latency: int

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [channels, n] -> float32 [channels, m], for the samples after those returned so far; m may be 0."""
        ...

    def finish(self) -> np.ndarray:
        """Return the rest, so that as many samples come out as went in."""
        ...


class EnhancerStream:
    """A stream of enhanced audio, aligned: sample n of the output belongs to sample n of the input, and as many come out as go in.

    Args:
        core: What is to be removed.
        mix: From 0, the unprocessed audio, to 1.
        start: Samples that are awaited before the first output. Their mean, if it is a constant offset, is taken away from all that the
            core hears, and removed.
        mirrored: The core hears these samples backwards first: a recurrent network has to hear noise for a while before it tells it from
            speech.
        floor: Amplitude to which an offset is reduced, as noise is.

    Attributes:
        latency: Maximum number of samples, at the rate of the audio, that must follow a sample before its output is known, the first
            `start` apart.
    """

    def __init__(self, core: RemovedStream, mix: float = 1.0, *, start: int = 0, mirrored: bool = False, floor: float = 0.0):
        self._core, self._mix = core, np.float32(mix)
        self.latency = core.latency
        self._dry: np.ndarray | None = None
        self._held: np.ndarray | None = np.zeros((core.channels, 0), np.float32) if start else None
        self._start, self._mirrored, self._skip, self._floor = start, mirrored, 0, floor
        self._offset: np.ndarray | None = None  # [rows, 1]

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [rows, n] -> float [rows, m], the next enhanced samples in the input's type; m may be 0."""
        dry, removed = self.split(audio)
        return dry - removed

    def finish(self) -> np.ndarray:
        """Return the rest. The stream is used up."""
        dry, removed = self.finish_split()
        return dry - removed

    def split(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `process`, but return the next samples unprocessed, and what is to be subtracted from them."""
        self._dry = audio if self._dry is None or not self._dry.shape[1] else np.concatenate([self._dry, audio], axis=1)
        if self._held is not None:
            self._held = np.concatenate([self._held, audio], axis=1)
            if self._held.shape[1] < self._start:
                return self._pair(np.zeros((self._core.channels, 0), np.float32))
            audio = self._begin()
        return self._pair(self._heard(audio))

    def _begin(self) -> np.ndarray:
        """Measure the offset, and let the core hear the start of the audio backwards; return what is held."""
        held, self._held = self._held, None
        assert held is not None
        start = held[:, : self._start]
        if start.shape[1] >= _PARTS:
            offset = _offset_of(start)
            self._offset = offset.astype(np.float32) if offset.any() else None
        if self._mirrored:
            backwards = start[:, :0:-1]  # without the first sample, which follows
            self._skip = backwards.shape[1]
            self._heard(backwards)
        return held

    def _heard(self, audio: np.ndarray) -> np.ndarray:
        """Return what to remove, once the lead is over."""
        return self._removed(self._core.process(audio if self._offset is None else audio - self._offset))

    def _removed(self, removed: np.ndarray) -> np.ndarray:
        skipped = min(self._skip, removed.shape[1])
        self._skip -= skipped
        removed = removed[:, skipped:]
        return removed if self._offset is None else removed + self._offset * np.float32(1 - self._floor)

    def finish_split(self) -> tuple[np.ndarray, np.ndarray]:
        """As `finish`, in the form of `split`."""
        if self._dry is None:
            empty = np.zeros((self._core.channels, 0), np.float32)
            return empty, empty
        first = self._heard(self._begin()) if self._held is not None else None
        rest = self._removed(self._core.finish())
        return self._pair(rest if first is None else np.concatenate([first, rest], axis=1))

    def _pair(self, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self._dry is not None
        dry, self._dry = self._dry[:, : removed.shape[1]], self._dry[:, removed.shape[1] :]
        return dry, removed * self._mix


def _offset_of(start: np.ndarray) -> np.ndarray:
    """Return the constant offset of each row, [rows, 1]: 0 where the mean is small beside the sound, or differs from part to part."""
    mean = start.mean(axis=1, keepdims=True)
    level = np.sqrt(np.square(start - mean).mean(axis=1, keepdims=True))
    parts = np.stack([part.mean(axis=1, keepdims=True) for part in np.array_split(start, _PARTS, axis=1)])
    steady = (parts * np.sign(mean)).min(axis=0) >= 0.5 * np.abs(parts).max(axis=0)
    return np.where(steady & (np.abs(mean) > _MIN_OFFSET * level), mean, 0)


class Enhancer(ABC):
    """An opened model that enhances recordings.

    Attributes:
        file: Path of the model.
        sha256: SHA-256 of that file, in hex.
        sample_rate: Rate of the model, Hz; `stream` takes audio of any rate.
        latency_samples: Algorithmic latency of one pass, in samples at that rate, when whole blocks arrive one by one.
        block_samples: Natural block of a live stream at that rate: the model's hop.
        provenance: Recipe, step, version.
        strength_db: Default of the maximum attenuation, dB.
        averages: Passes on offset frame grids can be averaged; otherwise there is one pass.
        mirrors: A file is heard backwards for a moment before it begins: the model then does better at its start.
        masks: The model computes a gain for every cell of time and frequency, so channels can share one mask and passes can be averaged.
    """

    masks: bool = True
    strength_db: float = MAX_STRENGTH_DB
    averages: bool = False
    mirrors: bool = False

    def __init__(self, file: Path, sha256: str, sample_rate: int, latency_samples: int, block_samples: int, provenance: dict[str, Any]):
        self.file, self.sha256, self.provenance = file, sha256, provenance
        self.sample_rate, self.latency_samples, self.block_samples = sample_rate, latency_samples, block_samples

    def stream(
        self,
        rows: int,
        *,
        sample_rate: int | None = None,
        shared: bool = False,
        strength_db: float | None = None,
        mix: float = 1.0,
        passes: int = PASSES,
        live: bool = False,
        start_seconds: float = 0.0,
    ) -> EnhancerStream:
        """Begin a stream.

        Args:
            rows: Channels, or independent recordings of equal length.
            sample_rate: Rate of the audio, Hz; None: the model's.
            shared: The rows are channels of one recording and share one mask. Models without masks treat them one by one.
            strength_db: Maximum attenuation, dB; None: the default of the model.
            mix: From 0, the unprocessed audio, to 1.
            passes: Number of frame grids, evenly offset, whose results are averaged; a model that does not average makes one.
            live: Return each sample as early as possible, at the price of speed.
            start_seconds: Length of the start of the audio that is awaited, to measure a constant offset and, if the model `mirrors`, to
                hear it backwards first; see `EnhancerStream`.
        """
        strength_db = self.strength_db if strength_db is None else strength_db
        floor = 10.0 ** (-strength_db / 20)
        rate = sample_rate or self.sample_rate
        removed = self._removed(rows, rate, floor, shared=shared, passes=passes, live=live)
        return EnhancerStream(removed, mix, start=round(start_seconds * rate), mirrored=self.mirrors, floor=floor)

    @abstractmethod
    def _removed(self, rows: int, sample_rate: int, floor: float, *, shared: bool, passes: int, live: bool) -> RemovedStream:
        """Begin a stream of what the model removes, under which no gain falls below the amplitude `floor`."""

    def latency(self, passes: int = PASSES) -> int:
        """Return `latency_samples` for a number of passes."""
        return self.latency_samples

    def apply(self, audio: np.ndarray, sample_rate: int | None = None, **options: Any) -> np.ndarray:
        """Enhance a whole recording in one block: float [rows, n] -> the same shape. `options` as for `stream`."""
        stream = self.stream(len(audio), sample_rate=sample_rate, **options)
        return np.concatenate([stream.process(audio), stream.finish()], axis=1)


class MaskEnhancer(Enhancer):
    """An enhancer around a causal network of gains, such as `numpy_network.FrameNetwork`."""

    strength_db = 24.0  # on validation mixtures 0.05 PESQ above 20
    averages = True

    def __init__(self, network: Network, file: Path, sha256: str, provenance: dict[str, Any]):
        super().__init__(file, sha256, network.sample_rate, network.fft, network.hop, provenance)
        self._network = network

    def _removed(self, rows: int, sample_rate: int, floor: float, *, shared: bool, passes: int, live: bool) -> RemovedStream:
        if passes == 1:
            return GainStream(self._network, rows, sample_rate, floor=floor, shared=shared)
        return AveragedStream(passes, self._network, rows, sample_rate, floor=floor, shared=shared)

    def latency(self, passes: int = PASSES) -> int:
        """As `Enhancer.latency`: further passes add the offset between the first frame grid and the last."""
        return self.latency_samples + round((passes - 1) * self.block_samples / passes)


class WindowedEnhancer(Enhancer):
    """An enhancer around a network from noisy to clean windows of samples, such as SEGAN's.

    Args:
        call: The network on a batch of windows.
        model: The file.
        sample_rate, window, hop, pre_emphasis: As for `models.window_enhancer.WindowEnhancer`.
    """

    masks = False
    strength_db = 24.0

    def __init__(self, call: Call, model: ModelFile, sample_rate: int, window: int, hop: int, pre_emphasis: float):
        super().__init__(model.file, model.sha256, sample_rate, window, hop, model.provenance)
        self._call, self._window, self._hop, self._pre_emphasis = call, window, hop, pre_emphasis

    def _removed(self, rows: int, sample_rate: int, floor: float, *, shared: bool, passes: int, live: bool) -> RemovedStream:
        batch = 1 if live else _WINDOW_BATCH
        return WindowStream(self._call, self._window, self._hop, batch, rows, self.sample_rate, sample_rate, self._pre_emphasis, floor)


class DeepFilterEnhancer(Enhancer):
    """An enhancer around DeepFilterNet, which masks bands and filters the lowest bins along time; see `deep_filter`.

    It has no attenuation limit by default: one of 24 dB costs 0.2 PESQ at low signal-to-noise ratios.
    """

    mirrors = True  # the error in the first half second falls by 0.75 dB; see docs/experiments.md

    def __init__(self, model: DeepFilterModel, file: Path, sha256: str, provenance: dict[str, Any]):
        super().__init__(file, sha256, model.sample_rate, model.latency_samples, model.settings.hop, provenance)
        self._model = model

    def _removed(self, rows: int, sample_rate: int, floor: float, *, shared: bool, passes: int, live: bool) -> RemovedStream:
        return self._model.stream(rows, sample_rate, floor=floor if floor > MIN_FLOOR else 0.0, shared=shared)


def _open_deep_filter(model: ModelFile) -> Enhancer:
    from .deep_filter import DeepFilterModel

    return DeepFilterEnhancer(DeepFilterModel.load(model), model.file, model.sha256, model.provenance)


def _open_frame_denoiser(model: ModelFile) -> Enhancer:
    from .numpy_network import FrameNetwork

    return MaskEnhancer(FrameNetwork.load(model), model.file, model.sha256, model.provenance)


def _open_window_enhancer(model: ModelFile) -> Enhancer:
    import tensorflow as tf

    loaded: Any = model.load()
    window = int(loaded.window)

    @tf.function(input_signature=[tf.TensorSpec([None, window, 1], tf.float32)])
    def graph(noisy):
        return loaded(noisy, training=False)

    def call(windows: np.ndarray) -> np.ndarray:
        return graph(tf.constant(windows[..., None])).numpy()[..., 0]

    return WindowedEnhancer(call, model, int(loaded.sample_rate), window, int(loaded.hop), float(loaded.preemphasis))


OPENERS: dict[str, Callable[[ModelFile], Enhancer]] = {
    "FrameDenoiser": _open_frame_denoiser,
    "WindowEnhancer": _open_window_enhancer,
    "DeepFilterDenoiser": _open_deep_filter,
}
TENSORFLOW_CLASSES = frozenset({"WindowEnhancer"})  # the others run in numpy: TensorFlow takes seconds to start


def find_enhancer(model: Path | str | None = None) -> ModelFile:
    """Return the model of a run folder, a `.keras` file or a bundled model's name; None: the bundled denoiser. Loads nothing.

    Raises:
        RunError: There is none, or it is a model of another kind.
    """
    return find_model(bundled_model("denoiser") if model is None else model, ENHANCERS, "enhance recordings")


def open_enhancer(model: ModelFile | Path | str | None = None) -> Enhancer:
    """Open an enhancer; `model` as for `find_enhancer`, or what that returned.

    Raises:
        RunError: As for `find_enhancer`, or the file cannot be loaded.
    """
    found = model if isinstance(model, ModelFile) else find_enhancer(model)
    return OPENERS[found.class_name](found)
