"""Cut the recordings of a plan and write the clips: the shards of a data set, or of a part of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from ...files import write_text
from ..dataset_info import DatasetInfo
from ..shards import ShardSet
from .existing import Extras, with_extras
from .folder import explained, features_json, journal_lines, partial_folder, put_in_place, remove_empty
from .plan import Plan, PlanFacts
from .report import PrepareReport
from .summary import facts_of, nothing_to_train, warnings_of
from .work import FileResult, Outcome, Work, run_units

Progress = Callable[[int, int, str], None]  # files done, files in all, the last one's name
PART_SHARDS = "part"  # first part of the shards' names where the data set has no name yet


def make(plan: Plan, output: Path, extras: Extras, overwrite: bool, workers: int, progress: Progress | None) -> PrepareReport:
    """Make a whole data set; see `job.prepare`."""
    facts = plan.facts()
    with partial_folder(output, facts.signature, overwrite) as folder, explained(output, folder):
        outcomes, shards, resumed = write_shards(plan, folder, workers, progress)
        info = checked_facts(output, folder, facts, outcomes, shards.facts)
        remove_empty(folder, shards, info)
        info = finish(folder, output, info, extras)
    return report_of(output, "written", info, facts, outcomes, resumed)


def checked_facts(output: Path, folder: Path, facts: PlanFacts, outcomes: list[Outcome], shards: Callable) -> DatasetInfo:
    """Return the facts of the data set.

    Raises:
        NothingToTrain: Its train split is empty; the folder is deleted.
    """
    info = facts_of(facts, outcomes, shards)
    if not info.splits.get("train"):
        shutil.rmtree(folder)
        failure = nothing_to_train(outcomes)
        failure.report = report_of(output, "failed", info, facts, outcomes)
        raise failure
    return info


def finish(folder: Path, output: Path, info: DatasetInfo, extras: Extras) -> DatasetInfo:
    """Add the extras and the descriptions to a folder with all shards, and give it its name."""
    info = with_extras(info, folder, extras)
    write_text(folder / "features.json", features_json(info))
    write_text(folder / "dataset_info.json", info.to_json())
    remove_workings(folder)
    put_in_place(folder, output)
    return info


def remove_workings(folder: Path) -> None:
    """Delete what only an unfinished folder needs."""
    for leftover in (*folder.glob("spill-*"), folder / "journal.jsonl"):
        leftover.unlink(missing_ok=True)


def report_of(output: Path, status: str, info: DatasetInfo, facts: PlanFacts, outcomes: list[Outcome], resumed: int = 0) -> PrepareReport:
    """Return the report: outcomes by name, recordings left out, warnings."""
    in_order = sorted(outcomes, key=lambda outcome: outcome.name)
    return PrepareReport(output, status, info, in_order, [*facts.left_out], warnings_of(facts, outcomes), resumed_files=resumed)


def results_of(
    plan: Plan, workers: int, folder: Path | None, first_unit: int, progress: Progress | None
) -> Generator[list[FileResult], None, None]:
    """Cut the units from `first_unit` on, in order."""
    numbers = {name: index for index, name in enumerate(plan.label_names)}
    classes = {name: {value: index for index, value in enumerate(values)} for name, values in plan.attributes.items()}
    work = Work(plan.options.cut, plan.options.noise_cut, plan.options.splits, numbers, classes, str(folder) if folder else None)
    units = plan.units()
    done, total = sum(len(unit) for unit in units[:first_unit]), sum(map(len, units))
    left = units[first_unit:]
    with closing(run_units(left, work, workers, sum(map(plan.bytes_of, units)))) as cut:  # ends its processes when this one is interrupted
        for unit, results in zip(left, cut, strict=True):
            yield results
            done += len(unit)
            if progress is not None:
                progress(done, total, unit[-1].name)


def write_shards(plan: Plan, folder: Path, workers: int, progress: Progress | None) -> tuple[list[Outcome], ShardSet, int]:
    """Cut what an earlier run has not done and append it; the journal follows every unit.

    Returns:
        The outcomes of all recordings, the shards, and the number of recordings that an earlier run had done.
    """
    with ShardSet(folder, plan.options.name or PART_SHARDS, plan.shard_counts()) as shards:
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
        cutting = closing(results_of(plan, workers, folder, len(lines), progress))
        with (folder / "journal.jsonl").open("ab", buffering=0) as journal, cutting as cut:
            for results in cut:
                for result in results:
                    for batch in result.batches():
                        shards.append((result.outcome.split, record) for record in batch)
                outcomes += [result.outcome for result in results]
                line = {"outcomes": [result.outcome.to_json() for result in results], "shards": shards.state()}
                journal.write(json.dumps(line).encode() + b"\n")
        return outcomes, shards, resumed
