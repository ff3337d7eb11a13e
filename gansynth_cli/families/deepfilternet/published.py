"""The published weights of DeepFilterNet 3: ONNX files to arrays by name to the layers of `DeepFilterDenoiser`.

The files are `DeepFilterNet3_onnx.tar.gz` of the authors' releases (licensed MIT or Apache-2.0, at choice): three graphs, `enc.onnx`,
`erb_dec.onnx` and `df_dec.onnx`, with batch normalisation folded into the convolutions. Tensors are found through the node that uses
them, because the same tensor names (`onnx::Conv_288`) stand for different layers in different files, and some recurrent weights are
outputs of Constant nodes.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingExtraError, RunError
from ...models.deep_filter_denoiser import DeepFilterDenoiser
from ...models.deep_filter_settings import DeepFilterSettings

SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"  # of DeepFilterNet3_onnx.tar.gz, v0.5.6
GRAPHS = ("enc", "erb_dec", "df_dec")
_MAX_GRAPH_BYTES = 64 << 20  # the largest has 3.3 MB
Tensors = Mapping[str, Sequence[np.ndarray]]  # "graph/path/of/node" -> its constant inputs, in order


def load_published(path: Path, stored_as: str = "float16") -> DeepFilterDenoiser:
    """Build the published network as a trainable model.

    Args:
        path: `DeepFilterNet3_onnx.tar.gz`, or a folder with its three `.onnx` files.
        stored_as: Precision of the weights in a file of it; half costs nothing audible and nothing measurable.

    Raises:
        MissingExtraError: The onnx package is not installed.
        RunError: Files missing or damaged, nodes missing, or tensors of other shapes than DeepFilterNet 3 has.
    """
    model = DeepFilterDenoiser(DeepFilterSettings(), stored_as=stored_as, name="deep_filter_denoiser")
    assign_published(model, read_tensors(path))
    model.provenance = {"source": "DeepFilterNet3_onnx.tar.gz", "sha256": _sha256(path), "version": "DeepFilterNet3-v0.5.6"}
    return model


def assign_published(model: DeepFilterDenoiser, tensors: Tensors) -> None:
    """Set all weights of a model.

    Raises:
        RunError: A node is missing, or a tensor has another shape.
    """
    arrays = arrays_by_name(tensors)
    for name, weight in model.named_weights().items():
        array = arrays.get(name)
        if array is None or array.shape != tuple(weight.shape):
            found = "nothing" if array is None else f"the shape {array.shape}"
            raise RunError(
                f"The graphs hold {found} for {name}; expected {tuple(weight.shape)}.", hint="the layers are those of DeepFilterNet 3"
            )
    for name, weight in model.named_weights().items():
        weight.assign(arrays[name])


def arrays_by_name(tensors: Tensors) -> dict[str, np.ndarray]:
    """Convert the tensors of the three graphs to float32 arrays, named and laid out as in `DeepFilterDenoiser.named_weights`.

    Raises:
        RunError: A node is missing.
    """
    arrays: dict[str, np.ndarray] = {}
    for path, (kind, *nodes) in _NODES.items():
        missing = [node for node in nodes if not tensors.get(node)]
        if missing:
            raise RunError(f"The graphs have no node {missing[0]} with weights.", hint="expected the ONNX files of DeepFilterNet 3")
        constants = [array for node in nodes for array in tensors[node]]
        for name, array in _CONVERT[kind](constants).items():
            arrays[f"{path}/{name}"] = np.ascontiguousarray(array, np.float32)
    return arrays


def read_tensors(path: Path) -> dict[str, list[np.ndarray]]:
    """Read the constant inputs of every node in the three graphs, by graph and node name such as "enc/erb_conv0/1/Conv".

    Raises:
        MissingExtraError, RunError: As for `load_published`.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingExtraError("Reading ONNX files", "export") from error
    tensors: dict[str, list[np.ndarray]] = {}
    for graph_name, data in _read_graphs(Path(path)).items():
        try:
            graph = onnx.load_model_from_string(data).graph
            constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
            for node in graph.node:
                if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                    constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        except Exception as error:  # protobuf raises its own classes for damaged data
            raise RunError(f"{path}: {graph_name}.onnx is damaged: {error}", hint="download the file again") from error
        for node in graph.node:
            used = [constants[name] for name in node.input if name in constants and constants[name].dtype == np.float32]
            if used:
                tensors[graph_name + node.name] = used
    return tensors


