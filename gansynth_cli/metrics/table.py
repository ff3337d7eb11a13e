"""Reports as tables: fitted to a width as plain text or Markdown, or as CSV with a line for each value.

Tables have a row for each system where that fits the width; else a row for each figure, the systems in as many blocks as it takes.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .figure import Cell
from .report import Report

MARKDOWN_WIDTH = 120
CSV_COLUMNS = ("system", "group", "figure", "value", "standard_error", "n", "failed", "unit", "better", "reason")
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
_GAP = 2  # columns between columns
_MIN_LABEL = 12


@dataclass(frozen=True)
class Table:
    """A table before it is laid out: systems down, figures across.

    Attributes:
        title: Line above the table; "" for none.
        heads: Titles of the label columns: "system", or "group" and "system".
        columns: Titles of the figures.
        rows: Labels, one for each head, and cells, one for each column, formatted.
    """

    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True)
class Grid:
    """A table as it is drawn: a header and rows of strings, the first column left-aligned, the others right-aligned."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def widths(self) -> list[int]:
        return [max(map(_columns_of, column)) for column in zip(self.header, *self.rows, strict=True)]

    @property
    def width(self) -> int:
        return sum(self.widths) + _GAP * (len(self.header) - 1)


def tables_of(report: Report) -> list[Table]:
    """Arrange a report: all files; the groups, if there are several; differences from the first system.

    Figures without any value are left out.
    """
    systems = report["systems"]
    shown = {key: facts for key, facts in report["figures"].items() if any(_has_text(entry["figures"].get(key)) for entry in systems)}
    counts = [(str(entry["files"]), str(entry["failed"])) for entry in systems]
    rows = [
        ((entry["name"],), (*count, *(_cell(entry["figures"].get(key), entry["files"] - entry["failed"]) for key in shown)))
        for entry, count in zip(systems, counts, strict=True)
    ]
    tables = [Table("", ("system",), ("files", "failed", *_titles(shown)), tuple(rows))]
    return [*tables, *_group_tables(report), *_difference_tables(report)]


def text(report: Report, width: int = 80) -> str:
    """Lay out a report's tables for a terminal of `width` columns."""
    return "\n\n".join("\n".join(_lines(grid)) for table in tables_of(report) for grid in layout(table, width))


def markdown(report: Report, width: int = MARKDOWN_WIDTH) -> str:
    """Write a report's tables in GitHub's Markdown, laid out as for a page of `width` characters."""
    return "\n\n".join(markdown_grid(grid) for table in tables_of(report) for grid in layout(table, width))


