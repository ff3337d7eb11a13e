"""The networks of the denoisers, written once over a dozen tensor operations: TensorFlow trains these lines, numpy runs them.

A network is a pure function of (spectrum frames, state): it sees a frame and what it remembers, never a later frame and no statistics
of the utterance, so that cutting a recording into blocks changes nothing. Nothing here imports TensorFlow.

Arrays have the frames first: [frames, rows, ...], a row being one stream of audio.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..signal.mel import mel_filter_bank

QUIET_DBFS = -36.0  # loudest frames below this are lifted to it: training has no quieter speech
MOST_LIFT_DB = 30.0
RELEASE_DB = 10.0  # a second: how fast what was loud is forgotten
POWER_FLOOR = 1e-8  # added to |X|^2: about -100 dB under a full-scale sine with a window of 512


class Operations(Protocol):
    """What a network needs of an array library. Names of weights are those of `MaskNetwork.weights`."""

    def weight(self, name: str) -> Any: ...

    def size(self, x: Any, axis: int) -> Any:
        """The length of an axis: an int, or a scalar tensor where it is only known when running."""
        ...

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any: ...

    def concat(self, parts: Sequence[Any], axis: int) -> Any: ...

    def stack(self, parts: Sequence[Any]) -> Any:
        """On a new last axis."""
        ...

    def pad(self, x: Any, axis: int, before: int, after: int) -> Any:
        """With zeros."""
        ...

    def power(self, x: Any, exponent: float) -> Any:
        """Of numbers above zero."""
        ...

    def log(self, x: Any) -> Any: ...

    def sum(self, x: Any) -> Any:
        """Over the last axis, which is kept."""
        ...

    def follow(self, x: Any, state: Any, release: float) -> Any:
        """y[t] = max(x[t], y[t - 1] - release), from y[-1] = state; x [frames, rows, 1]."""
        ...

    def lift(self, x: Any, most: float) -> Any:
        """exp(-x / 2), x clipped to [-most, 0]."""
        ...

    def sigmoid(self, x: Any) -> Any: ...

    def silu(self, x: Any) -> Any: ...

    def dense(self, x: Any, name: str) -> Any:
        """x [..., n] times NAME/kernel [n, m], plus NAME/bias [m]."""
        ...

    def gru(self, x: Any, name: str, state: Any) -> tuple[Any, Any]:
        """x [frames, rows, n], state [rows, units] -> ([frames, rows, units], state): `layers.recurrent.gru_sequence` after
        NAME/input/kernel and /bias, with NAME/kernel and NAME/bias."""
        ...


class MaskNetwork(ABC):
    """A network from frames of a spectrum to a gain for each of their bins.

    Attributes:
        weights: Name -> shape. Kernels are [in, out].
        fixed: Name -> values, of weights that are not trained.
        states: (items a row, units) of each recurrent state: its array is [rows * items, units].
    """

    def __init__(self, fft: int, max_gain: float):
        self.fft, self.bins, self.max_gain = fft, fft // 2 + 1, max_gain
        self.weights: dict[str, tuple[int, ...]] = {}
        self.fixed: dict[str, np.ndarray] = {}
        self.states: list[tuple[int, int]] = [(1, 1)]  # the first is that of the level
        self.release = 0.0  # of the level a frame, in nepers of power; `make_network` knows the rate

    def run(self, ops: Operations, real: Any, imaginary: Any, states: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """Parts of the spectrum [frames, rows, bins] -> the gain's real part, its imaginary part (None if it has none), the states.

        What the network hears of a quiet recording is lifted to the levels it knows: the level follows the loudest frames at once and
        falls by `RELEASE_DB` a second. Above `QUIET_DBFS` nothing is changed, so training, whose clips are louder, leaves this out.
        """
        reference = 10.0 ** (QUIET_DBFS / 10.0) * self.bins * self.fft / 2.0
        power = ops.sum(real * real + imaginary * imaginary) * (1.0 / reference)
        level = ops.follow(ops.log(power + 1e-12), states[0], self.release)
        lift = ops.lift(level, MOST_LIFT_DB / 10.0 * math.log(10.0))
        real, imaginary, after = self.gains(ops, real * lift, imaginary * lift, states[1:])
        return real, imaginary, [level[-1], *after]

    @abstractmethod
    def gains(self, ops: Operations, real: Any, imaginary: Any, states: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """The same at the levels of training, with the states but the first."""

    def _dense(self, name: str, inputs: int, outputs: int) -> None:
        self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"] = (inputs, outputs), (outputs,)

    def _gru(self, name: str, inputs: int, units: int, items: int = 1) -> None:
        self._dense(f"{name}/input", inputs, 3 * units)
        self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"] = (units, 3 * units), (units,)
        self.states.append((items, units))

    def _bounded(self, ops: Operations, real: Any, imaginary: Any) -> tuple[Any, Any]:
        """The network's two numbers as a complex gain around 1, its magnitude below `max_gain`; (0, 0) gives exactly 1."""
        square = self.max_gain**2 - 1.0
        real = real + 1.0
        scale = ops.power(1.0 + (real * real + imaginary * imaginary) * (1.0 / square), -0.5) * ((1.0 + 1.0 / square) ** 0.5)
        return real * scale, imaginary * scale


