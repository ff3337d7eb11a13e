"""The one shape of every report of `evaluate`, and what is read from it: failures, and sentences on figures without a value.

A report is a JSON-ready dictionary:

report_version, software
kind        "clips", "notes", "pairs", "vocoders" or "voices"
figures     key -> title, unit, better, range, meaning
systems     one entry for each set or folder, in the order of the tables:
              name, role, path
              files, failed       all files, and those without any value
              figures             key -> cell
              failures            {"file", "figure", "reason"}; the figure is "all" for a file without any value
              groups              name of an SNR or of a pair of speakers -> {"files", "figures"}
              difference          {"from": name of the first system, "figures"}
              ...                 details of the kind
notes       sentences that a reader of the figures has to know
warnings    sentences on what may need action
...         facts of the kind: data, classifier, settings, versions, files (every value of every file)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from .. import __version__
from ..errors import UsageError
from .figure import Figure

REPORT_VERSION = 2
ALL = "all"  # the figure of a failure that concerns the whole file

Report = dict[str, Any]


class ProgressBar(Protocol):
    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """Report that `amount` more units are done."""


Progress = Callable[[str, float | None, str], AbstractContextManager[ProgressBar]]  # (label, total, unit)


class _Silent:
    def advance(self, amount: float = 1, note: str | None = None) -> None:
        pass


def silent(label: str, total: float | None, unit: str) -> AbstractContextManager[ProgressBar]:
    """Report no progress: the default of every `evaluate_...` function."""
    return nullcontext(_Silent())


def make_report(
    kind: str,
    figures: Iterable[Figure],
    systems: Sequence[dict[str, Any]],
    *,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    **facts: Any,
) -> Report:
    """Assemble a report.

    Args:
        kind: The sub-command of `evaluate`.
        figures: Figures of the tables, in their order.
        systems: As the module's docstring states.
        notes: Sentences; one is added for each reason why no system has a value of some figures.
        warnings: Sentences.
        facts: Further entries.
    """
    known = {figure.key: figure for figure in figures}
    return {
        "report_version": REPORT_VERSION,
        "software": f"gan-audio {__version__}",
        "kind": kind,
        "figures": {key: figure.facts() for key, figure in known.items()},
        "systems": list(systems),
        **facts,
        "notes": [*notes, *_without_value(known, systems)],
        "warnings": list(warnings),
    }


def failures(report: Report) -> list[dict[str, str]]:
    """List everything without a value: {"system", "file", "figure", "reason"}, with the figure "all" for a file that has none at all."""
    return [{"system": entry["name"], **failure} for entry in report["systems"] for failure in entry["failures"]]


def failures_of(name: str, unusable: str, values: Mapping[str, float | str] | None = None) -> list[dict[str, str]]:
    """List the failures of one file: one if it is unusable for the reason given, else one for each value that is a reason (str)."""
    if unusable:
        return [{"file": name, "figure": ALL, "reason": unusable}]
    return [{"file": name, "figure": key, "reason": value} for key, value in (values or {}).items() if isinstance(value, str)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Name folders or files by the last part of their paths, or by as many parts as tell them apart.

    Raises:
        UsageError: One was given twice.
    """
    whole = [path.resolve() for path in paths]
    for index, path in enumerate(whole):
        if path in whole[:index]:
            raise UsageError(f"{paths[index]} is given twice.")
    depth = 1
    while len({path.parts[-depth:] for path in whole}) < len(whole):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in whole]


def _without_value(figures: dict[str, Figure], systems: Sequence[dict[str, Any]]) -> list[str]:
    """Say why figures have no value anywhere, once for each reason."""
    by_reason: dict[str, list[str]] = {}
    for key, figure in figures.items():
        cells = [entry["figures"][key] for entry in systems if key in entry["figures"]]
        if cells and all("because" in cell for cell in cells):
            by_reason.setdefault(cells[0]["because"], []).append(figure.title)
    return [f"no value for {', '.join(titles)}: {reason}" for reason, titles in by_reason.items()]
