"""Distances and scores between sets of clips, on plain arrays: no TensorFlow, no files.

Posteriors are [clips, classes], rows summing to 1; features are [clips, dimensions]. Every function computes in float64.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats
from scipy.cluster.vq import kmeans2

_FLOOR = 1e-7  # smallest probability inside a logarithm: about one float32 step of a softmax near 1
_BLOCK = 1024  # rows compared at once; a block against 20,000 others takes 160 MB


@dataclass(frozen=True)
class Score:
    """A figure and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class BinDifference:
    """The result of `ndb`.

    Attributes:
        different: Number of bins whose share differs significantly.
        bins: Number of bins.
        jensen_shannon: Divergence of the two histograms in nats, 0 to ln 2.
        reference_share: [bins] share of the reference's clips.
        share: [bins] share of the other set's clips.
    """

    different: int
    bins: int
    jensen_shannon: float
    reference_share: np.ndarray
    share: np.ndarray

    @property
    def ratio(self) -> float:
        """Return NDB / K, 0 to 1."""
        return self.different / self.bins


@dataclass(frozen=True)
class Bins:
    """Voronoi cells of a reference set: `centres` [bins, dimensions], and `counts`, the reference's clips in each."""

    centres: np.ndarray
    counts: np.ndarray


def inception_score(posteriors: np.ndarray, splits: int = 1, seed: int = 0) -> Score:
    """Compute the Inception Score: exp of the mean KL divergence of p(y|x) from the marginal p(y) (Salimans et al. 2016, section 4).

    The marginal is the mean over the SAMPLES of the split. (Averaging over the classes, as a much-copied script does, gives
    the uniform distribution whatever the samples are, so that a generator stuck in one class scores as high as a perfect one.)
    Lies in [1, classes]. Small splits score lower: compare only figures from equally many clips.

    Args:
        posteriors: [clips, classes].
        splits: 1 scores all clips together. More score that many random parts and average, as the papers do with 10 parts
            of 5,000 clips.
        seed: Seed of the shuffle before splitting (clips are often ordered by label).

    Returns:
        The score. With one split its standard error is that of the delta method: the divergence's influence function is
        KL_i - mean(KL), as the marginal's own error cancels to first order. With more, it is that of the mean over splits.

    Raises:
        ValueError: Not [clips, classes] probabilities, or fewer than two clips per split.
    """
    p = _probabilities(posteriors)
    if splits < 1 or len(p) < 2 * splits:
        raise ValueError(f"{len(p)} clips cannot be scored in {splits} splits; expected at least 2 clips per split.")
    if splits == 1:
        divergence = _divergence_from_marginal(p)
        score = float(np.exp(divergence.mean()))
        return Score(score, float(score * divergence.std(ddof=1) / np.sqrt(len(p))))
    order = np.random.default_rng(seed).permutation(len(p))
    scores = [np.exp(_divergence_from_marginal(p[part]).mean()) for part in np.array_split(order, splits)]
    return Score(float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(splits)))


def modified_inception_score(posteriors: np.ndarray) -> float:
    """Compute mIS: exp of the mean KL divergence of p(y|x_i) from p(y|x_j) over pairs of clips (Gurumurthy et al. 2017, section 5.2).

    Over all pairs, as the audio papers report it (Goel et al. 2022), not class by class. It rewards confident posteriors that
    differ from each other, and has no upper bound but the floor of 1e-7 under each probability.

    Args:
        posteriors: [clips, classes], at least 2 clips.
    """
    p = _probabilities(posteriors)
    if len(p) < 2:
        raise ValueError("mIS compares pairs of clips; expected at least 2 clips.")
    logarithm = _log(p)
    own = (p * logarithm).sum(axis=1).mean()
    cross = p.mean(axis=0) @ logarithm.mean(axis=0)  # the mean over all pairs factorises; i = j included, it adds 0
    return float(np.exp((own - cross) * len(p) / (len(p) - 1)))


