"""`gan-audio evaluate --conversion`: whose voice converted recordings are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..metrics.voices.report import ConversionOptions

_MOST_LISTED = 10


def measure(folders: list[Path], data: Path, model: Path | None, options: ConversionOptions) -> dict[str, Any]:
    """The report."""
    if model is not None and not model.is_dir():
        raise UsageError(f"--model {model} is no run folder: the critic is not in the model file.", hint="--model runs/NAME")
    console.start_tensorflow()
    from ..metrics.voices.report import evaluate_conversion

    critic = None
    if model is not None:
        from ..training.critic import conversion_critic

        critic = conversion_critic(model, console.warn)
    return evaluate_conversion(folders, data, options, console.progress, critic)


def show(report: dict[str, Any]) -> bool:
    """Prints tables, failures and notes; whether every file could be used."""
    from ..metrics.voices.tables import conversion_tables, failures

    if not console.wants_json():
        for title, columns, rows in conversion_tables(report):
            console.table(title, columns, rows, to_stdout=True)
    failed = failures(report)
    for failure in failed[:_MOST_LISTED]:
        what = "not measured" if failure["metric"] == "all" else failure["metric"]
        console.warn(f"{failure['system']}: {failure['file']}: {what}: {failure['reason']}")
    if len(failed) > _MOST_LISTED:
        console.warn(f"{len(failed) - _MOST_LISTED} more have no value; -o report.json and --json list them all")
    critic = report.get("critic_on_real")
    if critic and critic["mean"] is not None:
        console.say(f"the critic takes {critic['mean']:.1%} of {critic['n']} real recordings for real")
    for note in report["notes"]:
        console.say(f"note: {note}")
    return not any(entry["unusable"] for entry in report["systems"])
