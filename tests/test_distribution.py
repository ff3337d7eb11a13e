"""Scores and distances against closed forms, scipy, and planted mismatches."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg

from gansynth_cli.metrics.clips import distribution as d


def one_hot(classes: np.ndarray, number: int) -> np.ndarray:
    return np.eye(number)[classes]


def random_gaussian(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size + 2))
    return rng.standard_normal(size), root @ root.T / size


def test_module_needs_no_tensorflow():
    code = "import sys, gansynth_cli.metrics.clips.distribution; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_inception_score_of_confident_balanced_clips_is_the_number_of_classes():
    score = d.inception_score(one_hot(np.arange(1000) % 10, 10))
    assert score.value == pytest.approx(10, rel=1e-4)
    assert score.standard_error == pytest.approx(0, abs=1e-6)


def test_inception_score_of_clips_that_say_nothing_is_one():
    assert d.inception_score(np.full((50, 4), 0.25)).value == pytest.approx(1)


def test_inception_score_sees_mode_collapse():
    """Every clip is surely class 3. Averaged over the classes, as a well-known script does, the score would be 10."""
    collapsed = one_hot(np.full(500, 3), 10)
    assert d.inception_score(collapsed).value == pytest.approx(1, rel=1e-4)
    half = one_hot(np.arange(500) % 2, 10)
    assert d.inception_score(half).value == pytest.approx(2, rel=1e-4)


def test_inception_score_with_splits_shuffles_and_averages():
    posteriors = one_hot(np.repeat(np.arange(5), 200), 5)  # in the order of the labels: without a shuffle each split scores 1
    score = d.inception_score(posteriors, splits=5, seed=1)
    assert 4.9 < score.value < 5.0
    assert 0 < score.standard_error < 0.02
    assert score == d.inception_score(posteriors, splits=5, seed=1)


def test_inception_scores_standard_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)
    draws = [d.inception_score(rng.dirichlet(np.full(4, 0.3), 400)) for _ in range(200)]
    spread = np.std([score.value for score in draws])
    assert np.mean([score.standard_error for score in draws]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("bad", [np.ones((4, 3)), np.full((4, 2), np.nan), np.array([[1.5, -0.5]]), np.zeros((0, 3)), np.ones(3)])
def test_posteriors_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="posteriors"):
        d.inception_score(bad)


def test_too_few_clips_for_the_splits_are_refused():
    with pytest.raises(ValueError, match="3 clips"):
        d.inception_score(one_hot(np.arange(3), 3), splits=2)


def test_modified_inception_score_equals_the_double_loop():
    p = np.random.default_rng(1).dirichlet(np.ones(3), 12)
    pairs = [np.sum(p[i] * np.log(p[i] / p[j])) for i in range(12) for j in range(12) if i != j]
    assert d.modified_inception_score(p) == pytest.approx(np.exp(np.mean(pairs)), rel=1e-9)
    assert d.modified_inception_score(np.tile(p[:1], (9, 1))) == pytest.approx(1)


def test_am_score_by_hand():
    assert d.am_score(one_hot(np.array([0, 0, 0, 1]), 2), [0.75, 0.25]) == pytest.approx(0, abs=1e-5)
    # the marginal is (1/2, 1/2), both posteriors have entropy ln 2
    expected = 0.9 * np.log(1.8) + 0.1 * np.log(0.2) + np.log(2)
    assert d.am_score(np.full((4, 2), 0.5), [0.9, 0.1]) == pytest.approx(expected)


def test_class_entropy():
    assert d.class_entropy(np.arange(100) % 4, 4) == pytest.approx(np.log(4))
    assert d.class_entropy(np.zeros(9), 4) == pytest.approx(0)


def test_frechet_distance_of_diagonal_gaussians_has_a_closed_form():
    mean_a, mean_b = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.0])
    std_a, std_b = np.array([1.0, 2.0, 0.5]), np.array([2.0, 2.0, 0.0])
    expected = ((mean_a - mean_b) ** 2).sum() + ((std_a - std_b) ** 2).sum()
    assert d.frechet_distance(mean_a, np.diag(std_a**2), mean_b, np.diag(std_b**2)) == pytest.approx(expected)
    assert d.frechet_distance(1.0, 4.0, 3.0, 9.0) == pytest.approx(4 + 1)  # one dimension


@pytest.mark.parametrize("size", [2, 7, 30])
def test_frechet_distance_equals_the_matrix_root_of_scipy(size):
    mean_a, cov_a = random_gaussian(0, size)
    mean_b, cov_b = random_gaussian(1, size)
    root = np.real(linalg.sqrtm(cov_a @ cov_b))
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert d.frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-8)
    assert d.frechet_distance(mean_b, cov_b, mean_a, cov_a) == pytest.approx(expected, rel=1e-8)
    assert d.frechet_distance(mean_a, cov_a, mean_a, cov_a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_singular_covariances_is_finite():
    a = np.random.default_rng(0).standard_normal((5, 40))
    assert d.frechet_of(a, a) == pytest.approx(0, abs=1e-6)
    assert d.frechet_of(a, a + 1) == pytest.approx(40, rel=1e-6)


def test_frechet_distance_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="shapes"):
        d.frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="finite"):
        d.frechet_distance(np.array([np.nan, 0]), np.eye(2), np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="at least 2"):
        d.gaussian_of(np.zeros((1, 4)))


def test_kernel_distance_equals_the_double_loop_and_is_unbiased():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 1
    kernel = lambda x, y: (x @ y / 3 + 1) ** 3
    within = lambda s: np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
    expected = within(a) + within(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert d.kernel_distance(a, b) == pytest.approx(expected)
    same = [d.kernel_distance(rng.standard_normal((30, 3)), rng.standard_normal((30, 3))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert min(same) < 0  # unbiased: it cannot be positive always


def test_ndb_finds_a_planted_mismatch():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], float)
    draw = lambda n, shares: centres[rng.choice(4, n, p=shares)] + rng.standard_normal((n, 2))
    bins = d.make_bins(draw(2000, [0.25] * 4), 4, seed=0)
    assert sorted(bins.counts) == pytest.approx([500] * 4, abs=80)
    assert d.ndb(bins, draw(1000, [0.25] * 4)).different <= 1
    skewed = d.ndb(bins, draw(1000, [0.35, 0.15, 0.25, 0.25]))
    assert skewed.different == 2
    assert skewed.ratio == 0.5
    collapsed = d.ndb(bins, draw(1000, [1, 0, 0, 0]))
    assert collapsed.different == 4
    middle = 0.5 * (collapsed.reference_share + collapsed.share)
    terms = lambda p: sum(x * np.log(x / m) for x, m in zip(p, middle, strict=True) if x > 0)
    assert collapsed.jensen_shannon == pytest.approx(0.5 * (terms(collapsed.reference_share) + terms(collapsed.share)), abs=1e-5)
    assert collapsed.jensen_shannon > skewed.jensen_shannon > 0


def test_ndb_of_the_same_distribution_differs_in_about_one_bin_of_twenty():
    rng = np.random.default_rng(3)
    bins = d.make_bins(rng.standard_normal((4000, 4)), 40)
    found = [d.ndb(bins, rng.standard_normal((1000, 4))).ratio for _ in range(20)]
    assert 0.02 < np.mean(found) < 0.10


def test_bins_of_identical_clips_and_of_too_few():
    bins = d.make_bins(np.ones((20, 3)), 5)
    assert len(bins.counts) == 1
    assert d.ndb(bins, np.zeros((10, 3))).different == 0
    with pytest.raises(ValueError, match="3 clips"):
        d.make_bins(np.zeros((3, 2)), 5)


def test_nearest_neighbours_equal_the_naive_search():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((40, 6)), rng.standard_normal((30, 6))
    distances, index = d.nearest_neighbours(a, b)
    naive = np.linalg.norm(a[:, None] - b[None], axis=2)
    np.testing.assert_array_equal(index, naive.argmin(axis=1))
    np.testing.assert_allclose(distances, naive.min(axis=1))
    distances, index = d.nearest_neighbours(b, b, leave_one_out=True)
    assert (index != np.arange(30)).all()
    assert d.nearest_neighbours(b[:3], b)[0].max() == 0  # copies are at distance 0 exactly


def test_nearest_neighbours_leave_one_out_beyond_one_block():
    rows = np.repeat(np.arange(1500.0), 2)[:, None]
    distances, index = d.nearest_neighbours(rows, rows, leave_one_out=True)
    assert distances.max() == 0
    assert (index // 2 == np.arange(3000) // 2).all()
    assert (index != np.arange(3000)).all()
