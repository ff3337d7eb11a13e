"""Where the phones of a recording are: a flat-start hidden Markov model of monophones, in numpy.

One state a phone with a diagonal Gaussian, trained by Viterbi passes from a uniform start (Young et al., The HTK Book, section 8.3, without
its mixtures). Frames are 20 cepstra of the log-mel spectrum with their first and second differences, standardised by speaker. Likelihoods
count for little in the first pass (`_SHARPNESS`), as the first models are of whatever the uniform start put into them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

CEPSTRA = 20
PASSES = 5
_SHARPNESS = 0.1  # of the likelihoods in the first pass, and that much more in each
_VARIANCE_FLOOR = 0.05
_PRIOR_FRAMES = 20.0  # of the frames of all phones, in each phone's mean and variance
_MAX_SHORT = 0.3  # of the phones at one frame
_MAX_FRAMES = 40  # of a phone at 62.5 frames a second
_MAX_DEVIATIONS = 3.0  # of an utterance's likelihood below the others'


@dataclass(frozen=True)
class Utterance:
    """One recording to align.

    Attributes:
        name: For messages.
        features: float [frames, dimensions] of `features_of`, or a function that gives them, so that hours need not be in memory.
        phones: Symbols in order, one or more.
        pauses: bool for each phone: whether it is a pause, which may be as long as it likes.
    """

    name: str
    features: np.ndarray | Callable[[], np.ndarray]
    phones: tuple[str, ...]
    pauses: tuple[bool, ...]

    def frames(self) -> np.ndarray:
        """Return the features."""
        return np.asarray(self.features() if callable(self.features) else self.features, np.float32)


@dataclass(frozen=True)
class Alignment:
    """Frames of each phone, int [phones], whose sum is the number of frames; `score` is the mean log-likelihood of a frame; `problem`
    says why the transcript does not seem to belong to the recording, "" where it does."""

    durations: np.ndarray
    score: float
    problem: str = ""


def features_of(mel: np.ndarray) -> np.ndarray:
    """Return float32 [frames, 60] of a log-mel spectrum [frames, bands]: cepstra, first and second differences."""
    cepstra = scipy.fft.dct(mel.astype(np.float64), norm="ortho", axis=1)[:, :CEPSTRA]
    first = _difference(cepstra)
    return np.concatenate([cepstra, first, _difference(first)], axis=1).astype(np.float32)


def standardised(groups: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return features with the mean and deviation of all of them, a speaker's, taken off."""
    count = sum(len(one) for one in groups)
    mean = sum(one.sum(axis=0, dtype=np.float64) for one in groups) / max(1, count)
    square = sum(np.square(one - mean).sum(axis=0, dtype=np.float64) for one in groups) / max(1, count)
    return [((one - mean) / np.sqrt(np.maximum(square, 1e-8))).astype(np.float32) for one in groups]


def align(utterances: Sequence[Utterance], passes: int = PASSES, max_frames: int = _MAX_FRAMES) -> list[Alignment]:
    """Train the model on recordings and align them: 0.05 CPU seconds a pass for a minute of speech.

    Args:
        utterances: Some minutes of one language at least, standardised by speaker.
        passes: Rounds of alignment; after the third little changes.
        max_frames: Frames above which a phone that is no pause is taken for a mistake.

    Returns:
        For each utterance its alignment. One with fewer frames than phones, and one whose transcript seems wrong, has a `problem`.
    """
    symbols = {symbol: number for number, symbol in enumerate(sorted({p for u in utterances for p in u.phones}))}
    paths: list[np.ndarray | None] = [None] * len(utterances)
    scores = np.zeros(len(utterances))
    statistics = _Statistics(len(symbols))
    for one in utterances:
        frames = one.frames()
        if len(frames) >= len(one.phones):
            statistics.add(frames, _uniform(len(frames), one.pauses), _numbers(one, symbols))
    for number in range(passes):
        mean, precision, constant = statistics.models()
        statistics = _Statistics(len(symbols))
        for index, one in enumerate(utterances):
            frames = one.frames()
            if len(frames) < len(one.phones):
                continue
            states = _numbers(one, symbols)
            used = np.unique(states)
            likelihood = _log_likelihood(frames, mean[used], precision[used], constant[used])[:, np.searchsorted(used, states)]
            path = _viterbi(min(1.0, _SHARPNESS * (number + 1)) * likelihood)
            paths[index] = np.bincount(path, minlength=len(states))
            scores[index] = float(likelihood[np.arange(len(path)), path].mean())
            statistics.add(frames, path, states)
    return _judged(utterances, paths, scores, max_frames)


