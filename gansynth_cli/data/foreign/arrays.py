"""The front of the package: arrays by name, whatever the file's format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import sha256_of
from .contents import Contents, LazyArray, SourceFile
from .numeric_files import read_hdf5, read_npy, read_npz, read_numpy_pickle
from .onnx_file import read_onnx
from .problems import ForeignFileError, MissingArrayError, listed, shown
from .pytorch import read_torch_legacy, read_torch_zip
from .safetensors_file import read_safetensors
from .sniff import sniff
from .tf_checkpoint import find_prefix, read_tensorflow
from .tf_graph import read_graph

_READERS: dict[str, Callable[[Path], Contents]] = {
    "pickle": read_numpy_pickle,
    "safetensors": read_safetensors,
    "onnx": read_onnx,
    "tensorflow table": read_tensorflow,
    "tensorflow graph": read_graph,
    "hdf5": read_hdf5,
    "npz": read_npz,
    "npy": read_npy,
}
_TORCH: dict[str, Callable[..., Contents]] = {"torch zip": read_torch_zip, "torch legacy": read_torch_legacy}


class ForeignArrays(Mapping[str, np.ndarray]):
    """The arrays of a foreign file, read one by one as they are asked for. Layouts are the file's own.

    `arrays[name]` reads the array anew each time, and what it gives may be read-only; `arrays.shapes` reads nothing.

    Attributes:
        path: As it was given.
        kind: "pytorch", "torchscript", "pickle", "safetensors", "onnx", "tensorflow", "tensorflow graph", "hdf5", "npz" or "npy".
        files: The files that were read.
        facts: What else the file says, where it says it: "step" and "epoch" (int), "config" (dict), "lightning" (version), "ignored"
            (names of classes that were taken as inert), "metadata" (dict of strings), "producer", "opset", "inputs", "outputs",
            "renamed", "nodes" (ONNX), "prefix" (TensorFlow), "nodes" (TensorFlow graph).
        tree: The nested dicts and lists of a PyTorch file or pickle, with a `LazyArray` for each array; None for other kinds.
    """

    def __init__(self, path: str | os.PathLike, contents: Contents):
        self.path = Path(path)
        self.kind, self.files = contents.kind, contents.files
        self.facts: dict[str, Any] = dict(contents.facts)
        self.tree = contents.tree
        self._entries = dict(contents.entries)
        self._contents = contents
        self._hashes: dict[Path, str] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.entry(name).read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def entry(self, name: str) -> LazyArray:
        """Return an array that is not read yet: its shape and dtype.

        Raises:
            MissingArrayError: There is none of that name; the nearest names are given.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise MissingArrayError(self.path, f"holds no {shown(name)}{_nearest(name, self._entries)}.") from None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes by name."""
        return {name: entry.shape for name, entry in self._entries.items()}

    @property
    def hashes(self) -> dict[Path, str]:
        """SHA-256 of each file. Computed at the first use, some 1 GB/s."""
        if not self._hashes:
            self._hashes = {path: _sha256(path) for path in self.files}
        return dict(self._hashes)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file; of several, that of their list as `sha256sum` prints it, in the order of `files`."""
        hashes = self.hashes
        if len(hashes) == 1:
            return next(iter(hashes.values()))
        lines = "".join(f"{digest}  {path.name}\n" for path, digest in hashes.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    def under(self, prefix: str) -> ForeignArrays:
        """Take the arrays whose names begin with `prefix` and a dot (or slash, in TensorFlow and HDF5), without that beginning.

        Args:
            prefix: Such as "generator", "model.generator" or "state_dict".

        Raises:
            MissingArrayError: There is none.
        """
        heads = (f"{prefix}.", f"{prefix}/")
        found = {name[len(prefix) + 1 :]: entry for name, entry in self._entries.items() if name.startswith(heads)}
        if not found:
            tops = sorted({name.replace("/", ".").split(".", 1)[0] for name in self._entries})
            raise MissingArrayError(self.path, f"holds nothing under {shown(prefix)}; it has {listed(tops)}.")
        return self._with(found)

    def only(self, names: Iterable[str]) -> ForeignArrays:
        """Take the arrays of these names, in this order.

        Raises:
            MissingArrayError: There is none of one of them.
        """
        return self._with({name: self.entry(name) for name in names})

    def without(self, prefix: str) -> ForeignArrays:
        """Leave out a beginning that all names share, such as "module." of torch.nn.DataParallel; unchanged where they do not."""
        if self._entries and all(name.startswith(prefix) and len(name) > len(prefix) for name in self._entries):
            return self._with({name[len(prefix) :]: entry for name, entry in self._entries.items()})
        return self

    def _with(self, entries: Mapping[str, LazyArray]) -> ForeignArrays:
        contents = self._contents
        part = ForeignArrays(self.path, Contents(contents.kind, entries, contents.files, self.facts, contents.tree))
        part._hashes = self._hashes
        return part

    def not_finite(self) -> list[str]:
        """Find the arrays with NaN or infinite numbers, one array in memory at a time."""
        floats = (name for name, entry in self._entries.items() if entry.dtype.kind in "fc")
        return [name for name in floats if not np.isfinite(self[name]).all()]


def open_arrays(path: str | os.PathLike, *, ignore_classes: bool = False) -> ForeignArrays:
    """Open a checkpoint or file of arrays of another program. Nothing that it names is run or imported; no array is read yet.

    The format is told by the content: PyTorch (both containers, Lightning, TorchScript), safetensors, ONNX, TensorFlow checkpoints
    (a folder, a prefix or one of its files) and graphs (.meta), HDF5, .npz, .npy, and numpy arrays in a pickle.

    Args:
        path: The file, folder or prefix.
        ignore_classes: For files of PyTorch: take unknown classes as inert everywhere, not in Lightning checkpoints alone. Names that
            can run code are refused all the same.

    Raises:
        UnsafeFileError: It names code to run, or classes that do not belong into a file of weights.
        MissingExtraError: The library of its format is not installed.
        ForeignFileError: Missing, damaged, half fetched, a placeholder for the weights, or of an unknown format.
    """
    prefix = find_prefix(path)
    if prefix is not None:
        return ForeignArrays(path, read_tensorflow(prefix))
    place = Path(path)
    if place.is_dir():
        raise ForeignFileError(
            path, f"is a folder without a TensorFlow checkpoint{_offered(place)}.", "give the file with the weights itself"
        )
    if not place.exists():
        raise ForeignFileError(path, "does not exist.", "give a file, a folder with a checkpoint, or a checkpoint's prefix")
    if not place.is_file():
        raise ForeignFileError(path, "is not a regular file.")
    kind = sniff(SourceFile(place))
    if kind in _TORCH:
        return ForeignArrays(path, _TORCH[kind](place, ignore_classes=ignore_classes))
    return ForeignArrays(path, _READERS[kind](place))


def _offered(folder: Path) -> str:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError:
        return ""
    return f"; it holds {listed(names)}" if names else "; it holds no files"


def _nearest(name: str, names: Mapping[str, Any]) -> str:
    """The names that share most of the parts, for a message."""
    parts = set(name.split("."))
    ranked = sorted(names, key=lambda other: -len(parts & set(other.split(".")[:20])))[:3]
    return f"; it has {', '.join(shown(other) for other in ranked)}" + (" ..." if len(names) > 3 else "") if ranked else ""


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ForeignFileError(path, f"cannot be read: {error.strerror}.") from error
