"""The transforms and features of `erb` in TensorFlow, over whole batches and differentiable."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from . import erb

_BLOCK = 64  # frames of one matrix product in `running_mean`; a square matrix over all frames would cost their square
_MIN_MAGNITUDE = 1e-12  # after minutes of digital silence the running mean would underflow and divide by zero


class ComplexSpectrum(NamedTuple):
    """A short-time spectrum as two float32 tensors [batch, frames, bins]: on a CPU TensorFlow multiplies complex tensors several times
    more slowly than their parts."""

    real: tf.Tensor
    imaginary: tf.Tensor


class Features(NamedTuple):
    """The network's inputs.

    Attributes:
        bands: float32 [batch, frames, bands], normalised levels.
        bins: float32 [batch, frames, filter bins, 2], normalised real and imaginary parts.
    """

    bands: tf.Tensor
    bins: tf.Tensor


def analyse(audio: tf.Tensor, layout: erb.FrameLayout, lookahead: int = 0) -> ComplexSpectrum:
    """Transform audio, float32 [batch, samples], to the spectra of the frames that cover it and of `lookahead` frames of silence more.

    Frame t covers the samples hop (t - 1) to hop (t + 1) - 1; what lies outside of the audio is zero. There are
    ceil(samples / hop) + 1 + lookahead frames, with `layout.bins` bins.
    """
    samples = audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1]
    frames = -(-samples // layout.hop) + 1 + lookahead
    padded = tf.pad(audio, [[0, 0], [layout.hop, frames * layout.hop - samples]])
    halves = tf.reshape(padded, [-1, frames + 1, layout.hop])
    framed = tf.concat([halves[:, :-1], halves[:, 1:]], axis=-1)
    spectrum = tf.signal.rfft(framed * (erb.vorbis_window(layout.frame) / np.float32(layout.frame)))
    return _top_bin(ComplexSpectrum(tf.math.real(spectrum), tf.math.imag(spectrum)), layout, 0.5)


def synthesise(spectrum: ComplexSpectrum, layout: erb.FrameLayout, samples: int | tf.Tensor) -> tf.Tensor:
    """Invert `analyse` (without lookahead): spectra [batch, frames, bins] -> float32 [batch, samples]."""
    frames = spectrum.real.shape[1] if spectrum.real.shape[1] is not None else tf.shape(spectrum.real)[1]
    spectrum = _top_bin(spectrum, layout, 2.0)
    framed = tf.signal.irfft(tf.complex(spectrum.real, spectrum.imaginary), [layout.frame])
    framed *= erb.vorbis_window(layout.frame) * np.float32(layout.frame)
    audio = framed[:, :-1, layout.hop :] + framed[:, 1:, : layout.hop]
    return tf.reshape(audio, [-1, (frames - 1) * layout.hop])[:, :samples]


def features(spectrum: ComplexSpectrum, widths: np.ndarray, filter_bins: int, past: float) -> Features:
    """Compute the network's inputs from the first frame of a recording on.

    Args:
        spectrum: [batch, frames, bins]; bins that the bands cover beyond those count as silent.
        widths: Bins in each band, from `erb.erb_band_widths`.
        filter_bins: So many lowest bins are given as complex numbers.
        past: Weight of the past in the running means, from `erb.smoothing_factor`.
    """
    bins, bands = spectrum.real.shape[-1], len(widths)
    power = tf.square(spectrum.real) + tf.square(spectrum.imaginary)
    levels = band_levels(power, widths)
    mean = running_mean(levels, erb.first_levels(bands), past)
    low = [part[..., :filter_bins] for part in (*spectrum, power)]
    if bins < filter_bins:
        low = [tf.pad(part, [[0, 0], [0, 0], [0, filter_bins - bins]]) for part in low]
    # The floor keeps the root's gradient finite in silence; it is 100 dB below the smallest first magnitude.
    magnitude = running_mean(tf.sqrt(low[2] + 1e-18), erb.first_magnitudes(filter_bins), past)
    scale = tf.math.rsqrt(tf.maximum(magnitude, _MIN_MAGNITUDE))
    return Features((levels - mean) / erb.LEVEL_SCALE_DB, tf.stack([low[0] * scale, low[1] * scale], axis=-1))


def running_mean(values: tf.Tensor, first: np.ndarray, past: float) -> tf.Tensor:
    """Compute m[t] = past m[t - 1] + (1 - past) values[t] with m[-1] = `first`: float32 [batch, frames, n] -> the same.

    By products with triangular matrices, inside blocks of frames and then from block to block: a loop over frames would take longer
    than the network's convolutions.
    """
    frames = values.shape[1] if values.shape[1] is not None else tf.shape(values)[1]
    size = values.shape[2]
    blocks = -(-frames // _BLOCK)
    padded = tf.pad(values, [[0, 0], [0, blocks * _BLOCK - frames], [0, 0]])
    decay, weights = erb.running_mean_matrix(_BLOCK, past)
    inside = tf.einsum("tk,bckn->bctn", weights, tf.reshape(padded, [-1, blocks, _BLOCK, size]))
    # The mean before block c: the ends of the blocks before it, each fading by `decay[-1]` a block.
    index = tf.range(blocks, dtype=tf.float32)
    lag = index[:, None] - index - 1.0
    fade = tf.where(lag >= 0.0, tf.pow(tf.constant(decay[-1]), tf.maximum(lag, 0.0)), 0.0)
    before = tf.einsum("cd,bdn->bcn", fade, inside[:, :, -1]) + (tf.pow(tf.constant(decay[-1]), index)[:, None] * first)
    mean = inside + decay[:, None] * before[:, :, None]
    return tf.reshape(mean, [-1, blocks * _BLOCK, size])[:, :frames]


def spread_bands(gains: tf.Tensor, widths: np.ndarray, bins: int) -> tf.Tensor:
    """Repeat gains of bands [..., bands] for every bin of a band -> [..., bins], the lowest `bins` bins."""
    return tf.gather(gains, np.repeat(np.arange(len(widths)), widths)[:bins], axis=-1)


def band_levels(power: tf.Tensor, widths: np.ndarray) -> tf.Tensor:
    """Compute `erb.band_levels`: float32 [..., bins] -> [..., bands]; further bins that the bands cover count as silent."""
    bins = power.shape[-1]
    band_of_bin = np.repeat(np.arange(len(widths)), widths)[:bins]
    means = np.zeros((bins, len(widths)), np.float32)
    means[np.arange(bins), band_of_bin] = 1.0 / widths[band_of_bin]
    return (10.0 / np.log(10.0)) * tf.math.log(tf.matmul(power, means) + erb.POWER_FLOOR)


def _top_bin(spectrum: ComplexSpectrum, layout: erb.FrameLayout, factor: float) -> ComplexSpectrum:
    if not layout.halves_nyquist:
        return spectrum
    scale = np.ones(layout.bins, np.float32)
    scale[-1] = factor
    return ComplexSpectrum(spectrum.real * scale, spectrum.imaginary * scale)