def _judged(utterances: Sequence[Utterance], paths: Sequence[np.ndarray | None], scores: np.ndarray, max_frames: int) -> list[Alignment]:
    done = np.array([path is not None for path in paths])
    middle = float(np.median(scores[done])) if done.any() else 0.0
    spread = 1.4826 * float(np.median(np.abs(scores[done] - middle))) if done.any() else 1.0
    found = []
    for one, path, score in zip(utterances, paths, scores, strict=True):
        if path is None:
            found.append(Alignment(np.zeros(len(one.phones), int), 0.0, f"fewer frames than phones ({len(one.phones)})"))
            continue
        spoken = path[~np.array(one.pauses)]
        problem = ""
        if len(spoken) and np.mean(spoken <= 1) > _MAX_SHORT:
            problem = f"{100 * np.mean(spoken <= 1):.0f} % of its phones last one frame: more text than is spoken"
        elif len(spoken) and spoken.max() > max_frames:
            problem = f"a phone lasts {spoken.max()} frames: less text than is spoken"
        elif score < middle - _MAX_DEVIATIONS * max(spread, 1e-3) and len(utterances) > 10:
            problem = f"its likelihood is {(middle - score) / max(spread, 1e-3):.1f} deviations below the others': another text"
        found.append(Alignment(path, float(score), problem))
    return found


class _Statistics:
    """Sums of frames by state."""

    def __init__(self, states: int):
        self._states = states
        self._sums: list[np.ndarray] | None = None

    def add(self, frames: np.ndarray, path: np.ndarray, states: np.ndarray) -> None:
        """Take the frames of an utterance, whose phone `path` says."""
        if self._sums is None:
            self._sums = [np.zeros(self._states), *(np.zeros((self._states, frames.shape[1])) for _ in range(2))]
        ends = np.concatenate([[0], np.cumsum(np.bincount(path, minlength=len(states)))])
        starts = np.minimum(ends[:-1], len(frames) - 1)
        counts = np.diff(ends)
        there = counts > 0
        for total, values in zip(self._sums[1:], (frames, np.square(frames)), strict=True):
            np.add.at(total, states[there], np.add.reduceat(values, starts[there], axis=0)[: there.sum()])
        np.add.at(self._sums[0], states, counts)

    def models(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return means, inverse variances, and the constants of the log-likelihoods."""
        if self._sums is None:
            raise ValueError("no utterance has as many frames as phones")
        count, total, square = self._sums
        whole = max(1.0, count.sum())
        mean = (total + _PRIOR_FRAMES * total.sum(axis=0) / whole) / (count + _PRIOR_FRAMES)[:, None]
        second = (square + _PRIOR_FRAMES * square.sum(axis=0) / whole) / (count + _PRIOR_FRAMES)[:, None]
        variance = np.maximum(second - np.square(mean), _VARIANCE_FLOOR)
        return mean, 1.0 / variance, -0.5 * np.log(2 * np.pi * variance).sum(axis=1)


def _log_likelihood(frames: np.ndarray, mean: np.ndarray, precision: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """float64 [frames, states]."""
    return constant - 0.5 * (
        np.square(frames) @ precision.T - 2 * frames @ (precision * mean).T + (precision * np.square(mean)).sum(axis=1)
    )


def _viterbi(likelihood: np.ndarray) -> np.ndarray:
    """Return the state of each frame, left to right without skips, each state at least a frame; likelihood [frames, states]."""
    frames, states = likelihood.shape
    best = np.full(states, -np.inf)
    best[0] = likelihood[0, 0]
    moved = np.zeros((frames, states), bool)
    for t in range(1, frames):
        previous = np.concatenate([[-np.inf], best[:-1]])
        moved[t] = previous > best
        best = np.where(moved[t], previous, best) + likelihood[t]
    path = np.empty(frames, int)
    state = states - 1
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state -= moved[t, state]
    return path


def _uniform(frames: int, pauses: Sequence[bool]) -> np.ndarray:
    """Return the state of each frame where all phones are equally long, pauses half as long."""
    weight = np.where(np.array(pauses), 0.5, 1.0)
    ends = np.cumsum(weight) / weight.sum() * frames
    return np.minimum(np.searchsorted(ends, np.arange(frames) + 0.5), len(pauses) - 1)


def _numbers(one: Utterance, symbols: dict[str, int]) -> np.ndarray:
    return np.array([symbols[phone] for phone in one.phones])


def _difference(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, ((2, 2), (0, 0)), "edge")
    return (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10
