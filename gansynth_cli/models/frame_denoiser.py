"""The saved denoiser: `model/generator.keras`, and the bundled `pretrained/denoiser-small.keras`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..layers.recurrent import gru, gru_step
from .exported import ExportPlan, Port, denoiser_plan
from .mask_networks import MaskNetwork, make_network
from .stored_weights import TableWeights

MAX_WEIGHTS = 1 << 27  # the largest recipe has 1.6 million; a file that claims more is damaged


@keras.saving.register_keras_serializable(package="gan_audio")
class FrameDenoiser(TableWeights, keras.Model):
    """A causal network from spectrum frames to a gain for each bin, with explicit state.

    The transform stays outside: a periodic square-root Hann window of `fft` samples for analysis and synthesis, hop = fft / 2; frame t
    covers the samples [t hop - (fft - hop), t hop + hop).

    The file holds the weights by name (`vars/block0/time/kernel` in `model.weights.h5`), so
    `inference.enhance.numpy_network.FrameNetwork` runs it in numpy.

    Args:
        network: "gru" or "bands"; see `mask_networks.make_network`.
        sample_rate: Hz.
        fft, hop: Samples.
        options: Further arguments of the network.
        stored_as: "float32" or "float16", the precision of the weights in the file. Computation is float32.
        seed: Seed of the initial weights.
        level: Factor on every gain outside training: an uncertain network attenuates all it passes a little, and this brings clean
            speech back to its level. `Denoiser.preview` sets it.
        provenance: Free JSON: recipe, step, family, data fingerprint, version.
    """

    def __init__(
        self,
        network: str,
        sample_rate: int,
        fft: int,
        hop: int,
        options: Mapping[str, Any],
        stored_as: str = "float32",
        seed: int = 0,
        level: float = 1.0,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.options, self.stored_as, self.seed = network, dict(options), stored_as, int(seed)
        self.sample_rate, self.fft, self.hop, self.level = int(sample_rate), int(fft), int(hop), float(level)
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.mask: MaskNetwork = make_network({**self._own_config(), "options": self.options})
        if (count := sum(math.prod(shape) for shape in self.mask.weights.values())) > MAX_WEIGHTS:
            raise ValueError(f"its network has {count:,} weights; expected at most {MAX_WEIGHTS:,}")
        rng = np.random.default_rng([self.seed, 0xDE401])
        self.table: dict[str, keras.Variable] = {}
        for name, shape in self.mask.weights.items():
            self.table[name] = self._variable(name, _first_weights(name, shape, rng), trainable=True)
        for name, values in self.mask.fixed.items():
            self.table[name] = self._variable(name, values, trainable=False)
        self.built = True  # its weights exist: it can be saved without a call

    def _variable(self, name: str, values: np.ndarray, trainable: bool) -> keras.Variable:
        first = np.asarray(values, np.float32)
        return self.add_weight(
            name=name.replace("/", "_"),
            shape=first.shape,
            initializer=lambda shape, dtype=None: first,
            trainable=trainable,
            dtype="float32",
        )

    def call(
        self, spectrum: tf.Tensor, states: Sequence[tf.Tensor] | None = None, training: bool = False
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """complex64 [rows, frames, bins] and states -> (gain complex64 of that shape, states after the last frame).

        In training quiet input is not lifted and `level` not applied: both correct for what training does not cover.
        """
        frames_first = tf.transpose(spectrum, [1, 0, 2])
        if states is None:
            states = self.initial_states(spectrum.shape[0] if spectrum.shape[0] is not None else tf.shape(spectrum)[0])
        operations = TensorOperations({name: variable.value for name, variable in self.table.items()})
        real, imaginary = tf.math.real(frames_first), tf.math.imag(frames_first)
        if training:
            real, imaginary, after = self.mask.gains(operations, real, imaginary, states[1:])
            states = [states[0], *after]
        else:
            real, imaginary, states = self.mask.run(operations, real, imaginary, states)
        gain = tf.complex(real, tf.zeros_like(real) if imaginary is None else imaginary)
        if not training:
            gain *= tf.cast(self.level, tf.complex64)
        return tf.transpose(gain, [1, 0, 2]), states

    def initial_states(self, rows: int | tf.Tensor) -> list[tf.Tensor]:
        """Return the states before a recording: zeros."""
        return [tf.zeros([rows * items, units]) for items, units in self.mask.states]

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: one frame a call."""

        def function(real: tf.Tensor, imaginary: tf.Tensor, floor: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
            operations = FrameOperations({name: variable.value for name, variable in self.table.items()})
            gain, turn, after = self.mask.run(operations, real[None], imaginary[None], states)
            if turn is None:
                g = tf.maximum(gain[0] * self.level, floor)
                return real * g, imaginary * g, *after
            g, turn = gain[0] * self.level, turn[0] * self.level
            # As `inference.enhance.gain_stream.limit`: a small complex gain has no meaningful phase, so the noisy audio is added.
            g += tf.maximum(floor - tf.sqrt(tf.square(g) + tf.square(turn)), 0.0)
            return real * g - imaginary * turn, real * turn + imaginary * g, *after

        states = tuple(Port(f"state{i}", tuple(shape)) for i, shape in enumerate(self.mask.states))
        return denoiser_plan(function, states, self.sample_rate, self.fft, self.hop, "sqrt_hann", lookahead=0)

    def _own_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("network", "sample_rate", "fft", "hop")}

    def get_config(self) -> dict[str, Any]:
        own = ("options", "stored_as", "seed", "level", "provenance")
        return {**super().get_config(), **self._own_config(), **{name: getattr(self, name) for name in own}}


