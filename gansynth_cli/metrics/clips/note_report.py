"""Measure pitch and instrument of folders of generated notes and of the data set's own notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ..report import Progress, Report, failures_of, make_report, silent
from .clip_set import Clip, find_clip_sets
from .label_classifier import ClassifierOptions, label_classifier
from .notes import FIGURES, Intended, intended_of, measure_notes, note_details, note_figures
from .prepared import PreparedData
from .report import data_facts


def evaluate_notes(
    folders: Sequence[str | PathLike],
    data: str | PathLike,
    *,
    clips: int = 0,
    seed: int = 0,
    retrain: bool = False,
    cache: str | PathLike | None = None,
    progress: Progress = silent,
) -> Report:
    """Measure how far generated notes have the intended pitch and instrument.

    Args:
        folders: One set of notes each; none measures the real notes only.
        data: A prepared data set whose clips have the attribute "pitch" or "instrument".
        clips, seed, retrain, cache, progress: As in `evaluate_clips`.

    Returns:
        A report (`metrics.report`) with the sets as systems: generated, held-out, reference; each with accuracies by octave and by
        instrument, the confusion of instruments and a line for each clip.

    Raises:
        DatasetError, UsageError: As `evaluate_clips`; a data set without notes.
    """
    prepared = PreparedData.open(Path(data))
    info, rate = prepared.info, prepared.info.sample_rate
    if not info.attributes.keys() & {"pitch", "instrument"}:
        raise DatasetError(
            f"The data set {data} has neither pitch nor instrument of its clips.",
            hint="prepare it with --layout notes or nsynth, or with --corpus attributes=TABLE.csv",
        )
    sets = find_clip_sets([Path(folder) for folder in folders], (), most=clips, seed=seed)
    notes = [note for found in sets for note in found.notes]
    options = ClassifierOptions(seed, retrain=retrain, cache=Path(cache) if cache else None)
    instruments = info.attributes.get("instrument", [])
    classifier = label_classifier(_by_instrument(prepared), options, progress, notes) if len(instruments) > 1 else None
    tracker = FIGURES[0].installed
    systems = []

    def add(
        name: str, role: str, number: int, clips: Iterable[Clip], intended: Mapping[str, Intended] | Iterator[Intended], **facts: Any
    ) -> None:
        with progress(f"Measuring {name}", number, "clips") as bar:
            found = measure_notes(
                clips, intended, rate, tracker=tracker, classifier=classifier, instruments=instruments, on_clips=bar.advance
            )
        failures = [f for clip, reason in zip(found.names, found.failures, strict=True) for f in failures_of(clip, reason)]
        entry = {"name": name, "role": role, "path": "", "files": len(found), "failed": len(failures), "failures": failures}
        systems.append(entry | {"figures": note_figures(found), **note_details(found), **facts})

    for clip_set in sets:
        intended, source, remarks = intended_of(clip_set, instruments)
        notes.extend(remarks)
        audio = clip_set.clips(rate, prepared.samples)
        add(clip_set.name, "generated", len(clip_set.files), audio, intended, path=str(clip_set.path), intended_from=source)
    for split in prepared.splits:
        conditions = (_intended_of_record(prepared, record.attributes) for record in prepared.records(split))
        role = "reference" if split == "train" else "held-out"
        add(f"real, {split}", role, prepared.number_of(split), prepared.clips(split), conditions)
    return make_report(
        "notes",
        FIGURES,
        systems,
        notes=notes,
        data=data_facts(prepared),
        classifier=classifier.facts if classifier is not None else None,
        settings={"clips": clips, "seed": seed},
    )


def _by_instrument(data: PreparedData) -> PreparedData:
    """Return the data set with its instruments as labels; unchanged if they are its labels, so that the cached classifier serves both."""
    info, names = data.info, data.info.attributes["instrument"]
    relabelled = {name: replace(split, label_counts=split.attribute_counts.get("instrument", {})) for name, split in info.splits.items()}
    if names == info.labels and all(split.label_counts == info.splits[name].label_counts for name, split in relabelled.items()):
        return data
    return PreparedData(data.folder, replace(info, labels=names, splits=relabelled), "instrument")


def _intended_of_record(data: PreparedData, numbers: dict[str, int]) -> Intended:
    values = {name: data.info.attributes[name][number] for name, number in numbers.items()}
    pitch = values.get("pitch", "")
    return Intended(int(pitch) if pitch.isdecimal() else None, values.get("instrument", ""))
