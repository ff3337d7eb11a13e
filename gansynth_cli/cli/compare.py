"""`gan-audio compare`: the settings in which runs differ, their figures and their cost."""

from __future__ import annotations

import fnmatch
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import EXIT_FAILED, EXIT_OK, GanAudioError, UsageError
from . import console

_DEFAULT = ("preview/*",)
_BUDGETS = ("training.steps", "training.minutes", "training.epochs")


@dataclass(frozen=True)
class Row:
    """A line of the table: what it is, and the value of each run; None where a run has none."""

    group: str
    name: str
    values: list[Any]


@dataclass
class Compared:
    """The comparison: names of the runs, rows, and the runs that could not be read with the reason."""

    runs: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    figures: Annotated[
        list[str] | None,
        typer.Option(
            "--figures", metavar="NAME", help="Figures of training to show, * for any text; repeatable.", show_default="preview/*"
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> int:
    """Compare runs: the settings in which they differ, their figures, their cost.

    Figures are those of the last preview, and the best value of training.best_metric. Of runs that differ only in their seed the mean
    and the standard deviation follow. `gan-audio report RUN...` shows curves and plays the previews.
    """
    console.configure(json_output=json_output)
    found = compare(runs, figures or _DEFAULT)
    for path, reason in found.problems:
        console.warn(f"{path}: {reason}")
    if json_output:
        console.result({"runs": found.runs, "rows": [vars(row) for row in found.rows], "problems": found.problems})
    else:
        cells = [[row.group, row.name, *(_text(value) for value in row.values)] for row in found.rows]
        console.table("", ["", "", *found.runs], cells, to_stdout=True)
    return EXIT_FAILED if found.problems else EXIT_OK


def compare(paths: Sequence[Path], patterns: Sequence[str] = _DEFAULT) -> Compared:
    """Read runs and arrange what differs.

    Raises:
        UsageError: None of them can be read.
    """
    from ..inference.report.systems import read_contents, unique_names
    from ..recipe import flatten, recipe_to_tree
    from ..run_folder import RunFolder

    found, loaded, metrics = Compared(), [], []
    for path, name in zip(paths, unique_names(paths), strict=True):
        try:
            loaded.append(RunFolder.load(path))
        except GanAudioError as error:
            found.problems.append((str(path), error.message))
            continue
        contents = read_contents([path])
        found.problems += [problem for problem in contents.problems if Path(problem[0]).name == "metrics.jsonl"]
        metrics.append(contents.runs[0].metrics)
        found.runs.append(name)
    if not loaded:
        raise UsageError("; ".join(reason for _, reason in found.problems), hint="gan-audio info lists the runs below runs/")
    settings = [{"recipe": run.recipe.name, **flatten(recipe_to_tree(run.recipe)), "data": _data(run)} for run in loaded]
    different = _different(settings)
    found.rows += [Row("setting", key, [one.get(key) for one in settings]) for key in different]
    last = [dict(item for line in lines for item in line.items()) for lines in metrics]
    names = sorted({name for values in last for name in values if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)})
    found.rows += [Row("figure", name, [values.get(name) for values in last]) for name in names]
    best = [run.manifest.get("best") for run in loaded]
    for metric in sorted({run.recipe.training.best_metric for run in loaded} - {""}):
        values = [b[1] if b and run.recipe.training.best_metric == metric else None for run, b in zip(loaded, best, strict=True)]
        found.rows.append(Row("figure", f"best {metric}", values))
    found.rows += _costs(loaded, last)
    if set(different) == {"seed"} and len(loaded) > 1:
        _add_spread(found)
    return found


def _different(settings: Sequence[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for one in settings for key in one if key not in ("name", "title", *_BUDGETS))
    return [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]


def _data(run: Any) -> str:
    return f"{run.info.name} ({run.info.fingerprint[:8]})"


def _costs(runs: Sequence[Any], last: Sequence[dict[str, Any]]) -> list[Row]:
    steps = [run.manifest.get("step") for run in runs]
    seconds = [run.manifest.get("seconds") for run in runs]
    each = [s / n if n and s is not None else None for n, s in zip(steps, seconds, strict=True)]
    sizes = [run.model_file("generator").stat().st_size / 1e6 if run.model_file("generator").is_file() else None for run in runs]
    return [
        Row("cost", "steps", steps),
        Row("cost", "minutes", [None if s is None else s / 60 for s in seconds]),
        Row("cost", "seconds per step", each),
        Row("cost", "peak memory, GiB", [values.get("peak_memory_gib") for values in last]),
        Row("cost", "parameters", [sum((run.manifest.get("parameters") or {}).values()) or None for run in runs]),
        Row("cost", "model, MB", sizes),
    ]


def _add_spread(found: Compared) -> None:
    """Add the mean and the standard deviation over runs that differ only in their seed."""
    for place, row in enumerate(found.rows):
        numbers = [value for value in row.values if isinstance(value, (int, float))]
        whole = row.group != "setting" and len(numbers) == len(row.values)
        more = [statistics.fmean(numbers), statistics.stdev(numbers)] if whole else [None, None]
        found.rows[place] = Row(row.group, row.name, [*row.values, *more])
    found.runs += ["mean", "deviation"]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