class TensorOperations:
    """`mask_networks.Operations` in TensorFlow, on the weights of one network by name."""

    def __init__(self, weights: Mapping[str, tf.Tensor]):
        self.weights = weights

    def weight(self, name):
        return self.weights[name]

    def size(self, x, axis):
        return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]

    def reshape(self, x, shape):
        return tf.reshape(x, shape)

    def concat(self, parts, axis):
        return tf.concat(parts, axis)

    def stack(self, parts):
        return tf.stack(parts, axis=-1)

    def pad(self, x, axis, before, after):
        return tf.pad(x, [[before, after] if i == axis else [0, 0] for i in range(len(x.shape))])

    def power(self, x, exponent):
        return tf.math.rsqrt(x) if exponent == -0.5 else tf.exp(exponent * tf.math.log(x))

    def log(self, x):
        return tf.math.log(x)

    def sum(self, x):
        return tf.reduce_sum(x, axis=-1, keepdims=True)

    def follow(self, x, state, release):
        return tf.scan(lambda before, now: tf.maximum(now, before - release), x, initializer=state)

    def lift(self, x, most):
        return tf.exp(-0.5 * tf.clip_by_value(x, -most, 0.0))

    def sigmoid(self, x):
        return tf.sigmoid(x)

    def silu(self, x):
        return tf.nn.silu(x)

    def dense(self, x, name):
        kernel = self.weights[f"{name}/kernel"]
        # One product of two matrices: with more axes TensorFlow takes its batched product, several times slower on a CPU.
        y = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel) + self.weights[f"{name}/bias"]
        return tf.reshape(y, [*(self.size(x, i) for i in range(len(x.shape) - 1)), kernel.shape[1]])

    def gru(self, x, name, state):
        input_kernel, input_bias, kernel, bias = (self.weights[f"{name}/{key}"] for key in ("input/kernel", "input/bias", "kernel", "bias"))
        outputs = gru(x, input_kernel, input_bias, kernel, bias, state)
        return outputs, outputs[-1]


class FrameOperations(TensorOperations):
    """The operations on a single frame, without loops."""

    def follow(self, x, state, release):
        return tf.maximum(x[0], state - release)[None]

    def gru(self, x, name, state):
        input_kernel, input_bias, kernel, bias = (self.weights[f"{name}/{key}"] for key in ("input/kernel", "input/bias", "kernel", "bias"))
        after = gru_step(x[0], input_kernel, input_bias, kernel, bias, state)
        return after[None], after


def _first_weights(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return initial weights: Glorot-uniform kernels, recurrent ones orthogonal gate by gate (Saxe et al. 2014), zero biases.

    The gains begin near 1.
    """
    layer, _, kind = name.rpartition("/")
    if kind == "bias" or layer.startswith(("motion", "filter")) or (layer.startswith("added") and layer.endswith(("/out", "/spread"))):
        return np.zeros(shape)  # what is added to a trained network leaves it unchanged at first
    if 3 * shape[0] == shape[1] and not layer.endswith("/input"):
        return np.concatenate([np.linalg.qr(rng.standard_normal((shape[0], shape[0])))[0] for _ in range(3)], axis=1)
    scale = 0.5 if layer == "out" or layer.startswith("mask") else 0.3 if name == "band" else 1.0
    limit = scale * (6.0 / (shape[0] + shape[1])) ** 0.5
    return rng.uniform(-limit, limit, shape)
