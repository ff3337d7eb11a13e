"""One-dimensional convolutions for vocoders and waveform discriminators: explicit padding, groups, dilation, on any device.

TensorFlow's grouped convolution has no gradient on the CPU, nor has one with dilation. Here groups are convolved separately and joined,
which costs about as much as one plain convolution of the same arithmetic (`benchmarks/convolutions.py`), and a dilated convolution is an
ordinary one of every n-th sample. `tf.nn.conv1d` and `tf.nn.convolution` do the same with operations for the general case at every call,
and more in its gradient: of hundreds of groups those were the larger part of the graph of a training step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from ..signal.portable import is_portable

_register = keras.saving.register_keras_serializable(package="gan_audio")

PaddingMode = Literal["zero", "reflect"]
Initializer = Literal["fan_in", "normal", "torch"]

_BIAS_SEED = 0x0B1A5  # a kernel and its bias draw different numbers
_FEW_GROUPS = 64  # below this, the overhead of one small convolution per group is not worth avoiding
_MERGED_CHANNELS = 16  # input channels of a merged group; wider ones lose more to zeros than they save


@_register
class Convolution1D(keras.layers.Layer):
    """Convolution over time with explicit symmetric padding, as in the papers' code, whatever the stride.

    Args:
        filters: Output channels.
        kernel_size: Taps.
        stride, dilation, groups: As usual; stride and dilation cannot be combined.
        padding: Number of samples added at each end.
        padding_mode: "zero", or "reflect": mirrored without the edge sample; the input must be longer than `padding`.
        use_bias: Whether there is a bias.
        initializer: Of kernels: "fan_in": U(-b, b) with b = 1 / sqrt(fan in). "normal": N(0, deviation^2). "torch": as "fan_in", biases
            too, which is PyTorch's default; otherwise biases start at zero.
        deviation: Standard deviation of "normal".
        seed: Seed of the initial weights.

    Call: float [batch, time, channels] -> [batch, (time + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, filters].
    The kernel is [kernel_size, channels / groups, filters]; group g reads and writes the g-th part of the channels.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int = 0,
        padding_mode: PaddingMode = "zero",
        use_bias: bool = True,
        initializer: Initializer = "fan_in",
        deviation: float = 0.02,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if stride > 1 and dilation > 1:
            raise ValueError(f"stride {stride} with dilation {dilation}: they cannot be combined")
        if filters % groups:
            raise ValueError(f"{filters} filters are not a multiple of {groups} groups")
        if padding_mode not in ("zero", "reflect"):
            raise ValueError(f"padding_mode is {padding_mode!r}; expected 'zero' or 'reflect'")
        self.filters, self.kernel_size, self.stride, self.dilation, self.groups = filters, kernel_size, stride, dilation, groups
        self.padding, self.padding_mode, self.use_bias = padding, padding_mode, use_bias
        self.initializer, self.deviation, self.seed = initializer, deviation, seed

    def build(self, inputs_shape) -> None:
        channels = inputs_shape[-1]
        if channels % self.groups:
            raise ValueError(f"{channels} input channels are not a multiple of {self.groups} groups")
        shape = (self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=make_initializer(self.initializer, self.deviation, self.seed))
        bias = bias_initializer(self.initializer, shape[0] * shape[1], self.seed)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=bias) if self.use_bias else None
        super().build(inputs_shape)

    def call(self, inputs):
        x, kernel, zeros = inputs, tf.cast(self.kernel, inputs.dtype), self.padding
        if self.padding_mode == "reflect":
            x, zeros = pad_time(x, self.padding, "reflect"), 0
        if self.groups > 1:
            x = grouped_convolution(x, kernel, self.groups, self.stride, self.dilation, zeros)
        else:
            x = _convolve(x, kernel, self.stride, self.dilation, zeros)
        return x if self.bias is None else tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))

    def compute_output_shape(self, inputs_shape):
        span = self.dilation * (self.kernel_size - 1) + 1
        steps = None if inputs_shape[1] is None else (inputs_shape[1] + 2 * self.padding - span) // self.stride + 1
        return (inputs_shape[0], steps, self.filters)

    def get_config(self) -> dict[str, Any]:
        own = ("filters", "kernel_size", "stride", "dilation", "groups", "padding", "padding_mode", "use_bias", "initializer", "deviation")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}, "seed": self.seed}