def am_score(posteriors: np.ndarray, reference_marginal: np.ndarray) -> float:
    """Compute the AM score: KL(reference marginal || marginal) + mean entropy of p(y|x); 0 is best (Zhou et al. 2018, section 5.2).

    Unlike the Inception Score it takes the true shares of the classes into account.

    Args:
        posteriors: [clips, classes].
        reference_marginal: [classes] shares of the classes in the training data.
    """
    p = _probabilities(posteriors)
    reference = np.asarray(reference_marginal, np.float64)
    divergence = (reference * (_log(reference) - _log(p.mean(axis=0)))).sum()
    return float(divergence - (p * _log(p)).sum(axis=1).mean())


def class_entropy(classes: np.ndarray, number: int) -> float:
    """Compute the entropy in nats of the histogram of predicted classes: 0 for a single class, ln(number) for equal shares."""
    share = np.bincount(np.asarray(classes, np.int64), minlength=number) / max(len(classes), 1)
    return max(0.0, float(-(share * _log(share)).sum()))  # in this order: never -0.0


def gaussian_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean [dimensions] and unbiased covariance [dimensions, dimensions] of features [clips, dimensions], at least 2 clips."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features have shape {features.shape}; expected [clips, dimensions] with at least 2 clips.")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Compute the squared Fréchet (2-Wasserstein) distance of two Gaussians (Dowson and Landau 1982; a score in Heusel et al. 2017, eq. 6).

    |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)). The trace of the root is the sum of the roots of the
    eigenvalues of A^(1/2) B A^(1/2), which is symmetric: singular covariances, from fewer clips than dimensions, give a finite
    real distance where a general matrix root gives noise or complex numbers.

    Args:
        mean_a, mean_b: [dimensions].
        cov_a, cov_b: [dimensions, dimensions], symmetric, positive semi-definite.

    Returns:
        The distance, at least 0, in squared units of the features. An estimate from n clips is biased upwards by about
        dimensions / n: compare only figures from equally many clips.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    mean_a, mean_b = np.atleast_1d(np.asarray(mean_a, np.float64)), np.atleast_1d(np.asarray(mean_b, np.float64))
    cov_a, cov_b = np.atleast_2d(np.asarray(cov_a, np.float64)), np.atleast_2d(np.asarray(cov_b, np.float64))
    size = mean_a.size
    if mean_a.shape != mean_b.shape or cov_a.shape != (size, size) or cov_b.shape != (size, size):
        raise ValueError(f"Gaussians of shapes {mean_a.shape}, {cov_a.shape} and {mean_b.shape}, {cov_b.shape} cannot be compared.")
    if not all(np.isfinite(part).all() for part in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("A mean or covariance is not finite.")
    values, vectors = linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(linalg.eigvalsh(root_a @ cov_b @ root_a), 0)).sum()
    difference = mean_a - mean_b
    return max(float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * shared), 0.0)


