"""Measure folders of converted recordings: whose voice they have, how far they moved, and whether the words are kept."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...data.audio.find import find_audio
from ...data.dataset_info import DatasetInfo, read_dataset_info
from ...errors import AudioFileError, DatasetError, GanAudioError, UsageError
from ...models.speaker_encoder import speaker_vector
from ..clips.label_classifier import on_step_of
from ..figure import Cell, MetricError
from ..pairs.learned import check_whisper
from ..report import Progress, Report, distinct_names, failures_of, make_report, silent
from . import conversion as speech
from . import scorers
from .domain_classifier import DomainClassifier, domain_classifier, recordings
from .figures import (
    FIGURES,
    GROUP_FIGURES,
    SET_FIGURES,
    Context,
    Conversion,
    ConvertedFile,
    Discriminator,
    Domain,
    average,
    measure,
    over_targets,
    partner_of,
)

_MAX_REAL = 40  # recordings of a domain that are read
_MAX_VECTORS = 12  # of those, whose speaker vectors are computed


def evaluate_voices(
    folders: Sequence[str | PathLike],
    data: str | PathLike,
    *,
    source: str | PathLike | None = None,
    target: str | PathLike | None = None,
    text: str | PathLike | None = None,
    words: bool = False,
    whisper: str | PathLike | None = None,
    seed: int = 0,
    retrain: bool = False,
    cache: str | PathLike | None = None,
    discriminator: Discriminator | None = None,
    progress: Progress = silent,
) -> Report:
    """Measure folders of converted recordings.

    Args:
        folders: One system each. The target of a recording is in its provenance tag; without one, it is the folder below the given
            one, or that itself, if it has a domain's name.
        data: The prepared data set of the voices.
        source: Folder of the recordings that were converted, matched by path; None leaves out the figures that need them.
        target: Folder of the targets' own recordings of the same words, matched by path, with or without a folder per domain.
        text: CSV with the columns file,text: the transcripts; None takes what is recognised in the source.
        words: Compute word error rates; implied by `text` and `whisper`.
        whisper: Folder of a Whisper model (CTranslate2), which recognises any language; None takes PocketSphinx, for English.
        seed, retrain, cache: As in `ClassifierOptions`.
        discriminator: (audio [samples], rate, source, target) -> whether a run's discriminator classifies it as a real recording.
        progress: (label, total, unit) -> context manager with `advance`.

    Returns:
        A report (`metrics.report`): groups are pairs of source and target, "files" holds every value.

    Raises:
        UsageError, DatasetError: Nothing to measure, a domain that the data set does not have, a table without its columns.
        GanAudioError: Word error rates are asked for and the recogniser is not installed.
    """
    if not folders:
        raise UsageError("No folder of converted recordings is given.", hint=f"gan-audio evaluate voices converted/ --data {data}")
    data, paths = Path(data), [Path(folder) for folder in folders]
    info = read_dataset_info(data)
    notes: list[str] = []
    found = {name: _find(path, info, notes) for name, path in zip(distinct_names(paths), paths, strict=True)}
    items = [item for pairs in found.values() for item, _ in pairs]
    sources = files_by_name(Path(source)) if source is not None else None
    targets = files_by_name(Path(target)) if target is not None else None
    for item in items:
        item.source = item.source or _source_of(item, sources, info)
    texts = read_texts(Path(text)) if text is not None else {}
    words = words or text is not None or whisper is not None
    if whisper is not None:
        check_whisper(Path(whisper))
    elif words and not scorers.recogniser_installed():
        raise GanAudioError("The recogniser is not installed.", hint="pip install 'gan-audio[words]', or --whisper FOLDER")
    with progress("Training the classifier of voices", None, "steps") as bar:
        classifier = domain_classifier(
            info, data, seed=seed, retrain=retrain, cache=Path(cache) if cache else None, on_step=on_step_of(bar)
        )
    wanted = {item.target for item in items} | {item.source for item in items}
    with progress("Measuring the real voices", len(info.labels), "domains") as bar:
        domains = _domains(info, data, classifier, wanted, bar.advance)
    context = Context(classifier, domains, sources, targets, texts, words, _text(whisper) or "", discriminator)
    with progress("Measuring", len(items), "files") as bar:
        for pairs in found.values():
            for item, path in pairs:
                try:
                    item.values = measure(Conversion(item, path, context))
                except (AudioFileError, MetricError) as error:
                    item.unusable = error.reason
                bar.advance()
    cosines = real_cosines(domains)
    systems = [_system(name, path, [item for item, _ in pairs], domains) for (name, pairs), path in zip(found.items(), paths, strict=True)]
    real = _real_recordings(discriminator, domains, info.sample_rate) if discriminator is not None else None
    return make_report(
        "voices",
        (*FIGURES, *SET_FIGURES),
        systems,
        notes=[*notes, *_remarks(classifier.facts, cosines, source is not None, real)],
        data={"path": str(data), "name": info.name, "fingerprint": info.fingerprint, "labels": list(info.labels)},
        classifier=classifier.facts,
        speaker_cosines=cosines,
        discriminator_on_real=real,
        settings={
            **{key: _text(path) for key, path in {"source": source, "target": target, "text": text, "whisper": whisper}.items()},
            **{"words": words, "seed": seed},
        },
        files=[{"system": name} | _facts(item) for name, pairs in found.items() for item, _ in pairs],
    )


def read_texts(path: Path) -> dict[str, str]:
    """Read the columns file and text of a CSV: file name without suffix -> transcript."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    if not rows or not {"file", "text"} <= set(rows[0]):
        raise UsageError(f"{path} has no columns file and text.", hint="expected as the first line: file,text")
    return {Path(row["file"] or "").stem: row["text"] for row in rows if row["text"]}


