"""Write and print a report of `evaluate`, the same for every sub-command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...errors import EXIT_FAILED, EXIT_OK, GanAudioError, UsageError
from ...files import write_text
from ...metrics import table
from ...metrics.report import ALL, Report, failures
from .. import console

FORMATS = ("table", "csv", "md", "json")
_MAX_LISTED = 10
_PANEL = "Report"
_WRITERS: dict[str, Callable[[Report], str]] = {
    ".csv": table.csv_text,
    ".md": table.markdown,
    "": lambda report: json.dumps(report, indent=1, ensure_ascii=False),
}


@dataclass(frozen=True)
class Reporting:
    """Options of every sub-command: where a report goes, and in which format it is printed."""

    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the report to FILE: JSON, or .csv or .md.", rich_help_panel=_PANEL),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.", rich_help_panel=_PANEL)] = False
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="table|csv|md|json", help="Format on stdout.", show_default="table", rich_help_panel=_PANEL),
    ] = None
    json_output: Annotated[bool, typer.Option("--json", help="Same as --format json.", rich_help_panel=_PANEL)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the report, warnings and errors.", rich_help_panel=_PANEL)] = (
        False
    )

    @property
    def chosen(self) -> str:
        """The format of standard output."""
        return "json" if self.json_output else self.format or "table"

    def start(self) -> None:
        """Check the options and configure the console, before any work.

        Raises:
            UsageError: An unknown format, two formats, or a report that exists.
        """
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"--format is {self.format!r}; expected one of {', '.join(FORMATS)}.")
        if self.json_output and self.format not in (None, "json"):
            raise UsageError(f"--json cannot be combined with --format {self.format}.")
        console.configure(quiet=self.quiet, json_output=self.chosen == "json")
        path = self.output
        if path is not None and path.exists() and (path.is_dir() or not self.overwrite):
            kind = "is a folder; expected a file name" if path.is_dir() else "exists already"
            raise UsageError(f"The report {path} {kind}.", hint="add --overwrite, or choose another name with -o")

    def finish(self, report: Report, *, failed_is_error: bool = True) -> int:
        """Write and print a report, its failures and notes.

        Args:
            report: Result of an `evaluate_...` function.
            failed_is_error: Whether files without any value make the command fail.

        Returns:
            The exit code.
        """
        if self.output is not None:
            self._write(self.output, report)
        if self.chosen == "table":
            console.data(table.text(report, terminal_width()))
        elif self.chosen != "json":
            console.data(table.csv_text(report) if self.chosen == "csv" else table.markdown(report))
        _warn_of_failures(report)
        for warning in report["warnings"]:
            console.warn(warning)
        for note in report["notes"]:
            console.say(f"note: {note}")
        console.result(report)
        if self.output is not None:
            console.say(f"report: {self.output}")
        return EXIT_FAILED if failed_is_error and any(entry["failed"] for entry in report["systems"]) else EXIT_OK

    @staticmethod
    def _write(path: Path, report: Report) -> None:
        try:
            write_text(path, _WRITERS.get(path.suffix.lower(), _WRITERS[""])(report) + "\n")
        except OSError as error:
            raise GanAudioError(f"The report {path} cannot be written: {error.strerror}.", hint="choose another place with -o") from error


def terminal_width() -> int:
    """Return the columns of the terminal; 80 where stdout is not one. COLUMNS overrides it."""
    return shutil.get_terminal_size((80, 24)).columns


def _warn_of_failures(report: Report) -> None:
    """Name each file with the figures that it has no value of, one line for each reason; real clips of a data set are not named."""
    roles = {entry["name"]: entry["role"] for entry in report["systems"]}
    titles: dict[tuple[str, str, str], list[str]] = {}
    for failure in failures(report):
        if roles[failure["system"]] in ("reference", "held-out", "noise"):
            continue
        title = "not measured" if failure["figure"] == ALL else report["figures"][failure["figure"]]["title"]
        titles.setdefault((failure["system"], failure["file"], failure["reason"]), []).append(title)
    for (system, file, reason), names in list(titles.items())[:_MAX_LISTED]:
        console.warn(f"{system}: {file}: {', '.join(names)}: {reason}")
    if len(titles) > _MAX_LISTED:
        console.warn(f"{len(titles) - _MAX_LISTED} more failures; -o report.json and --json list them all")
