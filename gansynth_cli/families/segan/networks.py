"""The networks of SEGAN: an encoder and decoder over samples, and a discriminator of pairs of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
from keras import layers

from ...layers import ChannelScale, PhaseShuffle, ReferenceBatch, VirtualBatchNormalization, WithoutReference
from ..network_parts import glorot, he
from .schema import SEGANModel

LEAK = 0.3  # slope of the discriminator's LeakyReLU


def build_generator(model: SEGANModel, window: int, latent_shape: tuple[int, ...], seeds: Iterator[int]) -> keras.Model:
    """Build noisy [batch, window, 1] (and latent [batch, *latent_shape]) -> [batch, window, 1].

    Encoder, noise beside the code, decoder; each encoder layer's output before its PReLU is carried to the decoder.
    """
    m = model
    noisy = keras.Input((window, 1), name="noisy")
    x, skips = noisy, []
    for index, width in enumerate(m.widths):
        x = layers.Conv1D(width, m.kernel, m.stride, padding="same", kernel_initializer=_kernel(m, seeds), name=f"encode_{index}")(x)
        skips.append(x)
        x = layers.PReLU(shared_axes=[1], name=f"encode_{index}_prelu")(x)
    inputs = [noisy]
    if latent_shape:
        inputs.append(keras.Input(latent_shape, name="latent"))
        x = layers.Concatenate(name="code")([inputs[1], x])
    for index, (width, skip) in enumerate(zip(m.widths[-2::-1], skips[-2::-1], strict=True)):
        x = _transposed(m, width, f"decode_{index}", seeds)(x)
        x = layers.PReLU(shared_axes=[1], name=f"decode_{index}_prelu")(x)
        if m.skips == "scaled":
            skip = ChannelScale(name=f"skip_{index}_scale")(skip)
        elif m.skips == "gated":
            gate = layers.Conv1D(width, 1, activation="sigmoid", kernel_initializer=glorot(seeds), name=f"skip_{index}_gate")(x)
            skip = layers.Multiply(name=f"skip_{index}_gated")([skip, gate])
        x = layers.Concatenate(name=f"skip_{index}")([x, skip])
    x = _transposed(m, 1, f"decode_{len(m.widths) - 1}", seeds)(x)
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    if m.residual:
        x = layers.Add(dtype="float32", name="residual")([noisy, x])
    return keras.Model(inputs if latent_shape else noisy, x, name="generator")


def build_critic(model: SEGANModel, widths: Sequence[int], window: int, shuffled: int, seeds: Iterator[int]) -> keras.Model:
    """Build {"example", "noisy" [batch, window, 1], "groups" int32 (), "shifts" int32 [shuffled] if shuffled} -> logits [batch, 1].

    The encoder's layers on two channels, with virtual batch normalisation; a 1x1 convolution to one channel, then dense. The biases of
    normalised convolutions are in the authors' network, so they are here: normalisation takes them out again.
    """
    m = model
    virtual = m.critic_norm == "virtual"
    inputs = {name: keras.Input((window, 1), name=name) for name in ("example", "noisy")}
    inputs["groups"] = keras.Input(batch_shape=(), dtype="int32", name="groups")
    if shuffled:
        inputs["shifts"] = keras.Input(batch_shape=(shuffled,), dtype="int32", name="shifts")
    x = layers.Concatenate(name="pair")([inputs["example"], inputs["noisy"]])
    if virtual:
        x = ReferenceBatch(m.reference_clips, name="reference")(x)
    for index, width in enumerate(widths):
        if shuffled and index >= 2:
            x = PhaseShuffle(min(m.phase_shuffle, x.shape[1] - 1), name=f"shuffle_{index}")(x, inputs["shifts"][index - 2])
        x = layers.Conv1D(width, m.kernel, m.stride, padding="same", kernel_initializer=_kernel(m, seeds), name=f"conv_{index}")(x)
        if virtual:
            x = VirtualBatchNormalization(m.reference_clips, seed=next(seeds), name=f"norm_{index}")(x, inputs["groups"])
        x = layers.LeakyReLU(LEAK)(x)
    if virtual:
        x = WithoutReference(m.reference_clips, name="without_reference")(x)
    x = layers.Conv1D(1, 1, kernel_initializer=_kernel(m, seeds), name="pool")(x)
    x = layers.Flatten(name="features")(x)
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=glorot(seeds), dtype="float32", name="logit")(x), name="critic")


def _kernel(model: SEGANModel, seeds: Iterator[int]) -> keras.initializers.Initializer:
    return he(seeds) if model.initial == "he" else keras.initializers.TruncatedNormal(stddev=0.02, seed=next(seeds))


def _transposed(model: SEGANModel, width: int, name: str, seeds: Iterator[int]) -> layers.Layer:
    if model.initial == "he":
        # Keras takes a transposed kernel's fan-in from the wrong axis, and only one tap in `stride` meets a sample.
        kernel = keras.initializers.VarianceScaling(2.0 * model.stride, "fan_out", "truncated_normal", seed=next(seeds))
    else:
        kernel = _kernel(model, seeds)
    return layers.Conv1DTranspose(width, model.kernel, model.stride, padding="same", kernel_initializer=kernel, name=name)
