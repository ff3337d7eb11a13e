"""Running a graph of TensorFlow 1 (infer.meta) in today's TensorFlow, to compare an imported model with it.

A graph is a program: TensorFlow has operations that read, write and call. So only what leads to the wanted outputs is taken out of the
file, every operation in it has to be on a list of arithmetic, and variables are fed as arrays instead of being restored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.foreign import ForeignArrays, ForeignFileError

MAX_GRAPH_BYTES = 64 << 20
MAX_SECONDS = 300  # a graph has loops
_VARIABLES = ("VarHandleOp", "Variable", "VariableV2")
_READS = ("Identity", "ReadVariableOp")

# What the authors' generators and inversions are made of. None reads or writes a file, calls code, or keeps state.
_ARITHMETIC_NAMES = """
Abs Add AddN AddV2 AvgPool BatchToSpaceND BiasAdd Cast ClipByValue Complex ComplexAbs Concat ConcatV2 Const Conj Conv2D Conv2DBackpropInput
Cos Div Enter Exit Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherV2 Greater
IRFFT Identity Imag LeakyRelu Less Log LoopCond MatMul Max MaxPool Maximum Mean Merge Min Minimum Mul Neg NextIteration Pack Pad
Placeholder PlaceholderWithDefault Pow Prod RFFT Range Rank Real RealDiv Relu Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor
Rsqrt Select Shape Sigmoid Sin Size Slice SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub
Sum Switch Tanh Tile Transpose Unpack ZerosLike
"""
_ARITHMETIC = frozenset(_ARITHMETIC_NAMES.split())


def run_graph(
    path: Path, arrays: ForeignArrays, inputs: Mapping[str, np.ndarray | float | int], outputs: Sequence[str]
) -> list[np.ndarray]:
    """Run a MetaGraphDef with the variables of a checkpoint.

    Args:
        path: The .meta file.
        arrays: The checkpoint.
        inputs: Name of a placeholder -> its value.
        outputs: Names of nodes.

    Returns:
        The first output of each node.

    Raises:
        ForeignFileError: The graph is damaged or too large, has no such node, an operation that is not arithmetic, a variable that the
            checkpoint does not hold, or fails.
    """
    import tensorflow as tf

    graph_def = _read(path)
    feeds, kept = _cut(path, graph_def, arrays, inputs, outputs)
    wanted = tf.compat.v1.GraphDef(versions=graph_def.versions)
    for node in kept:
        copied = wanted.node.add()
        copied.CopyFrom(node)
        copied.device = ""
        copied.attr.pop("_class", None)  # names of nodes to share a device with, which may have been left out
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(wanted, name="")
        options = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        limit = tf.compat.v1.RunOptions(timeout_in_ms=MAX_SECONDS * 1000)
        with tf.compat.v1.Session(graph=graph, config=options) as session:
            values = {f"{name}:0": value for name, value in {**feeds, **inputs}.items()}
            return [np.asarray(found) for found in session.run([f"{name}:0" for name in outputs], values, limit)]
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        raise ForeignFileError(path, f"does not run in this TensorFlow: {' '.join(str(error).split())[:200]}.") from error


def _read(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2

    if path.stat().st_size > MAX_GRAPH_BYTES:
        raise ForeignFileError(path, f"has {path.stat().st_size} bytes, more than a graph to be compared with may have.")
    try:
        return meta_graph_pb2.MetaGraphDef.FromString(path.read_bytes()).graph_def
    except DecodeError as error:
        raise ForeignFileError(path, "is a damaged or truncated TensorFlow graph.", "download it again") from error


def _cut(
    path: Path, graph_def: Any, arrays: ForeignArrays, inputs: Mapping[str, Any], outputs: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Return (what stands for reads of variables, the nodes that lead from there and from the inputs to the outputs)."""
    nodes = {node.name: node for node in graph_def.node}
    feeds: dict[str, np.ndarray] = {}
    kept: dict[str, Any] = {}
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        node = nodes.get(name)
        if node is None:
            raise ForeignFileError(path, f"has no node {name}.", "infer.meta is the graph that generates; model.ckpt-N.meta is another")
        kept[name] = node
        before = [_node_of(entry) for entry in node.input]
        variable = nodes.get(before[0]) if before else None
        if node.op in _READS and variable is not None and variable.op in _VARIABLES:
            feeds[name] = _value(path, arrays, variable)
            kept[variable.name] = variable
        elif node.op not in _ARITHMETIC:
            raise ForeignFileError(path, f"has the operation {node.op}, which is not run.")
        elif name not in inputs:
            waiting += before
    return feeds, list(kept.values())


def _node_of(entry: str) -> str:
    return entry.removeprefix("^").partition(":")[0]


def _value(path: Path, arrays: ForeignArrays, variable: Any) -> np.ndarray:
    shared = variable.attr["shared_name"].s.decode("utf-8", "replace") if "shared_name" in variable.attr else ""
    for name in (variable.name, shared):
        if name in arrays:
            return np.asarray(arrays[name])
    raise ForeignFileError(path, f"reads {variable.name}, which the checkpoint does not hold.")