def csv_text(report: Report) -> str:
    """Write a report as CSV, a line for each system, group and figure; numbers with all their digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for entry in report["systems"]:
        for count in ("files", "failed"):
            writer.writerow([entry["name"], "", count, entry[count], *[""] * 6])
        parts = [("", entry["figures"]), *((name, group["figures"]) for name, group in entry.get("groups", {}).items())]
        if difference := entry.get("difference"):
            parts.append((f"difference from {difference['from']}", difference["figures"]))
        for group, cells in parts:
            for key, cell in cells.items():
                facts = report["figures"][key]
                numbers = [cell.get(name, "") for name in ("value", "standard_error", "n", "failed")]
                writer.writerow([entry["name"], group, key, *numbers, facts["unit"], facts["better"], _reason(cell)])
    return stream.getvalue().rstrip("\n")


def layout(table: Table, width: int) -> list[Grid]:
    """Fit a table to a width: systems down; else split by group; else figures down, in blocks of systems."""
    whole = Grid(table.title, (*table.heads, *table.columns), tuple((*labels, *cells) for labels, cells in table.rows))
    if whole.width <= width:
        return [whole]
    if len(table.heads) > 1:
        return [grid for part in _split(table) for grid in layout(part, width)]
    figures = max(map(_columns_of, ("figure", *table.columns)))
    longest = max(_MIN_LABEL, width - figures - _GAP)
    columns = [[_shortened(labels[0], longest), *cells] for labels, cells in table.rows]
    blocks: list[list[list[str]]] = [[]]
    taken = figures
    for column in columns:
        needed = max(map(_columns_of, column)) + _GAP
        if blocks[-1] and taken + needed > width:
            blocks.append([])
            taken = figures
        blocks[-1].append(column)
        taken += needed
    return [
        Grid(
            table.title,
            ("figure", *(column[0] for column in block)),
            tuple((title, *(column[index] for column in block)) for index, title in enumerate(table.columns, 1)),
        )
        for block in blocks
    ]


def markdown_grid(grid: Grid, *, numeric: bool = True) -> str:
    """Write one grid as a Markdown table; `numeric` aligns all columns but the first to the right."""
    lines = [f"**{grid.title}**", ""] if grid.title else []
    rule = ("---", *["---:" if numeric else "---"] * (len(grid.header) - 1))
    return "\n".join([*lines, *("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in (grid.header, rule, *grid.rows))])


def number(value: float, *, sign: bool = False) -> str:
    """Format a value: four digits, at most three decimals; below 0.01 two digits, at most six decimals."""
    return f"{value:{'+' if sign else ''}.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    # The exponent of the value as it will be rounded: 9.9996 is shown as 10.00.
    exponent = int(f"{abs(value):.3e}".partition("e")[2])
    return min(6, 1 - exponent) if exponent < -2 else min(3, max(0, 3 - exponent))


def _split(table: Table) -> Iterator[Table]:
    for group in dict.fromkeys(labels[0] for labels, _ in table.rows):
        rows = tuple((labels[1:], cells) for labels, cells in table.rows if labels[0] == group)
        yield Table(f"{table.title}, {group}" if table.title else group, table.heads[1:], table.columns, rows)


def _group_tables(report: Report) -> list[Table]:
    systems = [entry for entry in report["systems"] if entry.get("groups")]
    names = list(dict.fromkeys(name for entry in systems for name in entry["groups"]))
    if len(names) < 2:
        return []
    keys = {key for entry in systems for group in entry["groups"].values() for key, cell in group["figures"].items() if _has_text(cell)}
    shown = {key: facts for key, facts in report["figures"].items() if key in keys}
    rows = []
    for name in names:
        here = [(entry["name"], entry["groups"][name]) for entry in systems if name in entry["groups"]]
        label = f"{name}, {max(group['files'] for _, group in here)} files"
        for system, group in here:
            cells = tuple(_cell(group["figures"].get(key), group["files"]) for key in shown)
            rows.append(((label, system), cells))
    return [Table("", ("group", "system"), tuple(_titles(shown)), tuple(rows))]


def _difference_tables(report: Report) -> list[Table]:
    compared = [entry for entry in report["systems"] if "difference" in entry]
    if not compared:
        return []
    first = compared[0]["difference"]["from"]
    rows = tuple(
        ((entry["name"],), tuple(_gap(entry["difference"]["figures"].get(key)) for key in report["figures"])) for entry in compared
    )
    title = f"difference from {first}: mean ± standard error (files that are better)"
    return [Table(title, ("system",), tuple(_titles(report["figures"])), rows)]


def _titles(figures: dict[str, Any]) -> Iterator[str]:
    for facts in figures.values():
        unit = f", {facts['unit']}" if facts["unit"] else ""
        yield f"{facts['title']}{unit}{_ARROWS[facts['better']]}"


def _has_text(cell: Cell | None) -> bool:
    return cell is not None and ("value" in cell or "needs" in cell or bool(cell.get("failed")))


def _cell(cell: Cell | None, files: int) -> str:
    """Format a cell; n is shown where it is less than the number of files."""
    if cell is None or "value" not in cell:
        return f"needs {cell['needs']}" if cell and "needs" in cell else "-"
    fewer = f" (n={cell['n']})" if cell.get("n", files) < files else ""
    return _with_error(cell) + fewer


def _gap(cell: Cell | None) -> str:
    return "-" if cell is None or "value" not in cell else f"{_with_error(cell, sign=True)} ({cell['better']}/{cell['n']})"


def _with_error(cell: Cell, *, sign: bool = False) -> str:
    value, error = cell["value"], cell.get("standard_error")
    if error is None or (error == 0 and not sign):  # a share of 0 or 1, or equal values: no spread, but no certainty either
        return number(value, sign=sign)
    return f"{number(value, sign=sign)} ± {error:.{_decimals(value)}f}"


def _reason(cell: Cell) -> str:
    return f"needs {cell['needs']}, has {cell['have']}" if "needs" in cell else cell.get("because", "")


def _lines(grid: Grid) -> list[str]:
    widths = grid.widths
    rule = tuple("─" * width for width in widths)
    gap = " " * _GAP

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell + " " * pad if index == 0 else " " * pad + cell
            for index, (cell, pad) in enumerate((cell, width - _columns_of(cell)) for cell, width in zip(row, widths, strict=True))
        )
        return gap.join((first, *others)).rstrip()

    return [*([grid.title] if grid.title else []), *map(line, (grid.header, rule, *grid.rows))]


def _columns_of(cell: str) -> int:
    """Columns that a string takes on a terminal: East Asian wide characters two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in cell)


def _shortened(label: str, width: int) -> str:
    """Keep the end of a label that is too long: names of folders differ there."""
    while _columns_of(label) > width:
        label = "…" + label[2:]
    return label


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
