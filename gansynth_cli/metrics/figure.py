"""Figure: a number of a report, with its unit and direction, what it means and how it is computed; and the cells that hold values.

A cell is a JSON-ready dictionary: {"value", "standard_error", "n", "failed"} as far as known, {"needs", "have"} where a set holds too
few recordings, or {"because"} where the figure does not apply. No value is ever replaced by NaN, a zero or the worst one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from ..errors import GanAudioError

Cell = dict[str, Any]


class MetricError(GanAudioError):
    """A figure that has no value for this recording. `reason` is short, for tables."""

    def __init__(self, reason: str, hint: str | None = None):
        super().__init__(reason, hint)
        self.reason = reason


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    Attributes:
        key: Name in reports, in CSV and on the command line.
        title: Name in tables.
        better: Which values are better; "" where neither direction is.
        meaning: Definition, conventions and source, in Markdown.
        unit: "dB", "MOS", "nat", ...; "" for shares and other plain numbers.
        range: Possible values, such as "0 to 1"; "" if unbounded.
        needs: Requirements beyond the recordings, such as "a classifier" or "--source".
        packages: Optional Python packages that must be importable.
        extra: The extra of this package that brings them.
        rate: The only sample rate it is defined at, Hz; 0 for any.
        compute: The function that computes it, with the arguments that its package states; None if it is a part of a larger result.
    """

    key: str
    title: str
    better: Literal["higher", "lower", ""]
    meaning: str
    unit: str = ""
    range: str = ""
    needs: str = ""
    packages: tuple[str, ...] = ()
    extra: str = "metrics"
    rate: int = 0
    compute: Callable[..., Any] | None = None

    @property
    def installed(self) -> bool:
        """Whether the packages it needs can be imported."""
        return all(find_spec(package) is not None for package in self.packages)

    def facts(self) -> dict[str, str]:
        """Return the entries of a report that describe the figure itself."""
        return {"title": self.title, "unit": self.unit, "better": self.better, "range": self.range, "meaning": self.meaning}


def mean_of(values: Sequence[float] | np.ndarray, failed: int = 0) -> Cell:
    """Average the values of several recordings.

    Args:
        values: One number per recording that has one.
        failed: Recordings without a value.

    Returns:
        "value" (absent without values), its "standard_error" (from two values on), "n" and "failed".
    """
    numbers = np.asarray(values, float)
    cell: Cell = {"n": len(numbers), "failed": failed}
    if len(numbers):
        cell["value"] = float(numbers.mean())
    if len(numbers) > 1:
        cell["standard_error"] = float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    return cell


def share_of(successes: np.ndarray) -> Cell:
    """Return the share of True in bool [n], n at least 1, with its binomial standard error."""
    share = float(np.mean(successes))
    return {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / len(successes))), "n": len(successes)}


def absent(because: str) -> Cell:
    """Return the cell of a figure that does not apply, with the reason."""
    return {"because": because}


def too_few(needs: int, have: int) -> Cell:
    """Return the cell of a figure that needs more recordings than there are."""
    return {"needs": needs, "have": have}
