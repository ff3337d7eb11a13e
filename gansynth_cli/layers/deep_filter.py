"""The layers of DeepFilterNet: causal in time, convolving over frequency, recurrent over frames.

Tensors are [batch, frames, bands or bins, channels], or [batch, frames, units] where frequency and channels are joined (frequency
major). No layer looks ahead: time is padded on the left alone. Every layer stores its weights by name, so that a `.keras` file can be
read with h5py and numpy (`inference.enhance.deep_filter`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .recurrent import gru, gru_step

_register = keras.saving.register_keras_serializable(package="gan_audio")


class NamedWeights(keras.layers.Layer):
    """A layer whose weights are stored by name, in the precision that `stored_as` says; what loads them computes in float32."""

    stored_as = "float32"

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.named: dict[str, keras.Variable] = {}

    def weight(self, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        """Add a trainable weight and keep it in `named`."""
        self.named[name] = self.add_weight(name=name, shape=shape, initializer=initializer, trainable=True)
        return self.named[name]

    def uniform(self, fan_in: int, salt: int = 0) -> keras.initializers.Initializer:
        """Return the initialiser U(-b, b) with b = 1 / sqrt(fan in)."""
        bound = fan_in**-0.5
        return keras.initializers.RandomUniform(-bound, bound, seed=None if self.seed is None else self.seed + salt)

    def save_own_variables(self, store: Any) -> None:
        for name, variable in self.named.items():
            store[name] = np.asarray(variable).astype(self.stored_as)

    def load_own_variables(self, store: Any) -> None:
        for name, variable in self.named.items():
            variable.assign(np.asarray(store[name], np.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@_register
class GroupedLinear(NamedWeights):
    """A linear layer whose inputs and outputs are cut into groups of neighbours: block-diagonal, without bias or shuffle.

    y[g h + j] = sum over i of x[g n + i] kernel[g, i, j], with n inputs and h outputs in a group.

    Args:
        units: Outputs, a multiple of `groups`.
        groups: Divides the inputs and the outputs.
        activation: A Keras name, or None.

    Call: float [..., inputs] -> [..., units].
    """

    def __init__(self, units: int, groups: int, activation: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if units % groups:
            raise ValueError(f"units {units} and groups {groups}: expected groups that divide the units")
        self.units, self.groups = units, groups
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        inputs = input_shape[-1]
        if inputs % self.groups:
            raise ValueError(f"{inputs} inputs and groups {self.groups}: expected groups that divide the inputs")
        n = inputs // self.groups
        self.kernel = self.weight("kernel", (self.groups, n, self.units // self.groups), self.uniform(n))
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        groups, n, _ = self.kernel.shape
        # Groups first: a batched product of matrices. Its gradient is one too, which an einsum over [b, t, g, i] is not.
        rows = tf.transpose(tf.reshape(x, [-1, groups, n]), [1, 0, 2])
        y = tf.transpose(tf.matmul(rows, self.kernel), [1, 0, 2])
        return self.activation(tf.reshape(y, [*_sizes(x)[:-1], self.units]))

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "groups": self.groups, "activation": keras.activations.serialize(self.activation)}
        return {**super().get_config(), **own}


@_register
class CausalConvolution(NamedWeights):
    """A convolution over frames and frequency that sees no later frame; frequency keeps its size, zeros beyond its ends.

    Args:
        filters: Output channels.
        kernel_size: (frames, bins); the bins odd.
        groups: Group g of the outputs reads group g of the inputs.
        pointwise: A second convolution of 1 x 1 over all channels follows at once.
        activation: A Keras name, or None.

    Call: float [batch, frames, bins, channels] -> [batch, frames, bins, filters]. The weights are `kernel` [frames, bins,
    channels / groups, filters], `pointwise` [filters, filters] and `bias` [filters].

    Nothing but the bias stands between the two convolutions, so their kernels are multiplied and the product applied: 0.11 instead of
    0.45 million products a frame for the 96-bin input layer of DeepFilterNet 3, and no grouped convolution, which is slow on a CPU.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int],
        groups: int = 1,
        pointwise: bool = False,
        activation: str | None = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if filters % groups or kernel_size[1] % 2 == 0:
            raise ValueError(
                f"filters {filters}, groups {groups}, kernel {kernel_size}: expected groups that divide, an odd number of bins"
            )
        self.filters, self.kernel_size, self.groups, self.pointwise = filters, tuple(kernel_size), groups, pointwise
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        channels, (taps, bins) = input_shape[-1], self.kernel_size
        if channels % self.groups:
            raise ValueError(f"{channels} channels and groups {self.groups}: expected groups that divide the channels")
        shape = (taps, bins, channels // self.groups, self.filters)
        self.kernel = self.weight("kernel", shape, self.uniform(taps * bins * shape[2]))
        if self.pointwise:
            self.mixing = self.weight("pointwise", (self.filters, self.filters), self.uniform(self.filters, 1))
        self.bias = self.weight("bias", (self.filters,), "zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        taps, bins = self.kernel_size
        channels, kernel = x.shape[-1], self._whole_kernel()
        if channels <= self.filters:  # gather the neighbourhood, then one product
            y = _product(tf.concat(list(self._shifted(x)), axis=-1), tf.reshape(kernel, [-1, self.filters]))
        else:  # one product, then gather: it is the narrower side that is copied
            apart = tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [channels, -1])
            parts = tf.split(_product(x, apart), taps * bins, axis=-1)
            y = tf.add_n([self._shift(part, *divmod(index, bins)) for index, part in enumerate(parts)])
        return self.activation(y + self.bias)

    def last_frame(self, x: tf.Tensor) -> tf.Tensor:
        """Return the output at the last of as many frames as the kernel spans: [batch, taps, bins, channels] -> one frame."""
        taps, bins = self.kernel_size
        count, half = x.shape[2], bins // 2
        wide = tf.pad(x, [[0, 0], [0, 0], [half, half], [0, 0]])
        parts = [wide[:, tap : tap + 1, bin_ : bin_ + count] for tap in range(taps) for bin_ in range(bins)]
        return self.activation(_product(tf.concat(parts, axis=-1), tf.reshape(self._whole_kernel(), [-1, self.filters])) + self.bias)

    def _whole_kernel(self) -> tf.Tensor:
        """[frames, bins, channels, filters] of a plain convolution that gives the same."""
        taps, bins, width, filters = self.kernel.shape
        if self.groups == 1:
            kernel = tf.convert_to_tensor(self.kernel)
            return tf.einsum("abcf,fo->abco", kernel, self.mixing) if self.pointwise else kernel
        # [taps, bins, width, groups, filters / groups] -> groups of inputs before their channels.
        apart = tf.transpose(tf.reshape(self.kernel, [taps, bins, width, self.groups, -1]), [0, 1, 3, 2, 4])
        mixing = self.mixing if self.pointwise else tf.eye(filters)
        whole = tf.einsum("abgcf,gfo->abgco", apart, tf.reshape(mixing, [self.groups, -1, filters]))
        return tf.reshape(whole, [taps, bins, self.groups * width, filters])

    def _shifted(self, x: tf.Tensor):
        for tap in range(self.kernel_size[0]):
            for bin_ in range(self.kernel_size[1]):
                yield self._shift(x, tap, bin_)

    def _shift(self, x: tf.Tensor, tap: int, bin_: int) -> tf.Tensor:
        """`x` as tap (tap, bin) sees it: later by the frames still to come, zeros where nothing is."""
        delay, offset = self.kernel_size[0] - 1 - tap, bin_ - self.kernel_size[1] // 2
        if not delay and not offset:
            return x
        frames, bins = _sizes(x)[1:3]
        part = x[:, : frames - delay, max(0, offset) : bins + min(0, offset)]
        return tf.pad(part, [[0, 0], [delay, 0], [max(0, -offset), max(0, offset)], [0, 0]])

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("filters", "kernel_size", "groups", "pointwise")}
        return {**super().get_config(), **own, "activation": keras.activations.serialize(self.activation)}


