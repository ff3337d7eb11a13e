"""The published weights of DeepFilterNet 3: ONNX files to arrays by name to the layers of `DeepFilterDenoiser`. No TensorFlow.

The files are `DeepFilterNet3_onnx.tar.gz` of the authors' releases (licensed MIT or Apache-2.0, at choice): three graphs, `enc.onnx`,
`erb_dec.onnx` and `df_dec.onnx`, with batch normalisation folded into the convolutions. Tensors are found through the node that uses
them, because the same tensor names (`onnx::Conv_288`) stand for different layers in different files, and some recurrent weights are
outputs of Constant nodes.
"""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...data.foreign import ArrayMismatchError, ForeignFileError, MissingArrayError, open_arrays
from ...errors import RunError
from ...models.deep_filter_settings import DeepFilterSettings
from ...models.model_file import find_model
from ..published import Answers, Placement, Plan, Proof, Source

SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"  # of DeepFilterNet3_onnx.tar.gz, v0.5.6
GRAPHS = ("enc", "erb_dec", "df_dec")
_MAX_GRAPH_BYTES = 64 << 20  # the largest has 3.3 MB
_EXPECTED = "expected DeepFilterNet3_onnx.tar.gz or its extracted folder"
_UNUSED = (
    "df_dec/df_fc_a/df_fc_a.0/MatMul",
    "df_dec/df_fc_a/df_fc_a.0/Add",
)  # a gain that the published runtime computes and never applies
Tensors = Mapping[str, Sequence[np.ndarray]]  # "graph/path/of/node" -> its constant inputs, in order


class DeepFilterNetLayout:
    """`DeepFilterNet3_onnx.tar.gz`, or a folder with its three `.onnx` files."""

    family = "deepfilternet"
    title = "DeepFilterNet 3 (Rikorose/DeepFilterNet)"
    files = ("*_onnx.tar.gz",)

    def recognises(self, source: Source) -> bool:
        return all(name in _graph_names(source.path) for name in GRAPHS)

    def plan(self, source: Source, answers: Answers) -> Plan:
        with graph_files(source.path) as files:
            arrays = arrays_by_name(read_tensors(files))
        source.use(*([source.path] if source.path.is_file() else [source.path / f"{name}.onnx" for name in GRAPHS]))
        changes = {
            "model.channels": arrays["encoder/erb_conv0/bias"].shape[0],
            "model.hidden": arrays["encoder/gru0/recurrent_kernel"].shape[0],
            "model.snr_head": True,
            "model.stored_as": "float32",
        }

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            place(networks["generator"].named_weights(), arrays, source.path, placement)
            return placement

        proof: dict[str, Any] = {"no_proof": "onnxruntime, which would run the source's graphs, is not installed (extra `metrics`)"}
        if find_spec("onnxruntime"):
            proof = {"proof": lambda model: _proof(source.path, model)}
        return Plan(
            "deepfilternet/base",
            changes,
            assign,
            read=[f"weights: the constants of three ONNX graphs, {sum(array.size for array in arrays.values()):,} numbers"],
            left=["df_fc_a, a gain that the published runtime computes and never applies"],
            **proof,
        )


class SavedDenoiserLayout:
    """A `.keras` file of this package, such as the bundled denoiser: a training can begin with it though its run folder is gone."""

    family = "deepfilternet"
    title = "a saved DeepFilterNet (gan-audio)"
    files = ()  # in a folder, such a file is not looked for

    def recognises(self, source: Source) -> bool:
        if source.path.suffix != ".keras":
            return False
        try:
            return find_model(source.path).class_name == "DeepFilterDenoiser"
        except RunError as error:
            raise ForeignFileError(source.path, error.message, error.hint) from error

    def plan(self, source: Source, answers: Answers) -> Plan:
        model = find_model(source.path)
        source.use(source.path)
        arrays = {name.replace("/vars/", "/"): np.asarray(array, np.float32) for name, array in model.weights().items()}
        sizes = DeepFilterSettings.from_dict(model.config["settings"])
        kept = ("channels", "hidden", "band_layers", "filter_layers", "snr_head")
        changes = {f"model.{name}": getattr(sizes, name) for name in kept} | {"model.stored_as": model.config["stored_as"]}

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            place(networks["generator"].named_weights(), arrays, source.path, placement)
            return placement

        return Plan(
            "deepfilternet/base",
            changes,
            assign,
            read=[f"weights: {sum(array.size for array in arrays.values()):,} numbers"],
            no_proof="the source is a file of this package, whose network it is",
        )


PUBLISHED = (DeepFilterNetLayout(), SavedDenoiserLayout())


def place(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path, placement: Placement) -> None:
    """Place arrays for variables of the same names.

    Raises:
        MissingArrayError, ArrayMismatchError: One is missing or has another shape.
    """
    for name, variable in variables.items():
        if name not in arrays:
            raise MissingArrayError(path, f"holds nothing for {name}.", "the layers are those of DeepFilterNet 3")
        if arrays[name].shape != tuple(variable.shape):
            shapes = f"has the shape {list(arrays[name].shape)} for {name}; expected {list(variable.shape)}"
            raise ArrayMismatchError(path, f"{shapes}.", "the layers are those of DeepFilterNet 3")
        placement.put(variable, arrays[name])


