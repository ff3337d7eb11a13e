"""The index of a TensorFlow checkpoint, checked before TensorFlow sees it.

TensorFlow's reader trusts what stands in an index whose checksums are right: a negative or overflowing dimension, too many of them or an
unknown dtype end the whole process (a failed CHECK, not an exception), and a tensor is allocated by its claimed size
before the data is looked at. The format (LevelDB's table, BundleEntryProto) is small, so what TensorFlow trusts is
verified here, and the numbers are then read by TensorFlow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from .contents import MAX_DIMENSIONS, SourceFile, element_count
from .problems import ForeignFileError, shown

_FOOTER = 48
_TRAILER = 5  # compression, checksum
_MAX_KEY = 4096
_MAX_ENTRIES = 200_000
_MAX_KEY_BYTES = 64 << 20
MAX_INDEX_BYTES = 64 << 20  # 100,000 variables take 10 MB
_MAX_SHARDS = 99_999  # as many as the names of data files can count
_NO_COMPRESSION, _SNAPPY = 0, 1
_AGAIN = "copy it again; the .index and .data files of one save belong together"


@dataclass(frozen=True)
class Variable:
    """A variable of a checkpoint.

    Attributes:
        name: As the checkpoint has it.
        shape: Its shape.
        dtype: TensorFlow's number of the kind (DT_FLOAT is 1).
    """

    name: str
    shape: tuple[int, ...]
    dtype: int


def table_entries(source: SourceFile) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table, in order, each block checked by its checksum.

    Raises:
        ForeignFileError: It is truncated, damaged, compressed, or of absurd sizes.
    """
    footer = source.read(source.size - _FOOTER, _FOOTER) if source.size >= _FOOTER else b""
    at = 0
    handles: list[tuple[int, int]] = []
    for _ in range(2):  # of the meta-index, and of the index
        offset, at = _varint(source, footer, at)
        size, at = _varint(source, footer, at)
        handles.append((offset, size))
    total, bytes_of_keys = 0, 0
    for _, handle in _block(source, *handles[1]):
        offset, at = _varint(source, handle, 0)
        size, _ = _varint(source, handle, at)
        for key, value in _block(source, offset, size):
            total, bytes_of_keys = total + 1, bytes_of_keys + len(key)
            if total > _MAX_ENTRIES or bytes_of_keys > _MAX_KEY_BYTES:
                raise _damaged(source, "it has more entries than any checkpoint")
            yield key, value


def _damaged(source: SourceFile, why: str) -> ForeignFileError:
    return ForeignFileError(source.path, f"is a damaged TensorFlow file: {why}.", _AGAIN)


