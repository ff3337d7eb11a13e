"""One pass over a set of clips: small descriptions of every clip, from which all figures are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ...signal.mel import LogMel
from .clip_set import Clip

_BLOCK = 64  # clips described at once
_MAX_FRAMES = 32
_FLOOR = 1e-3  # -60 dB: a copy with other rounding or dither is still a copy
_NO_AUDIO = np.zeros(0, np.float32)  # not clip.audio[:0], a view that would keep the whole clip in memory


class ClipClassifier(Protocol):
    """A `classifier.Classifier`, or what stands in for one."""

    def classify(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map clips [clips, samples] to features [clips, 128] and posteriors [clips, classes]."""


@dataclass
class Observed:
    """Descriptions of a set of n clips.

    Attributes:
        names: Names of the clips.
        labels: int32 [n] intended classes, -1 unknown.
        failures: Reason for each failed clip, "" elsewhere.
        spectrograms: float32 [n, d]: log-mel spectrograms at a peak of 1, 24 bands and at most 32 frames, flattened.
        statistics: float32 [n, 48]: mean and standard deviation over time of each of 24 log-mel bands, at the clip's own level.
        features, posteriors: The classifier's, [n, 128] and [n, classes]; None without one. A failed clip's posterior is uniform.
        resampled, padded, cut: Numbers of clips.
        level: Root mean square of the clips that did not fail.
    """

    names: list[str]
    labels: np.ndarray
    failures: list[str]
    spectrograms: np.ndarray
    statistics: np.ndarray
    features: np.ndarray | None
    posteriors: np.ndarray | None
    resampled: int = 0
    padded: int = 0
    cut: int = 0
    level: float = 0.0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def failed(self) -> np.ndarray:
        """bool [n]."""
        return np.array([bool(reason) for reason in self.failures], bool)

    @property
    def predicted(self) -> np.ndarray:
        """int [n]: the most probable class of each clip; needs posteriors."""
        assert self.posteriors is not None
        return self.posteriors.argmax(axis=1)


def observe(
    clips: Iterable[Clip], sample_rate: int, samples: int, classifier: ClipClassifier | None, on_clips: Callable[[int], Any] | None = None
) -> Observed:
    """Describe every clip of a set, in blocks; audio is not kept.

    Args:
        clips: Clips of `samples` samples at `sample_rate`.
        classifier: None where the data set has no labels.
        on_clips: Called with the number of clips just done.
    """
    spec = LogMel.for_clips(sample_rate, samples, bands=24)
    audible = replace(spec, offset=_FLOOR)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("spectrograms", "statistics", "features", "posteriors")}
    seen: list[Clip] = []
    power: list[float] = []
    for block in blocks_of(clips):
        audio = np.stack([clip.audio for clip in block])
        log_mel = spec.compute(audio)
        parts["statistics"].append(np.concatenate([log_mel.mean(axis=1), log_mel.std(axis=1)], axis=1))
        peak = np.maximum(np.abs(audio).max(axis=1, keepdims=True), 1e-6)
        parts["spectrograms"].append(_flattened(audible.compute(audio / peak)))
        if classifier is not None:
            features, posteriors = classifier.classify(audio)
            posteriors[[bool(clip.failure) for clip in block]] = 1.0 / posteriors.shape[1]
            parts["features"].append(features)
            parts["posteriors"].append(posteriors)
        power.extend(float(np.square(clip.audio, dtype=np.float64).mean()) for clip in block if not clip.failure)
        seen.extend(replace(clip, audio=_NO_AUDIO) for clip in block)
        if on_clips is not None:
            on_clips(len(block))
    joined = {name: np.concatenate(blocks) if blocks else None for name, blocks in parts.items()}
    if not seen:
        joined["spectrograms"] = joined["statistics"] = np.zeros((0, 1), np.float32)
    return Observed(
        names=[clip.name for clip in seen],
        labels=np.array([clip.label for clip in seen], np.int32),
        failures=[clip.failure for clip in seen],
        **joined,  # type: ignore[arg-type]
        resampled=sum(clip.resampled for clip in seen),
        padded=sum(clip.padded for clip in seen),
        cut=sum(clip.cut for clip in seen),
        level=float(np.sqrt(np.mean(power))) if power else 0.0,
    )


def blocks_of(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Yield clips in lists of 64, the last one shorter."""
    pending: list[Clip] = []
    for clip in clips:
        pending.append(clip)
        if len(pending) == _BLOCK:
            yield pending
            pending = []
    if pending:
        yield pending


def _flattened(log_mel: np.ndarray) -> np.ndarray:
    """[n, frames, bands] to [n, d]: neighbouring frames averaged to at most 32, scaled so that distances are root mean squares."""
    frames = log_mel.shape[1]
    edges = np.unique(np.linspace(0, frames, min(frames, _MAX_FRAMES) + 1).astype(int))
    pooled = np.add.reduceat(log_mel, edges[:-1], axis=1) / np.diff(edges)[None, :, None]
    flat = pooled.reshape(len(log_mel), -1)
    return (flat / np.sqrt(flat.shape[1])).astype(np.float32)
