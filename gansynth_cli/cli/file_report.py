"""Report of a verb over files: the plan of `--dry-run`, a line for each file, and the summary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..data.audio.find import LeftOut, summary_of
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from . import console

if TYPE_CHECKING:
    from ..inference.files.job import Outcome, Plan
    from ..inference.files.task import FileTask

NEARLY_GONE = "hardly any speech was found, and the level fell by more than 20 dB (the model is for speech: it turns music down)"
_MAX_NAMED = 20  # failures listed in the summary
_MUCH_DB = 20.0  # mean reduction above which a recording holds hardly any speech, or very faint speech
_MAX_LINES = 50  # files that get a line each; with more, only the progress is shown


def show_plan(task: FileTask, plan: Plan, output: Path | str, shown: Callable[[Path], Path | str] = lambda path: path) -> int:
    """Show what would be written, each output as `shown` gives it; return the exit code."""
    rows: list[list[Any]] = []
    for job in plan.jobs:
        exists = job.target.exists() and not task.overwrite
        rows.append(
            [job.name, shown(job.target), "exists: skipped" if exists else f"{job.container} {job.subtype}".strip(), round(job.seconds, 2)]
        )
    rows += [[outcome.name, "-", "fails", 0.0] for outcome in plan.failed]
    console.table("", ["recording", "output", "what", "seconds"], rows)
    for outcome in plan.failed:
        warn_of(outcome)
    write = [row for row in rows if not str(row[2]).startswith(("exists", "fails"))]
    minutes = sum(row[3] for row in write) / 60
    length = f", {minutes:.1f} minutes" if minutes else ""  # of files in a store nothing but the size is known
    console.say(f"{len(write)} of {len(rows)} recordings to {task.words.verb}{length}; nothing is written")
    console.result(
        {
            "dry_run": True,
            "output": output,
            "files": [{"name": str(name), "output": str(target), "what": what, "seconds": seconds} for name, target, what, seconds in rows],
            "failed": len(plan.failed),
            "left_out": plan.left_out,
            "left_out_files": _left_out_facts(plan.others),
        }
    )
    return EXIT_FAILED if plan.failed else EXIT_OK


class Progress:
    """Shows outcomes as they arrive, by a line or on the progress bar.

    Args:
        total: Number of files.

    The bar counts seconds of audio; beside it stands how many files are finished.

    Attributes:
        bar: The progress bar, set when it is shown.
        written: Files written so far.
        finished: Files that are through, also those that failed or exist.
    """

    bar: console.Progress

    def __init__(self, total: int):
        self.total, self.written, self.finished = total, 0, 0

    def __call__(self, outcome: Outcome) -> None:
        self.written += outcome.status in ("done", "silent")
        self.finished += 1
        if outcome.status == "done" and self.total <= _MAX_LINES:
            console.say(_line(outcome))
        elif outcome.status in ("failed", "silent"):
            console.warn(f"{outcome.name}: {outcome.reason}")
        skipped = outcome.audio_seconds if outcome.status == "skipped" else 0.0
        self.bar.advance(skipped, f"{self.finished}/{self.total} files  {outcome.name}")


def warn_of(outcome: Outcome) -> None:
    """Say that a file cannot be opened."""
    console.warn(f"{outcome.name}: {outcome.reason}")


def show_left_out(others: LeftOut) -> None:
    """Say which files of the input folders are not taken, and why."""
    for sentence in summary_of(others):
        console.warn(sentence)


def _left_out_facts(others: LeftOut) -> list[dict[str, str]]:
    return [{"path": str(path), "reason": reason} for path, reason in others]


def report_interrupt(progress: Progress, output: Path | str | None) -> int:
    """Report what was written before Ctrl-C; return the exit code."""
    if output is None:
        console.warn(f"interrupted: {progress.written} of {progress.total} recordings were read")
        return EXIT_INTERRUPTED
    console.warn(f"interrupted: {progress.written} of {progress.total} recordings are in {output}. To go on, run the same command again.")
    return EXIT_INTERRUPTED


def report_outcomes(
    task: FileTask,
    outcomes: list[Outcome],
    output: Path | str | None,
    seconds: float,
    report: Path | None = None,
    others: LeftOut | None = None,
) -> int:
    """Report the summary on stderr, for `--json` on stdout, and into the file of `--report`; return the exit code."""
    count = {status: len([o for o in outcomes if o.status == status]) for status in ("done", "skipped", "silent", "failed")}
    audio = sum(o.audio_seconds for o in outcomes if o.status in ("done", "silent"))
    rtf = seconds / audio if audio else None
    written = f"{count['done'] + count['silent']} of {len(outcomes)} recordings {task.words.done}"
    skipped = f", {count['skipped']} skipped (already exist; pass --overwrite to regenerate them)" if count["skipped"] else ""
    where = f"{output}: " if output is not None else ""
    console.say(f"{where}{written}, {console.duration(audio)} of audio in {console.duration(seconds)}{speed(rtf)}{skipped}")
    _warn(outcomes)
    facts = {
        "output": output,
        **count,
        "audio_seconds": round(audio, 3),
        "seconds": round(seconds, 3),
        "rtf": round(rtf, 5) if rtf else None,
        "clipped_samples": sum(o.clipped for o in outcomes),
        **task.facts(),
        "left_out_files": _left_out_facts(others or []),
        "files": [outcome.to_json() for outcome in outcomes],
    }
    console.result(facts)
    if report is not None:
        try:
            files.write_text(report, files.json_text(facts, default=str))
        except OSError as error:
            raise UsageError(f"The report {report} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    return EXIT_FAILED if count["failed"] or count["silent"] else EXIT_OK


def _warn(outcomes: list[Outcome]) -> None:
    """Name the files that are clipped, silent or failed."""
    clipped = [o for o in outcomes if o.clipped]
    silent = [o for o in outcomes if o.status == "silent"]
    failed = [o for o in outcomes if o.status == "failed"]
    if clipped:
        samples = sum(o.clipped for o in clipped)
        console.warn(f"{samples} samples in {len(clipped)} recordings exceeded full scale and were clipped: {_named(clipped)}")
    if gone := [o for o in outcomes if is_nearly_gone(o.reduction_db)]:
        console.warn(f"{NEARLY_GONE}: {_named(gone)}")
    if silent:
        console.warn(f"{len(silent)} silent, written as silence: {_named(silent)}")
    if failed:
        console.warn(f"{len(failed)} failed:")
        for outcome in failed[:_MAX_NAMED]:
            hint = f" (hint: {outcome.hint})" if outcome.hint else ""
            console.warn(f"  {outcome.name}: {outcome.reason}{hint}")
        if len(failed) > _MAX_NAMED:
            console.warn(f"  and {len(failed) - _MAX_NAMED} more; --json lists all")


def _line(outcome: Outcome) -> str:
    extra = f", {outcome.clipped} samples clipped" if outcome.clipped else ""
    note = f" ({outcome.note})" if outcome.note else ""
    return f"{outcome.name}: {outcome.audio_seconds:.2f} s{change(outcome.reduction_db)}{speed(outcome.rtf)}{extra}{note}"


def change(reduction_db: float | None) -> str:
    """Return a mean reduction as the end of a line; "" for None."""
    return "" if reduction_db is None else f", {abs(reduction_db):.1f} dB {'more' if reduction_db < 0 else 'less'}"


def is_nearly_gone(reduction_db: float | None) -> bool:
    """Whether a mean reduction in dB says that hardly any speech was found."""
    return reduction_db is not None and reduction_db > _MUCH_DB


def _named(outcomes: list[Outcome]) -> str:
    more = f" and {len(outcomes) - _MAX_NAMED} more" if len(outcomes) > _MAX_NAMED else ""
    return ", ".join(outcome.name for outcome in outcomes[:_MAX_NAMED]) + more


def speed(rtf: float | None) -> str:
    """Return a real-time factor as the end of a line; "" for None."""
    return f", RTF {rtf:.4f} ({1 / rtf:.3g} times real time)" if rtf else ""
