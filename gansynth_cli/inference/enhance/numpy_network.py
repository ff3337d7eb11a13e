"""Runs a saved `FrameDenoiser` in numpy: importing this takes a tenth of a second, TensorFlow five."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import RunError
from ...models.mask_networks import MaskNetwork, make_network
from ...models.model_file import ModelFile

_BLOCK = 64  # frames in one call: the intermediate arrays fit the processor's cache, and memory stays bounded
_FEW_ROWS = 4


class FrameNetwork:
    """A causal network from frames of a spectrum to a gain for each bin.

    The transform around it: a periodic square-root Hann window of `fft` samples for analysis and synthesis, `hop` = fft / 2; frame t
    covers the samples [t hop - (fft - hop), t hop + hop).

    Args:
        config: Configuration of the `FrameDenoiser`.
        weights: Name -> array, as in `FrameDenoiser.table`.

    Attributes:
        sample_rate: Hz.
        fft, hop: Samples.
        bins: fft / 2 + 1.
        level: Factor on every gain, as for `FrameDenoiser`.
        network: The network.

    Example:
        >>> from gansynth_cli.models.model_file import find_model
        >>> network = FrameNetwork.load(find_model("denoiser-small"))
        >>> gain, state = network.run(np.zeros([1, 10, network.bins], np.complex64), network.initial_state(rows=1))
        >>> gain.shape == (1, 10, network.bins)
        True
    """

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray]):
        self.sample_rate, self.fft, self.hop = int(config["sample_rate"]), int(config["fft"]), int(config["hop"])
        self.bins, self.level = self.fft // 2 + 1, np.float32(config.get("level", 1.0))
        self.network: MaskNetwork = make_network(config)
        self._operations = _ArrayOperations(weights)

    @classmethod
    def load(cls, model: ModelFile) -> FrameNetwork:
        """Read the network of a saved `FrameDenoiser`.

        Raises:
            RunError: The file is damaged, lacks weights, or holds weights of another shape.
        """
        stored = model.weights()
        try:
            network = make_network(model.config)
            weights = {name: np.asarray(stored[f"vars/{name}"], np.float32) for name in [*network.weights, *network.fixed]}
            found = cls(model.config, weights)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{model.file} is damaged or was written by another version: {error}.", hint="copy the file again, or train again"
            ) from error
        for name, shape in network.weights.items():
            if weights[name].shape != shape:
                raise RunError(f"{model.file} is damaged: its weight {name} has the shape {weights[name].shape}; expected {shape}.")
        return found

    def initial_state(self, rows: int) -> list[np.ndarray]:
        """Return the states before `rows` independent streams: zeros."""
        return [np.zeros((rows * items, units), np.float32) for items, units in self.network.states]

    def run(self, spectrum: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Compute the gain of every bin of every frame.

        Args:
            spectrum: complex64 [rows, frames, bins]; any number of frames, 0 included.
            state: From `initial_state` or the last call; not modified.

        Returns:
            (gain, state): the gain complex64 [rows, frames, bins], or float32 where the network computes real gains. Frame t depends
            on frames 0 ... t only, however they are cut into calls.
        """
        rows, frames, bins = spectrum.shape
        if bins != self.bins:
            raise ValueError(f"the spectrum has {bins} bins; expected {self.bins}")
        gains, state = [], list(state)
        for first in range(0, frames, _BLOCK):
            block = np.ascontiguousarray(spectrum[:, first : first + _BLOCK].swapaxes(0, 1))
            real, imaginary, state = self.network.run(self._operations, block.real, block.imag, state)
            gain = real if imaginary is None else _complex(real, imaginary)
            gain *= self.level
            gains.append(gain.swapaxes(0, 1))
        if not gains:
            return np.ones((rows, 0, bins), np.complex64), state
        return gains[0] if len(gains) == 1 else np.concatenate(gains, axis=1), state


