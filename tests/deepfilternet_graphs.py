"""Graphs with the operators and node names of DeepFilterNet 3's ONNX files, of any size: what the published weights are read from.

They are built from weights under our names by a description of their own, so reading them back checks every layout, and onnxruntime
runs them: `python -m tests.deepfilternet_graphs tests/deepfilternet_reference.npz` stores weights, inputs and its outputs for
`test_deepfilternet.py`, which needs neither onnx nor onnxruntime for them. The weights are drawn here, not published ones.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gansynth_cli.models.deep_filter_settings import DeepFilterSettings

SETTINGS = DeepFilterSettings(channels=4, hidden=16)
FRAMES = 12


class Graph:
    """Nodes one after another; an array among the inputs becomes an initializer, or the output of a Constant node."""

    def __init__(self, name: str, constants_as_nodes: bool):
        import onnx

        self.onnx, self.name, self.as_nodes = onnx, name, constants_as_nodes
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []

    def input(self, name: str, rank: int) -> str:
        value = self.onnx.helper.make_tensor_value_info(name, 1, [None] * rank)
        self.inputs.append(value)
        return name

    def output(self, name: str) -> None:
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, 1, None))

    def constant(self, array: np.ndarray, hidden: bool = False) -> str:
        tensor = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), f"tensor_{len(self.initializers) + len(self.nodes)}")
        if hidden:
            self.nodes.append(self.onnx.helper.make_node("Constant", [], [tensor.name], name=f"/{tensor.name}", value=tensor))
        else:
            self.initializers.append(tensor)
        return tensor.name

    def node(self, kind: str, inputs: list, output: str = "", name: str = "", **attributes) -> str:
        output = output or f"{name or kind}_{len(self.nodes)}_output"
        names = [one if isinstance(one, str) else self.constant(one, self.as_nodes and kind == "GRU") for one in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, names, [output], name=name or f"/{kind}_{len(self.nodes)}", **attributes))
        return output

    def bytes(self) -> bytes:
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8).SerializeToString()

    # Blocks.

    def relu(self, x: str, output: str = "") -> str:
        return self.node("Relu", [x], output)

    def padded(self, x: str, frames: int) -> str:
        return self.node("Pad", [x, np.int64([0, 0, frames, 0, 0, 0, 0, 0]), np.float32(0)], mode="constant")

    def convolution(self, x: str, name: str, kernel: np.ndarray, bias=None, stride: int = 1, group: int = 1) -> str:
        side = kernel.shape[3] // 2
        inputs = [x, np.float32(kernel)] + ([] if bias is None else [bias])
        return self.node("Conv", inputs, name=name, group=group, pads=[0, side, 0, side], strides=[1, stride])

    def depthwise(self, x: str, weights: Mapping[str, np.ndarray], names: tuple[str, str], stride: int, output: str = "") -> str:
        kernel = weights["kernel"].T[:, None, None]  # [channels, 1, 1, 3]
        x = self.convolution(x, names[0], kernel, stride=stride, group=len(kernel))
        return self.relu(self.convolution(x, names[1], weights["pointwise"].T[:, :, None, None], weights["bias"]), output)

    def transposed(self, x: str, weights: Mapping[str, np.ndarray], names: tuple[str, str]) -> str:
        kernel = weights["kernel"].T[:, None, None]
        options = {"group": len(kernel), "pads": [0, 1, 0, 1], "output_padding": [0, 1], "strides": [1, 2]}
        x = self.node("ConvTranspose", [x, kernel], name=names[0], **options)
        return self.relu(self.convolution(x, names[1], weights["pointwise"].T[:, :, None, None], weights["bias"]))

    def gained(self, x: str, weights: Mapping[str, np.ndarray], name: str) -> str:
        gain = weights["gain"][:, None, None, None]
        return self.relu(self.convolution(x, name, gain, weights["bias"], group=len(gain)))

    def flattened(self, x: str) -> str:
        return self.node("Reshape", [self.node("Transpose", [x], perm=[0, 2, 3, 1]), np.int64([0, 0, -1])])

    def grouped(self, x: str, kernel: np.ndarray, name: str) -> str:
        x = self.node("Reshape", [x, np.int64([0, 0, len(kernel), kernel.shape[1]])])
        x = self.node("Einsum", [x, kernel], name=name, equation="btgi,gih->btgh")
        return self.node("Reshape", [x, np.int64([0, 0, -1])])

    def recurrent(self, x: str, layers: list[Mapping[str, np.ndarray]], names: list[str]) -> str:
        x = self.node("Transpose", [x], perm=[1, 0, 2])
        for weights, name in zip(layers, names, strict=True):
            units = len(weights["recurrent_kernel"])
            given = [weights["kernel"].T[None], weights["recurrent_kernel"].T[None], weights["bias"].reshape(1, -1)]
            x = self.node("GRU", [x, *given], name=name, hidden_size=units, linear_before_reset=1)
            x = self.node("Squeeze", [x], axes=[1])
        return self.node("Transpose", [x], perm=[1, 0, 2])


def build(weights: Mapping[str, np.ndarray], settings: DeepFilterSettings) -> dict[str, bytes]:
    """ "enc", "erb_dec", "df_dec": ONNX files of weights by our names."""

    def of(path: str) -> dict[str, np.ndarray]:
        return {name.rpartition("/")[2]: np.float32(value) for name, value in weights.items() if name.startswith(f"{path}/")}

    s = settings
    enc = Graph("enc", True)
    bands, bins = enc.input("feat_erb", 4), enc.input("feat_spec", 4)
    w = of("encoder/erb_conv0")
    e0 = enc.relu(enc.convolution(enc.padded(bands, 2), "/erb_conv0/1/Conv", w["kernel"].transpose(3, 2, 0, 1), w["bias"]), "e0")
    e1 = enc.depthwise(e0, of("encoder/erb_conv1"), ("/erb_conv1/0/Conv", "/erb_conv1/1/Conv"), 2, "e1")
    e2 = enc.depthwise(e1, of("encoder/erb_conv2"), ("/erb_conv2/Conv", "/erb_conv2/Conv_1"), 2, "e2")
    e3 = enc.depthwise(e2, of("encoder/erb_conv3"), ("/erb_conv3/0/Conv", "/erb_conv3/1/Conv"), 1, "e3")
    w = of("encoder/df_conv0")
    x = enc.convolution(enc.padded(bins, 2), "/df_conv0/1/Conv", w["kernel"].transpose(3, 2, 0, 1), group=2)
    c0 = enc.relu(enc.convolution(x, "/df_conv0/2/Conv", w["pointwise"].T[:, :, None, None], w["bias"]), "c0")
    c1 = enc.depthwise(c0, of("encoder/df_conv1"), ("/df_conv1/Conv", "/df_conv1/Conv_1"), 2)
    x = enc.relu(enc.grouped(enc.flattened(c1), of("encoder/df_fc_emb")["kernel"], "/df_fc_emb/0/Einsum"))
    x = enc.node("Add", [enc.flattened(e3), x])
    x = enc.relu(enc.grouped(x, of("encoder/linear_in")["kernel"], "/emb_gru/linear_in/0/Einsum"))
    x = enc.recurrent(x, [of("encoder/gru0")], ["/emb_gru/GRU"])
    emb = enc.relu(enc.grouped(x, of("encoder/linear_out")["kernel"], "/emb_gru/linear_out/0/Einsum"), "emb")
    w = of("encoder/snr_head")
    x = enc.node("Add", [w["bias"], enc.node("MatMul", [emb, w["kernel"]], name="/lsnr_fc/0/MatMul")], name="/lsnr_fc/0/Add")
    x = enc.node("Mul", [enc.node("Sigmoid", [x]), np.float32([50])])
    enc.node("Add", [x, np.float32([-15])], "lsnr")
    for name in ("e0", "e1", "e2", "e3", "emb", "c0", "lsnr"):
        enc.output(name)

    dec = Graph("erb_dec", True)
    emb, e3, e2, e1, e0 = (dec.input(name, 3 if name == "emb" else 4) for name in ("emb", "e3", "e2", "e1", "e0"))
    x = dec.relu(dec.grouped(emb, of("band_decoder/linear_in")["kernel"], "/emb_gru/linear_in/Einsum"))
    x = dec.recurrent(x, [of("band_decoder/gru0"), of("band_decoder/gru1")], ["/emb_gru/GRU", "/emb_gru/GRU_1"])
    x = dec.relu(dec.grouped(x, of("band_decoder/linear_out")["kernel"], "/emb_gru/linear_out/Einsum"))
    x = dec.node("Transpose", [dec.node("Reshape", [x, np.int64([0, 0, s.bands // 4, s.channels])])], perm=[0, 3, 1, 2])
    x = dec.node("Add", [dec.gained(e3, of("band_decoder/conv3p"), "/conv3p/0/Conv"), x])
    x = dec.depthwise(x, of("band_decoder/convt3"), ("/convt3/Conv", "/convt3/Conv_1"), 1)
    x = dec.node("Add", [dec.gained(e2, of("band_decoder/conv2p"), "/conv2p/Conv"), x])
    x = dec.transposed(x, of("band_decoder/convt2"), ("/convt2/0/ConvTranspose", "/convt2/1/Conv"))
    x = dec.node("Add", [dec.gained(e1, of("band_decoder/conv1p"), "/conv1p/Conv"), x])
    x = dec.transposed(x, of("band_decoder/convt1"), ("/convt1/ConvTranspose", "/convt1/Conv"))
    x = dec.node("Add", [dec.gained(e0, of("band_decoder/conv0p"), "/conv0p/Conv"), x])
    w = of("band_decoder/conv0_out")
    dec.node("Sigmoid", [dec.convolution(x, "/conv0_out/0/Conv", w["kernel"].transpose(3, 2, 0, 1), w["bias"])], "m")
    dec.output("m")

    df = Graph("df_dec", False)
    emb, c0 = df.input("emb", 3), df.input("c0", 4)
    x = df.relu(df.grouped(emb, of("filter_decoder/linear_in")["kernel"], "/df_gru/linear_in/linear_in.0/Einsum"))
    x = df.recurrent(x, [of("filter_decoder/gru0"), of("filter_decoder/gru1")], ["/df_gru/gru/GRU", "/df_gru/gru/GRU_1"])
    x = df.node("Add", [x, df.grouped(emb, of("filter_decoder/df_skip")["kernel"], "/df_skip/Einsum")])
    x = df.node("Tanh", [df.grouped(x, of("filter_decoder/df_out")["kernel"], "/df_out/df_out.0/Einsum")])
    x = df.node("Reshape", [x, np.int64([0, 0, s.filter_bins, 2 * s.filter_taps])])
    w = of("filter_decoder/df_convp")
    y = df.convolution(df.padded(c0, 4), "/df_convp/df_convp.1/Conv", w["kernel"].transpose(3, 2, 0, 1), group=2)
    y = df.relu(df.convolution(y, "/df_convp/df_convp.2/Conv", w["pointwise"].T[:, :, None, None], w["bias"]))
    df.node("Add", [x, df.node("Transpose", [y], perm=[0, 2, 3, 1])], "coefs")
    df.output("coefs")
    return {"enc": enc.bytes(), "erb_dec": dec.bytes(), "df_dec": df.bytes()}


def drawn_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 7) -> dict[str, np.ndarray]:
    """float16 values of a size that keeps every layer alive, biases and gains included."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        spread = 0.3 if name.endswith(("bias", "gain")) else 1.2 / np.sqrt(np.prod(shape[:-1]) if "kernel" not in name else shape[-2])
        weights[name] = (rng.normal(0.1, spread, shape)).astype(np.float16)
    return weights