def arrays_by_name(tensors: Tensors) -> dict[str, np.ndarray]:
    """Convert the tensors of the three graphs to float32 arrays, named and laid out as in `DeepFilterDenoiser.named_weights`.

    Raises:
        ForeignFileError: A node is missing, has tensors of another rank, or numbers that are not finite.
    """
    arrays: dict[str, np.ndarray] = {}
    for path, (kind, *nodes) in _NODES.items():
        missing = [node for node in nodes if not tensors.get(node)]
        if missing:
            raise MissingArrayError(missing[0], "is a node without weights, or missing.", "expected the ONNX files of DeepFilterNet 3")
        constants = [array for node in nodes for array in tensors[node]]
        try:
            converted = _CONVERT[kind](constants)
        except (ValueError, IndexError) as error:
            shapes = ", ".join(str(list(array.shape)) for array in constants)
            raise ArrayMismatchError(
                nodes[0], f"takes arrays of the shapes {shapes}.", "the layers are those of DeepFilterNet 3"
            ) from error
        for name, array in converted.items():
            if not np.isfinite(array).all():
                raise ArrayMismatchError(nodes[0], "takes numbers that are not finite.")
            arrays[f"{path}/{name}"] = np.ascontiguousarray(array, np.float32)
    left = sorted(
        node
        for node in set(tensors) - {node for _, *nodes in _NODES.values() for node in nodes} - set(_UNUSED)
        if _has_weights(node, tensors)
    )
    if left:
        raise ArrayMismatchError(left[0], f"is one of {len(left)} nodes with weights that DeepFilterNet 3 does not have.")
    return arrays


def _has_weights(node: str, tensors: Tensors) -> bool:
    """Whether a node takes arrays of learnt numbers: not the scalars of scalings and paddings."""
    return any(array.size > 1 for array in tensors[node])


def read_tensors(files: Mapping[str, Path]) -> dict[str, list[np.ndarray]]:
    """Read the constant inputs of every node in the three graphs, by graph and node name such as "enc/erb_conv0/1/Conv".

    Raises:
        MissingExtraError: The onnx package is not installed.
        ForeignFileError: A file is damaged.
    """
    tensors: dict[str, list[np.ndarray]] = {}
    for graph, file in files.items():
        arrays = open_arrays(file)
        for node, names in arrays.facts["nodes"].items():
            used = [arrays[name] for name in names if arrays.entry(name).dtype == np.float32]
            if used:
                tensors[graph + node] = used
    return tensors


@contextmanager
def graph_files(path: Path) -> Iterator[dict[str, Path]]:
    """The three graphs as files: those of a folder, or copies of those in an archive, which vanish with the block.

    Raises:
        ForeignFileError: It cannot be read, or one is missing.
    """
    members = _graph_names(path)
    missing = [name for name in GRAPHS if name not in members]
    if missing:
        raise ForeignFileError(path, f"has no {missing[0]}.onnx.", _EXPECTED)
    if path.is_dir():
        yield {name: path / f"{name}.onnx" for name in GRAPHS}
        return
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
        files = {name: Path(folder) / f"{name}.onnx" for name in GRAPHS}
        for name, file in files.items():  # by names of our own: what the archive calls them is not used as a path
            content = archive.extractfile(members[name])
            file.write_bytes(content.read() if content else b"")
        yield files


def _graph_names(path: Path) -> dict[str, str]:
    """Name of a graph -> where it is in a folder or archive; empty where there are none."""
    if path.is_dir():
        return {name: f"{name}.onnx" for name in GRAPHS if (path / f"{name}.onnx").is_file()}
    if not path.is_file() or not tarfile.is_tarfile(path):
        return {}
    found: dict[str, str] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name, _, kind = member.name.rpartition("/")[2].rpartition(".")
                if kind == "onnx" and name in GRAPHS and member.isfile() and member.size <= _MAX_GRAPH_BYTES:
                    found[name] = member.name
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise ForeignFileError(path, f"cannot be read: {error}.", "download it again, and compare its SHA-256") from error
    return found


def _proof(path: Path, model: Any) -> Proof:
    """Run encoder and decoders by onnxruntime and here, on features of two kinds."""
    import onnxruntime

    from ...signal.erb_front_end import Features

    settings, frames = model.settings, 100
    rng = np.random.default_rng(0)
    swell = np.sin(np.pi * np.arange(frames) / frames, dtype=np.float32)[:, None]
    inputs = {}
    for name, gain in (("random features, 1 s", np.ones((frames, 1), np.float32)), ("random features that swell and fade, 1 s", swell)):
        bands = rng.standard_normal((frames, settings.bands), np.float32) * gain
        bins = rng.standard_normal((2, frames, settings.filter_bins), np.float32) * gain
        inputs[name] = bands, bins
    difference = scale = 0.0
    with graph_files(path) as files:
        sessions = {name: onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]) for name, file in files.items()}
    for bands, bins in inputs.values():
        names = [output.name for output in sessions["enc"].get_outputs()]
        encoded = dict(zip(names, sessions["enc"].run(names, {"feat_erb": bands[None, None], "feat_spec": bins[None]}), strict=True))
        run = lambda graph: sessions[graph].run(None, {one.name: encoded[one.name] for one in sessions[graph].get_inputs()})[0]  # noqa: B023
        mask, taps = run("erb_dec"), run("df_dec")
        gains = model(Features(bands[None], bins.transpose(1, 2, 0)[None]))
        for ours, theirs in ((gains.mask, mask[:, 0]), (gains.taps, taps)):
            difference = max(difference, float(np.abs(np.asarray(ours) - theirs).max()))
            scale = max(scale, float(np.abs(theirs).max()))
    return Proof(f"onnxruntime {onnxruntime.__version__}", tuple(inputs), difference, scale)


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
