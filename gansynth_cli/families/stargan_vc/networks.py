"""The networks of StarGAN-VC: one-dimensional, over frames whose bands are channels, steered by the codes of source and target."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...layers.conversion import CodeProjection, GatedLinearUnit, InstanceNorm, OverTime
from ...layers.convolution import Convolution1D, TransposedConvolution1D
from .schema import StarGANModel

STRIDE = 4  # two layers halve the rate


class Builder:
    """Layers with seeds of their own."""

    def __init__(self, seeds: Iterator[int], model: StarGANModel):
        self.seeds, self.model = seeds, model

    def conv(self, x, filters: int, kernel: int, stride: int = 1):
        return Convolution1D(filters, kernel, stride, padding=(kernel - stride + 1) // 2, seed=next(self.seeds))(x)

    def up(self, x, filters: int, kernel: int = 8):
        return TransposedConvolution1D(filters, kernel, 2, padding=(kernel - 2) // 2, seed=next(self.seeds))(x)

    def norm(self, x, rate: int, code=None):
        """Instance norm at `rate` steps a frame's fourth; scale and shift by the code where one is given."""
        m = self.model
        made = InstanceNorm(m.norm_frames * rate // STRIDE, m.norm == "instance", seed=next(self.seeds))
        return made(x) if code is None else made(x, code)

    def gated(self, x):
        return GatedLinearUnit()(x)


def generator(model: StarGANModel, domains: int, seeds: Iterator[int]) -> keras.Model:
    """{"mel": [batch, frames, bands], "mask": [batch, frames, 1], "source", "target": [batch, domains]} -> [batch, frames, bands].

    The body of StarGAN-VC (Kameoka et al. 2018, and the authors' code): gated convolutions of 9, two of 8 with stride 2, 5 and 5 taps,
    and back, the target's embedding beside every layer of the way back. From StarGAN-VC2: norms whose scale and shift are linear in the
    codes of source and target, residual blocks. Frames are a multiple of 4.
    """
    m, b, bands = model, Builder(seeds, model), model.mel.bands
    mel, mask = keras.Input((None, bands), name="mel"), keras.Input((None, 1), name="mask")
    source, target = keras.Input((domains,), name="source"), keras.Input((domains,), name="target")
    h, codes = m.channels, layers.Concatenate(name="codes")([source, target])
    start = keras.initializers.RandomNormal(stddev=1.0, seed=next(seeds))
    embedding = layers.Dense(m.embedding, use_bias=False, kernel_initializer=start, name="embedding")(target)
    beside = lambda x: OverTime()(x, embedding)
    x = b.gated(b.conv(layers.Concatenate()([mel, mask]), 2 * h, 9))
    x = b.gated(b.norm(b.conv(x, 2 * h, 8, 2), 2))
    x = b.gated(b.norm(b.conv(x, 2 * h, 8, 2), 1))
    x = b.gated(b.norm(b.conv(x, 2 * h, 5), 1))
    if m.bottleneck:
        x = b.conv(x, m.bottleneck, 5)
    for _ in range(m.blocks):
        y = b.gated(b.norm(b.conv(x, 2 * h, 5), 1, codes))
        x = layers.Add()([x, b.conv(y, x.shape[-1], 1)])
    x = b.gated(b.norm(b.conv(beside(x), 2 * h, 5), 1, codes))
    if m.bottleneck:
        x = b.gated(b.norm(b.conv(beside(x), 2 * h, 5), 1, codes))
    x = b.gated(b.norm(b.up(beside(x), 2 * h), 2, codes))
    x = b.gated(b.norm(b.up(beside(x), 2 * h), 4, codes))
    if m.residual:
        last = Convolution1D(bands, 9, padding=4, initializer="normal", deviation=0.01, seed=next(seeds), name="change")
        made = layers.Add(dtype="float32")([mel, last(beside(x))])
    else:
        made = Convolution1D(bands, 9, padding=4, seed=next(seeds), name="spectrum")(beside(x))
    return keras.Model({"mel": mel, "mask": mask, "source": source, "target": target}, made, name="generator")


def receptive_frames(model: StarGANModel) -> int:
    """Frames on either side that a converted frame depends on; of instance norm over a window or none."""
    window = model.norm_frames // 2 if model.norm == "instance" else 0
    middle = 1 + model.blocks + (1 if model.bottleneck else 0)  # convolutions of 5 at a quarter of the rate behind the encoder's
    layers_at_rest = 4 + 4  # first and last
    down = 4 + 2 * 4  # 8 taps with stride 2 at the full and at half the rate
    rest = STRIDE * 2 * (1 + middle + (1 if model.bottleneck else 0))
    up = 2 * 4 + 4
    norms = 2 + 1 + model.blocks + (1 + (1 if model.bottleneck else 0)) + 2
    reach = layers_at_rest + down + rest + up + norms * (window + STRIDE)
    return -(-reach // STRIDE) * STRIDE


def critic(model: StarGANModel, domains: int, seeds: Iterator[int]) -> keras.Model:
    """{"mel": [batch, frames, bands], "source", "target": [batch, domains]} -> float32 logits [batch, frames / 4, 1].

    Convolutions of 9, 8 and 8 taps, the last two with stride 2 (StarGAN-VC's critic), a plain logit and the projection of both codes.
    """
    m, b = model, Builder(seeds, model)
    mel = keras.Input((None, m.mel.bands), name="mel")
    source, target = keras.Input((domains,), name="source"), keras.Input((domains,), name="target")
    x = mel
    for kernel, stride in ((9, 1), (8, 2), (8, 2), (5, 1)):
        x = layers.LeakyReLU(0.2)(b.conv(x, m.critic_channels, kernel, stride))
        if m.critic_dropout:
            x = layers.Dropout(m.critic_dropout, seed=next(seeds))(x)
    logit = Convolution1D(1, 5, padding=2, seed=next(seeds), dtype="float32")(x)
    made = layers.Add(dtype="float32")([logit, CodeProjection()(x, layers.Concatenate()([source, target]))])
    return keras.Model({"mel": mel, "source": source, "target": target}, made, name="critic")


def classifier(model: StarGANModel, domains: int, seeds: Iterator[int], name: str) -> keras.Model:
    """float [batch, frames, bands] -> logits float32 [batch, domains]: the mean of the frames' votes."""
    b, channels = Builder(seeds, model), model.classifier_channels
    mel = keras.Input((None, model.mel.bands), name="mel")
    x = mel
    for kernel, stride in ((9, 1), (8, 2), (8, 2)):
        x = layers.LeakyReLU(0.2)(b.conv(x, channels, kernel, stride))
        x = layers.Dropout(0.1, seed=next(seeds))(x)
    votes = Convolution1D(domains, 1, seed=next(seeds), dtype="float32")(x)
    return keras.Model(mel, layers.GlobalAveragePooling1D(dtype="float32")(votes), name=name)


def prosody_generator(model: StarGANModel, domains: int, seeds: Iterator[int]) -> keras.Model:
    """{"contour": [batch, frames, scales], "source", "target": [batch, domains]} -> [batch, frames, scales]: the input and a change.

    No instance norm: over a few words it would take the sentence's own melody for the speaker's."""
    m, b = model, Builder(seeds, model)
    contour = keras.Input((None, m.prosody_scales), name="contour")
    source, target = keras.Input((domains,), name="source"), keras.Input((domains,), name="target")
    codes = layers.Concatenate()([source, target])
    x = b.gated(b.conv(OverTime()(contour, codes), 2 * m.prosody_channels, 9))
    for _ in range(2):
        x = layers.Add()([x, b.gated(b.conv(OverTime()(x, codes), 2 * m.prosody_channels, 9))])
    change = Convolution1D(m.prosody_scales, 9, padding=4, initializer="normal", deviation=0.01, seed=next(seeds))(x)
    made = layers.Add(dtype="float32")([contour, change])
    return keras.Model({"contour": contour, "source": source, "target": target}, made, name="prosody")


def prosody_critic(model: StarGANModel, domains: int, seeds: Iterator[int]) -> keras.Model:
    """{"contour", "source", "target"} -> float32 logits [batch, frames / 4, 1]."""
    m, b = model, Builder(seeds, model)
    contour = keras.Input((None, m.prosody_scales), name="contour")
    source, target = keras.Input((domains,), name="source"), keras.Input((domains,), name="target")
    x = contour
    for kernel, stride in ((9, 1), (8, 2), (8, 2)):
        x = layers.LeakyReLU(0.2)(b.conv(x, m.prosody_channels, kernel, stride))
    logit = Convolution1D(1, 5, padding=2, seed=next(seeds), dtype="float32")(x)
    made = layers.Add(dtype="float32")([logit, CodeProjection()(x, layers.Concatenate()([source, target]))])
    return keras.Model({"contour": contour, "source": source, "target": target}, made, name="prosody_critic")
