"""The whole comparison: sets of clips against a prepared data set, with the figures of real clips and of noise beside them."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ... import __version__
from ...data import shards
from ...data.dataset_info import DatasetInfo, read_dataset_info
from ...errors import DatasetError
from . import notes as note_metrics
from .clip_set import ClipSet, clip_length, find_clip_sets, noise_clips, records_of, reference_clips
from .figures import COPY_RATIO, FIGURES, LEAST_NEIGHBOURS, Observed, Reference, closest_pairs, measure, observe, per_class

if TYPE_CHECKING:
    from .classifier import Classifier, LabelledClips

REPORT_VERSION = 1
_CARVE = 10  # without a usable validation split a tenth of the training clips stops the classifier's training
_LEAST_CLIPS_A_CLASS = 2
_TRUSTED_ACCURACY = 0.7


class ProgressBar(Protocol):
    def advance(self, amount: float = 1, note: str | None = None) -> None: ...


ProgressFactory = Callable[[str, float | None, str], AbstractContextManager[ProgressBar]]


@dataclass(frozen=True)
class EvaluateOptions:
    """How the comparison is made.

    Attributes:
        labels_from, label_pattern: As in `find_clip_sets`.
        splits: Random parts over which the Inception Score is averaged; 1 scores all clips together.
        bins: Of NDB; fewer if the train split is small.
        clips: Take at most so many clips of each generated set, at random; 0 takes all.
        seed: Of the classifier, the k-means cells, the choice of clips and the noise.
        pitch_labels: The classes are pitches: the classifier is trained without changes of speed. Known by itself of a data
            set whose labels are its attribute "pitch", and of one in NSynth's layout labelled by pitch.
        retrain: Train the classifier again though it is cached.
        cache: Folder for the classifier; None is below the data set, or the user's cache where that cannot be written.
        closest: How many closest pairs are listed for each set.
    """

    labels_from: str = "auto"
    label_pattern: str = ""
    splits: int = 1
    bins: int = 50
    clips: int = 0
    seed: int = 0
    pitch_labels: bool = False
    retrain: bool = False
    cache: Path | None = None
    closest: int = 10


def evaluate(folders: Sequence[Path], data: Path, options: EvaluateOptions, progress: ProgressFactory) -> dict[str, Any]:
    """Compares folders of clips with a prepared data set.

    Args:
        folders: One set each; none gives the figures of the real clips and of noise alone.
        data: A data set that `prepare` wrote.
        progress: (label, total, unit) -> context manager whose value has `advance`.

    Returns:
        The report, ready for JSON: "data", "classifier" (or None), "settings", "sets" (generated, held-out, reference, noise)
        and "notes", sentences that a reader of the figures has to know.

    Raises:
        DatasetError, UsageError: As `find_clip_sets` and `read_dataset_info`; or shards that are gone.
    """
    info = read_dataset_info(data)
    if problems := shards.missing_or_resized(info, data):
        raise DatasetError(f"The data set {data} is incomplete: {problems[0]}.", hint="prepare the data set again with --overwrite")
    if not info.splits.get("train") or not info.splits["train"].clips:
        raise DatasetError(
            f"The data set {data} has no train split to compare with.", hint="prepare the data set again with a larger train split"
        )
    same = next((name for name, classes in info.attributes.items() if classes == info.labels), "")
    sets = find_clip_sets(
        folders,
        info.labels,
        options.labels_from,  # type: ignore[arg-type]
        options.label_pattern,
        options.clips,
        options.seed,
        same,
    )
    notes = [note for found in sets for note in found.notes]
    samples = clip_length(info, data)
    splits = [name for name in ("test", "validation", "train") if info.splits.get(name) and info.splits[name].clips]
    classifier = _classifier(info, data, samples, splits, options, progress, notes)

    seen = {split: _observe_split(info, data, split, samples, classifier, progress) for split in splits}
    held_out = next((seen[name] for name in ("test", "validation") if len(seen.get(name, ())) >= LEAST_NEIGHBOURS), None)
    if held_out is None:
        notes.append(
            f"the data set has no held-out split of at least {LEAST_NEIGHBOURS} clips, so nothing says how near unseen recordings come "
            "to the training clips"
        )
    classes = len(info.labels) if classifier is not None else 0
    reference = Reference(seen["train"], held_out, classes, options.bins, options.seed)
    entries = []
    for found in sets:
        with progress(f"Measuring {found.name}", len(found.files), "clips") as bar:
            entries.append((found, observe(found.clips(info.sample_rate, samples), info.sample_rate, samples, classifier, bar.advance)))
        notes.extend(_changes(found, entries[-1][1], info, samples))
    number = max([len(observed) for _, observed in entries], default=0) or min(1000, len(seen["train"]))
    with progress("Measuring noise", number, "clips") as bar:
        noise_set = noise_clips(number, samples, seen["train"].level, classes, options.seed)
        noise = observe(noise_set, info.sample_rate, samples, classifier, bar.advance)

    report_sets = [_set_report(f.name, f.role, str(f.path), o, reference, info, options, labels_from=f.labels_from) for f, o in entries]
    for split in splits:
        role = "reference" if split == "train" else "held-out"
        report_sets.append(_set_report(f"real, {split}", role, "", seen[split], reference, info, options, is_train=split == "train"))
    report_sets.append(_set_report("white noise", "noise", "", noise, reference, info, options))
    instrument_judge = None
    if info.attributes.keys() & {"pitch", "instrument"}:
        instrument_judge = _instrument_judge(info, data, samples, splits, classifier, options, progress, notes)
        _listen(report_sets, sets, info, data, samples, splits, instrument_judge, progress, notes)
    if len({entry["clips"] for entry in report_sets}) > 1:
        notes.append("Fréchet distances and Inception Scores depend on the number of clips: compare sets of equal size (--clips)")
    return {
        "report_version": REPORT_VERSION,
        "software": f"gan-audio {__version__}",
        "data": {
            "path": str(data),
            "name": info.name,
            "fingerprint": info.fingerprint,
            "sample_rate": info.sample_rate,
            "clip_samples": samples,
            "labels": list(info.labels),
            "split_by": info.split_by,
            "clips": {split: len(observed) for split, observed in seen.items()},
        },
        "classifier": classifier.facts if classifier is not None else None,
        **({"instrument_classifier": instrument_judge.facts} if instrument_judge is not None else {}),
        "settings": {**asdict(options), "cache": str(options.cache) if options.cache else None, "copy_ratio": COPY_RATIO},
        "sets": report_sets,
        "notes": notes,
    }


def table_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The report as a table: columns ("figure", a set each) and a row a figure, cells already formatted."""
    sets = report["sets"]
    rows = [["clips", *(str(entry["clips"]) for entry in sets)], ["failed clips", *(str(entry["failed"]) for entry in sets)]]
    arrows = {"higher": " ↑", "lower": " ↓", "": ""}
    for figure in FIGURES:
        if figure.labels and report["classifier"] is None:
            continue
        rows.append([figure.title + arrows[figure.better], *(_cell(entry["figures"][figure.key]) for entry in sets)])
    if any("notes" in entry for entry in sets):
        absent: dict[str, Any] = {"because": "-"}
        for figure in note_metrics.FIGURES:
            cells = [_cell(entry["notes"]["figures"][figure.key] if "notes" in entry else absent) for entry in sets]
            rows.append([figure.title + arrows[figure.better], *cells])
    return ["figure", *(entry["name"] for entry in sets)], rows