def frechet_of(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Compute `frechet_distance` of the Gaussians fitted to two sets of features [clips, dimensions]."""
    return frechet_distance(*gaussian_of(features_a), *gaussian_of(features_b))


def kernel_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Compute KID: unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (Bińkowski et al. 2018, section 4).

    Unlike the Fréchet distance's, its expectation does not depend on the number of clips; a value can be slightly negative.

    Args:
        features_a, features_b: [clips, dimensions], at least 2 clips each.
    """
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    if len(a) < 2 or len(b) < 2:
        raise ValueError("KID compares pairs of clips; expected at least 2 clips in each set.")

    def total(x: np.ndarray, y: np.ndarray) -> float:
        return float(sum(_cubic(x[start : start + _BLOCK] @ y.T, x.shape[1]).sum() for start in range(0, len(x), _BLOCK)))

    def others(x: np.ndarray) -> float:
        own = _cubic((x * x).sum(axis=1), x.shape[1]).sum()
        return (total(x, x) - own) / (len(x) * (len(x) - 1))

    return others(a) + others(b) - 2 * total(a, b) / (len(a) * len(b))


def make_bins(reference: np.ndarray, bins: int = 50, seed: int = 0) -> Bins:
    """Divide the reference into k-means cells for `ndb` (Richardson and Weiss 2018, section 2).

    Args:
        reference: [clips, dimensions].
        bins: K. The paper uses 100 to 1000 on images, GANSynth 50 on audio. Cells that end empty are left out.
        seed: Seed of the first centres (k-means++).

    Raises:
        ValueError: Fewer clips than bins.
    """
    reference = np.asarray(reference, np.float64)
    if not 2 <= bins <= len(reference):
        raise ValueError(f"{len(reference)} clips cannot be split into {bins} bins.")
    bins = min(bins, len(np.unique(reference, axis=0)))  # k-means++ cannot place more centres than there are distinct clips
    if bins == 1:
        return Bins(reference[:1], np.array([len(reference)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cell that ends empty
        centres, _ = kmeans2(reference, bins, iter=30, minit="++", seed=seed)
    counts = np.bincount(_nearest(reference, centres)[1], minlength=bins)
    return Bins(centres[counts > 0], counts[counts > 0])


def ndb(reference: Bins, features: np.ndarray, significance: float = 0.05) -> BinDifference:
    """Count the statistically different bins, NDB (Richardson and Weiss 2018, section 2, eq. 1).

    Each bin's share of the reference and of `features` is compared with a two-proportion z-test with pooled variance. A set of
    the same distribution still differs in about `significance` of its bins.

    Args:
        reference: `make_bins` of the training clips.
        features: [clips, dimensions] of the set under test.
        significance: Two-sided level of each test; as in the paper, without a correction for testing many bins.
    """
    assigned = _nearest(np.asarray(features, np.float64), reference.centres)[1]
    counts = np.bincount(assigned, minlength=len(reference.centres))
    n, m = reference.counts.sum(), counts.sum()
    p, q = reference.counts / n, counts / m
    pooled = (reference.counts + counts) / (n + m)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.abs(p - q) / np.maximum(deviation, 1e-300)
    middle = (p + q) / 2
    divergence = 0.5 * sum(float((share * (_log(share) - _log(middle))).sum()) for share in (p, q))
    different = int((z > stats.norm.ppf(1 - significance / 2)).sum())
    return BinDifference(different, len(p), max(divergence, 0.0), p, q)


def nearest_neighbours(features: np.ndarray, reference: np.ndarray, *, leave_one_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the Euclidean distance of each row to its nearest row of `reference`.

    Args:
        features: [clips, dimensions].
        reference: [others, dimensions].
        leave_one_out: Both sets are the same rows, and a row is not its own neighbour.

    Returns:
        Distances float64 [clips] and indices int64 [clips] into `reference`.
    """
    features, reference = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    if leave_one_out and (features.shape != reference.shape or len(features) < 2):
        raise ValueError("leave_one_out needs the same rows twice, at least 2 of them.")
    return _nearest(features, reference, leave_one_out)


def _nearest(features: np.ndarray, reference: np.ndarray, leave_one_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
    lengths = (reference * reference).sum(axis=1)
    index = np.empty(len(features), np.int64)
    for start in range(0, len(features), _BLOCK):
        block = features[start : start + _BLOCK]
        squares = lengths - 2 * block @ reference.T  # the block's own norm is the same for all candidates
        if leave_one_out:
            squares[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        index[start : start + len(block)] = squares.argmin(axis=1)
    # The expanded square above cancels near 0; the distance of an exact copy must come out as 0.
    return np.sqrt(((features - reference[index]) ** 2).sum(axis=1)), index


def _cubic(products: np.ndarray, dimensions: int) -> np.ndarray:
    return (products / dimensions + 1) ** 3


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, _FLOOR))


def _divergence_from_marginal(p: np.ndarray) -> np.ndarray:
    return (p * (_log(p) - _log(p.mean(axis=0)))).sum(axis=1)


def _probabilities(posteriors: np.ndarray) -> np.ndarray:
    p = np.asarray(posteriors, np.float64)
    if p.ndim != 2 or not len(p):
        raise ValueError(f"posteriors have shape {p.shape}; expected [clips, classes].")
    if not np.isfinite(p).all() or (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise ValueError("posteriors are not probabilities: expected rows of non-negative numbers that sum to 1.")
    return p
