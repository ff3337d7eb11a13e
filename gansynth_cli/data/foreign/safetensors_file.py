"""Files of the safetensors format, by its own library."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from ...errors import MissingExtraError
from .contents import MAX_DIMENSIONS, Contents, LazyArray, SourceFile
from .problems import ForeignFileError, shown

_DTYPES = {
    **{"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "f4", "BOOL": "?", "C64": "c8"},
    **{f"{kind}{bits}": f"{kind.lower()}{bits // 8}" for kind in "IU" for bits in (8, 16, 32, 64)},
}


def read_safetensors(path: str | os.PathLike) -> Contents:
    """Read a file of the safetensors format; bfloat16 is given as float32.

    Raises:
        MissingExtraError: `safetensors` is not installed.
        ForeignFileError: Damaged, truncated, or with numbers of an unknown kind.
    """
    source = SourceFile(path)
    opened = _opener(source)
    entries: dict[str, LazyArray] = {}
    with opened() as file:
        metadata = file.metadata() or {}
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            part = file.get_slice(name)
            shape, kind = tuple(part.get_shape()), part.get_dtype()
            if kind not in _DTYPES or len(shape) > MAX_DIMENSIONS:
                raise ForeignFileError(path, f"{shown(name)} is of the kind {kind} with {len(shape)} axes, which is not read.")
            entries[name] = LazyArray(shape, np.dtype(_DTYPES[kind]), _reader(opened, name, np.dtype(_DTYPES[kind])))
    facts = {"metadata": dict(metadata)} if metadata else {}
    return Contents("safetensors", entries, (source.path,), facts)


def _opener(source: SourceFile) -> Callable:
    try:
        import ml_dtypes  # noqa: F401 (numpy learns of bfloat16 by it; comes with TensorFlow)
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError("Reading safetensors", "import") from error

    def opened():
        try:
            return safe_open(source.path, framework="numpy")
        except (SafetensorError, OSError, ValueError) as error:
            said = shown(" ".join(str(error).split()))
            raise ForeignFileError(source.path, f"is a damaged or truncated safetensors file ({said}).", "download it again") from error

    return opened


def _reader(opened: Callable, name: str, dtype: np.dtype) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with opened() as file:
            return np.ascontiguousarray(file.get_tensor(name).astype(dtype, copy=False))

    return read
