"""The report of `evaluate --conversion`: whose voice the converted recordings are, how they move, whether the words are still there."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...data.audio import audio_file
from ...data.dataset_info import DatasetInfo, read_dataset_info
from ...errors import AudioFileError, DatasetError, GanAudioError, UsageError
from ..pairs.report import ProgressFactory
from ..pairs.waveform import MetricError
from . import conversion
from . import judges as voice_judges
from .conversion import Speech
from .tables import FIGURES

REPORT_VERSION = 1
_FEW = 40  # recordings of a domain that are read for its mean voice
Critic = Callable[[np.ndarray, int, str, str], bool]  # (audio, rate, source, target) -> taken for a real recording of the target


@dataclass(frozen=True)
class ConversionOptions:
    """What `evaluate --conversion` was asked.

    Attributes:
        source: Folder of the recordings that were converted, matched by path; None: figures that need them are left out.
        target: Folder of the targets' own recordings of the same words, matched by path, in a folder a domain or without.
        text: CSV with the columns file,text: what is said; None: what the recogniser hears in the source.
        words: Ask the recogniser (English).
        seed, retrain, cache: Of the judge, as in `EvaluateOptions`.
    """

    source: Path | None = None
    target: Path | None = None
    text: Path | None = None
    words: bool = False
    seed: int = 0
    retrain: bool = False
    cache: Path | None = None


@dataclass
class Domain:
    """What is known of one domain from real recordings, those of the test split first."""

    name: str
    mean_ln_f0: float = math.nan
    variance: np.ndarray = field(default_factory=lambda: np.zeros(0))
    vector: np.ndarray | None = None
    spread: float = 0.0
    real: list[np.ndarray] = field(default_factory=list)


@dataclass
class Converted:
    """One converted recording: values, or the reasons (str) why there are none."""

    name: str
    source: str
    target: str
    values: dict[str, float | str] = field(default_factory=dict)
    unusable: str = ""
    taken_for: str = ""
    heard: str = ""
    features: np.ndarray | None = None
    variance: np.ndarray | None = None


def evaluate_conversion(
    folders: Sequence[Path], data: Path, options: ConversionOptions, progress: ProgressFactory, critic: Critic | None = None
) -> dict[str, Any]:
    """Measures folders of converted recordings.

    Args:
        folders: Each is one system, or one target. Whom a recording was converted to says its mark; where it has none, the folder below
            the given one, or that itself, if it has a domain's name.
        data: The prepared data set of the voices.
        critic: A run's discriminator.

    Returns:
        The report, ready for JSON: "judge", "systems" (figures with counts of failures, by target), "files", "notes".

    Raises:
        UsageError, DatasetError: Nothing to measure, a domain that the data does not have, a table without its columns.
    """
    if not folders:
        raise UsageError("No folder of converted recordings is given.", hint="gan-audio evaluate converted/ --conversion DATA")
    info = read_dataset_info(data)
    notes: list[str] = []
    found = {str(folder): _find(folder, info, notes) for folder in folders}
    sources = _by_stem(options.source) if options.source else None
    targets = _by_stem(options.target) if options.target else None
    for items in found.values():
        for item, _ in items:
            item.source = item.source or _source_of(item, sources, info)
    texts = read_texts(options.text) if options.text else {}
    if options.words and not voice_judges.recogniser_installed():
        raise GanAudioError("The recogniser is not installed.", hint="pip install 'gan-audio[words]'")
    with progress("Training the judge of voices", None, "steps") as bar:
        last = 0

        def on_progress(step: int, steps: int, note: str) -> None:
            nonlocal last
            bar.advance(max(0, step - last), note)
            last = step

        judge = voice_judges.domain_judge(
            info, data, seed=options.seed, retrain=options.retrain, cache=options.cache, on_progress=on_progress
        )
    encoder = voice_judges.speaker_encoder_installed()
    if not encoder:
        notes.append(f"speaker cosines are left out: resemblyzer is not installed ({voice_judges.SPEAKERS_HINT})")
    wanted = {item.target for items in found.values() for item, _ in items} | {item.source for items in found.values() for item, _ in items}
    with progress("Hearing the real voices", len(info.labels), "domains") as bar:
        domains = _domains(info, data, judge, encoder, wanted, bar.advance)
    total = sum(len(items) for items in found.values())
    with progress("Measuring", total, "files") as bar:
        for items in found.values():
            for item, path in items:
                _measure(item, path, judge, domains, encoder, sources, targets, texts, options, critic)
                bar.advance()
    entries = [_system(folder, [item for item, _ in items], domains) for folder, items in found.items()]
    if judge.facts["learnt_from"] == "train":
        notes.append("the validation split is too small: the judge learnt from the train split, which the converter knows too")
    if options.source is None:
        notes.append("without --source FOLDER nothing is compared with the recordings that were converted")
    report: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "software": f"gan-audio {__version__}",
        "mode": "conversion",
        "data": {"name": info.name, "fingerprint": info.fingerprint, "domains": list(info.labels)},
        "judge": judge.facts,
        "systems": entries,
        "files": [_file(item) for items in found.values() for item, _ in items],
        "notes": notes,
    }
    if critic is not None:
        report["critic_on_real"] = _critic_on_real(critic, domains, judge.sample_rate)
    return report


def read_texts(path: Path) -> dict[str, str]:
    """What is said in each file: the columns file and text of a CSV; files by their names without suffix."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    if not rows or not {"file", "text"} <= set(rows[0]):
        raise UsageError(f"{path} has no columns file and text.", hint="a first line: file,text")
    return {Path(row["file"]).stem: row["text"] for row in rows if row["text"]}


