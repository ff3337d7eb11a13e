"""The classifier of a data set's labels: loaded from the cache, or trained on the train split and cached."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..report import Progress, ProgressBar
from . import classifier as training
from .classifier import Classifier, LabelledClips, OnStep
from .prepared import PreparedData

_CARVE = 10  # without a usable validation split a tenth of the training clips stops the training
_MIN_CLIPS_PER_CLASS = 2
_TRUSTED_ACCURACY = 0.7
SPEED = 0.17  # of the augmentation: three semitones


@dataclass(frozen=True)
class ClassifierOptions:
    """Options of the classifier.

    Attributes:
        seed: Seed of weights, order of clips and augmentation.
        pitch_labels: The classes are pitches: train without changes of speed. Detected in NSynth's layout and where the labels are
            the attribute "pitch".
        retrain: Train again although a classifier is cached.
        cache: Folder of the cache; None is below the data set, or the user's cache where that cannot be written.
    """

    seed: int = 0
    pitch_labels: bool = False
    retrain: bool = False
    cache: Path | None = None


def label_classifier(data: PreparedData, options: ClassifierOptions, progress: Progress, notes: list[str]) -> Classifier | None:
    """Return the classifier of the labels of `data`, or None, with a note, if the labels do not allow one.

    Args:
        data: The data set; with an attribute, the classifier is trained on its classes.
        options: See there.
        progress: Shows the training.
        notes: Receives sentences for the user.
    """
    info = data.info
    what = f"classifier of {data.attribute}s" if data.attribute else "classifier"
    counts = Counter({label: n for label, n in info.splits["train"].label_counts.items() if n >= _MIN_CLIPS_PER_CLASS})
    if len(info.labels) < 2 or len(counts) < 2:
        why = "no labels" if not info.labels else f"fewer than two labels with {_MIN_CLIPS_PER_CLASS} training clips each"
        notes.append(f"the data set has {why}: the figures that need a classifier are left out")
        return None
    speed = 0.0 if options.pitch_labels or _are_pitches(data) else SPEED
    key = training.cache_key(info.fingerprint, tuple(info.labels), data.samples, options.seed, speed, data.attribute)
    folders = [options.cache] if options.cache else training.cache_folders(data.folder)
    found = None if options.retrain else training.load_cached(folders, key)
    if found is None:
        found = _train(data, options.seed, speed, progress)
        if training.store(found, folders, key) is None:
            notes.append(f"the {what} could not be cached in {' or '.join(map(str, folders))}; it will be trained again next time")
    notes.extend(_remarks(found, what, "validation" in data.splits))
    return found


def on_step_of(bar: ProgressBar) -> OnStep:
    """Show the steps of a training, or of several in a row, on a progress bar."""
    done = 0

    def on_step(step: int, steps: int, note: str) -> None:
        nonlocal done
        bar.advance(max(0, step - done), note)
        done = step

    return on_step


def _are_pitches(data: PreparedData) -> bool:
    options, info = data.info.prepared_with, data.info
    nsynth = options.get("layout") == "nsynth" and options.get("field") == "pitch"
    return not data.attribute and (nsynth or info.labels == info.attributes.get("pitch"))


def _remarks(found: Classifier, what: str, has_validation: bool) -> list[str]:
    facts, notes = found.facts, []
    accuracy, where = facts["accuracy"], facts["accuracy_on"]
    notes.append(
        f"{what} {facts['hash'][:12]} (version {facts['version']}, seed {facts['seed']}): {accuracy:.1%} of the {where} clips "
        "classified correctly"
    )
    if facts["stopped_on"] != "validation":
        has = "few validation clips, or none of some class" if has_validation else "no validation split"
        notes.append(f"the data set has {has}: a tenth of the training clips was withheld from the {what} for early stopping")
    if where != "test":
        notes.append(f"the data set has no test split: the {what}'s accuracy is that on the {where} clips used for early stopping")
    if accuracy < _TRUSTED_ACCURACY:
        notes.append(f"the {what} is right on only {accuracy:.0%} of the {where} clips: its figures are unreliable")
    return notes


def _train(data: PreparedData, seed: int, speed: float, progress: Progress) -> Classifier:
    loaded = {split: _load(data, split) for split in data.splits}
    train, validation, stopped_on = loaded["train"], loaded.get("validation"), "validation"
    classes = set(train.labels.tolist())
    if validation is None or len(validation) < 2 * len(classes) or not classes <= set(validation.labels.tolist()):
        carved = _tenth_of_each_class(train.labels, seed)
        parts = [LabelledClips(train.audio[carved], train.labels[carved]), *([validation] if validation is not None else [])]
        validation = LabelledClips(np.concatenate([p.audio for p in parts]), np.concatenate([p.labels for p in parts]))
        train = LabelledClips(train.audio[~carved], train.labels[~carved])
        stopped_on = "train" if len(parts) == 1 else "train and validation"
    started = time.monotonic()
    label = f"Training the classifier{f' of {data.attribute}s' if data.attribute else ''}"
    with progress(label, training.steps_for(len(train)), "steps") as bar:
        info = data.info
        found = training.train_classifier(
            train, validation, tuple(info.labels), info.sample_rate, seed=seed, speed=speed, on_step=on_step_of(bar)
        )
    where = "test" if "test" in loaded and len(loaded["test"]) else stopped_on
    found.facts.update(
        stopped_on=stopped_on,
        accuracy=found.accuracy(loaded["test"]) if where == "test" else found.facts["validation_accuracy"],
        accuracy_on=where,
        seconds=round(time.monotonic() - started, 1),
    )
    return found


def _tenth_of_each_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """Choose a random tenth of each class, at least one clip of those that have three: bool [clips]."""
    generator = np.random.default_rng([seed, 4])
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = max(round(len(members) / _CARVE), int(len(members) >= 3))
        chosen[generator.permutation(members)[:number]] = True
    return chosen


def _load(data: PreparedData, split: str) -> LabelledClips:
    clips = [(training.as_full_scale_int16(clip.audio), clip.label) for clip in data.clips(split) if clip.label >= 0]
    audio = np.stack([audio for audio, _ in clips]) if clips else np.zeros((0, data.samples), np.int16)
    return LabelledClips(audio, np.array([label for _, label in clips], np.int32))
