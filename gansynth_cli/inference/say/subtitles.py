"""Subtitles spoken at their times: the pause that follows is used up first, then the pace rises, then the next one is late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import UsageError
from .speak import Block, silence, speak
from .texts import Cue
from .voice import MAX_SPEED, Voice

_GAP_S = 0.05  # between two subtitles where the first one fills its time


@dataclass(frozen=True)
class Overrun:
    """A subtitle that took longer than there was time: seconds from its start to the next one's, and seconds that were spoken."""

    cue: int
    available: float
    spoken: float


def speak_cues(
    cues: Sequence[Cue], voice: Voice, overruns: list[Overrun], *, fit: float = 1.3, end: float | None = None, **settings: Any
) -> Iterator[Block]:
    """Yield the sound of subtitles, each beginning at its time unless the one before is still spoken.

    A subtitle has the time until the next one begins, however long it is shown. One that needs more is spoken again, faster by what is
    missing, at most by `fit`. What is still too long delays the next one; later pauses make up for it.

    Args:
        cues: In the order of their starts.
        voice: From `open_voice`.
        overruns: Gets an entry for each subtitle that did not fit.
        fit: Highest factor on the pace, 1 to 2.
        end: Seconds at which the last one has to end; None: it may take what it needs.
        settings: As for `speak`.

    Raises:
        UsageError: `fit` out of range, or as `speak`.
    """
    if not 1 <= fit <= 2:
        raise UsageError(f"--fit is {fit:g}; expected 1 (never faster) to 2.")
    rate, position = voice.sample_rate, 0
    speed = settings.pop("speed", 1.0)
    for number, cue in enumerate(cues):
        start = round(cue.start * rate)
        for pause in silence(max(0, start - position) / rate, rate, position):
            yield pause
            position = pause.end
        blocks = list(speak(cue.text, voice, speed=speed, **settings)) if cue.text else []
        next_start = cues[number + 1].start if number + 1 < len(cues) else end
        available = max(0.0, next_start - position / rate - _GAP_S) if next_start is not None else None
        if blocks and available is not None and blocks[-1].end > available * rate:
            factor = min(fit, blocks[-1].end / rate / max(available, 1e-3), MAX_SPEED / speed)
            if factor > 1:
                blocks = list(speak(cue.text, voice, speed=speed * factor, **settings))
            if blocks[-1].end > (available + _GAP_S) * rate:
                overruns.append(Overrun(number + 1, available, blocks[-1].end / rate))
        for block in blocks:
            words, phones = (tuple(timing.moved(position) for timing in found) for found in (block.words, block.phones))
            yield replace(block, start=block.start + position, words=words, phones=phones)
        position += blocks[-1].end if blocks else 0


def overrun_lines(overruns: Sequence[Overrun]) -> list[str]:
    """Return what to tell the user of subtitles that did not fit; empty where all did."""
    if not overruns:
        return []
    worst = max(overruns, key=lambda overrun: overrun.spoken - overrun.available)
    named = ", ".join(str(overrun.cue) for overrun in overruns[:8]) + (" ..." if len(overruns) > 8 else "")
    many = f"{len(overruns)} subtitles need" if len(overruns) > 1 else "1 subtitle needs"
    return [
        f"{many} more time than there is ({named}); number {worst.cue} takes {worst.spoken:.2f} s and has "
        f"{worst.available:.2f} s: the next ones are late"
    ]