@_register
class TransposedConvolution1D(keras.layers.Layer):
    """Transposed convolution over time, cropped like PyTorch's: `padding` samples at both ends, less `output_padding` at the last.

    Args: as for `Convolution1D`; the kernel is [kernel_size, filters, channels].

    Call: float [batch, time, channels] -> [batch, (time - 1) stride + kernel_size - 2 padding + output_padding, filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int,
        padding: int = 0,
        output_padding: int = 0,
        initializer: Initializer = "fan_in",
        deviation: float = 0.02,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if output_padding > padding:
            raise ValueError(f"output_padding {output_padding} exceeds padding {padding}")
        self.filters, self.kernel_size, self.stride = filters, kernel_size, stride
        self.padding, self.output_padding = padding, output_padding
        self.initializer, self.deviation, self.seed = initializer, deviation, seed

    def build(self, inputs_shape) -> None:
        shape = (self.kernel_size, self.filters, inputs_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=make_initializer(self.initializer, self.deviation, self.seed))
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        super().build(inputs_shape)

    def call(self, inputs):
        batch, steps = _size(inputs, 0), _size(inputs, 1)
        whole = (steps - 1) * self.stride + self.kernel_size
        x = tf.nn.conv1d_transpose(
            inputs, tf.cast(self.kernel, inputs.dtype), tf.stack([batch, whole, self.filters]), self.stride, padding="VALID"
        )
        end = whole - self.padding + self.output_padding
        x = tf.nn.bias_add(x[:, self.padding : end], tf.cast(self.bias, x.dtype))
        return tf.ensure_shape(x, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, inputs_shape):
        steps = inputs_shape[1]
        if steps is not None:
            steps = (steps - 1) * self.stride + self.kernel_size - 2 * self.padding + self.output_padding
        return (inputs_shape[0], steps, self.filters)

    def get_config(self) -> dict[str, Any]:
        own = ("filters", "kernel_size", "stride", "padding", "output_padding", "initializer", "deviation", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@_register
class DepthwiseConvolution1D(keras.layers.Layer):
    """Depthwise convolution with zero padding that keeps the length. It uses TensorFlow's two-dimensional kernel on clips one row high,
    whose gradient is fifteen times faster on the CPU than that of shifted multiply-adds, which reduce over batch and time once per tap.

    Args:
        kernel_size: Number of taps, odd.
        deviation: Standard deviation of the initial, normally distributed taps.
        seed: Seed of the initial weights.
        truncated: Whether the distribution is truncated at two standard deviations.

    Call: float [batch, time, channels] -> the same shape.
    """

    def __init__(self, kernel_size: int, deviation: float = 0.02, seed: int | None = None, truncated: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; expected an odd number")
        self.kernel_size, self.deviation, self.seed, self.truncated = kernel_size, deviation, seed, truncated

    def build(self, inputs_shape) -> None:
        draw = keras.initializers.TruncatedNormal if self.truncated else keras.initializers.RandomNormal
        initializer = draw(stddev=self.deviation, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(self.kernel_size, inputs_shape[-1]), initializer=initializer)
        self.bias = self.add_weight(name="bias", shape=(inputs_shape[-1],), initializer="zeros")
        super().build(inputs_shape)

    def call(self, inputs):
        kernel = tf.cast(self.kernel, inputs.dtype)[None, :, :, None]
        convolved = tf.nn.depthwise_conv2d(inputs[:, None], kernel, [1, 1, 1, 1], "SAME")
        return convolved[:, 0] + tf.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "deviation": self.deviation,
            "seed": self.seed,
            "truncated": self.truncated,
        }


def grouped_convolution(x: tf.Tensor, kernel: tf.Tensor, groups: int, stride: int = 1, dilation: int = 1, padding: int = 0) -> tf.Tensor:
    """Convolve [batch, time, channels] with [taps, channels / groups, filters] in `groups` parts, with `padding` zeros at both ends.

    On a GPU this is cuDNN's convolution. On the CPU each group is a separate convolution. A stride is removed first, by treating `stride`
    adjacent samples as channels: for groups of four channels the library's strided convolution takes twice as long. Starting hundreds
    of such groups costs more than computing them, so neighbours are merged with a block-diagonal kernel, which multiplies zeros (four
    times the arithmetic at 4 channels per group) but still takes less time.
    """
    if on_gpu():
        return _convolve(x, kernel, stride, dilation, padding)
    taps, inside, filters = kernel.shape
    merged = 1
    while groups // (2 * merged) >= _FEW_GROUPS and groups % (2 * merged) == 0 and 2 * merged * inside <= _MERGED_CHANNELS:
        merged *= 2
    parts = groups // merged
    if merged > 1:
        blocks = tf.reshape(kernel, [taps, 1, inside, parts, merged, filters // groups])
        blocks *= tf.reshape(tf.eye(merged, dtype=kernel.dtype), [1, merged, 1, 1, merged, 1])
        kernel = tf.reshape(blocks, [taps, merged * inside, filters])
    if stride > 1:
        x, kernel = _without_stride(x, kernel, parts, stride, padding)
        padding = 0
    if dilation > 1:
        x, back = _every_nth(x, dilation, padding)
        return back(_in_groups(x, kernel, parts))
    return _in_groups(pad_time(x, padding), kernel, parts)


def _in_groups(x: tf.Tensor, kernel: tf.Tensor, groups: int) -> tf.Tensor:
    """Convolve [batch, time, channels] * [taps, channels / groups, filters] in parts, without padding.

    With a gradient of its own: TensorFlow's of the same graph takes the parts out of each joined tensor one by one and asks for the sizes
    of every part, four operations more for each.
    """
    how: dict[str, Any] = {"strides": [1, 1, 1, 1], "padding": "VALID"}
    split = lambda y: tf.split(y, groups, axis=3)
    join = lambda parts: tf.concat(list(parts), axis=3)

    @tf.custom_gradient
    def convolve(x, kernel):
        parts, kernels = split(x), split(kernel)

        def gradient(upstream):
            slopes = split(upstream)
            inside, taps = (tf.constant(a.shape.as_list()) if None not in a.shape else tf.shape(a) for a in (parts[0], kernels[0]))
            of_input = lambda k, d: tf.raw_ops.Conv2DBackpropInput(input_sizes=inside, filter=k, out_backprop=d, **how)
            of_kernel = lambda a, d: tf.raw_ops.Conv2DBackpropFilter(input=a, filter_sizes=taps, out_backprop=d, **how)
            return join(map(of_input, kernels, slopes)), join(map(of_kernel, parts, slopes))

        return join(tf.raw_ops.Conv2D(input=a, filter=k, **how) for a, k in zip(parts, kernels, strict=True)), gradient

    return tf.squeeze(convolve(tf.expand_dims(x, 1), tf.expand_dims(kernel, 0)), [1])


def pad_time(x: tf.Tensor, padding: int, mode: PaddingMode = "zero") -> tf.Tensor:
    """Pad the time axis of [batch, time, ...] by `padding` steps at each end."""
    if not padding:
        return x
    widths = [[0, 0], [padding, padding]] + [[0, 0]] * (len(x.shape) - 2)
    return tf.pad(x, widths, "REFLECT" if mode == "reflect" else "CONSTANT")


def make_initializer(name: Initializer, deviation: float, seed: int | None) -> keras.initializers.Initializer:
    """Return the initializer of a kernel. "fan_in", "torch": uniform within 1 / sqrt(fan in). "normal": N(0, deviation^2)."""
    if name == "normal":
        return keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    if name in ("fan_in", "torch"):
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)
    raise ValueError(f"initializer is {name!r}; expected 'fan_in', 'normal' or 'torch'")


def bias_initializer(name: Initializer, fan_in: int, seed: int | None) -> keras.initializers.Initializer:
    """Return the initializer of a bias. "torch": uniform within 1 / sqrt(fan in); otherwise zeros."""
    if name != "torch":
        return keras.initializers.Zeros()
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound, seed=None if seed is None else seed ^ _BIAS_SEED)


def _without_stride(x: tf.Tensor, kernel: tf.Tensor, groups: int, stride: int, padding: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rearrange signal to [batch, steps, groups * stride * inside] and kernel to [taps / stride, stride * inside, filters], whose
    convolution of stride 1 equals the given one of stride `stride`, with `padding` zeros at both ends."""
    taps, inside, filters = kernel.shape
    fewer = -(-taps // stride)
    out = (_size(x, 1) + 2 * padding - taps) // stride + 1
    length = (out - 1 + fewer) * stride
    x = tf.pad(x, [[0, 0], [padding, padding + stride], [0, 0]])[:, :length]  # the kernel is zero beyond the last tap
    x = tf.reshape(x, [-1, length // stride, stride, groups, inside])
    x = tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4]), [-1, length // stride, groups * stride * inside])
    return x, tf.reshape(tf.pad(kernel, [[0, fewer * stride - taps], [0, 0], [0, 0]]), [fewer, stride * inside, filters])


def _convolve(x: tf.Tensor, kernel: tf.Tensor, stride: int, dilation: int, padding: int) -> tf.Tensor:
    taps = kernel.shape[0]
    if dilation > 1 and not (on_gpu() or is_portable()):
        x, back = _every_nth(x, dilation, padding)
        return back(_convolve(x, kernel, 1, 1, 0))
    # Zeros that keep the length are the library's own; other numbers of them are added before, as its explicit padding takes a slower
    # way on the CPU.
    same = padding > 0 and stride == 1 and 2 * padding == dilation * (taps - 1)
    same = same and not (dilation > 1 and is_portable())  # ONNX Runtime pads dilated convolutions by numbers alone
    row = tf.expand_dims(x if same else pad_time(x, padding), 1)
    made = tf.nn.conv2d(row, tf.expand_dims(kernel, 0), [1, stride], "SAME" if same else "VALID", dilations=[1, dilation])
    return tf.squeeze(made, [1])


def _every_nth(x: tf.Tensor, dilation: int, padding: int) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """[batch, time, channels] as `dilation` times as many signals of every n-th sample, with `padding` zeros at both ends, and what
    brings those of a convolution back into one."""
    steps = _size(x, 1)
    end = padding + -(steps + 2 * padding) % dilation
    apart = tf.space_to_batch(x, [dilation], [[padding, end]])

    def back(made: tf.Tensor) -> tf.Tensor:
        return tf.batch_to_space(made, [dilation], [[0, end - padding]])

    return apart, back


def on_gpu() -> bool:
    """Return whether layers run on a GPU: what cuDNN has and the CPU's library has not is used there."""
    return bool(tf.config.list_logical_devices("GPU"))


def _size(x: tf.Tensor, axis: int) -> Any:
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]
