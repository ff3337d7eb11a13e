"""What every reader of a foreign file hands over: arrays by name that are read when they are asked for, and facts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .problems import ForeignFileError

MAX_DIMENSIONS = 32  # numpy 1.26's own limit
MAX_UNBACKED_BYTES = 1 << 20  # an array may be larger than its file by repetition (stride 0) up to this size


@dataclass(frozen=True)
class LazyArray:
    """An array that is still in its file.

    Attributes:
        shape: Its shape in the foreign layout.
        dtype: The kind of number that `read` gives: native byte order; float32 for bfloat16 and the 8-bit floats.
        read: Reads it, contiguous in memory. Raises `ForeignFileError` where the file is damaged or has changed.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> LazyArray:
        """Wrap an array that is in memory already."""
        return cls(tuple(array.shape), array.dtype, lambda: array)


@dataclass(frozen=True)
class Contents:
    """What a reader found in a file.

    Attributes:
        kind: "pytorch", "torchscript", "pickle", "safetensors", "onnx", "tensorflow", "tensorflow graph", "hdf5", "npz" or "npy".
        entries: The arrays by name, in the file's order.
        files: The files they are in.
        facts: What else the file says, plain values; see `arrays.ForeignArrays.facts`.
        tree: The nested structure of dicts and lists with a `LazyArray` for each array; None where the format has none.
    """

    kind: str
    entries: Mapping[str, LazyArray]
    files: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    tree: Any = None


class SourceFile:
    """A file that is read in spans, each within the file's size, so that no header can make us allocate what is not there.

    Args:
        path: The file.

    Raises:
        ForeignFileError: It is missing or cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        try:
            status = self.path.stat()
        except OSError as error:
            raise ForeignFileError(path, f"cannot be read: {error.strerror}.") from error
        self.size, self._changed = status.st_size, status.st_mtime_ns

    def read(self, start: int, length: int) -> bytes:
        """Read `length` bytes from `start` on.

        Raises:
            ForeignFileError: They are not all inside the file, or the file has changed since it was opened.
        """
        if start < 0 or length < 0 or start + length > self.size:
            raise ForeignFileError(self.path, f"is truncated: bytes {start} to {start + length} are needed, it has {self.size}.")
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != (self.size, self._changed):
                    raise ForeignFileError(self.path, "was changed while it was being read.")
                file.seek(start)
                data = file.read(length)
        except OSError as error:
            raise ForeignFileError(self.path, f"cannot be read: {error.strerror}.") from error
        if len(data) != length:
            raise ForeignFileError(self.path, "was changed while it was being read.")
        return data


def element_count(shape: tuple[int, ...]) -> int:
    """Multiply a shape out, as an unbounded integer."""
    return math.prod(shape)


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return `shape` as a tuple of integers.

    Raises:
        ValueError: It is not a sequence of at most `MAX_DIMENSIONS` integers of at least 0.
    """
    if not isinstance(shape, (list, tuple)) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("a shape is not a tuple of at most 32 numbers")
    if any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape):
        raise ValueError("a shape holds something other than whole numbers of at least 0")
    return tuple(shape)