def main(target: Path) -> None:
    import onnxruntime

    from gansynth_cli.models.deep_filter_denoiser import DeepFilterDenoiser

    shapes = {name: tuple(weight.shape) for name, weight in DeepFilterDenoiser(SETTINGS).named_weights().items()}
    weights = drawn_weights(shapes)
    files = build({name: np.float32(value) for name, value in weights.items()}, SETTINGS)
    sessions = {name: onnxruntime.InferenceSession(data) for name, data in files.items()}
    rng = np.random.default_rng(11)
    inputs = {
        "feat_erb": rng.standard_normal((1, 1, FRAMES, SETTINGS.bands), np.float32),
        "feat_spec": rng.standard_normal((1, 2, FRAMES, SETTINGS.filter_bins), np.float32),
    }
    names = [output.name for output in sessions["enc"].get_outputs()]
    encoded = dict(zip(names, sessions["enc"].run(names, inputs), strict=True))
    mask = sessions["erb_dec"].run(None, {name: encoded[name] for name in ("emb", "e3", "e2", "e1", "e0")})[0]
    taps = sessions["df_dec"].run(None, {name: encoded[name] for name in ("emb", "c0")})[0]
    kept = {name: encoded[name] for name in ("e3", "emb", "lsnr")} | {"c0": encoded["c0"][:, :, -1:], "m": mask, "coefs": taps[:, -3:]}
    arrays = {f"weight/{name}": value for name, value in weights.items()} | inputs | kept
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
