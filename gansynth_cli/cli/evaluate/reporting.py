"""How a report of `evaluate` is written and printed, the same for every sub-command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import EXIT_FAILED, EXIT_OK, GanAudioError, UsageError
from ...files import write_text
from ...metrics import table
from ...metrics.report import ALL, Report, failures
from .. import console

FORMATS = ("table", "csv", "md", "json")
_MAX_LISTED = 10
_WRITERS: dict[str, Callable[[Report], str]] = {
    ".csv": table.csv_text,
    ".md": table.markdown,
    "": lambda report: json.dumps(report, indent=1, ensure_ascii=False),
}


@dataclass(frozen=True)
class Reporting:
    """Where a report goes, and in which format it is printed."""

    output: Path | None
    format: str

    def finish(self, report: Report, *, failed_is_error: bool = True) -> int:
        """Write and print a report, its failures and notes.

        Args:
            report: What an `evaluate_...` function returned.
            failed_is_error: Whether files without any value make the command fail.

        Returns:
            The exit code.
        """
        if self.output is not None:
            self._write(self.output, report)
        if self.format == "table":
            console.data(table.text(report, terminal_width()))
        elif self.format != "json":
            console.data(table.csv_text(report) if self.format == "csv" else table.markdown(report))
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


def reporting(output: Path | None, overwrite: bool, format: str | None, json_output: bool, quiet: bool) -> Reporting:
    """Check the options of the report and configure the console, before any work.

    Raises:
        UsageError: An unknown format, or a report that exists.
    """
    chosen = chosen_format(format, json_output)
    console.configure(quiet=quiet, json_output=chosen == "json")
    if output is not None and output.exists() and (output.is_dir() or not overwrite):
        kind = "is a folder; expected a file name" if output.is_dir() else "exists already"
        raise UsageError(f"The report {output} {kind}.", hint="add --overwrite, or choose another name with -o")
    return Reporting(output, chosen)


def chosen_format(format: str | None, json_output: bool) -> str:
    """Return the format that `--format` and `--json` ask for.

    Raises:
        UsageError: An unknown one, or two.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format is {format!r}; expected one of {', '.join(FORMATS)}.")
    if json_output and format not in (None, "json"):
        raise UsageError(f"--json cannot be combined with --format {format}.")
    return "json" if json_output else format or "table"


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
