"""What `enhance` and `convert` say of the recordings that they are given: before, during and after."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from . import console

if TYPE_CHECKING:
    from ..inference.files.file_batch import Outcome, Plan

_MOST_NAMED = 20  # failures listed at the end
_MOST_LINES = 50  # recordings that get a line each; of more, only the progress is shown


@dataclass(frozen=True)
class Words:
    """How a verb speaks: "enhance", "enhanced", "Enhancing"."""

    verb: str
    done: str
    doing: str


def show_plan(made: Plan, output: Path, overwrite: bool, words: Words) -> int:
    """What would be done (`--dry-run`); gives the exit code."""
    rows: list[list[Any]] = []
    for job in made.jobs:
        there = job.target.exists() and not overwrite
        rows.append([job.name, job.target, "exists: skipped" if there else f"{job.container} {job.subtype}", round(job.seconds, 2)])
    rows += [[outcome.name, "-", "fails", 0.0] for outcome in made.failed]
    console.table("", ["recording", "output", "what", "seconds"], rows)
    for outcome in made.failed:
        console.warn(f"{outcome.name}: {outcome.reason}")
    write = [row for row in rows if not str(row[2]).startswith(("exists", "fails"))]
    console.say(
        f"{len(write)} of {len(rows)} recordings to {words.verb}, {sum(row[3] for row in write) / 60:.1f} minutes; nothing is written"
    )
    console.result(
        {
            "dry_run": True,
            "output": output,
            "files": [{"name": str(name), "output": str(target), "what": what, "seconds": seconds} for name, target, what, seconds in rows],
            "failed": len(made.failed),
            "left_out": made.left_out,
        }
    )
    return EXIT_FAILED if made.failed else EXIT_OK


def run_plan(
    made: Plan,
    output: Path,
    words: Words,
    run: Callable[[Callable[[float], None], Callable[[Outcome], None]], list[Outcome]],
    facts: dict[str, Any],
) -> int:
    """Runs a plan under a progress bar and reports on it; gives the exit code.

    Args:
        made: From `plan_jobs`.
        run: Does the jobs; is given what to call with seconds of sound that are done and with every outcome.
        facts: More for `--json`.
    """
    for outcome in made.failed:
        console.warn(f"{outcome.name}: {outcome.reason}")
    outcomes: list[Outcome] = []
    started = time.monotonic()

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.status == "done":
            if len(made.jobs) <= _MOST_LINES:
                console.say(_line(outcome))
            elif outcome.rtf:
                bar.advance(0, f"{outcome.name}: RTF {outcome.rtf:.3f}")
        elif outcome.status == "skipped":
            bar.advance(outcome.audio_seconds)
        else:
            console.warn(f"{outcome.name}: {outcome.reason}")

    try:
        with console.progress(words.doing, round(made.seconds), "s of sound") as bar:
            ordered = run(bar.advance, report)
    except KeyboardInterrupt:
        done = len([outcome for outcome in outcomes if outcome.status in ("done", "silent")])
        console.warn(f"interrupted: {done} of {len(made.jobs)} recordings are in {output}. To go on, run the same command again.")
        return EXIT_INTERRUPTED
    return _finish(made.failed + ordered, output, words, time.monotonic() - started, facts)


def _line(outcome: Outcome) -> str:
    extra = f", {outcome.clipped} samples clipped" if outcome.clipped else ""
    note = f" ({outcome.note})" if outcome.note else ""
    return f"{outcome.name}: {outcome.audio_seconds:.2f} s{speed(outcome.rtf)}{extra}{note}"


def _finish(outcomes: list[Outcome], output: Path, words: Words, seconds: float, facts: dict[str, Any]) -> int:
    count = {status: len([o for o in outcomes if o.status == status]) for status in ("done", "skipped", "silent", "failed")}
    audio = sum(o.audio_seconds for o in outcomes if o.status in ("done", "silent"))
    rtf = seconds / audio if audio else None
    clipped = [o for o in outcomes if o.clipped]
    written = f"{count['done'] + count['silent']} of {len(outcomes)} recordings {words.done}"
    skipped = f", {count['skipped']} skipped because they exist (--overwrite makes them anew)" if count["skipped"] else ""
    console.say(f"{output}: {written}, {console.duration(audio)} of sound in {console.duration(seconds)}{speed(rtf)}{skipped}")
    if clipped:
        console.warn(
            f"{sum(o.clipped for o in clipped)} samples in {len(clipped)} recordings were beyond full scale and were clipped, not wrapped: "
            + _named(clipped)
        )
    if count["silent"]:
        console.warn(f"{count['silent']} silent, written as silence: " + _named([o for o in outcomes if o.status == "silent"]))
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        console.warn(f"{len(failed)} failed:")
        for outcome in failed[:_MOST_NAMED]:
            hint = f" (hint: {outcome.hint})" if outcome.hint else ""
            console.warn(f"  {outcome.name}: {outcome.reason}{hint}")
        if len(failed) > _MOST_NAMED:
            console.warn(f"  and {len(failed) - _MOST_NAMED} more; --json lists all")
    console.result(
        {
            "output": output,
            **count,
            "audio_seconds": round(audio, 3),
            "seconds": round(seconds, 3),
            "rtf": round(rtf, 5) if rtf else None,
            "clipped_samples": sum(o.clipped for o in outcomes),
            **facts,
            "files": [outcome.to_json() for outcome in outcomes],
        }
    )
    return EXIT_FAILED if count["failed"] or count["silent"] else EXIT_OK


def _named(outcomes: list[Outcome]) -> str:
    more = f" and {len(outcomes) - _MOST_NAMED} more" if len(outcomes) > _MOST_NAMED else ""
    return ", ".join(outcome.name for outcome in outcomes[:_MOST_NAMED]) + more


def speed(rtf: float | None) -> str:
    """A real-time factor for the end of a line."""
    return f", RTF {rtf:.4f} ({1 / rtf:.3g} times real time)" if rtf else ""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
