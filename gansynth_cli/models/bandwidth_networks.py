"""The networks of bandwidth extenders, written once for TensorFlow and numpy: `Operations` on named weights.

Convolutions over time are not padded: the caller passes `BandwidthSettings.halo` frames of context on either side, which the network uses
up, so a recording in blocks gives what it gives at once. Beyond its ends it is silent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

from .bandwidth_settings import BandwidthSettings

_DEVIATION = 0.02


class Operations(Protocol):
    """What a backend provides. x is [rows, frames, channels]."""

    def dense(self, x: Any, name: str) -> Any:
        """x @ kernel + bias."""
        ...

    def convolution(self, x: Any, name: str) -> Any:
        """Convolution over frames without padding, kernel [taps, in, out]."""
        ...

    def depthwise(self, x: Any, name: str) -> Any:
        """One filter for each channel over frames without padding, kernel [taps, channels]."""
        ...

    def norm(self, x: Any, name: str) -> Any:
        """Layer normalisation over channels, epsilon 1e-6."""
        ...

    def gelu(self, x: Any) -> Any:
        """Exact."""
        ...

    def scale(self, x: Any, name: str) -> Any:
        """x times a factor for each channel."""
        ...

    def atan2(self, y: Any, x: Any) -> Any: ...


def weight_shapes(s: BandwidthSettings) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights by name."""
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes.update({f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)})

    def norm(name: str) -> None:
        shapes.update({f"{name}/gain": (s.channels,), f"{name}/bias": (s.channels,)})

    for stream in _streams(s):
        if s.network == "envelope":
            dense(f"{stream}first", 2 * s.input_bands + 1, s.channels)
        else:
            shapes.update({f"{stream}first/kernel": (s.kernel, s.fft // 2 + 1, s.channels), f"{stream}first/bias": (s.channels,)})
        norm(f"{stream}first_norm")
        for block in range(s.blocks):
            name = f"{stream}block{block}"
            shapes.update({f"{name}/time/kernel": (s.kernel, s.channels), f"{name}/time/bias": (s.channels,)})
            norm(f"{name}/norm")
            dense(f"{name}/up", s.channels, s.hidden)
            dense(f"{name}/down", s.hidden, s.channels)
            shapes[f"{name}/scale"] = (s.channels,)
        norm(f"{stream}last_norm")
    if s.network == "envelope":
        dense("levels", s.channels, len(s.output_starts) - 1)
    else:
        for name in ("magnitude/out", "phase/real", "phase/imaginary"):
            dense(name, s.channels, s.fft // 2 + 1)
    return shapes


def first_value(name: str, s: BandwidthSettings) -> float | None:
    """Return the constant first value of a weight; None: drawn from a normal distribution of `deviation`."""
    if name.endswith("/scale"):
        return 1.0 / s.blocks
    if name.endswith("/gain"):
        return 1.0
    return 0.0 if name.endswith("/bias") or name == "levels/kernel" else None


def deviation(name: str, shape: tuple[int, ...]) -> float:
    """Return the standard deviation of a kernel's first weights: 0.02 as in AP-BWE; for first layers by their inputs."""
    return min(0.1, 1.0 / math.sqrt(shape[0])) if name == "first/kernel" else _DEVIATION


def _streams(s: BandwidthSettings) -> tuple[str, ...]:
    return ("",) if s.network == "envelope" else ("magnitude/", "phase/")


def _block(ops: Operations, x: Any, name: str, halo: int) -> Any:
    """A ConvNeXt block (Liu et al. 2022) over frames; the result has `halo` frames fewer on either side."""
    inside = ops.norm(ops.depthwise(x, f"{name}/time"), f"{name}/norm")
    inside = ops.dense(ops.gelu(ops.dense(inside, f"{name}/up")), f"{name}/down")
    return x[:, halo:-halo] + ops.scale(inside, f"{name}/scale")


def levels(ops: Operations, features: Any, s: BandwidthSettings) -> Any:
    """Compute the "envelope" network: [rows, frames + 2 halo, 2 input_bands + 1] -> log levels [rows, frames, bands]."""
    x = ops.norm(ops.dense(features, "first"), "first_norm")
    for block in range(s.blocks):
        x = _block(ops, x, f"block{block}", s.kernel // 2)
    return ops.dense(ops.norm(x, "last_norm"), "levels")


def magnitude_and_phase(ops: Operations, magnitude: Any, phase: Any, s: BandwidthSettings) -> tuple[Any, Any]:
    """Compute AP-BWE (Lu et al. 2024, section III): log magnitudes and phases [rows, frames + 2 halo, bins] -> [rows, frames, bins].

    Two streams of ConvNeXt blocks, each added to the other before every block.
    """
    a, p = (ops.norm(ops.convolution(x, f"{name}/first"), f"{name}/first_norm") for name, x in (("magnitude", magnitude), ("phase", phase)))
    halo = s.kernel // 2
    for block in range(s.blocks):
        a = a + p
        p = p + a
        a, p = _block(ops, a, f"magnitude/block{block}", halo), _block(ops, p, f"phase/block{block}", halo)
    a, p = ops.norm(a, "magnitude/last_norm"), ops.norm(p, "phase/last_norm")
    residual = ops.dense(a, "magnitude/out")
    return magnitude[:, s.halo : -s.halo] + residual, ops.atan2(ops.dense(p, "phase/imaginary"), ops.dense(p, "phase/real"))


def count(s: BandwidthSettings) -> int:
    """Return the number of weights."""
    return sum(math.prod(shape) for shape in weight_shapes(s).values())


def operations_per_second(s: BandwidthSettings) -> float:
    """Return the multiplications and additions for a second of audio at the full rate."""
    return (
        sum(math.prod(shape) for name, shape in weight_shapes(s).items() if name.endswith("kernel"))
        * s.sample_rate
        / (s.frame // 2 if s.network == "envelope" else s.hop)
    )


def blocks(s: BandwidthSettings) -> Iterator[str]:
    """Name the ConvNeXt blocks."""
    yield from (f"{stream}block{block}" for stream in _streams(s) for block in range(s.blocks))