def _varint(source: SourceFile, data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(data):
            break
        byte = data[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise _damaged(source, "a number in it is cut off")


def _block(source: SourceFile, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _TRAILER > source.size:
        raise _damaged(source, "a block lies beyond its end")
    whole = source.read(offset, size + _TRAILER)
    data, compression, checksum = whole[:size], whole[size], struct.unpack("<I", whole[size + 1 :])[0]
    if masked_crc32c(whole[: size + 1]) != checksum:
        raise _damaged(source, "a checksum differs")
    if compression != _NO_COMPRESSION:
        name = "Snappy" if compression == _SNAPPY else f"method {compression}"
        raise ForeignFileError(source.path, f"is compressed ({name}), which is not read; TensorFlow writes its checkpoints uncompressed.")
    if size < 4:
        raise _damaged(source, "a block is too short")
    restarts = struct.unpack("<I", data[-4:])[0]
    end = size - 4 - 4 * restarts
    if end < 0:
        raise _damaged(source, "a block is too short")
    yield from _block_entries(source, data, end)


def _block_entries(source: SourceFile, data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    at, key = 0, b""
    while at < end:
        shared, at = _varint(source, data, at)
        own, at = _varint(source, data, at)
        length, at = _varint(source, data, at)
        if shared > len(key) or shared + own > _MAX_KEY or at + own + length > end:
            raise _damaged(source, "an entry reaches beyond its block")
        key = key[:shared] + data[at : at + own]
        yield key, data[at + own : at + own + length]
        at += own + length


def masked_crc32c(data: bytes) -> int:
    """Compute the checksum of a block: CRC-32C, rotated and shifted as LevelDB has it."""
    value = google_crc32c.value(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def bundle_variables(source: SourceFile, prefix: Path) -> tuple[list[Variable], list[Path]]:
    """Check the index of a checkpoint of TensorFlow 0.12 or later against its data files.

    Args:
        source: The .index file.
        prefix: What the .data files' names begin with.

    Returns:
        The variables, and the data files that hold them.

    Raises:
        ForeignFileError: Damaged, or a data file is missing or too short.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import tensor_bundle_pb2

    if source.size > MAX_INDEX_BYTES:
        raise _damaged(source, f"it has {source.size} bytes, where an index has a few kilobytes")
    entries = table_entries(source)
    try:
        key, value = next(entries, (b"-", b""))
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(value)
        if key != b"" or not 1 <= header.num_shards <= _MAX_SHARDS:
            raise _damaged(source, "it does not say how many data files there are")
        if header.endianness != tensor_bundle_pb2.BundleHeaderProto.LITTLE:
            raise ForeignFileError(source.path, "was written on a big-endian machine, which is not read.")
        parsed = [(key, tensor_bundle_pb2.BundleEntryProto.FromString(value)) for key, value in entries]
    except DecodeError as error:
        raise _damaged(source, "an entry cannot be read") from error
    shards = _Shards(prefix, header.num_shards)
    return [_variable(source, shards, key, entry) for key, entry in parsed], shards.files


class _Shards:
    """The data files of a checkpoint; each is looked at once."""

    def __init__(self, prefix: Path, count: int):
        self.prefix, self.count = prefix, count
        self._sizes: dict[int, int] = {}

    def path(self, shard: int) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self.count:05d}")

    def size(self, shard: int) -> int:
        if shard not in self._sizes:
            path = self.path(shard)
            if not path.is_file():
                others = ", ".join(sorted(other.name for other in path.parent.glob(f"{path.name[:60]}*"))[:3])
                seen = f"; there is {others}" if others else ""
                raise ForeignFileError(
                    path, f"is missing: the index alone holds no numbers{seen}.", "put the .data file beside the .index file"
                )
            source = SourceFile(path)
            head = source.read(0, min(source.size, 64))
            if head.startswith(b"version https://git-lfs.github.com/spec/"):
                raise ForeignFileError(path, "is a Git LFS pointer, not the weights.", "run `git lfs pull` in that repository")
            self._sizes[shard] = source.size
        return self._sizes[shard]

    @property
    def files(self) -> list[Path]:
        return [self.path(shard) for shard in sorted(self._sizes)]


def _variable(source: SourceFile, shards: _Shards, key: bytes, entry: Any) -> Variable:
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(source, "a name in it is not text") from error
    if len(entry.slices):
        raise ForeignFileError(source.path, f"holds {shown(name)} in slices (a partitioned variable), which is not read.")
    shape = checked_dimensions(source, name, entry.shape, entry.dtype)
    native = numeric_dtype(entry.dtype)
    if native is not None and entry.size != element_count(shape) * native.itemsize:
        raise _damaged(source, f"{shown(name)} has {entry.size} bytes for the shape {list(shape)}")
    if not 0 <= entry.shard_id < shards.count or entry.offset < 0 or entry.size < 0:
        raise _damaged(source, f"{shown(name)} is in a place that does not exist")
    if entry.offset + entry.size > shards.size(entry.shard_id):
        raise ForeignFileError(
            shards.path(entry.shard_id),
            f"is truncated: {shown(name)} ends at byte {entry.offset + entry.size} of {shards.size(entry.shard_id)}.",
            _AGAIN,
        )
    return Variable(name, shape, entry.dtype)


def checked_dimensions(source: SourceFile, name: str, shape: Any, dtype: int) -> tuple[int, ...]:
    """Return the shape of a TensorShapeProto that TensorFlow can be shown.

    Raises:
        ForeignFileError: Its dimensions are unknown, negative, too many or too large, or the dtype is none of TensorFlow's.
    """
    from tensorflow.core.framework import types_pb2

    sizes = tuple(dimension.size for dimension in shape.dim)
    if shape.unknown_rank or len(sizes) > MAX_DIMENSIONS or min(sizes, default=0) < 0 or element_count(sizes) >= 1 << 60:
        raise _damaged(source, f"{shown(name)} has the shape {list(sizes)[:8]}")
    if dtype not in types_pb2.DataType.values() or not 0 < dtype < 100:  # 101 and up are the references of TensorFlow 1
        raise _damaged(source, f"{shown(name)} is of an unknown dtype ({dtype})")
    return sizes


def numeric_dtype(dtype: int) -> np.dtype | None:
    """Return numpy's dtype of a kind of number of TensorFlow; None for strings, resources, variants and quantised numbers."""
    import tensorflow as tf

    kind = tf.dtypes.as_dtype(dtype)
    numeric = (kind.is_floating or kind.is_integer or kind.is_bool or kind.is_complex) and not kind.is_quantized
    return np.dtype(kind.as_numpy_dtype) if numeric else None
