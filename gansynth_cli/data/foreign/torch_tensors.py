"""PyTorch's tensors as they are pickled: a reference to a storage, an offset, a shape and strides, each checked before a byte is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .contents import MAX_UNBACKED_BYTES, LazyArray, checked_shape, element_count
from .pickle_data import Global, PickleDamage
from .pickle_names import NUMPY_NAMES, NUMPY_TYPES, PLAIN_NAMES, Maker, NameRules
from .problems import ForeignFileError, shown

_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")


@dataclass(frozen=True)
class Number:
    """A kind of number of PyTorch.

    Attributes:
        stored: How it lies in the file, in the machine's byte order.
        given: What an array of it is read as.
        convert: From the one to the other.
    """

    stored: np.dtype
    given: np.dtype
    convert: Callable[[np.ndarray], np.ndarray]


def _plain(code: str) -> Number:
    dtype = np.dtype(code)
    return Number(dtype, dtype, lambda array: array)


def _widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _small_float(name: str) -> Number:
    def convert(bits: np.ndarray) -> np.ndarray:
        import ml_dtypes  # comes with TensorFlow

        return bits.view(getattr(ml_dtypes, name)).astype(np.float32)

    return Number(np.dtype("u1"), np.dtype("f4"), convert)


_NUMBERS: dict[str, Number] = {
    "float32": _plain("f4"),
    "float64": _plain("f8"),
    "float16": _plain("f2"),
    "bfloat16": Number(np.dtype("u2"), np.dtype("f4"), _widened),
    "int64": _plain("i8"),
    "int32": _plain("i4"),
    "int16": _plain("i2"),
    "int8": _plain("i1"),
    "uint8": _plain("u1"),
    "uint16": _plain("u2"),
    "uint32": _plain("u4"),
    "uint64": _plain("u8"),
    "bool": Number(np.dtype("u1"), np.dtype("?"), lambda array: array != 0),
    "complex64": _plain("c8"),
    "complex128": _plain("c16"),
    **{name: _small_float(name) for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")},
}
_STORAGES: dict[str, str] = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


@dataclass(eq=False)
class Storage:
    """A run of numbers in the file that tensors are views of.

    Attributes:
        key: Its name in the container.
        number: The kind of number.
        count: How many.
        offset: Where it begins in the storage of that key, in numbers; not 0 only for the views of old files.
        read: Reads bytes `start` to `start + length` of the container's storage; set by the container.
        swapped: Whether the file's byte order is not this machine's; set by the container.
    """

    key: str
    number: Number
    count: int
    offset: int = 0
    read: Callable[[int, int], bytes] | None = field(default=None, repr=False)
    swapped: bool = False


class TorchRules(NameRules):
    """The names of a file of `torch.save`, and its tensors.

    Args:
        path: The file.
        file_size: In bytes, unpacked; no tensor may be larger, so that nothing is allocated that is not there.

    Attributes:
        storages: By key.
        tensors: How many have been found.
    """

    def __init__(self, path: str | os.PathLike, file_size: int):
        tensors: dict[str, Maker] = {
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_v3,
            "torch._utils._rebuild_parameter": _first,
            "torch._utils._rebuild_parameter_with_state": _first,
            "torch._tensor._rebuild_from_type_v2": self._of_type,
            "torch._tensor._rebuild_from_type": self._of_type,
            "torch.Size": _size,
            "torch.device": _device,
            "torch.jit._pickle.restore_type_tag": _first,
            **{f"torch.jit._pickle.build_{kind}list": _first for kind in ("int", "double", "bool", "tensor")},
        }
        types = {f"torch.{name}" for name in _NUMBERS} | {f"{module}.{name}" for module in _STORAGE_MODULES for name in _STORAGES}
        types |= {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.strided"} | NUMPY_TYPES
        super().__init__(path, {**PLAIN_NAMES, **NUMPY_NAMES, **tensors}, frozenset(types))
        self.file_size = file_size
        self.storages: dict[str, Storage] = {}
        self.tensors = 0

    def check(self, name: Global) -> None:
        full = str(name)
        if full.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_")) and full not in self.known:
            what = full.rsplit("_rebuild_", 1)[1].replace("_", " ")
            raise ForeignFileError(
                self.path,
                f"holds a tensor of a kind that is not read here ({shown(what)}).",
                hint="have its authors save plain, dense tensors (quantised and sparse ones are not read)",
            )
        super().check(name)

    def persistent(self, reference: Any) -> Storage:
        """("storage", class, key, device, count[, view]), where view is None or (key, offset, count)."""
        if not isinstance(reference, tuple) or not reference or reference[0] != "storage":
            what = reference[0] if isinstance(reference, tuple) and reference and isinstance(reference[0], str) else "something unknown"
            raise PickleDamage(f"the pickle in it refers to {shown(what, 40)} outside of it; expected storages of numbers alone")
        if len(reference) not in (5, 6):
            raise PickleDamage("the pickle in it is damaged (a storage that is not described)")
        _, kind, key, _, count = reference[:5]
        storage = self._storage(kind, key, count)
        view = reference[5] if len(reference) == 6 else None
        if view is None:
            return storage
        return self._view(storage, view)

    def _storage(self, kind: Any, key: Any, count: Any) -> Storage:
        number = _number_of_storage(kind)
        if not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 63:
            raise PickleDamage("the pickle in it is damaged (a storage without a key or a count)")
        known = self.storages.get(key)
        if known is None:
            if count * number.stored.itemsize > self.file_size:
                claimed = count * number.stored.itemsize
                raise PickleDamage(f"storage {shown(key, 40)} is said to have {claimed} bytes, and the whole file has {self.file_size}")
            known = self.storages[key] = Storage(key, number, count)
        elif known.count != count or known.number is not number:
            raise PickleDamage(f"the pickle in it is damaged (storage {shown(key, 40)} is described in two ways)")
        return known

    @staticmethod
    def _view(storage: Storage, view: Any) -> Storage:
        _, offset, count = view
        if type(offset) is not int or type(count) is not int or offset < 0 or count < 0 or offset + count > storage.count:
            raise PickleDamage("the pickle in it is damaged (a view beyond its storage)")
        return _ViewedStorage(storage, offset, count)

    def _tensor(self, arguments: tuple) -> LazyArray:
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        return self._lazy(storage, storage.number, offset, shape, strides)

    def _tensor_v3(self, arguments: tuple) -> LazyArray:
        """As version 2, with the kind of number apart from a storage of bytes; the offset counts numbers."""
        storage, offset, shape, strides, _, _, dtype = arguments[:7]
        number = _NUMBERS.get(dtype.name) if isinstance(dtype, Global) and dtype.module == "torch" else None
        if not isinstance(storage, Storage) or number is None:
            raise ValueError("a tensor of an unknown kind of number")
        return self._lazy(storage, number, offset, shape, strides)

    def _of_type(self, arguments: tuple) -> Any:
        """A tensor of a subclass: (function, class, its arguments, state); a Parameter with attributes, for one."""
        function, _, inner = arguments[:3]
        if not isinstance(function, Global) or not isinstance(inner, tuple) or not str(function).startswith("torch._utils._rebuild_"):
            raise ValueError("a tensor of a class of its own")
        return self.make(function, inner)

    def _lazy(self, storage: Storage, number: Number, offset: Any, shape: Any, strides: Any) -> LazyArray:
        sizes = checked_shape(shape)
        steps = checked_shape(strides)  # PyTorch has no negative strides
        if len(sizes) != len(steps) or type(offset) is not int or not 0 <= offset < 1 << 63:
            raise ValueError("a tensor whose shape, strides and offset do not agree")
        self.tensors += 1
        total = element_count(sizes)
        if total == 0:
            return LazyArray.of(np.zeros(sizes, number.given))
        itemsize = number.stored.itemsize
        span = 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if (offset + span) * itemsize > storage.count * storage.number.stored.itemsize:
            raise ValueError(f"a tensor of shape {list(sizes)} that reaches beyond its storage of {storage.count} numbers")
        if total * itemsize > max(self.file_size, MAX_UNBACKED_BYTES):
            raise ValueError(f"a tensor of shape {list(sizes)}, which is more than the whole file")
        start = offset * itemsize

        def read() -> np.ndarray:
            return _read_tensor(storage, number, start, span, sizes, steps)

        return LazyArray(sizes, number.given, read)


class _ViewedStorage(Storage):
    """A part of a storage, with the whole's bytes."""

    def __init__(self, whole: Storage, offset: int, count: int):
        super().__init__(whole.key, whole.number, count, offset)
        self.whole = whole


