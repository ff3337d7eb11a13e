"""TensorFlow checkpoints, of TensorFlow 0.6 to 2: the variables by name. No graph is built and nothing is run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .contents import Contents, LazyArray, SourceFile, element_count
from .problems import ForeignFileError, listed, shown
from .sniff import TABLE_MAGIC, refuse_placeholders
from .tf_table import Variable, bundle_variables, checked_dimensions, numeric_dtype, table_entries

_FILE = re.compile(r"(.+)\.(index|data-\d{5}-of-\d{5})")
_POINTER = "checkpoint"
_MAX_POINTER_BYTES = 1 << 20
_MAX_PACKED = 8  # an int64 of the oldest format may take one byte


def find_prefix(path: str | os.PathLike) -> Path | None:
    """Find the checkpoint that a path means.

    Args:
        path: A folder (the one its file named "checkpoint" points to, else the only one in it; a SavedModel's variables), that
            file or saved_model.pb itself, a prefix ("model.ckpt-1000"), or its .index or .data file.

    Returns:
        The prefix, with an .index file beside it; None if the path means no such checkpoint.

    Raises:
        ForeignFileError: A folder holds several and none is pointed to, or the one pointed to is missing.
    """
    path = Path(path)
    if path.is_dir():
        return _in_folder(path)
    if path.name == _POINTER and path.is_file():
        return _pointed(path)
    if path.name == "saved_model.pb":
        return _in_folder(path.parent)
    match = _FILE.fullmatch(path.name)
    prefix = path.with_name(match[1]) if match else path
    if _index(prefix).is_file() and (match or not path.is_file()):
        return prefix
    if match and match[2].startswith("data"):
        raise ForeignFileError(
            _index(prefix), "is missing: it says what is in the .data file.", "put the .index file beside the .data file"
        )
    return None


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _in_folder(folder: Path) -> Path | None:
    pointer = folder / _POINTER
    if pointer.is_file():
        return _pointed(pointer)
    inside = folder / "variables" / "variables"
    if _index(inside).is_file():
        return inside
    found = sorted(path.name.removesuffix(".index") for path in folder.glob("*.index"))
    if len(found) > 1:
        raise ForeignFileError(
            folder, f"holds {len(found)} checkpoints: {listed(found)}.", f"give one of them, such as {folder / found[-1]}"
        )
    return folder / found[0] if found else None


def _pointed(pointer: Path) -> Path:
    """The trainer's path may be of another machine: only its last part counts."""
    source = SourceFile(pointer)
    text = source.read(0, min(source.size, _MAX_POINTER_BYTES)).decode("utf-8", "replace")
    match = re.search(r'^\s*model_checkpoint_path:\s*"([^"\n]+)"', text, re.MULTILINE)
    if match is None:
        raise ForeignFileError(pointer, "does not say which checkpoint is the latest.", "give the checkpoint itself")
    prefix = pointer.parent / re.split(r"[/\\]", match[1])[-1]
    if not _index(prefix).is_file() and not prefix.is_file():
        others = [path.name.removesuffix(".index") for path in sorted(pointer.parent.glob("*.index"))]
        seen = f"; the folder holds {listed(others)}" if others else ""
        raise ForeignFileError(_index(prefix), f"is missing, and {pointer.name} points to it{seen}.", "give another checkpoint by its name")
    return prefix


def read_tensorflow(prefix: Path) -> Contents:
    """Read a checkpoint by its prefix, or a file of TensorFlow before 0.12 (one file without .index).

    Variables that are no numbers (the object graph of TensorFlow 2) are left out.

    Raises:
        ForeignFileError: Damaged, truncated, or without a data file.
    """
    index = _index(prefix)
    if index.is_file():
        source = SourceFile(index)
        refuse_placeholders(source, source.read(0, min(source.size, 256)))
        if source.size < 48 or source.read(source.size - 8, 8) != TABLE_MAGIC:
            raise ForeignFileError(index, "is not the index of a TensorFlow checkpoint, or is truncated.", "copy it again")
        variables, files = bundle_variables(source, prefix)
    else:
        source = SourceFile(prefix)
        variables, files = _old_variables(source), []
    values = _Values(prefix)
    entries = {variable.name: lazy for variable in variables if (lazy := _lazy(values, variable)) is not None}
    if not entries:
        raise ForeignFileError(source.path, "holds no variables.")
    facts: dict[str, Any] = {"prefix": prefix.name}
    step = entries.get("global_step")
    if step is not None and step.shape == () and step.dtype.kind in "iu":
        facts["step"] = int(step.read())
    return Contents("tensorflow", entries, (source.path, *files), facts)


def _old_variables(source: SourceFile) -> list[Variable]:
    """The first entry of the table of an old checkpoint lists the variables; their numbers follow in the same table."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.util import saved_tensor_slice_pb2

    key, value = next(table_entries(source), (b"-", b""))
    try:
        listing = saved_tensor_slice_pb2.SavedTensorSlices.FromString(value).meta.tensor
    except DecodeError as error:
        raise ForeignFileError(source.path, "is a damaged TensorFlow checkpoint.", "download it again") from error
    if key != b"" or not listing:
        raise ForeignFileError(source.path, "is a table, and no TensorFlow checkpoint.")
    variables = []
    for entry in listing:
        shape = checked_dimensions(source, entry.name, entry.shape, entry.type)
        if element_count(shape) > _MAX_PACKED * source.size:
            raise ForeignFileError(source.path, f"is too small for {shown(entry.name)} of the shape {list(shape)}.")
        parts = [extent for part in entry.slice for extent in part.extent if extent.HasField("length")]
        if len(entry.slice) != 1 or parts:
            raise ForeignFileError(source.path, f"holds {shown(entry.name)} in slices (a partitioned variable), which is not read.")
        variables.append(Variable(entry.name, shape, entry.type))
    return variables


class _Values:
    """TensorFlow's reader of a checkpoint, opened when the first array is asked for."""

    def __init__(self, prefix: Path):
        self.prefix = prefix
        self._reader: Any = None

    def read(self, name: str) -> np.ndarray:
        import tensorflow as tf

        try:
            if self._reader is None:
                self._reader = tf.train.load_checkpoint(str(self.prefix))
            return np.asarray(self._reader.get_tensor(name))
        except (tf.errors.OpError, ValueError, IndexError, RuntimeError, TypeError) as error:
            said = shown(" ".join(str(error).split()), 200)
            raise ForeignFileError(self.prefix, f"{shown(name)} cannot be read: {said}.", "copy its files again") from error


def _lazy(values: _Values, variable: Variable) -> LazyArray | None:
    native = numeric_dtype(variable.dtype)
    if native is None:
        return None
    given = native if native.isbuiltin == 1 else np.dtype("i1" if "int" in native.name else "f4")  # bfloat16 and smaller floats
    return LazyArray(variable.shape, given, _reader(values, variable, given))


def _reader(values: _Values, variable: Variable, given: np.dtype) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        array = values.read(variable.name)
        if array.shape != variable.shape:
            raise ForeignFileError(values.prefix, f"{shown(variable.name)} has another shape than its index says.")
        return np.ascontiguousarray(array.astype(given, copy=False)).reshape(variable.shape)

    return read