class _ArrayOperations:
    """`mask_networks.Operations` in numpy. Every array is float32; only arrays allocated here are modified in place."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self.weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
        self._apart: dict[str, tuple[np.ndarray, ...]] = {}

    def weight(self, name):
        return self.weights[name]

    def size(self, x, axis):
        return x.shape[axis]

    def reshape(self, x, shape):
        return x.reshape(shape)

    def concat(self, parts, axis):
        return np.concatenate(parts, axis)

    def stack(self, parts):
        return np.stack(parts, axis=-1)

    def pad(self, x, axis, before, after):
        padded = np.zeros([n + before + after if i == axis else n for i, n in enumerate(x.shape)], np.float32)
        padded[tuple(slice(before, before + n) if i == axis else slice(None) for i, n in enumerate(x.shape))] = x
        return padded

    def power(self, x, exponent):
        if exponent == -0.5:
            return np.float32(1.0) / np.sqrt(x)
        y = np.log(x)
        y *= np.float32(exponent)
        return np.exp(y, out=y)

    def log(self, x):
        return np.log(x)

    def sum(self, x):
        return x.sum(axis=-1, keepdims=True)

    def follow(self, x, state, release):
        # Without the fall it is a running maximum. Frame numbers start at 1 in each block, so nothing grows.
        fall = np.float32(release) * np.arange(1, len(x) + 1, dtype=np.float32)[:, None, None]
        return np.maximum.accumulate(np.concatenate([state[None], x + fall]), axis=0)[1:] - fall

    def lift(self, x, most):
        return np.exp(np.float32(-0.5) * np.clip(x, np.float32(-most), np.float32(0.0)))

    def sigmoid(self, x):
        # By tanh, which numpy vectorises and which cannot overflow.
        y = np.multiply(x, np.float32(0.5))
        np.tanh(y, out=y)
        y *= np.float32(0.5)
        y += np.float32(0.5)
        return y

    def silu(self, x):
        y = self.sigmoid(x)
        y *= x
        return y

    def dense(self, x, name):
        kernel = self.weights[f"{name}/kernel"]
        y = x.reshape(-1, kernel.shape[0]) @ kernel
        y += self.weights[f"{name}/bias"]
        return y.reshape(*x.shape[:-1], kernel.shape[1])

    def gru(self, x, name, state):
        """Run a gated recurrent unit: the only loop over frames.

        Buffers are reused and the gates contiguous: with one row a step is a dozen calls of a microsecond each, of several
        microseconds where their arrays are not contiguous.

        A sigmoid is half a tanh of half its argument, plus a half; the arguments are halved once, in the weights. With z' = 2 z and
        r' = 2 r: h' = n + z' / 2 (h - n), n = tanh(x_n + r' (h W_n + b_n) / 2).
        """
        kernel, bias, input_kernel, input_bias = self._gates(name)
        rows, units = state.shape
        inputs = np.matmul(x.reshape(-1, x.shape[-1]), input_kernel)  # [3, frames * rows, units]
        inputs += input_bias
        inputs = inputs.reshape(3, -1, rows, units).swapaxes(0, 1)
        outputs = np.empty((len(inputs), rows, units), np.float32)
        by_row = 1 < rows < _FEW_ROWS  # as vector products: BLAS takes twice the time for matrices of so few rows
        kernel = kernel[:, None] if by_row else kernel
        recurrent = np.empty((3, rows, units), np.float32)
        product = recurrent[:, :, None] if by_row else recurrent
        gates, inner = recurrent[:2], recurrent[2]
        z, r = gates
        one, half = np.float32(1.0), np.float32(0.5)
        change, h = np.empty_like(state), state
        for step, after in zip(inputs, outputs, strict=True):
            np.matmul(h[:, None] if by_row else h, kernel, out=product)
            gates += step[:2]
            np.tanh(gates, out=gates)
            gates += one
            inner += bias
            inner *= r
            inner += step[2]
            np.tanh(inner, out=inner)
            np.subtract(h, inner, out=change)
            change *= z
            change *= half
            np.add(inner, change, out=after)
            h = after
        return outputs, h.copy()

    def _gates(self, name: str) -> tuple[np.ndarray, ...]:
        """Return the weights of a recurrent unit with contiguous gates, halved as `gru` needs them; computed once."""
        if name not in self._apart:
            apart = lambda kernel: np.stack(np.split(kernel, 3, axis=-1))  # [n, 3 units] -> [3, n, units]
            recurrent, given = np.full(3, 0.5, np.float32), np.array([0.5, 0.5, 1.0], np.float32)
            self._apart[name] = (
                apart(self.weights[f"{name}/kernel"]) * recurrent[:, None, None],
                self.weights[f"{name}/bias"] * np.float32(0.5),
                apart(self.weights[f"{name}/input/kernel"]) * given[:, None, None],
                apart(self.weights[f"{name}/input/bias"][None]) * given[:, None, None],
            )
        return self._apart[name]


def _complex(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    gain = np.empty(real.shape, np.complex64)
    gain.real, gain.imag = real, imaginary
    return gain
