"""The constants of a TensorFlow graph (.meta, a MetaGraphDef): what the authors' programs computed once and wrote into their graphs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .contents import MAX_UNBACKED_BYTES, Contents, LazyArray, SourceFile, element_count
from .problems import ForeignFileError, shown
from .tf_table import checked_dimensions, numeric_dtype


def read_graph(path: str | os.PathLike) -> Contents:
    """Read the Const nodes of a .meta file by their names. The graph is neither imported nor run.

    The fact "nodes" has the whole graph: node name -> {"op", "inputs" (names, with ":0" left out), "shape" (of the first output, as the
    file says it; None for an unknown size, or no key at all)}.

    Raises:
        ForeignFileError: Damaged, or another kind of file.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2

    source = SourceFile(path)
    try:
        graph = meta_graph_pb2.MetaGraphDef.FromString(source.read(0, source.size)).graph_def
    except DecodeError as error:
        raise ForeignFileError(path, "is a damaged or truncated TensorFlow graph, or in an unknown format.", "download it again") from error
    entries: dict[str, LazyArray] = {}
    nodes: dict[str, dict[str, Any]] = {}
    for node in graph.node:
        nodes[node.name] = _described(node)
        if node.op == "Const" and "value" in node.attr:
            lazy = _constant(source, node.name, node.attr["value"].tensor)
            if lazy is not None:
                entries[node.name] = lazy
    if not entries:
        raise ForeignFileError(path, "holds no constants, or is in an unknown format.")
    return Contents("tensorflow graph", entries, (source.path,), {"nodes": nodes})


def _described(node: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"op": node.op, "inputs": [name.removesuffix(":0") for name in node.input]}
    shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else []
    if len(shapes) and not shapes[0].unknown_rank:
        described["shape"] = [None if dimension.size < 0 else dimension.size for dimension in shapes[0].dim]
    return described


def _constant(source: SourceFile, name: str, tensor: Any) -> LazyArray | None:
    shape = checked_dimensions(source, name, tensor.tensor_shape, tensor.dtype)
    native = numeric_dtype(tensor.dtype)
    if native is None or native.isbuiltin != 1:
        return None
    # A single number may stand for all of a shape, so the file's size alone does not bound it.
    if element_count(shape) * native.itemsize > max(source.size, MAX_UNBACKED_BYTES):
        raise ForeignFileError(source.path, f"is too small for {shown(name)} of the shape {list(shape)}.")
    return LazyArray(shape, native, _reader(source, name, tensor, shape))


def _reader(source: SourceFile, name: str, tensor: Any, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        import tensorflow as tf

        try:
            return np.ascontiguousarray(tf.make_ndarray(tensor)).reshape(shape)
        except (ValueError, TypeError, IndexError) as error:
            raise ForeignFileError(source.path, f"{shown(name)} has more or fewer numbers than its shape {list(shape)}.") from error

    return read
