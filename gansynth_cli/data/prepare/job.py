"""Prepare a data set: from folders of recordings to shards.

The order of the recordings is that of the SHA-256 of their names, so each shard mixes labels and speakers. They are cut in
units of some files by a pool of processes; this process alone writes, in the order of the units, so the bytes do not depend
on the number of workers. A journal beside the shards says after each unit how long they were: an interrupted run cuts them
back to that and goes on. The folder gets its name when all is done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import UsageError
from ...feature_specs import FrameFeatures, GivenMels, LogSpectrogram, SpeechFeatures
from ...files import write_text
from ..audio.find import LeftOut, find_audio
from ..corpora.labelling import label_sources
from ..corpora.nsynth import TFRECORD
from ..shards import ShardSet
from ..speech_features import left_out_of
from .existing import Extras, finish_existing, finished, with_extras
from .folder import explained, features_json, journal_lines, partial_folder, put_in_place, remove_empty
from .plan import Plan
from .report import PrepareOptions, PrepareReport
from .summary import facts_of, nothing_to_train, warnings_of
from .work import FileResult, Outcome, Work, run_units

Progress = Callable[[int, int, str], None]  # files done, files in all, the last one's name


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
    mels: tuple[GivenMels, Path] | None = None,
    speech: SpeechFeatures | None = None,
    consent: str = "",
    jobs: int = 0,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Make a data set folder: shards, `features.json`, `dataset_info.json`.

    Args:
        inputs: Folders (searched to any depth) and files.
        output: The data set folder. While it grows it is called `<output>.partial`; the same call again goes on with that.
        options: All that decides its bytes.
        noise: Folders and files that are to be mixed with the clips of `inputs`: they make the splits noise-train, ...
        specs: Statistics to compute over the train split (a recipe's `model.statistics`).
        peak_normalize, peak: How training scales clips (see `recipe_schema.Data`), which changes those statistics.
        frames: Spectra and F0 to cache of every clip (a conversion recipe's `model.frame_features`).
        mels: What given mel spectrograms mean, and the folder that holds them (a vocoder recipe's `model.given_mels`).
        speech: Phones and their prosody to cache of every recording with a transcript (a speech recipe's `model.speech_features`).
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
    options = replace(options, name=options.name or re.sub(r"[^\w.-]+", "_", output.resolve().name))
    others: LeftOut = []
    found = find_audio(inputs, TFRECORD if options.labels.layout == "nsynth" else None, others)
    labelled = label_sources(found, options.labels, find_audio(noise, left_out=others))
    if options.pairs and any(source.role == "noise" for source in labelled.sources):
        raise UsageError(
            "--layout pairs holds recordings that are noisy already; --noise is for clean ones.", hint="leave one of the two out"
        )
    plan = Plan(options, labelled)
    files = len(plan.sources)
    shard_done = lambda done, count: progress(files, files, f"F0 and spectra: shard {done} of {count}") if progress else None
    spoken = (speech, {source.name: source for source in plan.sources}) if speech else None
    extras = Extras(tuple(specs), peak_normalize, peak, frames, mels, consent, jobs, shard_done, spoken)
    workers = jobs or os.cpu_count() or 1
    existing = None if dry_run else finished(output, plan, overwrite)
    if existing is not None:
        report = finish_existing(output, plan, existing, extras)
    elif dry_run:
        outcomes = [result.outcome for results in _results(plan, workers, None, 0, progress) for result in results]
        report = PrepareReport(output, "dry run", facts_of(plan, outcomes, None), *_lists(plan, outcomes))
    else:
        report = _make(plan, output, extras, overwrite, workers, progress)
    if speech and not dry_run:
        report.warnings += left_out_of(report.info, speech)
    report.left_out = [*report.left_out, *((path.name, reason) for path, reason in others)]
    report.elapsed = time.monotonic() - began
    return report


def _make(plan: Plan, output: Path, extras: Extras, overwrite: bool, workers: int, progress: Progress | None) -> PrepareReport:
    with partial_folder(output, plan.signature(), overwrite) as folder, explained(output, folder):
        outcomes, shards, resumed = _write_shards(plan, folder, workers, progress)
        info = facts_of(plan, outcomes, shards)
        if not info.splits.get("train"):
            shutil.rmtree(folder)
            failure = nothing_to_train(outcomes)
            failure.report = PrepareReport(output, "failed", info, *_lists(plan, outcomes))
            raise failure
        remove_empty(folder, shards, info)
        info = with_extras(info, folder, extras)
        write_text(folder / "features.json", features_json(info))
        write_text(folder / "dataset_info.json", info.to_json())
        for leftover in (*folder.glob("spill-*"), folder / "journal.jsonl"):
            leftover.unlink(missing_ok=True)
        put_in_place(folder, output)
    return PrepareReport(output, "written", info, *_lists(plan, outcomes), resumed_files=resumed)


def _lists(plan: Plan, outcomes: list[Outcome]) -> tuple[list[Outcome], list[tuple[str, str]], list[str]]:
    """Outcomes by name, recordings left out, warnings."""
    return sorted(outcomes, key=lambda outcome: outcome.name), plan.labelled.left_out, warnings_of(plan, outcomes)


def _results(plan: Plan, workers: int, folder: Path | None, first_unit: int, progress: Progress | None) -> Iterator[list[FileResult]]:
    """Cut the units from `first_unit` on, in order."""
    numbers = {name: index for index, name in enumerate(plan.label_names)}
    classes = {name: {value: index for index, value in enumerate(values)} for name, values in plan.attributes.items()}
    work = Work(plan.options.cut, plan.options.noise_cut, plan.options.splits, numbers, classes, str(folder) if folder else None)
    units = plan.units()
    done = sum(len(unit) for unit in units[:first_unit])
    left = units[first_unit:]
    for unit, results in zip(left, run_units(left, work, workers, sum(plan.sizes.values())), strict=True):
        yield results
        done += len(unit)
        if progress is not None:
            progress(done, len(plan.sources), unit[-1].name)


def _write_shards(plan: Plan, folder: Path, workers: int, progress: Progress | None) -> tuple[list[Outcome], ShardSet, int]:
    """Cut what an earlier run has not done and append it; the journal follows every unit."""
    with ShardSet(folder, plan.options.name, plan.shard_counts()) as shards:
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
            for results in _results(plan, workers, folder, len(lines), progress):
                for result in results:
                    for batch in result.batches():
                        shards.append((result.outcome.split, record) for record in batch)
                outcomes += [result.outcome for result in results]
                line = {"outcomes": [result.outcome.to_json() for result in results], "shards": shards.state()}
                journal.write(json.dumps(line).encode() + b"\n")
        return outcomes, shards, resumed