def _read_tensor(storage: Storage, number: Number, start: int, span: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    itemsize = number.stored.itemsize
    container = storage.whole if isinstance(storage, _ViewedStorage) else storage
    assert container.read is not None, "the container has not been opened"
    raw = container.read(start + storage.offset * storage.number.stored.itemsize, span * itemsize)
    flat = np.frombuffer(raw, number.stored)
    if container.swapped:
        flat = flat.byteswap()
    view = np.lib.stride_tricks.as_strided(flat, shape, tuple(step * itemsize for step in strides), writeable=False)
    return number.convert(np.ascontiguousarray(view).reshape(shape))


def _number_of_storage(kind: Any) -> Number:
    name = kind.name if isinstance(kind, Global) and kind.module in _STORAGE_MODULES else None
    if name is None or name not in _STORAGES:
        raise PickleDamage(
            f"it holds numbers of an unknown kind ({shown(str(kind), 60) if isinstance(kind, Global) else 'no storage class'})"
        )
    return _NUMBERS[_STORAGES[name]]


def _first(arguments: tuple) -> Any:
    return arguments[0]


def _size(arguments: tuple) -> tuple:
    return tuple(arguments[0])


def _device(arguments: tuple) -> str:
    return ":".join(str(part) for part in arguments if isinstance(part, (str, bool)) or (type(part) is int and abs(part) < 1 << 31))
