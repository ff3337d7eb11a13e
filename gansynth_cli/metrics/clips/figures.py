"""From sets of clips to figures: what is computed of each clip, and every figure with the number of clips it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...signal.mel import LogMel
from . import distribution
from .clip_set import Clip

if TYPE_CHECKING:
    from .classifier import Classifier

_BLOCK = 64  # clips described at once
_PICTURE_FRAMES = 32
_PICTURE_FLOOR = 1e-3  # -60 dB: a copy with other rounding or dither is still a copy
_CLIPS_A_BIN = 5  # fewer, and the z-test's normal approximation fails
_CLIPS_A_CLASS = 5  # the Inception Score of n clips is too low by a factor of up to about exp(classes / 2n)
_LEAST_PAIRS = 20
LEAST_NEIGHBOURS = 5
COPY_RATIO = 0.5  # nearer than this part of the nearest hundredth of held-out clips is called a copy


@dataclass(frozen=True)
class Figure:
    """A figure of the report. `better` is "higher", "lower", "" (neither); `labels`: it needs the classifier."""

    key: str
    title: str
    better: str
    labels: bool


FIGURES = (
    Figure("inception_score", "Inception Score", "higher", True),
    Figure("modified_inception_score", "mIS", "higher", True),
    Figure("am_score", "AM score", "lower", True),
    Figure("frechet_classifier", "Fréchet cls", "lower", True),
    Figure("kernel_distance", "KID", "lower", True),
    Figure("class_accuracy", "accuracy", "higher", True),
    Figure("class_entropy", "entropy", "higher", True),
    Figure("frechet_log_mel", "Fréchet mel", "lower", False),
    Figure("ndb", "NDB/K", "lower", False),
    Figure("jensen_shannon", "JS", "lower", False),
    Figure("nearest_training_clip", "nearest", "", False),
    Figure("memorisation_ratio", "... ratio", "", False),
    Figure("copies", "copies", "lower", False),
)


@dataclass
class Observed:
    """What was seen of a set of n clips.

    Attributes:
        names: Of the clips.
        labels: int32 [n] classes asked for, -1 unknown.
        failures: Reason for each failed clip, "" elsewhere.
        pictures: float32 [n, d]: peak-normalised log-mel spectrograms, 24 bands and at most 32 frames.
        statistics: float32 [n, 48]: mean and deviation over time of each of 24 log-mel bands, at the clip's own level.
        features, posteriors: The classifier's, [n, 128] and [n, classes]; None without one. A failed clip's posterior is uniform.
        resampled, padded, cut: Numbers of clips.
        level: Root mean square of the clips that did not fail.
    """

    names: list[str]
    labels: np.ndarray
    failures: list[str]
    pictures: np.ndarray
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


def observe(
    clips: Iterable[Clip], sample_rate: int, samples: int, classifier: Classifier | None, on_clips: Callable[[int], Any] | None = None
) -> Observed:
    """Goes once through a set, holding only some clips and the small descriptions of all in memory.

    Args:
        clips: Of `samples` samples at `sample_rate`.
        classifier: None where the data has no labels.
        on_clips: Called with the number of clips just done.
    """
    spec = LogMel.for_clips(sample_rate, samples, bands=24)
    audible = replace(spec, offset=_PICTURE_FLOOR)
    parts: dict[str, list] = {name: [] for name in ("pictures", "statistics", "features", "posteriors")}
    seen: list[Clip] = []
    power: list[float] = []

    def describe(block: list[Clip]) -> None:
        audio = np.stack([clip.audio for clip in block])
        log_mel = spec.compute(audio)
        parts["statistics"].append(np.concatenate([log_mel.mean(axis=1), log_mel.std(axis=1)], axis=1))
        peak = np.maximum(np.abs(audio).max(axis=1, keepdims=True), 1e-6)
        parts["pictures"].append(_pictures(audible.compute(audio / peak)))
        if classifier is not None:
            features, posteriors = classifier.judge(audio)
            failed = [bool(clip.failure) for clip in block]
            posteriors[failed] = 1.0 / posteriors.shape[1]
            parts["features"].append(features)
            parts["posteriors"].append(posteriors)
        power.extend(float(np.square(clip.audio, dtype=np.float64).mean()) for clip in block if not clip.failure)
        seen.extend(Clip(c.name, c.audio[:0], c.label, c.failure, c.resampled, c.padded, c.cut) for c in block)
        if on_clips is not None:
            on_clips(len(block))

    pending: list[Clip] = []
    for clip in clips:
        pending.append(clip)
        if len(pending) == _BLOCK:
            describe(pending)
            pending = []
    if pending:
        describe(pending)
    joined = {name: np.concatenate(blocks) if blocks else None for name, blocks in parts.items()}
    none = np.zeros((0, 1), np.float32)
    return Observed(
        names=[clip.name for clip in seen],
        labels=np.array([clip.label for clip in seen], np.int32),
        failures=[clip.failure for clip in seen],
        pictures=none if joined["pictures"] is None else joined["pictures"],
        statistics=none if joined["statistics"] is None else joined["statistics"],
        features=joined["features"],
        posteriors=joined["posteriors"],
        resampled=sum(clip.resampled for clip in seen),
        padded=sum(clip.padded for clip in seen),
        cut=sum(clip.cut for clip in seen),
        level=float(np.sqrt(np.mean(power))) if power else 0.0,
    )


def _pictures(log_mel: np.ndarray) -> np.ndarray:
    """[n, frames, bands] to [n, d]: neighbouring frames averaged to at most 32, scaled so that distances are root mean squares."""
    frames = log_mel.shape[1]
    edges = np.unique(np.linspace(0, frames, min(frames, _PICTURE_FRAMES) + 1).astype(int))
    pooled = np.add.reduceat(log_mel, edges[:-1], axis=1) / np.diff(edges)[None, :, None]
    flat = pooled.reshape(len(log_mel), -1)
    return (flat / np.sqrt(flat.shape[1])).astype(np.float32)


@dataclass
class Reference:
    """The training split, and what the figures need of it and of the held-out clips.

    Attributes:
        train: The training split.
        held_out: The split that says how near unseen recordings come to the training clips; None if there is none.
        bins: k-means cells of the training split; None with too few clips.
        classes: Number of classes; 0 without classifier.
    """

    train: Observed
    held_out: Observed | None
    classes: int
    bins_wanted: int = 50
    seed: int = 0
    bins: distribution.Bins | None = field(init=False, default=None)
    held_out_median: float | None = field(init=False, default=None)
    copy_distance: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        bins = min(self.bins_wanted, len(self.train) // _CLIPS_A_BIN)
        if bins >= 2:
            self.bins = distribution.make_bins(self.train.pictures, bins, self.seed)
        if self.held_out is not None and len(self.held_out) >= LEAST_NEIGHBOURS:
            distances = distribution.nearest_neighbours(self.held_out.pictures, self.train.pictures)[0]
            self.held_out_median = float(np.median(distances))
            self.copy_distance = COPY_RATIO * float(np.quantile(distances, 0.01))


def measure(seen: Observed, reference: Reference, *, splits: int = 1, is_train: bool = False) -> dict[str, dict[str, Any]]:
    """All figures of one set: key -> {"value", maybe "standard_error"}, or {"needs": clips} or {"because": reason} where there is none.

    Args:
        splits: Of the Inception Score.
        is_train: The set is the reference itself: the distances are those of one random half from the other, and a clip is
            not its own neighbour.
    """
    half = np.random.default_rng([reference.seed, 3]).permutation(len(seen))
    mine, theirs = (half[: len(half) // 2], half[len(half) // 2 :]) if is_train else (np.arange(len(seen)), np.arange(len(reference.train)))
    both = min(len(mine), len(theirs))
    found: dict[str, dict[str, Any]] = {}

    def put(key: str, have: int, needs: int, compute: Callable[[], dict[str, Any] | float]) -> None:
        if have < needs <= len(mine) and not is_train:
            found[key] = {"because": f"not enough training clips (needs {needs})"}
            return
        if have < needs:
            found[key] = {"needs": needs * (2 if is_train and have == both else 1), "have": len(seen)}
            return
        value = compute()
        found[key] = value if isinstance(value, dict) else {"value": float(value)}

    if seen.posteriors is None or reference.train.posteriors is None or seen.features is None or reference.train.features is None:
        for figure in FIGURES:
            if figure.labels:
                found[figure.key] = {"because": "no labels, so no classifier"}
    else:
        posteriors, classes = seen.posteriors, reference.classes
        a, b = seen.features[mine], reference.train.features[theirs]
        needs = max(_CLIPS_A_CLASS * classes, 2 * splits)

        def inception() -> dict[str, Any]:
            score = distribution.inception_score(posteriors, splits, reference.seed)
            return {"value": score.value, "standard_error": score.standard_error}

        put("inception_score", len(seen), needs, inception)
        put("modified_inception_score", len(seen), needs, lambda: distribution.modified_inception_score(posteriors))
        put("am_score", len(seen), needs, lambda: distribution.am_score(posteriors, _shares(reference.train.labels, classes)))
        put("frechet_classifier", both, a.shape[1] + 1, lambda: distribution.frechet_of(a, b))
        put("kernel_distance", both, _LEAST_PAIRS, lambda: distribution.kernel_distance(a, b))
        judged = posteriors[~seen.failed].argmax(axis=1)
        put("class_entropy", len(judged), needs, lambda: distribution.class_entropy(judged, classes))
        found["class_accuracy"] = _accuracy(seen)
    dimensions = seen.statistics.shape[1]
    statistics = reference.train.statistics
    put("frechet_log_mel", both, dimensions + 1, lambda: distribution.frechet_of(seen.statistics[mine], statistics[theirs]))
    found.update(_bin_figures(seen, reference, mine, theirs, is_train))
    found.update(_neighbour_figures(seen, reference, is_train))
    return {figure.key: found[figure.key] for figure in FIGURES}


def per_class(seen: Observed, labels: list[str]) -> dict[str, Any]:
    """Accuracy of each class asked for, and the confusion matrix [asked][predicted] with failed clips in one last column."""
    if seen.posteriors is None or not (seen.labels >= 0).any():
        return {}
    predicted = np.where(seen.failed, len(labels), seen.posteriors.argmax(axis=1))
    confusion = np.zeros((len(labels), len(labels) + 1), int)
    asked = seen.labels >= 0
    np.add.at(confusion, (seen.labels[asked], predicted[asked]), 1)
    totals = confusion.sum(axis=1)
    return {
        "accuracy": {label: float(confusion[i, i] / totals[i]) if totals[i] else None for i, label in enumerate(labels)},
        "clips": {label: int(totals[i]) for i, label in enumerate(labels)},
        "confusion": confusion.tolist(),
        "confusion_columns": [*labels, "(failed)"],
    }


def closest_pairs(seen: Observed, reference: Reference, most: int) -> list[dict[str, Any]]:
    """The clips nearest to a training clip, nearest first: {"clip", "training_clip", "distance", "copy"}. Failed clips are left out."""
    if not len(seen) or not len(reference.train):
        return []
    distances, index = distribution.nearest_neighbours(seen.pictures, reference.train.pictures)
    order = [i for i in np.argsort(distances, kind="stable") if not seen.failures[i]][:most]
    return [
        {
            "clip": seen.names[i],
            "training_clip": reference.train.names[index[i]],
            "distance": float(distances[i]),
            "copy": reference.copy_distance is not None and bool(distances[i] < reference.copy_distance),
        }
        for i in order
    ]


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    return counts / counts.sum()


def _accuracy(seen: Observed) -> dict[str, Any]:
    asked = seen.labels >= 0
    if not asked.any() or seen.posteriors is None:
        return {"because": "no labels were asked for"}
    right = (seen.posteriors.argmax(axis=1) == seen.labels) & ~seen.failed
    share = float(right[asked].mean())
    return {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / asked.sum())), "clips": int(asked.sum())}


def _bin_figures(seen: Observed, reference: Reference, mine: np.ndarray, theirs: np.ndarray, is_train: bool) -> dict[str, dict[str, Any]]:
    bins = reference.bins
    if bins is None:
        missing: dict[str, Any] = {"because": f"not enough training clips (needs {2 * _CLIPS_A_BIN})"}
        return {"ndb": missing, "jensen_shannon": dict(missing)}
    needs = _CLIPS_A_BIN * len(bins.counts) * (2 if is_train else 1)
    if len(seen) < needs:
        short = {"needs": needs, "have": len(seen)}
        return {"ndb": short, "jensen_shannon": dict(short)}
    if is_train:  # the same cells, filled by one half alone
        counts = distribution.ndb(bins, seen.pictures[theirs]).share * len(theirs)
        bins = distribution.Bins(bins.centres, np.rint(counts).astype(int))
    result = distribution.ndb(bins, seen.pictures[mine])
    return {
        "ndb": {"value": result.ratio, "different": result.different, "bins": result.bins},
        "jensen_shannon": {"value": result.jensen_shannon},
    }


def _neighbour_figures(seen: Observed, reference: Reference, is_train: bool) -> dict[str, dict[str, Any]]:
    keys = ("nearest_training_clip", "memorisation_ratio", "copies")
    if len(seen) < LEAST_NEIGHBOURS or len(reference.train) < LEAST_NEIGHBOURS:
        return {key: {"needs": LEAST_NEIGHBOURS, "have": min(len(seen), len(reference.train))} for key in keys}
    distances = distribution.nearest_neighbours(seen.pictures, reference.train.pictures, leave_one_out=is_train)[0]
    median = float(np.median(distances))
    found: dict[str, dict[str, Any]] = {"nearest_training_clip": {"value": median, "least": float(distances.min())}}
    if reference.held_out_median is None or reference.copy_distance is None:
        absent: dict[str, Any] = {"because": f"no held-out split of {LEAST_NEIGHBOURS} clips"}
        return {**found, "memorisation_ratio": absent, "copies": dict(absent)}
    found["memorisation_ratio"] = {"value": median / max(reference.held_out_median, 1e-12)}
    found["copies"] = {"value": float((distances < reference.copy_distance).mean()), "below_distance": reference.copy_distance}
    return found
