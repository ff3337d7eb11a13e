"""Low-pass filters as found in recordings with a narrow band, for training bandwidth extension: graph functions of one clip.

A network that is trained with one filter learns to invert that filter (Kuleshov et al. 2017, and the README of their code). So kind,
order, ripple and edge are drawn: brick walls, Butterworth and Chebyshev filters of type I (as Han and Lee 2022, "NU-Wave 2", section 3.2),
and decimation without a sufficient filter, which leaves images folded below the edge. Magnitudes only: what extends a recording is added in
phase with what is there.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

NARROW_SHAPES = 4  # uniform draws that decide on a filter
_WALL, _BUTTERWORTH = 0.4, 0.65  # draws below: a brick wall; below: Butterworth; the rest: Chebyshev
_WALL_WIDTH = (0.005, 0.1)  # of its slope, relative to the edge
_ORDERS = (6.0, 24.0)  # of Butterworth; a gentler slope is an equaliser, not a band limit
_CHEBYSHEV_ORDERS = (4.0, 12.0)
_RIPPLE = (0.05, 1.0)  # epsilon: 0.01 to 3 dB
_IMAGES, _IMAGE_GAIN = 0.15, (0.01, 0.3)
_PADDING = 512  # samples behind the clip, into which the filters ring


def between_octaves(draw: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Map uniform draws to [low, high), evenly in octaves."""
    return low * tf.exp(draw * float(np.log(high / low)))


def narrowed(audio: tf.Tensor, edge_hz: tf.Tensor, shape: tf.Tensor, sample_rate: int) -> tf.Tensor:
    """Filter a clip: float32 [samples] -> the same shape.

    Args:
        audio: The clip.
        edge_hz: Scalar: -6 dB of a brick wall, -3 dB of Butterworth, the end of the ripple of Chebyshev.
        shape: float32 [NARROW_SHAPES], uniform on [0, 1).
        sample_rate: Hz.
    """
    samples = audio.shape[0]
    size = good_fft_length(samples + min(samples, _PADDING))
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
    spectrum = tf.signal.rfft(audio, [size])
    gain = low_pass_gain(frequencies, edge_hz, shape)
    return tf.signal.irfft(_with_images(spectrum, gain, edge_hz * size / sample_rate, shape[3]), [size])[:samples]


def low_pass_gain(frequencies: np.ndarray, edge_hz: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Compute the magnitude response: float32 [bins] at `frequencies` in Hz. Other arguments as for `narrowed`."""
    ratio = tf.constant(frequencies) / edge_hz
    between = lambda draw, limits: limits[0] + draw * (limits[1] - limits[0])
    width = between(shape[1], _WALL_WIDTH)
    wall = 0.5 - 0.5 * tf.sin(0.5 * np.pi * tf.clip_by_value((ratio - 1.0) / width, -1.0, 1.0))
    order = tf.round(between(shape[1], _ORDERS))
    butterworth = tf.math.rsqrt(1.0 + tf.pow(tf.minimum(ratio, 16.0), tf.minimum(2.0 * order, 30.0)))
    order = tf.round(between(shape[1], _CHEBYSHEV_ORDERS))
    above = tf.math.acosh(tf.maximum(ratio, 1.0))
    # The polynomial grows as exp(order * above): limited, or its square would overflow.
    polynomial = tf.where(ratio <= 1.0, tf.cos(order * tf.acos(tf.minimum(ratio, 1.0))), tf.cosh(tf.minimum(order * above, 20.0)))
    chebyshev = tf.math.rsqrt(1.0 + tf.square(between(shape[2], _RIPPLE) * polynomial))
    return tf.where(shape[0] < _WALL, wall, tf.where(shape[0] < _BUTTERWORTH, butterworth, chebyshev))


def _with_images(spectrum: tf.Tensor, gain: tf.Tensor, edge_bin: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Multiply by the gain; for some draws add what lies above the edge, mirrored at it and attenuated."""
    bins = spectrum.shape[0]
    position = tf.range(bins)
    mirrored = tf.cast(tf.round(2.0 * edge_bin), tf.int32) - position
    inside = (tf.cast(position, tf.float32) < edge_bin) & (mirrored < bins)
    image = tf.where(inside, tf.math.conj(tf.gather(spectrum, tf.clip_by_value(mirrored, 0, bins - 1))), tf.zeros_like(spectrum))
    level = _IMAGE_GAIN[0] + draw / _IMAGES * (_IMAGE_GAIN[1] - _IMAGE_GAIN[0])
    return spectrum * tf.cast(gain, tf.complex64) + image * tf.cast(tf.where(draw < _IMAGES, level, 0.0), tf.complex64)


def good_fft_length(least: int) -> int:
    """The smallest even length with no prime factor above 5."""
    length = least + least % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
