"""Arrays without a network: HDF5, .npz and .npy files, and numpy arrays in a pickle. Statistics of mel spectrograms come in all four."""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contents import MAX_DIMENSIONS, MAX_UNBACKED_BYTES, Contents, LazyArray, SourceFile, checked_shape, element_count
from .facts import training_facts
from .pickle_data import BoundedStream, PickleDamage, read_pickle
from .pickle_names import NUMPY_NAMES, NUMPY_TYPES, PLAIN_NAMES, NameRules
from .problems import ForeignFileError, shown
from .torch_containers import PLAIN_COMPRESSION
from .tree import arrays_in, plain

_MAX_RATIO = 64  # how much larger than its file an array may be; zeros compress better, and no file of weights is zeros
_KINDS = "fiubc"
_MAX_HEADER = 1 << 14  # numpy itself refuses more than 10,000 characters


def read_hdf5(path: str | os.PathLike) -> Contents:
    """Read the numeric data sets of an HDF5 file, by their path inside ("mean", "layer/kernel").

    Links to other files, virtual data sets and external storage are refused: they would read other files.

    Raises:
        ForeignFileError: Damaged, without arrays, or with parts in other files.
    """
    import h5py  # comes with Keras

    source = SourceFile(path)
    entries: dict[str, LazyArray] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in _KINDS or item.shape is None:
            return
        if item.external or item.is_virtual:
            raise ForeignFileError(path, f"keeps {shown(name)} in another file, which is not read.")
        _refuse_large(source, name, item.shape, item.dtype)
        entries[name] = LazyArray(tuple(item.shape), item.dtype.newbyteorder("="), _hdf5_reader(source, name))

    try:
        with h5py.File(source.path, "r") as file:
            file.visititems(visit)  # each object once; links by name and links to other files are not followed
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ForeignFileError(path, "is a damaged or truncated HDF5 file.", "download it again") from error
    return _checked(Contents("hdf5", entries, (source.path,)))


def _hdf5_reader(source: SourceFile, name: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        import h5py

        try:
            with h5py.File(source.path, "r") as file:
                array = file[name][()]
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ForeignFileError(source.path, f"{shown(name)} in it is damaged.", "download it again") from error
        array = np.asarray(array)
        return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)

    return read


def _refuse_large(source: SourceFile, name: str, shape: tuple[int, ...], dtype: np.dtype, ratio: int = _MAX_RATIO) -> None:
    claimed = element_count(shape) * dtype.itemsize
    if claimed > max(ratio * source.size, MAX_UNBACKED_BYTES) or len(shape) > MAX_DIMENSIONS:
        raise ForeignFileError(source.path, f"{shown(name)} is said to have the shape {list(shape)[:8]}, which the file is too small for.")


def _checked(contents: Contents) -> Contents:
    if not contents.entries:
        raise ForeignFileError(contents.files[0], "holds no arrays of numbers.")
    return contents


def read_npy(path: str | os.PathLike) -> Contents:
    """Read a .npy file; its array's name is "array". Pickled objects are refused.

    Raises:
        ForeignFileError: Damaged, truncated, or of something other than numbers.
    """
    source = SourceFile(path)
    header = _npy_header(source, "array", source.read(0, min(source.size, _MAX_HEADER)))
    if header.start + header.nbytes > source.size:
        raise ForeignFileError(path, f"is truncated: it has too few bytes for the shape {list(header.shape)}.", "download it again")
    entry = LazyArray(header.shape, header.given, lambda: header.array(source.read(header.start, header.nbytes)))
    return Contents("npy", {"array": entry}, (source.path,))


def read_npz(path: str | os.PathLike) -> Contents:
    """Read a .npz file: its arrays by name. Pickled objects are refused.

    Raises:
        ForeignFileError: Damaged, truncated, or of something other than numbers.
    """
    source = SourceFile(path)
    entries: dict[str, LazyArray] = {}
    for name in _in_zip(source, lambda archive: archive.namelist()):
        entries[name.removesuffix(".npy")] = _npz_entry(source, name)
    return _checked(Contents("npz", entries, (source.path,)))


def _npz_entry(source: SourceFile, name: str) -> LazyArray:
    def head(archive: zipfile.ZipFile) -> tuple[bytes, int]:
        with archive.open(name) as entry:
            return entry.read(_MAX_HEADER), archive.getinfo(name).file_size

    data, size = _in_zip(source, head)
    header = _npy_header(source, name, data)
    if header.start + header.nbytes != size:
        raise ForeignFileError(source.path, f"{shown(name)} in it has more or fewer bytes than the shape {list(header.shape)}.")
    _refuse_large(source, name, header.shape, header.dtype)
    # Read whole, which is what makes zipfile compare the checksum.
    return LazyArray(header.shape, header.given, lambda: header.array(_in_zip(source, lambda archive: archive.read(name))[header.start :]))


@dataclass(frozen=True)
class _NpyHeader:
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype
    start: int

    @property
    def nbytes(self) -> int:
        return element_count(self.shape) * self.dtype.itemsize

    @property
    def given(self) -> np.dtype:
        return self.dtype.newbyteorder("=")

    def array(self, data: bytes) -> np.ndarray:
        array = np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self.by_columns else "C")
        return np.ascontiguousarray(array, self.given).reshape(self.shape)


def _npy_header(source: SourceFile, name: str, data: bytes) -> _NpyHeader:
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(buffer)
        sizes = checked_shape(shape)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise ForeignFileError(source.path, f"{shown(name)} in it has a damaged header.", "download it again") from error
    if dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise ForeignFileError(source.path, f"{shown(name)} in it holds something other than numbers.")
    return _NpyHeader(sizes, by_columns, dtype, buffer.tell())


def _in_zip(source: SourceFile, use: Callable[[zipfile.ZipFile], Any]) -> Any:
    try:
        with zipfile.ZipFile(source.path) as archive:
            if any(info.compress_type not in PLAIN_COMPRESSION for info in archive.infolist()):
                raise ForeignFileError(source.path, "is compressed in a way that is not read; numpy uses Deflate.")
            return use(archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        KeyError,
        ValueError,
        struct.error,
    ) as error:
        raise ForeignFileError(source.path, "is a damaged or truncated .npz file.", "download it again") from error


def read_numpy_pickle(path: str | os.PathLike) -> Contents:
    """Read numpy arrays in a pickle (protocol 0 to 5, Python 2 or 3), such as SpecGAN's moments.pkl: names are keys or positions ("0",
    "1").

    Admitted are plain containers, numbers, text, and what numpy's own arrays and numbers are made with; nothing is run (`pickle_data`).

    Raises:
        UnsafeFileError: It names anything else.
        ForeignFileError: Damaged, truncated, or without arrays.
    """
    source = SourceFile(path)
    rules = NameRules(path, {**PLAIN_NAMES, **NUMPY_NAMES}, NUMPY_TYPES, strict=True)
    try:
        with source.path.open("rb") as file:
            tree = plain(read_pickle(BoundedStream(file, source.size), rules))
        entries = arrays_in(tree)
    except PickleDamage as error:
        raise ForeignFileError(path, f"cannot be read: {error}.", "download it again, and compare its SHA-256") from error
    return _checked(Contents("pickle", entries, (source.path,), training_facts(tree), tree))
