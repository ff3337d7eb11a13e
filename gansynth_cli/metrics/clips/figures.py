"""Figures of a set of clips against the training split: each with its definition, the clips it needs, and its computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..figure import Cell, Figure, absent, share_of, too_few
from . import distribution
from .observation import Observed

_CLIPS_PER_BIN = 5  # with fewer the z-test's normal approximation fails
_CLIPS_PER_CLASS = 5  # the Inception Score of n clips is too low by a factor of up to about exp(classes / 2n)
_MIN_PAIRS = 20
MIN_NEIGHBOURS = 5
COPY_RATIO = 0.5  # a clip nearer than this fraction of the nearest hundredth of held-out clips counts as a copy


@dataclass
class Reference:
    """The training split, with what the figures need of it and of the held-out clips.

    Attributes:
        train: The training split.
        held_out: The split that tells how near unseen recordings are to the training clips; None if there is none.
        classes: Number of classes; 0 without a classifier.
        bins_wanted: Number of k-means cells; fewer if the train split is small.
        seed: Seed of the cells and of the random halves.
        bins: k-means cells of the training split; None with too few clips.
        held_out_median: Median distance of the held-out clips to their nearest training clip.
        copy_distance: Distance below which a clip counts as a copy.
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
        bins = min(self.bins_wanted, len(self.train) // _CLIPS_PER_BIN)
        if bins >= 2:
            self.bins = distribution.make_bins(self.train.spectrograms, bins, self.seed)
        if self.held_out is not None and len(self.held_out) >= MIN_NEIGHBOURS:
            distances = distribution.nearest_neighbours(self.held_out.spectrograms, self.train.spectrograms)[0]
            self.held_out_median = float(np.median(distances))
            self.copy_distance = COPY_RATIO * float(np.quantile(distances, 0.01))


@dataclass(frozen=True)
class Comparison:
    """One set against the training split.

    Attributes:
        seen: The set.
        reference: The training split.
        splits: Random parts over which the Inception Score is averaged.
        is_train: Whether the set is the train split itself. Distances are then those of one random half from the other, and a
            clip is not its own neighbour.
    """

    seen: Observed
    reference: Reference
    splits: int = 1
    is_train: bool = False

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the set and of the training split that are compared."""
        if not self.is_train:
            return np.arange(len(self.seen)), np.arange(len(self.reference.train))
        order = np.random.default_rng([self.reference.seed, 3]).permutation(len(self.seen))
        return order[: len(order) // 2], order[len(order) // 2 :]

    @property
    def both(self) -> int:
        """Clips on the smaller side."""
        return min(map(len, self.halves))

    @property
    def score_needs(self) -> int:
        """Clips that scores of the classifier's posteriors need."""
        return max(_CLIPS_PER_CLASS * self.reference.classes, 2 * self.splits)

    def shortage(self, have: int, needs: int) -> Cell | None:
        """Return the cell of a figure with too few clips, or None if there are enough."""
        if have >= needs:
            return None
        if needs <= len(self.halves[0]) and not self.is_train:
            return absent(f"not enough training clips (needs {needs})")
        return too_few(needs * (2 if self.is_train and have == self.both else 1), len(self.seen))

    @property
    def posteriors(self) -> np.ndarray:
        """The classifier's posteriors of the set."""
        assert self.seen.posteriors is not None
        return self.seen.posteriors

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """The classifier's features of both sides."""
        assert self.seen.features is not None
        assert self.reference.train.features is not None
        return self.seen.features[self.halves[0]], self.reference.train.features[self.halves[1]]

    @cached_property
    def histograms(self) -> Cell | distribution.BinDifference:
        """The set in the cells of the training split, or the cell with the reason why there is none."""
        bins = self.reference.bins
        if bins is None:
            return absent(f"not enough training clips (needs {2 * _CLIPS_PER_BIN})")
        needs = _CLIPS_PER_BIN * len(bins.counts) * (2 if self.is_train else 1)
        if len(self.seen) < needs:
            return too_few(needs, len(self.seen))
        mine, theirs = self.halves
        if self.is_train:  # the same cells, filled by the other half only
            counts = distribution.ndb(bins, self.seen.spectrograms[theirs]).share * len(theirs)
            bins = distribution.Bins(bins.centres, np.rint(counts).astype(int))
        return distribution.ndb(bins, self.seen.spectrograms[mine])

    @cached_property
    def neighbours(self) -> Cell | np.ndarray:
        """Distance of each clip to its nearest training clip, or the cell with the reason why there is none."""
        train = self.reference.train
        if min(len(self.seen), len(train)) < MIN_NEIGHBOURS:
            return too_few(MIN_NEIGHBOURS, min(len(self.seen), len(train)))
        return distribution.nearest_neighbours(self.seen.spectrograms, train.spectrograms, leave_one_out=self.is_train)[0]


def _inception_score(c: Comparison) -> Cell:
    score = distribution.inception_score(c.posteriors, c.splits, c.reference.seed)
    return {"value": score.value, "standard_error": score.standard_error}


def _am_score(c: Comparison) -> float:
    counts = np.bincount(c.reference.train.labels[c.reference.train.labels >= 0], minlength=c.reference.classes)
    return distribution.am_score(c.posteriors, counts / counts.sum())


def _class_entropy(c: Comparison) -> Cell | float:
    predicted = c.seen.predicted[~c.seen.failed]
    return c.shortage(len(predicted), c.score_needs) or distribution.class_entropy(predicted, c.reference.classes)


def _class_accuracy(c: Comparison) -> Cell:
    labelled = c.seen.labels >= 0
    if not labelled.any():
        return absent("no intended classes are known")
    return share_of(((c.seen.predicted == c.seen.labels) & ~c.seen.failed)[labelled])


def _frechet_classifier(c: Comparison) -> Cell | float:
    mine, theirs = c.features()
    return c.shortage(c.both, mine.shape[1] + 1) or distribution.frechet_of(mine, theirs)


def _kernel_distance(c: Comparison) -> Cell | float:
    return c.shortage(c.both, _MIN_PAIRS) or distribution.kernel_distance(*c.features())


def _frechet_log_mel(c: Comparison) -> Cell | float:
    mine, theirs = c.halves
    seen, train = c.seen.statistics, c.reference.train.statistics
    return c.shortage(c.both, seen.shape[1] + 1) or distribution.frechet_of(seen[mine], train[theirs])


def _ndb(c: Comparison) -> Cell:
    found = c.histograms
    return found if isinstance(found, dict) else {"value": found.ratio, "different": found.different, "bins": found.bins}


def _jensen_shannon(c: Comparison) -> Cell | float:
    return c.histograms if isinstance(c.histograms, dict) else c.histograms.jensen_shannon


def _nearest(c: Comparison) -> Cell:
    found = c.neighbours
    return found if isinstance(found, dict) else {"value": float(np.median(found)), "smallest": float(found.min())}


def _beside_held_out(compute: Callable[[np.ndarray, Reference], Cell]) -> Callable[[Comparison], Cell]:
    def figure(c: Comparison) -> Cell:
        if isinstance(c.neighbours, dict):
            return c.neighbours
        if c.reference.copy_distance is None:
            return absent(f"no held-out split of {MIN_NEIGHBOURS} clips")
        return compute(c.neighbours, c.reference)

    return figure


def _ratio(distances: np.ndarray, reference: Reference) -> Cell:
    return {"value": float(np.median(distances)) / max(reference.held_out_median or 0.0, 1e-12)}


def _copies(distances: np.ndarray, reference: Reference) -> Cell:
    return {"value": float((distances < reference.copy_distance).mean()), "below_distance": reference.copy_distance}


def _scored(compute: Callable[[Comparison], Cell | float]) -> Callable[[Comparison], Cell | float]:
    """Ask for enough clips first."""
    return lambda c: c.shortage(len(c.seen), c.score_needs) or compute(c)


_CLASSIFIER = "a classifier"
# fmt: off
FIGURES = (
    Figure("inception_score", "Inception Score", "higher", range="1 to the number of classes", needs=_CLASSIFIER,
           compute=_scored(_inception_score),
           meaning="exp of the mean over clips of KL(p(y|x) ‖ p(y)), p(y|x) the classifier's posterior of a clip and p(y) the mean of the "
                   "posteriors over the clips. (A widely used script averages over the classes instead, and scores a generator stuck in "
                   "one class as perfect.) ± is the standard error: delta method, or over the parts with `--splits`. Salimans et al. 2016"),
    Figure("modified_inception_score", "mIS", "higher", range="1 or more; probabilities have a floor of 1e-7", needs=_CLASSIFIER,
           compute=_scored(lambda c: distribution.modified_inception_score(c.posteriors)),
           meaning="exp of the mean over pairs of clips of KL(p(y|x₁) ‖ p(y|x₂)). Mostly shows how confident the classifier is. Gurumurthy"
                   " et al. 2017; over all pairs as in Goel et al. 2022"),
    Figure("am_score", "AM score", "lower", range="0 or more", needs=_CLASSIFIER, compute=_scored(_am_score),
           meaning="KL(class shares of the training data ‖ p(y)) + mean entropy of p(y|x). Allows for rare classes. Zhou et al. 2018"),
    Figure("frechet_classifier", "Fréchet cls", "lower", range="0 or more", needs=_CLASSIFIER, compute=_frechet_classifier,
           meaning="Squared Fréchet distance of the Gaussians fitted to the classifier's 128 features: |μ₁-μ₂|² + tr(Σ₁+Σ₂-2(Σ₁Σ₂)^½). "
                   "Depends on the number of clips. Heusel et al. 2017"),
    Figure("kernel_distance", "KID", "lower", needs=_CLASSIFIER, compute=_kernel_distance,
           meaning="Unbiased squared maximum mean discrepancy of the features, kernel (x·y/128 + 1)³. Does not depend on the number of "
                   "clips; can be slightly negative. Bińkowski et al. 2018"),
    Figure("class_accuracy", "accuracy", "higher", range="0 to 1", needs=_CLASSIFIER, compute=_class_accuracy,
           meaning="Share of clips classified as their intended class; failed clips are wrong. Does not measure variety. ± is the binomial"
                   " standard error"),
    Figure("class_entropy", "entropy", "higher", unit="nat", range="0 to ln(classes)", needs=_CLASSIFIER, compute=_class_entropy,
           meaning="Entropy of the histogram of predicted classes; ln(classes) if all are equally frequent. Failed clips are left out"),
    Figure("frechet_log_mel", "Fréchet mel", "lower", range="0 or more", compute=_frechet_log_mel,
           meaning="Fréchet distance of 48 numbers per clip: mean and standard deviation over time of 24 log-mel bands, level included. "
                   "Measures long-term spectrum, level and noise, not the order of events. `train` logs the same figure of its previews"),
    Figure("ndb", "NDB/K", "lower", range="0 to 1; 0.05 for clips of the same distribution", compute=_ndb,
           meaning="Share of the K k-means cells of the training clips' spectrograms (K = 50 or `--bins`; at least five training clips in "
                   "each) whose share of the set differs from their share of the training clips in a two-proportion z-test at 5 %. Grows "
                   "with the number of clips, as the test becomes more sensitive. Richardson and Weiss 2018"),
    Figure("jensen_shannon", "JS", "lower", unit="nat", range="0 to 0.69", compute=_jensen_shannon,
           meaning="Jensen-Shannon divergence of the histograms of the set and of the training clips over the cells of NDB"),
    Figure("nearest_training_clip", "nearest clip", "", range="0 or more", compute=_nearest,
           meaning="Median distance of a clip's spectrogram to that of the nearest training clip (root mean square, nat)"),
    Figure("memorisation_ratio", "memorisation ratio", "", range="0 or more", needs="a held-out split", compute=_beside_held_out(_ratio),
           meaning="Median distance to the nearest training clip, over that of the held-out recordings (test split, else validation). "
                   "About 1: as new as unseen recordings; far below: close to the training clips. If held-out recordings are of other "
                   "speakers, compare with the value of the training clips (each against the others)"),
    Figure("copies", "copies", "lower", range="0 to 1", needs="a held-out split", compute=_beside_held_out(_copies),
           meaning="Share of clips nearer to a training clip than half the distance that 99 of 100 held-out recordings keep. What exceeds "
                   "the value of the training clips is memorised; the report lists the closest pairs"),
)
# fmt: on


def measure(comparison: Comparison) -> dict[str, Cell]:
    """Compute all figures of one set: key -> cell."""
    classified = comparison.seen.posteriors is not None and comparison.reference.train.posteriors is not None
    cells: dict[str, Cell] = {}
    for figure in FIGURES:
        if figure.needs == _CLASSIFIER and not classified:
            cells[figure.key] = absent("no labels, so no classifier")
            continue
        assert figure.compute is not None
        value = figure.compute(comparison)
        cells[figure.key] = value if isinstance(value, dict) else {"value": float(value)}
    return cells


def per_class(seen: Observed, labels: list[str]) -> dict[str, Any]:
    """Return the accuracy of each intended class, and the confusion matrix [intended][predicted], failed clips in its last column."""
    if seen.posteriors is None or not (seen.labels >= 0).any():
        return {}
    predicted = np.where(seen.failed, len(labels), seen.predicted)
    confusion = np.zeros((len(labels), len(labels) + 1), int)
    labelled = seen.labels >= 0
    np.add.at(confusion, (seen.labels[labelled], predicted[labelled]), 1)
    totals = confusion.sum(axis=1)
    return {
        "accuracy": {label: float(confusion[i, i] / totals[i]) if totals[i] else None for i, label in enumerate(labels)},
        "clips": {label: int(totals[i]) for i, label in enumerate(labels)},
        "confusion": confusion.tolist(),
        "confusion_columns": [*labels, "(failed)"],
    }


def closest_pairs(seen: Observed, reference: Reference, most: int) -> list[dict[str, Any]]:
    """List the clips nearest to a training clip, nearest first: {"clip", "training_clip", "distance", "copy"}; without failed clips."""
    if not len(seen) or not len(reference.train):
        return []
    distances, index = distribution.nearest_neighbours(seen.spectrograms, reference.train.spectrograms)
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
