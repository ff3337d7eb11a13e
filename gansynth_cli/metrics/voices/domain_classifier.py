"""A classifier of domains, such as speakers, trained on a data set: whose voice a recording has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...data.clip_reader import ShardClips
from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError
from ..clips import classifier as training
from ..clips.classifier import Classifier, LabelledClips, OnStep
from ..clips.prepared import mono_of

WINDOW_SECONDS = 1.0  # input of the classifier; a recording's class is decided by the mean over its windows
_SPEED = 0.03  # half a semitone: a larger change of speed would change the voice
_QUIET_DB = 35.0  # windows further below the loudest are left out
_MIN_WINDOWS = 20  # windows of each domain that a split must hold to be trained on
_MAX_WINDOWS = 250
_CONTROL_WINDOWS = 60
_STOP_EVERY = 5  # every fifth recording is withheld for early stopping


@dataclass(frozen=True)
class Recording:
    """A recording of a data set: its clips, float32 [samples] each, in order, and the number of its domain."""

    source: str
    label: int
    clips: list[np.ndarray] = field(default_factory=list)

    @property
    def audio(self) -> np.ndarray:
        return np.concatenate(self.clips)


def recordings(info: DatasetInfo, data: Path, split: str) -> Iterator[Recording]:
    """Yield the recordings of a split, put together again: the clips of a source in the order of their starts."""
    found: dict[str, list[tuple[int, int, np.ndarray]]] = {}
    for record in ShardClips(info, data).records(split):
        if record.label >= 0:
            found.setdefault(record.source, []).append((record.start, record.label, mono_of(record, info)))
    for source, clips in sorted(found.items()):
        clips.sort(key=lambda clip: clip[0])
        yield Recording(source, clips[0][1], [audio for _, _, audio in clips])


def windows_of(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut a recording into windows [windows, samples] that overlap by half, without the quiet ones; a short one is padded with zeros."""
    if len(audio) <= samples:
        return np.pad(audio, (0, samples - len(audio)))[None].astype(np.float32)
    starts = np.arange(0, len(audio) - samples + 1, samples // 2)
    cut = np.stack([audio[start : start + samples] for start in starts]).astype(np.float32)
    power = np.square(cut).mean(axis=1)
    return cut[power >= power.max() * 10 ** (-_QUIET_DB / 10)]


class DomainClassifier:
    """Classifies recordings by domain, such as the speaker.

    Attributes:
        facts: Entries for a report: the split it was trained on, its accuracy on recordings of the test split, that after training on
            shuffled labels, chance.
    """

    def __init__(self, classifier: Classifier, sample_rate: int, facts: dict[str, Any]):
        self.classifier, self.sample_rate, self.facts = classifier, sample_rate, facts

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classifier.labels

    def classify(self, audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Map a recording [samples] to (features [128], probabilities [domains]): means over its windows, of logarithms for the latter."""
        audio = audio_file.resample(np.asarray(audio, np.float32), sample_rate, self.sample_rate)
        features, posteriors = self.classifier.classify(windows_of(audio, self.classifier.samples))
        logarithms = np.log(np.maximum(posteriors, 1e-12)).mean(axis=0)
        probabilities = np.exp(logarithms - logarithms.max())
        return features.mean(axis=0), probabilities / probabilities.sum()

    def accuracy(self, some: list[Recording]) -> float:
        """Return the share of recordings that are assigned to their own domain."""
        right = [int(self.classify(r.audio, self.sample_rate)[1].argmax()) == r.label for r in some]
        return float(np.mean(right)) if right else float("nan")


def domain_classifier(
    info: DatasetInfo, data: Path, *, seed: int = 0, retrain: bool = False, cache: Path | None = None, on_step: OnStep | None = None
) -> DomainClassifier:
    """Return the classifier for a data set: the cached one, or a new one.

    It is trained on the validation split, which no converter was trained on, if that holds enough (20 windows of each domain); else
    on the train split, which its facts record. Its windows are scaled to one loudness: a limiter and a vocoder change how far peaks
    stand out, and a classifier of windows of one peak assigned the same recordings with softened peaks to another speaker. A second
    one is trained on the same windows with shuffled labels: its accuracy on the test split is that of a classifier without knowledge.

    Raises:
        DatasetError: Fewer than two labels, or recordings of fewer than two.
    """
    if len(info.labels) < 2:
        raise DatasetError(f"The data set {info.name} has fewer than two labels: there is no other voice.", hint="prepare it with --labels")
    samples = round(WINDOW_SECONDS * info.sample_rate)
    split = "train"
    if "validation" in info.splits:
        held = _load(info, data, "validation", samples)
        if min((sum(len(w) for w, label in held if label == number) for number in range(len(info.labels))), default=0) >= _MIN_WINDOWS:
            split = "validation"
    key = training.cache_key(info.fingerprint, tuple(info.labels), samples, seed, _SPEED, f"voices-2-{split}")
    folders = [cache] if cache else training.cache_folders(data)
    kept = None if retrain else training.load_cached(folders, key)
    if kept is not None:
        return DomainClassifier(kept, info.sample_rate, kept.facts["voices"])
    started = time.monotonic()
    parts = held if split == "validation" else _load(info, data, "train", samples)
    train, stop = _gather(parts, seed, _MAX_WINDOWS)
    trained = training.train_classifier(
        train, stop, tuple(info.labels), info.sample_rate, seed=seed, speed=_SPEED, level="rms", on_step=on_step
    )
    classifier = DomainClassifier(trained, info.sample_rate, {})
    tests = list(recordings(info, data, "test")) if "test" in info.splits and info.splits["test"].clips else []
    few, few_stop = _gather(parts, seed, _CONTROL_WINDOWS)
    shuffle = np.random.default_rng([seed, 11]).permutation
    control = training.train_classifier(
        LabelledClips(few.audio, shuffle(few.labels)),
        LabelledClips(few_stop.audio, shuffle(few_stop.labels)),
        tuple(info.labels),
        info.sample_rate,
        seed=seed,
        speed=_SPEED,
        level="rms",
        on_step=on_step,
    )
    classifier.facts.update(
        learnt_from=split,
        windows=len(train),
        test_recordings=len(tests),
        accuracy_on_real=classifier.accuracy(tests) if tests else None,
        shuffled_labels=DomainClassifier(control, info.sample_rate, {}).accuracy(tests) if tests else None,
        chance=1.0 / len(info.labels),
        hash=trained.facts["hash"],
        seed=seed,
        seconds=round(time.monotonic() - started, 1),
    )
    trained.facts["voices"] = classifier.facts
    training.store(trained, folders, key)
    return classifier


def _load(info: DatasetInfo, data: Path, split: str, samples: int) -> list[tuple[np.ndarray, int]]:
    return [(windows_of(r.audio, samples), r.label) for r in recordings(info, data, split)]


def _gather(parts: list[tuple[np.ndarray, int]], seed: int, most: int) -> tuple[LabelledClips, LabelledClips]:
    """Choose windows to train on and to stop by, of different recordings; at most `most` of a domain."""
    draw = np.random.default_rng([seed, 9])
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    labels: tuple[list[int], list[int]] = ([], [])
    for number in sorted({label for _, label in parts}):
        mine = [windows for windows, label in parts if label == number]
        for side in (0, 1):
            chosen = [w for index, w in enumerate(mine) if (index % _STOP_EVERY == _STOP_EVERY - 1) == bool(side)] or mine
            whole = np.concatenate(chosen)
            picked = draw.permutation(len(whole))[: max(1, most // (_STOP_EVERY if side else 1))]
            sides[side].extend(training.as_full_scale_int16(whole[index]) for index in picked)
            labels[side].extend([number] * len(picked))
    first, second = (LabelledClips(np.stack(audio), np.array(known, np.int32)) for audio, known in zip(sides, labels, strict=True))
    return first, second
