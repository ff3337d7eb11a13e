"""Weights drawn from their names: the same numbers on every machine and in every program, so that none need be stored. numpy alone.

`benchmarks/parity/authors.py` gives them to the authors' networks, whose outputs are stored in `data/parity`; the tests give them to
the file readers and to this package's networks.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

_GENERATOR = re.compile(r"(generator\.)?(ups|upsamples|resblocks|blocks|model\.\d|melgan)")  # residual blocks add up


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 `shape`, U[-1, 1), from the raw stream of PCG64, which numpy promises to keep."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape, dtype=int)) or 1)
    return ((raw >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter of PyTorch under its own name: of a size that keeps a signal alive through the layers."""
    kind = name.rpartition(".")[2]
    numbers = uniform(name, shape)
    if kind in ("weight_g", "original0"):
        return (1 + 0.25 * numbers) * np.float32(0.7 if _GENERATOR.match(name) else 1.3)
    if kind == "weight_u" or (kind == "weight_v" and len(shape) == 1):  # of spectral normalisation
        return numbers / np.sqrt(np.square(numbers).sum(dtype=np.float64)).astype(np.float32)
    if kind in ("weight", "weight_orig", "original") and len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        return numbers * np.float32(1.5 * np.sqrt(3 / fan_in))
    if kind == "gamma" or (kind == "weight" and len(shape) == 1):
        return 1 + 0.3 * numbers
    return 0.1 * numbers if kind == "bias" else numbers


def drawn_variable(name: str, shape: tuple[int, ...], equalized: bool = False) -> np.ndarray:
    """A variable of TensorFlow 1 under its own name; kernels have the inputs before the outputs. `equalized`: scaled when used."""
    kind, numbers = name.rpartition("/")[2], uniform(name, shape)
    if kind in ("gamma", "moving_variance"):
        return 1 + 0.3 * numbers
    if len(shape) < 2:
        return 0.1 * numbers
    inputs = shape[:-2] + shape[-1:] if "transpose" in name or "/dec_" in name else shape[:-1]
    stride = 4 if "transpose" in name and len(shape) == 4 and shape[0] == 1 else 1  # only so many taps meet
    return numbers * np.float32(np.sqrt(3.0) if equalized else np.sqrt(6 * stride / np.prod(inputs)))


def melody(frames: int, bands: int, name: str = "mel", low: float = -9.0, high: float = 0.0) -> np.ndarray:
    """float32 [1, frames, bands]: log-mel values that wander, from `low` to `high`."""
    steps = uniform(name, (frames + 4, bands))
    smooth = (steps[:-4] + steps[1:-3] + steps[2:-2] + steps[3:-1] + steps[4:]) / 5
    return (low + (high - low) * (0.5 + smooth))[None].astype(np.float32)
