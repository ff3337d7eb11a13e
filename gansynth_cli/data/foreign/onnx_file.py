"""ONNX models: the initialisers and the Constant nodes of the graph. The graph is not run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from .contents import Contents, LazyArray, SourceFile, checked_shape, element_count
from .problems import ForeignFileError, shown

_ANONYMOUS = "onnx::"  # what torch.onnx calls a kernel that it has computed, as by folding weight normalisation
_LAYERS = {"Conv": ("weight", "bias"), "ConvTranspose": ("weight", "bias"), "Gemm": ("weight", "bias")}
_EXTERNAL = "keep the .onnx and its data file together, unchanged, in one folder"


def read_onnx(path: str | os.PathLike) -> Contents:
    """Read the arrays of an ONNX model.

    Names: an initialiser keeps its own, and a Constant node gives its node's name ("/dp/flows.0/Constant"). An anonymous
    initialiser ("onnx::Conv_8168") is named after the layer that uses it: as the kernel or bias of the node "/flow/flows.6/pre/Conv" it is
    "flow.flows.6.pre.weight" or ".bias"; as input 1 of any other node, "flow.flows.6.MatMul:1". The fact "renamed" has the old names,
    and "nodes" the arrays that each node takes, by the node's name.

    Arrays in a file of their own are read from a plain file in the same folder and nowhere else.

    Raises:
        MissingExtraError: `onnx` is not installed.
        ForeignFileError: Damaged, truncated, without arrays, or with arrays in files elsewhere.
    """
    source = SourceFile(path)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtraError("Reading ONNX files", "import") from error
    try:
        model = onnx.load_model_from_string(source.read(0, source.size))
    except (DecodeError, ValueError, RuntimeError, TypeError) as error:
        raise ForeignFileError(path, "is a damaged or truncated ONNX file, or in an unknown format.", "download it again") from error
    try:
        return _contents(onnx, source, model)
    except (TypeError, AttributeError) as error:  # a text that is not UTF-8 comes as bytes
        raise ForeignFileError(path, "is a damaged ONNX file: a name in it is not text.", "download it again") from error


def _contents(onnx: Any, source: SourceFile, model: Any) -> Contents:
    names = _names(model.graph)
    tensors = {names.get(tensor.name, tensor.name): tensor for tensor in model.graph.initializer}
    tensors |= {name: tensor for name, tensor in _constants(onnx, model.graph) if name not in tensors}
    files = [source.path]
    entries = {
        name: _lazy(onnx, source, name, tensor, files) for name, tensor in tensors.items() if tensor.data_type != onnx.TensorProto.STRING
    }
    if not entries:
        raise ForeignFileError(source.path, "holds no arrays.")
    return Contents("onnx", entries, tuple(files), {**_facts(model, names), "nodes": _nodes(model.graph, names, entries)})


def _nodes(graph: Any, names: dict[str, str], entries: dict[str, LazyArray]) -> dict[str, list[str]]:
    """The arrays that each named node takes, in the order of its inputs."""
    constants = {node.output[0]: node.name or node.output[0] for node in graph.node if node.op_type == "Constant" and node.output}
    name_of = lambda used: constants.get(used, names.get(used, used))
    taken = {node.name: [name_of(used) for used in node.input] for node in graph.node if node.name}
    return {node: [name for name in used if name in entries] for node, used in taken.items() if any(name in entries for name in used)}


def _facts(model: Any, names: dict[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": max((imported.version for imported in model.opset_import if imported.domain in ("", "ai.onnx")), default=0),
        "inputs": [value.name for value in model.graph.input],
        "outputs": [value.name for value in model.graph.output],
    }
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    return {
        **facts,
        **({"metadata": metadata} if metadata else {}),
        **({"renamed": {new: old for old, new in names.items()}} if names else {}),
    }


def _names(graph: Any) -> dict[str, str]:
    """Name the anonymous initialisers after the nodes that use them: old name to new."""
    own = {tensor.name for tensor in graph.initializer}
    anonymous = {name for name in own if name.startswith(_ANONYMOUS)}
    names: dict[str, str] = {}
    taken = set(own)
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name not in anonymous or name in names or not node.name.startswith("/"):
                continue
            *module, operation = node.name.strip("/").split("/")
            roles = _LAYERS.get(node.op_type, ())
            role = roles[at - 1] if 0 < at <= len(roles) else f"{operation}:{at}"
            new = ".".join((*module, role))
            if new not in taken:
                names[name] = new
                taken.add(new)
    return names


def _constants(onnx: Any, graph: Any) -> list[tuple[str, Any]]:
    found = []
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
                found.append((node.name or (node.output[0] if node.output else ""), attribute.t))
    return found


def _lazy(onnx: Any, source: SourceFile, name: str, tensor: Any, files: list[Path]) -> LazyArray:
    try:
        shape = checked_shape(list(tensor.dims))
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError) as error:
        raise ForeignFileError(source.path, f"{shown(name)} has an impossible shape or kind of number.") from error
    given = _given(dtype)
    if element_count(shape) == 0:
        return LazyArray.of(np.zeros(shape, given))
    raw = _external(onnx, source, name, tensor, files) if tensor.data_location == onnx.TensorProto.EXTERNAL else None

    def read() -> np.ndarray:
        whole = tensor
        if raw is not None:
            whole = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw())
        try:
            array = onnx.numpy_helper.to_array(whole)
            if array.shape != shape:
                raise ValueError("another shape")
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ForeignFileError(source.path, f"{shown(name)} has more or fewer numbers than its shape {list(shape)}.") from error
        return np.ascontiguousarray(array.astype(given, copy=False)).reshape(shape)

    return LazyArray(shape, given, read)


def _given(dtype: np.dtype) -> np.dtype:
    """Native kinds as they are; bfloat16 and smaller floats as float32, 4-bit integers as 8-bit."""
    if dtype.kind in "fiubc" and dtype.isbuiltin == 1:
        return dtype
    if "int" in dtype.name:
        return np.dtype("i1" if dtype.name.startswith("int") else "u1")
    return np.dtype("f4")


def _external(onnx: Any, source: SourceFile, name: str, tensor: Any, files: list[Path]) -> Callable[[], bytes]:
    """Find the bytes of an array outside of the model: in the same folder, by a plain name, no link."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    location = where.get("location", "")
    plain = location not in ("", ".", "..") and not set(location) & set("/\\:\0") and location.isprintable()
    if not plain:
        raise ForeignFileError(source.path, f"keeps {shown(name)} in the file {shown(location)!r}, outside of its folder.", _EXTERNAL)
    path = source.path.parent / location
    if path.is_symlink() or not path.is_file():
        raise ForeignFileError(source.path, f"keeps {shown(name)} in {shown(location)}, which is not a file beside it.", _EXTERNAL)
    data = SourceFile(path)
    try:
        offset, length = int(where.get("offset", "0")), int(where.get("length", str(data.size)))
    except ValueError as error:
        raise ForeignFileError(source.path, f"does not say where {shown(name)} is in {shown(location)}.", _EXTERNAL) from error
    if offset < 0 or length < 0 or offset + length > data.size:
        raise ForeignFileError(path, f"is truncated: {shown(name)} ends at byte {offset + length} of {data.size}.", _EXTERNAL)
    if path not in files:
        files.append(path)
    return lambda: data.read(offset, length)
