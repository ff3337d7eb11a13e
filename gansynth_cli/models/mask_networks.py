"""The networks of the denoisers, written once over a dozen tensor operations: TensorFlow trains them, numpy runs them.

A network is a pure function of (spectrum frames, state) without look-ahead and without statistics of the utterance, so cutting a
recording into blocks changes nothing. Nothing here imports TensorFlow.

Arrays have the frames first: [frames, rows, ...], a row being one stream of audio.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..signal.mel import mel_filter_bank

QUIET_DBFS = -36.0  # recordings whose loudest frames are below this are lifted to it: training has no quieter speech
MAX_LIFT_DB = 30.0
RELEASE_DB = 10.0  # a second; decay of the level that loud frames set
POWER_FLOOR = 1e-8  # added to |X|^2: about -100 dB under a full-scale sine with a window of 512


class Operations(Protocol):
    """The array operations that a network needs. Names of weights are those of `MaskNetwork.weights`."""

    def weight(self, name: str) -> Any: ...

    def size(self, x: Any, axis: int) -> Any:
        """Return the length of an axis: an int, or a scalar tensor where it is known only when running."""
        ...

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any: ...

    def concat(self, parts: Sequence[Any], axis: int) -> Any: ...

    def stack(self, parts: Sequence[Any]) -> Any:
        """Stack on a new last axis."""
        ...

    def pad(self, x: Any, axis: int, before: int, after: int) -> Any:
        """Pad an axis with zeros."""
        ...

    def power(self, x: Any, exponent: float) -> Any:
        """Raise positive numbers to a power."""
        ...

    def log(self, x: Any) -> Any: ...

    def sum(self, x: Any) -> Any:
        """Sum over the last axis, which is kept."""
        ...

    def follow(self, x: Any, state: Any, release: float) -> Any:
        """Return y[t] = max(x[t], y[t - 1] - release) with y[-1] = state; x [frames, rows, 1]."""
        ...

    def lift(self, x: Any, most: float) -> Any:
        """Return exp(-x / 2), x clipped to [-most, 0]."""
        ...

    def sigmoid(self, x: Any) -> Any: ...

    def silu(self, x: Any) -> Any: ...

    def dense(self, x: Any, name: str) -> Any:
        """Return x [..., n] times NAME/kernel [n, m], plus NAME/bias [m]."""
        ...

    def gru(self, x: Any, name: str, state: Any) -> tuple[Any, Any]:
        """Run a recurrent unit: x [frames, rows, n], state [rows, units] -> ([frames, rows, units], state).

        `layers.recurrent.gru_sequence` after NAME/input/kernel and /bias, with NAME/kernel and NAME/bias.
        """
        ...


class MaskNetwork(ABC):
    """A network from frames of a spectrum to a gain for each bin.

    Args:
        fft: Samples of the transform.
        max_gain: Bound of a complex gain's magnitude.

    Attributes:
        weights: Name -> shape. Kernels are [in, out].
        fixed: Name -> values of weights that are not trained.
        states: (items in a row, units) of each recurrent state, whose array is [rows * items, units].
    """

    def __init__(self, fft: int, max_gain: float):
        self.fft, self.bins, self.max_gain = fft, fft // 2 + 1, max_gain
        self.weights: dict[str, tuple[int, ...]] = {}
        self.fixed: dict[str, np.ndarray] = {}
        self.states: list[tuple[int, int]] = [(1, 1)]  # the first is the level's
        self.release = 0.0  # of the level, nepers of power a frame; `make_network` knows the rate

    def run(self, ops: Operations, real: Any, imaginary: Any, states: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """Compute gains of recordings of any level.

        A quiet recording is lifted to the levels of training before the network: the level follows the loudest frames at once and
        decays by `RELEASE_DB` a second. Above `QUIET_DBFS` nothing changes, so training, whose clips are louder, calls `gains`.

        Args:
            ops: The array library.
            real, imaginary: Parts of the spectrum, [frames, rows, bins].
            states: Recurrent states.

        Returns:
            Real part of the gain, imaginary part (None for real gains), and the states after the last frame.
        """
        reference = 10.0 ** (QUIET_DBFS / 10.0) * self.bins * self.fft / 2.0
        power = ops.sum(real * real + imaginary * imaginary) * (1.0 / reference)
        level = ops.follow(ops.log(power + 1e-12), states[0], self.release)
        lift = ops.lift(level, MAX_LIFT_DB / 10.0 * math.log(10.0))
        real, imaginary, after = self.gains(ops, real * lift, imaginary * lift, states[1:])
        return real, imaginary, [level[-1], *after]

    @abstractmethod
    def gains(self, ops: Operations, real: Any, imaginary: Any, states: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """As `run` at the levels of training, without the first state."""

    def _dense(self, name: str, inputs: int, outputs: int) -> None:
        self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"] = (inputs, outputs), (outputs,)

    def _gru(self, name: str, inputs: int, units: int, items: int = 1) -> None:
        self._dense(f"{name}/input", inputs, 3 * units)
        self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"] = (units, 3 * units), (units,)
        self.states.append((items, units))

    def _bounded(self, ops: Operations, real: Any, imaginary: Any) -> tuple[Any, Any]:
        """Map two numbers to a complex gain around 1 with a magnitude below `max_gain`; (0, 0) maps to exactly 1."""
        square = self.max_gain**2 - 1.0
        real = real + 1.0
        scale = ops.power(1.0 + (real * real + imaginary * imaginary) * (1.0 / square), -0.5) * ((1.0 + 1.0 / square) ** 0.5)
        return real * scale, imaginary * scale


class RecurrentMask(MaskNetwork):
    """Log-mel bands -> dense -> recurrent layers with residuals -> a gain for each bin: cheap, and each gain depends on all bands.

    Args:
        sample_rate: Hz.
        fft: Samples of the transform.
        mel_bands: Mel bands of the input.
        width: Units of every layer.
        layers: Number of recurrent layers.
        mask: "real" gains in (0, 1) or "complex" ones below `max_gain`.
        max_gain: Bound of a complex gain's magnitude.
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
        x = ops.silu(ops.dense(ops.log(mel + 1e-6) * 0.3 + 1.0, "in"))  # about zero mean and unit standard deviation for speech at -26 dBFS
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
    """A dual-path network over bands, after FastEnhancer (Ahn et al. 2025): dynamics over time are learnt once for all bands.

    The compressed complex spectrum is cut into bands; each becomes a token of `channels` numbers by a convolution along frequency. Each
    block has a recurrent unit over time that all bands share, and a narrow recurrent unit over all bands of the frame, whose output is
    distributed to the bands. The token of a band then yields the complex gains of its bins.

    Divergences: bands of three widths, narrow below 1 kHz, instead of 256 equal strides and a filter bank; the second, full-band unit
    instead of attention over the bands (on a CPU a third of the cost, and it has a memory); no batch normalisation; the magnitude
    beside real and imaginary part; a bounded gain.

    Args:
        fft: Samples of the transform.
        segments: (bins, bins in a band) from DC upwards; together fft / 2 bins. Nyquist gets the gain of the bin below it.
        channels: Numbers in a band's token.
        blocks: Number of blocks.
        shared_blocks: Number of blocks, the first ones, with the recurrence that all bands share.
        context: Units of the full-band recurrence; 0: none.
        max_gain: Bound of the gain's magnitude.
        added_blocks: Further blocks after those, with both recurrences, initialised to change nothing: a trained network grows without
            forgetting.
        past_frames: Number of past frames used beside each frame, initialised to change nothing. The phase advance of each bin since
            the frame before is a further input, and a filter over the past frames (deep filtering, Mack and Habets 2019) adds to the
            gain: several frames resolve harmonics that are too close for one window.
    """

    COMPRESSION = 0.3
    VALUES = 3  # of a bin: real, imaginary, magnitude
    MOTION = 2  # of a bin: real and imaginary part of the compressed spectrum times the conjugate of the previous one
    ALIKE = 0.01  # share of a past frame's power added to the present one's before dividing: the quotient stays below 5

    def __init__(
        self,
        fft: int,
        segments: Sequence[Sequence[int]],
        channels: int,
        blocks: int,
        shared_blocks: int,
        context: int,
        max_gain: float,
        added_blocks: int = 0,
        past_frames: int = 0,
    ):
        super().__init__(fft, max_gain)
        self.added_blocks, self.past_frames = added_blocks, past_frames
        self.segments = [(int(bins), int(width)) for bins, width in segments]
        self.channels, self.blocks, self.shared_blocks, self.context = channels, blocks, shared_blocks, context
        self.bands = sum(bins // width for bins, width in self.segments)
        for index, (_, width) in enumerate(self.segments):
            self._dense(f"encoder{index}", 2 * width * self.VALUES, channels)
        self.weights["band"] = (self.bands, channels)
        for index in range(blocks):
            self._block(f"block{index}", shared=index < shared_blocks)
        for index, (_, width) in enumerate(self.segments):
            self._dense(f"decoder{index}", 2 * channels, self._hidden(width))
            self._dense(f"mask{index}", self._hidden(width), 2 * width)
        # After all others: where weights are copied by position, those of a smaller network keep theirs.
        for index in range(added_blocks):
            self._block(f"added{index}", shared=True)
        if past_frames:
            for index, (_, width) in enumerate(self.segments):
                self._dense(f"motion{index}", 2 * width * self.MOTION, channels)
                self._dense(f"filter{index}", self._hidden(width), 2 * width * past_frames)
            self.states += [(1, self.bins)] * (2 * past_frames)

    def _block(self, name: str, shared: bool) -> None:
        if shared:
            self._gru(f"{name}/time", self.channels, self.channels, items=self.bands)
            self._dense(f"{name}/out", self.channels, self.channels)
        if self.context:
            self._dense(f"{name}/gather", self.bands * self.channels, self.context)
            self._gru(f"{name}/context", self.context, self.context)
            self._dense(f"{name}/spread", self.context, self.bands * self.channels)

    def _hidden(self, width: int) -> int:
        return self.channels * (1 if width < 16 else 2)

    def gains(self, ops, real, imaginary, states):
        frames, rows = ops.size(real, 0), ops.size(real, 1)
        states, past = list(states), self.past_frames
        after: list[Any] = []
        if past:  # the frames before, first: [past + frames, rows, bins]
            before, states = states[-2 * past :], states[: -2 * past]
            whole = [
                ops.concat([*(ops.reshape(one, [1, rows, self.bins]) for one in before[i::2]), x], 0)
                for i, x in enumerate((real, imaginary))
            ]
            kept = [part[k - past] for k in range(past) for part in whole]
        else:
            whole, kept = [real, imaginary], []
        power = whole[0] * whole[0] + whole[1] * whole[1] + POWER_FLOOR
        compression = ops.power(power, 0.5 * (self.COMPRESSION - 1.0))
        r, i = whole[0] * compression, whole[1] * compression
        values = ops.stack([r[past:], i[past:], ops.power(power[past:], 0.5 * self.COMPRESSION)])
        parts = [ops.dense(part, f"encoder{n}") for n, part in enumerate(self._bands_of(ops, values, frames, rows))]
        if past:
            turned = ops.stack(
                [
                    r[past:] * r[past - 1 : -1] + i[past:] * i[past - 1 : -1],
                    i[past:] * r[past - 1 : -1] - r[past:] * i[past - 1 : -1],
                ]
            )
            moved = self._bands_of(ops, turned, frames, rows)
            parts = [part + ops.dense(motion, f"motion{n}") for n, (part, motion) in enumerate(zip(parts, moved, strict=True))]
        skip = x = ops.silu(ops.concat(parts, 2) + ops.weight("band"))
        for index in range(self.blocks):
            x = self._through(ops, f"block{index}", x, frames, rows, index < self.shared_blocks, states, after)
        for index in range(self.added_blocks):
            x = self._through(ops, f"added{index}", x, frames, rows, True, states, after)
        x = ops.concat([ops.silu(x), skip], 3)
        gains, filters, first = [], [], 0
        for index, (bins, width) in enumerate(self.segments):
            hidden = ops.silu(ops.dense(x[:, :, first : first + bins // width], f"decoder{index}"))
            first += bins // width
            gains.append(ops.reshape(ops.dense(hidden, f"mask{index}"), [frames, rows, bins, 2]))
            if past:
                filters.append(ops.reshape(ops.dense(hidden, f"filter{index}"), [frames, rows, bins, 2 * past]))
        gain = ops.concat([*gains, gains[-1][:, :, -1:]], 2)
        real, imaginary = gain[..., 0], gain[..., 1]
        if past:
            taps = ops.concat([*filters, filters[-1][:, :, -1:]], 2)
            for k in range(past):
                a, b = self._quotient(whole, power, k)
                c, d = taps[..., 2 * k], taps[..., 2 * k + 1]
                real, imaginary = real + a * c - b * d, imaginary + a * d + b * c
        return *self._bounded(ops, real, imaginary), [*after, *kept]

    def _through(self, ops, name, x, frames, rows, shared, states, after):
        """Run a block; its states are taken from `states` and appended to `after`."""
        if shared:
            items = ops.reshape(x, [frames, rows * self.bands, self.channels])
            y, state = ops.gru(items, f"{name}/time", states.pop(0))
            after.append(state)
            x = x + ops.reshape(ops.dense(y, f"{name}/out"), [frames, rows, self.bands, self.channels])
        if self.context:
            y = ops.silu(ops.dense(ops.reshape(x, [frames, rows, self.bands * self.channels]), f"{name}/gather"))
            y, state = ops.gru(y, f"{name}/context", states.pop(0))
            after.append(state)
            x = x + ops.reshape(ops.dense(y, f"{name}/spread"), [frames, rows, self.bands, self.channels])
        return x

    def _quotient(self, whole: Sequence[Any], power: Any, k: int) -> tuple[Any, Any]:
        """Divide a past frame by the present one: real and imaginary part, [frames, rows, bins]; k = 0 is the oldest.

        The quotient times the present frame is the past one, so a gain that contains it filters along time and remains a gain.
        """
        past = self.past_frames
        (r, i), (s, j) = (part[past:] for part in whole), (part[k : k - past] for part in whole)
        scale = 1.0 / (power[past:] + self.ALIKE * power[k : k - past])
        return (s * r + j * i) * scale, (j * r - s * i) * scale

    def _bands_of(self, ops: Operations, values: Any, frames: Any, rows: Any) -> list[Any]:
        """Cut [frames, rows, bins, values] into bands with half a band on either side, as for a convolution of stride `width` and
        2 width taps: for each segment [frames, rows, bands, 2 width * values]. By concatenating half bands, which is faster than a
        gather."""
        margin, count = max(width for _, width in self.segments) // 2, values.shape[-1]
        values, first, parts = ops.pad(values, 2, margin, margin), margin, []
        for bins, width in self.segments:
            bands, half = bins // width, width // 2
            part = ops.reshape(values[:, :, first - half : first + bins + half], [frames, rows, 2 * bands + 2, half * count])
            parts.append(ops.concat([part[:, :, k : k + 2 * bands : 2] for k in range(4)], 3))
            first += bins
        return parts


def make_network(config: Mapping[str, Any]) -> MaskNetwork:
    """Make the network of a configuration: the keys `network`, `sample_rate`, `fft`, `hop` and `options` of `FrameDenoiser`.

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
