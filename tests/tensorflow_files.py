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


# GANSynth.

G_BLOCK = "Generator/progressive_gan_generator/progressive_gan_block_{}"
D_BLOCK = "Discriminator/progressive_gan_discriminator/progressive_gan_block_{}"
AVERAGE = "/ExponentialMovingAverage"
GANSYNTH_FLAGS = {
    "audio_length": 256,
    "sample_rate": 8000,
    "batch_size_schedule": [4],
    "stable_stage_num_images": 80,
    "transition_stage_num_images": 80,
    "total_num_images": 2000,
    "start_height": 2,
    "start_width": 16,
    "num_resolutions": 3,
    "fmap_base": 32,
    "fmap_max": 8,
    "latent_vector_size": 6,
    "generator_ac_loss_weight": 10.0,
    "discriminator_ac_loss_weight": 10.0,
    "generator_learning_rate": 8e-4,
    "discriminator_learning_rate": 8e-4,
    "train_root_dir": "/somewhere/else",
    "fake_batch_size": 61,
}


def gansynth_widths(flags: Mapping[str, Any] = GANSYNTH_FLAGS) -> list[int]:
    """Channels of block 0 (the discriminator's last) and of blocks 1, 2, ..., coarsest first."""
    return [int(min(flags["fmap_base"] / 2.0**block, flags["fmap_max"])) for block in range(flags["num_resolutions"] + 1)]


def gansynth_shapes(blocks: int = 3, pitches: int = 61, flags: Mapping[str, Any] = GANSYNTH_FLAGS) -> dict[str, tuple[int, ...]]:
    """Variable -> shape of both networks with `blocks` resolutions."""
    widths, start = gansynth_widths(flags), (flags["start_height"], flags["start_width"])
    shapes: dict[str, tuple[int, ...]] = {}

    def add(scope: str, *kernel: int, kind: str = "conv2d") -> None:
        shapes[f"{scope}/{kind}/kernel"], shapes[f"{scope}/bias"] = kernel, kernel[-1:]

    add(G_BLOCK.format(1) + "/conv0", *start, flags["latent_vector_size"] + pitches, widths[1])
    for block in range(1, blocks + 1):
        scope, w = G_BLOCK.format(block), widths[block]
        if block > 1:
            add(f"{scope}/conv0", 3, 3, widths[block - 1], w)
        add(f"{scope}/conv1", 3, 3, w, w)
        add(f"{scope}/to_rgb", 1, 1, w, 2)
    for block in range(1, blocks + 1):
        scope, w = D_BLOCK.format(block), widths[block]
        add(f"{scope}/from_rgb", 1, 1, 2, w)
        add(f"{scope}/conv0", 3, 3, w + (block == 1), w)
        add(f"{scope}/conv1", *(start if block == 1 else (3, 3)), w, widths[block - 1])
    add(D_BLOCK.format(1) + "/logits", widths[0], 1, kind="dense")
    add("Discriminator/discriminator_cond/classification_logits", widths[0], pitches, kind="dense")
    return shapes


