"""Gaps: samples that are NaN, dropouts filled with zeros, and stretches that the user lists."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from .findings import RepairStep, Span, runs_of, seconds_text
from .gap_filling import FADE_IN, FADE_OUT, FADE_SECONDS, MAX_FILL_SECONDS, GapFiller

_EDGE_SECONDS, _NEAREST_SECONDS = 0.020, 0.002
_MIN_ZEROS_SECONDS, _MAX_ZEROS_SECONDS = 0.0015, 1.0  # shorter runs of zeros are audio, longer ones silence
_MIN_LEVEL = 10 ** (-55 / 20)  # RMS next to a dropout
_MAX_FADE = 0.1  # where the nearest 2 ms have less than this share of the RMS of 20 ms, the audio faded out: that is no dropout
_CONTEXT_SECONDS = 1.0  # of audio on either side that is kept for filling
NOT_A_NUMBER, ZEROS, LISTED = "NaN", "zeros", "listed"


@dataclass(frozen=True)
class GapFinding:
    """The gaps of a recording.

    Attributes:
        spans: In order of their ends.
        sample_rate: Hz.
    """

    spans: list[Span]
    sample_rate: int

    def __bool__(self) -> bool:
        return bool(self.spans)

    @property
    def too_long(self) -> list[Span]:
        """Gaps that are not filled: NaN becomes silence, others stay."""
        return [span for span in self.spans if span.length > MAX_FILL_SECONDS * self.sample_rate]

    def summary(self) -> str:
        if not self:
            return ""
        longest = max(span.length for span in self.spans) / self.sample_rate
        text = f"{len(self.spans)} gap{'s' * (len(self.spans) != 1)} of up to {1000 * longest:.3g} ms"
        if long := self.too_long:
            text += f", {len(long)} too long to fill (over {1000 * MAX_FILL_SECONDS:g} ms): {seconds_text(long, self.sample_rate)}"
        return text

    def to_json(self) -> dict[str, Any]:
        most = MAX_FILL_SECONDS * self.sample_rate
        return {"found": bool(self), "spans": [s.to_json(self.sample_rate) | {"filled": s.length <= most} for s in self.spans]}


class GapSurvey:
    """Finds NaN samples, infinite ones included, and dropouts: runs of zeros between 1.5 ms and 1 s that begin and end at full level.

    Args:
        channels: Number of channels.
        sample_rate: Hz.
        listed: [start, end] in samples of further gaps, in all channels.
    """

    def __init__(self, channels: int, sample_rate: int, listed: Sequence[tuple[int, int]] = ()):
        self._rate, self._listed, self._frames = sample_rate, listed, 0
        edge = round(_EDGE_SECONDS * sample_rate)
        self._channels = [_ChannelSurvey(channel, sample_rate, edge) for channel in range(channels)]
        self._edge = edge

    def add(self, audio: np.ndarray) -> None:
        for x, channel in zip(audio, self._channels, strict=True):
            channel.add(x)
        self._frames += audio.shape[1]

    def finish(self) -> GapFinding:
        spans = []
        for channel in self._channels:
            channel.add(np.zeros(self._edge))
            channel.close(self._frames)
            spans += channel.spans
            spans += [Span(channel.index, start, min(end, self._frames), LISTED) for start, end in self._listed if start < self._frames]
        return GapFinding(_merged(spans), self._rate)


class _ChannelSurvey:
    """The gaps of one channel. Samples are judged once the 20 ms after them are known."""

    def __init__(self, index: int, sample_rate: int, edge: int):
        self.index, self.spans = index, []  # type: int, list[Span]
        self._rate, self._edge = sample_rate, edge
        self._nearest = max(2, round(_NEAREST_SECONDS * sample_rate))
        self._buffer = np.zeros(edge)
        self._offset = -edge  # of the buffer
        self._open: tuple[int, bool, bool] | None = None  # start, loud before it, NaN so far

    def add(self, x: np.ndarray) -> None:
        self._buffer = np.concatenate([self._buffer, x])
        edge, end = self._edge, len(self._buffer) - self._edge
        if end <= edge:
            return
        x = self._buffer[edge:end]
        nan = ~np.isfinite(x)
        runs = runs_of(nan | (x == 0)) + edge
        counts = np.concatenate([[0], np.cumsum(nan)])
        broken = counts[runs[:, 1] - edge] > counts[runs[:, 0] - edge]
        if self._open is not None and not (len(runs) and runs[0, 0] == edge):
            self._close(edge)
        worth = broken | (runs[:, 1] - runs[:, 0] >= _MIN_ZEROS_SECONDS * self._rate) | (runs[:, 0] == edge) | (runs[:, 1] == end)
        for (first, last), has_nan in zip(runs[worth].tolist(), broken[worth].tolist(), strict=True):
            if self._open is not None and first == edge:
                has_nan = has_nan or self._open[2]
                self._open = (*self._open[:2], has_nan)
            else:
                self._open = (self._offset + first, self._loud(self._buffer[first - edge : first][::-1]), has_nan)
            if last < end:
                self._close(last)
        self._buffer = self._buffer[end - edge :]
        self._offset += end - edge

    def close(self, frames: int) -> None:
        """End a gap that is open at the end of the recording; dropouts have a right side, but NaN counts."""
        if self._open is not None and self._open[2]:
            self.spans.append(Span(self.index, self._open[0], frames, NOT_A_NUMBER))

    def _close(self, last: int) -> None:
        """End the open run at a position in the buffer."""
        assert self._open is not None
        start, loud, nan = self._open
        self._open = None
        length = self._offset + last - start
        if nan:
            self.spans.append(Span(self.index, start, start + length, NOT_A_NUMBER))
        usual = _MIN_ZEROS_SECONDS <= length / self._rate <= _MAX_ZEROS_SECONDS
        if not nan and usual and loud and self._loud(self._buffer[last : last + self._edge]):
            self.spans.append(Span(self.index, start, start + length, ZEROS))

    def _loud(self, x: np.ndarray) -> bool:
        """Whether audio breaks off: x begins at the gap."""
        finite = np.nan_to_num(x, posinf=0.0, neginf=0.0)
        nearest = float(np.sqrt(np.mean(finite[: self._nearest] ** 2)))
        return nearest >= max(_MIN_LEVEL, _MAX_FADE * float(np.sqrt(np.mean(finite**2))))


class GapStep(RepairStep):
    """Fill gaps of up to 300 ms; longer ones are left as they are, or silenced where they are NaN.

    Args:
        listed: List of further gaps in all channels, or a folder in which `a/b.wav` has the list `a/b.txt`; see `read_gaps`.
    """

    def __init__(self, listed: Path | None = None):
        self._listed = listed
        self._filler = GapFiller()

    def survey(self, channels: int, sample_rate: int, name: str = "") -> GapSurvey:
        path = self._listed
        if path is not None and path.is_dir():
            path = (path / name).with_suffix(".txt")
            path = path if path.is_file() else None
        listed = read_gaps(path) if path is not None else ()
        return GapSurvey(channels, sample_rate, [(round(start * sample_rate), round(end * sample_rate)) for start, end in listed])

    def stream(self, finding: GapFinding, channels: int, sample_rate: int) -> GapStream:
        return GapStream(finding.spans, channels, sample_rate, self._filler)


class GapStream:
    """Fills known gaps as soon as a second of audio after them has arrived; audio passes at once while there is no gap.

    Args:
        spans: The gaps, in order of their ends, those of one channel apart from each other.
        channels: Number of channels.
        sample_rate: Hz.
        filler: Computes the samples.
    """

    def __init__(self, spans: Sequence[Span], channels: int, sample_rate: int, filler: GapFiller):
        self._rate, self._filler = sample_rate, filler
        self._context = round(_CONTEXT_SECONDS * sample_rate)
        self._hidden = [[span for span in spans if span.channel == channel] for channel in range(channels)]
        tasks = [task for span in spans for task in _tasks(span, sample_rate)]
        self._tasks = sorted(tasks, key=lambda span: span.end)
        self._earliest = np.minimum.accumulate([span.start for span in self._tasks][::-1])[::-1] if tasks else np.zeros(0, int)
        self._buffer = np.zeros((channels, 0))
        self._begin, self._given, self._next = 0, 0, 0  # first sample of the buffer, samples returned, next task

    def process(self, audio: np.ndarray) -> np.ndarray:
        finite = np.where(np.isfinite(audio), audio, audio.dtype.type(0))
        self._buffer = np.concatenate([self._buffer.astype(audio.dtype), finite], axis=1)
        return self._run(last=False)

    def finish(self) -> np.ndarray:
        return self._run(last=True)

    def _run(self, last: bool) -> np.ndarray:
        total = self._begin + self._buffer.shape[1]
        while self._next < len(self._tasks) and (last or self._tasks[self._next].end + self._context <= total):
            self._fill(self._tasks[self._next])
            self._next += 1
        ready = total if self._next == len(self._tasks) else min(total, int(self._earliest[self._next]))
        ready = max(ready, self._given)
        out = self._buffer[:, self._given - self._begin : ready - self._begin]
        self._given = ready
        keep = max(self._begin, ready - self._context)
        self._buffer, self._begin = self._buffer[:, keep - self._begin :], keep
        return out

    def _fill(self, task: Span) -> None:
        x, end = self._buffer[task.channel], self._begin + self._buffer.shape[1]
        low, high = max(self._begin, task.start - self._context), min(end, task.end + self._context)
        hidden = np.zeros(high - low, bool)  # not known: this gap, those after it, and any that stay
        waiting, spans = {id(span) for span in self._tasks[self._next :]}, self._hidden[task.channel]
        first = bisect_left(spans, low, key=lambda span: span.end)
        for span in spans[first:]:
            if span.start >= high:
                break
            if id(span) in waiting or span.length > MAX_FILL_SECONDS * self._rate:
                hidden[max(0, span.start - low) : max(0, span.end - low)] = True
        window = x[low - self._begin : high - self._begin]
        start, stop = task.start - low, task.end - low
        window[start:stop] = self._filler.fill(window.astype(np.float64), hidden, start, stop, self._rate, task.kind)


def _tasks(span: Span, sample_rate: int) -> list[Span]:
    """Return what is to be computed of a gap: all of it; where it is too long and NaN, how the audio fades at both ends of the silence."""
    if span.length <= MAX_FILL_SECONDS * sample_rate:
        return [span]
    if span.kind != NOT_A_NUMBER:
        return []
    fade = round(FADE_SECONDS * sample_rate)
    return [Span(span.channel, span.start, span.start + fade, FADE_OUT), Span(span.channel, span.end - fade, span.end, FADE_IN)]


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Join spans of a channel that touch, and sort all by their ends."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.channel, span.start, span.end)):
        before = merged[-1] if merged else None
        if before is not None and before.channel == span.channel and span.start <= before.end:
            kind = NOT_A_NUMBER if NOT_A_NUMBER in (before.kind, span.kind) else before.kind
            merged[-1] = Span(span.channel, before.start, max(before.end, span.end), kind)
        else:
            merged.append(span)
    return sorted(merged, key=lambda span: (span.end, span.channel))


def read_gaps(path: Path) -> tuple[tuple[float, float], ...]:
    """Read a list of gaps: a line for each with its start and end in seconds, separated by tabs, spaces, commas or semicolons.

    What follows on a line is a remark, so the label files of Audacity are such lists. Empty lines and lines that begin with # are skipped.

    Raises:
        UsageError: The file cannot be read, a line has no two numbers, or they are no stretch of time.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list of gaps {path} cannot be read: {error}.", hint="one gap a line: START END, in seconds") from error
    gaps = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(("#", "\\")):
            continue
        try:
            start, end = (float(word) for word in re.split(r"[\t,; ]+", text)[:2])
        except ValueError as error:
            hint = "expected START END in seconds, such as 12.30 12.34"
            raise UsageError(f"{path}, line {number}: {text!r} is no gap.", hint=hint) from error
        if not 0 <= start < end < float("inf"):
            raise UsageError(f"{path}, line {number}: the gap goes from {start:g} to {end:g} s; expected 0 <= START < END.")
        gaps.append((start, end))
    if not gaps:
        raise UsageError(f"The list of gaps {path} is empty.", hint="one gap a line: START END, in seconds")
    return tuple(gaps)
