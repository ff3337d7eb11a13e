"""The receptive field of a stack of convolutions and upsampling layers, in frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Upsampling:
    """One transposed convolution, for `receptive_frames_of`."""

    kernel: int
    stride: int
    padding: int


def receptive_frames_of(layers: Sequence[int | Upsampling], hop: int) -> int:
    """How many frames on either side the audio of one frame depends on.

    Args:
        layers: From mel to audio: the number of steps that a convolution reaches to either side, or an upsampling.
        hop: Samples of a frame.
    """
    low, high = 0, hop - 1
    for layer in reversed(layers):
        if isinstance(layer, Upsampling):  # output o = input i * stride + k - padding, 0 <= k < kernel
            low = -(-(low + layer.padding - layer.kernel + 1) // layer.stride)
            high = (high + layer.padding) // layer.stride
        else:
            low, high = low - layer, high + layer
    return max(-low, high)
