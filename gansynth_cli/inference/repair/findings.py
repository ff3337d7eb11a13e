"""Findings of a repair step in a recording, and the interface of the steps: look first, then repair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Finding(Protocol):
    """The result of looking through a recording."""

    def __bool__(self) -> bool:
        """Whether there is anything to repair; otherwise the step leaves the recording as it is, bit for bit."""
        ...

    def summary(self) -> str:
        """Return a phrase for the user; "" where nothing was found."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what was found and where, for reports. Times are seconds from the start."""
        ...


class Survey(Protocol):
    """Looks through a recording block by block, in memory that does not grow with its length."""

    def add(self, audio: np.ndarray) -> None:
        """Take the next samples, float [channels, n]; they may be NaN."""
        ...

    def finish(self) -> Finding:
        """Return what was found."""
        ...


class Stream(Protocol):
    """Repairs a recording block by block; as many samples come out as go in, each in its place."""

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [channels, n] -> float [channels, m], for the samples after those returned so far; m may be 0."""
        ...

    def finish(self) -> np.ndarray:
        """Return the rest. The stream is used up."""
        ...


class RepairStep(ABC):
    """A kind of repair.

    Attributes:
        looks: Whether a recording has to be looked through before it is repaired.
    """

    looks: bool = True

    @abstractmethod
    def survey(self, channels: int, sample_rate: int, name: str = "") -> Survey:
        """Begin to look through a recording; `name` is its path below the input folder."""

    @abstractmethod
    def stream(self, finding: Any, channels: int, sample_rate: int) -> Stream:
        """Begin to repair a recording in which something was found."""


@dataclass(frozen=True)
class Span:
    """A stretch of one channel.

    Attributes:
        channel: Counted from 0.
        start, end: Samples; the end is not part of it.
        kind: What it is.
    """

    channel: int
    start: int
    end: int
    kind: str = ""

    @property
    def length(self) -> int:
        """Number of samples."""
        return self.end - self.start

    def to_json(self, sample_rate: int) -> dict[str, Any]:
        """Return channel (counted from 1, as players do), start and length in seconds and samples, and the kind."""
        place = {"channel": self.channel + 1, "start": round(self.start / sample_rate, 6), "seconds": round(self.length / sample_rate, 6)}
        return place | {"start_sample": self.start, "samples": self.length} | ({"kind": self.kind} if self.kind else {})


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Return the runs of True: int64 [runs, 2], start and end of each."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def seconds_text(spans: Sequence[Span], sample_rate: int, limit: int = 3) -> str:
    """Name some spans by their times: "1.230 to 1.842 s, ..."."""
    listed = [f"{span.start / sample_rate:.3f} to {span.end / sample_rate:.3f} s" for span in spans[:limit]]
    return ", ".join(listed) + (f" and {len(spans) - limit} more" if len(spans) > limit else "")
