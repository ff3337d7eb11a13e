"""Figures of clips on sets whose answer is known: neighbours and copies, halves of the train split, failed clips, label sources."""

from __future__ import annotations

import numpy as np
import pytest

from gansynth_cli.metrics.clips.clip_set import Clip, noise_clips
from gansynth_cli.metrics.clips.figures import COPY_RATIO, Comparison, Reference, closest_pairs, measure, per_class
from gansynth_cli.metrics.clips.label_classifier import _tenth_of_each_class
from gansynth_cli.metrics.clips.observation import Observed, observe


def on_a_line(places: list[float], failures: dict[int, str] | None = None, posteriors: np.ndarray | None = None, labels=None) -> Observed:
    """Clips whose spectrograms are points on a line, and so are their statistics and features."""
    n = len(places)
    points = np.array(places, float)[:, None]
    reasons = [(failures or {}).get(i, "") for i in range(n)]
    features = points if posteriors is not None else None
    wanted = np.full(n, -1) if labels is None else np.array(labels)
    return Observed([f"{i}" for i in range(n)], wanted, reasons, points, points, features, posteriors)


TRAIN = [0.0, 1.0, 3.0, 6.0, 10.0, 20.0, 40.0]


def test_neighbours_and_copies_by_hand():
    held_out = on_a_line([0.4, 1.6, 3.8, 7.0, 11.2])  # 0.4, 0.6, 0.8, 1.0 and 1.2 from their neighbours
    reference = Reference(on_a_line(TRAIN), held_out, 0)
    assert reference.held_out_median == pytest.approx(0.8)
    nearest = np.quantile([0.4, 0.6, 0.8, 1.0, 1.2], 0.01)
    assert reference.copy_distance == pytest.approx(COPY_RATIO * nearest)
    seen = on_a_line([0.1, 1.1, 3.4, 6.5, 11.0, 21.0])  # 0.1, 0.1, 0.4, 0.5, 1, 1
    found = measure(Comparison(seen, reference))
    assert found["nearest_training_clip"] == {"value": pytest.approx(0.45), "smallest": pytest.approx(0.1)}
    assert found["memorisation_ratio"]["value"] == pytest.approx(0.45 / 0.8)
    assert found["copies"] == {"value": pytest.approx(2 / 6), "below_distance": reference.copy_distance}
    pairs = closest_pairs(on_a_line([0.1, 3.0, 6.15], {1: "silent"}), reference, 2)
    assert [(pair["clip"], pair["training_clip"], pair["copy"]) for pair in pairs] == [("0", "0", True), ("2", "3", True)]


def test_a_training_clip_is_not_its_own_neighbour():
    found = measure(Comparison(on_a_line(TRAIN), Reference(on_a_line(TRAIN), None, 0), is_train=True))
    assert found["nearest_training_clip"] == {"value": 3.0, "smallest": 1.0}  # 1, 1, 2, 3, 4, 10, 20
    assert found["copies"] == {"because": "no held-out split of 5 clips"}


def test_the_train_split_is_compared_half_by_half():
    train = on_a_line(list(np.random.default_rng(0).normal(size=41)))
    comparison = Comparison(train, Reference(train, None, 0), is_train=True)
    mine, theirs = comparison.halves
    assert sorted([*mine, *theirs]) == list(range(41))
    assert (len(mine), len(theirs), comparison.both) == (20, 21, 20)
    # What each half lacks, the whole has to have twice.
    assert comparison.shortage(comparison.both, 21) == {"needs": 42, "have": 41}
    assert comparison.shortage(comparison.both, 20) is None
    assert comparison.shortage(len(train), 50) == {"needs": 50, "have": 41}


def test_who_has_too_few_clips_is_said():
    small, large = on_a_line([0.0] * 10), on_a_line([0.0] * 30)
    assert Comparison(small, Reference(large, None, 0)).shortage(10, 20) == {"needs": 20, "have": 10}
    assert Comparison(large, Reference(small, None, 0)).shortage(10, 20) == {"because": "not enough training clips (needs 20)"}


def test_scores_need_five_clips_of_a_class():
    posteriors = np.eye(3)[np.arange(15) % 3]
    seen = on_a_line(list(range(15)), posteriors=posteriors, labels=np.arange(15) % 3)
    reference = Reference(seen, None, 3)
    found = measure(Comparison(seen, reference))
    assert found["inception_score"]["value"] == pytest.approx(3.0, rel=1e-5)
    assert found["class_accuracy"] == {"value": 1.0, "standard_error": 0.0, "n": 15}
    assert found["class_entropy"]["value"] == pytest.approx(np.log(3))
    fewer = on_a_line(list(range(14)), posteriors=posteriors[:14])
    assert measure(Comparison(fewer, reference))["inception_score"] == {"needs": 15, "have": 14}
    assert measure(Comparison(fewer, reference))["class_accuracy"] == {"because": "no intended classes are known"}


def test_failed_clips_are_wrong_and_leave_the_entropy_alone():
    posteriors = np.eye(2)[[0] * 10 + [1] * 10]
    posteriors[10:15] = 0.5  # failed: uniform, whose most probable class is the first
    seen = on_a_line(list(range(20)), dict.fromkeys(range(10, 15), "silent"), posteriors, [0] * 10 + [1] * 5 + [1] * 5)
    reference = Reference(on_a_line(list(range(20)), posteriors=np.eye(2)[np.arange(20) % 2], labels=np.arange(20) % 2), None, 2)
    found = measure(Comparison(seen, reference))
    assert found["class_accuracy"]["value"] == pytest.approx(15 / 20)
    assert found["class_entropy"]["value"] == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert per_class(seen, ["a", "b"])["confusion"] == [[10, 0, 0], [0, 5, 5]]


def test_a_failed_clip_has_a_uniform_posterior():
    class Sure:
        def classify(self, audio):
            return np.zeros((len(audio), 4)), np.eye(3)[np.zeros(len(audio), int)]

    clips = [Clip("a", np.full(4000, 0.1, np.float32)), Clip("b", np.zeros(4000, np.float32), failure="silent")]
    seen = observe(clips, 8000, 4000, Sure())
    np.testing.assert_allclose(seen.posteriors, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert seen.level == pytest.approx(0.1)  # of the clips that did not fail
    assert seen.failed.tolist() == [False, True]


def test_a_copy_at_another_level_has_the_same_spectrogram():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=4000).astype(np.float32) * np.hanning(4000).astype(np.float32)
    seen = observe([Clip("a", 0.9 * audio / np.abs(audio).max()), Clip("b", 0.2 * audio / np.abs(audio).max())], 8000, 4000, None)
    np.testing.assert_allclose(seen.spectrograms[0], seen.spectrograms[1], atol=1e-5)
    assert np.abs(seen.statistics[0] - seen.statistics[1]).max() > 1  # these have the level in them


def test_white_noise_has_the_level_that_is_asked_for():
    clips = list(noise_clips(6, 8000, 0.05, 4, seed=3))
    assert np.std([clip.audio for clip in clips]) == pytest.approx(0.05, rel=0.01)
    assert [clip.label for clip in clips] == [0, 1, 2, 3, 0, 1]
    assert [clip.label for clip in noise_clips(2, 10, 0.05, 0)] == [-1, -1]


def test_a_tenth_of_each_class_is_withheld():
    labels = np.array([0] * 40 + [1] * 14 + [2] * 3 + [3] * 2)
    chosen = _tenth_of_each_class(labels, 0)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [4, 1, 1, 0]
