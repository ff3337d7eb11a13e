"""Splice two recordings: the seam between them is a gap, filled as gaps of recordings are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import UsageError
from ..repair.gap_filling import MAX_FILL_SECONDS, GapFiller, predict
from .recordings import HoldBack, part_of, take, writer_like

_CONTEXT_SECONDS = 1.0


@dataclass(frozen=True)
class SpliceOptions:
    """Where the recordings meet.

    Attributes:
        seam_ms: Length of the filled seam.
        search_ms: By how much the seam may be shorter or longer, so that both sides are in phase.
        until: End of the first recording, seconds; None: its end.
        start: Begin of the second one, seconds.
    """

    seam_ms: float = 60.0
    search_ms: float = 8.0
    until: float | None = None
    start: float = 0.0

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        longest = 1000 * MAX_FILL_SECONDS
        if not 0 <= self.search_ms < self.seam_ms or self.seam_ms + self.search_ms > longest:
            raise UsageError(
                f"--seam is {self.seam_ms:g} ms and --search {self.search_ms:g} ms; expected a search shorter than the seam, and at most "
                f"{longest:g} ms in all: nothing longer can be filled.",
                hint="--seam 60 --search 8",
            )
        if self.until is not None and self.until <= 0:
            raise UsageError(f"--until is {self.until:g}; expected seconds above 0.")
        if self.start < 0:
            raise UsageError(f"--from is {self.start:g}; expected seconds from 0.")


def splice(first: Path, second: Path, output: Path, options: SpliceOptions, *, overwrite: bool = False) -> dict[str, Any]:
    """Write the first recording, a filled seam, and the second one, in memory that does not grow with their length.

    The second is converted to the rate and the channels of the first. Outside the seam the samples are those of the recordings.

    Returns:
        "seam": [start, end] in seconds; "seconds": length of the output; "clipped".
    """
    options.check()
    info = audio_file.probe(first)
    audio_file.probe(second)
    rate, channels = info.sample_rate, info.channels
    context = round(_CONTEXT_SECONDS * rate)
    facts = {"edit": "splice", "seam_ms": options.seam_ms}
    with writer_like(output, info, facts, channels=channels, sample_rate=rate, overwrite=overwrite) as out:
        head = HoldBack(part_of(first, end=options.until), context)
        for block in head:
            out.write(block)
        rest = part_of(second, start=options.start, sample_rate=rate, channels=channels)
        before, after = head.rest, take(rest, context)
        out.write(before)
        begin = out.frames
        out.write(seam_between(before, after[:context], rate, options))
        end = out.frames
        out.write(after)
        for block in rest:
            out.write(block)
    return {"output": output, "seam": [round(begin / rate, 4), round(end / rate, 4)], "seconds": out.frames / rate, "clipped": out.clipped}


def seam_between(before: np.ndarray, after: np.ndarray, sample_rate: int, options: SpliceOptions) -> np.ndarray:
    """Fill the seam between two sounds.

    Its length is the one, near that of the options, at which the continuation of one side and that of the other agree best.

    Args:
        before, after: float [n, channels].

    Returns:
        The seam, float [m, channels].
    """
    length = _best_length(before.mean(axis=1), after.mean(axis=1), sample_rate, options)
    hidden = np.zeros(len(before) + length + len(after), bool)
    start, end = len(before), len(before) + length
    hidden[start:end] = True
    filler, gap = GapFiller(), np.zeros(length)
    columns = [
        filler.fill(np.concatenate([before[:, c], gap, after[:, c]]).astype(np.float64), hidden, start, end, sample_rate)
        for c in range(before.shape[1])
    ]
    return np.stack(columns, axis=1).astype(before.dtype)


def _best_length(before: np.ndarray, after: np.ndarray, sample_rate: int, options: SpliceOptions) -> int:
    middle, reach = (max(1, round(ms * sample_rate / 1000)) for ms in (options.seam_ms, options.search_ms))
    reach = min(reach, middle - 1)
    forward = predict(before, middle + reach, sample_rate)
    backward = predict(after[::-1], middle + reach, sample_rate)[::-1]
    best, most = middle, -np.inf
    for length in range(middle - reach, middle + reach + 1):
        one, other = forward[:length], backward[-length:]
        agreement = one @ other / np.sqrt((one @ one) * (other @ other) + 1e-12)
        if agreement > most + 1e-9:
            best, most = length, agreement
    return best