def _find(folder: Path, info: DatasetInfo, notes: list[str]) -> list[tuple[Converted, Path]]:
    if not folder.is_dir():
        raise UsageError(f"The input {folder} is no folder.", hint="gan-audio convert recordings/ --to DOMAIN --model RUN -o converted/")
    items, unknown = [], 0
    for root, path in audio_file.find_audio([folder]):
        try:
            mark = audio_file.read_mark(path) or {}
        except AudioFileError:
            mark = {}
        name = path.relative_to(root)
        places = [part for part in (*name.parts[:-1], folder.resolve().name) if part in info.labels]
        target = str(mark.get("converted_to") or (places[0] if places else ""))
        if not target:
            unknown += 1
            continue
        if target not in info.labels and not mark.get("anonymized"):
            raise UsageError(f"{path} was converted to {target!r}, which the data set {info.name} does not have: {', '.join(info.labels)}.")
        items.append((Converted(name.as_posix(), str(mark.get("converted_from", "")), target), path))
    if unknown:
        notes.append(f"{folder}: {unknown} files are left out: neither a mark nor a folder's name says whom they were converted to")
    if not items:
        raise DatasetError(f"{folder} holds no recording that says whom it was converted to.", hint="one folder a domain, named like it")
    return items


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files by their path below a folder, without suffix, and by their name alone where only one has it."""
    files = {path.relative_to(root).with_suffix(""): path for root, path in audio_file.find_audio([folder])}
    count = Counter(relative.name for relative in files)
    alone = {relative.name: path for relative, path in files.items() if count[relative.name] == 1}
    return alone | {relative.as_posix(): path for relative, path in files.items()}


def _partner_of(files: dict[str, Path], item: Converted, domain: str) -> Path | None:
    """The file of a converted one: of its path, or of what is left of that without the first folders, or of its name in its domain's."""
    parts = Path(item.name).with_suffix("").parts
    names = ["/".join(parts[first:]) for first in range(len(parts))]
    if domain:
        names.insert(len(names) - 1, f"{domain}/{parts[-1]}")
    return next((files[name] for name in names if name in files), None)


def _source_of(item: Converted, sources: dict[str, Path] | None, info: DatasetInfo) -> str:
    """Whose recording was converted, by the folder that it lies in: the mark of an anonymous one does not say."""
    path = _partner_of(sources or {}, item, "")
    return next((part for part in reversed(path.parts[:-1]) if part in info.labels), "") if path else ""


def _domains(
    info: DatasetInfo, data: Path, judge: voice_judges.DomainJudge, encoder: bool, wanted: set[str], done: Callable[[float], None]
) -> dict[str, Domain]:
    """Each domain by its real recordings: those of the test split, or where there are none of the others."""
    known: dict[int, list[np.ndarray]] = {number: [] for number in range(len(info.labels))}
    for split in ("test", "validation", "train"):
        if split in info.splits and any(not some for some in known.values()):
            empty = {number for number, some in known.items() if not some}
            for recording in voice_judges.recordings(info, data, split):
                if recording.label in empty and len(known[recording.label]) < _FEW:
                    known[recording.label].append(recording.audio)
    domains = {}
    for number, name in enumerate(info.labels):
        domain = domains[name] = Domain(name, real=known[number])
        done(1)
        if name not in wanted:
            continue
        pitches, variances, features, vectors = [], [], [], []
        for audio in domain.real:
            features.append(judge.hear(audio, info.sample_rate)[0])
            try:
                speech = conversion.analyse(audio, info.sample_rate)
                variances.append(conversion.variance_of(speech))
                pitches.append(conversion.mean_ln_f0(speech))
            except MetricError:
                continue
            if encoder:
                vectors.append(voice_judges.speaker_vector(speech.audio, conversion.RATE))
        domain.mean_ln_f0 = float(np.mean(pitches)) if pitches else math.nan
        domain.variance = np.mean(variances, axis=0) if variances else np.zeros(0)
        domain.spread = conversion.spread(np.array(features)) if len(features) > 1 else 0.0
        if vectors:
            mean = np.mean(vectors, axis=0)
            domain.vector = mean / np.linalg.norm(mean)
    return domains