@_register
class FrequencyConvolution(NamedWeights):
    """A depthwise convolution of three bands, then one of 1 x 1 over all channels and ReLU; frame by frame.

    Args:
        stride: 1 or 2: outputs lie at every `stride`-th band; the number of bands must be a multiple.
        transposed: The depthwise part is the transpose of one with that stride: `stride` times as many bands. Then output 2i is
            x[i] w[1], output 2i + 1 is x[i] w[2] + x[i + 1] w[0] (of stride 2), with zero beyond the last band.

    Call: float [batch, frames, bands, channels] -> the same channels. The weights are `kernel` [3, channels], `pointwise`
    [channels, channels] and `bias` [channels].
    """

    def __init__(self, stride: int = 1, transposed: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if stride not in (1, 2) or (transposed and stride == 1):
            raise ValueError(f"stride {stride}, transposed {transposed}: expected a stride of 1 or 2, and 2 if transposed")
        self.stride, self.transposed = stride, transposed

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if self.stride == 2 and not self.transposed and input_shape[2] % 2:
            raise ValueError(f"{input_shape[2]} bands with stride 2: expected an even number")
        self.kernel = self.weight("kernel", (3, channels), self.uniform(3))
        self.mixing = self.weight("pointwise", (channels, channels), self.uniform(channels, 1))
        self.bias = self.weight("bias", (channels,), "zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        mixed = self._upsampled(x) if self.transposed else self._convolved(x)
        return tf.nn.relu(_product(mixed, self.mixing) + self.bias)

    # Sums of scaled slices: TensorFlow's depthwise kernels take longer on a CPU, most of all for gradients.

    def _convolved(self, x: tf.Tensor) -> tf.Tensor:
        low, here, high = tf.unstack(tf.convert_to_tensor(self.kernel))
        if self.stride == 1:
            return here * x + low * _moved(x, 1) + high * _moved(x, -1)
        batch, frames, bands, channels = _sizes(x)
        pairs = tf.reshape(x, [batch, frames, bands // 2, 2 * channels])
        even, odd = pairs[..., :channels], pairs[..., channels:]
        return here * even + low * _moved(odd, 1) + high * odd

    def _upsampled(self, x: tf.Tensor) -> tf.Tensor:
        batch, frames, bands, channels = _sizes(x)
        low, here, high = tf.unstack(tf.convert_to_tensor(self.kernel))
        odd = high * x + low * _moved(x, -1)
        return tf.reshape(tf.concat([here * x, odd], axis=-1), [batch, frames, 2 * bands, channels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride, "transposed": self.transposed}


@_register
class ChannelGain(NamedWeights):
    """relu(gain x + bias), one gain and one bias for each channel: a depthwise convolution of 1 x 1."""

    def build(self, input_shape: Any) -> None:
        self.gain = self.weight("gain", (input_shape[-1],), "ones")
        self.bias = self.weight("bias", (input_shape[-1],), "zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x * self.gain + self.bias)


@_register
class FrameRecurrence(NamedWeights):
    """A gated recurrent unit over frames, beginning at zero (`recurrent.gru`); weights as Keras's GRU has them.

    Call: float [batch, frames, inputs] -> [batch, frames, units]. The weights are `kernel` [inputs, 3 units], `recurrent_kernel`
    [units, 3 units] and `bias` [2, 3 units], for update gate, reset gate and candidate.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        bound = self.uniform(self.units)
        self.kernel = self.weight("kernel", (input_shape[-1], 3 * self.units), bound)
        self.recurrent_kernel = self.weight("recurrent_kernel", (self.units, 3 * self.units), self.uniform(self.units, 1))
        self.bias = self.weight("bias", (2, 3 * self.units), "zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        kernel, outside, recurrent, inner = self._parameters()
        outputs = gru(tf.transpose(x, [1, 0, 2]), kernel, outside, recurrent, inner, tf.zeros([_sizes(x)[0], self.units]))
        return tf.transpose(outputs, [1, 0, 2])

    def step(self, x: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """Run one frame: x [batch, inputs] and the state [batch, units] -> the next state, which is the output."""
        kernel, outside, recurrent, inner = self._parameters()
        return gru_step(x, kernel, outside, recurrent, inner, state)

    def _parameters(self) -> tuple[tf.Tensor, ...]:
        bias, units = tf.convert_to_tensor(self.bias), self.units
        # The recurrent biases of the two gates are added outside of the loop; the candidate's is inside its reset gate.
        outside = bias[0] + tf.concat([bias[1, : 2 * units], tf.zeros([units])], axis=0)
        return tf.convert_to_tensor(self.kernel), outside, tf.convert_to_tensor(self.recurrent_kernel), bias[1, 2 * units :]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def deep_filter(real: tf.Tensor, imaginary: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Filter each bin along time with complex taps of its own (Mack and Habets 2020, "Deep filtering").

    Y[n, f] = sum over k of C[n, f, k] X[n + k, f], a complex product without conjugation.

    Args:
        real, imaginary: float32 [batch, frames + order - 1, bins]; frame n of the output sees the frames n to n + order - 1 of these, so
            the caller has padded `order - 1 - lookahead` frames before and `lookahead` after.
        taps: float32 [batch, frames, bins, 2 order]: real and imaginary part of tap 0, of tap 1 ...

    Returns:
        (real, imaginary), each float32 [batch, frames, bins].
    """
    order = taps.shape[-1] // 2
    frames = _sizes(taps)[1]
    c = tf.unstack(taps, axis=-1)
    x = [(real[:, k : k + frames], imaginary[:, k : k + frames]) for k in range(order)]
    filtered_real = tf.add_n([c[2 * k] * x[k][0] - c[2 * k + 1] * x[k][1] for k in range(order)])
    filtered_imaginary = tf.add_n([c[2 * k] * x[k][1] + c[2 * k + 1] * x[k][0] for k in range(order)])
    return filtered_real, filtered_imaginary


def _product(x: tf.Tensor, kernel: Any) -> tf.Tensor:
    """[..., n] times [n, m] as one product of two matrices: with more axes TensorFlow takes its batched product, several times slower."""
    kernel = tf.convert_to_tensor(kernel)
    y = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(y, [*_sizes(x)[:-1], kernel.shape[1]])


def _moved(x: tf.Tensor, bands: int) -> tf.Tensor:
    """[batch, frames, bands, channels] one band up (1) or down (-1), zero at the end that is left free."""
    if bands > 0:
        return tf.pad(x[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0]])
    return tf.pad(x[:, :, 1:], [[0, 0], [0, 0], [0, 1], [0, 0]])


def _sizes(x: tf.Tensor) -> list[Any]:
    """The shape, as numbers where they are known."""
    return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]
