"""Prepare a data set: from folders of recordings to shards.

The order of the recordings is that of the SHA-256 of their names, so each shard mixes labels and speakers. They are cut in
units of some files by a pool of processes; this process alone writes, in the order of the units, so the bytes do not depend
on the number of workers. A journal beside the shards says after each unit how long they were: an interrupted run cuts them
back to that and goes on. The folder gets its name when all is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ...errors import UsageError
from ...feature_specs import FrameFeatures, GivenMels, LogSpectrogram, SpeechFeatures
from ...parts import Part
from ...stores.staging import Staging
from ..audio.find import LeftOut, find_audio
from ..corpora.labelling import label_sources
from ..corpora.nsynth import TFRECORD
from ..dataset_info import INFO_FILE
from ..speech_features import left_out_of
from .existing import Extras, finish_existing, finished
from .parts import PART_FILE, make_part
from .plan import Plan, dataset_name
from .report import PrepareOptions, PrepareReport
from .summary import facts_of
from .write import Progress, make, report_of, results_of


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
    part: Part | None = None,
    jobs: int = 0,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Make a data set folder: shards, `features.json`, `dataset_info.json`.

    Args:
        inputs: Folders (searched to any depth) and files, paths or URLs of object stores.
        output: The data set folder, a path or a URL. While it grows it is called `<output>.partial`; the same call again goes on with that.
        options: All that decides its bytes.
        noise: Folders and files that are to be mixed with the clips of `inputs`: they make the splits noise-train, ...
        specs: Statistics to compute over the train split (a recipe's `model.statistics`).
        peak_normalize, peak: How training scales clips (see `recipe_schema.Data`), which changes those statistics.
        frames: Spectra and F0 to cache of every clip (a conversion recipe's `model.frame_features`).
        mels: What given mel spectrograms mean, and the folder that holds them (a vocoder recipe's `model.given_mels`).
        speech: Phones and their prosody to cache of every recording with a transcript (a speech recipe's `model.speech_features`).
        consent: A note that the data set and every model trained on it keep: who allowed these recordings to be used, and for what.
        part: Make this part only, in a folder of its own below `output`; `merge` makes the data set of all parts.
        jobs: Worker processes; 0 is one for each core.
        overwrite: Replace a finished data set, or drop an unfinished one with other options.
        dry_run: Decode and cut everything, write nothing.
        progress: Called after each unit of recordings.

    Raises:
        UsageError: Options that are wrong or do not fit the recordings.
        DatasetError: Nothing to prepare, another data set in the way, a full disk.
        StoreError: An object store cannot be reached, or refuses.
    """
    began = time.monotonic()
    options.check()
    with Staging() as staging:
        given, noises = [staging.input(one) for one in inputs], [staging.input(one) for one in noise]
        if dry_run:
            folder = Path(output)
        elif part is not None:
            folder = staging.growing(output, PART_FILE, below=part.folder_name)
        else:
            folder = staging.growing(output, INFO_FILE)
            options = replace(options, name=options.name or dataset_name(folder))
        others: LeftOut = []
        plan = _plan(given, noises, options, part, others)
        facts, files = plan.facts(), len(plan.sources)
        shard_done = lambda done, count: progress(files, files, f"F0 and spectra: shard {done} of {count}") if progress else None
        spoken = (speech, {source.name: source for source in plan.sources}) if speech else None
        extras = Extras(tuple(specs), peak_normalize, peak, frames, mels, consent, jobs, shard_done, spoken)
        workers = jobs or os.cpu_count() or 1
        if dry_run:
            with closing(results_of(plan, workers, None, 0, progress)) as cut:
                outcomes = [result.outcome for results in cut for result in results]
            report = report_of(folder, "dry run", facts_of(facts, outcomes, None), facts, outcomes)
        elif part is not None:
            report = make_part(plan, folder, extras, overwrite, workers, progress)
        elif existing := finished(folder, facts, {source.name for source in plan.sources}, overwrite):
            report = finish_existing(folder, facts, existing, extras)
        else:
            report = make(plan, folder, extras, overwrite, workers, progress)
        report.output = staging.finish(report.output)
    if speech and not dry_run and part is None:
        report.warnings += left_out_of(report.info, speech)
    report.left_out = [*report.left_out, *((path.name, reason) for path, reason in others)]
    report.elapsed = time.monotonic() - began
    return report


def _plan(inputs: Iterable[Path], noise: Iterable[Path], options: PrepareOptions, part: Part | None, others: LeftOut) -> Plan:
    found = find_audio(inputs, TFRECORD if options.labels.layout == "nsynth" else None, others)
    labelled = label_sources(found, options.labels, find_audio(noise, left_out=others))
    if options.pairs and any(source.role == "noise" for source in labelled.sources):
        raise UsageError(
            "--layout pairs holds recordings that are noisy already; --noise is for clean ones.", hint="leave one of the two out"
        )
    return Plan(options, labelled, part)
