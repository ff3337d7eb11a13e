"""Progress events of a training and its final report. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Event:
    """A message for the user.

    Attributes:
        kind: "start", "compiling" and "compiled" (around the first step of each kind), "progress", "preview", "checkpoint", "note" or
            "warning".
        step: Steps done so far.
        text: One line, without the step.
        values: Figures, such as `steps_per_second`, `seconds_left` (None if unknown), losses.
    """

    kind: str
    step: int
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainReport:
    """The outcome of a training.

    Attributes:
        run: The run folder.
        step: Steps done, resumed starts included.
        seconds: Training time, resumed starts included.
        ended_by: "steps", "epochs", "minutes", or "interrupt".
        metrics: The last logged figures.
        best: Step and value of the best checkpoint by `best_metric`; None without one.
        parameters: Network name -> weights.
        steps_taken: Steps of this start alone.
    """

    run: Path
    step: int
    seconds: float
    ended_by: str
    metrics: dict[str, float]
    best: tuple[int, float] | None
    parameters: dict[str, int]
    steps_taken: int = 0

    @property
    def interrupted(self) -> bool:
        return self.ended_by == "interrupt"


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore the event."""
