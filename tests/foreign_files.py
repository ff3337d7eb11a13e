"""Files as other programs write them, made without those programs: PyTorch's two containers, TensorFlow's index, safetensors.

`PickleWriter` emits the opcodes that PyTorch's pickler does, and any other on demand, so hostile files can be made too.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gansynth_cli.data.foreign.tf_table import masked_crc32c
from gansynth_cli.data.foreign.torch_containers import LEGACY_MAGIC

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
}


class Raw(bytes):
    """Opcodes that push one value, put in as they are."""


class Tensor:
    """A tensor of PyTorch: a storage's numbers, and what part of it is seen. Two may share one `numbers` array.

    Args:
        numbers: The storage.
        shape: Defaults to the storage's.
        strides: Defaults to those of a contiguous tensor.
        offset: In numbers.
        count: Of the storage, as the file is to claim it; the true one by default.
        storage: PyTorch's name of the kind of storage; by dtype by default.
        wrap: "tensor" for version 2 of the function that rebuilds it, "old" for version 1, "parameter".
    """

    def __init__(
        self,
        numbers: np.ndarray,
        shape: Any = None,
        strides: Any = None,
        offset: Any = 0,
        count: int | None = None,
        storage: str | None = None,
        wrap: str = "tensor",
    ):
        self.numbers, self.wrap, self.offset = numbers, wrap, offset
        self.shape = numbers.shape if shape is None else shape
        self.strides = tuple(step // numbers.itemsize for step in numbers.strides) if strides is None else strides
        self.count = numbers.size if count is None else count
        self.storage = storage or STORAGES[numbers.dtype.name]


def opname(module: str, name: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{name}\n".encode()


def called(module: str, name: str, arguments: bytes = b"") -> Raw:
    """A call of a function: GLOBAL, its arguments as opcodes, REDUCE."""
    return Raw(opname(module, name) + b"(" + arguments + b"tR")


class PickleWriter:
    """Writes pickles of protocol 2 the way PyTorch does, and remembers the storages."""

    def __init__(self, legacy: bool = False):
        self.legacy = legacy
        self.storages: dict[str, Tensor] = {}
        self._keys: dict[int, str] = {}

    def dumps(self, value: Any) -> bytes:
        return b"\x80\x02" + self.push(value) + b"."

    def push(self, value: Any) -> bytes:
        """The opcodes that put `value` on the stack."""
        if isinstance(value, Raw):
            return bytes(value)
        if isinstance(value, Tensor):
            return self._tensor(value)
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"K" + bytes([value]) if 0 <= value < 256 else b"\x8a" + bytes([len(raw)]) + raw
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            raw = value.encode()
            return b"X" + struct.pack("<I", len(raw)) + raw
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.push, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.push, value)) + b"e"
        if isinstance(value, Mapping):  # a state dict is an OrderedDict
            items = b"".join(self.push(key) + self.push(part) for key, part in value.items())
            return opname("collections", "OrderedDict") + b")R(" + items + b"u"
        raise TypeError(type(value))

    def _tensor(self, tensor: Tensor) -> bytes:
        key = self._keys.setdefault(id(tensor.numbers), str(len(self._keys)))
        self.storages[key] = tensor
        view = (None,) if self.legacy else ()
        reference = ("storage", Raw(opname("torch", tensor.storage)), key, "cpu", tensor.count, *view)
        place = self.push(reference) + b"Q" + b"".join(map(self.push, (tensor.offset, tensor.shape, tensor.strides)))
        if tensor.wrap == "old":
            return called("torch._utils", "_rebuild_tensor", place)
        made = called("torch._utils", "_rebuild_tensor_v2", place + self.push(False) + self.push({}))
        if tensor.wrap == "parameter":
            return called("torch._utils", "_rebuild_parameter", made + self.push(True) + self.push({}))
        return made


def torch_zip(
    path: Path, value: Any, *, byteorder: str = "little", extra: Mapping[str, bytes] | None = None, root: str = "archive"
) -> Path:
    """Writes what `torch.save` has written since 1.6. `extra` adds or replaces entries."""
    writer = PickleWriter()
    entries = {"data.pkl": writer.dumps(value), "byteorder": byteorder.encode(), "version": b"3\n"}
    for key, tensor in writer.storages.items():
        numbers = tensor.numbers.astype(tensor.numbers.dtype.newbyteorder(">" if byteorder == "big" else "<"))
        entries[f"data/{key}"] = numbers.tobytes()
    return zipped(path, {f"{root}/{name}": data for name, data in {**entries, **(extra or {})}.items()})


def zipped(path: Path, entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def torch_legacy(path: Path, value: Any, *, little_endian: bool = True, magic: int = LEGACY_MAGIC) -> Path:
    """Writes what `torch.save` wrote before 1.6: five pickles, then a count and the numbers of each storage."""
    writer = PickleWriter(legacy=True)
    body = writer.dumps(value)
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = sorted(writer.storages)
    data = b"".join(writer.dumps(part) for part in (magic, 1001, system)) + body + writer.dumps(keys)
    for key in keys:
        numbers = writer.storages[key].numbers
        data += struct.pack("<q", numbers.size) + numbers.tobytes()
    path.write_bytes(data)
    return path


def torch_script(path: Path, modules: Mapping[str, Any]) -> Path:
    """Writes a TorchScript archive; a dict in `modules` is a module, a `Tensor` a parameter."""
    writer = PickleWriter()
    count = 0

    def module(parts: Mapping[str, Any]) -> Raw:
        nonlocal count
        count += 1
        items = b"".join(
            writer.push(name) + (module(part) if isinstance(part, Mapping) else writer.push(part)) for name, part in parts.items()
        )
        return Raw(opname(f"__torch__.models.___torch_mangle_{count}", "Block") + b")\x81}(" + items + b"ub")

    entries = {
        "data.pkl": b"\x80\x02" + module(modules) + b".",
        "constants.pkl": b"\x80\x02).",
        "code/__torch__.py": b"op_version_set = 1\n",
    }
    entries |= {f"data/{key}": tensor.numbers.tobytes() for key, tensor in writer.storages.items()}
    return zipped(path, {f"script/{name}": data for name, data in entries.items()})


def safetensors(path: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _block(entries: Iterable[tuple[bytes, bytes]], compression: int) -> tuple[int, bytes]:
    body = b"".join(_varint(0) + _varint(len(key)) + _varint(len(value)) + key + value for key, value in entries)
    body += struct.pack("<II", 0, 1)  # one restart, at 0
    typed = body + bytes([compression])
    return len(body), typed + struct.pack("<I", masked_crc32c(typed))


def table(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A table as TensorFlow's index files are, with right checksums."""
    out, handles = b"", []
    last = entries[-1][0] + b"\xff"
    for block in (entries, [], None):
        content = [(last, handles[0])] if block is None else block
        length, data = _block(content, compression if block is entries else 0)
        handles.append(_varint(len(out)) + _varint(length))
        out += data
    return out + (handles[1] + handles[2]).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def tf_index(
    prefix: Path, *, compression: int = 0, data: np.ndarray | None = None, shards: int = 1, endianness: int = 0, **changes: Any
) -> Path:
    """Writes a checkpoint of one variable "w" [2, 3]; `changes` replace fields of its entry (`shape` a tuple)."""
    from tensorflow.core.protobuf import tensor_bundle_pb2

    numbers = np.arange(6, dtype="<f4") if data is None else data
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=shards, endianness=endianness)
    header.version.producer = 1
    fields = {"dtype": 1, "shard_id": 0, "offset": 0, "size": numbers.nbytes, "crc32c": masked_crc32c(numbers.tobytes()), **changes}
    shape = fields.pop("shape", (2, 3))
    entry = tensor_bundle_pb2.BundleEntryProto(**fields)
    for size in shape:
        entry.shape.dim.add(size=size)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(table([(b"", header.SerializeToString()), (b"w", entry.SerializeToString())], compression))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(numbers.tobytes())
    return index


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def ramp(*shape: int) -> np.ndarray:
    """The numbers of the stored PyTorch files."""
    return (np.arange(int(np.prod(shape)), dtype=np.float32) * 0.25 - 3).reshape(shape)
