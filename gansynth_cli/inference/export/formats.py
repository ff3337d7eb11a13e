"""Write an exported network in a format, and open what was written: each format is a class with both."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import GanAudioError, MissingExtraError
from ...models.exported import ExportedNetwork
from ...signal.portable import portable_graph

OPSET = 17  # ONNX Runtime 1.12 and newer
Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class ExportError(GanAudioError):
    """A model that a format cannot hold, or whose exported file does not give what the model gives."""


class Traced:
    """A network as a graph without complex numbers; every format begins here."""

    def __init__(self, network: ExportedNetwork):
        self.network = network
        names = [port.name for port in network.all_outputs]
        specs = [port.spec() for port in network.all_inputs]

        @tf.function(input_signature=specs, autograph=False)
        def graph(*tensors):
            with portable_graph():
                made = network.function(*tensors)
            return {name: tf.cast(tensor, tf.float32) for name, tensor in zip(names, made, strict=True)}

        self.graph, self.specs = graph, specs
        self.concrete = graph.get_concrete_function()

    def operations(self) -> set[str]:
        """Return the types of all operations, those of inner functions too."""
        graph = self.concrete.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return {node.op for node in nodes}


class SavedModel:
    """TensorFlow's own format, a folder."""

    name, suffix, extra = "savedmodel", "", ""

    @staticmethod
    def write(traced: Traced, path: Path) -> None:
        module = tf.Module()
        module.graph, module.weights = traced.graph, list(traced.concrete.graph.variables)
        tf.saved_model.save(module, str(path), signatures={"serving_default": traced.concrete})

    @staticmethod
    def open(path: Path, network: ExportedNetwork) -> Run:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]

        def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            made = signature(**{name: tf.constant(value) for name, value in inputs.items()})
            return {name: value.numpy() for name, value in made.items()}

        run.keeps = loaded  # type: ignore[attr-defined]  # else its variables are freed
        return run


class Onnx:
    """ONNX, by tf2onnx; names of inputs, outputs and axes are those of the description."""

    name, suffix, extra = "onnx", ".onnx", "export"

    @staticmethod
    def write(traced: Traced, path: Path) -> None:
        import onnx
        import tf2onnx

        model, _ = tf2onnx.convert.from_function(
            traced.graph, input_signature=traced.specs, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
        )
        _rename(model, traced.network)
        onnx.save(model, path)

    @staticmethod
    def open(path: Path, network: ExportedNetwork) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


class LiteRt:
    """LiteRT, formerly TensorFlow Lite, with built-in operators only."""

    name, suffix, extra = "litert", ".tflite", "export"

    @staticmethod
    def write(traced: Traced, path: Path) -> None:
        folder = path.with_suffix(".savedmodel")
        SavedModel.write(traced, folder)
        try:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"])
            path.write_bytes(converter.convert())
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def open(path: Path, network: ExportedNetwork) -> Run:
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
        return lambda inputs: dict(runner(**inputs))


FORMATS: dict[str, Any] = {format.name: format for format in (SavedModel, Onnx, LiteRt)}


def check_installed(name: str) -> None:
    """Check that the packages of a format are there.

    Raises:
        MissingExtraError: They are not.
    """
    try:
        if name == "onnx":
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import tf2onnx  # noqa: F401
        elif name == "litert":
            import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"Exporting to {name}", FORMATS[name].extra) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the converters' own messages off the terminal; those of TensorFlow's C++ parts too."""
    disabled, saved = logging.root.manager.disable, os.dup(2)
    sys.stderr.flush()
    with open(os.devnull, "w") as nothing, warnings.catch_warnings(), contextlib.redirect_stdout(nothing):  # noqa: PTH123
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            logging.disable(disabled)


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """1 - erf(x): the exact GELU of TensorFlow is written with Erfc, which ONNX has not."""
    node.type = "Erf"
    outputs, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    erf = context.make_node("Erf", [node.input[0]], name=f"{node.name}_erf", shapes=shapes, dtypes=dtypes)
    one = context.make_const(f"{node.name}_one", np.array(1.0, np.float32))
    context.make_node("Sub", [one.output[0], erf.output[0]], name=node.name, outputs=outputs, shapes=shapes, dtypes=dtypes)


def _rename(model: Any, network: ExportedNetwork) -> None:
    """Give inputs, outputs and axes the names of the ports. tf2onnx keeps the order of inputs, and sorts outputs by name."""
    graph = model.graph
    given = {port.name: port for port in network.all_inputs}
    ports = {value.name: given[value.name.split(":")[0]] for value in graph.input}
    made = sorted(network.all_outputs, key=lambda port: port.name)
    ports |= {value.name: port for value, port in zip(graph.output, made, strict=True)}
    taken = {name: port.name for name, port in ports.items()}
    inner = {name for node in graph.node for name in node.output if name not in taken}
    taken |= {name: f"{name}_inner" for name in inner & {port.name for port in ports.values()}}
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = taken.get(name, name)
    for value in (*graph.input, *graph.output):
        port = ports[value.name]
        value.name = port.name
        axes = value.type.tensor_type.shape
        del axes.dim[:]
        for size in port.shape:
            axes.dim.add(**({"dim_value": size} if isinstance(size, int) else {"dim_param": size}))
    order = {port.name: place for place, port in enumerate(network.all_outputs)}
    outputs = sorted(graph.output, key=lambda value: order[value.name])
    del graph.output[:]
    graph.output.extend(outputs)
