"""WaveNet step by step in numpy: every layer keeps what later steps read (Paine et al. 2016, "Fast WaveNet generation algorithm").

One step of one layer is two small matrix products; calling them costs as much as computing them, so several signals go side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..signal.mulaw import silence_class

_BLOCK = 64  # steps for which the products of the condition are made at once


class CachedWaveNet:
    """The layers of a trained network behind its condition, as arrays.

    Constant factors and biases are moved into the arrays once: sigmoid(x) is (1 + tanh(x / 2)) / 2, so that a gate is one tanh; the
    sqrt(0.5) of each residual sum becomes a growing factor of its kernels; biases of the residual path are added where it is read.

    Args:
        network: The Keras model of `families.wavenet.networks`.
    """

    def __init__(self, network: Any):
        first = network.get_layer("earlier")
        self.bands, self.classes = first.bands, first.classes
        table, bias = (np.asarray(one, np.float64) for one in (first.kernel, first.bias))
        self._table = table.astype(np.float32)
        count = sum(1 for layer in network.layers if layer.name.startswith("layer_"))
        self._layers, skip_kernels, products, biases = [], [], [], []
        constant = bias  # of the residual path before the layer, times its factor
        skip_bias = np.zeros(1)
        for number in range(count):
            layer = network.get_layer(f"layer_{number}")
            array = lambda value: np.asarray(value, np.float64)
            grown = 2.0 ** (number / 2)
            half = np.where(np.arange(layer.gate) < layer.gate // 2, 1.0, 0.5)
            kernel = array(layer.kernel) * half / grown
            steady = np.tile(constant, layer.kernel_size) @ kernel
            biases.append(array(layer.bias) * half + steady)
            products.append(None if layer.condition_kernel is None else array(layer.condition_kernel) * half)
            skip_kernels.append(array(layer.skip_kernel) / 2)
            skip_bias = skip_bias + array(layer.skip_bias)
            residual = None
            if not layer.last:
                residual = (array(layer.residual_kernel) * (grown / 2)).astype(np.float32)
            length = (layer.kernel_size - 1) * layer.dilation
            self._layers.append(
                (kernel.astype(np.float32), residual, layer.kernel_size, layer.dilation, length, constant.astype(np.float32))
            )
            if not layer.last:
                constant = constant + array(layer.residual_bias) * grown
        self.gate, self.width = layer.gate, table.shape[1]
        self._bias = np.concatenate(biases).astype(np.float32)
        conditions = [one for one in products if one is not None]
        self._condition = np.concatenate(conditions, axis=1).astype(np.float32) if conditions else None
        scale = network.get_layer("skips").scale
        self._skip, self._skip_bias = (np.concatenate(skip_kernels) * scale).astype(np.float32), (skip_bias * scale).astype(np.float32)
        self._hidden, self._output = (
            tuple(np.asarray(value, np.float32) for value in (network.get_layer(name).kernel, network.get_layer(name).bias))
            for name in ("hidden", "output")
        )

    def generate(self, uniform: np.ndarray, condition: np.ndarray | None = None, logits: np.ndarray | None = None) -> np.ndarray:
        """Draw signals sample by sample.

        Args:
            uniform: float [batch, steps, bands] in [0, 1): each sample is the class at which the distribution function passes its number.
            condition: float32 [batch, steps, size], or [batch, 1, size] for all steps.
            logits: Filled with the logits of every step where it is given, float32 [batch, steps, bands, classes].

        Returns:
            Classes int32 [batch, steps, bands].
        """
        batch, steps, _ = uniform.shape
        half = self.gate // 2
        made = np.empty((batch, steps, self.bands), np.int32)
        rings, taps = [], []
        for _, _, size, _, length, constant in self._layers:
            rings.append(np.broadcast_to(-constant, (length, batch, self.width)).copy())  # a zero behind the start
            taps.append(np.empty((batch, size * self.width), np.float32))
        hidden, residual = np.empty((batch, self.gate), np.float32), np.empty((batch, self.width), np.float32)
        gated = np.empty((batch, len(self._layers) * half), np.float32)
        offsets = np.arange(self.bands) * self.classes
        rows = np.full((batch, self.bands), silence_class(self.classes)) + offsets
        constant_products = self._products(condition, 0, 1) if condition is None or condition.shape[1] == 1 else None
        for step in range(steps):
            if constant_products is None and step % _BLOCK == 0:
                products = self._products(condition, step, min(step + _BLOCK, steps))
            now = constant_products[0] if constant_products is not None else products[step % _BLOCK]
            x = self._table[rows].sum(axis=1)
            for number, (kernel, back, size, dilation, length, _) in enumerate(self._layers):
                ring, tap = rings[number], taps[number]
                for place in range(size - 1):
                    tap[:, place * self.width : (place + 1) * self.width] = ring[(step + place * dilation) % length]
                tap[:, (size - 1) * self.width :] = x
                ring[step % length] = x
                np.matmul(tap, kernel, out=hidden)
                np.add(hidden, now[:, number * self.gate : (number + 1) * self.gate], out=hidden)
                np.tanh(hidden, out=hidden)
                mine = gated[:, number * half : (number + 1) * half]
                np.add(hidden[:, half:], 1.0, out=mine)
                np.multiply(mine, hidden[:, :half], out=mine)
                if back is not None:
                    np.matmul(mine, back, out=residual)
                    np.add(x, residual, out=x)
            y = np.maximum(gated @ self._skip + self._skip_bias, 0.0)
            y = np.maximum(y @ self._hidden[0] + self._hidden[1], 0.0) @ self._output[0] + self._output[1]
            y = y.reshape(batch, self.bands, self.classes)
            if logits is not None:
                logits[:, step] = y
            below = np.cumsum(np.exp(y - y.max(axis=-1, keepdims=True)), axis=-1)
            chosen = (below <= uniform[:, step, :, None] * below[..., -1:]).sum(axis=-1)
            made[:, step] = np.minimum(chosen, self.classes - 1)
            rows = made[:, step] + offsets
        return made

    def _products(self, condition: np.ndarray | None, start: int, stop: int) -> np.ndarray:
        """Condition and biases before each layer's gate, float32 [steps, batch, layers * gate]."""
        if condition is None or self._condition is None:
            return self._bias[None, None]
        part = condition[:, start:stop].transpose(1, 0, 2)
        made = part.reshape(-1, part.shape[-1]) @ self._condition + self._bias
        return made.reshape(*part.shape[:2], -1)