def files_by_name(folder: Path) -> dict[str, Path]:
    """Find files by their path below a folder, without suffix, and by their name where it is unique."""
    files = {path.relative_to(root).with_suffix(""): path for root, path in find_audio([folder])}
    count = Counter(relative.name for relative in files)
    unique = {relative.name: path for relative, path in files.items() if count[relative.name] == 1}
    return unique | {relative.as_posix(): path for relative, path in files.items()}


def _find(folder: Path, info: DatasetInfo, notes: list[str]) -> list[tuple[ConvertedFile, Path]]:
    if not folder.is_dir():
        raise UsageError(f"The input {folder} is not a folder.", hint="gan-audio convert recordings/ --to DOMAIN --model RUN -o converted/")
    items, unknown = [], 0
    for root, path in find_audio([folder]):
        try:
            tag = audio_file.read_tag(path) or {}
        except AudioFileError:
            tag = {}
        name = path.relative_to(root)
        places = [part for part in (*name.parts[:-1], folder.resolve().name) if part in info.labels]
        target = str(tag.get("converted_to") or (places[0] if places else ""))
        if not target:
            unknown += 1
            continue
        if target not in info.labels and not tag.get("anonymized"):
            raise UsageError(f"{path} was converted to {target!r}, which the data set {info.name} does not have: {', '.join(info.labels)}.")
        items.append((ConvertedFile(name.as_posix(), str(tag.get("converted_from", "")), target), path))
    if unknown:
        notes.append(f"{folder}: {unknown} files are left out: neither a provenance tag nor a folder gives their target")
    if not items:
        raise DatasetError(
            f"{folder} holds no recording with a known target: no provenance tag, no folder with a domain's name.",
            hint="one folder per domain, with its name",
        )
    return items


def _source_of(item: ConvertedFile, sources: dict[str, Path] | None, info: DatasetInfo) -> str:
    """Return the domain in whose folder the source lies: the provenance tag of an anonymised recording does not name it."""
    path = partner_of(sources or {}, item, "")
    return next((part for part in reversed(path.parts[:-1]) if part in info.labels), "") if path else ""


def _domains(
    info: DatasetInfo, data: Path, classifier: DomainClassifier, wanted: set[str], done: Callable[[float], None]
) -> dict[str, Domain]:
    """Describe each domain by its real recordings: those of the test split, or if there are none, of the others."""
    known: dict[int, list[np.ndarray]] = {number: [] for number in range(len(info.labels))}
    for split in ("test", "validation", "train"):
        if split in info.splits and any(not some for some in known.values()):
            empty = {number for number, some in known.items() if not some}
            for recording in recordings(info, data, split):
                if recording.label in empty and len(known[recording.label]) < _MAX_REAL:
                    known[recording.label].append(recording.audio)
    domains = {}
    for number, name in enumerate(info.labels):
        domains[name] = Domain(name, real=known[number])
        domains[name].vectors = _vectors(known[number][:_MAX_VECTORS], info.sample_rate)
        if name in wanted:
            _describe(domains[name], info.sample_rate, classifier)
        done(1)
    return domains


def _describe(domain: Domain, rate: int, classifier: DomainClassifier) -> None:
    pitches, variances, features = [], [], []
    for audio in domain.real:
        features.append(classifier.classify(audio, rate)[0])
        try:
            analysed = speech.analyse(audio, rate)
            variances.append(speech.variance_of(analysed))
            pitches.append(speech.mean_ln_f0(analysed))
        except MetricError:
            continue
    domain.mean_ln_f0 = float(np.mean(pitches)) if pitches else math.nan
    domain.variance = np.mean(variances, axis=0) if variances else np.zeros(0)
    domain.spread = speech.spread(np.array(features)) if len(features) > 1 else 0.0


