"""The figures of each kind of report with their definitions, as text, Markdown, CSV or JSON. No TensorFlow."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable
from typing import Any

from .clips.figures import FIGURES as CLIPS
from .clips.notes import FIGURES as NOTES
from .figure import Figure
from .pairs.figures import FIGURES as PAIRS
from .pairs.figures import PRESETS
from .table import Grid, markdown_grid
from .voices.figures import FIGURES as VOICES
from .voices.figures import SET_FIGURES

KINDS: dict[str, tuple[Figure, ...]] = {
    "clips": CLIPS,
    "notes": NOTES,
    "pairs": tuple(PAIRS.values()),
    "vocoders": tuple(PAIRS.values()),
    "voices": (*VOICES, *SET_FIGURES),
}


def facts(figure: Figure) -> dict[str, Any]:
    """Return what is known of a figure, JSON-ready; "presets": the presets of `--metrics` that include it."""
    presets = [name for name, keys in PRESETS.items() if figure.key in keys and figure is PAIRS.get(figure.key)]
    return {"key": figure.key, **figure.facts(), "needs": _needs(figure), "presets": presets}


def as_text(figures: Iterable[Figure], width: int = 80) -> str:
    """List figures for a terminal: key, name and properties on one line, the definition below it."""
    entries = []
    for figure in figures:
        head = textwrap.fill("; ".join(part for part in (f"{figure.key}  {figure.title}", *_properties(figure)) if part), width)
        entries.append(f"{head}\n{textwrap.fill(figure.meaning, width, initial_indent='    ', subsequent_indent='    ')}")
    return "\n\n".join(entries)


def as_markdown(figures: Iterable[Figure]) -> str:
    """Write figures as a Markdown table."""
    rows = tuple((f"`{f.key}`", f.title, f.meaning, "; ".join(part for part in _properties(f) if part)) for f in figures)
    return markdown_grid(Grid("", ("key", "in tables", "definition", "unit, range, better"), rows), numeric=False)


def as_csv(figures: Iterable[Figure]) -> str:
    """Write figures as CSV."""
    stream = io.StringIO()
    rows = [facts(figure) | {"presets": " ".join(facts(figure)["presets"])} for figure in figures]
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")


def _properties(figure: Figure) -> tuple[str, ...]:
    direction = f"{figure.better} is better" if figure.better else ""
    presets = ", ".join(facts(figure)["presets"])
    needs = _needs(figure)
    return figure.unit, figure.range, direction, f"needs {needs}" if needs else "", f"in {presets}" if presets else ""


def _needs(figure: Figure) -> str:
    return ", ".join(part for part in (figure.needs, *(name.replace("_", "-") for name in figure.packages)) if part)
