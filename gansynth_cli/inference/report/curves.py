"""The curves of runs as SVG: one small picture for each figure, a line for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .systems import NOT_CURVES, Run

WIDTH, HEIGHT, MAX_POINTS = 300, 110, 300
# Distinguishable for most colour-blind readers (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#a08a00")

# End of a name -> what it is. docs/training.md has more.
MEANINGS = {
    "gradient_norm": "Norm of the gradient before it is clipped.",
    "steps_per_second": "Steps each second, previews and checkpoints left out.",
    "examples_per_second": "Training examples each second.",
    "input_wait": "Share of the time in which training waits for data; above 0.05 reading is too slow.",
    "preview/frechet_logmel": "Distance of the log-mel statistics of previews and of validation clips; lower is better, within one run.",
    "preview/difference": "How much the previews differ from each other; near 0 the generator has collapsed.",
    "preview/silent": "Fraction of the previews that is silent.",
    "preview/si_sdr": "Median scale-invariant signal-to-distortion ratio of the previews, dB; higher is better.",
    "preview/si_sdr_gain": "Its gain over the noisy recordings, dB; higher is better.",
    "adversarial": "The adversarial objective of this network.",
    "reconstruction": "Weighted distance to the recordings.",
    "r1": "Weighted R1 penalty on the discriminator's gradient at real clips.",
    "gradient_penalty": "Weighted gradient penalty of the critic.",
}


@dataclass(frozen=True)
class Line:
    """One run in a picture: its SVG points, its colour, its last value."""

    run: str
    colour: str
    points: str
    last: float
    step: int


@dataclass(frozen=True)
class Picture:
    """The curves of one figure."""

    name: str
    meaning: str
    low: float
    high: float
    first: int
    end: int
    lines: list[Line]


def pictures(runs: Sequence[Run]) -> list[Picture]:
    """Draw every figure that at least one run has two values of."""
    names = sorted({key for run in runs for line in run.metrics for key in line if key not in NOT_CURVES}, key=_order)
    found = []
    for name in names:
        series = {number: [(line["step"], line[name]) for line in run.metrics if name in line] for number, run in enumerate(runs)}
        series = {number: values for number, values in series.items() if len(values) > 1}
        if series:
            found.append(_picture(name, series, runs))
    return found


def last_values(runs: Sequence[Run]) -> list[tuple[str, str, list[float | None]]]:
    """Return (name, meaning, last value of each run) of the figures of previews and other losses, for a table."""
    names = sorted({key for run in runs for line in run.metrics for key in line if key not in NOT_CURVES}, key=_order)
    last = [dict(item for line in run.metrics for item in line.items()) for run in runs]
    return [(name, meaning_of(name), [values.get(name) for values in last]) for name in names]


def meaning_of(name: str) -> str:
    """Return what a figure is, by the longest end of its name that is known; empty if none is."""
    known = [end for end in MEANINGS if name == end or name.endswith("/" + end)]
    return MEANINGS[max(known, key=len)] if known else ""


def _order(name: str) -> tuple[int, str]:
    groups = ("preview/", "generator/", "critic/")
    return (next((i for i, group in enumerate(groups) if name.startswith(group)), len(groups) + ("/" not in name)), name)


def _picture(name: str, series: dict[int, list[tuple[int, float]]], runs: Sequence[Run]) -> Picture:
    steps = [step for values in series.values() for step, _ in values]
    values = [value for points in series.values() for _, value in points]
    low, high, first, end = min(values), max(values), min(steps), max(steps)
    lines = []
    for number, points in series.items():
        every = -(-len(points) // MAX_POINTS)
        shown = points[::every] + ([points[-1]] if (len(points) - 1) % every else [])
        places = " ".join(
            f"{WIDTH * (step - first) / max(1, end - first):.1f},{HEIGHT * (1 - (value - low) / ((high - low) or 1)):.1f}"
            for step, value in shown
        )
        lines.append(Line(runs[number].name, COLOURS[number % len(COLOURS)], places, points[-1][1], points[-1][0]))
    return Picture(name, meaning_of(name), low, high, first, end, lines)


def as_text(value: Any) -> str:
    """Format a value for a table."""
    return "" if value is None else f"{value:.4g}"