class RecurrentMask(MaskNetwork):
    """Log-mel bands -> dense -> recurrent layers with residuals -> a gain a bin: cheap, and every bin's gain depends on all bands.

    Args:
        sample_rate: Hz.
        fft: Samples.
        mel_bands: What it sees of a frame.
        width: Units of every layer.
        layers: Recurrent layers.
        mask: "real" gains in (0, 1) or "complex" ones below `max_gain`.
    """

    def __init__(self, sample_rate: int, fft: int, mel_bands: int, width: int, layers: int, mask: str, max_gain: float):
        super().__init__(fft, max_gain)
        self.layers, self.complex = layers, mask == "complex"
        self.fixed["mel"] = mel_filter_bank(sample_rate, fft, mel_bands, 0.0, None, "htk", "none")
        self._dense("in", mel_bands, width)
        for index in range(layers):
            self._gru(f"gru{index}", width, width)
        self._dense("out", width, self.bins * (2 if self.complex else 1))

    def gains(self, ops, real, imaginary, states):
        frames, rows = ops.size(real, 0), ops.size(real, 1)
        power = ops.reshape(real * real + imaginary * imaginary, [-1, self.bins])
        mel = ops.reshape(power @ ops.weight("mel"), [frames, rows, self.fixed["mel"].shape[1]])
        x = ops.silu(ops.dense(ops.log(mel + 1e-6) * 0.3 + 1.0, "in"))  # about zero mean and unit deviation for speech at -26 dBFS
        after = []
        for index in range(self.layers):
            y, state = ops.gru(x, f"gru{index}", states[index])
            x = x + y if index else y
            after.append(state)
        gain = ops.dense(x, "out")
        if not self.complex:
            return ops.sigmoid(gain + 1.0), None, after
        return *self._bounded(ops, gain[..., : self.bins], gain[..., self.bins :]), after


