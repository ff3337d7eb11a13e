"""Checkpoints of TensorFlow 1 under the authors' names with random weights, and the authors' graphs in plain operations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
Variables = dict[str, np.ndarray]

TRAINED = {"wgan-gp": ("Adam", 0.5, 0.9), "dcgan": ("Adam", 0.5, 0.999), "lsgan": ("RMSProp", 0.0, 0.0)}
ARGS = {
    "data_normalize": False,
    "data_sample_rate": 8000,
    "mode": "train",
    "train_batch_size": 4,
}


def write_checkpoint(prefix: Path, variables: Mapping[str, Any], pointer: bool = True) -> Path:
    """Write PREFIX.index and PREFIX.data-00000-of-00001, and a file "checkpoint" that names them."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[tf.constant(variables[n]) for n in names]
    )
    if pointer:
        (prefix.parent / "checkpoint").write_text(f'model_checkpoint_path: "/somewhere/else/{prefix.name}"\n')
    return prefix


def write_args(folder: Path, options: Mapping[str, Any]) -> None:
    (folder / "args.txt").write_text("\n".join(f"{key},{value}" for key, value in sorted(options.items())))


def random_values(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Variables:
    """Kernels of a gain near 1, small biases, positive variances; a variable's values follow from its place and the seed."""
    rng, values = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        last = name.rpartition("/")[2]
        scale = 0.1 if len(shape) < 2 else (2.0 / np.prod(shape[:-1])) ** 0.5
        value = rng.normal(0.0, scale, shape)
        if last in ("gamma", "moving_variance"):
            value = 1.0 + np.abs(value)
        values[name] = value.astype(np.float32)
    return values


def with_slots(variables: Variables, loss: str, step: int, repeats: int, seed: int = 7) -> Variables:
    """Add the optimisers' variables and global_step, as after `step` steps."""
    kind, beta_1, beta_2 = TRAINED[loss]
    rng, added = np.random.default_rng(seed), {}
    for name, value in variables.items():
        if "moving_" not in name:
            added[f"{name}/{kind}"] = rng.normal(0, 0.01, value.shape).astype(np.float32)
            added[f"{name}/{kind}_1"] = rng.uniform(0.5, 1.0, value.shape).astype(np.float32) * 1e-3
            if kind == "RMSProp":
                added[f"{name}/RMSProp"] = np.abs(added[f"{name}/{kind}"])
    if kind == "Adam":
        for suffix, updates in (("", step), ("_1", step * repeats)):
            added |= {f"beta{i}_power{suffix}": np.float32(beta ** (updates + 1)) for i, beta in ((1, beta_1), (2, beta_2))}
    return {**variables, **added, "global_step": np.int64(step)}


# WaveGAN and SpecGAN.


def wavegan_shapes(
    dim: int = 2,
    latent: int = 8,
    layers: int = 5,
    channels: int = 1,
    kernel: int = 25,
    postprocess: int = 0,
    batch_norm: bool = False,
    nearest: bool = False,
    spectrogram: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Variable -> shape of both networks; with `spectrogram` those of SpecGAN (kernel 5)."""
    widths = [dim * 2**i for i in range(layers - 1, -1, -1)]
    shapes: dict[str, tuple[int, ...]] = {"G/z_project/dense/kernel": (latent, 16 * widths[0]), "G/z_project/dense/bias": (16 * widths[0],)}
    taps = (kernel, kernel) if spectrogram else (kernel,)
    convolution = "conv2d" if spectrogram else "conv1d"
    normalized = lambda scope, n: {f"{scope}/batch_normalization/{v}": (n,) for v in ("gamma", "beta", "moving_mean", "moving_variance")}
    if batch_norm:
        shapes |= normalized("G/z_project", widths[0])
    for i, (inputs, outputs) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
        transposed = (*(taps if spectrogram else (1, *taps)), outputs, inputs)
        scope = f"G/upconv_{i}/{convolution if nearest else 'conv2d_transpose'}"
        shapes |= {f"{scope}/kernel": (*taps, inputs, outputs) if nearest else transposed, f"{scope}/bias": (outputs,)}
        if batch_norm and i < layers - 1:
            shapes |= normalized(f"G/upconv_{i}", outputs)
    if postprocess:
        shapes["G/pp_filt/conv1d/kernel"] = (postprocess, channels, 1)
    ascending = widths[::-1]
    for i, (inputs, outputs) in enumerate(zip([channels, *ascending[:-1]], ascending, strict=True)):
        shapes |= {f"D/downconv_{i}/{convolution}/kernel": (*taps, inputs, outputs), f"D/downconv_{i}/{convolution}/bias": (outputs,)}
        if batch_norm and i:
            shapes |= normalized(f"D/downconv_{i}", outputs)
    return {**shapes, "D/output/dense/kernel": (16 * widths[0], 1), "D/output/dense/bias": (1,)}


def specgan_shapes(**sizes: Any) -> dict[str, tuple[int, ...]]:
    return wavegan_shapes(**{"kernel": 5, **sizes}, spectrogram=True)


def wavegan_graph(z: Any, variables: Mapping[str, Any], last_stride: int = 4) -> Any:
    """The authors' generator: float32 [batch, samples, channels]."""
    layers = sum(name.startswith("G/upconv_") and name.endswith("kernel") for name in variables)
    x = tf.matmul(z, variables["G/z_project/dense/kernel"]) + variables["G/z_project/dense/bias"]
    x = tf.reshape(x, [-1, 1, 16, variables["G/z_project/dense/kernel"].shape[1] // 16])
    x = tf.nn.relu(_normalized(x, "G/z_project", variables))
    for i in range(layers):
        stride = last_stride if i == layers - 1 else 4
        if f"G/upconv_{i}/conv1d/kernel" in variables:
            x = tf.repeat(x[:, 0], stride, axis=1)
            x = tf.nn.conv1d(x, variables[f"G/upconv_{i}/conv1d/kernel"], 1, "SAME")[:, None] + variables[f"G/upconv_{i}/conv1d/bias"]
        else:
            kernel = variables[f"G/upconv_{i}/conv2d_transpose/kernel"]
            shape = [tf.shape(x)[0], 1, x.shape[2] * stride, kernel.shape[2]]
            x = tf.nn.conv2d_transpose(x, kernel, shape, [1, 1, stride, 1], "SAME") + variables[f"G/upconv_{i}/conv2d_transpose/bias"]
        x = tf.tanh(x) if i == layers - 1 else tf.nn.relu(_normalized(x, f"G/upconv_{i}", variables))
    x = x[:, 0]
    if "G/pp_filt/conv1d/kernel" in variables:
        x = tf.nn.conv1d(x, variables["G/pp_filt/conv1d/kernel"], 1, "SAME")
    return x


def specgan_graph(z: Any, variables: Mapping[str, Any]) -> Any:
    """The authors' generator: float32 [batch, 128, 128, 1]."""
    x = tf.matmul(z, variables["G/z_project/dense/kernel"]) + variables["G/z_project/dense/bias"]
    x = tf.reshape(x, [-1, 4, 4, variables["G/z_project/dense/kernel"].shape[1] // 16])
    x = tf.nn.relu(_normalized(x, "G/z_project", variables))
    for i in range(5):
        if f"G/upconv_{i}/conv2d/kernel" in variables:
            x = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            x = tf.nn.conv2d(x, variables[f"G/upconv_{i}/conv2d/kernel"], 1, "SAME") + variables[f"G/upconv_{i}/conv2d/bias"]
        else:
            kernel = variables[f"G/upconv_{i}/conv2d_transpose/kernel"]
            shape = [tf.shape(x)[0], x.shape[1] * 2, x.shape[2] * 2, kernel.shape[2]]
            x = tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME") + variables[f"G/upconv_{i}/conv2d_transpose/bias"]
        x = tf.tanh(x) if i == 4 else tf.nn.relu(_normalized(x, f"G/upconv_{i}", variables))
    return x


def _normalized(x: Any, scope: str, variables: Mapping[str, Any]) -> Any:
    if f"{scope}/batch_normalization/gamma" not in variables:
        return x
    beta, gamma, mean, variance = (
        variables[f"{scope}/batch_normalization/{v}"] for v in ("beta", "gamma", "moving_mean", "moving_variance")
    )
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)


def specgan_audio(spectrogram: Any, mean: np.ndarray, deviation: np.ndarray, iterations: Any) -> Any:
    """The authors' inversion: float32 [batch, 16384, 1]."""
    x = tf.pad(spectrogram[..., 0], [[0, 0], [0, 0], [0, 1]]) * 3.0 * deviation.astype(np.float32) + mean.astype(np.float32)
    magnitude = tf.cast(tf.exp(x), tf.complex64)

    def body(i, spectrum):
        again = tf.signal.stft(tf.signal.inverse_stft(spectrum, 256, 128), 256, 128)
        return i + 1, magnitude * again / tf.cast(tf.maximum(1e-8, tf.abs(again)), tf.complex64)

    _, spectrum = tf1.while_loop(lambda i, _: i < iterations, body, [tf.constant(0), magnitude])
    return tf.signal.inverse_stft(spectrum, 256, 128)[:, :16384, None]


def write_infer(folder: Path, shapes: Mapping[str, tuple[int, ...]], latent: int, build: Any) -> Path:
    """Write infer/infer.meta: placeholders z and ngl, variables, and what `build(z, ngl, variables)` names."""
    path = folder / "infer" / "infer.meta"
    path.parent.mkdir(parents=True, exist_ok=True)
    tf1.disable_control_flow_v2()  # loops as TensorFlow 1 wrote them
    try:
        _write_graph(path, shapes, latent, build)
    finally:
        tf1.enable_control_flow_v2()
    return path


def _write_graph(path: Path, shapes: Mapping[str, tuple[int, ...]], latent: int, build: Any) -> None:
    with tf.Graph().as_default():
        z, ngl = tf1.placeholder(tf.float32, [None, latent], "z"), tf1.placeholder(tf.int32, [], "ngl")
        with tf1.variable_scope("", use_resource=False):
            variables = {name: tf1.get_variable(name, shape, tf.float32) for name, shape in shapes.items() if name.startswith("G/")}
        for name, tensor in build(z, ngl, variables).items():
            tf.identity(tensor, name=name)
        step = tf1.train.get_or_create_global_step()
        tf1.train.export_meta_graph(str(path), saver_def=tf1.train.Saver([*variables.values(), step]).as_saver_def())
