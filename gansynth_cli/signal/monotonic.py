"""Monotonic alignment of frames to tokens: the best path through scores, for aligners that are trained with a model."""

from __future__ import annotations

import numpy as np


def monotonic_durations(scores: np.ndarray, frames: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return the durations of the path with the largest sum that begins at the first token, ends at the last and never skips one.

    Kim et al. 2020 ("Glow-TTS", algorithm 1), over a batch at once.

    Args:
        scores: float [batch, frames, tokens], finite.
        frames, tokens: int [batch]: how many of each count; at least one, and at least as many frames as tokens.

    Returns:
        int32 [batch, tokens]: frames of each token, 0 behind the last.
    """
    batch, most, width = scores.shape
    rows = np.arange(batch)
    best = np.full((batch, width), -np.inf)
    best[:, 0] = scores[:, 0, 0]
    moved = np.zeros((most, batch, width), bool)
    for frame in range(1, most):
        before = np.concatenate([np.full((batch, 1), -np.inf), best[:, :-1]], axis=1)
        moved[frame] = before > best
        best = np.maximum(before, best) + scores[:, frame]
    durations = np.zeros((batch, width), np.int32)
    place = np.maximum(tokens, 1) - 1
    for frame in range(most - 1, -1, -1):
        inside = frame < frames
        durations[rows, place] += inside
        place = np.maximum(place - (inside & moved[frame, rows, place]), 0)
    return durations
