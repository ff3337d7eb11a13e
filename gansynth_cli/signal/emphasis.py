"""Pre-emphasis, y[n] = x[n] - c x[n-1], and its inverse: a tensor function for training clips, numpy functions with a state for
blocks of a stream."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.signal import lfilter


def emphasize_clips(audio: tf.Tensor, coefficient: float) -> tf.Tensor:
    """Apply pre-emphasis to clips cut from longer recordings.

    Args:
        audio: float32 [batch, samples, channels].
        coefficient: c in [0, 1); 0 changes nothing.

    The sample before each clip is assumed to equal its first one. Zero, as at the start of a recording, would cause a click there, 20
    times (c = 0.95) the level within a sound.
    """
    if not coefficient:
        return audio
    before = tf.concat([audio[:, :1], audio[:, :-1]], axis=1)
    return audio - coefficient * before


def emphasize(audio: np.ndarray, coefficient: float, state: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Apply pre-emphasis to the next block of a stream.

    Args:
        audio: float [..., samples].
        coefficient: c in [0, 1).
        state: The state returned by the previous call; None at the start (silence before it).

    Returns:
        (float32 [..., samples], the state for the next block).
    """
    return _filter(np.array([1.0, -coefficient]), np.array([1.0]), audio, state)


def deemphasize(audio: np.ndarray, coefficient: float, state: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Invert `emphasize`, x[n] = y[n] + c x[n-1], with the same arguments."""
    return _filter(np.array([1.0]), np.array([1.0, -coefficient]), audio, state)


def _filter(b: np.ndarray, a: np.ndarray, audio: np.ndarray, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    audio = np.asarray(audio, np.float64)  # the recursion would accumulate 20 times the rounding error of float32
    state = np.zeros((*audio.shape[:-1], 1)) if state is None else state
    if not audio.shape[-1]:
        return audio.astype(np.float32), state
    filtered, state = lfilter(b, a, audio, axis=-1, zi=state)
    return filtered.astype(np.float32), state
