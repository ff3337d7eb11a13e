"""Sizes of stacked convolutions, and the checks of recipes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import RecipeError

MIN_START = 4  # frames or bins of a spectrogram generator's first feature map; the paper's 128 x 128 starts at 4 x 4


def strides_of(clip_samples: int, start_samples: int = 16) -> tuple[int, ...]:
    """Return the strides of a WaveGAN generator, first layer first; the critic runs the same from its first layer.

    All are 4, as in the paper; the last is 2 where the length is start * 4^k * 2. With 16 start samples: 2048 (4,4,4,2), 4096
    (4,4,4,4), 8192 (4,4,4,4,2), 16384 (five 4s), 32768 (five 4s and 2), 65536 (six 4s).

    Raises:
        RecipeError: The length is not reached by such strides; the nearest ones are named.
    """
    strides: list[int] = []
    length = start_samples
    while length * 4 <= clip_samples:
        length *= 4
        strides.append(4)
    if length * 2 == clip_samples:
        length *= 2
        strides.append(2)
    if length != clip_samples or not strides:
        below = max(length, 4 * start_samples)
        nearest = [n for n in (below, 2 * below, 4 * below) if n != clip_samples][:2]
        raise RecipeError(
            f"data.clip_samples is {clip_samples}; from {start_samples} start samples WaveGAN reaches {start_samples} * 4^k and twice "
            f"that, for example {' and '.join(map(str, nearest))}.",
            hint=f"--set data.clip_samples={nearest[-1]}, or change model.start_samples",
        )
    return tuple(strides)


def stages_of(frames: int, bins: int, stages: int = 0) -> int:
    """Return the number of layers of stride 2 between the first feature map and a spectrogram of `frames` x `bins`.

    Where `stages` is 0, as many as leave the smaller side at least 4: 128 x 128 starts at 4 x 4 with 5 (SpecGAN's paper), 64 x 128 at
    4 x 8 with 4, 128 x 512 at 4 x 16 with 5. Given explicitly, both sides must be multiples of 2^stages: 64 x 128 with 5 starts at 2 x 4.

    Raises:
        RecipeError: The spectrogram cannot be halved that often; the possible sizes are named.
    """
    most = int(math.log2(math.gcd(frames, bins) & -math.gcd(frames, bins)))
    fitting = max((n for n in range(1, most + 1) if min(frames, bins) >> n >= MIN_START), default=0)
    wanted = stages or fitting
    if not 1 <= wanted <= most:
        raise RecipeError(
            f"A spectrogram of {frames} frames x {bins} bins cannot be made with {stages or 'at least one'} layers of stride 2: "
            f"both sides must be multiples of {2 ** (stages or 1)}"
            + ("." if stages else f" and the smaller side at least {2 * MIN_START}."),
            hint="choose model.frames and model.fft / 2 as powers of two, for example 64 frames of fft 256",
        )
    return wanted


@dataclass(frozen=True)
class Upsampling:
    """One transposed convolution, for `receptive_frames_of`."""

    kernel: int
    stride: int
    padding: int


def receptive_frames_of(layers: Sequence[int | Upsampling], hop: int) -> int:
    """Return how many frames on either side the audio of one frame depends on.

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


def check_upsampling(factors: Sequence[int], hop: int, key: str = "model.upsample") -> None:
    """Raise RecipeError unless the product of the factors is the hop."""
    product = math.prod(factors)
    if product != hop:
        raise RecipeError(
            f"{key} multiplies to {product} samples a frame ({' x '.join(map(str, factors))}), but model.mel.hop is {hop}.",
            hint="choose factors whose product is the hop",
        )
