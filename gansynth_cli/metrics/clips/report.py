"""Compare folders of generated clips with a prepared data set, along with its held-out and training clips and white noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..report import Progress, Report, failures_of, make_report, silent
from .clip_set import ClipSet, find_clip_sets, noise_clips
from .figures import COPY_RATIO, FIGURES, MIN_NEIGHBOURS, Comparison, Reference, closest_pairs, measure, per_class
from .label_classifier import ClassifierOptions, label_classifier
from .observation import ClipClassifier, Observed, observe
from .prepared import PreparedData

_WARNED_COPIES = 3  # per set
_MAX_NOISE_CLIPS = 1000  # where no folder sets the number


def evaluate_clips(
    folders: Sequence[str | PathLike],
    data: str | PathLike,
    *,
    labels_from: str = "auto",
    label_pattern: str = "",
    clips: int = 0,
    splits: int = 1,
    bins: int = 50,
    closest: int = 10,
    seed: int = 0,
    pitch_labels: bool = False,
    retrain: bool = False,
    cache: str | PathLike | None = None,
    progress: Progress = silent,
) -> Report:
    """Compare folders of clips with a prepared data set.

    Args:
        folders: One set each; none measures the real clips and noise only.
        data: A data set that `prepare` wrote.
        labels_from, label_pattern: As in `find_clip_sets`.
        clips: Number of clips drawn at random from each folder; 0 takes all.
        splits: Random parts over which the Inception Score is averaged; 1 scores all clips together.
        bins: Cells of NDB; fewer if the train split is small.
        closest: Number of closest pairs listed for each set.
        seed: Seed of the classifier, the k-means cells, the draw of clips and the noise.
        pitch_labels, retrain, cache: As in `ClassifierOptions`.
        progress: (label, total, unit) -> context manager with `advance`.

    Returns:
        A report (`metrics.report`) with the sets as systems: generated, held-out, reference, noise.

    Raises:
        DatasetError, UsageError: As `find_clip_sets` and `PreparedData.open`.
    """
    prepared = PreparedData.open(Path(data))
    info, samples, rate = prepared.info, prepared.samples, prepared.info.sample_rate
    same = next((name for name, classes in info.attributes.items() if classes == info.labels), "")
    sets = find_clip_sets([Path(folder) for folder in folders], info.labels, labels_from, label_pattern, clips, seed, same)
    notes = [note for found in sets for note in found.notes]
    options = ClassifierOptions(seed, pitch_labels, retrain, Path(cache) if cache else None)
    classifier = label_classifier(prepared, options, progress, notes)

    real = {split: _observe_split(prepared, split, classifier, progress) for split in prepared.splits}
    held_out = next((real[name] for name in ("test", "validation") if len(real.get(name, ())) >= MIN_NEIGHBOURS), None)
    if held_out is None:
        notes.append(
            f"the data set has no held-out split of at least {MIN_NEIGHBOURS} clips, which would show how near unseen recordings are to "
            "the training clips"
        )
    classes = len(info.labels) if classifier is not None else 0
    reference = Reference(real["train"], held_out, classes, bins, seed)

    def entry(name: str, role: str, seen: Observed, is_train: bool = False) -> dict[str, Any]:
        return _system(name, role, seen, measure(Comparison(seen, reference, splits, is_train)), info.labels)

    systems = []
    for found in sets:
        with progress(f"Measuring {found.name}", len(found.files), "clips") as bar:
            seen = observe(found.clips(rate, samples), rate, samples, classifier, bar.advance)
        notes.extend(_changes(found, seen, prepared))
        facts = {"path": str(found.path), "labels_from": found.labels_from, "closest": closest_pairs(seen, reference, closest)}
        systems.append(entry(found.name, "generated", seen) | facts)
    number = max([system["files"] for system in systems], default=0) or min(_MAX_NOISE_CLIPS, len(real["train"]))
    for split, seen in real.items():
        systems.append(entry(f"real, {split}", "reference" if split == "train" else "held-out", seen, split == "train"))
    with progress("Measuring noise", number, "clips") as bar:
        white = noise_clips(number, samples, real["train"].level, classes, seed)
        systems.append(entry("white noise", "noise", observe(white, rate, samples, classifier, bar.advance)))

    if len({system["files"] for system in systems}) > 1:
        notes.append("Fréchet distances and Inception Scores depend on the number of clips: compare sets of equal size (--clips)")
    if measured := info.attributes.keys() & {"pitch", "instrument"}:
        notes.append(f"the data set has the {' and '.join(sorted(measured, reverse=True))} of its notes: `evaluate notes` measures them")
    settings = {"splits": splits, "bins": bins, "clips": clips, "seed": seed, "closest": closest, "copy_ratio": COPY_RATIO}
    return make_report(
        "clips",
        FIGURES,
        systems,
        notes=notes,
        warnings=_copies(systems),
        data=data_facts(prepared),
        classifier=classifier.facts if classifier is not None else None,
        settings={**settings, "pitch_labels": pitch_labels, "labels_from": labels_from, "label_pattern": label_pattern},
    )


def data_facts(data: PreparedData) -> dict[str, Any]:
    """Return the entries of a report that describe the data set."""
    info = data.info
    return {
        "path": str(data.folder),
        "name": info.name,
        "fingerprint": info.fingerprint,
        "sample_rate": info.sample_rate,
        "clip_samples": data.samples,
        "labels": list(info.labels),
        "split_by": info.split_by,
        "clips": {split: data.number_of(split) for split in data.splits},
    }


def _system(name: str, role: str, seen: Observed, figures: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    system: dict[str, Any] = {
        "name": name,
        "role": role,
        "path": "",
        "files": len(seen),
        "failed": int(seen.failed.sum()),
        "figures": figures,
        "failures": [f for clip, reason in zip(seen.names, seen.failures, strict=True) for f in failures_of(clip, reason)],
        "resampled": seen.resampled,
        "padded": seen.padded,
        "cut": seen.cut,
        "level_db": round(20 * float(np.log10(max(seen.level, 1e-6))), 2),
        "per_class": per_class(seen, labels),
    }
    if seen.posteriors is not None:
        predicted = seen.predicted[~seen.failed]
        system["predicted"] = {label: int((predicted == i).sum()) for i, label in enumerate(labels)}
    return system


def _observe_split(data: PreparedData, split: str, classifier: ClipClassifier | None, progress: Progress) -> Observed:
    with progress(f"Measuring the {split} split", data.number_of(split), "clips") as bar:
        return observe(data.clips(split), data.info.sample_rate, data.samples, classifier, bar.advance)


def _copies(systems: list[dict[str, Any]]) -> list[str]:
    return [
        f"{system['name']}: {pair['clip']} is nearly a copy of {pair['training_clip']} (distance {pair['distance']:.3f})"
        for system in systems
        for pair in [pair for pair in system.get("closest", ()) if pair["copy"]][:_WARNED_COPIES]
    ]


def _changes(found: ClipSet, seen: Observed, data: PreparedData) -> list[str]:
    """Say what was done to the clips of a folder, and how many of them failed."""
    notes, clips = [], len(seen)
    if failed := Counter(reason for reason in seen.failures if reason):
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.most_common(3))
        notes.append(f"{found.name}: {sum(failed.values())} of {clips} clips failed ({reasons}); they count as silence, and as wrong")
    if seen.resampled:
        notes.append(f"{found.name}: {seen.resampled} of {clips} clips were resampled to {data.info.sample_rate} Hz")
    if seen.padded:
        notes.append(f"{found.name}: {seen.padded} of {clips} clips were shorter than {data.samples} samples and padded with silence")
    if seen.cut:
        notes.append(f"{found.name}: {seen.cut} of {clips} clips were longer than {data.samples} samples and cut")
    return notes