def _cell(figure: dict[str, Any]) -> str:
    if "value" in figure:
        error = f" ±{figure['standard_error']:.2g}" if figure.get("standard_error") else ""
        return f"{figure['value']:.4g}{error}"
    if "needs" in figure:
        return f"not enough (needs {figure['needs']})"
    return figure["because"] if figure["because"].startswith("not enough") else "-"


def _set_report(
    name: str,
    role: str,
    path: str,
    seen: Observed,
    reference: Reference,
    info: DatasetInfo,
    options: EvaluateOptions,
    labels_from: str = "",
    is_train: bool = False,
) -> dict[str, Any]:
    failures = [{"clip": clip, "reason": reason} for clip, reason in zip(seen.names, seen.failures, strict=True) if reason]
    entry: dict[str, Any] = {
        "name": name,
        "role": role,
        "path": path,
        "clips": len(seen),
        "failed": len(failures),
        "failures": failures,
        "resampled": seen.resampled,
        "padded": seen.padded,
        "cut": seen.cut,
        "level_db": round(20 * float(np.log10(max(seen.level, 1e-6))), 2),
        "labels_from": labels_from,
        "figures": measure(seen, reference, splits=options.splits, is_train=is_train),
        "per_class": per_class(seen, list(info.labels)),
    }
    if role == "generated":
        entry["closest"] = closest_pairs(seen, reference, options.closest)
    if seen.posteriors is not None:
        predicted = seen.posteriors[~seen.failed].argmax(axis=1)
        entry["predicted"] = {label: int((predicted == i).sum()) for i, label in enumerate(info.labels)}
    return entry