class BandMask(MaskNetwork):
    """A dual-path network over bands, after FastEnhancer (Ahn et al. 2025): what a band's sound does in time is learnt once for all bands.

    The compressed complex spectrum is cut into bands; each becomes a token of `channels` numbers by a convolution along frequency. Each
    block has a recurrent unit over time that all bands share, and a narrow recurrent unit that sees all bands of the frame at once and
    gives each of them back what it found. Each band's token then makes the complex gains of its bins.

    Divergences: bands of three widths, narrow below 1 kHz, in place of 256 equal strides and a filter bank; the second, full-band
    unit in place of attention over the bands (on a CPU it costs a third, and remembers); no batch normalisation; magnitude beside
    real and imaginary part; a bounded gain.

    Args:
        fft: Samples.
        segments: (bins, bins a band) from DC upwards; together fft / 2 bins. Nyquist gets the gain of the bin below it.
        channels: Numbers a band.
        blocks: How many.
        shared_blocks: So many of them, the first ones, have the recurrence that all bands share.
        context: Units of the full-band recurrence; 0: none.
        max_gain: Bound of the gain's magnitude.
    """

    COMPRESSION = 0.3
    VALUES = 3  # a bin: real, imaginary, magnitude

    def __init__(
        self,
        fft: int,
        segments: Sequence[Sequence[int]],
        channels: int,
        blocks: int,
        shared_blocks: int,
        context: int,
        max_gain: float,
    ):
        super().__init__(fft, max_gain)
        self.segments = [(int(bins), int(width)) for bins, width in segments]
        self.channels, self.blocks, self.shared_blocks, self.context = channels, blocks, shared_blocks, context
        self.bands = sum(bins // width for bins, width in self.segments)
        for index, (_, width) in enumerate(self.segments):
            self._dense(f"encoder{index}", 2 * width * self.VALUES, channels)
        self.weights["band"] = (self.bands, channels)
        for index in range(blocks):
            if index < shared_blocks:
                self._gru(f"block{index}/time", channels, channels, items=self.bands)
                self._dense(f"block{index}/out", channels, channels)
            if context:
                self._dense(f"block{index}/gather", self.bands * channels, context)
                self._gru(f"block{index}/context", context, context)
                self._dense(f"block{index}/spread", context, self.bands * channels)
        for index, (_, width) in enumerate(self.segments):
            hidden = channels * (1 if width < 16 else 2)
            self._dense(f"decoder{index}", 2 * channels, hidden)
            self._dense(f"mask{index}", hidden, 2 * width)

    def gains(self, ops, real, imaginary, states):
        frames, rows = ops.size(real, 0), ops.size(real, 1)
        power = real * real + imaginary * imaginary + POWER_FLOOR
        compression = ops.power(power, 0.5 * (self.COMPRESSION - 1.0))
        values = ops.stack([real * compression, imaginary * compression, ops.power(power, 0.5 * self.COMPRESSION)])
        x = ops.concat([ops.dense(part, f"encoder{i}") for i, part in enumerate(self._bands_of(ops, values, frames, rows))], 2)
        skip = x = ops.silu(x + ops.weight("band"))
        states, after = list(states), []
        for index in range(self.blocks):
            name = f"block{index}"
            if index < self.shared_blocks:
                items = ops.reshape(x, [frames, rows * self.bands, self.channels])
                y, state = ops.gru(items, f"{name}/time", states.pop(0))
                after.append(state)
                x = x + ops.reshape(ops.dense(y, f"{name}/out"), [frames, rows, self.bands, self.channels])
            if self.context:
                y = ops.silu(ops.dense(ops.reshape(x, [frames, rows, self.bands * self.channels]), f"{name}/gather"))
                y, state = ops.gru(y, f"{name}/context", states.pop(0))
                after.append(state)
                x = x + ops.reshape(ops.dense(y, f"{name}/spread"), [frames, rows, self.bands, self.channels])
        x = ops.concat([ops.silu(x), skip], 3)
        gains, first = [], 0
        for index, (bins, width) in enumerate(self.segments):
            band = x[:, :, first : first + bins // width]
            first += bins // width
            gain = ops.dense(ops.silu(ops.dense(band, f"decoder{index}")), f"mask{index}")
            gains.append(ops.reshape(gain, [frames, rows, bins, 2]))
        gain = ops.concat([*gains, gains[-1][:, :, -1:]], 2)
        return *self._bounded(ops, gain[..., 0], gain[..., 1]), after

    def _bands_of(self, ops: Operations, values: Any, frames: Any, rows: Any) -> list[Any]:
        """[frames, rows, bins, values] -> for each segment [frames, rows, bands, 2 width * values]: each band with half a band at both
        sides, which is a convolution of stride `width` and 2 width taps. Half bands side by side, not a gather."""
        margin = max(width for _, width in self.segments) // 2
        values, first, parts = ops.pad(values, 2, margin, margin), margin, []
        for bins, width in self.segments:
            bands, half = bins // width, width // 2
            part = ops.reshape(values[:, :, first - half : first + bins + half], [frames, rows, 2 * bands + 2, half * self.VALUES])
            parts.append(ops.concat([part[:, :, k : k + 2 * bands : 2] for k in range(4)], 3))
            first += bins
        return parts


def make_network(config: Mapping[str, Any]) -> MaskNetwork:
    """The network of a configuration: `FrameDenoiser.get_config`'s keys `network`, `sample_rate`, `fft`, `hop` and `options`.

    Raises:
        KeyError: There is no network of that name.
    """
    kinds = {
        "gru": lambda options: RecurrentMask(config["sample_rate"], config["fft"], **options),
        "bands": lambda options: BandMask(config["fft"], **options),
    }
    network = kinds[config["network"]](dict(config["options"]))
    network.release = RELEASE_DB / 10.0 * math.log(10.0) * config["hop"] / config["sample_rate"]
    return network