def gansynth_values(shapes: Mapping[str, tuple[int, ...]], images: int, seed: int = 0) -> Variables:
    """Everything in a stage's checkpoint: weights N(0, 1), other averages, slots, counters."""
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(0, 1 if len(shape) > 1 else 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    averages = {
        f"{n}{AVERAGE}": v + rng.normal(0, 0.1, v.shape).astype(np.float32) for n, v in values.items() if n.startswith("Generator/")
    }
    slots = {}
    for name, value in values.items():
        slots[f"progressive_gan_train_ops/{name}/Adam"] = rng.normal(0, 1e-3, value.shape).astype(np.float32)
        slots[f"progressive_gan_train_ops/{name}/Adam_1"] = rng.uniform(0.5e-6, 1e-6, value.shape).astype(np.float32)
    powers = {f"progressive_gan_train_ops/{n}_train/beta{i}_power": np.float32(0) for n in ("generator", "discriminator") for i in (1, 2)}
    return {**values, **averages, **slots, **powers, "global_step": np.int64(images), "Variable": np.float32(12.5)}


def _equalized(x: Any, variables: Mapping[str, Any], scope: str, padding: str = "SAME", slope: float = 0.0) -> Any:
    kernel, bias = variables[f"{scope}/conv2d/kernel"], variables[f"{scope}/bias"]
    scale = (2.0 / ((1.0 + slope**2) * np.prod(kernel.shape[:-1]))) ** 0.5
    return tf.nn.conv2d(x, kernel * scale, 1, padding) + bias


def _pixel_norm(x: Any) -> Any:
    return x / tf.sqrt(tf.reduce_mean(x**2, axis=-1, keepdims=True) + 1e-8)


def _upscale(x: Any, factor: int) -> Any:
    return tf.repeat(tf.repeat(x, factor, axis=1), factor, axis=2)


def gansynth_generator(inputs: Any, variables: Mapping[str, Any], progress: float, blocks: int, levels: int) -> Any:
    """The authors' generator: [latent, one-hot pitch] side by side -> spectrograms at full size in [-1, 1]."""
    convolve = lambda x, scope, padding="SAME": _pixel_norm(tf.nn.leaky_relu(_equalized(x, variables, scope, padding), 0.2))
    height, width = variables[G_BLOCK.format(1) + "/conv0/conv2d/kernel"].shape[:2]
    x = tf.pad(_pixel_norm(inputs[:, None, None]), [[0, 0], [height - 1] * 2, [width - 1] * 2, [0, 0]])
    x = convolve(convolve(x, G_BLOCK.format(1) + "/conv0", "VALID"), G_BLOCK.format(1) + "/conv1")
    made = []
    for block in range(1, blocks + 1):
        scope = G_BLOCK.format(block)
        if block > 1:
            x = convolve(convolve(_upscale(x, 2), f"{scope}/conv0"), f"{scope}/conv1")
        alpha = max(0.0, min(progress - (block - 2), block - progress))
        made.append(alpha * _upscale(tf.tanh(_equalized(x, variables, f"{scope}/to_rgb", slope=1.0)), 2 ** (levels - block)))
    return tf.add_n(made)


def gansynth_discriminator(pictures: Any, variables: Mapping[str, Any], progress: float, blocks: int, levels: int) -> tuple[Any, Any]:
    """The authors' discriminator of spectrograms in [-1, 1] at full size: logits [batch, 1] and class logits."""
    convolve = lambda x, scope, padding="SAME": tf.nn.leaky_relu(_equalized(x, variables, scope, padding), 0.2)
    halved = lambda x, factor: tf.nn.avg_pool2d(x, factor, factor, "VALID") if factor > 1 else x
    read = lambda block: convolve(halved(pictures, 2 ** (levels - block)), D_BLOCK.format(block) + "/from_rgb")
    x = read(blocks)
    for block in range(blocks, 1, -1):
        scope = D_BLOCK.format(block)
        x = halved(convolve(convolve(x, f"{scope}/conv0"), f"{scope}/conv1"), 2)
        alpha = min(1.0, max(0.0, block - 1 - progress))
        x = alpha * read(block - 1) + (1.0 - alpha) * x
    scope = D_BLOCK.format(1)
    deviation = tf.reduce_mean(tf.sqrt(tf.math.reduce_variance(x, axis=0) + 1e-6))
    x = tf.concat([x, tf.fill([*x.shape[:3], 1], deviation)], axis=-1)
    x = convolve(convolve(x, f"{scope}/conv0"), f"{scope}/conv1", "VALID")[:, 0, 0]
    dense = lambda scope: x @ variables[f"{scope}/dense/kernel"] * x.shape[1] ** -0.5 + variables[f"{scope}/bias"]
    return dense(f"{scope}/logits"), dense("Discriminator/discriminator_cond/classification_logits")


# SEGAN.


def segan_shapes(
    widths: tuple[int, ...] = (4, 6, 8),
    latent: int = 5,
    kernel: int = 9,
    steps: int = 8,
    batch: int = 3,
    prelu: bool = True,
    bias: bool = True,
) -> dict[str, tuple[int, ...]]:
    """Variable -> shape of both networks."""
    shapes: dict[str, tuple[int, ...]] = {"g_ae/z/z": (batch, steps, latent)}
    layers = len(widths)
    decoded = [*widths[-2::-1], 1]
    decoder_inputs = [widths[-1] + latent, *(2 * w for w in decoded[:-1])]
    for i in range(layers):
        before = widths[i - 1] if i else 1
        shapes[f"g_ae/enc_{i}/W"] = (kernel, 1, before, widths[i])
        shapes[f"g_ae/dec_{i}/W"] = (kernel, 1, decoded[i], decoder_inputs[i])
        shapes[f"d_model/d_block_{i}/downconv/W"] = (kernel, 1, widths[i - 1] if i else 2, widths[i])
        if bias:
            shapes |= {f"g_ae/enc_{i}/b": (widths[i],), f"g_ae/dec_{i}/b": (decoded[i],), f"d_model/d_block_{i}/downconv/b": (widths[i],)}
        if prelu:
            shapes[f"g_ae/enc_prelu_{i}/alpha"] = (widths[i],)
            if i < layers - 1:
                shapes[f"g_ae/dec_prelu_{i}/alpha"] = (decoded[i],)
        shapes |= {f"d_model/d_block_{i}/d_vbn_{i}/{name}": (widths[i],) for name in ("gamma", "beta")}
    shapes |= {"d_model/logits_conv/W": (1, widths[-1], 1)}
    return {**shapes, "d_model/fully_connected/weights": (steps, 1), "d_model/fully_connected/biases": (1,)}


def segan_generator(noisy: Any, latent: Any, variables: Mapping[str, Any], layers: int = 3) -> Any:
    """The authors' generator: float32 [batch, window, 1], latent [batch, steps, n] -> [batch, window, 1]."""

    def rectified(x, name):
        alpha = variables.get(f"g_ae/{name}/alpha", 0.3)
        return tf.nn.relu(x) + alpha * (x - tf.abs(x)) * 0.5

    bias = lambda name: variables.get(f"g_ae/{name}/b", 0.0)
    x, skips = noisy[:, :, None], []
    for i in range(layers):
        x = tf.nn.conv2d(x, variables[f"g_ae/enc_{i}/W"], [1, 2, 1, 1], "SAME") + bias(f"enc_{i}")
        skips.append(x)
        x = rectified(x, f"enc_prelu_{i}")
    x = tf.concat([latent[:, :, None], x], axis=3)
    for i in range(layers):
        kernel = variables[f"g_ae/dec_{i}/W"]
        shape = [x.shape[0], x.shape[1] * 2, 1, kernel.shape[2]]
        x = tf.nn.conv2d_transpose(x, kernel, shape, [1, 2, 1, 1], "SAME") + bias(f"dec_{i}")
        if i < layers - 1:
            x = tf.concat([rectified(x, f"dec_prelu_{i}"), skips[-2 - i]], axis=3)
    return tf.tanh(x)[:, :, 0]


def segan_discriminator(pairs: Any, variables: Mapping[str, Any], layers: int = 3) -> Any:
    """The authors' discriminator of [candidate, noisy] side by side, its own reference batch: [batch, 1]."""
    x, rows = pairs[:, :, None], float(pairs.shape[0])
    for i in range(layers):
        scope = f"d_model/d_block_{i}"
        x = tf.nn.conv2d(x, variables[f"{scope}/downconv/W"], [1, 2, 1, 1], "SAME") + variables.get(f"{scope}/downconv/b", 0.0)
        mean, square = (tf.reduce_mean(y, axis=[0, 1, 2]) for y in (x, x**2))
        old = rows / (rows + 1.0)
        mean, square = ((1.0 - old) * y + old * y for y in (mean, square))
        x = (x - mean) / tf.sqrt(1e-5 + square - mean**2)
        x = x * variables[f"{scope}/d_vbn_{i}/gamma"] + variables[f"{scope}/d_vbn_{i}/beta"]
        x = tf.maximum(x, 0.3 * x)
    x = tf.nn.conv1d(x[:, :, 0], variables["d_model/logits_conv/W"], 1, "SAME")[..., 0]
    return x @ variables["d_model/fully_connected/weights"] + variables["d_model/fully_connected/biases"]
