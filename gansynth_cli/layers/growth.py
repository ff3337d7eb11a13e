"""Progressive growing (Karras et al. 2018, section 2): the schedule of resolutions and the growing networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from . import EqualizedConv2D, EqualizedDense, EqualizedStart, MinibatchStddev, PixelNorm

_register = keras.saving.register_keras_serializable(package="gan_audio")
OutputGain = Literal["he", "unit"]


@dataclass(frozen=True)
class Stage:
    """A period of training with one architecture.

    Attributes:
        index: 0, 1, ...; even stages are stable, odd ones fade in a resolution.
        level: The finest resolution of the stage; 0 is the coarsest of all.
        fading: Whether that resolution is being faded in.
        start: The first step.
        stop: The first step after the stage; None: no end.
    """

    index: int
    level: int
    fading: bool
    start: int
    stop: int | None

    def alpha(self, step: tf.Tensor | int) -> tf.Tensor | None:
        """Return the weight of the new resolution at a step, rising from 0 to 1 over the stage; None in a stable stage. It depends on
        the step alone, so a run resumed in the middle continues identically."""
        if not self.fading or self.stop is None:
            return None
        return tf.cast(tf.cast(step - self.start, tf.float64) / (self.stop - self.start), tf.float32)


def stages_of_growth(levels: int, stable_steps: int, fade_steps: int) -> tuple[Stage, ...]:
    """Return the 2 levels - 1 stages: the coarsest resolution, then each finer one faded in and trained; the last has no end."""
    stages, start = [], 0
    for index in range(2 * levels - 1):
        length = fade_steps if index % 2 else stable_steps
        stop = start + length if index < 2 * levels - 2 else None
        stages.append(Stage(index, (index + 1) // 2, bool(index % 2), start, stop))
        start += length
    return tuple(stages)


def progress_at(stages: tuple[Stage, ...], step: int) -> float:
    """Return the resolution after `step` steps: level - 1 + alpha while a level is faded in, otherwise level."""
    stage = next(s for s in stages if s.stop is None or step < s.stop)
    if not stage.fading or stage.stop is None:
        return float(stage.level)
    return stage.level - 1 + (step - stage.start) / (stage.stop - stage.start)


def widths_of(levels: int, dim: int, widest: int) -> list[int]:
    """Return the channels of each level, coarsest first: `dim` at the finest, doubled for each coarser one, at most `widest`."""
    return [min(dim * 2 ** (levels - 1 - level), max(dim, widest)) for level in range(levels)]


def _fan_in(inputs: int, gain: OutputGain) -> int:
    """Return the `fan_in` of an equalised layer whose scale is sqrt(2 / inputs) ("he") or sqrt(1 / inputs) ("unit")."""
    return 2 * inputs if gain == "unit" else inputs


def halve(pictures: tf.Tensor, times: int = 1) -> tf.Tensor:
    """Average over squares of 2^times x 2^times pixels."""
    return tf.nn.avg_pool2d(pictures, 2**times, 2**times, "VALID") if times else pictures


def double(pictures: tf.Tensor, times: int = 1) -> tf.Tensor:
    """Repeat each pixel 2^times times in height and width."""
    return tf.repeat(tf.repeat(pictures, 2**times, axis=1), 2**times, axis=2) if times else pictures


def blend(pictures: tf.Tensor, alpha: tf.Tensor | None) -> tf.Tensor:
    """Blend real images with their coarser version, the images with weight alpha, while their resolution is faded in."""
    if alpha is None:
        return pictures
    return alpha * pictures + (1.0 - alpha) * double(halve(pictures))


@_register
class GrowingGenerator(keras.Model):
    """GANSynth's generator. Latent and one-hot classes -> pixel norm -> start -> convolution; at each further level nearest-neighbour
    upsampling and two convolutions, each with LeakyReLU (0.2) and pixel norm; a 1 x 1 convolution and tanh give an image at each level.

    Args:
        latent_dim: Size of the latent vector.
        classes: Condition -> number of classes, in order.
        start: Height and width of the coarsest image.
        widths: Channels of each level, coarsest first.
        channels: Channels of the image.
        seeds: Endless seeds of the weights; not kept in the configuration.
        output_gain: Scale of the layers without LeakyReLU: "he", like all others, sqrt(2 / inputs); "unit" sqrt(1 / inputs), as in the
            authors' code.

    `call` returns the image at full size with the resolution given by `progress` (see `progress_at`); training calls `at`.
    """

    def __init__(
        self,
        latent_dim: int,
        classes: Mapping[str, int],
        start: tuple[int, int],
        widths: list[int],
        channels: int = 2,
        seeds: Iterator[int] | None = None,
        output_gain: OutputGain = "he",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.output_gain: OutputGain = output_gain
        self.latent_dim, self.classes, self.start = int(latent_dim), {k: int(v) for k, v in classes.items()}, (int(start[0]), int(start[1]))
        self.widths, self.channels = [int(w) for w in widths], int(channels)
        seed = lambda: next(seeds) if seeds else None
        levels, inputs = len(self.widths), self.latent_dim + sum(self.classes.values())
        self.normalize = PixelNorm(name="pixel_norm")
        self.first = EqualizedStart(self.widths[0], self.start, seed=seed(), name="start")
        self.convolutions_a = [EqualizedConv2D(w, 3, seed=seed(), name=f"level{i}_a") for i, w in enumerate(self.widths) if i]
        self.convolutions_b = [EqualizedConv2D(w, 3, seed=seed(), name=f"level{i}_b") for i, w in enumerate(self.widths)]
        self.pictures = [
            EqualizedConv2D(self.channels, 1, seed=seed(), fan_in=_fan_in(w, output_gain), name=f"level{i}_picture")
            for i, w in enumerate(self.widths)
        ]
        self.first.build((None, inputs))
        for level in range(levels):
            before, after = self.widths[max(0, level - 1)], self.widths[level]
            if level:
                self.convolutions_a[level - 1].build((None, None, None, before))
            self.convolutions_b[level].build((None, None, None, after))
            self.pictures[level].build((None, None, None, after))
        self.progress = self.add_weight(name="progress", shape=(), initializer="zeros", trainable=False, dtype="float32")
        self.built = True

    def call(self, inputs, training=None):
        """Map {"latent" float32 [batch, latent_dim], conditions int32 [batch]} to float32 [batch, height, width, channels]."""
        last = len(self.widths) - 1
        progress = tf.convert_to_tensor(self.progress)
        shown = []
        for level, features in enumerate(self._features(inputs, last)):
            weight = tf.maximum(0.0, 1.0 - tf.abs(progress - level))
            shown.append(weight * double(self._picture(features, level), last - level))
        return tf.add_n(shown)

    def at(self, inputs, level: int, alpha: tf.Tensor | None) -> tf.Tensor:
        """Return the image of a stage in its own resolution: height and width of `start` times 2^level."""
        *coarser, finest = self._features(inputs, level)
        picture = self._picture(finest, level)
        if alpha is None:
            return picture
        return alpha * picture + (1.0 - alpha) * double(self._picture(coarser[-1], level - 1))

    def parts_at(self, level: int, fading: bool) -> list[keras.layers.Layer]:
        """Return the layers whose weights a stage trains."""
        return [
            self.first,
            *self.convolutions_a[:level],
            *self.convolutions_b[: level + 1],
            *self.pictures[level - 1 if fading else level : level + 1],
        ]

    def _features(self, inputs, last: int) -> list[tf.Tensor]:
        told = [tf.one_hot(inputs[name], size, dtype=self.compute_dtype) for name, size in self.classes.items()]
        x = self.first(self.normalize(tf.concat([tf.cast(inputs["latent"], self.compute_dtype), *told], axis=-1)))
        x = self._convolve(self.convolutions_b[0], self.normalize(tf.nn.leaky_relu(x, 0.2)))
        features = [x]
        for level in range(1, last + 1):
            x = self._convolve(self.convolutions_b[level], self._convolve(self.convolutions_a[level - 1], double(x)))
            features.append(x)
        return features

    def _convolve(self, layer, x):
        return self.normalize(tf.nn.leaky_relu(layer(x), 0.2))

    def _picture(self, features, level: int):
        return tf.tanh(tf.cast(self.pictures[level](features), tf.float32))

    def get_config(self) -> dict[str, Any]:
        names = ("latent_dim", "classes", "channels", "widths", "output_gain")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}, "start": list(self.start)}


@_register
class GrowingCritic(keras.Model):
    """GANSynth's discriminator, the generator mirrored: at each level a 1 x 1 convolution reads the image; two convolutions and an
    average over 2 x 2 lead to the next coarser level; then the standard deviation of the batch, a convolution, one over the whole image,
    and a logit with one set of class logits for each condition. LeakyReLU (0.2), no normalisation.

    Args:
        classes, start, widths, channels, seeds, output_gain: As for `GrowingGenerator`.
        batch: Number of examples in the standard deviation.
        stddev_epsilon: Epsilon of `MinibatchStddev`.

    `at` returns {"logit": float32 [batch, 1], condition: float32 [batch, classes]}.
    """

    def __init__(
        self,
        classes: Mapping[str, int],
        start: tuple[int, int],
        widths: list[int],
        batch: int,
        channels: int = 2,
        seeds: Iterator[int] | None = None,
        output_gain: OutputGain = "he",
        stddev_epsilon: float = 1e-8,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.output_gain: OutputGain = output_gain
        self.stddev_epsilon = float(stddev_epsilon)
        self.classes, self.start = {k: int(v) for k, v in classes.items()}, (int(start[0]), int(start[1]))
        self.widths, self.batch, self.channels = [int(w) for w in widths], int(batch), int(channels)
        seed = lambda: next(seeds) if seeds else None
        coarse = self.widths[0]
        self.readers = [EqualizedConv2D(w, 1, seed=seed(), name=f"level{i}_reader") for i, w in enumerate(self.widths)]
        self.convolutions_a = [EqualizedConv2D(w, 3, seed=seed(), name=f"level{i}_a") for i, w in enumerate(self.widths) if i]
        self.convolutions_b = [EqualizedConv2D(self.widths[i - 1], 3, seed=seed(), name=f"level{i}_b") for i in range(1, len(self.widths))]
        self.spread = MinibatchStddev(group=self.batch, epsilon=self.stddev_epsilon, name="minibatch_stddev")
        self.last_a = EqualizedConv2D(coarse, 3, seed=seed(), name="last_a")
        self.last_b = EqualizedConv2D(coarse, self.start, "valid", seed=seed(), name="last_b")
        fan_in = _fan_in(coarse, output_gain)
        self.logit = EqualizedDense(1, seed=seed(), fan_in=fan_in, name="logit")
        self.heads = [EqualizedDense(n, seed=seed(), fan_in=fan_in, name=f"{name}_logits") for name, n in self.classes.items()]
        for level, width in enumerate(self.widths):
            self.readers[level].build((None, None, None, self.channels))
            if level:
                self.convolutions_a[level - 1].build((None, None, None, width))
                self.convolutions_b[level - 1].build((None, None, None, width))
        self.last_a.build((None, None, None, coarse + 1))
        self.last_b.build((None, None, None, coarse))
        for dense in (self.logit, *self.heads):
            dense.build((None, coarse))
        self.built = True

    def call(self, pictures, training=None):
        """Score images of the full resolution."""
        return self.at(pictures, len(self.widths) - 1, None)

    def at(self, pictures, level: int, alpha: tf.Tensor | None) -> dict[str, tf.Tensor]:
        """Score images in a stage's resolution."""
        pictures = tf.cast(pictures, self.compute_dtype)
        x = tf.nn.leaky_relu(self.readers[level](pictures), 0.2)
        for current in range(level, 0, -1):
            x = tf.nn.leaky_relu(self.convolutions_a[current - 1](x), 0.2)
            x = halve(tf.nn.leaky_relu(self.convolutions_b[current - 1](x), 0.2))
            if current == level and alpha is not None:
                weight = tf.cast(alpha, x.dtype)
                x = weight * x + (1.0 - weight) * tf.nn.leaky_relu(self.readers[level - 1](halve(pictures)), 0.2)
        x = tf.nn.leaky_relu(self.last_a(self.spread(x)), 0.2)
        x = tf.nn.leaky_relu(self.last_b(x), 0.2)[:, 0, 0]
        answers = {"logit": self.logit(x), **{name: head(x) for name, head in zip(self.classes, self.heads, strict=True)}}
        return {name: tf.cast(answer, tf.float32) for name, answer in answers.items()}

    def parts_at(self, level: int, fading: bool) -> list[keras.layers.Layer]:
        """Return the layers whose weights a stage trains."""
        readers = self.readers[level - 1 if fading else level : level + 1]
        return [*readers, *self.convolutions_a[:level], *self.convolutions_b[:level], self.last_a, self.last_b, self.logit, *self.heads]

    def get_config(self) -> dict[str, Any]:
        names = ("classes", "widths", "batch", "channels", "output_gain", "stddev_epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}, "start": list(self.start)}
