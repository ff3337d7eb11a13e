"""The generator of Vocos."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from ...errors import RecipeError
from ...layers.convolution import Convolution1D, DepthwiseConvolution1D, bias_initializer, make_initializer
from ...layers.vocoder import AddToMagnitude, GriffinLimStart, LayerScale, MelToLogMagnitude
from ...signal.mel_convention import MelConvention
from ..vocoder_networks import mel_input
from .schema import VocosModel

_KERNEL = 7
_DEVIATION = 0.02  # of the first weights, which are normally distributed


def build_generator(model: VocosModel, convention: MelConvention, seeds: Iterator[int]) -> keras.Model:
    """Build mel [batch, frames, bands] -> log magnitudes and phases [batch, frames, fft + 2] (and the mel, where `head` needs it).

    ConvNeXt blocks at the frame rate. With `prior = "pseudo-inverse"` the network adds to the log magnitudes that the filters'
    pseudo-inverse gives; with "griffin-lim" to those of non-negative least squares, and Griffin-Lim finds the phases
    (`SpectrumToAudio`): before training it is Griffin-Lim.

    Raises:
        RecipeError: A window that is not as long as the transform.
    """
    m, c = model, convention
    if c.window != c.fft:
        raise RecipeError(f"model.mel.window is {c.window} and model.mel.fft {c.fft}; Vocos's inverse transform wants them equal.")
    mel, x = mel_input(m, c.bands)
    cut = m.first_weights == "truncated"
    # Fan-in scaling would differ from the paper's code by a factor of 1.5 at 100 bands.
    x = Convolution1D(m.channels, _KERNEL, padding=_KERNEL // 2, initializer="normal", deviation=_DEVIATION, seed=next(seeds))(x)
    x = _norm()(x)
    for _ in range(m.blocks):
        inside = _norm()(DepthwiseConvolution1D(_KERNEL, _DEVIATION, seed=next(seeds), truncated=cut)(x))
        inside = _dense(m.hidden or 3 * m.channels, seeds, cut, "gelu")(inside)
        inside = LayerScale(1.0 / m.blocks)(_dense(m.channels, seeds, cut)(inside))
        x = layers.Add()([x, inside])
    if m.prior == "griffin-lim":
        # At zero: the first step's sound is Griffin-Lim's.
        x = layers.Dense(c.fft + 2, kernel_initializer="zeros", dtype="float32", name="spectrum")(_norm()(x))
        x = layers.Add(dtype="float32")([x, GriffinLimStart(c, dtype="float32", name="prior")(mel)])
        if m.mel_iterations:  # the head needs it
            x = layers.Concatenate(dtype="float32")([x, mel])
        return keras.Model(mel, x, name="generator")
    x = _last(c.fft + 2, m.channels, seeds, cut)(_norm()(x))
    if m.prior == "pseudo-inverse":
        x = AddToMagnitude(dtype="float32")(x, MelToLogMagnitude(c, dtype="float32", name="prior")(mel))
    return keras.Model(mel, x, name="generator")


def iterations_of(model: VocosModel) -> tuple[int, int]:
    """Return the iterations of Griffin-Lim in the head: those that keep the magnitudes, and those that keep the mel spectrum."""
    return (model.iterations, model.mel_iterations) if model.prior == "griffin-lim" else (0, 0)


def receptive_frames(model: VocosModel, convention: MelConvention) -> int:
    """Return the frames on either side that a sample depends on."""
    across = -(-convention.fft // convention.hop)  # frames that see a sample
    return (1 + model.blocks) * (_KERNEL // 2) + sum(iterations_of(model)) * (across - 1) + across


def _dense(units: int, seeds: Iterator[int], truncated: bool, activation: str | None = None, **more) -> keras.layers.Layer:
    # The authors' trunc_normal_ is cut at +-2, not at two standard deviations: a hundred of them.
    draw = keras.initializers.TruncatedNormal if truncated else keras.initializers.RandomNormal
    return layers.Dense(units, activation, kernel_initializer=draw(stddev=_DEVIATION, seed=next(seeds)), **more)


def _last(units: int, width: int, seeds: Iterator[int], truncated: bool) -> keras.layers.Layer:
    """The layer that gives the spectrum, which the authors leave as PyTorch draws it."""
    if truncated:
        return _dense(units, seeds, truncated, dtype="float32", name="spectrum")
    seed = next(seeds)
    initializers = {"kernel_initializer": make_initializer("torch", 0.0, seed), "bias_initializer": bias_initializer("torch", width, seed)}
    return layers.Dense(units, **initializers, dtype="float32", name="spectrum")


def _norm() -> keras.layers.Layer:
    return layers.LayerNormalization(epsilon=1e-6)
