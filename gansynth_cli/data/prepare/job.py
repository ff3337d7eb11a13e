"""`prepare`: folders of recordings in, a data set folder out.

The order of the recordings is that of the SHA-256 of their names, so each shard mixes labels and speakers. They are cut in
units of some files by a pool of processes; this process alone writes, in the order of the units, so the bytes do not depend
on the number of workers. A journal beside the shards says after each unit how long they were: an interrupted run cuts them
back to that and goes on. The folder gets its name when all is done.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import DatasetError, UsageError
from ...feature_specs import FrameFeatures, LogSpectrogram
from ...files import write_text
from ..audio.find import find_audio
from ..clip_reader import ShardClips
from ..corpora.layouts import Labelled, LabelOptions, SourceFile, label_order, label_sources
from ..corpora.note_layouts import TFRECORD
from ..dataset_info import DatasetInfo, SplitInfo, fingerprint_of, read_dataset_info
from ..frame_features import ensure_frame_features
from ..shards import NOISE_SPLITS, SPLITS, ShardSet, missing_or_resized
from ..statistics import compute, statistics_key
from .clip_cutting import CutOptions
from .folder import (
    check_replaceable,
    differences,
    explained,
    features_json,
    journal_lines,
    partial_folder,
    put_in_place,
    remove_empty,
)
from .report import PrepareOptions, PrepareReport
from .work import FileResult, Outcome, SplitOptions, Work, run_units

__all__ = ["CutOptions", "LabelOptions", "PrepareOptions", "PrepareReport", "SplitOptions", "prepare"]

Progress = Callable[[int, int, str], None]  # files done, files in all, the last one's name

_NOTE_OPTIONS = ("instrument_field", "pitches", "instruments", "attributes", "pitch_from", "domain")
_UNIT_FILES, _UNIT_BYTES = 64, 8 << 20
_SHARD_BYTES = 32 << 20  # of sources: about that many of 16-bit PCM where the sources are
_MOST_SHARDS = 256


def prepare(
    inputs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    options: PrepareOptions,
    *,
    noise: Iterable[str | os.PathLike] = (),
    specs: Iterable[LogSpectrogram] = (),
    peak_normalize: bool | str = False,
    peak: float = 1.0,
    frames: FrameFeatures | None = None,
    consent: str = "",
    jobs: int = 0,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Makes a data set folder: shards, `features.json`, `dataset_info.json`.

    Args:
        inputs: Folders (searched to any depth) and files.
        output: The data set folder. While it grows it is called `<output>.partial`; the same call again goes on with that.
        options: All that decides its bytes.
        noise: Folders and files that are to be mixed with the clips of `inputs`: they make the splits noise-train, ...
        specs: Statistics to compute over the train split (a recipe's `model.statistics`).
        peak_normalize, peak: How training scales clips (see `recipe_schema.Data`), which changes those statistics.
        frames: Spectra and F0 to cache of every clip (a conversion recipe's `model.frame_features`).
        consent: A note that the data set and every model trained on it keep: who allowed these recordings to be used, and for what.
        jobs: Worker processes; 0 is one for each core.
        overwrite: Replace a finished data set, or drop an unfinished one with other options.
        dry_run: Decode and cut everything, write nothing.
        progress: Called after each unit of recordings.

    Raises:
        UsageError: Options that are wrong or do not fit the recordings.
        DatasetError: Nothing to prepare, another data set in the way, a full disk.
    """
    began = time.monotonic()
    options.check()
    output = Path(output)
    specs = tuple(specs)
    options = replace(options, name=options.name or re.sub(r"[^\w.-]+", "_", output.resolve().name))
    found = find_audio(inputs, TFRECORD if options.labels.layout == "nsynth" else None)
    labelled = label_sources(found, options.labels, find_audio(noise))
    if options.pairs and any(source.role == "noise" for source in labelled.sources):
        raise UsageError(
            "--layout pairs holds recordings that are noisy already; --noise is for clean ones.", hint="leave one of the two out"
        )
    job = _Job(output, options, labelled)
    files = len(job.sources)
    shard_done = lambda done, count: progress(files, files, f"F0 and spectra: shard {done} of {count}") if progress else None
    extras = Extras(specs, peak_normalize, peak, frames, consent, jobs, shard_done)
    finished = None if dry_run else job.finished(overwrite)
    if finished is not None:
        return _finish_existing(job, finished, extras, began)
    workers = jobs or os.cpu_count() or 1
    if dry_run:
        outcomes = [result.outcome for results in job.results(workers, None, 0, progress) for result in results]
        info = job.info(outcomes, None)
        return PrepareReport(output, "dry run", info, *job.lists(outcomes), elapsed=time.monotonic() - began)
    with partial_folder(output, job.signature(), overwrite) as folder, explained(output, folder):
        outcomes, shards, resumed = _write_shards(job, folder, workers, progress)
        info = job.info(outcomes, shards)
        report = PrepareReport(output, "written", info, *job.lists(outcomes), resumed_files=resumed)
        if not info.splits.get("train"):
            shutil.rmtree(folder)
            raise job.nothing_to_train(outcomes)
        remove_empty(folder, shards, info)
        report.info = info = _with_extras(info, folder, extras)
        write_text(folder / "features.json", features_json(info))
        write_text(folder / "dataset_info.json", info.to_json())
        for leftover in (*folder.glob("spill-*"), folder / "journal.jsonl"):
            leftover.unlink(missing_ok=True)
        put_in_place(folder, output)
    report.elapsed = time.monotonic() - began
    return report