def _listen(
    report_sets: list[dict[str, Any]],
    sets: Sequence[ClipSet],
    info: DatasetInfo,
    data: Path,
    samples: int,
    splits: Sequence[str],
    judge: Classifier | None,
    progress: ProgressFactory,
    notes: list[str],
) -> None:
    """Adds "notes" to the entries of generated sets and of the real splits: pitch as heard, and instrument as judged."""
    instruments = info.attributes.get("instrument", [])
    tracker = "pitch" in info.attributes and importlib.util.find_spec("swift_f0") is not None
    if "pitch" in info.attributes and not tracker:
        notes.append("the pitch of the notes is not measured: pip install 'gan-audio[metrics]' brings the tracker swift-f0")
    entries = {entry["name"]: entry for entry in report_sets}
    jobs: list[tuple[str, int, Any, Any]] = []
    for found in sets:
        asked, source, said = note_metrics.asked_of(found, instruments)
        notes.extend(said)
        entries[found.name]["asked_from"] = source
        jobs.append((found.name, len(found.files), found.clips(info.sample_rate, samples), asked))
    for split in splits:
        told = (_asked_of_record(info, record.attributes) for record in records_of(info, data, split))
        jobs.append((f"real, {split}", info.splits[split].clips, reference_clips(info, data, split, samples), told))
    for name, number, clips, asked in jobs:
        with progress(f"Listening to {name}", number, "clips") as bar:
            heard = note_metrics.hear(clips, asked, info.sample_rate, tracker=tracker, classifier=judge, on_clips=bar.advance)
        entries[name]["notes"] = {"figures": note_metrics.note_figures(heard, instruments), **note_metrics.note_details(heard, instruments)}


def _asked_of_record(info: DatasetInfo, numbers: dict[str, int]) -> note_metrics.Asked:
    told = {name: info.attributes[name][number] for name, number in numbers.items()}
    pitch = told.get("pitch", "")
    return note_metrics.Asked(int(pitch) if pitch.isdecimal() else None, told.get("instrument", ""))


def _instrument_judge(
    info: DatasetInfo,
    data: Path,
    samples: int,
    splits: list[str],
    classifier: Classifier | None,
    options: EvaluateOptions,
    progress: ProgressFactory,
    notes: list[str],
) -> Classifier | None:
    """The judge of instruments: that of the labels where these are the instruments, else one of its own."""
    names = info.attributes.get("instrument", [])
    if len(names) < 2:
        return None
    relabelled = {name: replace(split, label_counts=split.attribute_counts.get("instrument", {})) for name, split in info.splits.items()}
    if names == info.labels and all(split.label_counts == info.splits[name].label_counts for name, split in relabelled.items()):
        return classifier
    about = replace(info, labels=names, splits=relabelled)
    return _classifier(about, data, samples, splits, options, progress, notes, attribute="instrument")


def _observe_split(
    info: DatasetInfo, data: Path, split: str, samples: int, classifier: Classifier | None, progress: ProgressFactory
) -> Observed:
    with progress(f"Measuring the {split} split", info.splits[split].clips, "clips") as bar:
        return observe(reference_clips(info, data, split, samples), info.sample_rate, samples, classifier, bar.advance)


def _changes(found: ClipSet, seen: Observed, info: DatasetInfo, samples: int) -> list[str]:
    notes = []
    if failed := Counter(reason for reason in seen.failures if reason):
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.most_common(3))
        notes.append(f"{found.name}: {sum(failed.values())} of {len(seen)} clips failed ({reasons}); they count as silence, and as wrong")
    if seen.resampled:
        notes.append(f"{found.name}: {seen.resampled} of {len(seen)} clips were resampled to {info.sample_rate} Hz")
    if seen.padded:
        notes.append(f"{found.name}: {seen.padded} of {len(seen)} clips were shorter than {samples} samples and padded with silence")
    if seen.cut:
        notes.append(f"{found.name}: {seen.cut} of {len(seen)} clips were longer than {samples} samples and cut")
    return notes


