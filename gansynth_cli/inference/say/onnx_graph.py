"""An ONNX graph edited in memory: its random numbers become inputs, inner tensors become outputs; then a session that runs it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import GanAudioError, MissingExtraError

if TYPE_CHECKING:
    import onnx
    import onnxruntime

EXTRA = "speech"
NOISE_INPUT = "gan_audio_noise_{}"
_LFS = b"version https://git-lfs.github.com/spec/"
_MIN_BYTES = 64


class VoiceError(GanAudioError):
    """A voice that cannot be used: a file that is missing, damaged, of another kind, or that does not belong to the other one."""


def read_graph(file: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        MissingExtraError: `onnx` is not installed.
        VoiceError: The file is missing, a Git LFS pointer, a web page, or no ONNX model.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtraError("Speaking with a published voice", EXTRA) from error
    try:
        with file.open("rb") as content:
            start = content.read(256)
    except OSError as error:
        raise VoiceError(f"{file} cannot be read: {error.strerror or error}.") from error
    if start.startswith(_LFS):
        raise VoiceError(f"{file} is a Git LFS pointer, not the model itself.", hint="git lfs pull, or download the file itself")
    if start.lstrip()[:1] in (b"<", b"{") or len(start) < _MIN_BYTES:
        raise VoiceError(f"{file} is no ONNX model: it holds text or next to nothing.", hint="download it again; a model has megabytes")
    try:
        model = onnx.load(file)
    except DecodeError as error:
        raise VoiceError(f"{file} is no ONNX model, or is damaged.", hint="download it again and compare its SHA-256") from error
    except (OSError, ValueError) as error:  # weights in files of their own that are missing or lie elsewhere
        raise VoiceError(f"{file}: its external weights cannot be read: {error}") from error
    if not model.graph.node or not model.graph.input or not model.graph.output:
        raise VoiceError(f"{file} is no ONNX model: it has no graph.", hint="download it again and compare its SHA-256")
    return model


def input_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of the inputs that have to be fed."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {value.name for value in model.graph.input if value.name not in weights}


def rows_of(model: onnx.ModelProto, index: str) -> int | None:
    """Return how many rows the table has that is looked up by the graph input `index`; None where none is."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    lookups = [node.input for node in model.graph.node if node.op_type == "Gather" and list(node.input[1:2]) == [index]]
    rows = [shapes[table][0] for table, _ in lookups if table in shapes]
    return min(rows) if rows else None


def make_noise_an_input(model: onnx.ModelProto) -> list[str]:
    """Replace every normally distributed random tensor of the graph by numbers that are fed, and return the names of the inputs.

    A graph from PyTorch has RandomNormalLike nodes, whose generator no caller can seed. Each becomes a float32 input of any length,
    whose numbers fill the tensor in order, again from the first one where there are too few. So the caller need not know the shape,
    which for the second tensor of a VITS depends on durations that the graph itself draws.
    """
    import onnx

    names: list[str] = []
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "RandomNormalLike" and node.input and node.output:
            names.append(NOISE_INPUT.format(len(names)))
            nodes += _fed_noise(node, names[-1])
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in names)
    return names


def _fed_noise(node: onnx.NodeProto, name: str) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}

    def at(part: str) -> str:
        return f"{name}/{part}"

    def make(kind: str, inputs: list[str], output: str, **settings: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], name=at(f"{kind}_{output}"), **settings)

    def constant(part: str, kind: int, value: Any) -> onnx.NodeProto:
        return make("Constant", [], at(part), value=helper.make_tensor(at(part), kind, [], [value]))

    return [
        constant("zero", TensorProto.INT64, 0),
        constant("one", TensorProto.INT64, 1),
        make("Shape", [node.input[0]], at("shape")),
        make("ReduceProd", [at("shape")], at("total"), keepdims=0),
        make("Range", [at("zero"), at("total"), at("one")], at("places")),
        make("Shape", [name], at("given_shape")),
        make("ReduceProd", [at("given_shape")], at("given"), keepdims=0),
        make("Mod", [at("places"), at("given")], at("rows")),
        make("Gather", [name, at("rows")], at("flat")),
        constant("scale", TensorProto.FLOAT, attributes.get("scale", 1.0)),
        constant("mean", TensorProto.FLOAT, attributes.get("mean", 0.0)),
        make("Mul", [at("flat"), at("scale")], at("scaled")),
        make("Add", [at("scaled"), at("mean")], at("moved")),
        make("Reshape", [at("moved"), at("shape")], at("shaped")),
        make("Cast", [at("shaped")], node.output[0], to=attributes.get("dtype", TensorProto.FLOAT)),
    ]


def expose(model: onnx.ModelProto, *tensors: str) -> list[str]:
    """Make inner tensors outputs of the graph, as far as it has them, and return the names that it has."""
    import onnx

    made = {name for node in model.graph.node for name in node.output}
    outputs = {value.name for value in model.graph.output}
    found = [name for name in tensors if name in made]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in found if name not in outputs)
    return found


def make_factor_an_input(model: onnx.ModelProto, tensor: str, name: str) -> bool:
    """Multiply an inner tensor by a new float32 scalar input; its readers get the product. False: there is no such tensor."""
    import onnx

    for place, node in enumerate(model.graph.node):
        if tensor in node.output:
            before = f"{tensor}/before_{name}"
            node.output[list(node.output).index(tensor)] = before
            model.graph.node.insert(place + 1, onnx.helper.make_node("Mul", [before, name], [tensor], name=f"{name}/product"))
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []))
            return True
    return False


def open_session(model: onnx.ModelProto, file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a session on the processor that runs a graph.

    Args:
        model: The graph.
        file: Where it came from, for messages.
        threads: Threads inside an operator.

    Raises:
        MissingExtraError: `onnxruntime` is not installed.
        VoiceError: It refuses the graph.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("Speaking with a published voice", EXTRA) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions
    options.enable_mem_pattern = False  # every sentence has another length: plans would pile up
    try:
        # Without the fallback, which would try the same again and print to stdout.
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime raises classes of its own that have no common base but Exception
        reason = _first_line(error)
        raise VoiceError(f"{file}: onnxruntime refuses the model: {reason}", hint="pip install --upgrade onnxruntime") from error


@contextlib.contextmanager
def failing_as(file: Path):
    """Turn what onnxruntime raises while it runs into a `VoiceError` that names the file."""
    try:
        yield
    except GanAudioError:
        raise
    except Exception as error:  # see open_session
        raise VoiceError(f"{file}: the model failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
