"""Tiny ONNX graphs with the inputs, noise and durations of published voices, and the files around them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HOP = 4
SYMBOLS_OF_PIPER = "_^$ .,!?abdehlorwəɜˈːʃ\u0303"


def piper_graph(symbols: int = 64, speakers: int = 1):
    """A VITS in miniature: durations exp(embedding + noise_w x normal) x length_scale, rounded up; then one channel of noise."""
    from onnx import TensorProto, helper, numpy_helper

    def node(kind, inputs, output, **settings):
        return helper.make_node(kind, inputs, [output], name=output, **settings)

    def constant(name, value):
        return numpy_helper.from_array(np.asarray(value), name)

    table = np.linspace(0.2, 1.2, symbols, dtype=np.float32)[:, None]
    weights = [
        constant("emb", table),
        constant("zero", np.int64(0)),
        constant("zero1", np.array([0], np.int64)),
        constant("one", np.array([1], np.int64)),
        constant("two", np.array([2], np.int64)),
        constant("three", np.array([3], np.int64)),
        constant("axes", np.array([2], np.int64)),
        constant("hops", np.array([HOP], np.int64)),
        constant("shape", np.array([1, 1, 1, -1], np.int64)),
        constant("first", np.array([1, 1], np.int64)),
        constant("flat", np.array([1, 1, -1], np.int64)),
        constant("half", np.float32(0.3)),
    ]
    nodes = [
        node("Slice", ["scales", "zero1", "one"], "noise_scale"),
        node("Slice", ["scales", "one", "two"], "length_scale"),
        node("Slice", ["scales", "two", "three"], "noise_w"),
        node("Gather", ["emb", "input"], "found"),
        node("Transpose", ["found"], "rows", perm=[0, 2, 1]),
        node("RandomNormalLike", ["rows"], "dp_noise"),
        node("Mul", ["dp_noise", "noise_w"], "dp_scaled"),
        node("Add", ["rows", "dp_scaled"], "logw"),
        node("Exp", ["logw"], "w"),
        node("Mul", ["w", "length_scale"], "w_long"),
        node("Ceil", ["w_long"], "w_ceil"),
        node("Reshape", ["w_ceil", "flat"], "w_row"),
        node("CumSum", ["w_row", "zero_axis"], "ends"),
        node("ReduceMax", ["ends"], "total", keepdims=0),
        node("Cast", ["total"], "frames", to=TensorProto.INT64),
        node("Reshape", ["frames", "one"], "frames1"),
        node("Concat", ["first", "frames1"], "frame_shape", axis=0),
        node("ConstantOfShape", ["frame_shape"], "m_p"),
        node("RandomNormalLike", ["m_p"], "z_noise"),
        node("Mul", ["z_noise", "noise_scale"], "z_scaled"),
        node("Add", ["m_p", "z_scaled"], "z"),
        node("Add", ["z", "voice"], "voiced"),
        node("Unsqueeze", ["voiced", "three"], "column"),
        node("Concat", ["frame_shape", "hops"], "full", axis=0),
        node("Expand", ["column", "full"], "spread"),
        node("Reshape", ["spread", "shape"], "output"),
    ]
    weights.append(constant("zero_axis", np.int64(2)))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
        weights.append(constant("emb_g", np.arange(speakers, dtype=np.float32)[:, None] / 10))
        nodes.insert(0, node("Gather", ["emb_g", "sid"], "voice"))
    else:
        weights.append(constant("voice", np.float32(0.25)))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [w for w in weights if w.name not in ("zero", "axes", "half")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def piper_config(**changes) -> dict:
    config = {
        "audio": {"sample_rate": 8000, "quality": "low"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.5, "length_scale": 1.5, "noise_w": 0.4},
        "phoneme_type": "espeak",
        "phoneme_map": {},
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS_OF_PIPER)},
        "num_speakers": 1,
        "speaker_id_map": {},
    }
    return config | changes


def write_piper(folder: Path, model=None, **changes) -> Path:
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model or piper_graph(), folder / "en_US-tiny.onnx")
    (folder / "en_US-tiny.onnx.json").write_text(json.dumps(piper_config(**changes)), encoding="utf-8")
    return folder


def kokoro_graph(symbols: int = 178, tokens: str = "tokens", taps: bool = True):
    """Each token lasts two frames of 600 samples over speed, rounded; the samples are the mean of the style."""
    from onnx import TensorProto, helper, numpy_helper

    names = ("/encoder/Cast_output_0", "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0") if taps else ("d", "f", "e")
    nodes = [
        helper.make_node("Gather", ["emb", tokens], ["found"]),
        helper.make_node("Div", ["found", "speed"], ["long"]),
        helper.make_node("Round", ["long"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], [names[0]], to=TensorProto.INT64),
        helper.make_node("ReduceSum", [names[0]], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "samples"], ["count"]),
        helper.make_node("ReduceMean", ["style"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "one"], ["level"]),
        helper.make_node("Expand", ["level", "count"], ["audio"]),
        helper.make_node("Mul", ["total", "two"], ["halves"]),
        helper.make_node("Expand", ["hertz", "halves"], [names[1]]),
        helper.make_node("Expand", ["level", "halves"], [names[2]]),
    ]
    weights = {
        "emb": np.full(symbols, 2, np.float32),
        "samples": np.array([600], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "hertz": np.array([20], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(tokens, TensorProto.INT64, [1, None]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
