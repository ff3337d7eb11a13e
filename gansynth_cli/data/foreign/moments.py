"""Mean and standard deviation of a spectrogram's bins, in any file that holds the two."""

from __future__ import annotations

import os

import numpy as np

from .arrays import open_arrays
from .problems import ForeignFileError, shown


def read_moments(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read mean and standard deviation of a spectrogram's bins: SpecGAN's moments.pkl, stats.npy [2, bins], or stats.h5, .npz ("mean",
    "scale").

    Returns:
        mean [bins] and deviation [bins], float32, finite; the deviation at least 0.

    Raises:
        ForeignFileError: It does not hold the two, they are not finite, or a deviation is negative.
    """
    arrays = open_arrays(path)
    if "mean" in arrays:
        pair = [arrays[name] for name in ("mean", "scale", "std", "deviation") if name in arrays][:2]
    elif len(arrays) == 1:
        (whole,) = arrays.values()
        pair = list(whole) if whole.ndim == 2 and len(whole) == 2 else []
    else:
        pair = list(arrays.values()) if len(arrays) == 2 else []
    if len(pair) != 2 or pair[0].ndim != 1 or pair[0].shape != pair[1].shape or pair[0].size == 0:
        found = ", ".join(f"{shown(name)} {list(shape)}" for name, shape in list(arrays.shapes.items())[:4])
        raise ForeignFileError(path, f"holds {found}; expected a mean and a standard deviation of one length.")
    mean, deviation = (np.asarray(part, np.float32) for part in pair)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation >= 0).all()):
        raise ForeignFileError(path, "holds a mean that is not finite, or a standard deviation that is negative.")
    return mean, deviation
