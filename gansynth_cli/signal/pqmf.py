"""A pseudo-quadrature mirror filter bank: near-perfect analysis and synthesis of sub-bands at a fraction of the sample rate.

Cosine modulation of one low-pass filter (Nguyen 1994, "Near-perfect-reconstruction pseudo-QMF banks"), with the windowed sinc of
Multi-band MelGAN (Yang et al. 2021, section 3.1): 4 bands, 62 taps, Kaiser window beta 9, cut-off 0.142.

Nguyen's bank convolves with its filters. ParallelWaveGAN's correlates with them, so that its analysis filters are Nguyen's synthesis
filters reversed in time, and vice versa. Each reconstructs its own sub-bands, not those of the other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import tensorflow as tf

TAPS = 62
REACH = TAPS // 2  # samples that a filter extends to either side
BETA = 9.0
BANDS = 4
CUTOFF = 0.142  # of half the sample rate, for this number of bands and taps. ParallelWaveGAN up to version 0.4.2 has 0.15
Bank = Literal["nguyen", "parallel-wavegan"]


@lru_cache(maxsize=8)
def filters(bands: int = BANDS, taps: int = TAPS, cutoff: float = CUTOFF, beta: float = BETA) -> tuple[np.ndarray, np.ndarray]:
    """Return (analysis, synthesis), both float32 [taps + 1, bands], band 0 the lowest.

    Raises:
        ValueError: An odd number of taps.
    """
    if taps % 2:
        raise ValueError(f"the filter bank has {taps} taps; expected an even number")
    n = np.arange(taps + 1) - taps / 2
    prototype = cutoff * np.sinc(cutoff * n) * np.kaiser(taps + 1, beta)
    k = np.arange(bands)[None, :]
    angle = (2 * k + 1) * np.pi / (2 * bands) * n[:, None]
    shift = np.where(k % 2, -1.0, 1.0) * np.pi / 4
    analysis, synthesis = (2 * prototype[:, None] * np.cos(angle + sign * shift) for sign in (1, -1))
    return analysis.astype(np.float32), synthesis.astype(np.float32)


def analyse(audio: tf.Tensor, bank: Bank = "nguyen", cutoff: float = CUTOFF) -> tf.Tensor:
    """Split a signal into sub-bands, without delay, zeros beyond both ends.

    Args:
        audio: float32 [batch, samples, 1], samples a multiple of 4.
        bank: "nguyen" convolves with the analysis filters, "parallel-wavegan" correlates with them.
        cutoff: Cut-off of the low-pass filter, as a fraction of half the sample rate.

    Returns:
        float32 [batch, samples / 4, 4], the lowest band first.
    """
    kernel = tf.constant(filters(cutoff=cutoff)[0][:: -1 if bank == "nguyen" else 1, None, :])
    padded = tf.pad(tf.cast(audio, tf.float32), [[0, 0], [TAPS // 2, TAPS // 2], [0, 0]])
    return tf.nn.conv1d(padded, kernel, BANDS, "VALID")


def synthesise(sub_bands: tf.Tensor, bank: Bank = "nguyen", cutoff: float = CUTOFF) -> tf.Tensor:
    """Join sub-bands: float32 [batch, steps, 4] -> the signal [batch, steps * 4, 1].

    It reconstructs the signal of `analyse` with the same `bank` and `cutoff` to 60 dB, except for the `REACH` samples at either end.
    """
    x = tf.cast(sub_bands, tf.float32)
    steps = x.shape[1] if x.shape[1] is not None else tf.shape(x)[1]
    kernel = tf.constant(filters(cutoff=cutoff)[1][:: 1 if bank == "nguyen" else -1, None, :] * np.float32(BANDS))
    whole = (steps - 1) * BANDS + TAPS + 1
    audio = tf.nn.conv1d_transpose(x, kernel, tf.stack([tf.shape(x)[0], whole, 1]), BANDS, "VALID")
    audio = audio[:, TAPS // 2 : TAPS // 2 + steps * BANDS]
    return tf.ensure_shape(audio, [x.shape[0], steps * BANDS if isinstance(steps, int) else None, 1])