def _classifier(
    info: DatasetInfo,
    data: Path,
    samples: int,
    splits: list[str],
    options: EvaluateOptions,
    progress: ProgressFactory,
    notes: list[str],
    attribute: str = "",
) -> Classifier | None:
    """The judge for this data set: the cached one, or a new one; None, with a note, where the labels do not allow one.

    With `attribute` it judges its classes, which `info` then has as its labels.
    """
    what = f"classifier of {attribute}s" if attribute else "classifier"
    counts = Counter({label: count for label, count in info.splits["train"].label_counts.items() if count >= _LEAST_CLIPS_A_CLASS})
    if len(info.labels) < 2 or len(counts) < 2:
        why = "no labels" if not info.labels else f"fewer than two labels with {_LEAST_CLIPS_A_CLASS} training clips each"
        notes.append(f"the data set has {why}: the figures that need a classifier are left out")
        return None
    from . import classifier as judge

    made = info.prepared_with
    labelled_by_pitch = (made.get("layout") == "nsynth" and made.get("field") == "pitch") or info.labels == info.attributes.get("pitch")
    pitches = not attribute and (options.pitch_labels or labelled_by_pitch)
    speed = 0.0 if pitches else 0.17
    key = judge.cache_key(info.fingerprint, tuple(info.labels), samples, options.seed, speed, attribute)
    folders = [options.cache] if options.cache else judge.cache_folders(data)
    found = None if options.retrain else judge.load_cached(folders, key)
    if found is None:
        found = _train(judge, info, data, samples, splits, options.seed, speed, progress, attribute)
        if judge.store(found, folders, key) is None:
            notes.append(f"the {what} could not be cached in {' or '.join(map(str, folders))}; it is trained again next time")
    if found.facts["stopped_on"] != "validation":
        has = "no validation split" if "validation" not in splits else "few validation clips, or none of some class"
        notes.append(f"the data set has {has}: a tenth of the training clips was kept from the {what}'s training to stop it")
    accuracy, where = found.facts["accuracy"], found.facts["accuracy_on"]
    if where != "test":
        notes.append(f"the data set has no test split: the {what}'s accuracy is that on the {where} clips that stopped its training")
    if accuracy < _TRUSTED_ACCURACY:
        notes.append(f"the {what} is right on only {accuracy:.0%} of the {where} clips: its figures say little")
    return found


def _train(
    judge: Any,
    info: DatasetInfo,
    data: Path,
    samples: int,
    splits: list[str],
    seed: int,
    speed: float,
    progress: ProgressFactory,
    attribute: str,
) -> Classifier:
    loaded = {split: _load(judge, info, data, split, samples, attribute) for split in splits}
    train, validation, stopped_on = loaded["train"], loaded.get("validation"), "validation"
    classes = set(train.labels.tolist())
    if validation is None or len(validation) < 2 * len(classes) or not classes <= set(validation.labels.tolist()):
        carved = _tenth_of_each_class(train.labels, seed)
        parts = [judge.LabelledClips(train.audio[carved], train.labels[carved]), *([validation] if validation is not None else [])]
        validation = judge.LabelledClips(np.concatenate([p.audio for p in parts]), np.concatenate([p.labels for p in parts]))
        train = judge.LabelledClips(train.audio[~carved], train.labels[~carved])
        stopped_on = "train" if len(parts) == 1 else "train and validation"
    started, done = time.monotonic(), 0
    with progress(f"Training the classifier{f' of {attribute}s' if attribute else ''}", judge.steps_for(len(train)), "steps") as bar:

        def on_progress(step: int, steps: int, note: str) -> None:
            nonlocal done
            bar.advance(step - done, note)
            done = step

        found = judge.train_classifier(
            train, validation, tuple(info.labels), info.sample_rate, seed=seed, speed=speed, on_progress=on_progress
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
    """bool [clips]: a random tenth of each class, at least one of those that have three."""
    generator = np.random.default_rng([seed, 4])
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = max(round(len(members) / _CARVE), int(len(members) >= 3))
        chosen[generator.permutation(members)[:number]] = True
    return chosen


def _load(judge: Any, info: DatasetInfo, data: Path, split: str, samples: int, attribute: str) -> LabelledClips:
    found = reference_clips(info, data, split, samples, attribute)
    clips = [(judge.as_full_scale_int16(clip.audio), clip.label) for clip in found if clip.label >= 0]
    audio = np.stack([audio for audio, _ in clips]) if clips else np.zeros((0, samples), np.int16)
    return judge.LabelledClips(audio, np.array([label for _, label in clips], np.int32))