def _measure(
    item: Converted,
    path: Path,
    judge: voice_judges.DomainJudge,
    domains: dict[str, Domain],
    encoder: bool,
    sources: dict[str, Path] | None,
    targets: dict[str, Path] | None,
    texts: dict[str, str],
    options: ConversionOptions,
    critic: Critic | None,
) -> None:
    values = item.values
    try:
        audio, rate = _read(path)
        made = conversion.analyse(audio, rate)
    except (AudioFileError, MetricError) as error:
        item.unusable = error.reason if isinstance(error, AudioFileError) else error.message
        return
    before = _partner(sources, item, item.source, "source") if sources is not None else None
    after = _partner(targets, item, item.target, "target") if targets is not None else None
    item.features, probabilities = judge.hear(audio, rate)
    item.taken_for = judge.labels[int(probabilities.argmax())]
    item.variance = conversion.variance_of(made)
    source = domains.get(item.source)
    if item.target in domains:
        values["to_target"] = float(item.taken_for == item.target)
        _try(values, "f0_off_target", lambda: (conversion.mean_ln_f0(made) - domains[item.target].mean_ln_f0) * 12 / np.log(2))
        if isinstance(off := values["f0_off_target"], float):
            values["f0_difference"], values["f0_off_target"] = off, abs(off)
    if source is not None:
        values["still_source"] = float(item.taken_for == item.source and item.source != item.target)
    if encoder:
        vector = voice_judges.speaker_vector(made.audio, conversion.RATE)
        for key, domain in (("speaker_cosine_target", domains.get(item.target)), ("speaker_cosine_source", source)):
            if domain is not None and domain.vector is not None:
                values[key] = float(vector @ domain.vector)
    if before is not None:
        _against_source(values, before, made)
    if after is not None:
        _against_target(values, before, made, after)
    if options.words:
        _words(item, made, before, texts)
    if critic is not None and item.target in domains:
        _try(values, "critic_real", lambda: float(critic(audio, rate, item.source or item.target, item.target)))


def _read(path: Path) -> tuple[np.ndarray, int]:
    audio, rate = audio_file.read(path)
    return audio.mean(axis=1), rate


def _partner(files: dict[str, Path], item: Converted, domain: str, role: str) -> Speech | None:
    path, values = _partner_of(files, item, domain), item.values
    key = "mcd_moved" if role == "source" else "mcd_target"
    if path is None:
        values[key] = f"no {role} of this name"
        return None
    try:
        return conversion.analyse(*_read(path))
    except (AudioFileError, MetricError) as error:
        values[key] = f"{role}: {error.reason if isinstance(error, AudioFileError) else error.message}"
        return None


def _against_source(values: dict[str, float | str], before: Speech, made: Speech) -> None:
    try:
        frames = conversion.side_by_side(before, made)
    except MetricError as error:
        values["mcd_moved"] = error.message
        return
    values["mcd_moved"] = conversion.mel_cepstral_distortion(before, made, frames)
    values["energy_correlation"] = conversion.energy_correlation(before, made, frames)
    values["waveform_correlation"] = conversion.waveform_correlation(before, made)
    try:
        values.update(conversion.pitch_figures(before, made, frames))
    except MetricError as error:
        values["log_f0_correlation"] = error.message


def _against_target(values: dict[str, float | str], before: Speech | None, made: Speech, after: Speech) -> None:
    frames = conversion.align(after, made)
    values["mcd_target"] = conversion.mel_cepstral_distortion(after, made, frames)
    try:
        pitch = conversion.pitch_figures(after, made, frames)
        values.update({f"{key}_target": pitch[key] for key in ("log_f0_rmse", "log_f0_correlation")})
    except MetricError as error:
        values["log_f0_correlation_target"] = error.message
    if before is not None:
        values["mcd_before"] = conversion.mel_cepstral_distortion(after, before, conversion.align(after, before))