class _Job:
    """One data set to be made: the plan, and what follows from it."""

    def __init__(self, output: Path, options: PrepareOptions, labelled: Labelled):
        self.output, self.options, self.labelled = output, options, labelled
        self.sources = sorted(labelled.sources, key=lambda source: _hash_of_name(source.name))
        self.has_noise = any(source.role == "noise" for source in self.sources)
        self.label_names = label_order(source.label for source in self.sources)
        self.attributes = _attribute_names(self.sources)
        self.sizes = {
            source.name: source.record[1] if source.record else _size(source.path) + (_size(source.noisy) if source.noisy else 0)
            for source in self.sources
        }
        self.warnings = list(labelled.warnings)
        speakers = {source.speaker for source in self.sources if source.role != "noise"}
        unknown = sorted(set(options.splits.holdout_speakers) - speakers)
        if unknown:
            known = ", ".join(sorted(speakers - {""})[:20]) or "none: give --layout or a --label-pattern with (?P<speaker>...)"
            raise UsageError(f"--holdout-speakers names {', '.join(unknown)}, which no recording has. Speakers: {known}.")
        if options.splits.split_by == "speaker" and "" in speakers:
            nameless = [source.name for source in self.sources if not source.speaker and source.role != "noise"]
            raise UsageError(
                f"--split-by speaker: {len(nameless)} recordings have no speaker, such as {nameless[0]}.",
                hint="give --layout, a --label-pattern with the group (?P<speaker>...), or a --label-csv with a column speaker",
            )

    def signature(self) -> dict[str, Any]:
        """What two runs must share to make the same data set: options and recordings, no paths of this machine."""
        options: dict[str, Any] = {"shards": self.options.shards, "name": self.options.name}
        for part in (self.options.cut, self.options.labels, self.options.splits):
            options |= asdict(part)
        if not options["min_clean_db"]:  # data sets of earlier versions do not have it
            del options["min_clean_db"]
        if self.has_noise:
            for name in ("noise_hop_samples", "noise_short", "noise_max_clips"):
                options[name] = getattr(self.options, name)
        for field in fields(LabelOptions):
            if field.name in _NOTE_OPTIONS and options[field.name] == field.default:  # data sets of earlier versions do not have them
                del options[field.name]
        if self.options.labels.attributes:
            options["attributes"] = Path(self.options.labels.attributes).name
        options["holdout_speakers"] = sorted(self.options.splits.holdout_speakers)
        options["labels"] = self.options.labels.mode()
        if self.options.labels.csv:
            options["csv"] = Path(self.options.labels.csv).name
        lines = [[s.name, s.label, s.speaker, s.split, self.sizes[s.name]] + ([s.role] if s.role else []) for s in self.sources]
        for line, source in zip(lines, self.sources, strict=True):
            if source.attributes:
                line.append(source.attributes)
            if source.group:
                line.append({"group": source.group})
        options["sources_sha256"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
        return options

    def finished(self, overwrite: bool) -> DatasetInfo | None:
        """The facts of the same data set if it is there already.

        Raises:
            DatasetError: Something else is there.
        """
        output = self.output
        if not output.exists():
            return None
        if output.is_dir() and not any(output.iterdir()):
            return None
        if not output.is_dir() or not (output / "dataset_info.json").is_file():
            raise DatasetError(f"{output} exists and is not a data set; it is left as it is.", hint="choose another folder with -o")
        if overwrite:
            check_replaceable(output)
            return None
        info = read_dataset_info(output)
        differing = differences(info.prepared_with, self.signature())
        if not differing:
            damage = missing_or_resized(info, output)
            if damage:
                raise DatasetError(f"{output} is damaged: {'; '.join(damage[:3])}.", hint="add --overwrite to prepare it again")
            return info
        changes = [line for key, line in differing.items() if key != "sources_sha256"]
        if "sources_sha256" in differing:
            before = {
                entry["path"] for entry in (*info.sources, *info.skipped) if entry.get("reason") not in _left_out_reasons(self.labelled)
            }
            now = {source.name for source in self.sources}
            changes.append(f"recordings: {len(now - before)} new, {len(before - now)} gone, or some changed")
        raise DatasetError(
            f"{output} was prepared otherwise: {'; '.join(changes)}.",
            hint="add --overwrite to replace it, or choose another folder with -o",
        )

    def units(self) -> list[list[SourceFile]]:
        units: list[list[SourceFile]] = [[]]
        size = 0
        for source in self.sources:
            if units[-1] and (len(units[-1]) >= _UNIT_FILES or size + self.sizes[source.name] > _UNIT_BYTES):
                units.append([])
                size = 0
            units[-1].append(source)
            size += self.sizes[source.name]
        return units

    def shard_counts(self) -> dict[str, int]:
        fractions = {"train": 1.0, "validation": self.options.splits.validation, "test": self.options.splits.test}
        counts: dict[str, int] = {}
        for role, prefix in (("", ""), ("noise", "noise-"))[: 1 + self.has_noise]:
            size = sum(self.sizes[source.name] for source in self.sources if source.role == role)
            train = self.options.shards or max(1, min(_MOST_SHARDS, -(-size // _SHARD_BYTES)))
            counts |= {prefix + split: max(1, round(train * fractions[split])) for split in SPLITS}
        return counts

    def results(self, workers: int, folder: Path | None, first_unit: int, progress: Progress | None) -> Iterator[list[FileResult]]:
        """The results of the units from `first_unit` on, in order."""
        numbers = {name: index for index, name in enumerate(self.label_names)}
        classes = {name: {value: index for index, value in enumerate(values)} for name, values in self.attributes.items()}
        work = Work(self.options.cut, self.options.noise_cut, self.options.splits, numbers, classes, str(folder) if folder else None)
        units = self.units()
        done = sum(len(unit) for unit in units[:first_unit])
        left = units[first_unit:]
        for unit, results in zip(left, run_units(left, work, workers, sum(self.sizes.values())), strict=True):
            yield results
            done += len(unit)
            if progress is not None:
                progress(done, len(self.sources), unit[-1].name)

    def info(self, outcomes: list[Outcome], shards: ShardSet | None) -> DatasetInfo:
        kept = sorted((outcome for outcome in outcomes if outcome.clips), key=lambda outcome: outcome.name)
        splits = {}
        for split in SPLITS + NOISE_SPLITS:
            mine = [outcome for outcome in kept if outcome.split == split]
            if not mine:
                continue
            counts: Counter[str] = Counter()
            for outcome in mine:
                counts[outcome.label] += outcome.clips
            splits[split] = SplitInfo(
                clips=sum(outcome.clips for outcome in mine),
                seconds=round(sum(outcome.seconds for outcome in mine), 6),
                shards=shards.facts(split) if shards else [],
                label_counts={name: counts[name] for name in self.label_names if counts[name]},
                attribute_counts=_attribute_counts(mine, self.attributes),
            )
        skipped = [{"path": o.name, "reason": o.failed or o.dropped, "failed": bool(o.failed)} for o in outcomes if not o.clips]
        skipped += [{"path": name, "reason": reason, "failed": False} for name, reason in self.labelled.left_out]
        cut = self.options.cut
        return DatasetInfo(
            name=self.options.name,
            sample_rate=cut.sample_rate,
            channels=cut.channels,
            clip_samples=cut.clip_samples,
            labels=self.label_names,
            splits=splits,
            split_by=self.options.splits.split_by,
            prepared_with=self.signature() | {"version": __version__},
            sources=[
                {"path": o.name, "sha256": o.sha256, "split": o.split, "clips": o.clips, "label": o.label, "speaker": o.speaker}
                | ({"attributes": o.attributes} if o.attributes else {})
                for o in kept
            ],
            skipped=sorted(skipped, key=lambda entry: entry["path"]),
            fingerprint=fingerprint_of(splits) if shards else "",
            pairs=self.options.pairs,
            attributes=self.attributes,
        )

    def lists(self, outcomes: list[Outcome]) -> tuple[list[Outcome], list[tuple[str, str]], list[str]]:
        """Outcomes by name, recordings left out, and the warnings that follow from the outcomes."""
        warnings = [*self.warnings, *_untrained(self.attributes, outcomes)]
        counts: Counter[str] = Counter()
        for outcome in outcomes:
            counts[outcome.split if outcome.clips else ""] += 1
        wanted = {"validation": self.options.splits.validation, "test": self.options.splits.test}
        official = self.options.splits.split_by == "auto" and any(source.split for source in self.sources)
        for split, fraction in wanted.items():
            if fraction and not counts[split] and not official:
                warnings.append(f"the {split} split got no recording; with few of them that happens.")
            if self.has_noise and fraction and not counts[f"noise-{split}"]:
                warnings.append(f"the noise-{split} split got no recording; with few of them that happens.")
        if self.has_noise and not counts["noise-train"]:
            warnings.append("the noise-train split got no recording: training has only synthetic noise to mix in.")
        labelled = {outcome.label for outcome in outcomes if outcome.clips}
        trained = {outcome.label for outcome in outcomes if outcome.clips and outcome.split == "train"}
        for name in self.label_names:
            if name not in labelled:
                warnings.append(f"the label {name!r} got no clip.")
            elif name not in trained:
                warnings.append(f"the label {name!r} got no clip in the train split.")
        by_content: dict[str, set[str]] = {}
        for outcome in outcomes:
            if outcome.clips:
                by_content.setdefault(outcome.sha256, set()).add(outcome.label)
        copies = sum(outcome.clips > 0 for outcome in outcomes) - len(by_content)
        if copies:
            warnings.append(f"{copies} recordings are copies of others.")
        ambiguous = sum(len(labels) > 1 for labels in by_content.values())
        if ambiguous:
            warnings.append(f"{ambiguous} recordings occur under more than one label.")
        return sorted(outcomes, key=lambda outcome: outcome.name), self.labelled.left_out, warnings

    def nothing_to_train(self, outcomes: list[Outcome]) -> DatasetError:
        if any(outcome.clips for outcome in outcomes):
            return DatasetError(
                "The train split got no clip: all recordings fell into validation and test.",
                hint="use --validation 0 --test 0, or more recordings",
            )
        reasons = Counter(outcome.failed or outcome.dropped for outcome in outcomes)
        listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(5))
        example = next(iter(sorted(outcomes, key=lambda outcome: outcome.name)))
        return DatasetError(f"None of the {len(outcomes)} recordings gave a clip: {listed}. The first is {example.name}.")


def _write_shards(job: _Job, folder: Path, workers: int, progress: Progress | None) -> tuple[list[Outcome], ShardSet, int]:
    """Cuts what an earlier run has not done and appends it; the journal follows every unit."""
    with ShardSet(folder, job.options.name, job.shard_counts()) as shards:
        lines = journal_lines(folder / "journal.jsonl")[1:]
        while lines and not shards.can_restore(lines[-1]["shards"]):  # the machine itself went down: later units are lost
            lines.pop()
        shards.restore(lines[-1]["shards"] if lines else None)
        outcomes = [Outcome(**entry) for line in lines for entry in line["outcomes"]]
        resumed = len(outcomes)
        head = journal_lines(folder / "journal.jsonl")[:1]
        write_text(folder / "journal.jsonl", "".join(json.dumps(line) + "\n" for line in (*head, *lines)))
        for leftover in folder.glob("spill-*"):
            leftover.unlink()
        with (folder / "journal.jsonl").open("ab", buffering=0) as journal:
            for results in job.results(workers, folder, len(lines), progress):
                for result in results:
                    for batch in result.batches():
                        shards.append((result.outcome.split, record) for record in batch)
                outcomes += [result.outcome for result in results]
                line = {"outcomes": [result.outcome.to_json() for result in results], "shards": shards.state()}
                journal.write(json.dumps(line).encode() + b"\n")
        return outcomes, shards, resumed


@dataclass(frozen=True)
class Extras:
    """What is added to a data set when its shards are finished, then or later: arguments of `prepare`."""

    specs: tuple[LogSpectrogram, ...]
    peak_normalize: bool | str
    peak: float
    frames: FrameFeatures | None
    consent: str
    jobs: int
    progress: Callable[[int, int], None] | None = None


def _finish_existing(job: _Job, info: DatasetInfo, extras: Extras, began: float) -> PrepareReport:
    extended = _with_extras(info, job.output, extras)
    status = "unchanged"
    if extended != info:
        status = "statistics added"
        write_text(job.output / "dataset_info.json", extended.to_json())
    outcomes = [
        Outcome(e["path"], e["label"], e["speaker"], e["sha256"], e["split"], e["clips"], attributes=e.get("attributes", {}))
        for e in info.sources
    ]
    left_out = {name for name, _ in job.labelled.left_out}
    for entry in info.skipped:
        if entry["path"] not in left_out:
            outcomes.append(Outcome(entry["path"], **{"failed" if entry["failed"] else "dropped": entry["reason"]}))
    return PrepareReport(job.output, status, extended, outcomes, job.labelled.left_out, elapsed=time.monotonic() - began)


def _with_extras(info: DatasetInfo, folder: Path, extras: Extras) -> DatasetInfo:
    if extras.consent:
        info = replace(info, consent=extras.consent)
    if extras.frames is not None:
        info = ensure_frame_features(info, folder, extras.frames, jobs=extras.jobs, progress=extras.progress)
    statistics = dict(info.statistics)
    clips = ShardClips(info, folder, peak_normalize=extras.peak_normalize, peak=extras.peak)
    for spec in extras.specs:
        key = statistics_key(spec, extras.peak_normalize, extras.peak)
        if key not in statistics:
            statistics[key] = compute(spec, (clip for clip, _ in clips.clips("train")))
    return replace(info, statistics=statistics)


def _attribute_names(sources: list[SourceFile]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for source in sources:
        for name, value in source.attributes:
            found.setdefault(name, set()).add(value)
    return {name: label_order(values) for name, values in sorted(found.items())}


def _attribute_counts(outcomes: list[Outcome], attributes: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in attributes}
    for outcome in outcomes:
        for name, value in outcome.attributes.items():
            counts[name][value] += outcome.clips
    return {name: {value: counts[name][value] for value in values if counts[name][value]} for name, values in attributes.items()}


def _untrained(attributes: dict[str, list[str]], outcomes: list[Outcome]) -> list[str]:
    """A sentence for each attribute that has classes without a clip in the train split."""
    trained = _attribute_counts([outcome for outcome in outcomes if outcome.clips and outcome.split == "train"], attributes)
    sentences = []
    for name, values in attributes.items():
        missing = [value for value in values if value not in trained[name]]
        if missing:
            sentences.append(f"no clip in the train split has the {name} {', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}.")
    return sentences


def _left_out_reasons(labelled: Labelled) -> set[str]:
    return {reason for _, reason in labelled.left_out}


def _hash_of_name(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reported when it is decoded
        return 0