def _read_graphs(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        if path.is_dir():
            found = {name: (path / f"{name}.onnx").read_bytes() for name in GRAPHS if (path / f"{name}.onnx").is_file()}
        else:
            with tarfile.open(path) as archive:  # nothing is extracted: members are read by the last part of their names
                for member in archive:
                    name, _, kind = member.name.rpartition("/")[2].rpartition(".")
                    if kind == "onnx" and name in GRAPHS and member.isfile() and member.size <= _MAX_GRAPH_BYTES:
                        content = archive.extractfile(member)
                        found[name] = content.read() if content else b""
    except (OSError, tarfile.TarError, EOFError) as error:
        raise RunError(f"{path} cannot be read: {error}.", hint="expected DeepFilterNet3_onnx.tar.gz or its extracted folder") from error
    missing = [name for name in GRAPHS if name not in found]
    if missing:
        raise RunError(f"{path} has no {missing[0]}.onnx.", hint="expected DeepFilterNet3_onnx.tar.gz or its extracted folder")
    return found


def _sha256(path: Path) -> str:
    if Path(path).is_dir():
        return ""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _plain(constants: list[np.ndarray]) -> dict[str, np.ndarray]:
    kernel, bias = constants
    return {"kernel": kernel.transpose(2, 3, 1, 0), "bias": bias}


def _two_convolutions(constants: list[np.ndarray]) -> dict[str, np.ndarray]:
    kernel, pointwise, bias = constants
    return {"kernel": kernel.transpose(2, 3, 1, 0), "pointwise": pointwise[:, :, 0, 0].T, "bias": bias}


def _depthwise(constants: list[np.ndarray]) -> dict[str, np.ndarray]:
    # [channels, 1, 1, 3], the same for the transposed ones.
    kernel, pointwise, bias = constants
    return {"kernel": kernel[:, 0, 0].T, "pointwise": pointwise[:, :, 0, 0].T, "bias": bias}


def _gain(constants: list[np.ndarray]) -> dict[str, np.ndarray]:
    gain, bias = constants
    return {"gain": gain[:, 0, 0, 0], "bias": bias}


def _recurrent(constants: list[np.ndarray]) -> dict[str, np.ndarray]:
    # ONNX stacks update gate, reset gate and candidate, as Keras does (PyTorch puts the reset gate first).
    kernel, recurrent, bias = constants[:3]
    return {"kernel": kernel[0].T, "recurrent_kernel": recurrent[0].T, "bias": bias[0].reshape(2, -1)}


_CONVERT: dict[str, Any] = {
    "plain": _plain,
    "two": _two_convolutions,
    "depthwise": _depthwise,
    "gain": _gain,
    "recurrent": _recurrent,
    "grouped": lambda constants: {"kernel": constants[0]},
    "dense": lambda constants: {"kernel": constants[0], "bias": constants[1]},
}

# Our layer -> how its tensors are laid out, and the nodes that hold them.
_NODES: dict[str, tuple[str, ...]] = {
    "encoder/erb_conv0": ("plain", "enc/erb_conv0/1/Conv"),
    "encoder/erb_conv1": ("depthwise", "enc/erb_conv1/0/Conv", "enc/erb_conv1/1/Conv"),
    "encoder/erb_conv2": ("depthwise", "enc/erb_conv2/Conv", "enc/erb_conv2/Conv_1"),
    "encoder/erb_conv3": ("depthwise", "enc/erb_conv3/0/Conv", "enc/erb_conv3/1/Conv"),
    "encoder/df_conv0": ("two", "enc/df_conv0/1/Conv", "enc/df_conv0/2/Conv"),
    "encoder/df_conv1": ("depthwise", "enc/df_conv1/Conv", "enc/df_conv1/Conv_1"),
    "encoder/df_fc_emb": ("grouped", "enc/df_fc_emb/0/Einsum"),
    "encoder/linear_in": ("grouped", "enc/emb_gru/linear_in/0/Einsum"),
    "encoder/gru0": ("recurrent", "enc/emb_gru/GRU"),
    "encoder/linear_out": ("grouped", "enc/emb_gru/linear_out/0/Einsum"),
    "encoder/snr_head": ("dense", "enc/lsnr_fc/0/MatMul", "enc/lsnr_fc/0/Add"),
    "band_decoder/linear_in": ("grouped", "erb_dec/emb_gru/linear_in/Einsum"),
    "band_decoder/gru0": ("recurrent", "erb_dec/emb_gru/GRU"),
    "band_decoder/gru1": ("recurrent", "erb_dec/emb_gru/GRU_1"),
    "band_decoder/linear_out": ("grouped", "erb_dec/emb_gru/linear_out/Einsum"),
    "band_decoder/conv3p": ("gain", "erb_dec/conv3p/0/Conv"),
    "band_decoder/conv2p": ("gain", "erb_dec/conv2p/Conv"),
    "band_decoder/conv1p": ("gain", "erb_dec/conv1p/Conv"),
    "band_decoder/conv0p": ("gain", "erb_dec/conv0p/Conv"),
    "band_decoder/convt3": ("depthwise", "erb_dec/convt3/Conv", "erb_dec/convt3/Conv_1"),
    "band_decoder/convt2": ("depthwise", "erb_dec/convt2/0/ConvTranspose", "erb_dec/convt2/1/Conv"),
    "band_decoder/convt1": ("depthwise", "erb_dec/convt1/ConvTranspose", "erb_dec/convt1/Conv"),
    "band_decoder/conv0_out": ("plain", "erb_dec/conv0_out/0/Conv"),
    "filter_decoder/df_convp": ("two", "df_dec/df_convp/df_convp.1/Conv", "df_dec/df_convp/df_convp.2/Conv"),
    "filter_decoder/linear_in": ("grouped", "df_dec/df_gru/linear_in/linear_in.0/Einsum"),
    "filter_decoder/gru0": ("recurrent", "df_dec/df_gru/gru/GRU"),
    "filter_decoder/gru1": ("recurrent", "df_dec/df_gru/gru/GRU_1"),
    "filter_decoder/df_skip": ("grouped", "df_dec/df_skip/Einsum"),
    "filter_decoder/df_out": ("grouped", "df_dec/df_out/df_out.0/Einsum"),
}
