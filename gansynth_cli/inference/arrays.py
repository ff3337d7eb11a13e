"""Recordings in memory, cut into the blocks in which files are read: arrays take the streaming path of the verbs over files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import UsageError
from .files.task import block_frames

_MAX_CHANNELS = 64  # of an array with fewer samples than channels: more are samples, which should come first


def as_recording(audio: np.ndarray, *, finite: bool = True) -> np.ndarray:
    """Check a recording and return it as float32 or float64 [samples, channels].

    Args:
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1].
        finite: Refuse NaN and infinite samples.

    Raises:
        UsageError: Another type or shape, no samples, or (with `finite`) values that are not finite.
    """
    audio = np.asarray(audio)
    if audio.dtype.kind != "f":
        raise UsageError(
            f"The audio has the type {audio.dtype}; expected floating point with full scale [-1, 1].",
            hint="audio / 32768 for 16-bit integers",
        )
    if audio.ndim not in (1, 2) or not audio.size:
        raise UsageError(f"The audio has the shape {list(audio.shape)}; expected [samples] or [samples, channels], not empty.")
    if audio.ndim == 2 and audio.shape[1] > max(_MAX_CHANNELS, audio.shape[0]):
        raise UsageError(f"The audio has {audio.shape[1]} channels of {audio.shape[0]} samples.", hint="audio.T: samples come first")
    if finite and not np.isfinite(audio).all():
        raise UsageError("The audio holds NaN or infinite samples.")
    kept = audio if audio.dtype in (np.float32, np.float64) else audio.astype(np.float32)
    return kept[:, None] if kept.ndim == 1 else kept


def blocks_of(audio: np.ndarray, sample_rate: int, frames: int | None = None) -> Iterator[np.ndarray]:
    """Check a recording and yield it in blocks of [frames, channels], by default as long as those of files."""
    whole, size = as_recording(audio), frames or block_frames(sample_rate)
    return (whole[start : start + size] for start in range(0, len(whole), size))


def joined(blocks: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    """Join blocks of [frames, channels] to an array with the dimensions and type of `like`."""
    whole = np.concatenate(blocks)
    return (whole[:, 0] if np.ndim(like) == 1 else whole).astype(like.dtype, copy=False)