def _words(item: Converted, made: Speech, before: Speech | None, texts: dict[str, str]) -> None:
    said = texts.get(Path(item.name).stem, "")
    source = voice_judges.recognise(before.audio, conversion.RATE) if before is not None else ""
    item.heard = voice_judges.recognise(made.audio, conversion.RATE)
    reference = said or source
    if not reference:
        item.values["word_error_rate"] = "nobody said what the words are: --text, or --source with speech in it"
        return
    for key, heard in (("word_error_rate", item.heard), ("word_error_rate_source", source)):
        if heard or key == "word_error_rate":
            wrong, words = conversion.word_errors(reference, heard)
            item.values[key] = wrong / words if words else 0.0


def _try(values: dict[str, float | str], key: str, work: Callable[[], float]) -> None:
    try:
        value = work()
        values[key] = value if math.isfinite(value) else "no real recording to compare with"
    except MetricError as error:
        values[key] = error.message


def _system(folder: str, items: list[Converted], domains: dict[str, Domain]) -> dict[str, Any]:
    figures: dict[str, dict[str, float]] = {}
    for key in FIGURES:
        given = [item.values[key] for item in items if key in item.values]
        numbers = np.array([value for value in given if not isinstance(value, str)], float)
        failed = len(given) - len(numbers) + (sum(1 for item in items if item.unusable) if len(given) else 0)
        if given:
            figures[key] = {"n": len(numbers), "failed": failed}
            if len(numbers):
                # What could not be judged was not converted: it counts as wrong, where the figure is a share of successes.
                total = numbers.sum() / (len(numbers) + failed) if key in ("to_target", "critic_real") else numbers.mean()
                figures[key]["mean"] = float(total)
            if len(numbers) > 1:
                figures[key]["standard_error"] = float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    lost = [{"file": item.name, "metric": "all", "reason": item.unusable} for item in items if item.unusable]
    lost += [{"file": i.name, "metric": k, "reason": v} for i in items for k, v in i.values.items() if isinstance(v, str)]
    return {
        "name": Path(folder).resolve().name,
        "path": folder,
        "files": len(items),
        "unusable": sum(bool(item.unusable) for item in items),
        "figures": figures,
        "diversity": _over_targets(items, domains, _diversity),
        "global_variance": _over_targets(items, domains, _global_variance),
        "by_target": _ways(items),
        "failures": lost,
    }


def _over_targets(
    items: list[Converted], domains: dict[str, Domain], figure: Callable[[list[Converted], Domain], float | None]
) -> float | None:
    found = [
        figure([i for i in items if i.target == name and not i.unusable], domain)
        for name, domain in domains.items()
        if any(item.target == name for item in items)
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _diversity(items: list[Converted], domain: Domain) -> float | None:
    """Mean distance between the judge's features of all pairs of recordings converted to a domain, over that of its real ones."""
    features = np.array([item.features for item in items])
    return conversion.spread(features) / domain.spread if len(features) > 1 and domain.spread > 0 else None


def _global_variance(items: list[Converted], domain: Domain) -> float | None:
    """Geometric mean over c1 to c24 of the variance over that of the domain's real recordings: below 1, spectra are smoothed over."""
    if not items or not len(domain.variance):
        return None
    mean = np.mean([item.variance for item in items if item.variance is not None], axis=0)
    return float(np.exp(np.mean(np.log(np.maximum(mean, 1e-9) / np.maximum(domain.variance, 1e-9)))))


def _ways(items: list[Converted]) -> list[dict[str, Any]]:
    ways = []
    for source, target in sorted({(item.source, item.target) for item in items}):
        mine = [item for item in items if (item.source, item.target) == (source, target)]
        shifts, signed, judged = (
            [v for v in (item.values.get(key) for item in mine) if isinstance(v, float)]
            for key in ("f0_off_target", "f0_difference", "to_target")
        )
        ways.append(
            {
                "source": source or "?",
                "target": target,
                "files": len(mine),
                "to_target": sum(judged) / len(mine) if judged else None,
                "f0_off": float(np.mean(shifts)) if shifts else None,
                "f0_mean_off": float(np.mean(signed)) if signed else None,
                "taken_for": {label: sum(i.taken_for == label for i in mine) for label in sorted({i.taken_for for i in mine})},
            }
        )
    return ways


def _critic_on_real(critic: Critic, domains: dict[str, Domain], rate: int) -> dict[str, Any]:
    """Share of real recordings that the discriminator takes for real ones of their domain, seen as coming from themselves."""
    verdicts = [critic(audio, rate, name, name) for name, domain in domains.items() for audio in domain.real]
    return {"n": len(verdicts), "mean": float(np.mean(verdicts)) if verdicts else None}


def _file(item: Converted) -> dict[str, Any]:
    return {
        "file": item.name,
        "source": item.source,
        "target": item.target,
        "taken_for": item.taken_for,
        "heard": item.heard,
        "unusable": item.unusable,
        "values": item.values,
    }