def _vectors(real: list[np.ndarray], rate: int) -> np.ndarray:
    """Return the speaker vectors [recordings, 256] of those recordings that hold enough speech."""
    found = []
    for audio in real:
        with suppress(AudioFileError):
            found.append(speaker_vector(audio, rate))
    return np.array(found)


def real_cosines(domains: dict[str, Domain]) -> dict[str, Any]:
    """Return what cosines mean on this data: "same", of real recordings with the mean of the others of their speaker; "strangers", with
    the mean of other speakers (each [5th percentile, median, 95th], None without pairs); "nearest", the share of recordings that are
    closest to their own speaker."""
    same, strangers, nearest = [], [], []
    for domain in domains.values():
        others = [other.vector for other in domains.values() if other is not domain and other.vector is not None]
        for number, vector in enumerate(domain.vectors):
            rest = np.delete(domain.vectors, number, axis=0).sum(axis=0)
            if not rest.any():
                continue
            same.append(float(vector @ rest / np.linalg.norm(rest)))
            away = [float(vector @ other) for other in others]
            strangers += away
            nearest.append(same[-1] > max(away, default=-1.0))
    percentiles = lambda values: np.percentile(values, [5, 50, 95]).round(3).tolist() if values else None
    return {"same": percentiles(same), "strangers": percentiles(strangers), "nearest": float(np.mean(nearest)) if nearest else None}


def _system(name: str, path: Path, items: list[ConvertedFile], domains: dict[str, Domain]) -> dict[str, Any]:
    figures: dict[str, Cell] = _averages(items, [figure.key for figure in FIGURES])
    figures |= {figure.key: over_targets(figure, items, domains) for figure in SET_FIGURES}
    groups = {}
    for source, target in sorted({(item.source, item.target) for item in items}):
        mine = [item for item in items if (item.source, item.target) == (source, target)]
        groups[f"{source or '?'} to {target}"] = {
            "source": source,
            "target": target,
            "files": len(mine),
            "figures": _averages(mine, GROUP_FIGURES),
            "predicted": dict(sorted(Counter(item.predicted for item in mine).items())),
        }
    return {
        "name": name,
        "role": "system",
        "path": str(path),
        "files": len(items),
        "failed": sum(bool(item.unusable) for item in items),
        "figures": figures,
        "groups": groups,
        "failures": [failure for item in items for failure in failures_of(item.name, item.unusable, item.values)],
    }


def _averages(items: Sequence[ConvertedFile], keys: Sequence[str]) -> dict[str, Cell]:
    cells = {key: average(items, key) for key in keys}
    return {key: cell for key, cell in cells.items() if cell is not None}


def _real_recordings(discriminator: Discriminator, domains: dict[str, Domain], rate: int) -> dict[str, Any]:
    """Return the share of real recordings classified as real ones of their domain, with that domain as their source."""
    verdicts = [discriminator(audio, rate, name, name) for name, domain in domains.items() for audio in domain.real]
    return {"n": len(verdicts), "value": float(np.mean(verdicts)) if verdicts else None}


def _remarks(facts: dict[str, Any], cosines: dict[str, Any], has_source: bool, real: dict[str, Any] | None) -> list[str]:
    notes = []
    if facts["accuracy_on_real"] is not None:
        notes.append(
            f"the classifier of voices assigns {facts['accuracy_on_real']:.1%} of {facts['test_recordings']} real recordings correctly, "
            f"{facts['shuffled_labels']:.1%} after training on shuffled labels; chance is {facts['chance']:.1%}"
        )
    if cosines["same"] and cosines["strangers"]:
        (low, middle, high), (least, mean, most) = cosines["same"], cosines["strangers"]
        notes.append(
            f"cosine of real recordings to their own speaker {middle:.2f} ({low:.2f} to {high:.2f}), to others {mean:.2f} ({least:.2f} to "
            f"{most:.2f}); {cosines['nearest']:.1%} are closest to their own"
        )
    if facts["learnt_from"] == "train":
        notes.append("the validation split is too small: the classifier was trained on the train split, as the converter was")
    if not has_source:
        notes.append("without --source FOLDER nothing is compared with the recordings that were converted")
    if real and real["value"] is not None:
        notes.append(f"the discriminator classifies {real['value']:.1%} of {real['n']} real recordings as real")
    return notes


def _facts(item: ConvertedFile) -> dict[str, Any]:
    shown = ("source", "target", "predicted", "heard", "unusable", "values")
    return {"file": item.name} | {key: getattr(item, key) for key in shown}


def _text(path: str | PathLike | None) -> str | None:
    return None if path is None else str(path)
